package main

import (
	"context"
	"errors"

	"assay/internal/dataset"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/solution/dpa"
	"assay/internal/solution/rewrite"
	"assay/internal/train"
	"assay/onnx"
)

// learnPart trains a network on a part of the records and nothing else: a new one, or one that was trained on less of the
// same. Each number has a seed of its own, which differs for neighbouring seeds, too.
func (f *trainFlags) learnPart(ctx context.Context, number int, m *onnx.Model, d *dataset.Dataset, o train.Options) (*onnx.Model, error) {
	own := *f
	o.Seed += uint64(number) * 0x9e3779b97f4a7c15
	own.options.Seed = o.Seed
	own.standardize = f.standardize && d.Len() > 0
	s := &split{schema: d.Schema, training: train.FromDataset(d)}
	var err error
	if m == nil {
		m, err = own.build(s)
	} else {
		s.training, err = train.ForModel(m, d)
	}
	if err != nil || d.Len() == 0 {
		return m, err
	}
	if o.Augment, err = augmentation(f.augment, s.training); err != nil {
		return nil, err
	}
	result, err := train.Run(ctx, m, s.training, o)
	var diverged *train.Diverged
	if err != nil && !errors.As(err, &diverged) { // what diverged votes by its last good weights: that, too, is of its part alone
		return nil, err
	}
	return result.Model, nil
}

// vote makes one model of networks, in which each has a vote.
func (f *trainFlags) vote(ctx context.Context, networks []*onnx.Model, schema *dataset.Schema) (*onnx.Model, error) {
	members := make([]*rewrite.Classifier, len(networks))
	for i, m := range networks {
		var err error
		if members[i], err = rewrite.Open(ctx, m, ort.Options{Threads: f.options.Threads}); err != nil {
			return nil, err
		}
	}
	m, err := dpa.Merge(members)
	if err != nil {
		return nil, err
	}
	return m, target.WriteSchema(m, schema)
}

// measureVote tells what a vote costs, on records to test on, and what is then to be told of it; nil for nothing.
func (f *trainFlags) measureVote(ctx context.Context, u *ui, m *onnx.Model, s *split, h *hardening, then func(with model.Classifier) error) error {
	if s.records.test == nil {
		u.note("there are no records to test on, so what the solution costs and achieves is not known: give --test or --test-data")
		return nil
	}
	with, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: ort.Options{Threads: f.options.Threads}})
	if err != nil {
		return err
	}
	defer with.Close()
	other, err := f.unhardened(ctx, u)
	if err != nil {
		return err
	}
	if other != nil {
		defer other.Close()
	}
	if h.Cost, err = measureCost(ctx, with, other, s.records.test); err != nil || then == nil {
		return err
	}
	return then(with)
}
