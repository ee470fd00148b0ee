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
	"assay/internal/model/ort"
	"assay/internal/origin"
	"assay/internal/solution/dpa"
	"assay/onnx"
)

// dpaFlags are those of the vote of networks that were trained on parts.
type dpaFlags struct {
	trainFlags
	partitions int
	over       int // models that a record is in
	budgets    []int
	spread     *dpa.Spread
	networks   []*onnx.Model // that vote
}

func dpaCommand(u *ui) *cobra.Command {
	f := &dpaFlags{}
	c := &cobra.Command{
		Use: "dpa --data DATA --out MODEL.onnx",
		Long: `Divide the records to train on by a hash of each, train a network on each part, and let
all of them vote in one model. Whoever adds or removes a record, or changes its label,
changes one vote, so every answer is certified against a number of poisoned records.

More partitions certify more and cost accuracy, as each network sees fewer records. With
--spread D each record is in D of D times as many networks, of which each sees as many
records as before (Finite Aggregation): that certifies more, and takes D times as long. The
certificates count records that leave the schema as it is: give one (--schema) in which
columns, categories and classes are fixed. The records to test on must not be poisoned.`,
		Example: `  assay harden dpa --data digits.csv.gz --schema schema.yaml --arch logistic --partitions 20 --out voting.onnx
  assay harden dpa --data digits.csv.gz --schema schema.yaml --arch logistic --partitions 20 --spread 4 --out voting.onnx
  assay harden dpa --data patients.csv --label outcome --partitions 50 --records 1,5,10 --checkpoint state --out voting.onnx`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c.Context(), u) },
	}
	f.add(c)
	f.parts.validation = 0
	c.Flags().Lookup("validation").DefValue = "0"
	c.Flags().Lookup("patience").Hidden = true // there are no records to measure each network on
	c.Flags().IntVar(&f.partitions, "partitions", 20, fmt.Sprintf("parts of the records, %d to %d: one for each network that votes", dpa.MinParts, dpa.MaxParts))
	c.Flags().IntVar(&f.over, "spread", 1, "networks that each record is among the training data of, of so many times --partitions")
	c.Flags().IntSliceVar(&f.budgets, "records", []int{0, 1, 2, 5, 10}, "numbers of poisoned records to tell the certified accuracy at")
	c.Flags().StringVar(&f.without, "without", "", "a MODEL.onnx without the solution, to compare the clean accuracy with")
	return c
}

// voting is the result, as printed.
type voting struct {
	Data     string         `json:"data"`
	Origin   *origin.Report `json:"origin,omitempty"` // of the data, where that was demanded
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
	var err error
	if f.spread, err = dpa.NewSpread(f.partitions, f.over, f.parts.seed); err != nil {
		return usagef("--partitions and --spread: %w", err)
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
	parts, verified, err := f.records(ctx, nil)
	if err != nil {
		return err
	}
	out := &voting{
		Origin: verified,
		Data:   f.parts.data.path, Shape: parts.training.Shape, Classes: parts.schema.Label.Classes, Examples: parts.sizes(), Arch: f.arch, Out: f.out,
		hardening: newHardening("dpa", f.how()),
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
		return f.tellCertified(ctx, with, parts.records.test, out.hardening)
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
	if out.Origin != nil {
		u.row("origin", "%s", originText(out.Origin))
	}
	u.row("partitions", "%d of %d to %d records, %s", f.spread.Members(), out.Smallest, out.Largest, f.arch)
	u.row("hardened", "%s", out.Hardened)
	u.hardened(out.hardening)
	u.row("written", "%s, after %.1f s", f.out, out.Seconds)
	return nil
}

// how says how the records were divided.
func (f *dpaFlags) how() string {
	if f.over == 1 {
		return fmt.Sprintf("the vote of %d networks, each trained on the records whose hash is its own", f.partitions)
	}
	return fmt.Sprintf("the vote of %d networks, of which each record is among the training data of the %d that its hash gives", f.spread.Members(), f.over)
}

// merged trains the networks and merges them.
func (f *dpaFlags) merged(ctx context.Context, u *ui, s *split, out *voting) (*onnx.Model, error) {
	learn := func(ctx context.Context, part int, d *dataset.Dataset) (*onnx.Model, error) {
		out.Smallest, out.Largest = min(out.Smallest, d.Len()), max(out.Largest, d.Len())
		return f.learn(ctx, part, d)
	}
	indices, err := f.spread.Parts(s.records.training)
	if err != nil {
		return nil, err
	}
	f.networks, err = dpa.TrainParts(ctx, s.records.training, indices, learn, func(done, of int) { u.counted("partition", done, of) })
	u.done()
	if err != nil {
		return nil, err
	}
	m, err := f.vote(ctx, f.networks, s.schema)
	if err != nil {
		return nil, err
	}
	return m, dpa.Division{Partitions: f.partitions, Spread: f.over, Records: s.records.training.Len()}.Write(m)
}

// learn trains the network of a part. It sees nothing of the others.
func (f *dpaFlags) learn(ctx context.Context, part int, d *dataset.Dataset) (*onnx.Model, error) {
	o := f.options
	if o.Checkpoint != "" {
		o.Checkpoint = filepath.Join(o.Checkpoint, fmt.Sprintf("partition-%04d", part+1))
	}
	return f.learnPart(ctx, part, nil, d, o)
}

// tellCertified tells what is certified, on records to test on.
func (f *dpaFlags) tellCertified(ctx context.Context, with model.Classifier, test *dataset.Dataset, h *hardening) error {
	x, labels, err := modelRows(with.Describe(), test)
	if err != nil {
		return err
	}
	certificates, err := f.certify(ctx, with, doubles(x), labels)
	if err != nil {
		return err
	}
	h.Assumption = dpa.Assumption
	h.Poisoned, err = certificate.AccuracyByBudget(certificates, f.budgets, costConfidence)
	return err
}

// certify certifies answers, where records are in several networks by what each of these votes for.
func (f *dpaFlags) certify(ctx context.Context, with model.Classifier, rows []float64, labels []int) ([]certificate.Certificate, error) {
	if f.over == 1 {
		return dpa.Certify(ctx, with, rows, labels)
	}
	members := make([]model.Classifier, len(f.networks))
	for i, m := range f.networks {
		c, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: ort.Options{Threads: f.options.Threads}})
		if err != nil {
			return nil, err
		}
		defer c.Close()
		members[i] = c
	}
	return f.spread.Certify(ctx, with, members, rows, labels)
}
