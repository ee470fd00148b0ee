package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"assay"
	"assay/internal/builtin"
	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/stat"
	"assay/internal/trees"
	"assay/onnx"
)

// attackFlags are the flags of assay attack.
type attackFlags struct {
	data               dataFlags
	admission          admission
	model, method, out string
	norm, unit, loss   string
	eps                float64
	groups, n          int
	threads            int
	seed               uint64
	format             string
	family             method.Family // that the attacker is held to instead of a norm
	settings           builtin.Settings
	transfer           transferFlags
	text               textFlags
	given              []string // of the settings, by their flags
}

func attackCommand(u *ui) *cobra.Command {
	f := &attackFlags{}
	c := &cobra.Command{
		Use:   "attack --model MODEL.onnx --data DATA --method METHOD --eps EPS",
		Short: "Attack a model, and measure its robust accuracy",
		Long: `Attack a model with one method or an ensemble, and measure its robust accuracy.

Each unit is an input that an attacker may change by at most eps. It counts as
robust if the model gets it right and the method found no adversarial example;
every one that it found is run again by itself on a second session without graph
optimisation. The bounds of the robust accuracy are exact (Clopper and Pearson),
of 95 % confidence, for units drawn at random.

autoattack is an ensemble of four methods, each of which attacks what those before
it left unbroken. Its losses that compare three or four scores give way to the
margin between two where a model has fewer classes. All gradients are those of
logits, where a model makes probabilities of them at its end.

A model of texts is attacked with --tokenizer, by methods of its own (see
--method): up to --words of a text's words are replaced by --synonyms or by words
near them in --embeddings, or misspelt by --edits. There is no eps then.

What an attack does not find is no proof that it is not there: assay assess also
checks whether the attack could have found it.`,
		Example: `  assay attack --model model.onnx --data examples/diagnosis/breast_cancer.csv --label diagnosis --method pgd --unit std --eps 0.3
  assay attack --model digits.onnx --data test.npz --method autoattack --norm L2 --eps 1.5
  assay attack --model digits.onnx --data test.npz --method square --norm L2 --eps 1.5 --queries 2000 --out examples.npz`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, name := range []string{"steps", "step-size", "restarts", "loss", "queries", "draws", "searches", "work", "beam"} {
				if c.Flags().Changed(name) {
					f.given = append(f.given, name)
				}
			}
			if f.text.tokenizer != "" {
				return f.runText(c, u)
			}
			if err := f.text.unused(c); err != nil {
				return err
			}
			return f.run(c.Context(), u)
		},
	}
	f.data.add(c)
	f.transfer.add(c)
	f.text.add(c)
	f.admission.add(c)
	s := c.Flags()
	s.StringVar(&f.model, "model", "", "the ONNX model")
	s.StringVar(&f.data.labelFile, "labels", "", "a file of labels beside the data (IDX or NPY), as --label-file")
	s.StringVar(&f.method, "method", "", methodNames()+"; of texts: "+strings.Join(builtin.TextMethodNames(), ", "))
	s.StringVar(&f.norm, "norm", "", "of the perturbation: Linf, L2, L1, L0 (how many numbers change, of images pixels) or cost (of the features' costs in the schema); the first of these that the method can search in")
	s.Float64Var(&f.eps, "eps", 0, "the largest perturbation; for corruptions the highest level, for a patch its share of the area, for rotations a part of 30° and a tenth of the image")
	s.StringVar(&f.unit, "unit", string(method.Raw), "of eps: raw (the data's own), range or std (of each feature)")
	s.IntVar(&f.groups, "groups", 0, "how many categorical features may change, beside eps")
	s.IntVar(&f.settings.Steps, "steps", 0, "of pgd and transfer (40), of apgd-ce, apgd-dlr, apgd-t and fab-t (100), deepfool and min-norm (50), cw (10000), ead (1000), and of what universal (500) and patch (200) learn")
	s.Float64Var(&f.settings.Step, "step-size", 0, "of pgd, as a part of eps (2.5 by the steps)")
	s.IntVar(&f.settings.Restarts, "restarts", 0, "of pgd (2), of transfer (4), of apgd-ce, apgd-dlr and apgd-t (1), of capgd and caa (2), and of tree-leaf (20)")
	s.StringVar(&f.loss, "loss", "", "of pgd: cross-entropy, margin or dlr (cross-entropy)")
	s.IntVar(&f.settings.Queries, "queries", 0, "for each unit, of square, hopskipjump and beam (5000), rays and sparse-rs (10000)")
	s.IntVar(&f.settings.Draws, "draws", 0, "for each unit, of noise (1000) and rotation-draws (10)")
	s.IntVar(&f.settings.Searches, "searches", 0, "of cw and ead (9), and of min-norm (10)")
	s.IntVar(&f.settings.Work, "work", 0, "for each unit, of tree-exact: pairs of boxes to look at (2000000)")
	s.IntVar(&f.settings.Beam, "beam", 0, "of beam: rows that the search goes on from (10)")
	s.IntVar(&f.n, "n", 1000, "how many records to attack, drawn at random; all where there are fewer")
	s.Uint64Var(&f.seed, "seed", 0, "of everything that is drawn at random")
	s.IntVar(&f.threads, "threads", 0, "processors to use (all)")
	s.StringVar(&f.out, "out", "", "an NPZ file for the adversarial examples, as records of the data")
	s.StringVar(&f.format, "format", "text", "of the result: text or json")
	for _, name := range []string{"model", "method"} {
		c.MarkFlagRequired(name)
	}
	return c
}

func methodNames() string {
	text := ""
	for i, m := range builtin.Methods() {
		if i > 0 {
			text += ", "
		}
		text += m.Name
	}
	return text
}

// attackReport is the result of an attack, for programs.
type attackReport struct {
	Method         string       `json:"method"`
	Norm           method.Norm  `json:"norm"` // or the transformations that the attacker is held to
	Eps            float64      `json:"eps"`
	N              int          `json:"n"`
	CleanAccuracy  float64      `json:"clean_accuracy"`
	RobustAccuracy float64      `json:"robust_accuracy"`
	Lower          float64      `json:"lower"`
	Upper          float64      `json:"upper"`
	Queries        int          `json:"queries"`
	Extraction     int          `json:"extraction_queries,omitempty"` // that went into surrogates, once for all units
	Seconds        float64      `json:"seconds"`
	Curve          []curvePoint `json:"curve,omitempty"` // of methods that look for the nearest adversarial example
	Units          []attackUnit `json:"units"`
}

type attackUnit struct {
	Index   int64 `json:"index"` // of the record in the data, from 0
	Correct bool  `json:"correct"`
	Robust  bool  `json:"robust"`

	BrokenBy string   `json:"broken_by,omitempty"` // the method
	Distance *float64 `json:"distance,omitempty"`  // of its example from the input, in the norm and unit

	Nearest    *float64  `json:"nearest,omitempty"`    // the distance of the nearest adversarial example, beyond eps too, of methods that look for it
	Parameters []float64 `json:"parameters,omitempty"` // of the transformation that made its example
}

// attackConfidence is that of the bounds of the robust accuracy.
const attackConfidence = 0.95

func (f *attackFlags) run(ctx context.Context, u *ui) error {
	if err := f.check(); err != nil {
		return err
	}
	started := time.Now()
	m, err := f.admission.open(ctx, u, f.model)
	if err != nil {
		return err
	}
	records, err := f.read(ctx, m)
	if err != nil {
		return err
	}
	t, err := target.Open(ctx, m, target.Options{Threads: f.threads})
	if err != nil {
		return fmt.Errorf("%s: %w", f.model, err)
	}
	defer t.Close()
	if f.method == "transfer" {
		defer f.transfer.close()
		if f.settings.Surrogates, err = f.surrogates(ctx, u, t, records); err != nil {
			return err
		}
	}
	attack, err := f.prepare(u, m, t, records)
	if err != nil {
		return err
	}
	results, err := attack.run(ctx, u)
	u.done()
	if err != nil {
		return err
	}
	report, err := f.report(attack, results, time.Since(started))
	if err != nil {
		return err
	}
	if f.out != "" {
		if err := attack.save(f.out, results); err != nil {
			return err
		}
	}
	if f.format == "json" {
		return u.json(report)
	}
	u.attacked(f, report)
	return nil
}

// check refuses what no model or data could change.
func (f *attackFlags) check() error {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	if f.n < 1 {
		return usagef("--n %d: at least one record is needed", f.n)
	}
	if f.threads < 0 {
		return usagef("--threads %d: give the number of processors, or 0 for all", f.threads)
	}
	if f.norm != "" && !slices.Contains(method.Budgets(), method.Norm(f.norm)) {
		return usagef("--norm %s: use Linf, L2, L1, L0 or cost", f.norm)
	}
	if !slices.Contains(method.Scalings(), method.Scaling(f.unit)) {
		return usagef("--unit %s: use raw, range or std", f.unit)
	}
	if err := f.transfer.check(f.method); err != nil {
		return err
	}
	f.settings.Loss = model.Loss(f.loss)
	chosen, err := builtin.Find(f.method, f.settings, f.given)
	if err != nil {
		return err
	}
	return f.hold(chosen)
}

// read reads the data by the user's schema, or by that which the model carries.
func (f *attackFlags) read(ctx context.Context, m *onnx.Model) (*dataset.Dataset, error) {
	schema, err := target.ReadSchema(m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.model, err)
	}
	records, err := f.data.read(ctx, schema, false)
	switch {
	case err != nil:
		return nil, err
	case records.Len() == 0:
		return nil, fmt.Errorf("%s has no records", f.data.path)
	case records.Y == nil:
		return nil, fmt.Errorf("%s has no labels: name their column with --label, or their file with --labels", f.data.path)
	}
	return records, nil
}

// attack is a method or an ensemble, ready to run.
type attack struct {
	target   method.Target
	attacker method.Attacker
	methods  []method.Method
	inputs   []method.Input
	lessons  []method.Input // for methods that learn
	seed     uint64
	rows     *target.Rows
	records  *dataset.Dataset
}

// poolSize is how many records decision-based methods may start from.
const poolSize = 200

func (f *attackFlags) prepare(u *ui, m *onnx.Model, t *target.Model, records *dataset.Dataset) (*attack, error) {
	rows, err := target.NewRows(records.Schema, t.Description)
	if err != nil {
		return nil, fmt.Errorf("%s does not fit %s: %w", f.data.path, f.model, err)
	}
	if text := target.Misfit(records, t.Description); text != "" {
		u.note("%s", text)
	}
	domain, err := method.DomainOf(records.Schema, records.Statistics(), method.Scaling(f.unit))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.data.path, err)
	}
	f.settings.Norm = method.Norm(f.norm)
	f.settings.Trees, f.settings.NoTrees = trees.Read(m)
	chosen, err := builtin.Find(f.method, f.settings, f.given)
	if err != nil {
		return nil, err
	}
	a := &attack{target: t.Target, methods: chosen, seed: f.seed, rows: rows, records: records}
	a.attacker = method.Attacker{Access: chosen[0].Describe().Access, Norm: method.Norm(f.norm), Family: f.family, Eps: f.eps, Groups: f.groups}
	follows := false
	for _, m := range chosen {
		d := m.Describe()
		if d.Access.Includes(a.attacker.Access) {
			a.attacker.Access = d.Access
		}
		follows = follows || d.Access == assay.Gradients && !d.Reads
	}
	if follows && t.Gradient == nil && t.Surrogate == nil {
		return nil, fmt.Errorf("%s follows gradients, and %s has none: %w", f.method, f.model, t.NoGradient)
	}
	a.methods = evasion.Adaptive(t.Target, chosen)
	if through := evasion.Replaced(t.Target); through != "" {
		u.note("gradients are followed also through %s, which has none of its own", through)
	}
	if t.Random {
		u.note("the model draws at random: gradients are the mean over %d draws, and most of several draws decide", method.GradientDraws)
	}
	a.target.Domain = rows.Domain(domain)
	order := f.order(records.Len())
	for _, i := range order[:min(poolSize, len(order))] {
		a.target.Pool = append(a.target.Pool, rows.Row(records.Record(i)))
	}
	attacked, learnt := divide(order, f.n, chosen)
	a.inputs, a.lessons = rows.Inputs(records, attacked), rows.Inputs(records, learnt)
	if slices.Contains(method.Norms(), a.attacker.Norm) && a.attacker.Norm != method.L0 && f.eps > 0 && tooFine(a.target.Domain, f.eps) {
		u.note("all numbers that may change are whole, and eps %g is less than 1 of each: nothing can change", f.eps)
	}
	return a, nil
}

// tooFine reports whether whole numbers are all that may change, and by less than 1.
func tooFine(d *method.Domain, eps float64) bool {
	for i, scale := range d.Scale {
		if !d.Fixed[i] && (!d.Integer[i] || eps*float64(scale) >= 1) {
			return false
		}
	}
	return len(d.Groups) == 0
}

func (a *attack) run(ctx context.Context, u *ui) ([]method.Result, error) {
	return method.Run(ctx, a.target, a.attacker, a.methods, a.inputs, method.Options{Seed: a.seed, UntilBroken: true, Lessons: a.lessons, Progress: u.units})
}

func (f *attackFlags) report(a *attack, results []method.Result, took time.Duration) (*attackReport, error) {
	r := &attackReport{Method: f.method, Norm: f.budget(), Eps: f.eps, N: len(results), Extraction: f.transfer.spent, Seconds: took.Seconds(), Units: []attackUnit{}}
	correct, robust := 0, 0
	for _, unit := range results {
		if unit.Correct {
			correct++
		}
		if unit.Robust {
			robust++
		}
		out := attackUnit{Index: unit.Index, Correct: unit.Correct, Robust: unit.Robust}
		for _, m := range unit.Methods {
			r.Queries += m.Queries
			if m.Success {
				out.BrokenBy, out.Distance, out.Parameters = m.Method, &m.Distance, m.Parameters
			}
		}
		r.Units = append(r.Units, out)
	}
	r.addNearest(a.methods, results)
	n := float64(r.N)
	r.CleanAccuracy, r.RobustAccuracy = float64(correct)/n, float64(robust)/n
	bounds, err := stat.ClopperPearson(robust, r.N, attackConfidence)
	r.Lower, r.Upper = bounds.Lower, bounds.Upper
	return r, err
}

// brokenBy says which methods of an ensemble broke how many units, the most first.
func (r *attackReport) brokenBy() string {
	count := map[string]int{}
	for _, unit := range r.Units {
		if unit.BrokenBy != "" {
			count[unit.BrokenBy]++
		}
	}
	delete(count, r.Method) // no ensemble
	names := slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%d by %s", count[name], name)
	}
	return strings.Join(names, ", ")
}

// attacked prints the result of an attack.
func (u *ui) attacked(f *attackFlags, r *attackReport) {
	if f.family != nil || r.Norm == method.Patch {
		u.row("attack", "%s, %s up to %g", r.Method, r.Norm, r.Eps)
	} else {
		u.row("attack", "%s, %s up to %g (%s)", r.Method, r.Norm, r.Eps, f.unit)
	}
	u.row("units", "%d of %s", r.N, f.data.path)
	u.row("clean", "accuracy %s", percent(r.CleanAccuracy))
	u.row("robust", "accuracy %s, between %s and %s at 95 %% confidence", percent(r.RobustAccuracy), percent(r.Lower), percent(r.Upper))
	if text := r.brokenBy(); text != "" {
		u.row("broken", "%s", text)
	}
	if r.Curve != nil && !math.IsInf(r.medianNearest(), 0) {
		u.row("nearest", "adversarial example at %.4g in the median", r.medianNearest())
	}
	u.row("queries", "%d, in %.1f s", r.Queries, r.Seconds)
	if r.Extraction > 0 {
		u.row("extraction", "%d queries before, once for all units", r.Extraction)
	}
	if f.out != "" {
		u.row("written", "%s", f.out)
	}
}
