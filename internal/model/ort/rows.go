package ort

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	binding "github.com/yalue/onnxruntime_go"

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

// Rows are workers together with the tensors they run on. They are for one goroutine.
type Rows struct {
	parts   [][]*prepared // of each worker, all parts of the batch
	next    atomic.Int64  // part to run
	running sync.WaitGroup
	mu      sync.Mutex
	err     error // the first of a run
}

// prepared is a binding with everything handed to the runtime beforehand, so that a
// run allocates nothing, and a batch of many parts no more than one of few.
type prepared struct {
	*Binding
	io *binding.IoBinding
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
	r := &Rows{parts: make([][]*prepared, len(w.sessions))}
	for i, s := range w.sessions {
		for from := int64(0); from < total; from += size {
			to := min(from+size, total)
			p, err := s.prepare(cut(inputs, from, to), cut(outputs, from, to))
			if err != nil {
				r.Close()
				return nil, err
			}
			r.parts[i] = append(r.parts[i], p)
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

// prepare binds tensors, all of which share their memory with the runtime.
func (s *Session) prepare(inputs, outputs []*Tensor) (_ *prepared, err error) {
	b, err := s.Bind(inputs, outputs)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := &prepared{Binding: b}
	if s.session == nil {
		err = fmt.Errorf("%s: its session is closed", s.name)
	} else {
		p.io, err = s.session.CreateIoBinding()
	}
	if err == nil {
		err = p.handOver()
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// handOver gives the runtime its handles of the tensors.
func (p *prepared) handOver() error {
	s := p.call.session
	for i, name := range s.inputNames() {
		if err := p.io.BindInput(name, p.call.in[i]); err != nil {
			return fmt.Errorf("%s: input %q: %w", s.name, name, err)
		}
	}
	for i, v := range p.call.out {
		if err := p.io.BindOutput(s.outputs[i].Name, v); err != nil {
			return p.call.outputError(i, err)
		}
	}
	return nil
}

func (p *prepared) run() error {
	s := p.call.session
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.session == nil {
		return fmt.Errorf("%s: its session is closed", s.name)
	}
	if err := s.session.RunWithBinding(p.io); err != nil {
		return fmt.Errorf("%s: the run failed: %w", s.name, err)
	}
	return nil
}

// Close frees what the part was prepared with.
func (p *prepared) Close() {
	if p.io != nil {
		_ = p.io.Destroy()
	}
	p.Binding.Close()
}

// Run runs the model once on all rows. The first error, or the end of the context,
// ends it after the parts that run by then.
func (r *Rows) Run(ctx context.Context) error {
	if r.parts == nil {
		return errors.New("this binding of a session's workers is closed")
	}
	r.next.Store(0)
	r.err = nil
	r.running.Add(len(r.parts))
	for _, parts := range r.parts[1:] {
		go r.work(ctx, parts)
	}
	r.work(ctx, r.parts[0])
	r.running.Wait()
	return r.err
}

// work runs parts that no other worker has taken, until there are none.
func (r *Rows) work(ctx context.Context, parts []*prepared) {
	defer r.running.Done()
	for {
		i := r.next.Add(1) - 1
		if i >= int64(len(parts)) {
			return
		}
		err := ctx.Err()
		if err != nil {
			err = context.Cause(ctx)
		} else {
			err = parts[i].run()
		}
		if err != nil {
			r.fail(err)
			r.next.Store(int64(len(parts))) // there is no more to do
			return
		}
	}
}

// fail keeps the first error of a run.
func (r *Rows) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

// Close gives back what the runs were prepared with.
func (r *Rows) Close() {
	for _, parts := range r.parts {
		for _, p := range parts {
			p.Close()
		}
	}
	r.parts = nil
}
