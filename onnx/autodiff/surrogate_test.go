package autodiff

import (
	"math"
	"slices"
	"strings"
	"testing"

	"assay/internal/model/ort"
	"assay/onnx"
)

// slopeOf runs the gradient of the sum of what a graph makes of x.
func slopeOf(t *testing.T, soft bool, at []float32, build func(b *onnx.Builder, x string) string, marked ...string) ([]float32, *Gradients) {
	t.Helper()
	b := onnx.NewBuilder("test")
	y := build(b, b.Input("x", onnx.Float32, "N", 4))
	b.Output(y, onnx.Float32, nil)
	g, err := New(b.Model())
	if err != nil {
		t.Fatal(err)
	}
	if soft {
		g.Surrogates(marked...)
	}
	grads, err := g.Gradient(y, "x")
	if err != nil {
		t.Fatal(err)
	}
	g.Graph.Outputs = nil
	g.Output(grads.Names[0], onnx.Float32, onnx.Dims("N", 4))
	s, err := ort.New(g.Model(), ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out := make([]float32, len(at))
	if err := s.Run(t.Context(), []*ort.Tensor{ort.NewTensor(at, int64(len(at)/4), 4)}, []*ort.Tensor{ort.NewTensor(out, int64(len(at)/4), 4)}); err != nil {
		t.Fatal(err)
	}
	return out, grads
}

func TestSurrogates(t *testing.T) {
	at := []float32{0.3, 5.7, -2.2, 9.1, 1.4, 0.6, 3.3, -7.9}
	to := func(b *onnx.Builder, x string, elem onnx.DataType) string {
		return b.Op("Cast", onnx.Attrs{"to": int64(elem)}, x)
	}
	number := func(b *onnx.Builder, v float64) string { return b.Number(onnx.Float32, v) }
	weights := func(b *onnx.Builder) string {
		return b.Weight(onnx.NewTensor("w", []float32{1, -2, 3, 0.5}, 4))
	}
	type build = func(b *onnx.Builder, x string) string
	weighed := func(of build) build {
		return func(b *onnx.Builder, x string) string { return b.Op("Mul", nil, of(b, x), weights(b)) }
	}
	same := func(_ *onnx.Builder, x string) string { return x }
	for _, c := range []struct {
		name           string
		masked, smooth build // what is computed, and what its gradient is to be that of
	}{
		{"round", func(b *onnx.Builder, x string) string { return b.Op("Round", nil, x) }, same},
		{"quantised", func(b *onnx.Builder, x string) string {
			return b.Op("Mul", nil, b.Op("Floor", nil, b.Op("Div", nil, x, number(b, 4))), number(b, 4))
		}, same},
		{"sign", func(b *onnx.Builder, x string) string { return b.Op("Sign", nil, b.Op("Mul", nil, x, x)) },
			func(b *onnx.Builder, x string) string { return b.Op("Mul", nil, x, x) }},
		{"cast to whole numbers", func(b *onnx.Builder, x string) string {
			return to(b, to(b, b.Op("Mul", nil, x, number(b, 3)), onnx.Int64), onnx.Float32)
		}, func(b *onnx.Builder, x string) string { return b.Op("Mul", nil, x, number(b, 3)) }},
		{"arithmetic of whole numbers", func(b *onnx.Builder, x string) string {
			whole := b.Op("Div", nil, to(b, x, onnx.Int32), b.Number(onnx.Int32, 4))
			return to(b, b.Op("Mul", nil, whole, b.Number(onnx.Int32, 3)), onnx.Float32)
		}, func(b *onnx.Builder, x string) string { return b.Op("Mul", nil, x, number(b, 0.75)) }},
		{"shifted bits", func(b *onnx.Builder, x string) string {
			bits := to(b, x, onnx.Uint8)
			for _, way := range []string{"RIGHT", "LEFT", "RIGHT"} {
				bits = b.Op("BitShift", onnx.Attrs{"direction": way}, bits, b.Number(onnx.Uint8, 2))
			}
			return to(b, bits, onnx.Float32)
		}, func(b *onnx.Builder, x string) string { return b.Op("Mul", nil, x, number(b, 0.25)) }},
		{"greater", func(b *onnx.Builder, x string) string {
			return to(b, b.Op("Greater", nil, x, number(b, 2)), onnx.Float32)
		}, same},
		{"not less", func(b *onnx.Builder, x string) string {
			return to(b, b.Op("Not", nil, b.Op("Less", nil, x, number(b, 2))), onnx.Float32)
		}, same},
		{"chosen by a threshold", func(b *onnx.Builder, x string) string {
			return b.Op("Where", nil, b.Op("LessOrEqual", nil, x, number(b, 2)), number(b, 1), number(b, 7))
		}, func(b *onnx.Builder, x string) string { return b.Op("Mul", nil, x, number(b, 6)) }},
		{"hardmax", func(b *onnx.Builder, x string) string { return b.Op("Hardmax", nil, x) },
			func(b *onnx.Builder, x string) string { return b.Op("Softmax", nil, x) }},
		{"place of the greatest", func(b *onnx.Builder, x string) string {
			return to(b, b.Op("ArgMax", onnx.Attrs{"axis": int64(1)}, x), onnx.Float32)
		}, func(b *onnx.Builder, x string) string {
			places := b.Weight(onnx.NewTensor("places", []float32{0, 1, 2, 3}, 4))
			return b.Op("ReduceSum", nil, b.Op("Mul", nil, b.Op("Softmax", nil, x), places), b.Ints(1))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, grads := slopeOf(t, true, at, weighed(c.masked))
			want, _ := slopeOf(t, false, at, weighed(c.smooth))
			for i := range want {
				if math.Abs(float64(got[i]-want[i])) > 1e-5 {
					t.Fatalf("the gradient is %v, not %v", got, want)
				}
			}
			if len(grads.StraightThrough) == 0 || len(grads.Stopped) != 0 {
				t.Errorf("replaced are %v, stopped %v", grads.StraightThrough, grads.Stopped)
			}
		})
	}
}

// A smooth graph has the same gradient with surrogates, and nothing is said to be replaced.
func TestSurrogatesOfSmooth(t *testing.T) {
	at := []float32{0.3, 5.7, -2.2, 9.1}
	smooth := func(b *onnx.Builder, x string) string {
		return b.Op("Softmax", nil, b.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, b.Op("Tanh", nil, b.Op("Mul", nil, x, x))))
	}
	twice := func(b *onnx.Builder, x string) string { y := smooth(b, x); return b.Op("Mul", nil, y, y) }
	want, _ := slopeOf(t, false, at, twice)
	got, grads := slopeOf(t, true, at, twice)
	if !slices.Equal(got, want) || len(grads.StraightThrough) != 0 {
		t.Errorf("the gradient is %v, not %v, with %v replaced", got, want, grads.StraightThrough)
	}
}

func TestMarked(t *testing.T) {
	at := []float32{0.3, 5.7, -2.2, 9.1}
	got, grads := slopeOf(t, true, at, func(b *onnx.Builder, x string) string {
		return b.Op("Mul", nil, b.OpAs("steep", "Exp", nil, x), b.Number(onnx.Float32, 2))
	}, "steep")
	if !slices.Equal(got, []float32{2, 2, 2, 2}) || len(grads.StraightThrough) != 1 || grads.StraightThrough[0].Op != "Exp" {
		t.Errorf("the gradient is %v, with %v replaced", got, grads.StraightThrough)
	}
	b := onnx.NewBuilder("test")
	y := b.OpAs("sum", "ReduceSum", nil, b.Input("x", onnx.Float32, "N", 4), b.Ints(1))
	b.Output(y, onnx.Float32, nil)
	g, err := New(b.Model())
	if err != nil {
		t.Fatal(err)
	}
	g.Surrogates("sum")
	if _, err := g.Gradient(y, "x"); err == nil || !strings.Contains(err.Error(), "keeps the shape") {
		t.Errorf("a sum passed straight through gives %v", err)
	}
}
