package main

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"assay/internal/model/ort"
	"assay/internal/train/network"
	"assay/onnx"
	"assay/onnx/autodiff"
)

// rounds is how often each of two measurements is made, in turn.
const rounds = 15

// fiveLayers is a network of five 3×3 convolutions with ReLU on 3×32×32 images, two
// average poolings between them.
func fiveLayers() *onnx.Model {
	return network.CNN(3, 32, 32, []int{64, 64, 128, 128, 128}, 10, 1)
}

// inTurn measures two computations alternately and gives the median time of each.
func inTurn(a, b func() error) (timeA, timeB time.Duration, err error) {
	var as, bs []time.Duration
	for i := range rounds + 2 {
		for _, m := range []struct {
			run   func() error
			times *[]time.Duration
		}{{a, &as}, {b, &bs}} {
			start := time.Now()
			if err := m.run(); err != nil {
				return 0, 0, err
			}
			if i >= 2 { // the first runs warm up
				*m.times = append(*m.times, time.Since(start))
			}
		}
	}
	return median(as), median(bs), nil
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// bound is a session with memory for its inputs and outputs.
type bound struct {
	session *ort.Session
	binding *ort.Binding
}

func (b *bound) close() {
	b.binding.Close()
	b.session.Close()
}

// bindRandom makes a session of a model for a batch, with inputs drawn by seed.
func bindRandom(m *onnx.Model, n int64) (*bound, error) {
	s, err := ort.New(m, ort.Options{Threads: threads})
	if err != nil {
		return nil, err
	}
	inputs, err := tensors(s.Inputs(), n)
	if err != nil {
		return nil, err
	}
	outputs, err := tensors(s.Outputs(), n)
	if err != nil {
		return nil, err
	}
	b, err := s.Bind(inputs, outputs)
	if err != nil {
		return nil, err
	}
	return &bound{session: s, binding: b}, nil
}

// tensors makes one tensor for each value, with n for sizes that are not stated.
func tensors(values []onnx.Value, n int64) ([]*ort.Tensor, error) {
	random := rand.New(rand.NewPCG(1, 1))
	var out []*ort.Tensor
	for _, v := range values {
		shape, _ := v.Type.Shape.Sizes()
		for i := range shape {
			if shape[i] < 0 {
				shape[i] = n
			}
		}
		t, err := ort.Empty(v.Type.Elem, shape...)
		if err != nil {
			return nil, err
		}
		if v.Type.Elem == onnx.Float32 {
			for i := range ort.Data[float32](t) {
				ort.Data[float32](t)[i] = float32(random.NormFloat64())
			}
		}
		out = append(out, t)
	}
	return out, nil
}

// withGradient gives the model that computes the logits, the cross-entropy of each
// example and its gradient with respect to the input.
func withGradient(m *onnx.Model) (*onnx.Model, error) {
	g, err := autodiff.New(m)
	if err != nil {
		return nil, err
	}
	if err := g.Simplify(); err != nil {
		return nil, err
	}
	labels := g.Input("labels", onnx.Int64, "batch")
	loss, err := g.Loss(autodiff.CrossEntropy, network.Output, labels)
	if err != nil {
		return nil, err
	}
	grads, err := g.Gradient(loss, network.Input)
	if err != nil {
		return nil, err
	}
	g.Output(loss, onnx.Float32, onnx.Dims("batch"))
	g.Output(grads.Names[0], onnx.Float32, m.Graph.Inputs[0].Type.Shape)
	return g.Model(), nil
}

// gradientOverForward is the time of loss and input gradient over that of the model
// alone as ONNX Runtime runs it at its best.
func gradientOverForward(name string, limit float64, build func() *onnx.Model) benchmark {
	name = "gradient-over-forward/" + name
	return benchmark{name, func(ctx context.Context) ([]figure, error) {
		m := build()
		forward, err := bindRandom(m, batch)
		if err != nil {
			return nil, err
		}
		defer forward.close()
		derived, err := withGradient(m)
		if err != nil {
			return nil, err
		}
		gradient, err := bindRandom(derived, batch)
		if err != nil {
			return nil, err
		}
		defer gradient.close()
		f, g, err := inTurn(func() error { return forward.binding.Run(ctx) }, func() error { return gradient.binding.Run(ctx) })
		if err != nil {
			return nil, err
		}
		return []figure{{name, g.Seconds() / f.Seconds(), "max", limit}}, nil
	}}
}

// overhead is what a gradient step costs outside the runtime: a call of a model that
// does nothing, which is all Go and the crossing to C, over a call of the gradient;
// and the memory that a step allocates for each further example.
func overhead() benchmark {
	const name = "go-overhead/cnn5"
	return benchmark{name, func(ctx context.Context) ([]figure, error) {
		derived, err := withGradient(fiveLayers())
		if err != nil {
			return nil, err
		}
		step, err := bindRandom(derived, batch)
		if err != nil {
			return nil, err
		}
		defer step.close()
		b := onnx.NewBuilder("nothing")
		x := b.Input("x", onnx.Float32, 1)
		b.OutputAs("y", x, onnx.Float32, onnx.Dims(1))
		nothing, err := bindRandom(b.Model(), 1)
		if err != nil {
			return nil, err
		}
		defer nothing.close()
		n, s, err := inTurn(func() error { return nothing.binding.Run(ctx) }, func() error { return step.binding.Run(ctx) })
		if err != nil {
			return nil, err
		}
		few, err := bindRandom(derived, 1)
		if err != nil {
			return nil, err
		}
		defer few.close()
		growth := float64(allocated(ctx, step)) - float64(allocated(ctx, few))
		return []figure{
			{name, n.Seconds() / s.Seconds(), "max", 0.03},
			{"allocation-growth-bytes/cnn5", growth, "max", 0},
		}, nil
	}}
}

// allocated is the Go memory that a run allocates, in bytes.
func allocated(ctx context.Context, b *bound) uint64 {
	const runs = 5
	var before, after runtime.MemStats
	b.binding.Run(ctx)
	runtime.ReadMemStats(&before)
	for range runs {
		b.binding.Run(ctx)
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}
