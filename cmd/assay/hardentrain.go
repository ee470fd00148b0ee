package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"assay/internal/certificate"
	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/solution/advtrain"
	"assay/internal/solution/smoothing"
	"assay/internal/train"
	"assay/onnx"
)

// trainedSolution is a solution by which a model is trained.
type trainedSolution interface {
	name() string
	String() string // with its settings
	check() error
	apply(s *split, o *train.Options) error // makes the training one by the solution
	note(m *onnx.Model) error               // writes into the model what its graph cannot say
	open(ctx context.Context, m *onnx.Model, threads int, seed uint64) (model.Classifier, error)
}

// trainedCommand is a command that trains by a solution.
func trainedCommand(u *ui, s trainedSolution, long, example string) (*cobra.Command, *trainFlags) {
	f := &trainFlags{solution: s}
	c := &cobra.Command{
		Use:     s.name() + " --data DATA --out MODEL.onnx",
		Long:    long + "\n\nA new model is trained, or with --arch MODEL.onnx one that there is goes on from its weights. All else is as with\nassay train.",
		Example: example,
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return f.run(c, u) },
	}
	f.add(c)
	c.Flags().StringVar(&f.without, "without", "", "a MODEL.onnx without the solution, to compare the clean accuracy with (that of --arch, where it is a file)")
	return c, f
}

// hardened notes in a trained model how it was hardened, and measures what that costs.
func (f *trainFlags) hardened(ctx context.Context, u *ui, m *onnx.Model, s *split) (*hardening, error) {
	h := newHardening(f.solution.name(), f.solution.String())
	if err := f.solution.note(m); err != nil {
		return nil, err
	}
	if s.records.test == nil {
		u.note("there are no records to test on, so what the solution costs is not known: give --test or --test-data")
		return h, nil
	}
	with, err := f.solution.open(ctx, m, f.options.Threads, f.options.Seed)
	if err != nil {
		return nil, err
	}
	defer with.Close()
	other, err := f.unhardened(ctx, u)
	if err != nil {
		return nil, err
	}
	if other != nil {
		defer other.Close()
	}
	test := s.records.test
	if settings, ok := f.solution.(*smoothingFlags); ok {
		test = settings.some(test)
		if h.Certified, err = settings.certify(ctx, u, with.(*smoothing.Classifier), test); err != nil {
			return nil, err
		}
	}
	h.Cost, err = measureCost(ctx, with, other, test)
	return h, err
}

// unhardened opens the model to compare with, nil where there is none.
func (f *trainFlags) unhardened(ctx context.Context, u *ui) (model.Classifier, error) {
	path := f.without
	if path == "" && strings.HasSuffix(f.arch, ".onnx") {
		path = f.arch
	}
	if path == "" {
		return nil, nil
	}
	m, err := f.admission.open(ctx, u, path)
	if err != nil {
		return nil, err
	}
	c, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: ort.Options{Threads: f.options.Threads}})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// attackerFlags say against which attacker a model is trained.
type attackerFlags struct {
	norm, unit    string
	eps           float64
	groups, steps int
}

func (f *attackerFlags) add(c *cobra.Command) {
	s := c.Flags()
	s.StringVar(&f.norm, "norm", string(method.Linf), "of the attack's perturbations: Linf or L2")
	s.Float64Var(&f.eps, "eps", 0, "the largest perturbation to withstand")
	s.StringVar(&f.unit, "unit", string(method.Raw), "of eps: raw (the data's own), range or std (of each feature)")
	s.IntVar(&f.groups, "groups", 0, "how many categorical features the attack may change, beside eps")
	s.IntVar(&f.steps, "steps", 7, "of the attack on each batch")
	c.MarkFlagRequired("eps")
}

func (f *attackerFlags) check() error { return nil }

func (f *attackerFlags) attacker(s *split) (*advtrain.Attacker, error) {
	domain, err := method.DomainOf(s.schema, s.statistics, method.Scaling(f.unit))
	if err != nil {
		return nil, err
	}
	a := &advtrain.Attacker{Domain: domain, Norm: method.Norm(f.norm), Eps: f.eps, Groups: f.groups, Steps: f.steps}
	return a, a.Validate()
}

func (f *attackerFlags) note(*onnx.Model) error { return nil }

func (f *attackerFlags) open(ctx context.Context, m *onnx.Model, threads int, _ uint64) (model.Classifier, error) {
	return ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: ort.Options{Threads: threads}})
}

func (f *attackerFlags) String() string {
	return fmt.Sprintf("%s up to %g (%s), %d steps", f.norm, f.eps, f.unit, f.steps)
}

type pgdFlags struct{ attackerFlags }

func (f *pgdFlags) name() string   { return "pgd" }
func (f *pgdFlags) String() string { return "against pgd, " + f.attackerFlags.String() }

func (f *pgdFlags) apply(s *split, o *train.Options) error {
	a, err := f.attacker(s)
	if err != nil {
		return err
	}
	a.Apply(o)
	return nil
}

func pgdCommand(u *ui) *cobra.Command {
	s := &pgdFlags{}
	c, _ := trainedCommand(u, s, `Train on what an attacker would make of the examples, by projected gradient descent at
the weights of each step.`,
		`  assay harden pgd --data patients.csv --label outcome --unit std --eps 0.3 --test-out test.csv --out hardened.onnx
  assay harden pgd --data digits.csv.gz --schema schema.yaml --arch digits.onnx --eps 2 --epochs 20 --out hardened.onnx`)
	s.add(c)
	return c
}

type tradesFlags struct {
	attackerFlags
	beta float64
}

func (f *tradesFlags) name() string { return "trades" }
func (f *tradesFlags) String() string {
	return fmt.Sprintf("by TRADES with beta %g, %s", f.beta, f.attackerFlags.String())
}

func (f *tradesFlags) apply(s *split, o *train.Options) error {
	a, err := f.attacker(s)
	if err != nil {
		return err
	}
	t := &advtrain.TRADES{Attacker: *a, Beta: f.beta}
	t.Apply(o)
	return t.Validate()
}

func tradesCommand(u *ui) *cobra.Command {
	s := &tradesFlags{}
	c, _ := trainedCommand(u, s, `Train for the right answer to each example as it is, and for answers that an attacker
cannot move far from there. More of beta buys robustness with clean accuracy.`,
		`  assay harden trades --data digits.csv.gz --schema schema.yaml --arch cnn --eps 2 --beta 6 --out hardened.onnx`)
	s.add(c)
	c.Flags().Float64Var(&s.beta, "beta", 6, "weight of the divergence between the answers (1/λ of the paper)")
	return c
}

type smoothingFlags struct {
	model.Smoothing
	records int // that are voted on, to know what it costs
}

func (f *smoothingFlags) name() string { return "smoothing" }
func (f *smoothingFlags) String() string {
	return fmt.Sprintf("the vote of %d draws of noise of standard deviation %g, abstaining at alpha %g", f.N, f.Sigma, f.Alpha)
}

func (f *smoothingFlags) check() error {
	if f.records < 1 {
		return usagef("--certify %d: at least one record is needed", f.records)
	}
	if err := f.Validate(); err != nil {
		return usagef("%w", err)
	}
	return nil
}

func (f *smoothingFlags) apply(_ *split, o *train.Options) error {
	smoothing.Train(o, f.Sigma)
	return nil
}

func (f *smoothingFlags) note(m *onnx.Model) error {
	d, err := model.ReadDefence(m)
	if err != nil {
		return err
	}
	d.Smoothing = &f.Smoothing
	return d.Write(m)
}

func (f *smoothingFlags) open(ctx context.Context, m *onnx.Model, threads int, seed uint64) (model.Classifier, error) {
	base, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: ort.Options{Threads: threads}, Batch: f.Batch})
	if err != nil {
		return nil, err
	}
	c, err := smoothing.New(base, f.Smoothing, seed)
	if err != nil {
		base.Close()
		return nil, err
	}
	return c, nil
}

func smoothingCommand(u *ui) *cobra.Command {
	s := &smoothingFlags{}
	c, _ := trainedCommand(u, s, `Train under noise, and answer by the vote of the model on draws of noise. A vote that is
too close is no answer. Where it is clear, no perturbation within an L2 radius changes
it, but with the probability alpha: the certified accuracy tells for how many of the
records to test on, and how far. The radius is in the units of the model's input, as
sigma is; at most it is about 2.5 sigma with 1,000 draws, and 3.8 with 100,000.

The vote's settings are in the model's metadata: what opens it without knowing them
sees the model without the vote.`,
		`  assay harden smoothing --data digits.csv.gz --schema schema.yaml --arch cnn --sigma 2 --out smoothed.onnx`)
	l := c.Flags()
	l.Float64Var(&s.Sigma, "sigma", 0, "standard deviation of the noise, in the units of the model's input")
	l.IntVar(&s.N0, "n0", 100, "draws that choose the class to be certified")
	l.IntVar(&s.N, "n", 1000, "draws of a vote, and that a radius is estimated from")
	l.Float64Var(&s.Alpha, "alpha", 0.001, "probability that an answer or a radius is wrong")
	l.IntVar(&s.Batch, "vote-batch", 200, "draws that the model is asked about at once")
	l.IntVar(&s.records, "certify", 200, "how many of the records to test on are certified and voted on")
	c.MarkFlagRequired("sigma")
	return c
}

// some gives the first of the records to test on, which a split has brought into an order at random.
func (f *smoothingFlags) some(d *dataset.Dataset) *dataset.Dataset {
	first := make([]int, min(f.records, d.Len()))
	for i := range first {
		first[i] = i
	}
	return d.Select(first)
}

// certify gives the certified accuracy on records, at radii of half a sigma and its multiples, as far as any is
// certified.
func (f *smoothingFlags) certify(ctx context.Context, u *ui, c *smoothing.Classifier, d *dataset.Dataset) ([]certificate.Point, error) {
	x, labels, err := modelRows(c.Describe(), d)
	if err != nil {
		return nil, err
	}
	defer u.done()
	rows, size, furthest := doubles(x), len(x)/len(labels), 0.0
	var list []certificate.Certificate
	for i := range labels {
		one, err := c.Certify(ctx, rows[i*size:(i+1)*size], labels[i:i+1])
		if err != nil {
			return nil, err
		}
		list, furthest = append(list, one...), max(furthest, one[0].Radius)
		u.units(i+1, len(labels))
	}
	radii := []float64{0}
	for r := f.Sigma / 2; r <= furthest; r += f.Sigma / 2 {
		radii = append(radii, r)
	}
	return certificate.Accuracy(list, radii, costConfidence)
}
