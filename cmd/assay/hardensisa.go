package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"assay/internal/dataset"
	"assay/internal/model/ort"
	"assay/internal/origin"
	"assay/internal/solution/sisa"
	"assay/internal/train"
	"assay/onnx"
)

// sisaFlags are those of training by which records can be forgotten.
type sisaFlags struct {
	trainFlags
	sisa   sisa.Options
	forget string
}

func sisaCommand(u *ui) *cobra.Command {
	f := &sisaFlags{}
	c := &cobra.Command{
		Use: "sisa --data DATA --state FOLDER --out MODEL.onnx [--forget FILE]",
		Long: `Divide the records to train on by a hash of each into shards and their slices, train a
network on each shard slice by slice, keep what it is after each, and let all of them vote in
one model.

The same command with --forget trains without some of the records: again only their shards,
from the slice before them on. What comes out is byte by byte what would have been trained
without them. Their file is in the form of a quarantine, as assay inspect-data writes it.

Then it is looked whether the forgotten records left a trace: whether the networks of their
shards know them best more often than by chance; and, to know that the test could tell,
whether those that held them did. The exit code is 1 where a trace is found, and 2 where
none could be.`,
		Example: `  assay harden sisa --data digits.csv.gz --schema schema.yaml --arch cnn --shards 5 --slices 4 --state state --out model.onnx
  assay harden sisa --data digits.csv.gz --schema schema.yaml --arch cnn --shards 5 --slices 4 --state state --forget forget.json --out model.onnx`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c.Context(), u) },
	}
	f.add(c)
	s := c.Flags()
	f.parts.validation = 0
	s.Lookup("validation").DefValue = "0"
	for _, name := range []string{"patience", "checkpoint"} {
		s.Lookup(name).Hidden = true // there is nothing to measure each network on, and the state is kept by slices
	}
	s.IntVar(&f.sisa.Shards, "shards", 5, fmt.Sprintf("networks that vote, %d to %d: more forget faster, and cost accuracy", sisa.MinShards, sisa.MaxShards))
	s.IntVar(&f.sisa.Slices, "slices", 4, fmt.Sprintf("of each shard, 1 to %d: more forget faster, and take longer to train", sisa.MaxSlices))
	s.StringVar(&f.sisa.Folder, "state", "", "a folder of its own for the networks after each slice")
	s.StringVar(&f.forget, "forget", "", "a file of records of --data to forget")
	s.StringVar(&f.without, "without", "", "a MODEL.onnx without the solution, to compare the clean accuracy with")
	c.MarkFlagRequired("state")
	return c
}

// forgetting is the result, as printed.
type forgetting struct {
	Data     string         `json:"data"`
	Shape    []int          `json:"shape"`
	Classes  []string       `json:"classes"`
	Examples map[string]int `json:"examples"`
	Arch     string         `json:"arch"`
	Trained  int            `json:"trained"` // slices
	Slices   int            `json:"slices"`
	Forgot   int            `json:"forgot"`           // records
	Origin   *origin.Report `json:"origin,omitempty"` // of the data, where that was demanded
	Trace    *sisa.Trace    `json:"trace,omitempty"`
	Out      string         `json:"out"`
	Seconds  float64        `json:"seconds"`

	*hardening
}

func (f *sisaFlags) check() error {
	if err := f.complete(); err != nil {
		return err
	}
	switch {
	case strings.HasSuffix(f.arch, ".onnx"):
		return usagef("--arch %s: what a model was trained on before could not be forgotten; give logistic, mlp, cnn or resnet20", f.arch)
	case f.options.Patience != 0 || f.options.Checkpoint != "":
		return usagef("--patience and --checkpoint are not for sisa: there are no records to measure each network on, and --state keeps the slices")
	}
	return nil
}

func (f *sisaFlags) run(ctx context.Context, u *ui) error {
	if err := f.check(); err != nil {
		return err
	}
	started := time.Now()
	f.options.Seed = f.parts.seed
	if _, err := os.Stat(f.sisa.Folder); err == nil { // its models are opened
		if _, err := f.admission.admit(ctx, u, f.sisa.Folder); err != nil {
			return err
		}
	}
	parts, verified, err := f.records(ctx, nil)
	if err != nil {
		return err
	}
	removed, err := f.removed(u, parts)
	if err != nil {
		return err
	}
	if f.sisa.Recipe, err = f.recipe(parts.schema); err != nil {
		return err
	}
	f.sisa.Progress = func(done, of int) { u.counted("shard", done, of) }
	trained, err := sisa.Train(ctx, parts.records.training, f.sisa, f.learn)
	u.done()
	if err != nil {
		if ctx.Err() != nil {
			u.note("the same command goes on from the slices in %s", f.sisa.Folder)
		}
		return err
	}
	out := &forgetting{
		Data: f.parts.data.path, Shape: parts.training.Shape, Classes: parts.schema.Label.Classes, Examples: parts.sizes(), Arch: f.arch,
		Origin: verified, Trained: trained.Slices, Slices: f.sisa.Shards * f.sisa.Slices, Out: f.out,
		hardening: newHardening("sisa", fmt.Sprintf("the vote of %d networks, each trained on its shard of the records in %d slices", f.sisa.Shards, f.sisa.Slices)),
	}
	m, err := f.vote(ctx, trained.Models, parts.schema)
	if err != nil {
		return err
	}
	if err := f.measureVote(ctx, u, m, parts, out.hardening, nil); err != nil {
		return err
	}
	if removed != nil {
		out.Forgot = removed.Len()
		if out.Trace, err = trained.FindTrace(ctx, removed, f.sisa.Slices, costConfidence, ort.Options{Threads: f.options.Threads}); err != nil {
			return err
		}
	}
	if err := m.Save(f.out); err != nil {
		return err
	}
	out.Seconds = time.Since(started).Seconds()
	if f.format == "json" {
		err = u.json(out)
	} else {
		u.forgot(out)
	}
	if err != nil {
		return err
	}
	return out.verdict()
}

// removed takes the records to forget out of those to train on, and gives them; nil where there is no file of them.
func (f *sisaFlags) removed(u *ui, s *split) (*dataset.Dataset, error) {
	if f.forget == "" {
		return nil, nil
	}
	q, err := dataset.OpenQuarantine(f.forget)
	if err != nil {
		return nil, err
	}
	apart := slices.Clone(s.held)
	if v := s.records.validation; v != nil {
		apart = append(apart, v.Number...)
	}
	named := len(q.Records)
	q.Records = slices.DeleteFunc(q.Records, func(r dataset.Quarantined) bool { return slices.Contains(apart, r.Number) })
	if n := named - len(q.Records); n > 0 {
		u.note("%d of the %d records to forget were not trained on: they are among those to test on or for validation", n, named)
	}
	all := s.records.training
	rest, err := all.Without(q)
	if err != nil {
		return nil, fmt.Errorf("--forget, of the records to train on: %w", err)
	}
	var gone []int
	stay := map[int64]bool{}
	for _, n := range rest.Number {
		stay[n] = true
	}
	for i, n := range all.Number {
		if !stay[n] {
			gone = append(gone, i)
		}
	}
	if len(gone) == 0 {
		return nil, usagef("--forget %s names no records that were trained on", f.forget)
	}
	s.records.training, s.training = rest, train.FromDataset(rest)
	return all.Select(gone), nil
}

// recipe names all that the networks depend on beside their records.
func (f *sisaFlags) recipe(schema *dataset.Schema) (string, error) {
	text, err := schema.Encode()
	if err != nil {
		return "", err
	}
	o := f.options
	recipe, err := json.Marshal([]any{f.arch, f.widths, f.augment, f.standardize, o.Epochs, o.Batch, o.Optimizer, o.Schedule, o.Frozen, o.Seed, string(text)})
	return string(recipe), err
}

// learn trains the network of a shard further.
func (f *sisaFlags) learn(ctx context.Context, shard, slice int, m *onnx.Model, d *dataset.Dataset) (*onnx.Model, error) {
	return f.learnPart(ctx, shard*f.sisa.Slices+slice, m, d, f.options)
}

// verdict is the error of what the membership test says.
func (o *forgetting) verdict() error {
	switch t := o.Trace; {
	case t == nil:
		return nil
	case t.Found:
		return errFailed
	case t.Control == nil || !t.Control.Found:
		return errUndecided
	}
	return nil
}

// forgot prints the result.
func (u *ui) forgot(o *forgetting) {
	u.row("data", "%s: examples of shape %v, %d classes", o.Data, o.Shape, len(o.Classes))
	if o.Origin != nil {
		u.row("origin", "%s", originText(o.Origin))
	}
	u.row("trained", "%d of %d slices, %s", o.Trained, o.Slices, o.Arch)
	u.row("hardened", "%s", o.Hardened)
	u.hardened(o.hardening)
	if o.Forgot > 0 {
		u.row("forgotten", "%d records", o.Forgot)
	}
	if t := o.Trace; t != nil {
		u.row("trace", "%s", traced(t, map[bool]string{true: "one is found", false: "none is found"}[t.Found]))
		switch {
		case t.Control == nil:
			u.row("control", "there are no networks that held the records, so that the test could have found a trace is not known")
		case t.Control.Found:
			u.row("control", "%s", traced(t.Control, "the test finds the records by the networks that held them"))
		default:
			u.row("control", "%s", traced(t.Control, "undecided, as the test does not find the records by the networks that held them either"))
		}
	}
	u.row("written", "%s, after %.1f s", o.Out, o.Seconds)
}

func traced(t *sisa.Trace, what string) string {
	return fmt.Sprintf("%s: %d of %d are known best by the network of their shard, at least %s of such records; by chance %s", what, t.Known, t.Removed, percent(t.Lower), percent(t.Chance))
}
