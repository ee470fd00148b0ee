package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/spf13/cobra"

	"assay/internal/dataset"
	"assay/internal/method/extraction"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/onnx"
)

// transferFlags say which surrogates a transfer goes through.
type transferFlags struct {
	files   []string
	queries int

	open  []*target.Model
	spent int // queries of the target that went into the surrogates
}

func (f *transferFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.files, "surrogate", nil, "of transfer: an ONNX model that assay extract made, or another of the same data; may be repeated")
	c.Flags().IntVar(&f.queries, "extract", 1000, "of transfer without --surrogate: queries to extract one with, on records that are not attacked")
}

func (f *transferFlags) check(method string) error {
	if len(f.files) > 0 && method != "transfer" {
		return usagef("--surrogate is for --method transfer")
	}
	return nil
}

func (f *transferFlags) close() {
	for _, m := range f.open {
		m.Close()
	}
}

// minimum is how many records must be left to extract a surrogate with.
const minimum = 20

// surrogates opens the surrogates, or extracts one.
func (f *attackFlags) surrogates(ctx context.Context, u *ui, t *target.Model, records *dataset.Dataset) (out []model.Differentiable, err error) {
	rows, err := target.NewRows(records.Schema, t.Description)
	if err != nil {
		return nil, fmt.Errorf("%s does not fit %s: %w", f.data.path, f.model, err)
	}
	add := func(name string, m *onnx.Model) error {
		made, err := readOrigin(m)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		f.transfer.spent += made.Queries
		s, err := f.join(ctx, m, t, rows, records)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, s)
		return nil
	}
	for _, path := range f.transfer.files {
		m, err := f.admission.open(ctx, u, path)
		if err != nil {
			return nil, err
		}
		if err := add(path, m); err != nil {
			return nil, err
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	rest := f.order(records.Len())[min(f.n, records.Len()):]
	if len(rest) < minimum {
		return nil, fmt.Errorf("to extract a surrogate, records are needed that are not attacked, and %d are left: lower --n, or give a --surrogate", len(rest))
	}
	x := extractor{strategy: string(extraction.Jacobian), answers: string(extraction.Labels), arch: "auto",
		queries: f.transfer.queries, decimals: usualDecimals, step: usualStep, seed: f.seed, threads: f.threads,
		seeds: min(len(rest), max(f.transfer.queries/2, 2))}
	s, err := x.run(ctx, u, t.Target.Model, rows, records, rest)
	if err != nil {
		return nil, fmt.Errorf("extracting a surrogate: %w", err)
	}
	return out, add("the surrogate", s.Model)
}

// join opens a surrogate for the target's rows. It names its classes in the schema that it carries.
func (f *attackFlags) join(ctx context.Context, m *onnx.Model, t *target.Model, rows *target.Rows, records *dataset.Dataset) (model.Differentiable, error) {
	schema, err := target.ReadSchema(m)
	if err != nil {
		return nil, err
	}
	o := target.Options{Threads: f.threads, Batch: cmp.Or(f.settings.Restarts, usualRestarts)}
	if schema != nil {
		o.Override.Classes = schema.Label.Classes
	}
	s, err := target.Open(ctx, m, o)
	if err != nil {
		return nil, err
	}
	f.transfer.open = append(f.transfer.open, s)
	own, err := target.NewRows(records.Schema, s.Description)
	if err != nil {
		return nil, fmt.Errorf("%s does not fit it: %w", f.data.path, err)
	}
	return target.NewSurrogate(own, s, rows, t.Description)
}

// usualRestarts is how many starts of a transfer go side by side.
const usualRestarts = 4

// order is that in which records are drawn.
func (f *attackFlags) order(n int) []int { return rand.New(rand.NewPCG(f.seed, 0)).Perm(n) }
