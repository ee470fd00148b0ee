package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"assay/internal/certificate"
	"assay/internal/dataset"
	"assay/internal/model"
	"assay/internal/solution/dpa"
	"assay/onnx"
)

// dpaFlags are those of the vote of networks that were trained on parts.
type dpaFlags struct {
	trainFlags
	partitions int
	budgets    []int
}

func dpaCommand(u *ui) *cobra.Command {
	f := &dpaFlags{}
	c := &cobra.Command{
		Use: "dpa --data DATA --out MODEL.onnx",
		Long: `Divide the records to train on by a hash of each, train a network on each part, and let
all of them vote in one model. Whoever adds or removes a record, or changes its label,
changes one vote, so every answer is certified against a number of poisoned records.

More partitions certify more and cost accuracy, as each network sees fewer records. The
certificates count records that leave the schema as it is: give one (--schema) in which
columns, categories and classes are fixed. The records to test on must not be poisoned.`,
		Example: `  assay harden dpa --data digits.csv.gz --schema schema.yaml --arch logistic --partitions 20 --out voting.onnx
  assay harden dpa --data patients.csv --label outcome --partitions 50 --records 1,5,10 --checkpoint state --out voting.onnx`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c.Context(), u) },
	}
	f.add(c)
	f.parts.validation = 0
	c.Flags().Lookup("validation").DefValue = "0"
	c.Flags().Lookup("patience").Hidden = true // there are no records to measure each network on
	c.Flags().IntVar(&f.partitions, "partitions", 20, fmt.Sprintf("networks that vote, %d to %d", dpa.MinParts, dpa.MaxParts))
	c.Flags().IntSliceVar(&f.budgets, "records", []int{0, 1, 2, 5, 10}, "numbers of poisoned records to tell the certified accuracy at")
	c.Flags().StringVar(&f.without, "without", "", "a MODEL.onnx without the solution, to compare the clean accuracy with")
	return c
}

// voting is the result, as printed.
type voting struct {
	Data     string         `json:"data"`
	Shape    []int          `json:"shape"`
	Classes  []string       `json:"classes"`
	Examples map[string]int `json:"examples"`
	Arch     string         `json:"arch"`
	Smallest int            `json:"smallest"` // records in the smallest partition
	Largest  int            `json:"largest"`
	Out      string         `json:"out"`
	Seconds  float64        `json:"seconds"`

	*hardening
}

func (f *dpaFlags) checkAll() error {
	if err := f.complete(); err != nil {
		return err
	}
	if strings.HasSuffix(f.arch, ".onnx") {
		return usagef("--arch %s: what a model was trained on before would not be counted; give logistic, mlp, cnn or resnet20", f.arch)
	}
	if f.options.Patience != 0 {
		return usagef("--patience: there are no records to measure each network on")
	}
	if f.partitions < dpa.MinParts || f.partitions > dpa.MaxParts {
		return usagef("--partitions %d: give %d to %d", f.partitions, dpa.MinParts, dpa.MaxParts)
	}
	for _, b := range f.budgets {
		if b < 0 {
			return usagef("--records %d: give 0 or more", b)
		}
	}
	return nil
}

func (f *dpaFlags) run(ctx context.Context, u *ui) error {
	if err := f.checkAll(); err != nil {
		return err
	}
	started := time.Now()
	f.options.Seed = f.parts.seed
	parts, err := f.parts.read(ctx, nil)
	if err != nil {
		return err
	}
	if err := f.parts.saveTest(ctx, parts); err != nil {
		return err
	}
	out := &voting{
		Data: f.parts.data.path, Shape: parts.training.Shape, Classes: parts.schema.Label.Classes, Examples: parts.sizes(), Arch: f.arch, Out: f.out,
		hardening: newHardening("dpa", fmt.Sprintf("the vote of %d networks, each trained on the records whose hash is its own", f.partitions)),
	}
	out.Smallest = parts.training.Len()
	m, err := f.merged(ctx, u, parts, out)
	if err != nil {
		if ctx.Err() != nil && f.options.Checkpoint != "" {
			u.note("the same command goes on from the checkpoints in %s", f.options.Checkpoint)
		}
		return err
	}
	if err := f.measureVote(ctx, u, m, parts, out.hardening, func(with model.Classifier) error {
		return f.certify(ctx, with, parts.records.test, out.hardening)
	}); err != nil {
		return err
	}
	if err := m.Save(f.out); err != nil {
		return err
	}
	out.Seconds = time.Since(started).Seconds()
	if f.format == "json" {
		return u.json(out)
	}
	u.row("data", "%s: examples of shape %v, %d classes", out.Data, out.Shape, len(out.Classes))
	u.row("partitions", "%d of %d to %d records, %s", f.partitions, out.Smallest, out.Largest, f.arch)
	u.row("hardened", "%s", out.Hardened)
	u.hardened(out.hardening)
	u.row("written", "%s, after %.1f s", f.out, out.Seconds)
	return nil
}

// merged trains the networks and merges them.
func (f *dpaFlags) merged(ctx context.Context, u *ui, s *split, out *voting) (*onnx.Model, error) {
	learn := func(ctx context.Context, part int, d *dataset.Dataset) (*onnx.Model, error) {
		out.Smallest, out.Largest = min(out.Smallest, d.Len()), max(out.Largest, d.Len())
		return f.learn(ctx, part, d)
	}
	networks, err := dpa.Train(ctx, s.records.training, f.partitions, learn, func(done, of int) { u.counted("partition", done, of) })
	u.done()
	if err != nil {
		return nil, err
	}
	return f.vote(ctx, networks, s.schema)
}

// learn trains the network of a part. It sees nothing of the others.
func (f *dpaFlags) learn(ctx context.Context, part int, d *dataset.Dataset) (*onnx.Model, error) {
	o := f.options
	if o.Checkpoint != "" {
		o.Checkpoint = filepath.Join(o.Checkpoint, fmt.Sprintf("partition-%04d", part+1))
	}
	return f.learnPart(ctx, part, nil, d, o)
}

// certify tells what is certified, on records to test on.
func (f *dpaFlags) certify(ctx context.Context, with model.Classifier, test *dataset.Dataset, h *hardening) error {
	x, labels, err := modelRows(with.Describe(), test)
	if err != nil {
		return err
	}
	certificates, err := dpa.Certify(ctx, with, doubles(x), labels)
	if err != nil {
		return err
	}
	h.Assumption = dpa.Assumption
	h.Poisoned, err = certificate.AccuracyByBudget(certificates, f.budgets, costConfidence)
	return err
}
