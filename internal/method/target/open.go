package target

import (
	"context"
	"errors"
	"fmt"
	"io"

	"assay/internal/method"
	"assay/internal/model"
	"assay/internal/model/gradient"
	"assay/internal/model/ort"
	"assay/internal/solution/smoothing"
	"assay/onnx"
	"assay/onnx/autodiff"
)

// Options say how a model is run.
type Options struct {
	Override model.Override
	Batch    int    // rows that are asked about at once; 0 for 32
	Threads  int    // 0 for as many as Go uses
	Library  string // the ONNX Runtime library; see ort.Load
}

const defaultBatch = 32

// Model is an ONNX model made ready to be attacked: the target's Model, Confirm,
// Gradient and Surrogate, without a domain and a pool.
type Model struct {
	method.Target
	model.Description

	// NoGradient says why there is no Gradient; there can be a Surrogate all the same: a *autodiff.NotDifferentiable,
	// *autodiff.NoPath or *gradient.Unsuitable, wrapped; nil where there is one.
	NoGradient error
}

// Open makes a model ready. It runs it in batches of one size, each adversarial example
// by itself on a second session without graph optimisation, and differentiates it where that is possible: exactly, and where
// the graph has steps without a gradient of their own, or its metadata name some, also through these. A model that is to be
// smoothed is attacked under its noise, and its vote confirms.
func Open(ctx context.Context, m *onnx.Model, o Options) (_ *Model, err error) {
	out := &Model{}
	defer func() {
		if err != nil {
			out.Close()
		}
	}()
	if o.Batch == 0 {
		o.Batch = defaultBatch
	}
	d, err := model.ReadDefence(m)
	if err != nil {
		return nil, err
	}
	if m, o, err = out.confirm(ctx, m, o, d.Smoothing); err != nil {
		return nil, err
	}
	many, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: ort.Options{Threads: o.Threads, Library: o.Library}, Override: o.Override, Batch: o.Batch})
	if err != nil {
		return nil, err
	}
	out.Target.Model, out.Description = many, many.Describe()
	return out, out.differentiate(ctx, m, o, len(d.StraightThrough) > 0)
}

// confirm opens what confirms. It gives the model that is to be attacked, and the options to open it by.
func (out *Model) confirm(ctx context.Context, m *onnx.Model, o Options, s *model.Smoothing) (*onnx.Model, Options, error) {
	batch := 1
	if s != nil {
		batch = s.Batch
	}
	run := ort.Options{Threads: 1, Optimization: ort.OptimizeOff, Library: o.Library}
	one, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: run, Override: o.Override, Batch: batch})
	if err != nil {
		return nil, o, err
	}
	out.Confirm = one
	if s == nil {
		return m, o, nil
	}
	vote, err := smoothing.New(one, *s, 0)
	if err != nil {
		return nil, o, err
	}
	out.Confirm = vote
	m, o.Override, err = model.Noisy(m, o.Override, one.Describe(), *s)
	if err != nil {
		err = fmt.Errorf("it is to be smoothed: %w", err)
	}
	return m, o, err
}

// differentiate makes the gradients, as far as there are any.
func (out *Model) differentiate(ctx context.Context, m *onnx.Model, o Options, marked bool) error {
	options := gradient.Options{Override: o.Override, Batch: o.Batch, Threads: o.Threads, Library: o.Library}
	g, err := gradient.New(ctx, m, options)
	switch {
	case err == nil:
		out.Gradient = g
		if len(g.StraightThrough()) > 0 {
			out.Surrogate = g
		}
		if !marked && len(g.Stopped()) == 0 {
			return nil
		}
	case without(err):
		out.NoGradient = err
	default:
		return err
	}
	options.Surrogate = true
	s, err := gradient.New(ctx, m, options)
	switch {
	case err == nil && (marked || len(s.StraightThrough()) > 0):
		out.Surrogate = s
	case err == nil:
		return s.Close()
	case !without(err):
		return err
	}
	return nil
}

// without reports whether an error says that a model has no gradient.
func without(err error) bool {
	var not *autodiff.NotDifferentiable
	var none *autodiff.NoPath
	var unsuitable *gradient.Unsuitable
	return errors.As(err, &not) || errors.As(err, &none) || errors.As(err, &unsuitable)
}

// Hidden reports whether the model has no gradient though all its parts have one: what it depends
// on its input through is rounded or compared, so that it is flat almost everywhere.
func (out *Model) Hidden() bool {
	var none *autodiff.NoPath
	return errors.As(out.NoGradient, &none)
}

// Close frees the model's memory.
func (out *Model) Close() {
	closers := []io.Closer{out.Target.Model, out.Confirm, out.Gradient}
	if out.Surrogate != out.Gradient {
		closers = append(closers, out.Surrogate)
	}
	for _, c := range closers {
		if c != nil {
			c.Close()
		}
	}
}
