package train

import (
	"context"
	"testing"

	"assay/internal/train/network"
)

// stepper prepares single steps of a network on images of noise.
func stepper(t testing.TB, batch int) (step func(), overhead func()) {
	t.Helper()
	d := &Data{Shape: []int{1, 16, 16}, X: make([]float32, batch*256), Classes: make([]int32, batch)}
	o := &Options{Batch: batch, Epochs: 1}
	if err := o.complete(d); err != nil {
		t.Fatal(err)
	}
	run, err := newTraining(network.CNN(1, 16, 16, []int{8, 8}, 10, 1), d, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run.close)
	if err := run.prepare(); err != nil {
		t.Fatal(err)
	}
	b := run.plan.newBatch(batch, d)
	indices := make([]int, batch)
	ctx := context.Background()
	run.meter.begin(0)
	step = func() {
		b.fill(d, indices, 1)
		if err := run.step(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	overhead = func() {
		b.fill(d, indices, 1)
		run.meter.add(b)
		finite(run.memory.grads)
		run.Optimizer.step(run.state, run.memory.weights, run.memory.grads, run.memory.segments, 1e-3)
	}
	return step, overhead
}

// TestAllocations: what a step allocates does not grow with the batch.
func TestAllocations(t *testing.T) {
	count := func(batch int) float64 {
		step, _ := stepper(t, batch)
		step()
		return testing.AllocsPerRun(5, step)
	}
	if small, large := count(2), count(64); large > small {
		t.Errorf("a step allocates %v times with 2 examples and %v times with 64", small, large)
	}
}

// BenchmarkStep is a step of training, and what of it is not the runtime's.
func BenchmarkStep(b *testing.B) {
	step, overhead := stepper(b, 128)
	step()
	b.Run("whole", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			step()
		}
	})
	b.Run("overhead", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			overhead()
		}
	})
}
