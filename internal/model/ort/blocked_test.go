package ort

import (
	"context"
	"math"
	"slices"
	"testing"

	"assay/onnx"
)

// blockedNetwork is a model of two convolutions with weights that are inputs, and
// both their results.
func blockedNetwork(attrs onnx.Attrs, relu bool, channels, group int64) *onnx.Model {
	b := onnx.NewBuilder("given weights")
	x := b.Input("x", onnx.Float32, "rows", int(channels), 9, 8)
	first := b.Input("first", onnx.Float32, int(2*channels), int(channels/group), 3, 3)
	bias := b.Input("bias", onnx.Float32, int(2*channels))
	second := b.Input("second", onnx.Float32, int(channels), int(2*channels), 1, 1)
	if group > 1 {
		attrs["group"] = group
	}
	y := b.Op("Conv", attrs, x, first, bias)
	if relu {
		y = b.Op("Relu", nil, y)
	}
	z := b.Op("Conv", nil, y, b.Op("Mul", nil, second, b.Number(onnx.Float32, 0.5)))
	b.Output(z, onnx.Float32, onnx.Dims("rows", "channels", "height", "width"))
	b.Output(b.Op("ReduceSum", nil, y, b.Ints(2, 3)), onnx.Float32, onnx.Dims("rows", "channels", 1, 1))
	return b.Model()
}

func TestConvolutionsWithGivenWeightsInBlocks(t *testing.T) {
	if err := Load(""); err != nil {
		t.Fatal(err)
	}
	if blockSize() == 0 {
		t.Skip("the runtime has no blocked layout here")
	}
	l := func(v ...int64) []int64 { return v }
	for name, c := range map[string]struct {
		attrs           onnx.Attrs
		relu            bool
		channels, group int64
		rewritten       bool
	}{
		"padded":           {onnx.Attrs{"pads": l(1, 1, 1, 1)}, true, 16, 1, true},
		"without ReLU":     {onnx.Attrs{"pads": l(0, 1, 2, 1)}, false, 32, 1, true},
		"strided":          {onnx.Attrs{"strides": l(2, 3), "pads": l(1, 1, 1, 1)}, true, 16, 1, true},
		"dilated":          {onnx.Attrs{"dilations": l(2, 1)}, true, 48, 1, true},
		"padded by itself": {onnx.Attrs{"auto_pad": "SAME_UPPER", "strides": l(2, 2)}, true, 16, 1, true},
		"few channels":     {onnx.Attrs{}, true, 6, 1, false},
		"grouped":          {onnx.Attrs{}, true, 16, 2, true}, // the second convolution alone
	} {
		m := blockedNetwork(c.attrs, c.relu, c.channels, c.group)
		if got := inBlocks(m) != m; got != c.rewritten {
			t.Errorf("%s: rewritten is %v", name, got)
		}
		var want []*Tensor
		for _, o := range []Optimization{OptimizeOff, OptimizeAll} {
			got := runOn(t, m, o, 3)
			if want == nil {
				want = got
				continue
			}
			for i := range want {
				a, b := Data[float32](want[i]), Data[float32](got[i])
				if !slices.Equal(want[i].Shape, got[i].Shape) {
					t.Fatalf("%s: output %d has the shape %v, want %v", name, i, got[i].Shape, want[i].Shape)
				}
				for j := range a {
					if math.Abs(float64(a[j]-b[j])) > 1e-3 {
						t.Fatalf("%s: output %d has %v at %d, want %v", name, i, b[j], j, a[j])
					}
				}
			}
		}
	}
}

// runOn runs a model on small integers.
func runOn(t *testing.T, m *onnx.Model, o Optimization, rows int64) []*Tensor {
	t.Helper()
	s, err := New(m, Options{Optimization: o})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var inputs []*Tensor
	for _, v := range s.Inputs() {
		shape, _ := v.Type.Shape.Sizes()
		if shape[0] < 0 {
			shape[0] = rows
		}
		n, _ := onnx.Count(shape)
		inputs = append(inputs, NewTensor(integers(int(n)), shape...))
	}
	outputs := make([]*Tensor, len(s.Outputs()))
	if err := s.Run(context.Background(), inputs, outputs); err != nil {
		t.Fatal(err)
	}
	return outputs
}

func TestConstantWeightsAreTheRuntimesOwnToPlace(t *testing.T) {
	b := onnx.NewBuilder("constant")
	x := b.Input("x", onnx.Float32, 1, 16, 4, 4)
	y := b.Op("Conv", nil, x, b.Weight(onnx.NewTensor("w", make([]float32, 16*16), 16, 16, 1, 1)))
	b.Output(y, onnx.Float32, onnx.Fixed(1, 16, 4, 4))
	if m := b.Model(); inBlocks(m) != m {
		t.Error("a model of constant weights is rewritten")
	}
}
