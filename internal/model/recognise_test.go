package model_test

import (
	"slices"
	"strings"
	"testing"

	"assay/internal/model"
	"assay/onnx"
)

// image builds a classifier of 3 classes whose graph begins with what before adds.
func image(elem onnx.DataType, dims []any, before func(b *onnx.Builder, x string) string) *onnx.Model {
	b := onnx.NewBuilder("image")
	x := before(b, b.Input("x", elem, dims...))
	x = b.Op("GlobalAveragePool", nil, x)
	x = b.Op("Flatten", nil, x)
	x = b.Op("Gemm", nil, x, b.Weight(onnx.NewTensor("w", make([]float32, 9), 3, 3)))
	b.OutputAs("y", x, onnx.Float32, onnx.Dims(dims[0], 3))
	return b.Model()
}

func number(b *onnx.Builder, v float64) string { return b.Number(onnx.Float32, v) }

func TestRangeAndLayout(t *testing.T) {
	first, last := []any{"n", 3, 32, 32}, []any{"n", 32, 32, 3}
	toFirst := func(b *onnx.Builder, x string) string {
		return b.Op("Transpose", onnx.Attrs{"perm": []int64{0, 3, 1, 2}}, x)
	}
	tests := []struct {
		name   string
		elem   onnx.DataType
		dims   []any
		before func(b *onnx.Builder, x string) string
		layout model.Layout
		high   float64
	}{
		{"nothing", onnx.Float32, first, func(b *onnx.Builder, x string) string { return x }, model.NCHW, 1},
		{"uint8", onnx.Uint8, last, func(b *onnx.Builder, x string) string {
			return toFirst(b, b.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, x))
		}, model.NHWC, 255},
		{"mean and deviation of fractions", onnx.Float32, first, func(b *onnx.Builder, x string) string {
			return b.Op("Div", nil, b.Op("Sub", nil, x, number(b, 0.45)), number(b, 0.225))
		}, model.NCHW, 1},
		{"mean of bytes", onnx.Float32, first, func(b *onnx.Builder, x string) string {
			return b.Op("Sub", nil, x, number(b, 123.68))
		}, model.NCHW, 255},
		{"byte scale by division", onnx.Float32, last, func(b *onnx.Builder, x string) string {
			return toFirst(b, b.Op("Div", nil, x, number(b, 255)))
		}, model.NHWC, 255},
		{"to -1 and 1 from bytes", onnx.Float32, last, func(b *onnx.Builder, x string) string {
			return toFirst(b, b.Op("Sub", nil, b.Op("Mul", nil, x, number(b, 1/127.5)), number(b, 1)))
		}, model.NHWC, 255},
		{"to -1 and 1 from fractions", onnx.Float32, first, func(b *onnx.Builder, x string) string {
			return b.Op("Sub", nil, b.Op("Mul", nil, x, number(b, 2)), number(b, 1))
		}, model.NCHW, 1},
		{"an offset of zero", onnx.Float32, last, func(b *onnx.Builder, x string) string {
			return toFirst(b, b.Op("Mul", nil, b.Op("Add", nil, x, number(b, 0)), number(b, 1/255.0)))
		}, model.NHWC, 255},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := model.Recognise(image(tt.elem, tt.dims, tt.before), model.Override{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Layout != tt.layout || r.Range.Low != 0 || r.Range.High != tt.high || r.Range.Basis == "" {
				t.Errorf("%s, %+v; not %s, 0 to %g", r.Layout, r.Range, tt.layout, tt.high)
			}
		})
	}
}

func TestOutputMeaning(t *testing.T) {
	tests := []struct {
		name string
		tail func(b *onnx.Builder, x string) string
		want model.Output
	}{
		{"logits", func(b *onnx.Builder, x string) string { return b.Op("Gemm", nil, x, x) }, model.Logits},
		{"log softmax", func(b *onnx.Builder, x string) string { return b.Op("LogSoftmax", nil, x) }, model.Logits},
		{"softmax", func(b *onnx.Builder, x string) string { return b.Op("Softmax", nil, x) }, model.Probabilities},
		{"softmax, reshaped and cast", func(b *onnx.Builder, x string) string {
			return b.Op("Cast", onnx.Attrs{"to": int64(1)}, b.Op("Reshape", nil, b.Op("Softmax", nil, x), b.Ints(-1, 3)))
		}, model.Probabilities},
		{"divided by the sum", func(b *onnx.Builder, x string) string {
			return b.Op("Div", nil, x, b.Op("ReduceSum", nil, x, b.Ints(1)))
		}, model.Probabilities},
		{"sigmoid and its complement", func(b *onnx.Builder, x string) string {
			p := b.Op("Sigmoid", nil, x)
			return b.Op("Concat", onnx.Attrs{"axis": int64(1)}, b.Op("Sub", nil, number(b, 1), p), p)
		}, model.Probabilities},
		{"sum of two parts", func(b *onnx.Builder, x string) string {
			return b.Op("Add", nil, b.Op("Softmax", nil, x), b.Op("Softmax", nil, x))
		}, model.UnknownOutput},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := onnx.NewBuilder("g")
			b.OutputAs("y", tt.tail(b, b.Input("x", onnx.Float32, "n", 3)), onnx.Float32, onnx.Dims("n", 3))
			r, err := model.Recognise(b.Model(), model.Override{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Output != tt.want {
				t.Errorf("%q, not %q", r.Output, tt.want)
			}
		})
	}
}

// TestZipMapIsCutOff: what remains is the tensor of probabilities, the original stays.
func TestZipMapIsCutOff(t *testing.T) {
	m := zipped()
	r, err := model.Recognise(m, model.Override{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Classes, []string{"no", "yes"}) || len(r.Model.Graph.Outputs) != 1 || r.Model.Graph.Outputs[0].Type.Kind != onnx.KindTensor {
		t.Errorf("%q %v", r.Classes, r.Model.Graph.Outputs)
	}
	for _, n := range r.Model.Graph.Nodes {
		if n.Op == "ZipMap" || n.Op == "ArgMax" {
			t.Errorf("%s is left", n)
		}
	}
	if len(m.Graph.Nodes) != 3 || len(m.Graph.Outputs) != 2 {
		t.Error("the model itself was changed")
	}
}

func zipped() *onnx.Model {
	b := onnx.NewBuilder("zip")
	p := b.Op("Softmax", nil, b.Input("x", onnx.Float32, "n", 2))
	b.Output(b.Op("ArgMax", onnx.Attrs{"keepdims": int64(0)}, p), onnx.Int64, onnx.Dims("n"))
	b.Add("ZipMap", onnx.Attrs{"classlabels_strings": []string{"no", "yes"}}, []string{p}, []string{b.Name("z")}).Domain = "ai.onnx.ml"
	number := onnx.TensorOf(onnx.Float32, onnx.Shape{})
	entry := onnx.Type{Kind: onnx.KindMap, Elem: onnx.String, Of: &number}
	b.Graph.Outputs = append(b.Graph.Outputs, onnx.Value{Name: "z", Type: onnx.Type{Kind: onnx.KindSequence, Of: &entry}})
	return b.Model()
}

func TestCycle(t *testing.T) {
	b := onnx.NewBuilder("g")
	x := b.Input("x", onnx.Float32, "n", 2)
	y := b.Op("Add", nil, x, x)
	b.Graph.Nodes[0].Inputs[1] = y
	b.Output(y, onnx.Float32, onnx.Dims("n", 2))
	if _, err := model.Recognise(b.Model(), model.Override{}); err == nil || !strings.Contains(err.Error(), "Add node") {
		t.Errorf("%v does not name the node", err)
	}
}

func TestTooMuch(t *testing.T) {
	relu := func(in, out onnx.Shape, inputs int) *onnx.Model {
		b := onnx.NewBuilder("g")
		var last string
		for range inputs {
			last = b.Input("x", onnx.Float32)
			b.Graph.Inputs[len(b.Graph.Inputs)-1].Type.Shape = in
		}
		b.OutputAs("y", b.Op("Relu", nil, last), onnx.Float32, out)
		return b.Model()
	}
	for name, m := range map[string]*onnx.Model{
		"row":     relu(onnx.Dims("n", 1<<40), onnx.Dims("n", 2), 1),
		"batch":   relu(onnx.Dims(1<<40, 1), onnx.Dims(1<<40, 2), 1),
		"inputs":  relu(onnx.Dims("n", 1<<27), onnx.Dims("n", 2), 3),
		"classes": relu(onnx.Dims("n", 2), onnx.Dims("n", 1<<40), 1),
		"none":    relu(onnx.Dims("n", 2), onnx.Dims("n", 0), 1),
	} {
		if _, err := model.Recognise(m, model.Override{}); err == nil || !strings.Contains(err.Error(), "values") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRecognise(f *testing.F) {
	plain := func(b *onnx.Builder, x string) string { return b.Op("Sub", nil, x, number(b, 0.5)) }
	for _, m := range []*onnx.Model{zipped(), image(onnx.Float32, []any{"n", 3, 4, 4}, plain)} {
		data, err := m.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := onnx.Decode(data)
		if err != nil {
			return
		}
		r, err := model.Recognise(m, model.Override{})
		if err == nil && (r.RowSize() < 1 || r.RowSize() > model.MaxValues || r.Layout == "") {
			t.Errorf("%+v", r.Description)
		}
	})
}
