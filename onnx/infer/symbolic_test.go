package infer_test

import (
	"slices"
	"strings"
	"testing"

	"assay/onnx"
	"assay/onnx/infer"
)

// TestNames follows sizes that have names through computations as exporters write them.
func TestNames(t *testing.T) {
	for _, c := range []struct {
		name, want string
		build      func(b *onnx.Builder) string
	}{
		{"flatten the rest", "float32[batch 12]", func(b *onnx.Builder) string {
			x := b.Input("x", onnx.Float32, "batch", 3, 4)
			batch := b.Op("Unsqueeze", nil, b.Op("Gather", nil, b.Op("Shape", nil, x), b.Number(onnx.Int64, 0)), b.Ints(0))
			return b.Op("Reshape", nil, x, b.Op("Concat", onnx.Attrs{"axis": int64(0)}, batch, b.Ints(-1)))
		}},
		{"heads", "float32[batch 4 seq 8]", func(b *onnx.Builder) string {
			x := b.Input("x", onnx.Float32, "batch", "seq", 32)
			first := b.Op("Slice", nil, b.Op("Shape", nil, x), b.Ints(0), b.Ints(2))
			width := b.Op("Div", nil, b.Op("Shape", onnx.Attrs{"start": int64(2)}, x), b.Ints(4))
			shape := b.Op("Concat", onnx.Attrs{"axis": int64(0)}, first, b.Ints(4), width)
			return b.Op("Transpose", onnx.Attrs{"perm": []int64{0, 2, 1, 3}}, b.Op("Reshape", nil, x, shape))
		}},
		{"merge and part", "float32[batch seq 32]", func(b *onnx.Builder) string {
			x := b.Input("x", onnx.Float32, "batch", "seq", 32)
			flat := b.Op("Reshape", nil, x, b.Ints(-1, 32))
			return b.Op("Reshape", nil, flat, b.Op("Shape", nil, x))
		}},
		{"grow", "float32[2*past+1 8]", func(b *onnx.Builder) string {
			x := b.Input("x", onnx.Float32, "past", 8)
			return b.Op("Concat", onnx.Attrs{"axis": int64(0)}, x, b.Input("y", onnx.Float32, 1, 8), x)
		}},
		{"convolutions with stride", "float32[n 8 floor((h+3)/4) floor((w+3)/4)]", func(b *onnx.Builder) string {
			x := b.Input("x", onnx.Float32, "n", 3, "h", "w")
			w1, w2 := b.Input("w1", onnx.Float32, 8, 3, 3, 3), b.Input("w2", onnx.Float32, 8, 8, 3, 3)
			conv := onnx.Attrs{"strides": []int64{2, 2}, "pads": []int64{1, 1, 1, 1}}
			return b.Op("Conv", conv, b.Op("Conv", conv, x, w1), w2)
		}},
		{"same padding", "float32[n 8 floor((h+1)/2)]", func(b *onnx.Builder) string {
			x, w := b.Input("x", onnx.Float32, "n", 3, "h"), b.Input("w", onnx.Float32, 8, 3, 5)
			return b.Op("Conv", onnx.Attrs{"strides": []int64{2}, "auto_pad": "SAME_UPPER"}, x, w)
		}},
		{"mask of a range", "bool[seq seq]", func(b *onnx.Builder) string {
			x := b.Input("x", onnx.Float32, "batch", "seq")
			n := b.Op("Gather", nil, b.Op("Shape", nil, x), b.Number(onnx.Int64, 1))
			r := b.Op("Range", nil, b.Number(onnx.Int64, 0), n, b.Number(onnx.Int64, 1))
			return b.Op("LessOrEqual", nil, r, b.Op("Unsqueeze", nil, r, b.Ints(1)))
		}},
		{"all but the first", "float32[n-1]", func(b *onnx.Builder) string {
			return b.Op("Slice", nil, b.Input("x", onnx.Float32, "n"), b.Ints(1), b.Ints(1<<62))
		}},
		{"the last", "float32[1]", func(b *onnx.Builder) string {
			return b.Op("Slice", nil, b.Input("x", onnx.Float32, "n"), b.Ints(-1), b.Ints(1<<62))
		}},
		{"more than there may be", "float32[y.0]", func(b *onnx.Builder) string {
			y := b.Name("y")
			b.Add("Slice", nil, []string{b.Input("x", onnx.Float32, "n"), b.Ints(0), b.Ints(5)}, []string{y})
			return y
		}},
		{"two names", "float32[y.0]", func(b *onnx.Builder) string {
			y := b.Name("y")
			b.Add("Add", nil, []string{b.Input("a", onnx.Float32, "n"), b.Input("b", onnx.Float32, "m")}, []string{y})
			return y
		}},
		{"one must be the other", "float32[7]", func(b *onnx.Builder) string {
			return b.Op("Add", nil, b.Input("a", onnx.Float32, "n"), b.Input("b", onnx.Float32, 7))
		}},
		{"same by computation", "float32[n+2]", func(b *onnx.Builder) string {
			x := b.Input("x", onnx.Float32, "n")
			pad := b.Op("Pad", nil, x, b.Ints(1, 1))
			return b.Op("Add", nil, pad, b.Op("Concat", onnx.Attrs{"axis": int64(0)}, x, b.Input("two", onnx.Float32, 2)))
		}},
		{"counted", "int64[2 y.1]", func(b *onnx.Builder) string {
			y := b.Name("y")
			b.Add("NonZero", nil, []string{b.Input("x", onnx.Float32, "n", 3)}, []string{y})
			return y
		}},
		{"a scalar", "float32[]", func(b *onnx.Builder) string {
			return b.Op("Gather", nil, b.Input("x", onnx.Float32, 3), b.Number(onnx.Int64, 1))
		}},
		{"not an operator", "unknown type", func(b *onnx.Builder) string {
			return b.Op("Nonsense", nil, b.Input("x", onnx.Float32, 3))
		}},
	} {
		b := onnx.NewBuilder("names")
		y := c.build(b)
		b.Graph.Outputs = []onnx.Value{{Name: y}}
		types, err := infer.Shapes(b.Model())
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := types.Of(y).String(); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
	}
}

// TestContradictions holds that an error names the node.
func TestContradictions(t *testing.T) {
	for _, c := range []struct {
		want  string
		build func(b *onnx.Builder) string
	}{
		{"do not broadcast", func(b *onnx.Builder) string {
			return b.Op("Add", nil, b.Input("x", onnx.Float32, 3), b.Input("y", onnx.Float32, 4))
		}},
		{"one type", func(b *onnx.Builder) string {
			return b.Op("Add", nil, b.Input("x", onnx.Float32, 3), b.Input("y", onnx.Int64, 3))
		}},
		{"do not multiply", func(b *onnx.Builder) string {
			return b.Op("MatMul", nil, b.Input("x", onnx.Float32, 2, 3), b.Input("y", onnx.Float32, 4, 2))
		}},
		{"wants 4 channels", func(b *onnx.Builder) string {
			return b.Op("Conv", nil, b.Input("x", onnx.Float32, 1, 3, 5), b.Input("w", onnx.Float32, 2, 4, 3))
		}},
		{"does not fit an axis", func(b *onnx.Builder) string {
			return b.Op("Conv", nil, b.Input("x", onnx.Float32, 1, 4, 2), b.Input("w", onnx.Float32, 2, 4, 3))
		}},
		{"does not fill", func(b *onnx.Builder) string {
			return b.Op("Reshape", nil, b.Input("x", onnx.Float32, 5), b.Ints(2, -1))
		}},
		{"negative", func(b *onnx.Builder) string {
			return b.Op("Pad", nil, b.Input("x", onnx.Float32, 3), b.Ints(-2, -2))
		}},
		{"negative", func(b *onnx.Builder) string {
			return b.Op("ConstantOfShape", nil, b.Ints(3, -3))
		}},
		{"overflows", func(b *onnx.Builder) string {
			return b.Op("Tile", nil, b.Input("x", onnx.Float32, 1<<40), b.Ints(1<<40))
		}},
		{"axis 2", func(b *onnx.Builder) string {
			return b.Op("Softmax", onnx.Attrs{"axis": int64(2)}, b.Input("x", onnx.Float32, 3, 4))
		}},
		{"index 5", func(b *onnx.Builder) string {
			return b.Op("Gather", nil, b.Input("x", onnx.Float32, 3), b.Ints(5))
		}},
		{"stated to be float32[2], but must be float32[3]", func(b *onnx.Builder) string {
			y := b.Op("Relu", nil, b.Input("x", onnx.Float32, 3))
			b.Graph.Values = []onnx.Value{{Name: y, Type: onnx.TensorOf(onnx.Float32, onnx.Fixed(2))}}
			return y
		}},
	} {
		b := onnx.NewBuilder("wrong")
		y := c.build(b)
		b.Graph.Outputs = []onnx.Value{{Name: y}}
		_, err := infer.Shapes(b.Model())
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), y) {
			t.Errorf("want an error of %q at %s, got: %v", c.want, y, err)
		}
	}
}

// TestContents follows what small tensors hold.
func TestContents(t *testing.T) {
	b := onnx.NewBuilder("contents")
	x := b.Input("x", onnx.Float32, "n", 3)
	sizes := b.Op("Mul", nil, b.Op("Shape", nil, x), b.Ints(2))
	scale := b.Op("Sqrt", nil, b.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, b.Number(onnx.Int64, 16)))
	picked := b.Op("Where", nil, b.Op("Equal", nil, b.Ints(-1, 4), b.Ints(-1, -1)), b.Ints(7, 7), b.Ints(1, 2))
	types, err := infer.Shapes(b.Model())
	if err != nil {
		t.Fatal(err)
	}
	if got := types.Sizes(sizes).String(); got != "[2*n 6]" {
		t.Errorf("sizes are %s", got)
	}
	if types.Constant(sizes) != nil || types.Constant(x) != nil {
		t.Error("what a run decides is called constant")
	}
	if c := types.Constant(scale); c == nil || c.Len() != 1 || len(c.Shape) != 0 {
		t.Errorf("scale is %v", c)
	} else if v, err := onnx.View[float32](c); err != nil || v[0] != 4 {
		t.Errorf("scale is %v, %v", v, err)
	}
	if v, err := types.Constant(picked).Int64s(); err != nil || !slices.Equal(v, []int64{7, 2}) {
		t.Errorf("picked %v, %v", v, err)
	}
}

// TestSubgraphs looks into the bodies of control flow, where names may repeat.
func TestSubgraphs(t *testing.T) {
	branch := func(rows int64) *onnx.Graph {
		b := onnx.NewBuilder("branch")
		y := b.Name("y")
		b.Add("Tile", nil, []string{"x", b.Weight(onnx.NewTensor("times", []int64{1, rows}))}, []string{y})
		b.Graph.Outputs = []onnx.Value{{Name: y}}
		return b.Graph
	}
	yes, no := branch(2), branch(3)
	b := onnx.NewBuilder("if")
	b.Input("x", onnx.Float32, "n", 4)
	y := b.Op("If", onnx.Attrs{"then_branch": yes, "else_branch": no}, b.Input("which", onnx.Bool))
	types, err := infer.Shapes(b.Model())
	if err != nil {
		t.Fatal(err)
	}
	if got := types.Inside(yes).Of("y").String(); got != "float32[n 8]" {
		t.Errorf("then: %s", got)
	}
	if got := types.Inside(no).Of("y").String(); got != "float32[n 12]" {
		t.Errorf("else: %s", got)
	}
	if s := types.Shape(y); len(s) != 2 || s[0].Param != "n" || s[1].Known() {
		t.Errorf("either: %v", s)
	}

	// A loop that doubles what it carries: its size is open, the pieces it stacks too.
	body := onnx.NewBuilder("body")
	body.Input("i", onnx.Int64)
	again := body.Input("again", onnx.Bool)
	carried := body.Graph
	carried.Inputs = append(carried.Inputs, onnx.Value{Name: body.Name("carried")})
	double := body.Op("Concat", onnx.Attrs{"axis": int64(0)}, "carried", "carried")
	body.Graph.Outputs = []onnx.Value{{Name: body.Op("Identity", nil, again)}, {Name: double}, {Name: body.Op("ReduceSum", nil, double)}}
	b = onnx.NewBuilder("loop")
	outs := b.Ops("Loop", onnx.Attrs{"body": body.Graph}, 2, b.Number(onnx.Int64, 5), "", b.Input("x", onnx.Float32, "n", 3))
	if types, err = infer.Shapes(b.Model()); err != nil {
		t.Fatal(err)
	}
	if s := types.Shape(outs[0]); len(s) != 2 || s[0].Known() || s[0].Param == "n" || s[1].Size != 3 {
		t.Errorf("carried: %v", s)
	}
	if got := types.Of(outs[1]).String(); got != "float32[5 1 1]" {
		t.Errorf("stacked: %s", got)
	}
}

func TestWithInput(t *testing.T) {
	b := onnx.NewBuilder("batch")
	y := b.Op("Relu", nil, b.Input("x", onnx.Float32, "batch", 3))
	types, err := infer.Shapes(b.Model(), infer.WithInput("x", onnx.Fixed(16, 3)))
	if err != nil || types.Of(y).String() != "float32[16 3]" {
		t.Errorf("%v, %v", types.Of(y), err)
	}
	if _, err := infer.Shapes(b.Model(), infer.WithInput("x", onnx.Fixed(16, 4))); err == nil {
		t.Error("a wrong shape is taken")
	}
}

// TestHostile holds that absurd sizes cost nothing.
func TestHostile(t *testing.T) {
	b := onnx.NewBuilder("hostile")
	x, y := b.Input("x", onnx.Int64, 1<<40, 0), b.Input("y", onnx.Int64, 1<<40, 1<<20)
	concat := b.Op("Concat", onnx.Attrs{"axis": int64(1)}, x, x)
	filled := b.Op("ConstantOfShape", nil, b.Ints(1<<30, 1<<30))
	b.Op("Add", nil, filled, filled)
	b.Op("Tile", nil, x, b.Ints(1<<20, 1<<40))
	b.Op("Transpose", nil, y)
	b.Op("Range", nil, b.Number(onnx.Int64, 0), b.Number(onnx.Int64, 1<<53), b.Number(onnx.Int64, 1))
	types, err := infer.Shapes(b.Model())
	if err != nil {
		t.Fatal(err)
	}
	if got := types.Of(concat).String(); got != "int64[1099511627776 0]" {
		t.Error(got)
	}
}

// FuzzShapes infers models of any form: no panic, and bounded work.
func FuzzShapes(f *testing.F) {
	for _, op := range []string{"Reshape", "Slice", "Gather", "Tile", "Pad", "Expand", "Concat", "Add", "Split", "Resize", "Range"} {
		b := onnx.NewBuilder("seed")
		x := b.Input("x", onnx.Float32, "n", 4)
		b.Graph.Outputs = []onnx.Value{{Name: b.Op(op, onnx.Attrs{"axis": int64(0)}, x, b.Ints(2, 2), b.Ints(2, 2))}}
		data, err := b.Model().Encode()
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
		types, err := infer.Shapes(m)
		if err != nil {
			return
		}
		for _, name := range types.Names() {
			types.Constant(name)
			types.Sizes(name)
		}
	})
}
