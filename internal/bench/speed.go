package main

import (
	"cmp"
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
const rounds = 21

// pause lets the threads of the session that ran before, which wait for more work
// actively for a while, go to sleep.
const pause = 20 * time.Millisecond

// fiveLayers is a network of five 3×3 convolutions with ReLU on 3×32×32 images, two
// max poolings between them.
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
			time.Sleep(pause)
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

func median[T cmp.Ordered](values []T) T {
	values = slices.Clone(values)
	slices.Sort(values)
	return values[len(values)/2]
}

// bound is a session with memory for a batch, ready to run.
type bound struct {
	run   func(ctx context.Context) error
	close func()
}

// bindRandom makes a session of a model for a batch, with inputs drawn by seed, in
// the fastest of the ways there are: the whole batch on all threads, or a few rows
// at a time on each.
func bindRandom(ctx context.Context, m *onnx.Model, n int64) (*bound, error) {
	var best *bound
	var bestTime time.Duration
	for _, rows := range []int64{n, 1, 2, 4, 8, 16} {
		if rows > n || rows == n && best != nil {
			continue
		}
		b, err := bind(m, n, rows)
		if err != nil {
			return nil, err
		}
		var times []time.Duration
		for range 8 {
			start := time.Now()
			if err := b.run(ctx); err != nil {
				return nil, err
			}
			times = append(times, time.Since(start))
		}
		if t := slices.Min(times); best == nil || t < bestTime {
			best, b, bestTime = b, best, t
		}
		if b != nil {
			b.close()
		}
	}
	return best, nil
}

// bind makes sessions for a batch of n that run so many rows at a time.
func bind(m *onnx.Model, n, rows int64) (*bound, error) {
	inputs, err := tensors(m.Graph.FreeInputs(), n)
	if err != nil {
		return nil, err
	}
	outputs, err := tensors(m.Graph.Outputs, n)
	if err != nil {
		return nil, err
	}
	if rows == n {
		s, err := ort.New(m, ort.Options{Threads: threads})
		if err != nil {
			return nil, err
		}
		b, err := s.Bind(inputs, outputs)
		if err != nil {
			return nil, err
		}
		return &bound{b.Run, func() { b.Close(); _ = s.Close() }}, nil
	}
	w, err := ort.NewWorkers(m, ort.Options{}, threads)
	if err != nil {
		return nil, err
	}
	r, err := w.Bind(inputs, outputs, rows)
	if err != nil {
		return nil, err
	}
	return &bound{r.Run, func() { r.Close(); _ = w.Close() }}, nil
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
	return g.Model(), g.State()
}

// gradientOverForward is the time of loss and input gradient over that of the model
// alone as ONNX Runtime runs it at its best.
func gradientOverForward(name string, limit float64, build func() *onnx.Model) benchmark {
	name = "gradient-over-forward/" + name
	return benchmark{name, func(ctx context.Context) ([]figure, error) {
		m := build()
		forward, err := bindRandom(ctx, m, batch)
		if err != nil {
			return nil, err
		}
		defer forward.close()
		derived, err := withGradient(m)
		if err != nil {
			return nil, err
		}
		gradient, err := bindRandom(ctx, derived, batch)
		if err != nil {
			return nil, err
		}
		defer gradient.close()
		f, g, err := inTurn(func() error { return forward.run(ctx) }, func() error { return gradient.run(ctx) })
		if err != nil {
			return nil, err
		}
		return []figure{{name, g.Seconds() / f.Seconds(), "max", limit}}, nil
	}}
}

// overhead is what a gradient step costs outside the runtime: a call of a model that
// does nothing, which is all Go and the crossing to C, over a call of the gradient;
// and by how many bytes more a step allocates for a batch than for one example.
func overhead() benchmark {
	const name = "go-overhead/cnn5"
	return benchmark{name, func(ctx context.Context) ([]figure, error) {
		derived, err := withGradient(fiveLayers())
		if err != nil {
			return nil, err
		}
		step, err := bindRandom(ctx, derived, batch)
		if err != nil {
			return nil, err
		}
		defer step.close()
		b := onnx.NewBuilder("nothing")
		x := b.Input("x", onnx.Float32, 1)
		b.OutputAs("y", x, onnx.Float32, onnx.Dims(1))
		nothing, err := bindRandom(ctx, b.Model(), 1)
		if err != nil {
			return nil, err
		}
		defer nothing.close()
		n, s, err := inTurn(func() error { return nothing.run(ctx) }, func() error { return step.run(ctx) })
		if err != nil {
			return nil, err
		}
		whole, err := bind(derived, batch, batch)
		if err != nil {
			return nil, err
		}
		defer whole.close()
		few, err := bind(derived, 1, 1)
		if err != nil {
			return nil, err
		}
		defer few.close()
		many, err := allocated(ctx, whole)
		if err != nil {
			return nil, err
		}
		one, err := allocated(ctx, few)
		if err != nil {
			return nil, err
		}
		parts, err := bind(derived, batch, 4)
		if err != nil {
			return nil, err
		}
		defer parts.close()
		byRows, err := allocated(ctx, parts)
		if err != nil {
			return nil, err
		}
		return []figure{
			{name, n.Seconds() / s.Seconds(), "max", 0.03},
			{"allocation-growth-bytes/cnn5", many - one, "max", 0},
			{"allocation-growth-bytes/cnn5-by-rows", byRows - one, "max", 0},
		}, nil
	}}
}

// allocated is the Go memory that a run allocates, in bytes.
func allocated(ctx context.Context, b *bound) (float64, error) {
	const runs = 5
	var before, after runtime.MemStats
	if err := b.run(ctx); err != nil {
		return 0, err
	}
	runtime.ReadMemStats(&before)
	for range runs {
		if err := b.run(ctx); err != nil {
			return 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return float64((after.TotalAlloc - before.TotalAlloc) / runs), nil
}
