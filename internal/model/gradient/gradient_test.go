package gradient_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"assay/internal/model"
	"assay/internal/model/gradient"
	"assay/internal/model/ort"
	"assay/internal/train/network"
	"assay/onnx"
	"assay/onnx/autodiff"
)

// losses in float64, of logits.
var exact = map[model.Loss]func(z []float64, label, target int) float64{
	model.CrossEntropy: func(z []float64, label, _ int) float64 {
		top, sum := slices.Max(z), 0.0
		for _, v := range z {
			sum += math.Exp(v - top)
		}
		return math.Log(sum) + top - z[label]
	},
	model.ScaledCrossEntropy: func(z []float64, label, _ int) float64 {
		mean, square, sum := 0.0, 0.0, 0.0
		for _, v := range z {
			mean += v / float64(len(z))
		}
		for _, v := range z {
			square += (v - mean) * (v - mean) / float64(len(z))
		}
		for _, v := range z {
			sum += math.Exp(4 * (v - z[label]) / math.Sqrt(square))
		}
		return math.Log(sum)
	},
	model.Margin:         func(z []float64, label, _ int) float64 { return other(z, label) - z[label] },
	model.TargetedMargin: func(z []float64, label, target int) float64 { return z[target] - z[label] },
	model.DLR: func(z []float64, label, _ int) float64 {
		s := slices.Sorted(slices.Values(z))
		return (other(z, label) - z[label]) / (s[len(s)-1] - s[len(s)-3])
	},
	model.TargetedDLR: func(z []float64, label, target int) float64 {
		s := slices.Sorted(slices.Values(z))
		k := len(s)
		return (z[target] - z[label]) / (s[k-1] - (s[k-3]+s[k-4])/2)
	},
}

func other(z []float64, label int) float64 {
	best := math.Inf(-1)
	for i, v := range z {
		if i != label {
			best = max(best, v)
		}
	}
	return best
}

// perceptron computes an MLP of package network in float64.
func perceptron(t *testing.T, m *onnx.Model) func(x []float64) []float64 {
	t.Helper()
	type layer struct {
		w, b []float64
		in   int
	}
	var layers []layer
	for i := 0; i < len(m.Graph.Initializers); i += 2 {
		w, err := m.Graph.Initializers[i].Float64s()
		if err != nil {
			t.Fatal(err)
		}
		b, err := m.Graph.Initializers[i+1].Float64s()
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, layer{w, b, int(m.Graph.Initializers[i].Shape[0])})
	}
	return func(x []float64) []float64 {
		for k, l := range layers {
			y := slices.Clone(l.b)
			for i := range l.in {
				for j := range y {
					y[j] += x[i] * l.w[i*len(y)+j]
				}
			}
			if k+1 < len(layers) {
				for j := range y {
					y[j] = max(y[j], 0)
				}
			}
			x = y
		}
		return x
	}
}

type answer struct{ scores, losses, gradient []float32 }

func ask(t *testing.T, m *gradient.Model, loss model.Loss, size, classes int, rows []float32, labels, targets []int32) answer {
	t.Helper()
	n := len(labels)
	a := answer{make([]float32, n*classes), make([]float32, n), make([]float32, n*size)}
	if err := m.Gradient(context.Background(), loss, rows, labels, targets, a.scores, a.losses, a.gradient); err != nil {
		t.Fatal(err)
	}
	return a
}

func open(t *testing.T, m *onnx.Model, o gradient.Options) *gradient.Model {
	t.Helper()
	g, err := gradient.New(context.Background(), m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

func drawn(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 0))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func wide(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// TestAgainstDifferences: losses, scores and gradients of an MLP, and of what exporters
// make of it, are those of the same network in float64.
func TestAgainstDifferences(t *testing.T) {
	const size, classes, n = 7, 5, 9
	plain := network.MLP(size, []int{16, 12}, classes, 3)
	z := perceptron(t, plain)
	rows := drawn(n*size, 4)
	labels, targets := make([]int32, n), make([]int32, n)
	for i := range labels {
		labels[i], targets[i] = int32(i%classes), int32((i+1)%classes)
	}
	for name, m := range map[string]*onnx.Model{
		"logits":                   plain,
		"softmax":                  ending(plain, classes, func(b *onnx.Builder, x string) string { return b.Op("Softmax", nil, x) }),
		"softmax of other scale":   ending(plain, classes, rearranged),
		"float64":                  converted(plain, onnx.Float64),
		"fixed batch":              fixed(plain, 4),
		"an input for each column": columns(plain, size),
	} {
		t.Run(name, func(t *testing.T) {
			g := open(t, m, gradient.Options{Batch: 12})
			for _, loss := range model.Losses() {
				a := ask(t, g, loss, size, classes, rows, labels, targets)
				for i := range n {
					x := wide(rows[i*size : (i+1)*size])
					label, target := int(labels[i]), int(targets[i])
					close(t, "loss "+string(loss), float64(a.losses[i]), exact[loss](z(x), label, target))
					for k, v := range z(x) {
						close(t, "score", float64(a.scores[i*classes+k]), v)
					}
					for j := range x {
						const h = 1e-7
						v := x[j]
						x[j] = v + h
						up := exact[loss](z(x), label, target)
						x[j] = v - h
						down := exact[loss](z(x), label, target)
						x[j] = v
						close(t, "slope of "+string(loss), float64(a.gradient[i*size+j]), (up-down)/(2*h))
					}
				}
			}
		})
	}
}

func close(t *testing.T, what string, got, want float64) {
	t.Helper()
	if d := math.Abs(got - want); !(d <= 2e-4*max(1, math.Abs(want))) {
		t.Errorf("%s is %g, not %g", what, got, want)
	}
}

// ending gives a model with more behind its output.
func ending(m *onnx.Model, classes int, more func(b *onnx.Builder, x string) string) *onnx.Model {
	m = m.Clone()
	b := onnx.Extend(m.Graph)
	logits := m.Graph.Outputs[0].Name
	m.Graph.Outputs = nil
	b.OutputAs("probabilities", more(b, logits), onnx.Float32, onnx.Dims("batch", classes))
	return m
}

// rearranged is a softmax over images of one place.
func rearranged(b *onnx.Builder, x string) string {
	x = b.Op("Reshape", nil, x, b.Ints(0, -1, 1, 1))
	return b.Op("Flatten", nil, b.Op("Softmax", onnx.Attrs{"axis": int64(1)}, x))
}

// converted gives a network in another element type.
func converted(m *onnx.Model, to onnx.DataType) *onnx.Model {
	m = m.Clone()
	for i, w := range m.Graph.Initializers {
		values, _ := w.Float64s()
		m.Graph.Initializers[i], _ = onnx.FromFloat64s(w.Name, to, values, w.Shape...)
	}
	m.Graph.Inputs[0].Type.Elem = to
	m.Graph.Outputs[0].Type.Elem = to
	return m
}

func fixed(m *onnx.Model, batch int64) *onnx.Model {
	m = m.Clone()
	for _, v := range []*onnx.Value{&m.Graph.Inputs[0], &m.Graph.Outputs[0]} {
		v.Type.Shape = slices.Clone(v.Type.Shape)
		v.Type.Shape[0] = onnx.Dim{Size: batch}
	}
	return m
}

// columns takes a row in one input for each number, as skl2onnx exports tables.
func columns(m *onnx.Model, size int) *onnx.Model {
	m = m.Clone()
	nodes := m.Graph.Nodes
	m.Graph.Nodes, m.Graph.Inputs = nil, nil
	b := onnx.Extend(m.Graph)
	var parts []string
	for range size {
		parts = append(parts, b.Input("column", onnx.Float32, "batch", 1))
	}
	b.Add("Concat", onnx.Attrs{"axis": int64(1)}, parts, []string{network.Input})
	m.Graph.Nodes = append(m.Graph.Nodes, nodes...)
	return m
}

// TestConvolutions compares convolutional networks' gradients with differences of the
// loss along them, the only direction in which float32 leaves enough to see.
func TestConvolutions(t *testing.T) {
	t.Run("plain", func(t *testing.T) { convolutions(t, network.CNN(2, 8, 8, []int{8, 8, 8}, 4, 5)) })
	t.Run("residual, with batch normalisation", func(t *testing.T) { convolutions(t, network.ResNet20(2, 8, 8, 4, 5)) })
}

func convolutions(t *testing.T, m *onnx.Model) {
	const classes, n = 4, 3
	size := 2 * 8 * 8
	g := open(t, m, gradient.Options{})
	rows, labels := drawn(n*size, 6), []int32{0, 1, 3}
	a := ask(t, g, model.CrossEntropy, size, classes, rows, labels, nil)
	for i := range n {
		length := 0.0
		for _, v := range a.gradient[i*size : (i+1)*size] {
			length += float64(v) * float64(v)
		}
		best := math.Inf(1)
		for _, h := range []float64{0.1, 0.03, 0.01, 0.003, 0.001} {
			moved := func(sign float64) float64 {
				x := slices.Clone(rows[i*size : (i+1)*size])
				for j := range x {
					x[j] += float32(sign * h * float64(a.gradient[i*size+j]) / math.Sqrt(length))
				}
				return float64(ask(t, g, model.CrossEntropy, size, classes, x, labels[i:i+1], nil).losses[0])
			}
			up, here, down := moved(1), moved(0), moved(-1)
			for _, slope := range []float64{(up - down) / (2 * h), (up - here) / h, (here - down) / h} { // at a kink it is that of one side
				best = min(best, math.Abs(slope/math.Sqrt(length)-1))
			}
		}
		if best > 0.01 {
			t.Errorf("row %d: the derivative is off by a part of %g", i, best)
		}
	}
}

// TestSaturation: the gradient of a model that is sure to rounding is not lost in its
// probabilities, for each way in which two classes are exported.
func TestSaturation(t *testing.T) {
	one := func(b *onnx.Builder) string {
		x := b.Input("x", onnx.Float32, "n", 2)
		return b.Op("MatMul", nil, x, b.Constant(onnx.NewTensor("", []float32{30, 40}, 2, 1)))
	}
	build := func(width int, tail func(b *onnx.Builder, z string) string) *onnx.Model {
		b := onnx.NewBuilder("sure")
		b.OutputAs("y", tail(b, one(b)), onnx.Float32, onnx.Dims("n", width))
		return b.Model()
	}
	for name, m := range map[string]*onnx.Model{
		"lead":    build(1, func(_ *onnx.Builder, z string) string { return z }),
		"sigmoid": build(1, func(b *onnx.Builder, z string) string { return b.Op("Sigmoid", nil, z) }),
		"sigmoid and complement": build(2, func(b *onnx.Builder, z string) string {
			p := b.Op("Sigmoid", nil, z)
			return b.Op("Concat", onnx.Attrs{"axis": int64(1)}, b.Op("Sub", nil, b.Number(onnx.Float32, 1), p), p)
		}),
	} {
		t.Run(name, func(t *testing.T) {
			g := open(t, m, gradient.Options{})
			a := ask(t, g, model.Margin, 2, 2, []float32{1, 1}, []int32{1}, nil)
			if !slices.Equal(a.scores, []float32{0, 70}) || a.losses[0] != -70 || !slices.Equal(a.gradient, []float32{-30, -40}) {
				t.Errorf("%+v", a)
			}
		})
	}
}

// TestProbabilities of an origin that is not known become their logarithms.
func TestProbabilities(t *testing.T) {
	b := onnx.NewBuilder("shares")
	x := b.Input("x", onnx.Float32, "n", 3)
	b.OutputAs("y", b.Op("Div", nil, x, b.Op("ReduceSum", nil, x, b.Ints(1))), onnx.Float32, onnx.Dims("n", 3))
	a := ask(t, open(t, b.Model(), gradient.Options{}), model.CrossEntropy, 3, 3, []float32{1, 2, 5}, []int32{1}, nil)
	close(t, "loss", float64(a.losses[0]), -math.Log(2.0/8))
	for j, want := range []float64{1.0 / 8, 1.0/8 - 1.0/2, 1.0 / 8} {
		close(t, "slope", float64(a.gradient[j]), want)
	}
}

// TestLearntProbabilities: that a mixture of softmaxes gives probabilities, only a run can tell.
func TestLearntProbabilities(t *testing.T) {
	b := onnx.NewBuilder("mixture")
	x := b.Input("x", onnx.Float32, "n", 2)
	half := b.Number(onnx.Float32, 0.5)
	p := b.Op("Softmax", nil, x)
	q := b.Op("Softmax", nil, b.Op("Mul", nil, x, b.Number(onnx.Float32, 3)))
	b.OutputAs("y", b.Op("Add", nil, b.Op("Mul", nil, p, half), b.Op("Mul", nil, q, half)), onnx.Float32, onnx.Dims("n", 2))
	a := ask(t, open(t, b.Model(), gradient.Options{}), model.CrossEntropy, 2, 2, []float32{0.3, 0}, []int32{0}, nil)
	share := func(z float64) float64 { return 1 / (1 + math.Exp(-z)) }
	first := (share(0.3) + share(0.9)) / 2
	close(t, "loss", float64(a.losses[0]), -math.Log(first))
	slope := (share(0.3)*share(-0.3) + 3*share(0.9)*share(-0.9)) / 2 / first
	close(t, "slope", float64(a.gradient[0]), -slope)
	close(t, "slope", float64(a.gradient[1]), slope)
}

// TestLayoutIsTheModels: the gradient of an image with channels last has them last.
func TestLayoutIsTheModels(t *testing.T) {
	b := onnx.NewBuilder("last")
	x := b.Op("Transpose", onnx.Attrs{"perm": []int64{0, 3, 1, 2}}, b.Input("x", onnx.Float32, "n", 2, 2, 3))
	x = b.Op("Flatten", nil, b.Op("GlobalAveragePool", nil, x))
	b.OutputAs("y", b.Op("MatMul", nil, x, b.Weight(onnx.NewTensor("w", []float32{4, 0, 8, 0, 12, 0}, 3, 2))), onnx.Float32, onnx.Dims("n", 2))
	a := ask(t, open(t, b.Model(), gradient.Options{}), model.Margin, 12, 2, drawn(12, 1), []int32{0}, nil)
	if want := slices.Repeat([]float32{-1, -2, -3}, 4); !slices.Equal(a.gradient, want) {
		t.Errorf("%v, not %v", a.gradient, want)
	}
}

// TestSomeRows: a row's answer does not depend on which rows came with it, where it
// stood, or how many threads there were.
func TestSomeRows(t *testing.T) {
	const classes = 3
	for name, m := range map[string]*onnx.Model{
		"mlp": network.MLP(2*5*5, []int{19, 7}, classes, 1),
		"cnn": network.CNN(2, 5, 5, []int{3, 5}, classes, 1),
		"sigmoid": func() *onnx.Model {
			b := onnx.NewBuilder("sigmoid")
			x := b.Op("Gemm", nil, b.Input("x", onnx.Float32, "n", 50), b.Weight(onnx.NewTensor("w", drawn(50*11, 3), 50, 11)))
			x = b.Op("Tanh", nil, b.Op("Sigmoid", nil, x))
			b.OutputAs("y", b.Op("MatMul", nil, x, b.Weight(onnx.NewTensor("v", drawn(33, 4), 11, 3))), onnx.Float32, onnx.Dims("n", 3))
			return b.Model()
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			const n, size = 32, 50
			rows, labels := drawn(n*size, 2), make([]int32, n)
			for i := range labels {
				labels[i] = int32(i % classes)
			}
			g := open(t, m, gradient.Options{})
			want := ask(t, g, model.CrossEntropy, size, classes, rows, labels, nil)
			single := open(t, m, gradient.Options{Threads: 1, Batch: 70})
			if got := ask(t, single, model.CrossEntropy, size, classes, rows, labels, nil); !slices.Equal(got.gradient, want.gradient) {
				t.Error("the number of threads or the batch changes the gradient")
			}
			for i := range n {
				for _, with := range []int{1, 2, 5, 32} {
					from := min(max(i-with/2, 0), n-with)
					got := ask(t, g, model.CrossEntropy, size, classes, rows[from*size:(from+with)*size], labels[from:from+with], nil)
					if at := i - from; !slices.Equal(got.gradient[at*size:(at+1)*size], want.gradient[i*size:(i+1)*size]) || got.losses[at] != want.losses[i] {
						t.Errorf("row %d among %d: another gradient", i, with)
					}
				}
			}
		})
	}
}

func TestNoGradient(t *testing.T) {
	b := onnx.NewBuilder("tree")
	x := b.Input("x", onnx.Float32, "n", 2)
	outputs := []string{b.Name("label"), b.Name("probabilities")}
	b.Add("TreeEnsembleClassifier", onnx.Attrs{
		"nodes_treeids": []int64{0, 0, 0}, "nodes_nodeids": []int64{0, 1, 2}, "nodes_featureids": []int64{0, 0, 0},
		"nodes_values": []float32{0.5, 0, 0}, "nodes_modes": []string{"BRANCH_LEQ", "LEAF", "LEAF"},
		"nodes_truenodeids": []int64{1, 0, 0}, "nodes_falsenodeids": []int64{2, 0, 0}, "nodes_missing_value_tracks_true": []int64{0, 0, 0},
		"class_treeids": []int64{0, 0}, "class_nodeids": []int64{1, 2}, "class_ids": []int64{0, 1}, "class_weights": []float32{1, 1},
		"classlabels_int64s": []int64{0, 1}, "post_transform": "NONE",
	}, []string{x}, outputs).Domain = "ai.onnx.ml"
	b.Output(outputs[1], onnx.Float32, onnx.Dims("n", 2))
	tree := b.Model()
	tree.Opsets["ai.onnx.ml"] = 3
	_, err := gradient.New(context.Background(), tree, gradient.Options{})
	var none *autodiff.NotDifferentiable
	if !errors.As(err, &none) {
		t.Errorf("a tree: %v", err)
	}

	bytes := onnx.NewBuilder("bytes")
	x = bytes.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, bytes.Input("x", onnx.Uint8, "n", 3))
	bytes.OutputAs("y", x, onnx.Float32, onnx.Dims("n", 3))
	_, err = gradient.New(context.Background(), bytes.Model(), gradient.Options{})
	var unsuitable *gradient.Unsuitable
	if !errors.As(err, &unsuitable) || !strings.Contains(err.Error(), "uint8") {
		t.Errorf("bytes: %v", err)
	}
}

func TestStraightThrough(t *testing.T) {
	b := onnx.NewBuilder("quantised")
	x := b.Input("x", onnx.Float32, "n", 3)
	scale, zero := b.Number(onnx.Float32, 0.5), b.Number(onnx.Uint8, 0)
	q := b.Op("DequantizeLinear", nil, b.Op("QuantizeLinear", nil, x, scale, zero), scale, zero)
	b.OutputAs("y", b.Op("MatMul", nil, q, b.Weight(onnx.NewTensor("w", drawn(9, 1), 3, 3))), onnx.Float32, onnx.Dims("n", 3))
	g := open(t, b.Model(), gradient.Options{})
	if len(g.StraightThrough()) == 0 {
		t.Error("quantisation is not reported")
	}
	if plain := open(t, network.MLP(3, []int{4}, 3, 1), gradient.Options{}); len(plain.StraightThrough()) > 0 || len(plain.Stopped()) > 0 {
		t.Errorf("%q %q", plain.StraightThrough(), plain.Stopped())
	}
}

func TestLoopsAreNamed(t *testing.T) {
	body := onnx.NewBuilder("body")
	column := body.Input("column", onnx.Float32, "n")
	body.OutputAs("out", body.Op("Tanh", nil, column), onnx.Float32, onnx.Dims("n"))
	b := onnx.NewBuilder("looping")
	x := b.Input("x", onnx.Float32, "n", 3)
	over := onnx.Attrs{"body": body.Graph, "num_scan_inputs": int64(1), "scan_input_axes": []int64{1}, "scan_output_axes": []int64{1}}
	y := b.Op("MatMul", nil, b.Op("Scan", over, x), b.Weight(onnx.NewTensor("w", drawn(9, 1), 3, 3)))
	b.OutputAs("y", y, onnx.Float32, onnx.Dims("n", 3))
	if g := open(t, b.Model(), gradient.Options{}); len(g.Loops()) != 1 || !strings.Contains(g.Loops()[0], "Scan") {
		t.Errorf("loops: %q", g.Loops())
	}
	if plain := open(t, network.MLP(3, []int{4}, 3, 1), gradient.Options{}); len(plain.Loops()) > 0 {
		t.Errorf("loops: %q", plain.Loops())
	}
}

// TestRefining: a loop whose state has the input's shape is told from one of a recurrent network.
func TestRefining(t *testing.T) {
	scan := func(width int64, axis int64) *onnx.Model {
		body := onnx.NewBuilder("body")
		state, step := body.Input("state", onnx.Float32, "n", width), body.Input("step", onnx.Float32, "n")
		changed := body.Op("Tanh", nil, body.Op("Add", nil, state, body.Op("Unsqueeze", nil, step, body.Ints(1))))
		body.OutputAs("next", changed, onnx.Float32, onnx.Dims("n", width))
		b := onnx.NewBuilder("looping")
		x := b.Input("x", onnx.Float32, "n", 3)
		first := x
		if width != 3 {
			first = b.Op("MatMul", nil, x, b.Weight(onnx.NewTensor("in", drawn(3*int(width), 2), 3, width)))
		}
		last := b.Op("Scan", onnx.Attrs{"body": body.Graph, "num_scan_inputs": int64(1), "scan_input_axes": []int64{axis}}, first, x)
		b.OutputAs("y", b.Op("MatMul", nil, last, b.Weight(onnx.NewTensor("w", drawn(int(width)*3, 1), width, 3))), onnx.Float32, onnx.Dims("n", 3))
		return b.Model()
	}
	if g := open(t, scan(3, 1), gradient.Options{}); len(g.Refining()) != 1 || !strings.Contains(g.Refining()[0], "Scan") {
		t.Errorf("of a state of the input's shape: %q", g.Refining())
	}
	if g := open(t, scan(5, 1), gradient.Options{}); len(g.Refining()) > 0 || len(g.Loops()) != 1 {
		t.Errorf("of a hidden state: %q", g.Refining())
	}
	if plain := open(t, network.MLP(3, []int{4}, 3, 1), gradient.Options{}); len(plain.Refining()) > 0 {
		t.Errorf("without loops: %q", plain.Refining())
	}
}

func TestWrongCalls(t *testing.T) {
	g := open(t, network.MLP(2, nil, 2, 1), gradient.Options{Batch: 4})
	room := func(n int) (s, l, x []float32) { return make([]float32, 2*n), make([]float32, n), make([]float32, 2*n) }
	for name, call := range map[string]func() error{
		"many": func() error {
			s, l, x := room(5)
			return g.Gradient(context.Background(), model.Margin, make([]float32, 10), make([]int32, 5), nil, s, l, x) // the batch has 4
		},
		"class": func() error {
			s, l, x := room(1)
			return g.Gradient(context.Background(), model.Margin, make([]float32, 2), []int32{2}, nil, s, l, x)
		},
		"loss": func() error {
			s, l, x := room(1)
			return g.Gradient(context.Background(), "hinge", make([]float32, 2), []int32{1}, nil, s, l, x)
		},
		"classes": func() error {
			s, l, x := room(1)
			return g.Gradient(context.Background(), model.DLR, make([]float32, 2), []int32{1}, nil, s, l, x)
		},
		"room": func() error {
			s, l, x := room(1)
			return g.Gradient(context.Background(), model.Margin, make([]float32, 4), []int32{1, 1}, nil, s, l, x)
		},
	} {
		if err := call(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s, l, x := room(1)
	if err := g.Gradient(ctx, model.Margin, make([]float32, 2), []int32{1}, nil, s, l, x); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := errors.Join(g.Close(), g.Close()); err != nil {
		t.Error(err)
	}
	if err := g.Gradient(context.Background(), model.Margin, make([]float32, 2), []int32{1}, nil, s, l, x); err == nil {
		t.Error("a closed model still answers")
	}
}

// TestSideBySide: calls from several goroutines do not disturb each other.
func TestSideBySide(t *testing.T) {
	const size, classes = 6, 3
	m := network.MLP(size, []int{8}, classes, 1)
	g := open(t, m, gradient.Options{Batch: 4})
	var all sync.WaitGroup
	for k := range 8 {
		all.Go(func() {
			rows, labels := drawn(4*size, uint64(k)), []int32{0, 1, 2, 0}
			first := ask(t, g, model.Margin, size, classes, rows, labels, nil)
			for range 5 {
				if a := ask(t, g, model.Margin, size, classes, rows, labels, nil); !slices.Equal(a.gradient, first.gradient) {
					t.Error("another gradient")
				}
			}
		})
	}
	all.Wait()
}

// TestScoresRankAsTheModel: the class with the greatest score is the classifier's.
func TestScoresRankAsTheModel(t *testing.T) {
	const size, classes, n = 6, 4, 20
	m := ending(network.MLP(size, []int{9}, classes, 8), classes, func(b *onnx.Builder, x string) string { return b.Op("Softmax", nil, x) })
	c, err := ort.NewClassifier(context.Background(), m, ort.ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rows := drawn(n*size, 9)
	want := make([]float64, n*classes)
	if err := c.Predict(context.Background(), wide(rows), want); err != nil {
		t.Fatal(err)
	}
	a := ask(t, open(t, m, gradient.Options{}), model.Margin, size, classes, rows, make([]int32, n), nil)
	for i := range n {
		w, g := want[i*classes:(i+1)*classes], wide(a.scores[i*classes:(i+1)*classes])
		if slices.Index(w, slices.Max(w)) != slices.Index(g, slices.Max(g)) {
			t.Errorf("row %d: %v and %v", i, w, g)
		}
	}
}
