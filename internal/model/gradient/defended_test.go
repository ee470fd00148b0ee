package gradient_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"assay/internal/model"
	"assay/internal/model/gradient"
	"assay/onnx"
)

// ended is a linear model of four numbers and three classes with an end of its own.
func ended(d model.Defence, end func(b *onnx.Builder, z string) (string, int)) *onnx.Model {
	b := onnx.NewBuilder("ended")
	w := make([]float32, 12)
	for i := range w {
		w[i] = 300 * float32((i*7)%5-2)
	}
	y, columns := end(b, b.Op("MatMul", nil, b.Input("x", onnx.Float32, "N", 4), b.Weight(onnx.NewTensor("w", w, 4, 3))))
	b.Output(y, onnx.Float32, onnx.Dims("N", columns))
	m := b.Model()
	if err := d.Write(m); err != nil {
		panic(err)
	}
	return m
}

// Probabilities that are 0 and 1 to rounding hide no gradient, however the softmax is written and what follows it.
func TestSaturated(t *testing.T) {
	softmax := func(b *onnx.Builder, z string) string { return b.Op("Softmax", nil, z) }
	rows, labels := []float32{0.3, -1.2, 0.7, 2, 1, 1, -1, 0.5}, []int32{0, 2}
	plain := open(t, ended(model.Defence{}, func(_ *onnx.Builder, z string) (string, int) { return z, 3 }), gradient.Options{})
	want := ask(t, plain, model.Margin, 4, 3, rows, labels, nil)
	for name, end := range map[string]func(b *onnx.Builder, z string) (string, int){
		"softmax": func(b *onnx.Builder, z string) (string, int) { return softmax(b, z), 3 },
		"cut off": func(b *onnx.Builder, z string) (string, int) {
			return b.Op("Clip", nil, softmax(b, z), b.Number(onnx.Float32, 1e-7), b.Number(onnx.Float32, 1)), 3
		},
		"logarithm": func(b *onnx.Builder, z string) (string, int) { return b.Op("Log", nil, softmax(b, z)), 3 },
		"written out": func(b *onnx.Builder, z string) (string, int) {
			e := b.Op("Exp", nil, z)
			return b.Op("Div", nil, e, b.Op("ReduceSum", nil, e, b.Ints(1))), 3
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := ask(t, open(t, ended(model.Defence{}, end), gradient.Options{}), model.Margin, 4, 3, rows, labels, nil)
			if !slices.Equal(a.gradient, want.gradient) {
				t.Errorf("the gradient is %v, of the logits %v", a.gradient, want.gradient)
			}
		})
	}
	t.Run("refusal under a confidence", func(t *testing.T) {
		m := ended(model.Defence{Reject: true}, func(b *onnx.Builder, z string) (string, int) {
			p := softmax(b, z)
			sure := b.Op("Add", nil, b.Op("Mul", nil, b.Op("Slice", nil, p, b.Ints(0), b.Ints(1), b.Ints(1)), b.Number(onnx.Float32, 0)), b.Number(onnx.Float32, 0.7))
			return b.Op("Concat", onnx.Attrs{"axis": int64(1)}, p, sure), 4
		})
		a := ask(t, open(t, m, gradient.Options{}), model.Margin, 4, 4, rows, labels, nil)
		for i := range labels {
			if g := a.gradient[4*i : 4*i+4]; math.IsNaN(float64(g[0])) || slices.Equal(g, []float32{0, 0, 0, 0}) {
				t.Errorf("row %d has the gradient %v", i, g)
			}
		}
		if err := open(t, m, gradient.Options{}).Gradient(context.Background(), model.Margin, rows[:4], []int32{3}, nil, make([]float32, 4), make([]float32, 1), make([]float32, 4)); err == nil {
			t.Error("the refusal can be a label")
		}
	})
}

// The same draw gives the same gradient, another gives another, and a row's does not depend on those with it.
func TestGradientDraws(t *testing.T) {
	b := onnx.NewBuilder("noisy")
	x := b.Input("x", onnx.Float32, "N", 4)
	y := b.Op("Tanh", nil, b.Op("Add", nil, x, b.Op("RandomNormalLike", nil, x)))
	w := b.Weight(onnx.NewTensor("w", []float32{1, -1, 2, -2, 3, -3, 0.5, 1}, 4, 2))
	b.Output(b.OpAs("logits", "MatMul", nil, y, w), onnx.Float32, onnx.Dims("N", 2))
	g := open(t, b.Model(), gradient.Options{Batch: 8})
	at := func(rows []float32, draws []uint64) answer {
		n := len(draws)
		a := answer{make([]float32, 2*n), make([]float32, n), make([]float32, 4*n)}
		if err := g.GradientDraws(context.Background(), model.Margin, rows, make([]int32, n), nil, draws, a.scores, a.losses, a.gradient); err != nil {
			t.Fatal(err)
		}
		return a
	}
	row := []float32{0.1, -0.4, 0.2, 0.6}
	all := at(slices.Repeat(row, 6), []uint64{1, 2, 3, 1, 2, 3})
	if !slices.Equal(all.gradient[:12], all.gradient[12:]) || slices.Equal(all.gradient[:4], all.gradient[4:8]) {
		t.Errorf("the gradients of draws 1, 2, 3, 1, 2, 3 are %v", all.gradient)
	}
	if alone := at(row, []uint64{2}); !slices.Equal(alone.gradient, all.gradient[4:8]) {
		t.Errorf("draw 2 has %v alone, and %v among others", alone.gradient, all.gradient[4:8])
	}
}

// A node that the metadata name is passed straight through by surrogates alone, and must exist.
func TestMarkedNode(t *testing.T) {
	build := func(name string) *onnx.Model {
		return ended(model.Defence{StraightThrough: []string{name}}, func(b *onnx.Builder, z string) (string, int) {
			return b.OpAs("scores", "Mul", nil, b.OpAs("steps", "Sin", nil, z), b.Number(onnx.Float32, 2)), 3
		})
	}
	rows := []float32{0.3, -1.2, 0.7, 2}
	exact := ask(t, open(t, build("steps"), gradient.Options{}), model.Margin, 4, 3, rows, []int32{0}, nil)
	through := open(t, build("steps"), gradient.Options{Surrogate: true})
	a := ask(t, through, model.Margin, 4, 3, rows, []int32{0}, nil)
	if slices.Equal(a.gradient, exact.gradient) || !slices.Equal(a.scores, exact.scores) || len(through.StraightThrough()) != 1 {
		t.Errorf("scores %v and gradient %v; exact %v and %v", a.scores, a.gradient, exact.scores, exact.gradient)
	}
	if _, err := gradient.New(context.Background(), build("nothing"), gradient.Options{Surrogate: true}); err == nil || !strings.Contains(err.Error(), `"nothing"`) {
		t.Errorf("a node that is not there gives %v", err)
	}
}
