package autodiff

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"assay/internal/float64eval"
	"assay/internal/model/ort"
	"assay/onnx"
)

// built is a model under test: build gives its output from an input x.
func built(dims []any, build func(b *onnx.Builder, x string) string) *onnx.Model {
	b := onnx.NewBuilder("test")
	y := build(b, b.Input("x", onnx.Float32, dims...))
	b.Graph.Outputs = append(b.Graph.Outputs, onnx.Value{Name: y, Type: onnx.TensorOf(onnx.Float32, nil)})
	m := b.Model()
	m.Opsets["com.microsoft"] = 1
	return m
}

// pulled runs a model with the gradients of its output's sum, each element of the
// output weighted by one more than its place, with respect to wrt.
func pulled(t *testing.T, m *onnx.Model, x *ort.Tensor, wrt ...string) (y *ort.Tensor, grads [][]float32, from *Gradients) {
	t.Helper()
	g, err := New(m)
	if err != nil {
		t.Fatal(err)
	}
	out := m.Graph.Outputs[0].Name
	size := g.Op("Reshape", nil, g.Op("Size", nil, out), g.Ints(1))
	places := g.Op("Range", nil, g.Number(onnx.Int64, 0), g.Op("Squeeze", nil, size), g.Number(onnx.Int64, 1))
	weights := g.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, g.Op("Add", nil, places, g.Number(onnx.Int64, 1)))
	from, err = g.Pullback(out, g.Op("Reshape", nil, weights, g.Op("Shape", nil, out)), wrt...)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range from.Names {
		g.OutputAs("gradient", name, onnx.Float32, nil)
	}
	s, err := ort.New(g.Model(), ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	results := make([]*ort.Tensor, 1+len(wrt))
	if err := s.Run(context.Background(), []*ort.Tensor{x}, results); err != nil {
		t.Fatal(err)
	}
	for _, r := range results[1:] {
		grads = append(grads, ort.Data[float32](r))
	}
	return results[0], grads, from
}

func near(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) || len(want) == 0 {
		t.Fatalf("%s has %d elements, not %d", what, len(got), len(want))
	}
	for i, w := range want {
		if !(math.Abs(float64(got[i])-w) <= 1e-4*max(1, math.Abs(w))) {
			t.Fatalf("%s is %v, not %v", what, got, want)
		}
	}
}

func wide(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// TestQuantisationScales: rounding to int8 and back lets the gradient through where
// nothing is clipped, and gives each scale the sum of rounding errors and bounds.
func TestQuantisationScales(t *testing.T) {
	x := []float32{0.3, -0.72, 40, 1.26, -60, 0.5, 2.2, -0.1, 0.9, 1, -1.3, 0.04}
	cases := []struct {
		name   string
		scale  []float32
		form   []int64
		attrs  onnx.Attrs
		scales func(i int) int // of element i of [3, 4]
	}{
		{"per tensor", []float32{0.25}, []int64{}, nil, func(int) int { return 0 }},
		{"one number", []float32{0.25}, []int64{1}, nil, func(int) int { return 0 }},
		{"per row", []float32{0.25, 0.5, 0.1}, []int64{3}, onnx.Attrs{"axis": int64(0)}, func(i int) int { return i / 4 }},
		{"per column", []float32{0.25, 0.5, 0.1, 0.2}, []int64{4}, onnx.Attrs{"axis": int64(-1)}, func(i int) int { return i % 4 }},
		{"blocks", []float32{0.25, 0.5, 0.1, 0.2, 0.3, 0.4}, []int64{3, 2}, onnx.Attrs{"axis": int64(1), "block_size": int64(3)},
			func(i int) int { return i/4*2 + i%4/3 }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := built([]any{"rows", 4}, func(b *onnx.Builder, x string) string {
				scale := b.Weight(onnx.NewTensor("scale", c.scale, c.form...))
				zero := b.Weight(onnx.NewTensor("zero", slices.Repeat([]int8{3}, len(c.scale)), c.form...))
				return b.Op("DequantizeLinear", c.attrs, b.Op("QuantizeLinear", c.attrs, x, scale, zero), scale, zero)
			})
			_, grads, from := pulled(t, m, ort.NewTensor(x, 3, 4), "x", "scale")
			if len(from.StraightThrough) != 1 || from.StraightThrough[0].Op != "QuantizeLinear" {
				t.Errorf("straight through are %v", from.StraightThrough)
			}
			dx, ds := make([]float64, len(x)), make([]float64, len(c.scale))
			clipped := 0
			for i, v := range x {
				k := c.scales(i)
				ratio := float64(v) / float64(c.scale[k])
				d := float64(i + 1)
				switch level := math.RoundToEven(ratio) + 3; {
				case level > 127:
					ds[k] += d * (127 - 3)
					clipped++
				case level < -128:
					ds[k] += d * (-128 - 3)
					clipped++
				default:
					dx[i] = d
					ds[k] += d * (math.RoundToEven(ratio) - ratio)
				}
			}
			if clipped == 0 {
				t.Fatal("the case clips nothing")
			}
			near(t, "the gradient of x", grads[0], dx)
			near(t, "the gradient of the scale", grads[1], ds)
		})
	}
}

// TestQuantised: with nothing clipped, the gradient through a quantised product or
// convolution is that of the product or convolution with the dequantised weights.
func TestQuantised(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []int8 {
		out := make([]int8, n)
		for i := range out {
			out[i] = int8(rng.IntN(200) - 100)
		}
		return out
	}
	const s, sw, sy = 0.02, 0.01, 0.5
	number := func(b *onnx.Builder, v float64) string { return b.Number(onnx.Float32, v) }
	level := func(b *onnx.Builder, v int8) string { return b.Constant(onnx.Scalar("", v)) }
	weight := func(form ...int64) func(b *onnx.Builder) string {
		n, _ := onnx.Count(form)
		w := random(int(n))
		return func(b *onnx.Builder) string { return b.Weight(onnx.NewTensor("w", w, form...)) }
	}
	floating := func(b *onnx.Builder, w string) string {
		return b.Op("DequantizeLinear", nil, w, number(b, sw), level(b, 4))
	}
	matrix, kernel := weight(5, 3), weight(4, 3, 3, 3)
	strided := onnx.Attrs{"strides": []int64{2, 2}, "pads": []int64{1, 1, 0, 0}}
	cases := []struct {
		name             string
		shape            []int64
		quantised, plain func(b *onnx.Builder, x string) string
	}{
		{"MatMulInteger", []int64{2, 4, 5}, func(b *onnx.Builder, x string) string {
			q := b.Ops("DynamicQuantizeLinear", nil, 3, x)
			y := b.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, b.Op("MatMulInteger", nil, q[0], matrix(b), q[2], level(b, 4)))
			return b.Op("Mul", nil, y, b.Op("Mul", nil, q[1], number(b, sw)))
		}, func(b *onnx.Builder, x string) string { return b.Op("MatMul", nil, x, floating(b, matrix(b))) }},
		{"ConvInteger", []int64{2, 3, 6, 7}, func(b *onnx.Builder, x string) string {
			q := b.Ops("DynamicQuantizeLinear", nil, 3, x)
			w := b.Op("Cast", onnx.Attrs{"to": int64(onnx.Uint8)}, b.Op("Add", nil,
				b.Op("Cast", onnx.Attrs{"to": int64(onnx.Int32)}, kernel(b)), b.Number(onnx.Int32, 128)))
			zero := b.Constant(onnx.Scalar("", uint8(4+128)))
			y := b.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, b.Op("ConvInteger", strided, q[0], w, q[2], zero))
			return b.Op("Mul", nil, y, b.Op("Mul", nil, q[1], number(b, sw)))
		}, func(b *onnx.Builder, x string) string { return b.Op("Conv", strided, x, floating(b, kernel(b))) }},
		{"QLinearMatMul", []int64{4, 5}, func(b *onnx.Builder, x string) string {
			q := b.Op("QuantizeLinear", nil, x, number(b, s), level(b, 1))
			y := b.Op("QLinearMatMul", nil, q, number(b, s), level(b, 1), matrix(b), number(b, sw), level(b, 4), number(b, sy), level(b, -2))
			return b.Op("DequantizeLinear", nil, y, number(b, sy), level(b, -2))
		}, func(b *onnx.Builder, x string) string { return b.Op("MatMul", nil, x, floating(b, matrix(b))) }},
		{"QLinearConv", []int64{2, 3, 6, 7}, func(b *onnx.Builder, x string) string {
			q := b.Op("QuantizeLinear", nil, x, number(b, s), level(b, 1))
			bias := b.Constant(onnx.NewTensor("", []int32{5, -7, 100, 0}, 4))
			y := b.Op("QLinearConv", strided, q, number(b, s), level(b, 1), kernel(b), number(b, sw), level(b, 4), number(b, sy), level(b, -2), bias)
			return b.Op("DequantizeLinear", nil, y, number(b, sy), level(b, -2))
		}, func(b *onnx.Builder, x string) string { return b.Op("Conv", strided, x, floating(b, kernel(b))) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dims := make([]any, len(c.shape))
			for i, d := range c.shape {
				dims[i] = d
			}
			n, _ := onnx.Count(c.shape)
			x := make([]float32, n)
			for i := range x {
				x[i] = 2*rng.Float32() - 1
			}
			y, grads, from := pulled(t, built(dims, c.quantised), ort.NewTensor(x, c.shape...), "x")
			want, plain, _ := pulled(t, built(dims, c.plain), ort.NewTensor(x, c.shape...), "x")
			near(t, "the gradient", grads[0], wide(plain[0]))
			if len(from.StraightThrough) == 0 {
				t.Error("nothing is reported as straight through")
			}
			for i, v := range ort.Data[float32](want) {
				if math.Abs(float64(v-ort.Data[float32](y)[i])) > 1.2 {
					t.Fatalf("the forward pass is %v, not near %v", ort.Data[float32](y), ort.Data[float32](want))
				}
			}
		})
	}
}

// TestDropoutMask: the gradient drops what the forward pass dropped.
func TestDropoutMask(t *testing.T) {
	x := slices.Repeat([]float32{1}, 200)
	for _, c := range []struct {
		name     string
		training func(b *onnx.Builder, x string) string
		drops    bool
	}{
		{"left out", func(b *onnx.Builder, x string) string { return "" }, false},
		{"constant", func(b *onnx.Builder, x string) string { return b.Constant(onnx.Scalar("", true)) }, true},
		{"constant false", func(b *onnx.Builder, x string) string { return b.Constant(onnx.Scalar("", false)) }, false},
		{"computed", func(b *onnx.Builder, x string) string {
			return b.Op("Greater", nil, b.Op("ReduceMax", onnx.Attrs{"keepdims": int64(0)}, x), b.Number(onnx.Float32, 0))
		}, true},
		{"computed false", func(b *onnx.Builder, x string) string {
			return b.Op("Less", nil, b.Op("ReduceMax", onnx.Attrs{"keepdims": int64(0)}, x), b.Number(onnx.Float32, 0))
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := built([]any{"n"}, func(b *onnx.Builder, x string) string {
				inputs := []string{x, b.Number(onnx.Float32, 0.3)}
				if training := c.training(b, x); training != "" {
					inputs = append(inputs, training)
				}
				return b.Op("Dropout", nil, inputs...)
			})
			y, grads, _ := pulled(t, m, ort.NewTensor(x, 200), "x")
			want, dropped := make([]float64, len(x)), 0
			for i, v := range ort.Data[float32](y) {
				want[i] = float64(v) * float64(i+1)
				if v == 0 {
					dropped++
				}
			}
			near(t, "the gradient", grads[0], want)
			if c.drops != (dropped > 0) {
				t.Errorf("%d elements were dropped", dropped)
			}
		})
	}
}

// TestContrib checks the operators that only ONNX Runtime has: written out they
// compute the same, and their gradients are right.
func TestContrib(t *testing.T) {
	vector := func(b *onnx.Builder, v ...float32) string { return b.Weight(onnx.NewTensor("v", v, int64(len(v)))) }
	own := func(b *onnx.Builder, op string, attrs onnx.Attrs, outputs int, inputs ...string) []string {
		out := b.Ops(op, attrs, outputs, inputs...)
		b.Graph.Nodes[len(b.Graph.Nodes)-1].Domain = "com.microsoft"
		return out
	}
	cases := map[string]func(b *onnx.Builder, x string) string{
		"Gelu": func(b *onnx.Builder, x string) string { return own(b, "Gelu", nil, 1, x)[0] },
		"FastGelu": func(b *onnx.Builder, x string) string {
			return own(b, "FastGelu", nil, 1, x, vector(b, 1, 2, -1, 0.5))[0]
		},
		"BiasGelu": func(b *onnx.Builder, x string) string {
			return own(b, "BiasGelu", nil, 1, x, vector(b, 1, 2, -1, 0.5))[0]
		},
		"QuickGelu": func(b *onnx.Builder, x string) string {
			return own(b, "QuickGelu", onnx.Attrs{"alpha": float32(1.5)}, 1, x)[0]
		},
		"FusedMatMul": func(b *onnx.Builder, x string) string {
			return own(b, "FusedMatMul", onnx.Attrs{"transA": int64(1), "alpha": float32(0.3)}, 1, x, b.Op("Sin", nil, x))[0]
		},
		"SkipLayerNormalization": func(b *onnx.Builder, x string) string {
			y := own(b, "SkipLayerNormalization", onnx.Attrs{"epsilon": float32(1e-3)}, 4, x, b.Op("Sin", nil, x),
				vector(b, 1, 2, 3, 4), vector(b, 0, 1, 0, 1), vector(b, 1, 0, -1, 0))
			b.Graph.Nodes[len(b.Graph.Nodes)-1].Outputs[1], b.Graph.Nodes[len(b.Graph.Nodes)-1].Outputs[2] = "", ""
			return b.Op("Add", nil, y[0], y[3])
		},
		"SimplifiedLayerNormalization": func(b *onnx.Builder, x string) string {
			return b.Op("SimplifiedLayerNormalization", onnx.Attrs{"epsilon": float32(1e-3)}, x, vector(b, 1, 2, 3, 4))
		},
		"SkipSimplifiedLayerNormalization": func(b *onnx.Builder, x string) string {
			return own(b, "SkipSimplifiedLayerNormalization", onnx.Attrs{"epsilon": float32(1e-3)}, 1, x, b.Op("Sin", nil, x), vector(b, 1, 2, 3, 4))[0]
		},
	}
	for name, build := range cases {
		t.Run(name, func(t *testing.T) {
			m := built([]any{2, 3, 4}, build)
			x := ort.NewTensor([]float32{
				0.1, -2, 1.5, 0.7, 3, 0, -0.4, 1, 2, 2.5, -1, 0.3, 0.2, 0.8, -3, 1.1, 0.6, -0.9, 0.4, 2.1, -1.7, 0.9, 1.3, -0.2,
			}, 2, 3, 4)
			plain, err := ort.New(m, ort.Options{Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer plain.Close()
			want, err := runAll(plain, []any{x})
			if err != nil {
				t.Fatal(err)
			}
			got, _, _ := pulled(t, m, x, "x")
			agree(t, "y", got, want[0])
			check := gradientCheck{model: m, feeds: map[string]float64eval.Value{"x": x}, seed: 1}
			if n, err := check.run(); err != nil || n == 0 {
				t.Errorf("%d slopes compared: %v", n, err)
			}
		})
	}
}
