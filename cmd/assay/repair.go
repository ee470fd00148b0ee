package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"assay/internal/builtin"
	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
	"assay/internal/method/poisoning/relapse"
	"assay/internal/method/target"
	"assay/internal/model/ort"
	"assay/internal/solution/repair"
	"assay/internal/train"
	"assay/onnx"
)

// repairFlags are the flags of assay repair.
type repairFlags struct {
	data        dataFlags
	admission   admission
	method      string
	quarantine  string
	settings    builtin.Repairing
	testData    string
	cleanData   string // that the attacker poisons anew
	trigger     string
	target      string
	triggerSeed uint64
	features    []string
	fresh       []string
	rate        float64
	records     int
	seed        uint64
	threads     int
	out, format string
}

func repairCommand(u *ui) *cobra.Command {
	f := &repairFlags{}
	c := &cobra.Command{
		Use:   "repair MODEL.onnx --method NAME --data RECORDS --out REPAIRED.onnx",
		Short: "Remove what poison planted in a model, and attack it again",
		Long: `Remove what poison planted in a model, and attack it again.

` + repairList() + `
Trusted records are such as hold no poison; a few hundred do. Training records are those
that the model was trained on, with a quarantine of assay inspect-data: the model's network
is then trained anew, and a model of another kind is by assay retrain.

With --test-data it is measured what the repair costs, and with a trigger in the form of
assay plant, how often that still succeeds. With --clean-data, records like those that the
model was trained on, fresh triggers are planted in them, a network is trained on that
and repaired in the same way; and the repaired model is trained further on a few records with the
old trigger, beside a model that never had the backdoor.`,
		Example: `  assay repair backdoored.onnx --method fine-pruning --data trusted.npz --out repaired.onnx
  assay repair model.onnx --method removal --data poisoned.csv --quarantine suspicious.json --test-data test.csv --trigger planted.json --out repaired.onnx`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c.Context(), u, args[0]) },
	}
	f.data.add(c)
	f.admission.add(c)
	s := c.Flags()
	_ = s.SetAnnotation("data", cobra.BashCompOneRequiredFlag, []string{"false"}) // lipschitz-pruning needs none
	s.StringVar(&f.method, "method", "", "the repair, by its name in the list above")
	s.StringVar(&f.quarantine, "quarantine", "", "of removal and relabelling: the suspicious records of --data, as assay inspect-data writes them")
	s.IntVar(&f.settings.Tune.Epochs, "epochs", 0, "of repairs that train further (60)")
	s.Float64Var(&f.settings.Tune.Rate, "lr", 0, "the highest learning rate of repairs that train further: more removes more, and costs more (0.02)")
	s.Float64Var(&f.settings.Loss, "prune-loss", 0, "of fine-pruning: the part of the accuracy on --data that pruning may cost (0.04)")
	s.Float64Var(&f.settings.Radius, "radius", 0, "of unlearning: the size of the perturbation, in standard deviations (0.25)")
	s.Float64Var(&f.settings.Deviations, "deviations", 0, "of lipschitz-pruning: from how many above the mean a channel is pruned (3)")
	s.IntVar(&f.settings.Train.Epochs, "train-epochs", 30, "of networks that are trained anew")
	s.Float64Var(&f.settings.Train.Optimizer.Rate, "train-lr", 0, "the learning rate of networks that are trained anew (0.001)")
	s.StringVar(&f.testData, "test-data", "", "data to test on")
	s.StringVar(&f.trigger, "trigger", "", "that was planted: a manifest of assay plant, or the name of an attack there, with --target")
	s.StringVar(&f.target, "target", "", "the class that the trigger gives, by its name")
	s.Uint64Var(&f.triggerSeed, "trigger-seed", 0, "that it was planted with")
	s.StringSliceVar(&f.features, "features", nil, "of the trigger tabular: its features (three are drawn)")
	s.StringVar(&f.cleanData, "clean-data", "", "records to plant fresh triggers in, and to reactivate the old one by")
	s.StringSliceVar(&f.fresh, "fresh", nil, "fresh triggers, by the names of attacks (that of --trigger)")
	s.Float64Var(&f.rate, "fresh-rate", 0.05, "the part of --clean-data that they are planted in")
	s.IntVar(&f.records, "records", 10, "with the old trigger that it is reactivated by")
	s.Uint64Var(&f.seed, "seed", 1, "of everything that is drawn at random")
	s.IntVar(&f.threads, "threads", 0, "processors to use (all)")
	s.StringVar(&f.out, "out", "", "the ONNX file to write")
	s.StringVar(&f.format, "format", "text", "of the result: text or json")
	for _, name := range []string{"method", "out"} {
		c.MarkFlagRequired(name)
	}
	return c
}

// repairList is what repairs there are, for the help.
func repairList() string {
	var b strings.Builder
	for _, r := range builtin.Repairs(builtin.Repairing{}) {
		d := r.Describe()
		fmt.Fprintf(&b, "  %-18s %s\n%21sof records: %s (%s)\n", d.Name, d.Summary, "", d.Records, d.Reference)
	}
	return b.String()
}

// mended is the result, as printed.
type mended struct {
	Model   string             `json:"model"`
	Method  repair.Description `json:"method"`
	Did     string             `json:"did"`
	Cost    *cost              `json:"cost,omitempty"`  // on records to test on, where no trigger is tried
	Again   *relapse.Report    `json:"again,omitempty"` // attacked again
	Out     string             `json:"out"`
	Seconds float64            `json:"seconds"`
}

// check refuses what no data could change.
func (f *repairFlags) check(path string) error {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	if sameFile(f.out, path) {
		return usagef("--out %s is what is read, and not written over: give another file", f.out)
	}
	switch {
	case f.trigger == "" && (f.target != "" || f.cleanData != "" || len(f.fresh) > 0):
		return usagef("--target, --clean-data and --fresh are for a trigger that is tried again: give --trigger")
	case f.trigger != "" && f.testData == "":
		return usagef("--trigger is tried on records that nothing was trained on: give --test-data")
	case len(f.fresh) > 0 && f.cleanData == "":
		return usagef("--fresh triggers are planted in records: give them as --clean-data")
	case !(f.rate > 0 && f.rate <= 1):
		return usagef("--fresh-rate %g: give a part above 0, up to 1", f.rate)
	}
	return nil
}

func (f *repairFlags) run(ctx context.Context, u *ui, path string) error {
	if err := f.check(path); err != nil {
		return err
	}
	started := time.Now()
	o := &f.settings.Train
	o.Optimizer.Method, o.Optimizer.Decay, o.Schedule.Kind = train.AdamW, 0.01, train.OneCycle
	if f.quarantine != "" {
		var err error
		if f.settings.Quarantine, err = dataset.OpenQuarantine(f.quarantine); err != nil {
			return err
		}
	}
	by, err := builtin.FindRepair(f.method, f.settings)
	if err != nil {
		return usagef("--method: %w", err)
	}
	need := by.Describe().Records
	switch {
	case need != repair.None && f.data.path == "":
		return usagef("--method %s needs %s records: give them as --data", f.method, need)
	case (need == repair.Training) != (f.quarantine != ""):
		return usagef("--quarantine names the suspicious of the training records, for removal and relabelling: %s takes %s records", f.method, need)
	}
	m, err := f.admission.open(ctx, u, path)
	if err != nil {
		return err
	}
	p, err := f.read(ctx, m)
	if err != nil {
		return err
	}
	mend := func(ctx context.Context, m *onnx.Model) (*repair.Repaired, error) {
		defer u.done()
		return by.Repair(ctx, m, p.records, repair.Options{Seed: f.seed, Threads: f.threads, Progress: u.training})
	}
	r, err := mend(ctx, m)
	if err != nil {
		return err
	}
	out := &mended{Model: path, Method: by.Describe(), Did: r.Did, Out: f.out}
	switch {
	case f.trigger != "":
		out.Again, err = f.again(ctx, u, m, r.Model, p, by, mend)
	case p.test != nil:
		out.Cost, err = f.cost(ctx, m, r.Model, p.test)
	}
	if err != nil {
		return err
	}
	if err := r.Model.Save(f.out); err != nil {
		return err
	}
	out.Seconds = time.Since(started).Seconds()
	if f.format == "json" {
		return u.json(out)
	}
	u.mended(out)
	return nil
}

// repairParts is the data of a repair, nil where not given.
type repairParts struct{ records, test, clean *dataset.Dataset }

// read reads the data, all by one schema.
func (f *repairFlags) read(ctx context.Context, m *onnx.Model) (*repairParts, error) {
	schema, err := target.ReadSchema(m)
	if err != nil {
		return nil, err
	}
	p := &repairParts{}
	if f.data.path != "" {
		if p.records, err = f.data.read(ctx, schema, false); err != nil {
			return nil, err
		}
		schema = p.records.Schema
	}
	for path, to := range map[string]**dataset.Dataset{f.testData: &p.test, f.cleanData: &p.clean} {
		if path == "" {
			continue
		}
		other := dataFlags{path: path, bad: f.data.bad}
		if *to, err = other.read(ctx, schema, false); err != nil {
			return nil, err
		}
		if (*to).Y == nil {
			return nil, fmt.Errorf("%s has no labels", path)
		}
	}
	return p, nil
}

// cost measures what the repair costs.
func (f *repairFlags) cost(ctx context.Context, before, after *onnx.Model, test *dataset.Dataset) (*cost, error) {
	o := ort.ClassifierOptions{Options: ort.Options{Threads: f.threads}}
	was, err := ort.NewClassifier(ctx, before, o)
	if err != nil {
		return nil, err
	}
	defer was.Close()
	is, err := ort.NewClassifier(ctx, after, o)
	if err != nil {
		return nil, err
	}
	defer is.Close()
	return measureCost(ctx, is, was, test)
}

// again attacks the repaired model again.
func (f *repairFlags) again(ctx context.Context, u *ui, before, after *onnx.Model, p *repairParts, by repair.Repair, mend func(context.Context, *onnx.Model) (*repair.Repaired, error)) (*relapse.Report, error) {
	planted, err := f.planted(ctx, p)
	if err != nil {
		return nil, err
	}
	t := relapse.Trial{
		Before: before, After: after, Backdoor: planted, Test: p.test, Training: p.clean, Train: f.settings.Train,
		Rate: f.rate, Records: f.records, Seed: f.seed, Threads: f.threads, Progress: func(done, of int) { u.counted("attack", done, of) },
	}
	switch {
	case p.clean == nil:
		u.note("without --clean-data no fresh trigger is planted, and the old one is not reactivated")
	case by.Describe().Records == repair.Training:
		u.note("%s repairs what its quarantine names, so a fresh trigger is as good as what finds that: see assay inspect-data", f.method)
	default:
		for _, name := range f.fresh {
			planter, err := builtin.FindPlanter(name, builtin.Planting{Features: f.features})
			if err != nil {
				return nil, usagef("--fresh: %w", err)
			}
			t.Fresh = append(t.Fresh, planter)
		}
		t.Repair = func(ctx context.Context, m *onnx.Model) (*onnx.Model, error) {
			r, err := mend(ctx, m)
			if err != nil {
				return nil, err
			}
			return r.Model, nil
		}
	}
	r, err := relapse.Run(ctx, t)
	u.done()
	return r, err
}

// maxManifest bounds what is read of a manifest.
const maxManifest = 256 << 20

// planted gives the trigger that was planted, and makes it the one to be planted anew where none is named.
func (f *repairFlags) planted(ctx context.Context, p *repairParts) (*plant.Planted, error) {
	if strings.HasSuffix(f.trigger, ".json") {
		if err := f.readManifest(); err != nil {
			return nil, fmt.Errorf("--trigger %s: %w", f.trigger, err)
		}
	}
	planter, err := builtin.FindPlanter(f.trigger, builtin.Planting{Features: f.features})
	if err != nil {
		return nil, usagef("--trigger: %w", err)
	}
	on := p.test
	for _, d := range []*dataset.Dataset{p.records, p.clean} {
		if d != nil {
			on = d
		}
	}
	class, err := classOf(on.Schema, f.target)
	if err != nil {
		return nil, err
	}
	if len(f.fresh) == 0 && p.clean != nil {
		f.fresh = []string{f.trigger}
	}
	return planter.Plant(ctx, on, plant.Options{Target: class, Seed: f.triggerSeed}) // at rate 0: the trigger alone
}

// readManifest takes the trigger, its target and seed from what assay plant wrote of data or of a model.
func (f *repairFlags) readManifest() error {
	file, err := os.Open(f.trigger)
	if err != nil {
		return err
	}
	defer file.Close()
	var m struct {
		Attack  struct{ Name string }
		Trigger string
		Target  string
		Seed    uint64
	}
	if err := json.NewDecoder(io.LimitReader(file, maxManifest)).Decode(&m); err != nil {
		return fmt.Errorf("it is no manifest of assay plant: %w", err)
	}
	if m.Trigger == "" {
		m.Trigger = m.Attack.Name
	}
	f.trigger, f.target, f.triggerSeed = m.Trigger, m.Target, m.Seed
	return nil
}

// mended prints the result of a repair.
func (u *ui) mended(m *mended) {
	u.row("model", "%s", m.Model)
	u.row("repaired", "by %s: %s", m.Method.Name, m.Did)
	u.hardened(&hardening{Cost: m.Cost, Reference: m.Method.Reference})
	if a := m.Again; a != nil {
		u.row("clean", "accuracy %s, %s before, at least %s at 95 %% confidence, on %d records", percent(a.Clean.After), percent(a.Clean.Before), percent(a.Clean.Lower), a.Clean.N)
		u.row("cost", "at most %.2f points of clean accuracy at 95 %% confidence", 100*a.Clean.LostUpper)
		u.row("same", "trigger succeeds with %s", change(a.Same))
		for _, f := range a.Fresh {
			u.row("fresh", "trigger %s in %d records succeeds with %s", f.Attack, f.Planted, change(f.Change))
		}
		if r := a.Reactivated; r != nil {
			u.row("reactivated", "by %d records: the trigger succeeds with %s, and with %s in a model that never had it", r.Records, percent(r.Success.Rate), percent(r.Twin.Rate))
		}
	}
	u.row("written", "%s, after %.1f s", m.Out, m.Seconds)
}

func change(c relapse.Change) string {
	return fmt.Sprintf("%s of %d, %s before; at most %s at 95 %% confidence", percent(c.After.Rate), c.After.N, percent(c.Before.Rate), percent(c.After.Upper))
}
