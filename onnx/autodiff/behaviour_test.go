package autodiff

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"assay/internal/float64eval"
	"assay/internal/model/ort"
	"assay/onnx"
)

// graphOf starts a graph over a vector x of two numbers.
func graphOf(t *testing.T, build func(b *onnx.Builder, x string) string) (*Graph, string) {
	t.Helper()
	b := onnx.NewBuilder("test")
	y := build(b, b.Input("x", onnx.Float32, "N", 2))
	b.Output(y, onnx.Float32, nil)
	g, err := New(b.Model())
	if err != nil {
		t.Fatal(err)
	}
	return g, y
}

func TestNotDifferentiable(t *testing.T) {
	g, y := graphOf(t, func(b *onnx.Builder, x string) string {
		first := b.Add("Frobnicate", nil, []string{x}, []string{b.Name("first")})
		first.Domain = "example"
		second := b.Add("Frobnicate", nil, []string{b.Op("Relu", nil, first.Outputs[0])}, []string{b.Name("second")})
		second.Domain = "example"
		best := b.Add("ArgMax", nil, []string{b.Op("Exp", nil, x)}, []string{b.Name("best")})
		unused := b.Add("Frobnicate", nil, []string{x}, []string{b.Name("unused")})
		unused.Domain = "example"
		return b.Op("Add", nil, second.Outputs[0], b.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, best.Outputs[0]))
	})
	before := len(g.Graph.Nodes)
	_, err := g.Gradient(y, "x")
	var none *NotDifferentiable
	if !errors.As(err, &none) {
		t.Fatalf("the error is %v", err)
	}
	var names []string
	for _, n := range none.Nodes {
		names = append(names, n.Name)
	}
	if want := []string{"first", "second", "best"}; !slices.Equal(names, want) {
		t.Errorf("the nodes are %v, not %v", names, want)
	}
	for _, part := range append(names, "example.Frobnicate", "ArgMax", "gradient-free") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not speak of %q: %v", part, err)
		}
	}
	if len(none.Reasons) != len(none.Nodes) {
		t.Errorf("%d nodes have %d reasons", len(none.Nodes), len(none.Reasons))
	}
	if len(g.Graph.Nodes) != before {
		t.Error("a graph that has no gradient was added to")
	}
}

func TestNoPath(t *testing.T) {
	for _, c := range []struct {
		name    string
		build   func(b *onnx.Builder, x string) string
		stopped []string
	}{
		{"independent", func(b *onnx.Builder, x string) string {
			return b.Op("Neg", nil, b.Input("other", onnx.Float32, 2))
		}, nil},
		{"rounded", func(b *onnx.Builder, x string) string {
			return b.Op("Exp", nil, b.Op("Round", nil, b.Op("Sin", nil, x)))
		}, []string{"Round"}},
		{"compared", func(b *onnx.Builder, x string) string {
			greater := b.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, b.Op("Greater", nil, x, b.Number(onnx.Float32, 0)))
			return b.Op("Mul", nil, greater, b.Op("Floor", nil, x))
		}, []string{"Greater", "Floor"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, y := graphOf(t, c.build)
			_, err := g.Gradient(y, "x")
			var none *NoPath
			if !errors.As(err, &none) {
				t.Fatalf("the error is %v", err)
			}
			var ops []string
			for _, n := range none.Stopped {
				ops = append(ops, n.Op)
				if !strings.Contains(err.Error(), n.String()) {
					t.Errorf("the error does not name %s: %v", n, err)
				}
			}
			if !slices.Equal(ops, c.stopped) {
				t.Errorf("it stops at %v, not at %v", ops, c.stopped)
			}
		})
	}
}

// TestStopped: what flows beside a node that stops it is right, and the node is named.
func TestStopped(t *testing.T) {
	g, y := graphOf(t, func(b *onnx.Builder, x string) string {
		return b.Op("Add", nil, b.Op("Mul", nil, x, x), b.Op("Round", nil, x))
	})
	grads, err := g.Gradient(y, "x")
	if err != nil {
		t.Fatal(err)
	}
	if len(grads.Stopped) != 1 || grads.Stopped[0].Op != "Round" || len(grads.StraightThrough) != 0 {
		t.Errorf("it is stopped at %v and straight through %v", grads.Stopped, grads.StraightThrough)
	}
	if got, want := gradientAt(t, g, grads, []float32{0.3, -2.2}), []float64{0.6, -4.4}; distance(got, want) > 1e-6 {
		t.Errorf("the gradient is %v, not %v", got, want)
	}
}

// gradientAt runs a gradient with respect to x in ONNX Runtime.
func gradientAt(t *testing.T, g *Graph, grads *Gradients, x []float32) []float64 {
	t.Helper()
	g.Graph.Outputs = nil
	g.OutputAs("gradient", grads.Names[0], onnx.Float32, nil)
	s, err := ort.New(g.Model(), ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := runAll(s, []any{ort.NewTensor(x, int64(len(x)/2), 2)})
	if err != nil {
		t.Fatal(err)
	}
	return numbers(got[0])
}

// TestModelIsKept: differentiation works on a copy.
func TestModelIsKept(t *testing.T) {
	n := &net{Builder: onnx.NewBuilder("kept"), rng: rand.New(rand.NewPCG(1, 0)), classes: 3}
	logits := cnn(n, n.Input("x", onnx.Float32, "batch", 3, 10, 10))
	n.Output(logits, onnx.Float32, onnx.Dims("batch", 3))
	m := n.Model()
	before, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Gradient(logits, "x", m.Graph.Initializers[0].Name); err != nil {
		t.Fatal(err)
	}
	after, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("the model was changed")
	}
}

// TestUnneeded: what only other gradients need is not computed.
func TestUnneeded(t *testing.T) {
	count := func(wrt func(weight string) string) int {
		var weight string
		g, y := graphOf(t, func(b *onnx.Builder, x string) string {
			weight = b.Weight(onnx.NewTensor("w", []float32{1, 2, 3, 4}, 2, 2))
			return b.Op("MatMul", nil, b.Op("Tanh", nil, x), weight)
		})
		before := len(g.Graph.Nodes)
		if _, err := g.Gradient(y, wrt(weight)); err != nil {
			t.Fatal(err)
		}
		return slices.IndexFunc(g.Graph.Nodes[before:], func(n *onnx.Node) bool { return n.Op == "Mul" })
	}
	if count(func(string) string { return "x" }) < 0 {
		t.Error("the gradient of x does not go through Tanh")
	}
	if count(func(weight string) string { return weight }) >= 0 {
		t.Error("the gradient of the weights goes on through Tanh")
	}
}

// TestSecondOrder: the gradient of a gradient is right, too.
func TestSecondOrder(t *testing.T) {
	for _, c := range []struct {
		name  string
		input []int64
		build func(n *net, x string) string
	}{
		{"dense", []int64{2, 6}, func(n *net, x string) string {
			return n.dense(n.Op("Tanh", nil, n.dense(x, 6, 5)), 5, n.classes)
		}},
		{"convolution", []int64{2, 2, 6, 6}, func(n *net, x string) string {
			x = n.Op("Softplus", nil, n.conv(x, 2, 3, 3, 1, true))
			x = n.Op("Sigmoid", nil, n.conv(x, 3, 4, 3, 2, true))
			return n.dense(n.Op("Flatten", nil, n.Op("GlobalAveragePool", nil, x)), 4, n.classes)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := &net{Builder: onnx.NewBuilder(c.name), rng: rand.New(rand.NewPCG(5, 0)), classes: 3}
			stated := make([]any, len(c.input))
			for i, size := range c.input {
				stated[i] = size
			}
			x := n.Input("x", onnx.Float32, stated...)
			logits := c.build(n, x)
			n.Output(logits, onnx.Float32, onnx.Dims(c.input[0], n.classes))
			m, labels := n.withLoss(t, logits)
			g, err := New(m)
			if err != nil {
				t.Fatal(err)
			}
			grads, err := g.Gradient(g.Graph.Outputs[0].Name, x)
			if err != nil {
				t.Fatal(err)
			}
			g.Graph.Outputs = nil
			g.OutputAs("slope", grads.Names[0], onnx.Float32, nil)
			feeds := map[string]float64eval.Value{
				x:      ort.NewTensor(n.normal(1, c.input...), c.input...),
				labels: ort.NewTensor([]int64{2, 0}),
			}
			if _, err := (gradientCheck{model: g.Model(), feeds: feeds, seed: 3, few: true}).run(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCheckFindsErrors: the check that all these tests stand on fails where a
// gradient is a little wrong, and where it is wrong along one direction only.
func TestCheckFindsErrors(t *testing.T) {
	m := &measured{slope: [][]difference{nil}}
	var right []float64
	for i := range 10 {
		along := make([]float64, 10)
		along[i] = 1
		right = append(right, math.Sin(float64(i)))
		m.along = append(m.along, along)
		m.slope[0] = append(m.slope[0], difference{slope: right[i], noise: 1e-12})
	}
	if err := m.compare(0, right); err != nil {
		t.Errorf("the right gradient: %v", err)
	}
	for i := range right {
		wrong := slices.Clone(right)
		wrong[i] += 1e-4
		if err := m.compare(0, wrong); err == nil || errors.Is(err, errKink) {
			t.Errorf("an error in element %d is not found: %v", i, err)
		}
		wrong[i] = math.NaN()
		if err := m.compare(0, wrong); err == nil || errors.Is(err, errKink) {
			t.Errorf("NaN in element %d is not found: %v", i, err)
		}
	}
	m.slope[0][3].rough = true
	wrong := slices.Clone(right)
	wrong[3] = 2
	if err := m.compare(0, wrong); !errors.Is(err, errKink) {
		t.Errorf("at a kink the error is %v", err)
	}
}
