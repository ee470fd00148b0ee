package ort

import (
	"context"
	"testing"

	"assay/onnx"
)

// rowSums is a model that gives, for each row of x, its sum and its double.
func rowSums() *onnx.Model {
	b := onnx.NewBuilder("rows")
	x := b.Input("x", onnx.Float32, "rows", 3)
	sum := b.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, x, b.Ints(1))
	double := b.Op("Add", nil, x, x)
	b.Output(sum, onnx.Float32, onnx.Dims("rows"))
	b.Output(double, onnx.Float32, onnx.Dims("rows", 3))
	return b.Model()
}

func TestRowsGiveWhatTheWholeBatchGives(t *testing.T) {
	const rows = 11
	x := make([]float32, rows*3)
	for i := range x {
		x[i] = float32(i)
	}
	for _, size := range []int64{1, 3, 4, 11, 50} {
		for _, workers := range []int{1, 2, 5} {
			sums, doubles := make([]float32, rows), make([]float32, rows*3)
			w, err := NewWorkers(rowSums(), Options{}, workers)
			if err != nil {
				t.Fatal(err)
			}
			r, err := w.Bind([]*Tensor{NewTensor(x, rows, 3)}, []*Tensor{NewTensor(sums, rows), NewTensor(doubles, rows, 3)}, size)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // a second run works on the same memory
				if err := r.Run(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			r.Close()
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			for i := range rows {
				if want := x[3*i] + x[3*i+1] + x[3*i+2]; sums[i] != want || doubles[3*i+2] != 2*x[3*i+2] {
					t.Fatalf("by %d rows, %d workers: row %d has the sum %v, want %v", size, workers, i, sums[i], want)
				}
			}
		}
	}
}

func TestRowsAllocateTheSameForAnyNumberOfParts(t *testing.T) {
	w, err := NewWorkers(rowSums(), Options{}, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	allocated := func(rows int64) float64 {
		x, sums, doubles := make([]float32, 3*rows), make([]float32, rows), make([]float32, 3*rows)
		r, err := w.Bind([]*Tensor{NewTensor(x, rows, 3)}, []*Tensor{NewTensor(sums, rows), NewTensor(doubles, rows, 3)}, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		return testing.AllocsPerRun(20, func() {
			if err := r.Run(ctx); err != nil {
				t.Fatal(err)
			}
		})
	}
	if few, many := allocated(2), allocated(200); many > few {
		t.Errorf("a run of 200 parts allocates %v times, one of 2 parts %v times", many, few)
	}
}

func TestRowsRefuse(t *testing.T) {
	if _, err := NewWorkers(rowSums(), Options{}, 0); err == nil {
		t.Error("there are no workers, and no error")
	}
	w, err := NewWorkers(rowSums(), Options{}, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	x := NewTensor(make([]float32, 12), 4, 3)
	sums, doubles := NewTensor(make([]float32, 4), 4), NewTensor(make([]float32, 12), 4, 3)
	for name, c := range map[string]struct {
		inputs, outputs []*Tensor
		size            int64
	}{
		"no rows at a time": {[]*Tensor{x}, []*Tensor{sums, doubles}, 0},
		"no memory":         {[]*Tensor{x}, []*Tensor{sums, nil}, 1},
		"other rows":        {[]*Tensor{x}, []*Tensor{NewTensor(make([]float32, 5), 5), doubles}, 1},
	} {
		if _, err := w.Bind(c.inputs, c.outputs, c.size); err == nil {
			t.Errorf("%s: it is bound", name)
		}
	}
	ended, stop := context.WithCancel(context.Background())
	stop()
	r, err := w.Bind([]*Tensor{x}, []*Tensor{sums, doubles}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(ended); err != context.Canceled {
		t.Errorf("with a context at its end, a run gives %v", err)
	}
	if err := r.Run(context.Background()); err != nil {
		t.Errorf("after a run that ended early: %v", err)
	}
	r.Close()
	if err := r.Run(context.Background()); err == nil {
		t.Error("once closed, it runs")
	}
}
