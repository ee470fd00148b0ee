package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"assay/internal/dataset"
	"assay/internal/method/extraction"
	"assay/internal/method/extraction/exact"
	"assay/internal/method/target"
	"assay/internal/model/ort"
)

// extractFlags are the flags of assay extract.
type extractFlags struct {
	data       dataFlags
	admission  admission
	x          extractor
	model, out string
	format     string
	method     string
	test       float64
	unlabelled bool
}

// bySurrogate is the method that trains a network on the answers; the others are those of package exact.
const bySurrogate = "surrogate"

func extractCommand(u *ui) *cobra.Command {
	f := &extractFlags{}
	c := &cobra.Command{
		Use:   "extract --model MODEL.onnx|ENDPOINT.yaml --data DATA --queries N --out SURROGATE.onnx",
		Short: "Make a surrogate of a model by asking it",
		Long: `Make a surrogate of a model by asking it, as an attacker could who only has its answers.

The model is an ONNX file or an endpoint, described in a YAML file as under endpoints
in assay.yaml. Inputs are chosen by a strategy: jacobian begins with a few natural
inputs and moves them along the gradients of a surrogate trained so far (Papernot et
al. 2017), natural draws from the data (Knockoff nets, Orekondy et al. 2019), random
draws from the limits of each feature.

A part of the data is held back. On it the surrogate is compared with the model:
fidelity is the part on which both agree, with exact bounds of 95 % confidence.
Labels of the data are used for the accuracy alone.

With --method a model is recovered, up to rounding, where its form is known: exact-linear
solves for the weights of logistic and softmax regression, from probabilities or labels;
exact-relu finds the neurons of a network with one hidden layer of ReLU, and exact-tree
the leaves of one decision tree (Tramèr et al. 2016, Jagielski et al. 2020). Logits are used where the
model gives them. Rows are asked about anywhere between the limits of each feature. A
model of another form is refused.

assay attack --method transfer attacks a model with the gradients of the surrogate.`,
		Example: `  assay extract --model model.onnx --data patients.csv --label outcome --queries 1000 --out surrogate.onnx
  assay extract --model endpoint.yaml --data images.npz --strategy natural --answers probabilities --out surrogate.onnx
  assay extract --model model.onnx --data patients.csv --label outcome --method exact-relu --out recovered.onnx`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.method != bySurrogate {
				f.exactly(c)
			}
			return f.run(c.Context(), u)
		},
	}
	f.data.add(c)
	s := c.Flags()
	s.StringVar(&f.model, "model", "", "the ONNX model, or a YAML file of an endpoint")
	s.StringVar(&f.method, "method", bySurrogate, "surrogate, exact-linear, exact-relu or exact-tree")
	s.IntVar(&f.x.queries, "queries", 1000, "rows that the model may be asked about (1000000 by exact methods)")
	s.StringVar(&f.x.strategy, "strategy", string(extraction.Jacobian), "jacobian, natural or random")
	s.StringVar(&f.x.answers, "answers", string(extraction.Labels), "that the attacker sees: labels, probabilities (usual for exact methods) or rounded")
	s.IntVar(&f.x.decimals, "decimals", usualDecimals, "of rounded probabilities")
	s.IntVar(&f.x.seeds, "seeds", 0, "of jacobian: natural inputs to begin with (an eighth of the queries)")
	s.Float64Var(&f.x.step, "step", usualStep, "of jacobian, as a part of each feature's range")
	s.StringVar(&f.x.arch, "arch", "auto", "of the surrogate: logistic, mlp, cnn, or auto, which is cnn for images and else mlp")
	s.Float64Var(&f.test, "test", 0.4, "the part of the data that is held back to measure on")
	s.BoolVar(&f.unlabelled, "unlabelled", false, "read no labels from the data")
	f.admission.add(c)
	s.Uint64Var(&f.x.seed, "seed", 0, "of everything that is drawn at random")
	s.IntVar(&f.x.threads, "threads", 0, "processors to use (all)")
	s.StringVar(&f.out, "out", "", "the file for the surrogate (ONNX)")
	s.StringVar(&f.format, "format", "text", "of the result: text or json")
	for _, name := range []string{"model", "out"} {
		c.MarkFlagRequired(name)
	}
	return c
}

// extractReport is the result of an extraction, for programs.
type extractReport struct {
	Model    string `json:"model"`
	Strategy string `json:"strategy"`
	Answers  string `json:"answers"`
	Queries  int    `json:"queries"` // that the surrogate was made with; measuring it is not among them
	Rounds   int    `json:"rounds,omitempty"`
	extraction.Comparison
	Out     string  `json:"out"`
	Seconds float64 `json:"seconds"`
}

func (f *extractFlags) run(ctx context.Context, u *ui) error {
	if err := f.check(); err != nil {
		return err
	}
	started := time.Now()
	victim, known, err := openVictim(ctx, u, &f.admission, f.model, f.x.threads)
	if err != nil {
		return err
	}
	defer victim.Close()
	records, err := f.data.read(ctx, known, f.unlabelled)
	if err != nil {
		return err
	}
	rows, err := target.NewRows(records.Schema, victim.Describe())
	if err != nil {
		return fmt.Errorf("%s does not fit %s: %w", f.data.path, f.model, err)
	}
	parts, err := records.Split(f.x.seed, 1-f.test, f.test)
	if err != nil {
		return fmt.Errorf("--test %g: %w", f.test, err)
	}
	extract := f.x.run
	if f.method != bySurrogate {
		extract = f.recovered
	}
	s, err := extract(ctx, u, victim, rows, records, parts[0])
	if err != nil {
		return err
	}
	surrogate, err := ort.NewClassifier(ctx, s.Model, ort.ClassifierOptions{Options: ort.Options{Threads: f.x.threads}})
	if err != nil {
		return err
	}
	defer surrogate.Close()
	held, labels := heldBack(records, rows, parts[1])
	comparison, err := extraction.Compare(ctx, extraction.Victim{Model: victim, Row: rows.Row}, extraction.Victim{Model: surrogate}, held, labels)
	if err != nil {
		return err
	}
	if err := s.Model.Save(f.out); err != nil {
		return err
	}
	r := &extractReport{Model: f.model, Strategy: f.x.strategy, Answers: f.x.answers, Queries: s.Queries, Rounds: s.Rounds,
		Comparison: *comparison, Out: f.out, Seconds: time.Since(started).Seconds()}
	if f.format == "json" {
		return u.json(r)
	}
	u.extracted(f, r)
	return nil
}

// check refuses what no model or data could change.
func (f *extractFlags) check() error {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	switch {
	case f.method != bySurrogate && !slices.Contains(exact.Methods(), exact.Method(f.method)):
		return usagef("--method %s: use %s, %s, %s or %s", f.method, bySurrogate, exact.Linear, exact.ReLU, exact.Tree)
	case f.method == bySurrogate && !slices.Contains(extraction.Strategies(), extraction.Strategy(f.x.strategy)):
		return usagef("--strategy %s: use jacobian, natural or random", f.x.strategy)
	case !slices.Contains(extraction.AllAnswers(), extraction.Answers(f.x.answers)):
		return usagef("--answers %s: use labels, probabilities or rounded", f.x.answers)
	case !(f.test > 0 && f.test < 1):
		return usagef("--test %g: give a part above 0 and below 1", f.test)
	case f.x.threads < 0:
		return usagef("--threads %d: give the number of processors, or 0 for all", f.x.threads)
	}
	return nil
}

// heldBack gives records to measure on, and their classes as the model numbers them; nil where they are unknown.
func heldBack(records *dataset.Dataset, rows *target.Rows, indices []int) (held [][]float32, labels []int) {
	slices.Sort(indices)
	for _, i := range indices {
		held = append(held, records.Record(i))
		if records.Y != nil {
			labels = append(labels, rows.Class(int(records.Y[i])))
		}
	}
	return held, labels
}

// extracted prints the result of an extraction.
func (u *ui) extracted(f *extractFlags, r *extractReport) {
	text := fmt.Sprintf("%d, answered by %s", r.Queries, r.Answers)
	if r.Rounds > 0 {
		text += fmt.Sprintf(", in %d rounds", r.Rounds+1)
	}
	u.row("strategy", "%s", r.Strategy)
	u.row("queries", "%s", text)
	if f.method == bySurrogate && r.Queries < f.x.queries {
		u.note("%d of %d queries were made: there was nothing left to ask about", r.Queries, f.x.queries)
	}
	u.row("held back", "%d of %s", r.N, f.data.path)
	u.row("fidelity", "%s", rate(r.Fidelity))
	u.row("by chance", "%s, as the model gives one class so often", percent(r.Prior.Part))
	if r.Accuracy != nil {
		u.row("accuracy", "%s; the model's is %s", rate(*r.Accuracy), percent(r.VictimAccuracy.Part))
	}
	u.row("written", "%s, after %.1f s", r.Out, r.Seconds)
}

func rate(r extraction.Rate) string {
	return fmt.Sprintf("%s, between %s and %s at 95 %% confidence", percent(r.Part), percent(r.Lower), percent(r.Upper))
}
