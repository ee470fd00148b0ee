package lipschitz

import (
	"math"
	"strings"
	"testing"

	"assay/onnx"
)

// By hand: kernels of rank 1 have the norm of their numbers, a diagonal one its largest, and a normalisation of scale -6 and variance 9
// doubles; a dense layer's weights are the same transposed or not.
func TestChannels(t *testing.T) {
	b := onnx.NewBuilder("net")
	x := b.Input("x", onnx.Float32, 1, 2, 2, 2)
	w := b.Weight(onnx.NewTensor("w", []float32{3, 0, 0, 4, 1, 2, 2, 4}, 2, 2, 1, 2))
	conv := b.Op("Conv", nil, x, w)
	four := func(name string, values ...float32) string { return b.Weight(onnx.NewTensor(name, values, 2)) }
	norm := b.Op("BatchNormalization", onnx.Attrs{"epsilon": float32(0)}, conv, four("scale", -6, 1), four("shift", 0, 0), four("mean", 0, 0), four("variance", 9, 4))
	dense := b.Op("Gemm", nil, norm, b.Weight(onnx.NewTensor("d", []float32{3, 1, 4, 0}, 2, 2)))
	turned := b.Op("Gemm", onnx.Attrs{"transB": int64(1)}, dense, b.Weight(onnx.NewTensor("t", []float32{3, 4, 1, 0}, 2, 2)))
	b.OutputAs("y", turned, onnx.Float32, onnx.Dims(1, 2))
	g := b.Model().Graph
	for i, want := range [][]float64{{4 * 2, 5 * 0.5}, nil, {5, 1}, {5, 1}} {
		got, err := Channels(g, g.Nodes[i])
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %v, %v", g.Nodes[i], got, err)
		}
		for k := range want {
			if math.Abs(got[k]-want[k]) > 1e-6 {
				t.Errorf("%s: %v, want %v", g.Nodes[i], got, want)
			}
		}
	}
}

func TestChannelsRefuse(t *testing.T) {
	of := func(w []float32, scale []float32) *onnx.Graph {
		b := onnx.NewBuilder("net")
		x := b.Input("x", onnx.Float32, 1, 1, 2, 2)
		conv := b.Op("Conv", nil, x, b.Weight(onnx.NewTensor("w", w, 2, 1, 1, 1)))
		s := b.Weight(onnx.NewTensor("s", scale, int64(len(scale))))
		b.OutputAs("y", b.Op("BatchNormalization", nil, conv, s, s, s, s), onnx.Float32, onnx.Dims(1, 2, 2, 2))
		return b.Model().Graph
	}
	for want, g := range map[string]*onnx.Graph{
		"no finite number":                   of([]float32{1, float32(math.NaN())}, []float32{1, 1}),
		"2 channels are normalised by 3 sca": of([]float32{1, 2}, []float32{1, 1, 1}),
	} {
		if _, err := Channels(g, g.Nodes[0]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
