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

// Model is an ONNX model made ready to be attacked: the target's Model, Confirm and
// Gradient, without a domain and a pool.
type Model struct {
	method.Target
	model.Description

	// NoGradient says why there is no Gradient: a *autodiff.NotDifferentiable,
	// *autodiff.NoPath or *gradient.Unsuitable, wrapped; nil where there is one.
	NoGradient error
}

// Open makes a model ready. It runs it in batches of one size, each adversarial example
// by itself on a second session without graph optimisation, and differentiates it where that is possible.
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
	run := ort.Options{Threads: o.Threads, Library: o.Library}
	many, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: run, Override: o.Override, Batch: o.Batch})
	if err != nil {
		return nil, err
	}
	out.Target.Model, out.Description = many, many.Describe()
	run.Threads, run.Optimization = 1, ort.OptimizeOff
	one, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: run, Override: o.Override, Batch: 1})
	if err != nil {
		return nil, fmt.Errorf("without optimisation: %w", err)
	}
	out.Confirm = one
	g, err := gradient.New(ctx, m, gradient.Options{Override: o.Override, Batch: o.Batch, Threads: o.Threads, Library: o.Library})
	switch {
	case err == nil:
		out.Gradient = g
	case without(err):
		out.NoGradient = err
	default:
		return nil, err
	}
	return out, nil
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
func (m *Model) Hidden() bool {
	var none *autodiff.NoPath
	return errors.As(m.NoGradient, &none)
}

// Close frees the model's memory.
func (m *Model) Close() {
	for _, c := range []io.Closer{m.Target.Model, m.Confirm, m.Gradient} {
		if c != nil {
			c.Close()
		}
	}
}
