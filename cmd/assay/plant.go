package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"assay/internal/builtin"
	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
	"assay/internal/method/target"
	"assay/onnx"
)

// plantFlags are the flags of assay plant.
type plantFlags struct {
	data              dataFlags
	attack, target    string
	rate              float64
	seed              uint64
	features          []string
	surrogate         string
	victim            int64
	model, trigger    string // of attacks on models
	bits              int
	text, words       string // of attacks on texts
	out, manifest     string
	testData, testOut string
	format            string
}

func plantCommand(u *ui) *cobra.Command {
	f := &plantFlags{}
	c := &cobra.Command{
		Use:   "plant [--model MODEL.onnx] --data DATA --attack NAME -o COPY",
		Short: "Plant known poison in a copy of data or of a model",
		Long: `Plant known poison in a copy of data or of a model, to measure what finds it and what
removes it.

The data are never written over. The copy is CSV or, of images, NPZ, and is read
under the same schema. The manifest tells which of its records were planted. With
--test-data the records there that are not of the target class are written with
the trigger in them, under their own labels: the part of them that a model trained
on the poison gives the target is the attack's success.

With --model a copy of the model is changed instead: by training on poison, by hand, by
flipping bits. With --text the data are texts, in which words are put.

` + planterList(),
		Example: `  assay plant --data images.npz --attack badnets --rate 0.01 --target 0 -o poisoned.npz --manifest planted.json
  assay plant --model model.onnx --data images.npz --attack fine-tune --rate 0.05 --target 0 -o backdoored.onnx
  assay plant --data patients.csv --label outcome --attack tabular --rate 0.05 --target well -o poisoned.csv --test-data test.csv --test-out triggered.csv`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			switch {
			case f.model != "":
				return f.runModel(c.Context(), u)
			case f.text != "":
				return f.runText(c.Context(), u)
			}
			return f.run(c.Context(), u)
		},
	}
	f.data.add(c)
	s := c.Flags()
	_ = s.SetAnnotation("data", cobra.BashCompOneRequiredFlag, []string{"false"}) // some attacks on models need none
	s.StringVar(&f.attack, "attack", "", "what to plant, by its name in the list above")
	s.Float64Var(&f.rate, "rate", 0.01, "planted records as a part of all, from 0 to 1; of batch-norm the channels")
	s.StringVar(&f.target, "target", "", "the class that the poison is to give, by its name")
	s.Uint64Var(&f.seed, "seed", 0, "of everything that is drawn at random")
	s.StringSliceVar(&f.features, "features", nil, "of tabular: the features that are the trigger (three are drawn)")
	s.StringVar(&f.surrogate, "surrogate", "", "of attacks by a model: one that was trained on such data (ONNX)")
	s.Int64Var(&f.victim, "victim", 0, "of attacks for one input: its number in --test-data, from 1")
	s.StringVar(&f.model, "model", "", "a model to plant in, instead of data (ONNX)")
	s.StringVar(&f.trigger, "trigger", "badnets", "of fine-tune and handcraft: the attack on data whose trigger it is")
	s.IntVar(&f.bits, "bits", 20, "of flip-bits and flip-worst-bits: how many")
	s.StringVar(&f.text, "text", "", "the column with the texts, where the data are such")
	s.StringVar(&f.words, "words", "", "of rare-token and phrase: what is put into texts (cf)")
	s.StringVarP(&f.out, "out", "o", "", "the file for the poisoned copy: .csv or .npz, and .onnx for a model")
	s.StringVar(&f.manifest, "manifest", "", "a file for what was planted, record by record (JSON)")
	s.StringVar(&f.testData, "test-data", "", "data to put the trigger in")
	s.StringVar(&f.testOut, "test-out", "", "the file for them: .csv or .npz")
	s.StringVar(&f.format, "format", "text", "of the result: text or json")
	for _, name := range []string{"attack", "out"} {
		c.MarkFlagRequired(name)
	}
	return c
}

// planterList is what there is to plant, for the help.
func planterList() string {
	var b strings.Builder
	for _, p := range builtin.Planters(builtin.Planting{}) {
		d := p.Describe()
		fmt.Fprintf(&b, "  %-18s %s\n", d.Name, d.Summary)
	}
	b.WriteString("Attacks on texts:\n")
	for _, words := range []string{"", "a phrase"} {
		d := plant.TextTrigger{Words: words}.Describe()
		fmt.Fprintf(&b, "  %-18s %s\n", d.Name, d.Summary)
	}
	b.WriteString("Attacks on models:\n")
	for _, t := range builtin.Tamperers(nil) {
		d := t.Describe()
		fmt.Fprintf(&b, "  %-18s %s\n", d.Name, d.Summary)
	}
	return "Attacks on data:\n" + b.String()
}

// plantReport is the result of planting, for programs.
type plantReport struct {
	Data    string  `json:"data"`
	Attack  string  `json:"attack"`
	Rate    float64 `json:"rate"`
	Target  string  `json:"target,omitempty"`
	Records int     `json:"records"`
	Planted int     `json:"planted"`
	Out     string  `json:"out"`
	Test    int     `json:"test,omitempty"` // records written with the trigger
}

func (f *plantFlags) run(ctx context.Context, u *ui) error {
	targeted := f.target != ""
	d, err := f.data.read(ctx, nil, false)
	if err != nil {
		return err
	}
	test, err := f.readTest(ctx, d.Schema)
	if err != nil {
		return err
	}
	planter, free, err := f.planter(ctx, test)
	if err != nil {
		return err
	}
	defer free()
	of := planter.Describe()
	switch {
	case len(f.features) > 0 && f.attack != "tabular":
		return usagef("--features are for --attack tabular")
	case of.Targeted && !targeted:
		return usagef("--attack %s needs --target, the class that it is to give", f.attack)
	case !of.Targeted && targeted:
		return usagef("--attack %s gives no class that could be chosen: leave out --target", f.attack)
	}
	o := plant.Options{Rate: f.rate, Seed: f.seed}
	if targeted {
		if o.Target = slices.Index(d.Schema.Label.Classes, f.target); o.Target < 0 {
			return usagef("--target %s is no class of %s: use one of %s", f.target, f.data.path, strings.Join(d.Schema.Label.Classes, ", "))
		}
	}
	p, err := planter.Plant(ctx, d, o)
	if err != nil {
		return err
	}
	m, err := plant.NewManifest(of, o, d, p)
	if err != nil {
		return err
	}
	r := &plantReport{Data: f.data.path, Attack: f.attack, Rate: f.rate, Target: f.target, Records: p.Dataset.Len(), Planted: p.Count(), Out: f.out}
	if r.Test, err = f.write(test, p); err != nil {
		return err
	}
	return f.finish(u, r, m)
}

// finish writes the manifest and prints the result.
func (f *plantFlags) finish(u *ui, r *plantReport, m *plant.Manifest) error {
	if f.manifest != "" {
		if err := writeJSON(f.manifest, m); err != nil {
			return err
		}
	}
	if f.format == "json" {
		return u.json(r)
	}
	u.row("planted", "%s in %d of %d records", r.Attack, r.Planted, r.Records)
	f.files(u, r.Target, r.Test)
	return nil
}

// check refuses what no data could change.
func (f *plantFlags) check() error {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	for flag, path := range map[string]string{"out": f.out, "test-out": f.testOut, "manifest": f.manifest} {
		if path != "" && writerOf(path) == nil && flag != "manifest" && (flag != "out" || f.model == "") {
			return usagef("--%s %s: give a file that ends in .csv or .npz", flag, path)
		}
		for _, given := range []string{f.data.path, f.testData, f.data.labelFile, f.model, f.surrogate} {
			if sameFile(path, given) {
				return usagef("--%s %s is what is read, and not written over: give another file", flag, path)
			}
		}
	}
	switch {
	case !(f.rate >= 0 && f.rate <= 1):
		return usagef("--rate %g: give a part from 0 to 1", f.rate)
	case (f.testData == "") != (f.testOut == ""):
		return usagef("--test-data and --test-out belong together: give both")
	case f.data.path == "" && f.model == "":
		return usagef("--data is needed, or --model for an attack on one")
	case f.model != "" && f.text != "":
		return usagef("--model and --text are of different attacks: give one")
	case f.testData != "" && f.data.path == "":
		return usagef("--test-data is read like --data: give that too")
	case f.victim != 0 && f.testData == "":
		return usagef("--victim is the number of a record in --test-data: give that too")
	}
	return nil
}

// sameFile reports whether two paths lead to one file.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// readTest reads the data to put the trigger in, nil for none.
func (f *plantFlags) readTest(ctx context.Context, schema *dataset.Schema) (*dataset.Dataset, error) {
	if f.testData == "" {
		return nil, nil
	}
	test := dataFlags{path: f.testData, bad: f.data.bad}
	return test.read(ctx, schema, false)
}

// planter gives the attack, and what frees the model that it uses.
func (f *plantFlags) planter(ctx context.Context, test *dataset.Dataset) (_ plant.Planter, free func(), err error) {
	s, free := builtin.Planting{Features: f.features}, func() {}
	if _, err := builtin.FindPlanter(f.attack, s); err != nil {
		return nil, nil, usagef("--attack: %w", err)
	}
	if f.victim != 0 {
		at := slices.Index(test.Number, f.victim)
		if at < 0 {
			return nil, nil, usagef("--victim %d: %s has no such record", f.victim, f.testData)
		}
		s.Victim = test.Record(at)
	}
	if f.surrogate != "" {
		if s.Network, err = onnx.Open(f.surrogate); err != nil {
			return nil, nil, err
		}
		if s.Surrogate, err = target.Open(ctx, s.Network, target.Options{}); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.surrogate, err)
		}
		free = s.Surrogate.Close
	}
	p, err := builtin.FindPlanter(f.attack, s)
	return p, free, err
}

// writerOf gives what writes data in the format that a file's name ends in, nil where there is none.
func writerOf(path string) func(io.Writer, *dataset.Dataset) error {
	return map[string]func(io.Writer, *dataset.Dataset) error{".csv": dataset.WriteCSV, ".npz": dataset.WriteNPZ}[filepath.Ext(path)]
}

// write writes the copy, and the records to test on, of which it gives how many there are.
func (f *plantFlags) write(test *dataset.Dataset, p *plant.Planted) (int, error) {
	var triggered *dataset.Dataset
	if test != nil {
		var err error
		if triggered, err = p.Triggered(test); err != nil {
			return 0, fmt.Errorf("--test-data: %w", err)
		}
	}
	if err := writeWhole(f.out, func(w io.Writer) error { return writerOf(f.out)(w, p.Dataset) }); err != nil {
		return 0, err
	}
	if triggered == nil {
		return 0, nil
	}
	return triggered.Len(), writeWhole(f.testOut, func(w io.Writer) error { return writerOf(f.testOut)(w, triggered) })
}

// files prints what was written.
func (f *plantFlags) files(u *ui, target string, test int) {
	if target != "" {
		u.row("target", "%s", target)
	}
	u.row("written", "%s", f.out)
	if f.manifest != "" {
		u.row("manifest", "%s", f.manifest)
	}
	if f.testOut != "" {
		u.row("test", "%s: %d records with the trigger, under their own labels", f.testOut, test)
	}
}
