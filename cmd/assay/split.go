package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"assay/internal/dataset"
	"assay/internal/train"
)

// partFlags say which data to read, and how to divide them.
type partFlags struct {
	data              dataFlags
	testData, testOut string
	validation, test  float64
	seed              uint64
}

func (f *partFlags) add(c *cobra.Command) {
	f.data.add(c)
	s := c.Flags()
	s.StringVar(&f.testData, "test-data", "", "data to test on, instead of a part of --data")
	s.Float64Var(&f.validation, "validation", 0.1, "the part of the data for validation")
	s.Float64Var(&f.test, "test", 0.2, "the part of the data to test on")
	s.StringVar(&f.testOut, "test-out", "", "a file for the part of --data to test on: its lines as they are, of CSV and TSV")
	s.Uint64Var(&f.seed, "seed", 1, "of everything that is drawn at random")
}

// check refuses what no data could change.
func (f *partFlags) check() error {
	for name, part := range map[string]float64{"validation": f.validation, "test": f.test} {
		if !(part >= 0 && part < 1) {
			return usagef("--%s %v: give a part from 0 to 1", name, part)
		}
	}
	if f.testData != "" {
		f.test = 0
	}
	if f.testOut != "" && f.test == 0 {
		return usagef("--test-out is for the part of --data to test on, and there is none: give --test, such as 0.2, and no --test-data")
	}
	return nil
}

// split is the data in their parts. Validation and test are nil where there are none.
type split struct {
	schema                     *dataset.Schema
	training, validation, test *train.Data
	records                    struct{ training, validation, test *dataset.Dataset }
	statistics                 []dataset.Statistics // of the part to train on
	held                       []int64              // numbers of the records to test on, ascending
}

// read reads the data and divides them.
func (f *partFlags) read(ctx context.Context, known *dataset.Schema) (*split, error) {
	d, err := f.data.read(ctx, known, false)
	if err != nil {
		return nil, err
	}
	if d.Y == nil {
		return nil, fmt.Errorf("%s has no labels: name their column with --label, or their file with --label-file", f.data.path)
	}
	s := &split{schema: d.Schema}
	fractions := []float64{1 - f.validation - f.test}
	parts := []**dataset.Dataset{&s.records.training}
	for _, part := range []struct {
		fraction float64
		to       **dataset.Dataset
	}{{f.validation, &s.records.validation}, {f.test, &s.records.test}} {
		if part.fraction > 0 {
			fractions, parts = append(fractions, part.fraction), append(parts, part.to)
		}
	}
	indices, err := d.Split(f.seed, fractions...)
	if err != nil {
		return nil, err
	}
	for i, to := range parts {
		*to = d.Select(indices[i])
	}
	if s.records.test != nil {
		s.held = slices.Sorted(slices.Values(s.records.test.Number))
	}
	if f.testData != "" {
		test := dataFlags{path: f.testData, bad: f.data.bad}
		if s.records.test, err = test.read(ctx, d.Schema, false); err != nil {
			return nil, err
		}
	}
	s.training, s.statistics = train.FromDataset(s.records.training), s.records.training.Statistics()
	if s.records.validation != nil {
		s.validation = train.FromDataset(s.records.validation)
	}
	if s.records.test != nil {
		s.test = train.FromDataset(s.records.test)
	}
	return s, nil
}

// saveTest writes the part of the data to test on, where it is asked for.
func (f *partFlags) saveTest(ctx context.Context, s *split) error {
	if f.testOut == "" {
		return nil
	}
	err := writeWhole(f.testOut, func(w io.Writer) error { return dataset.CopyLines(ctx, f.data.path, s.schema, s.held, w) })
	if err != nil {
		return fmt.Errorf("--test-out: %w", err)
	}
	return nil
}

// reshape gives all parts' examples another shape.
func (s *split) reshape(shape []int) {
	for _, part := range []*train.Data{s.training, s.validation, s.test} {
		if part != nil {
			part.Shape = shape
		}
	}
}
