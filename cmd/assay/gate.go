package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"assay"
	"assay/internal/dataset"
	"assay/internal/gate"
	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/origin"
)

// gateFlags are those of assay gate.
type gateFlags struct {
	admission   admission
	vouched     vouched
	last, out   string
	format      string
	seed        uint64
	data        dataFlags // of assay gate begin
	validation  string
	model       string
	sources     []string
	policy      gate.Policy
	threads     int
	state       *gate.State
	toValidate  *dataset.Dataset
	lastOfModel model.Classifier
}

func gateCommand(u *ui) *cobra.Command {
	f := &gateFlags{}
	c := &cobra.Command{
		Use:   "gate --last ACCEPTED.json NEW",
		Short: "Judge a new batch of data, or a new model, against the last accepted one",
		Long: `Judge a new batch of data, or a new model, against the last accepted one, before a system
that keeps learning takes it up. assay gate begin makes the first state.

A batch must be of the accepted schema, hold none of the protected records, come from
allowed sources within their shares, and not drift from the first or the last batch; few
of its labels may be suspicious to the last model. A model must take the data, be accurate
on the protected records, and answer there as the last model mostly did.

What is accepted becomes the state, written whole; else the state stays. The exit code is
0 for accepted, 1 for refused, and 2 where too little was there to decide by.`,
		Example: `  assay gate --last accepted.json monday.csv
  assay gate --last accepted.json --format json retrained.onnx`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c.Context(), u, args[0]) },
	}
	c.Flags().StringVar(&f.last, "last", "", "the state: what was accepted last")
	c.Flags().StringVar(&f.out, "out", "", "the file for the new state (that of --last)")
	c.MarkFlagRequired("last")
	f.common(c)
	c.AddCommand(gateBeginCommand(u))
	return c
}

func (f *gateFlags) common(c *cobra.Command) {
	c.Flags().Uint64Var(&f.seed, "seed", 1, "of the permutations of the drift tests")
	c.Flags().IntVar(&f.threads, "threads", 0, "processors to use (all)")
	c.Flags().StringVar(&f.format, "format", "text", "of the result: text or json")
	f.admission.add(c)
	f.vouched.demanded(c)
}

func gateBeginCommand(u *ui) *cobra.Command {
	f := &gateFlags{}
	p := &f.policy
	c := &cobra.Command{
		Use:   "begin --data DATA --validation PROTECTED --out ACCEPTED.json",
		Short: "Make the first state of a gate, with its policy",
		Long: `Make the first state of a gate: the data and the model that are trusted, the protected
records, and the policy that everything later is held to. The protected records are those
that nothing is ever trained on; the same checks are made as of a later batch and model.`,
		Example: `  assay gate begin --data clinics.csv --label outcome --source-column clinic --source north=0.6 --source south=0.6 \
      --validation protected.csv --model model.onnx --accuracy 0.9 --churn 0.1 --out accepted.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.begin(c.Context(), u) },
	}
	s := c.Flags()
	s.StringVar(&f.data.path, "data", "", "the data that are trusted: later batches are files of the same form")
	s.StringVar(&f.data.label, "label", "", "the column or array with the label")
	s.StringVar(&f.data.schema, "schema", "", "a schema file (YAML) for what the data do not tell by themselves")
	s.StringVar(&f.validation, "validation", "", "the protected records")
	s.StringVar(&f.model, "model", "", "the ONNX model that is in use")
	s.StringVar(&p.Column, "source-column", "", "the column that names each record's source; no feature")
	s.StringSliceVar(&f.sources, "source", nil, "a source that is allowed, and the largest part of a batch that it may give: NAME=0.5")
	s.Float64Var(&p.Drift, "drift", 0.01, "the probability with which a batch like the accepted ones is refused for drift")
	s.Float64Var(&p.Suspicious, "suspicious", 0.05, "the largest part of a batch whose labels may be suspicious")
	s.Float64Var(&p.FPR, "fpr", 0.01, "the part of clean records that is suspicious by chance")
	s.Float64Var(&p.Accuracy, "accuracy", 0, "what the lower bound of a model's accuracy on the protected records is to be at least")
	s.Float64Var(&p.Churn, "churn", 1, "what the upper bound of the answers that a model changes is to be at most")
	s.Float64Var(&p.Confidence, "confidence", 0.95, "of each of these bounds")
	s.StringVar(&f.out, "out", "", "the file for the state")
	for _, name := range []string{"data", "validation", "out"} {
		c.MarkFlagRequired(name)
	}
	f.common(c)
	return c
}

// gated is the result, as printed.
type gated struct {
	New      string       `json:"new"`
	Kind     string       `json:"kind"`    // data or model
	Outcome  gate.Outcome `json:"outcome"` // the worst
	Checks   []gate.Check `json:"checks"`
	State    string       `json:"state"`    // where it is
	Accepted int          `json:"accepted"` // how many so far
}

func (f *gateFlags) begin(ctx context.Context, u *ui) error {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	if err := f.readPolicy(); err != nil {
		return err
	}
	if _, err := os.Lstat(f.out); err == nil {
		return usagef("--out %s: there is a state already, and to begin anew would forget it; give another name, or remove it", f.out)
	}
	f.data.drop = f.policy.Column
	d, err := f.data.read(ctx, nil, false)
	if err != nil {
		return err
	}
	if d.Y == nil {
		return fmt.Errorf("%s has no labels: name their column with --label", f.data.path)
	}
	s := &gate.State{Version: gate.Version, Policy: f.policy, Schema: d.Schema}
	s.At(f.out)
	if f.toValidate, err = dataset.Load(ctx, f.validation, dataset.Options{Schema: d.Schema}); err != nil {
		return fmt.Errorf("the protected records: %w", err)
	}
	if s.Validation, err = s.Records(f.validation, f.toValidate); err != nil {
		return err
	}
	if s.Data, err = s.Records(f.data.path, d); err != nil {
		return err
	}
	s.First, f.state = s.Data, s
	var checks []gate.Check
	if f.model != "" {
		if checks, err = f.judgeModel(ctx, u, f.model); err != nil {
			return err
		}
	}
	sources, err := f.sourcesOf(ctx, f.data.path, d)
	if err != nil {
		return err
	}
	// The first model has been trained on these data, so it says nothing of their labels.
	of, err := s.Policy.JudgeData(ctx, &gate.Batch{Records: d, Sources: sources, Validation: f.toValidate, Seed: f.seed})
	if err != nil {
		return err
	}
	vouched, err := f.origin(ctx, f.data.path)
	if err != nil {
		return err
	}
	return f.end(u, &gated{New: f.data.path, Kind: "data", Checks: slices.Concat(vouched, of, checks)})
}

// readPolicy completes the policy by the sources.
func (f *gateFlags) readPolicy() error {
	var err error
	if f.policy.Sources, err = gate.ReadLimits(f.sources); err == nil {
		err = f.policy.Validate()
	}
	return assay.WithCode(assay.CodeUsage, err)
}

func (f *gateFlags) run(ctx context.Context, u *ui, path string) (err error) {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	if f.out == "" {
		f.out = f.last
	}
	if f.state, err = gate.Read(f.last); err != nil {
		return err
	}
	if f.toValidate, err = f.accepted(ctx, f.state.Validation); err != nil {
		return fmt.Errorf("the protected records: %w", err)
	}
	if _, err := os.Stat(path); err != nil {
		return err
	}
	result := &gated{New: path, Kind: "data"}
	if f.state.Model != nil {
		if err := f.state.UnchangedFile(*f.state.Model); err != nil {
			return assay.WithCode(assay.CodeEvidence, fmt.Errorf("the last accepted model: %w", err))
		}
		last, err := f.open(ctx, u, f.state.Path(*f.state.Model))
		if err != nil {
			return fmt.Errorf("the last accepted model: %w", err)
		}
		defer last.Close()
		f.lastOfModel = last
	}
	if strings.HasSuffix(path, ".onnx") {
		result.Kind = "model"
		result.Checks, err = f.judgeModel(ctx, u, path)
	} else {
		result.Checks, err = f.judgeData(ctx, path)
	}
	if err != nil {
		return err
	}
	return f.end(u, result)
}

// accepted reads data that were accepted, and makes sure that they still are what they were.
func (f *gateFlags) accepted(ctx context.Context, a gate.Artefact) (*dataset.Dataset, error) {
	d, err := dataset.Load(ctx, f.state.Path(a), dataset.Options{Schema: f.state.Schema})
	if err != nil {
		return nil, err
	}
	return d, assay.WithCode(assay.CodeEvidence, a.Unchanged(d))
}

func (f *gateFlags) open(ctx context.Context, u *ui, path string) (*ort.Classifier, error) {
	m, err := f.admission.open(ctx, u, path)
	if err != nil {
		return nil, err
	}
	return ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: ort.Options{Threads: f.threads}})
}

// judgeModel judges a model. One that cannot be opened is refused as any other that is not right.
func (f *gateFlags) judgeModel(ctx context.Context, u *ui, path string) ([]gate.Check, error) {
	a, err := f.state.File(path)
	if err != nil {
		return nil, err
	}
	next, err := f.open(ctx, u, path)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return []gate.Check{{Name: "form", Outcome: gate.Failed, Detail: err.Error()}}, nil
	}
	defer next.Close()
	checks, err := f.state.Policy.JudgeModel(ctx, next, f.lastOfModel, f.toValidate)
	if err != nil {
		return nil, err
	}
	f.state.Model = &a
	return checks, f.state.UnchangedFile(a) // what was judged is what is noted
}

func (f *gateFlags) judgeData(ctx context.Context, path string) ([]gate.Check, error) {
	d, err := dataset.Load(ctx, path, dataset.Options{Schema: f.state.Schema})
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, os.ErrPermission) {
			return nil, err
		}
		return []gate.Check{{Name: "schema", Outcome: gate.Failed, Detail: err.Error()}}, nil
	}
	b := &gate.Batch{Records: d, Validation: f.toValidate, Model: f.lastOfModel, Seed: f.seed, Accepted: map[string]*dataset.Dataset{}}
	if b.Sources, err = f.sourcesOf(ctx, path, d); err != nil {
		return []gate.Check{{Name: "sources", Outcome: gate.Failed, Detail: err.Error()}}, ctx.Err()
	}
	if b.Accepted["the last batch"], err = f.accepted(ctx, f.state.Data); err != nil {
		return nil, err
	}
	if f.state.First.SHA256 != f.state.Data.SHA256 {
		if b.Accepted["the first batch"], err = f.accepted(ctx, f.state.First); err != nil {
			return nil, err
		}
	}
	checks, err := f.state.Policy.JudgeData(ctx, b)
	if err != nil {
		return nil, err
	}
	vouched, err := f.origin(ctx, path)
	if err != nil {
		return nil, err
	}
	checks = slices.Concat([]gate.Check{{Name: "schema", Outcome: gate.Passed, Detail: fmt.Sprintf("%d records, all as the schema has them", d.Len())}}, vouched, checks)
	f.state.Data, err = f.state.Records(path, d)
	return checks, err
}

// origin checks where the records come from, where that is demanded.
func (f *gateFlags) origin(ctx context.Context, path string) ([]gate.Check, error) {
	r, err := f.vouched.demand(ctx, path, "", f.state.Policy.Sources)
	if err != nil || r == nil {
		return nil, err
	}
	c := gate.Check{Name: "origin", Outcome: gate.Passed, Detail: originText(r)}
	if r.Wrong > 0 {
		c.Outcome = gate.Failed
	}
	for _, fault := range r.Faults {
		if fault.Record > 0 && fault.Kind != origin.Removed {
			c.Records = append(c.Records, fault.Record)
		}
	}
	return []gate.Check{c}, nil
}

// sourcesOf reads each record's source, where the policy asks for it.
func (f *gateFlags) sourcesOf(ctx context.Context, path string, d *dataset.Dataset) ([]string, error) {
	if f.state.Policy.Column == "" {
		return nil, nil
	}
	return gate.Sources(ctx, path, f.state.Policy.Column, d)
}

// end writes the new state where all is well, and prints what was found.
func (f *gateFlags) end(u *ui, r *gated) error {
	r.Outcome, r.State = gate.Verdict(r.Checks), f.out
	if r.Outcome == gate.Passed {
		f.state.Accepted++
		moved := *f.state
		if err := moved.Move(f.out); err != nil {
			return err
		}
		text, err := moved.Encode()
		if err != nil {
			return err
		}
		if err := writeWhole(f.out, func(w io.Writer) error { _, err := w.Write(text); return err }); err != nil {
			return err
		}
	}
	r.Accepted = f.state.Accepted
	if f.format == "json" {
		if err := u.json(r); err != nil {
			return err
		}
	} else {
		u.gated(r)
	}
	switch r.Outcome {
	case gate.Failed:
		return errFailed
	case gate.Undecided:
		return errUndecided
	}
	return nil
}

// gated prints what a gate found.
func (u *ui) gated(r *gated) {
	u.row(r.Kind, "%s", r.New)
	for _, c := range r.Checks {
		u.row(string(c.Outcome), "%s: %s", c.Name, c.Detail)
		if n := len(c.Records); n > 0 {
			more := ""
			if n > 10 {
				more = fmt.Sprintf(" and %d more (--format json has all)", n-10)
			}
			u.row("", "records %s%s", strings.Trim(fmt.Sprint(c.Records[:min(n, 10)]), "[]"), more)
		}
	}
	switch r.Outcome {
	case gate.Passed:
		u.row("accepted", "number %d; the state is in %s", r.Accepted, r.State)
	case gate.Failed:
		u.row("refused", "the state stays as it was")
	default:
		u.row("undecided", "the state stays as it was")
	}
}
