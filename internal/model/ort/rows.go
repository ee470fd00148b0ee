package ort

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Rows is a session together with a batch that it runs a few rows at a time, side
// by side on several processors. What a model computes in between then stays in
// the processors' caches, where a large batch would go through main memory from one
// operator to the next: on convolutional networks with their gradient this saves a
// tenth to a sixth of the time. The parts are the same for any number of workers,
// and so are the results, to the bit.
//
// It is for models that treat each row by itself, and one row after the other. Its
// session should have one thread.
type Rows struct {
	parts   []*Binding
	workers int
}

// BindRows prepares runs over the same tensors, as Bind does, in parts of up to size
// rows. All inputs and outputs must be given, with the rows as first dimension.
func (s *Session) BindRows(inputs, outputs []*Tensor, size int64, workers int) (*Rows, error) {
	if size < 1 || workers < 1 {
		return nil, fmt.Errorf("a batch cannot be run %d rows at a time by %d workers", size, workers)
	}
	total, err := rowsOf(inputs, outputs)
	if err != nil {
		return nil, err
	}
	r := &Rows{workers: workers}
	for from := int64(0); from < total; from += size {
		to := min(from+size, total)
		b, err := s.Bind(cut(inputs, from, to), cut(outputs, from, to))
		if err != nil {
			r.Close()
			return nil, err
		}
		r.parts = append(r.parts, b)
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
	next := make(chan *Binding)
	var running sync.WaitGroup
	for range min(r.workers, len(r.parts)) {
		running.Go(func() {
			for b := range next {
				if err := b.Run(ctx); err != nil {
					stop(err)
				}
			}
		})
	}
	for _, b := range r.parts {
		if ctx.Err() != nil {
			break
		}
		next <- b
	}
	close(next)
	running.Wait()
	return context.Cause(ctx)
}

// Close gives back what the runs were prepared with.
func (r *Rows) Close() {
	for _, b := range r.parts {
		b.Close()
	}
}
