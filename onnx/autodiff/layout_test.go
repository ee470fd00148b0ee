package autodiff

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"assay/internal/model/ort"
	"assay/onnx"
)

// blockedNet is a convolutional network with as many channels as the rules for the
// blocked layout ask for: poolings behind a ReLU and not, strides, a skip.
func blockedNet(random *rand.Rand) *onnx.Model {
	b := onnx.NewBuilder("blocked")
	weight := func(shape ...int64) string {
		n, _ := onnx.Count(shape)
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(random.NormFloat64()) / 8
		}
		return b.Weight(onnx.NewTensor("w", values, shape...))
	}
	conv := func(x string, in, out, stride int64) string {
		return b.Op("Conv", onnx.Attrs{"pads": []int64{1, 1, 1, 1}, "strides": []int64{stride, stride}}, x, weight(out, in, 3, 3), weight(out))
	}
	halve := onnx.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}
	x := b.Input("x", onnx.Float32, "batch", 3, 16, 16)
	y := b.Op("MaxPool", halve, b.Op("Relu", nil, conv(x, 3, 16, 1)))
	norm := b.Op("BatchNormalization", nil, conv(y, 16, 16, 1), weight(16), weight(16), weight(16), b.Op("Abs", nil, weight(16)))
	y = b.Op("Relu", nil, b.Op("Add", nil, norm, y))
	y = b.Op("AveragePool", halve, b.Op("Relu", nil, conv(y, 16, 32, 1)))
	y = b.Op("MaxPool", halve, conv(y, 32, 32, 1))
	y = b.Op("Relu", nil, conv(y, 32, 16, 2))
	logits := b.Op("Flatten", nil, b.Op("GlobalAveragePool", nil, y))
	b.Output(logits, onnx.Float32, onnx.Dims("batch", 16))
	return b.Model()
}

// inputGradient is the gradient of the summed outputs with respect to the input.
func inputGradient(t *testing.T, m *onnx.Model, simplify bool, x *ort.Tensor) []float32 {
	t.Helper()
	g, err := New(m)
	if err != nil {
		t.Fatal(err)
	}
	if simplify {
		if err := g.Simplify(); err != nil {
			t.Fatal(err)
		}
	}
	grads, err := g.Gradient(m.Graph.Outputs[0].Name, "x")
	if err != nil {
		t.Fatal(err)
	}
	g.Graph.Outputs = []onnx.Value{{Name: grads.Names[0], Type: m.Graph.Inputs[0].Type}}
	if err := g.State(); err != nil {
		t.Fatal(err)
	}
	s, err := ort.New(g.Model(), ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out := []*ort.Tensor{nil}
	if err := s.Run(context.Background(), []*ort.Tensor{x}, out); err != nil {
		t.Fatal(err)
	}
	return ort.Data[float32](out[0])
}

// TestBlockedLayout: the rules for the blocked layout give what the plain ones give.
// A network with a channel fewer takes the plain rules; here they are had from the
// same network with its channels hidden behind a Reshape, which leaves them unknown.
func TestBlockedLayout(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 0))
	m := blockedNet(random)
	values := make([]float32, 4*3*16*16)
	for i := range values {
		values[i] = float32(random.NormFloat64())
	}
	x := ort.NewTensor(values, 4, 3, 16, 16)
	plain := inputGradient(t, unsized(m), false, x)
	for _, simplify := range []bool{false, true} {
		got := inputGradient(t, m, simplify, x)
		if d := distance(wide(got), wide(plain)); d > 1e-5 {
			t.Errorf("simplified %v: the gradient is off by %.2g of itself", simplify, d)
		}
	}
}

// unsized is a model with the sizes of its values unknown behind each ReLU and pooling:
// a Reshape to a shape that only a run knows.
func unsized(m *onnx.Model) *onnx.Model {
	m = m.Clone()
	b := onnx.Extend(m.Graph)
	old := m.Graph.Nodes
	m.Graph.Nodes = nil
	for _, n := range old {
		m.Graph.Nodes = append(m.Graph.Nodes, n)
		if n.Op == "Relu" || n.Op == "MaxPool" || n.Op == "AveragePool" || n.Op == "Conv" {
			out := n.Outputs[0]
			n.Outputs[0] = b.Name(out)
			n.Name = n.Outputs[0]
			seen := b.Op("Cast", onnx.Attrs{"to": int64(onnx.Int64)}, b.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, b.Op("Shape", nil, n.Outputs[0])))
			b.Add("Reshape", nil, []string{n.Outputs[0], seen}, []string{out})
		}
	}
	return m
}

// TestSimplify: folding and moving change neither the outputs nor what is kept.
func TestSimplify(t *testing.T) {
	m := blockedNet(rand.New(rand.NewPCG(6, 0)))
	g, err := New(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Simplify(); err != nil {
		t.Fatal(err)
	}
	if g.Graph.Nodes[1].Op != "MaxPool" || g.Graph.Nodes[2].Op != "Relu" {
		t.Errorf("the pooling was not moved before the ReLU: %v, %v", g.Graph.Nodes[1], g.Graph.Nodes[2])
	}
	run := func(m *onnx.Model, x *ort.Tensor) []float64 {
		s, err := ort.New(m, ort.Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		out := []*ort.Tensor{nil}
		if err := s.Run(context.Background(), []*ort.Tensor{x}, out); err != nil {
			t.Fatal(err)
		}
		return wide(ort.Data[float32](out[0]))
	}
	values := make([]float32, 3*16*16)
	for i := range values {
		values[i] = float32(i%17) - 8
	}
	x := ort.NewTensor(values, 1, 3, 16, 16)
	if d := distance(run(g.Model(), x), run(m, x)); d > 1e-5 {
		t.Errorf("the outputs are off by %.2g of themselves", d)
	}
	kept, err := New(m)
	if err != nil {
		t.Fatal(err)
	}
	relu := m.Graph.Nodes[1].Outputs[0]
	if err := kept.Simplify(relu); err != nil {
		t.Fatal(err)
	}
	if kept.Graph.Nodes[1].Op != "Relu" {
		t.Errorf("a value that was to be kept is gone")
	}
}

// TestGreatestByAHair: of two elements of a window that are neighbours in float32,
// the mask made in the blocked layout gives all of the gradient to the greater, and
// those that tie share it.
func TestGreatestByAHair(t *testing.T) {
	const channels = 16
	b := onnx.NewBuilder("hair")
	identity := make([]float32, channels*channels)
	for i := range channels {
		identity[i*channels+i] = 1
	}
	x := b.Input("x", onnx.Float32, "batch", channels, 2, 2)
	y := b.Op("Conv", nil, x, b.Weight(onnx.NewTensor("identity", identity, channels, channels, 1, 1)))
	y = b.Op("Relu", nil, b.Op("MaxPool", onnx.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}, y))
	b.Output(b.Op("Flatten", nil, y), onnx.Float32, onnx.Dims("batch", channels))

	values := make([]float32, channels*4)
	want := make([]float32, channels*4)
	for c := range channels {
		top := float32(math.Ldexp(1+float64(c)/channels, c-8))
		window, share := values[4*c:4*c+4], want[4*c:4*c+4]
		window[1], window[2], window[3] = math.Nextafter32(top, 0), top, -top
		share[2] = 1
		if c%2 == 1 {
			window[0] = top
			share[0], share[2] = 0.5, 0.5
		}
	}
	got := inputGradient(t, b.Model(), false, ort.NewTensor(values, 1, channels, 2, 2))
	if !slices.Equal(got, want) {
		t.Errorf("the gradient is\n%v, not\n%v", got, want)
	}
}
