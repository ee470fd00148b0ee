package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/target"
	"assay/internal/model/ort"
	"assay/internal/privacy"
	"assay/internal/solution/dpa"
	"assay/internal/solution/ensemble"
	"assay/internal/solution/knn"
	"assay/internal/solution/mahalanobis"
	"assay/internal/solution/randomisation"
	"assay/internal/solution/refusal"
	"assay/internal/solution/rejection"
	"assay/internal/solution/rewrite"
	"assay/internal/solution/squeezing"
	"assay/onnx"
)

// graphFlags are those of all solutions that are built around a model.
type graphFlags struct {
	parts       partFlags
	admission   admission
	models      []string
	out, format string
	threads     int
	rule        refusal.Rule
	layer       string
}

// wrapped is the result of a solution that was built around a model, as printed.
type wrapped struct {
	Models   []string       `json:"models"`
	Data     string         `json:"data"`
	Examples map[string]int `json:"examples"`
	Out      string         `json:"out"`
	Seconds  float64        `json:"seconds"`

	*hardening
}

// job is what a solution is built from.
type job struct {
	classifiers []*rewrite.Classifier
	parts       *split
	options     ort.Options
}

// builds makes a model, tells how it was made, and the threshold where it has one.
type builds func(ctx context.Context, j *job) (m *onnx.Model, how string, t *refusal.Threshold, err error)

// graphCommand is a command that builds a solution around a model.
func graphCommand(u *ui, name string, f *graphFlags, build builds) *cobra.Command {
	c := &cobra.Command{
		Use:  name + " --model MODEL.onnx --data DATA --out MODEL.onnx",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c.Context(), u, name, build) },
	}
	f.parts.add(c)
	f.admission.add(c)
	s := c.Flags()
	s.StringSliceVar(&f.models, "model", nil, "the ONNX model")
	s.IntVar(&f.threads, "threads", 0, "processors to use (all)")
	s.StringVar(&f.out, "out", "", "the ONNX file to write")
	s.StringVar(&f.format, "format", "text", "of the result: text or json")
	c.MarkFlagRequired("model")
	c.MarkFlagRequired("out")
	return c
}

// divided says what the records are for.
const divided = `The records are divided as assay train divides them: with the same --data, --seed,
--validation and --test as in its training, the model was trained on none of those that
calibrate (the part for validation) or test. If it was, it is surer of them than of
others, and more will be refused than is stated.`

// addRule declares the flags of what refuses.
func (f *graphFlags) addRule(c *cobra.Command) {
	c.Flags().Float64Var(&f.rule.FPR, "fpr", 0.05, "the part of inputs that nobody attacks that may be refused, at most")
	f.addConfidence(c)
}

func (f *graphFlags) addConfidence(c *cobra.Command) {
	c.Flags().Float64Var(&f.rule.Confidence, "confidence", 0.95, "with which no more are refused")
}

func (f *graphFlags) addLayer(c *cobra.Command) {
	c.Flags().StringVar(&f.layer, "layer", "", "whose values are looked at: the name of a node or value (what the last layer with weights takes)")
}

func (f *graphFlags) run(ctx context.Context, u *ui, name string, build builds) error {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	if err := f.parts.check(); err != nil {
		return err
	}
	if name != "ensemble" && len(f.models) != 1 {
		return usagef("--model: %s is built around one model, and %d are given", name, len(f.models))
	}
	started := time.Now()
	j := &job{options: ort.Options{Threads: f.threads}}
	schema, err := f.open(ctx, u, j)
	if err != nil {
		return err
	}
	if j.parts, err = f.parts.read(ctx, schema); err != nil {
		return err
	}
	if err := f.parts.saveTest(ctx, j.parts); err != nil {
		return err
	}
	m, how, threshold, err := build(ctx, j)
	if err != nil {
		return err
	}
	if err := f.finish(m, name, j.parts.schema); err != nil {
		return err
	}
	h := newHardening(name, how)
	h.Threshold = threshold
	if h.Cost, err = j.cost(ctx, m, f.models[0]); err != nil {
		return err
	}
	if err := m.Save(f.out); err != nil {
		return err
	}
	out := &wrapped{Models: f.models, Data: f.parts.data.path, Examples: j.parts.sizes(), Out: f.out, Seconds: time.Since(started).Seconds(), hardening: h}
	if f.format == "json" {
		return u.json(out)
	}
	u.row("model", "%s", strings.Join(f.models, ", "))
	u.row("hardened", "%s", how)
	u.hardened(h)
	u.row("written", "%s, after %.1f s", f.out, out.Seconds)
	return nil
}

// open opens the models, and gives the schema of the data of the first that carries one.
func (f *graphFlags) open(ctx context.Context, u *ui, j *job) (schema *dataset.Schema, err error) {
	for _, path := range f.models {
		m, err := f.admission.open(ctx, u, path)
		if err != nil {
			return nil, err
		}
		c, err := rewrite.Open(ctx, m, j.options)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		j.classifiers = append(j.classifiers, c)
		if schema == nil {
			if schema, err = target.ReadSchema(m); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	return schema, nil
}

// finish writes into the model what it takes. What was proven of the training of the one model within holds for what changes its answers
// alone; other solutions look at records.
func (f *graphFlags) finish(m *onnx.Model, name string, s *dataset.Schema) error {
	delete(m.Metadata, dpa.Entry) // what is built around a vote is none
	if !slices.Contains([]string{"labels", "rounding", "topk", "noise"}, name) {
		delete(m.Metadata, privacy.Entry)
	} else if m.Metadata[privacy.Entry] != "" {
		s = unobserved(s)
	}
	return target.WriteSchema(m, s)
}

// cost measures the model that was built beside that which it was built around, nil without records to test on.
func (j *job) cost(ctx context.Context, m *onnx.Model, path string) (*cost, error) {
	if j.parts.records.test == nil {
		return nil, nil
	}
	with, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: j.options})
	if err != nil {
		return nil, err
	}
	defer with.Close()
	without, err := ort.OpenClassifier(ctx, path, ort.ClassifierOptions{Options: j.options})
	if err != nil {
		return nil, err
	}
	defer without.Close()
	return measureCost(ctx, with, without, j.parts.records.test)
}

// sizes are the numbers of records for each purpose.
func (s *split) sizes() map[string]int {
	out := map[string]int{"training": s.training.Len()}
	if s.validation != nil {
		out["validation"] = s.validation.Len()
	}
	if s.test != nil {
		out["test"] = s.test.Len()
	}
	return out
}

// refusing builds the model that refuses by a detector, calibrated on the part for validation.
func (f *graphFlags) refusing(ctx context.Context, j *job, d refusal.Detector, how string) (*onnx.Model, string, *refusal.Threshold, error) {
	c := j.classifiers[0]
	if j.parts.records.validation == nil {
		return nil, "", nil, usagef("--validation 0: a threshold needs records to calibrate it")
	}
	rows, _, err := modelRows(c.Description, j.parts.records.validation)
	if err != nil {
		return nil, "", nil, err
	}
	m, t, err := refusal.Add(ctx, c, d, rows, f.rule, j.options)
	return m, how, t, err
}

func knnCommand(u *ui) *cobra.Command {
	f, k := &graphFlags{}, 10
	c := graphCommand(u, "knn", f, func(ctx context.Context, j *job) (*onnx.Model, string, *refusal.Threshold, error) {
		c := j.classifiers[0]
		layer, err := c.Layer(f.layer)
		if err != nil {
			return nil, "", nil, err
		}
		rows, _, err := modelRows(c.Description, j.parts.records.training)
		if err != nil {
			return nil, "", nil, err
		}
		d, err := knn.Fit(ctx, c, layer, k, rows, f.parts.seed, j.options)
		if err != nil {
			return nil, "", nil, err
		}
		known := min(j.parts.training.Len(), knn.MaxRecords)
		return f.refusing(ctx, j, d, fmt.Sprintf("refuses what is far from neighbour %d of %d records at the layer %s", k, known, layer))
	})
	c.Long = "Refuse inputs whose features at a layer are far from those of all records that the model\nknows, in the graph.\n\n" + divided
	c.Example = "  assay harden knn --model digits.onnx --data digits.csv.gz --schema schema.yaml --k 5 --out detecting.onnx"
	c.Flags().IntVar(&k, "k", k, "the distance from which neighbour counts")
	f.addLayer(c)
	f.addRule(c)
	return c
}

func mahalanobisCommand(u *ui) *cobra.Command {
	f := &graphFlags{}
	c := graphCommand(u, "mahalanobis", f, func(ctx context.Context, j *job) (*onnx.Model, string, *refusal.Threshold, error) {
		c := j.classifiers[0]
		layer, err := c.Layer(f.layer)
		if err != nil {
			return nil, "", nil, err
		}
		rows, labels, err := modelRows(c.Description, j.parts.records.training)
		if err != nil {
			return nil, "", nil, err
		}
		d, err := mahalanobis.Fit(ctx, c, layer, rows, labels, j.options)
		if err != nil {
			return nil, "", nil, err
		}
		return f.refusing(ctx, j, d, fmt.Sprintf("refuses what is far from all classes of %d records at the layer %s", len(labels), layer))
	})
	c.Long = "Refuse inputs whose features at a layer are unlikely for every class, in the graph.\n\n" + divided
	c.Example = "  assay harden mahalanobis --model digits.onnx --data digits.csv.gz --schema schema.yaml --fpr 0.02 --out detecting.onnx"
	f.addLayer(c)
	f.addRule(c)
	return c
}

func rejectionCommand(u *ui) *cobra.Command {
	f := &graphFlags{}
	by, coverage := string(rejection.Probability), 0.95
	c := graphCommand(u, "rejection", f, func(ctx context.Context, j *job) (*onnx.Model, string, *refusal.Threshold, error) {
		if !(coverage > 0 && coverage < 1) {
			return nil, "", nil, usagef("--coverage %g: give a part above 0 and below 1", coverage)
		}
		f.rule.FPR = 1 - coverage
		return f.refusing(ctx, j, rejection.Detector{Measure: rejection.Measure(by)}, fmt.Sprintf("refuses what has little %s, and answers at least %s of what nobody attacks", by, percent(coverage)))
	})
	c.Long = "Refuse inputs that the model is not confident of. Many attacks make it more confident, not\nless.\n\n" + divided
	c.Example = "  assay harden rejection --model digits.onnx --data digits.csv.gz --schema schema.yaml --coverage 0.9 --out rejecting.onnx"
	c.Flags().StringVar(&by, "by", by, "what confidence is: probability (the greatest) or energy (log of the sum of the logits' exponentials)")
	c.Flags().Float64Var(&coverage, "coverage", coverage, "the part of inputs that nobody attacks that is answered, at least")
	f.addConfidence(c)
	return c
}

func squeezingCommand(u *ui) *cobra.Command {
	f := &graphFlags{}
	bits, median, detect := 0, 0, false
	c := graphCommand(u, "squeezing", f, func(ctx context.Context, j *job) (*onnx.Model, string, *refusal.Threshold, error) {
		c := j.classifiers[0]
		var list []squeezing.Squeezer
		var names []string
		if bits != 0 {
			depth, err := j.depth(bits)
			if err != nil {
				return nil, "", nil, err
			}
			list, names = append(list, depth), append(names, fmt.Sprintf("%d bits of depth", bits))
		}
		if median != 0 {
			list, names = append(list, squeezing.Median{Size: median}), append(names, fmt.Sprintf("medians over %d by %d places", median, median))
		}
		if len(list) == 0 {
			return nil, "", nil, usagef("say what to squeeze by: --bits, such as 3, or for images --median 2, or both")
		}
		how := strings.Join(names, " and ")
		if detect {
			return f.refusing(ctx, j, squeezing.Joint{Squeezers: list}, "refuses what is answered otherwise with "+how)
		}
		m, err := squeezing.Before(c, list)
		return m, "inputs are squeezed to " + how, nil, err
	})
	c.Long = `Make inputs coarser before the model sees them, so that there is less that an attacker
can change: by rounding (input quantisation) and by medians. With --detect the model
answers on the input as it is, and refuses what it answers otherwise when squeezed.
Neither withstands an attacker who knows of it: it is here to be judged.

` + divided
	c.Example = `  assay harden squeezing --model digits.onnx --data digits.csv.gz --schema schema.yaml --bits 3 --out squeezed.onnx
  assay harden squeezing --model digits.onnx --data digits.csv.gz --schema schema.yaml --bits 3 --median 2 --detect --fpr 0.05 --out detecting.onnx`
	s := c.Flags()
	s.IntVar(&bits, "bits", 0, "of depth that are left of each number, between its limits in the schema")
	s.IntVar(&median, "median", 0, "the windows of the median, of images: 2 or 3")
	s.BoolVar(&detect, "detect", false, "refuse what is answered otherwise when squeezed")
	f.addRule(c)
	return c
}

// depth rounds each number between its limits in the schema, or those observed in the data.
func (j *job) depth(bits int) (squeezing.Depth, error) {
	domain, err := method.DomainOf(j.parts.schema, nil, method.Raw)
	if err != nil {
		return squeezing.Depth{}, err
	}
	rows, err := target.NewRows(j.parts.schema, j.classifiers[0].Description)
	if err != nil {
		return squeezing.Depth{}, err
	}
	domain = rows.Domain(domain)
	return squeezing.Depth{Bits: bits, Low: domain.Low, High: domain.High}, nil
}

func randomisationCommand(u *ui) *cobra.Command {
	f := &graphFlags{}
	t := randomisation.Transformation{}
	c := graphCommand(u, "randomisation", f, func(_ context.Context, j *job) (*onnx.Model, string, *refusal.Threshold, error) {
		m, err := t.Before(j.classifiers[0])
		return m, fmt.Sprintf("inputs are shrunk at random, to %g of their size at least, and get noise of standard deviation %g", t.Shrink, t.Noise), nil, err
	})
	c.Long = `Change inputs at random before the model sees them: images resized and moved, noise added to
any. Who follows the mean of gradients breaks it: it is here to be judged. The cost is
that of one draw.

` + divided
	c.Example = "  assay harden randomisation --model digits.onnx --data digits.csv.gz --schema schema.yaml --shrink 0.8 --noise 0.5 --out random.onnx"
	c.Flags().Float64Var(&t.Shrink, "shrink", 1, "the smallest part of their size that images are shrunk to, and moved about")
	c.Flags().Float64Var(&t.Noise, "noise", 0, "standard deviation of noise, in the units of the model's input")
	return c
}

func ensembleCommand(u *ui) *cobra.Command {
	f := &graphFlags{}
	of := string(ensemble.Probabilities)
	c := graphCommand(u, "ensemble", f, func(_ context.Context, j *job) (*onnx.Model, string, *refusal.Threshold, error) {
		m, err := ensemble.Merge(j.classifiers, ensemble.Mean(of))
		return m, fmt.Sprintf("the mean of the %s of %d models", of, len(j.classifiers)), nil, err
	})
	c.Use = "ensemble --model ONE.onnx --model TWO.onnx --data DATA --out MODEL.onnx"
	c.Long = "Merge models of the same inputs and classes into one that gives the mean of their answers.\nThe cost is told beside the first.\n\n" + divided
	c.Example = "  assay harden ensemble --model one.onnx --model two.onnx --data digits.csv.gz --schema schema.yaml --out both.onnx"
	c.Flags().StringVar(&of, "mean", of, "of probabilities or logits")
	return c
}
