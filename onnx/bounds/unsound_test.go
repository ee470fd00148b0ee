package bounds

import (
	"errors"
	"math"
	"strings"
	"testing"

	"assay/internal/model/ort"
	"assay/onnx"
)

// TestMutations makes one rule after the other unsound, and asks whether the test of
// containment notices.
func TestMutations(t *testing.T) {
	narrow := func(r *rule) {
		sound := r.interval
		r.interval = func(b *bounder, n *onnx.Node) error {
			if err := sound(b, n); err != nil {
				return err
			}
			i := b.of(n.Outputs[0])
			inner := b.mul(b.sub(i.upper, i.lower), b.number(0.2))
			b.set(n, b.add(i.lower, inner), b.sub(i.upper, inner))
			return nil
		}
	}
	shift := func(field func(*relaxed) *string, by float64) func(r *rule) {
		return func(r *rule) {
			sound := r.relax
			r.relax = func(b *bounder, n *onnx.Node) relaxed {
				lines := sound(b, n)
				f := field(&lines)
				if *f == "" {
					*f = b.number(0)
				}
				*f = b.add(*f, b.number(by))
				return lines
			}
		}
	}
	lowerSlope := shift(func(r *relaxed) *string { return &r.lowerSlope }, 0.3)
	upperSlope := shift(func(r *relaxed) *string { return &r.upperSlope }, -0.3)
	lowerOffset := shift(func(r *relaxed) *string { return &r.lowerOffset }, 0.3)
	upperOffset := shift(func(r *relaxed) *string { return &r.upperOffset }, -0.3)
	lines := []func(*rule){lowerSlope, upperSlope, lowerOffset, upperOffset}
	for op := range table() {
		c, ok := alone[op]
		if !ok {
			c = trial{shape: []int64{4}, build: func(d *drawn, x string) string { return d.Op(op, nil, x) }}
		}
		c.name = op
		if !unsound(t, c, IBP, op, narrow) {
			t.Errorf("%s with too narrow an interval went unnoticed", op)
		}
		if table()[op].relax == nil {
			continue
		}
		for i, mutate := range lines {
			line := trial{name: op, shape: []int64{4}, build: func(d *drawn, x string) string {
				inputs := []string{d.Op("Neg", nil, x)}
				if op == "PRelu" {
					inputs = append(inputs, d.Number(onnx.Float32, 0.1))
				}
				// So that no interval is closer than the lines.
				y := d.Op(op, nil, inputs...)
				return d.Op("Sub", nil, y, d.Op("Mul", nil, x, d.Number(onnx.Float32, -0.5)))
			}}
			if !unsound(t, line, CROWN, op, mutate) {
				t.Errorf("%s with line %d moved went unnoticed", op, i)
			}
		}
	}
}

// alone has the networks of one operator that takes more than a vector.
var alone = map[string]trial{
	"Conv": {shape: []int64{1, 2, 2}, build: func(d *drawn, x string) string {
		return d.Op("Conv", nil, x, d.weight(1, 1, 1, 2, 2), d.weight(1, 1))
	}},
	"ConvTranspose": {shape: []int64{1, 2, 2}, build: func(d *drawn, x string) string {
		return d.Op("ConvTranspose", nil, x, d.weight(1, 1, 1, 2, 2))
	}},
	"Gemm":   {shape: []int64{3}, build: func(d *drawn, x string) string { return d.dense(x, 3, 2) }},
	"MatMul": {shape: []int64{3}, build: func(d *drawn, x string) string { return d.Op("MatMul", nil, x, d.weight(1, 3, 2)) }},
	"BatchNormalization": {shape: []int64{3}, build: func(d *drawn, x string) string {
		return d.Op("BatchNormalization", nil, x, d.positive(3), d.weight(1, 3), d.weight(1, 3), d.positive(3))
	}},
	"Add":   {shape: []int64{3}, build: func(d *drawn, x string) string { return d.Op("Add", nil, x, d.weight(1, 3)) }},
	"Sub":   {shape: []int64{3}, build: func(d *drawn, x string) string { return d.Op("Sub", nil, d.weight(1, 3), x) }},
	"Mul":   {shape: []int64{3}, build: func(d *drawn, x string) string { return d.Op("Mul", nil, x, d.weight(1, 3)) }},
	"Div":   {shape: []int64{3}, build: func(d *drawn, x string) string { return d.Op("Div", nil, x, d.weight(1, 3)) }},
	"PRelu": {shape: []int64{3}, build: func(d *drawn, x string) string { return d.Op("PRelu", nil, x, d.Number(onnx.Float32, 0.5)) }},
	"Reshape": {shape: []int64{4}, build: func(d *drawn, x string) string {
		return d.Op("Reshape", nil, x, d.Ints(-1, 2, 2))
	}},
	"Transpose": {shape: []int64{2, 2}, build: op("Transpose", onnx.Attrs{"perm": []int64{0, 2, 1}})},
	"Slice": {shape: []int64{4}, build: func(d *drawn, x string) string {
		return d.Op("Slice", nil, x, d.Ints(1), d.Ints(3), d.Ints(1))
	}},
	"Split": {shape: []int64{4}, build: func(d *drawn, x string) string {
		return d.Ops("Split", onnx.Attrs{"axis": int64(1), "num_outputs": int64(2)}, 2, x)[0]
	}},
	"Concat": {shape: []int64{4}, build: func(d *drawn, x string) string {
		return d.Op("Concat", onnx.Attrs{"axis": int64(1)}, x, x)
	}},
	"Gather": {shape: []int64{4}, build: func(d *drawn, x string) string {
		return d.Op("Gather", onnx.Attrs{"axis": int64(1)}, x, d.Ints(2, 0))
	}},
	"Pad":               {shape: []int64{4}, build: func(d *drawn, x string) string { return d.Op("Pad", nil, x, d.Ints(0, 1, 0, 0)) }},
	"MaxPool":           {shape: []int64{1, 4}, build: op("MaxPool", onnx.Attrs{"kernel_shape": []int64{2}})},
	"AveragePool":       {shape: []int64{1, 4}, build: op("AveragePool", onnx.Attrs{"kernel_shape": []int64{2}})},
	"GlobalAveragePool": {shape: []int64{1, 4}, build: op("GlobalAveragePool", nil)},
	"ReduceMean":        {shape: []int64{4}, build: func(d *drawn, x string) string { return d.Op("ReduceMean", nil, x, d.Ints(1)) }},
	"ReduceSum":         {shape: []int64{4}, build: func(d *drawn, x string) string { return d.Op("ReduceSum", nil, x, d.Ints(1)) }},
}

// unsound reports whether a network with one rule changed has a violation.
func unsound(t *testing.T, c trial, method Method, op string, mutate func(*rule)) bool {
	t.Helper()
	m := c.model(3, 0)
	b, err := newBounder(m, Options{Method: method})
	if err != nil {
		t.Fatal(c.name, err)
	}
	r := b.rules[op]
	mutate(&r)
	b.rules[op] = r
	bounded, err := b.finished()
	if err != nil {
		t.Fatal(c.name, err)
	}
	// Boxes of no width must be caught by others: what is narrowed there is not wrong.
	count, _, _ := c.ask(5, 35, 40).violations(t, m, bounded)
	return count > 0
}

// TestRuntimeApproximates holds the runtime to what is assumed of its approximations.
func TestRuntimeApproximates(t *testing.T) {
	var x []float32
	for v := -40.0; v <= 40; v += 1.0 / 512 {
		x = append(x, float32(v))
	}
	for _, op := range []string{"Exp", "Erf", "Tanh", "Sigmoid", "Softplus", "Gelu"} {
		b := onnx.NewBuilder(op)
		b.Output(b.Op(op, nil, b.Input("x", onnx.Float32, "n")), onnx.Float32, onnx.Dims("n"))
		m := b.Model()
		want := truth(t, m)(x, []int64{int64(len(x))})
		for i, y := range open(t, m, ort.OptimizeAll).run(t, ort.NewTensor(x))[0] {
			if d := math.Abs(float64(y) - want[i]); d > approximate/2*(1+math.Abs(want[i])) {
				t.Fatalf("%s of %v is %v, want %v", op, x[i], y, want[i])
			}
			if low, high, ok := codomain(m.Graph.Nodes[0]); ok && !(low <= float64(y) && float64(y) <= high) {
				t.Fatalf("%s of %v is %v, not within [%v, %v]", op, x[i], y, low, high)
			}
		}
	}
}

func TestUnsupported(t *testing.T) {
	b := onnx.NewBuilder("strange")
	x := b.Input("x", onnx.Float32, "batch", 4)
	y := b.OpAs("waves", "Sin", nil, x)
	y = b.OpAs("mixed", "ReduceSum", nil, y, b.Ints(0))
	b.Output(y, onnx.Float32, onnx.Dims(1, 4))
	_, err := New(b.Model(), Options{})
	var unsupported *Unsupported
	if !errors.As(err, &unsupported) || len(unsupported.Nodes) != 2 {
		t.Fatal(err)
	}
	for _, part := range []string{"Sin node waves", "ReduceSum node mixed", "along the batch"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not speak of %q", err, part)
		}
	}
}

// TestOverflow has sums beyond float32: the bounds are infinite, and no number is missing.
func TestOverflow(t *testing.T) {
	c := trial{shape: []int64{2}, build: func(d *drawn, x string) string {
		big := d.Weight(onnx.NewTensor("w", []float32{3e38, -3e38, 3e38, 3e38}, 2, 2))
		return d.Op("Relu", nil, d.Op("MatMul", nil, d.Op("Relu", nil, d.Op("MatMul", nil, x, big)), big))
	}}
	for _, method := range []Method{IBP, CROWNIBP, CROWN} {
		m := c.model(1, 0)
		bounded, err := New(m, Options{Method: method})
		if err != nil {
			t.Fatal(err)
		}
		got := open(t, bounded, ort.OptimizeAll).run(t, ort.NewTensor([]float32{1, 2}, 1, 2), ort.NewTensor([]float32{3, 3}, 1, 2))
		for i := range got[0] {
			if got[0][i] > 0 || !math.IsInf(float64(got[1][i]), 1) {
				t.Errorf("method %d: [%v, %v]", method, got[0][i], got[1][i])
			}
		}
	}
}
