package ort

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"assay/onnx"
)

// Workers are sessions of one model, each with one thread and memory of its own, that
// run a batch a few rows at a time, side by side. What a model computes in between
// then stays in each processor's cache, where a large batch would go through main
// memory from one operator to the next: convolutional networks with their gradient
// run up to a sixth faster. The parts are the same for any number of workers, and so
// are the results, to the bit. It is for models that treat each row by itself.
type Workers struct {
	sessions []*Session
}

// NewWorkers makes n sessions of a model.
func NewWorkers(m *onnx.Model, opts Options, n int) (*Workers, error) {
	if n < 1 {
		return nil, fmt.Errorf("a model cannot be run by %d workers", n)
	}
	opts.Threads = 1
	w := &Workers{}
	for range n {
		s, err := New(m, opts)
		if err != nil {
			return nil, errors.Join(err, w.Close())
		}
		w.sessions = append(w.sessions, s)
	}
	return w, nil
}

// Close ends the sessions.
func (w *Workers) Close() error {
	var err error
	for _, s := range w.sessions {
		err = errors.Join(err, s.Close())
	}
	return err
}

// Rows are workers together with the tensors they run on.
type Rows struct {
	parts [][]*Binding // of each worker, all parts of the batch
}

// Bind prepares runs over the same tensors, as Session.Bind does, in parts of up to
// size rows. All inputs and outputs must be given, with the rows as first dimension.
func (w *Workers) Bind(inputs, outputs []*Tensor, size int64) (*Rows, error) {
	if size < 1 {
		return nil, fmt.Errorf("a batch cannot be run %d rows at a time", size)
	}
	total, err := rowsOf(inputs, outputs)
	if err != nil {
		return nil, err
	}
	r := &Rows{parts: make([][]*Binding, len(w.sessions))}
	for i, s := range w.sessions {
		for from := int64(0); from < total; from += size {
			to := min(from+size, total)
			b, err := s.Bind(cut(inputs, from, to), cut(outputs, from, to))
			if err != nil {
				r.Close()
				return nil, err
			}
			r.parts[i] = append(r.parts[i], b)
		}
	}
	return r, nil
}

// rowsOf is the number of rows that all tensors have.
func rowsOf(inputs, outputs []*Tensor) (int64, error) {
	rows := int64(-1)
	for _, list := range [][]*Tensor{inputs, outputs} {
		for _, t := range list {
			switch {
			case t == nil:
				return 0, errors.New("to be run by rows, a model needs memory for each output")
			case len(t.Shape) == 0 || !t.shared() || t.Type.ByteSize(2) != 2*t.Type.ByteSize(1):
				return 0, fmt.Errorf("a tensor of %s cannot be cut into rows", t)
			case rows >= 0 && t.Shape[0] != rows:
				return 0, fmt.Errorf("a tensor of %s has %d rows where the first has %d", t, t.Shape[0], rows)
			}
			rows = t.Shape[0]
		}
	}
	return rows, nil
}

// cut gives the rows from … to-1 of each tensor, over the same memory.
func cut(tensors []*Tensor, from, to int64) []*Tensor {
	out := make([]*Tensor, len(tensors))
	for i, t := range tensors {
		width := int64(len(t.raw)) / max(t.Shape[0], 1)
		shape := append([]int64{to - from}, t.Shape[1:]...)
		out[i] = &Tensor{Type: t.Type, Shape: shape, raw: t.raw[from*width : to*width : to*width]}
	}
	return out
}

// Run runs the model once on all rows. The first error, or the end of the context,
// ends it early.
func (r *Rows) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var running sync.WaitGroup
	for _, parts := range r.parts {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(parts)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if err := parts[i].Run(ctx); err != nil {
					stop(err)
				}
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// Close gives back what the runs were prepared with.
func (r *Rows) Close() {
	for _, parts := range r.parts {
		for _, b := range parts {
			b.Close()
		}
	}
}
