package autodiff

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"assay/internal/float64eval"
	"assay/internal/model/ort"
	"assay/onnx"
)

// normal is a weight or input of normally distributed numbers.
func normal(rng *rand.Rand, name string, shape ...int64) *onnx.Tensor {
	n, _ := onnx.Count(shape)
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(rng.NormFloat64())
	}
	return onnx.NewTensor(name, values, shape...)
}

// trial is a model that is being built, and what it is run on.
type trial struct {
	*onnx.Builder
	rng   *rand.Rand
	feeds map[string]float64eval.Value
}

func newTrial(seed uint64) *trial {
	return &trial{onnx.NewBuilder("trial"), rand.New(rand.NewPCG(seed, 2)), map[string]float64eval.Value{}}
}

// input declares an input, whose sizes may be stated by name, and feeds it.
func (c *trial) input(name string, stated onnx.Shape, shape ...int64) string {
	x, err := ort.FromONNX(normal(c.rng, name, shape...))
	if err != nil {
		panic(err)
	}
	c.Graph.Inputs = append(c.Graph.Inputs, onnx.Value{Name: c.Name(name), Type: onnx.TensorOf(onnx.Float32, stated)})
	c.feeds[name] = x
	return name
}

func (c *trial) fixedInput(name string, shape ...int64) string {
	return c.input(name, onnx.Fixed(shape...), shape...)
}

func (c *trial) weight(name string, shape ...int64) string {
	return c.Weight(normal(c.rng, name, shape...))
}

func (c *trial) check(t *testing.T) {
	t.Helper()
	n, err := gradientCheck{model: c.Model(), feeds: c.feeds, seed: 1}.run()
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		t.Fatal("nothing was compared")
	}
}

// TestScan covers directions and axes of inputs and outputs, several states, weights
// from outside and sizes that only a run knows.
func TestScan(t *testing.T) {
	for _, dynamic := range []bool{false, true} {
		for inDirection := range int64(2) {
			for outDirection := range int64(2) {
				for axis := range int64(2) {
					t.Run(fmt.Sprint(dynamic, inDirection, outDirection, axis), func(t *testing.T) {
						scans(dynamic, inDirection, outDirection, axis).check(t)
					})
				}
			}
		}
	}
}

func scans(dynamic bool, inDirection, outDirection, axis int64) *trial {
	const steps, batch, width = 4, 2, 3
	var n, s any = batch, steps
	if dynamic {
		n, s = "batch", "steps"
	}
	c := newTrial(1)
	h := c.input("h", onnx.Dims(n, width), batch, width)
	k := c.input("k", onnx.Dims(n, width), batch, width)
	x := c.input("x", onnx.Dims(s, n, width), steps, batch, width)
	z := c.input("z", onnx.Dims(n, s, width), batch, steps, width)
	if axis == 0 {
		z = c.Op("Transpose", onnx.Attrs{"perm": []int64{1, 0, 2}}, z)
	}
	w, v, bias := c.weight("w", width, width), c.weight("v", width, width), c.weight("bias", width)
	b := c.Body("body")
	hb, kb := b.Input("hb", onnx.Float32, n, width), b.Input("kb", onnx.Float32, n, width)
	xt, zt := b.Input("xt", onnx.Float32, n, width), b.Input("zt", onnx.Float32, n, width)
	hw := b.Op("MatMul", nil, b.Op("Add", nil, hb, xt), w)
	next := b.Op("Tanh", nil, b.Op("Add", nil, hw, bias))
	other := b.Op("Mul", nil, b.Op("Sigmoid", nil, b.Op("Add", nil, kb, next)), b.Op("MatMul", nil, zt, v))
	b.Output(next, onnx.Float32, onnx.Dims(n, width))
	b.Output(other, onnx.Float32, onnx.Dims(n, width))
	b.OutputAs("y", b.Op("Mul", nil, next, kb), onnx.Float32, onnx.Dims(n, width))
	b.OutputAs("u", other, onnx.Float32, onnx.Dims(n, width))
	out := c.Ops("Scan", onnx.Attrs{
		"body": b.Graph, "num_scan_inputs": int64(2),
		"scan_input_directions": []int64{inDirection, 1}, "scan_input_axes": []int64{0, axis},
		"scan_output_directions": []int64{0, outDirection}, "scan_output_axes": []int64{axis, -1},
	}, 4, h, k, x, z)
	shape := onnx.Dims(s, n, width)
	if axis == 1 {
		shape = onnx.Dims(n, s, width)
	}
	c.Output(out[0], onnx.Float32, onnx.Dims(n, width))
	c.Output(out[2], onnx.Float32, shape)
	c.Output(out[3], onnx.Float32, onnx.Dims(n, width, s))
	return c
}

// TestScanWithoutSavedValues has a body whose reverse pass needs nothing of it.
func TestScanWithoutSavedValues(t *testing.T) {
	c := newTrial(1)
	s, x := c.fixedInput("s", 3), c.fixedInput("x", 4, 3)
	b := c.Body("body")
	sb, xb := b.Input("sb", onnx.Float32, 3), b.Input("xb", onnx.Float32, 3)
	b.Output(b.Op("Sub", nil, sb, xb), onnx.Float32, onnx.Fixed(3))
	c.Output(c.Op("Scan", onnx.Attrs{"body": b.Graph, "num_scan_inputs": int64(1)}, s, x), onnx.Float32, onnx.Fixed(3))
	c.check(t)
}

// TestIf has branches that use different values from outside, and an If in a branch.
func TestIf(t *testing.T) {
	for _, nested := range []bool{false, true} {
		for _, positive := range []bool{false, true} {
			t.Run(fmt.Sprint(nested, positive), func(t *testing.T) {
				c := branches(nested)
				x := ort.Data[float32](c.feeds["x"].(*ort.Tensor))
				var sum float32
				for _, v := range x {
					sum += v
				}
				if sum > 0 != positive {
					for i := range x {
						x[i] = -x[i]
					}
				}
				c.check(t)
			})
		}
	}
}

func branches(nested bool) *trial {
	c := newTrial(1)
	x, w := c.fixedInput("x", 2, 3), c.weight("w", 3, 3)
	a, d := c.weight("a", 3), c.weight("d", 2, 3)
	condition := c.Op("Greater", nil, c.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, x), c.Number(onnx.Float32, 0))
	yes, no := c.Body("yes"), c.Body("no")
	h := yes.Op("Tanh", nil, yes.Op("MatMul", nil, x, w))
	if nested {
		deep, shallow := yes.Body("deep"), yes.Body("shallow")
		deep.Output(deep.Op("Mul", nil, deep.Op("Exp", nil, h), h), onnx.Float32, onnx.Fixed(2, 3))
		shallow.Output(shallow.Op("Mul", nil, h, a), onnx.Float32, onnx.Fixed(2, 3))
		h = yes.Op("If", onnx.Attrs{"then_branch": deep.Graph, "else_branch": shallow.Graph}, condition)
	}
	yes.Output(yes.Op("Mul", nil, h, a), onnx.Float32, onnx.Fixed(2, 3))
	yes.OutputAs("same", x, onnx.Float32, onnx.Fixed(2, 3))
	no.Output(no.Op("Mul", nil, x, d), onnx.Float32, onnx.Fixed(2, 3))
	no.Output(no.Op("Mul", nil, x, x), onnx.Float32, onnx.Fixed(2, 3))
	for _, y := range c.Ops("If", onnx.Attrs{"then_branch": yes.Graph, "else_branch": no.Graph}, 2, condition) {
		c.Output(y, onnx.Float32, onnx.Fixed(2, 3))
	}
	return c
}

// loops adds a Loop that carries x and a count, uses the round's number, and stacks.
func (c *trial) loops(trips string, again func(b *onnx.Builder, condition, state string) string) {
	x, w := c.fixedInput("x", 2, 3), c.weight("w", 3, 3)
	b := c.Body("body")
	i, condition := b.Input("i", onnx.Int64), b.Input("condition", onnx.Bool)
	s, count := b.Input("s", onnx.Float32, 2, 3), b.Input("count", onnx.Int64)
	factor := b.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, b.Op("Add", nil, i, b.Number(onnx.Int64, 1)))
	next := b.Op("Sin", nil, b.Op("MatMul", nil, b.Op("Mul", nil, s, factor), w))
	b.Output(again(b, condition, s), onnx.Bool, onnx.Fixed())
	b.Output(next, onnx.Float32, onnx.Fixed(2, 3))
	b.Output(b.Op("Add", nil, count, i), onnx.Int64, onnx.Fixed())
	b.Output(b.Op("Mul", nil, next, x), onnx.Float32, onnx.Fixed(2, 3))
	out := c.Ops("Loop", onnx.Attrs{"body": b.Graph}, 3, trips, "", x, c.Number(onnx.Int64, 0))
	c.Output(out[0], onnx.Float32, onnx.Fixed(2, 3))
	c.Output(out[2], onnx.Float32, onnx.Dims(-1, 2, 3))
}

func forever(b *onnx.Builder, condition, _ string) string { return b.Op("Identity", nil, condition) }

func TestLoop(t *testing.T) {
	c := newTrial(1)
	c.loops(c.Number(onnx.Int64, 3), forever)
	c.check(t)
}

// TestLoopThatGrows carries a value that is longer after each round.
func TestLoopThatGrows(t *testing.T) {
	c := newTrial(1)
	x, w := c.fixedInput("x", 1, 3), c.weight("w", 3, 3)
	b := c.Body("body")
	i, condition := b.Input("i", onnx.Int64), b.Input("condition", onnx.Bool)
	s := b.Input("s", onnx.Float32, "rows", 3)
	last := b.Op("Gather", nil, s, b.Op("Unsqueeze", nil, i, b.Ints(0)))
	next := b.Op("Tanh", nil, b.Op("MatMul", nil, last, w))
	b.Output(b.Op("Identity", nil, condition), onnx.Bool, onnx.Fixed())
	b.Output(b.Op("Concat", onnx.Attrs{"axis": int64(0)}, s, next), onnx.Float32, onnx.Dims("more", 3))
	b.Output(next, onnx.Float32, onnx.Fixed(1, 3))
	out := c.Ops("Loop", onnx.Attrs{"body": b.Graph}, 2, c.Number(onnx.Int64, 3), "", x)
	c.Output(out[0], onnx.Float32, onnx.Dims(-1, 3))
	c.Output(out[1], onnx.Float32, onnx.Dims(-1, 1, 3))
	c.check(t)
}

func TestLoopOfUnknownLength(t *testing.T) {
	whileSmall := func(b *onnx.Builder, _, s string) string {
		sum := b.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, s)
		return b.Op("Less", nil, sum, b.Number(onnx.Float32, 5))
	}
	for name, again := range map[string]func(b *onnx.Builder, condition, s string) string{"trips": forever, "condition": whileSmall} {
		c := newTrial(1)
		trips := c.Number(onnx.Int64, 3)
		if name == "trips" {
			trips = c.Input("trips", onnx.Int64)
		}
		c.loops(trips, again)
		g, err := New(c.Model())
		if err != nil {
			t.Fatal(err)
		}
		_, err = g.Gradient(g.Graph.Outputs[0].Name, "x")
		var not *NotDifferentiable
		if !errors.As(err, &not) || len(not.Nodes) != 1 || not.Nodes[0].Op != "Loop" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestInside finds where a gradient stops in graphs inside.
func TestInside(t *testing.T) {
	c := newTrial(1)
	x := c.fixedInput("x", 2, 3)
	b := c.Body("body")
	sb, xb := b.Input("sb", onnx.Float32, 3), b.Input("xb", onnx.Float32, 3)
	b.Output(b.Op("Add", nil, sb, b.Op("Round", nil, xb)), onnx.Float32, onnx.Fixed(3))
	y := c.Op("Scan", onnx.Attrs{"body": b.Graph, "num_scan_inputs": int64(1)}, c.weight("s", 3), x)
	c.Output(y, onnx.Float32, onnx.Fixed(3))
	g, err := New(c.Model())
	if err != nil {
		t.Fatal(err)
	}
	_, err = g.Gradient(y, "x")
	var none *NoPath
	if !errors.As(err, &none) || len(none.Stopped) != 1 || none.Stopped[0].Op != "Round" {
		t.Error(err)
	}
	if _, err = g.Gradient(y, "s"); err != nil {
		t.Error(err)
	}
}

// TestNested has a Scan in an If in a Scan, all of which use a weight from outside.
func TestNested(t *testing.T) {
	c := newTrial(5)
	x, s := c.fixedInput("x", 3, 4, 2), c.fixedInput("s", 2)
	w := c.weight("w", 2, 2)
	outer := c.Body("outer")
	so, xo := outer.Input("so", onnx.Float32, 2), outer.Input("xo", onnx.Float32, 4, 2)
	yes, no := outer.Body("yes"), outer.Body("no")
	inner := yes.Body("inner")
	si, xi := inner.Input("si", onnx.Float32, 2), inner.Input("xi", onnx.Float32, 2)
	row := inner.Op("Unsqueeze", nil, inner.Op("Add", nil, si, inner.Op("Mul", nil, xi, so)), inner.Ints(0))
	next := inner.Op("Tanh", nil, inner.Op("MatMul", nil, row, w))
	inner.Output(inner.Op("Squeeze", nil, next, inner.Ints(0)), onnx.Float32, onnx.Fixed(2))
	yes.Output(yes.Op("Scan", onnx.Attrs{"body": inner.Graph, "num_scan_inputs": int64(1)}, so, xo), onnx.Float32, onnx.Fixed(2))
	no.Output(no.Op("Squeeze", nil, no.Op("MatMul", nil, no.Op("Unsqueeze", nil, so, no.Ints(0)), w), no.Ints(0)), onnx.Float32, onnx.Fixed(2))
	sum := outer.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, xo)
	condition := outer.Op("Greater", nil, sum, outer.Number(onnx.Float32, 0))
	outer.Output(outer.Op("If", onnx.Attrs{"then_branch": yes.Graph, "else_branch": no.Graph}, condition), onnx.Float32, onnx.Fixed(2))
	y := c.Op("Scan", onnx.Attrs{"body": outer.Graph, "num_scan_inputs": int64(1)}, s, x)
	c.Output(y, onnx.Float32, onnx.Fixed(2))
	c.check(t)
}

// TestSecondOrderThroughGraphs differentiates a gradient through the graphs made for it.
func TestSecondOrderThroughGraphs(t *testing.T) {
	for name, c := range map[string]*trial{"Scan": scans(false, 0, 1, 1), "If": branches(true), "LSTM": recurrentCase{op: "LSTM", direction: "forward"}.build()} {
		t.Run(name, func(t *testing.T) {
			g, err := New(c.Model())
			if err != nil {
				t.Fatal(err)
			}
			x := g.Graph.FreeInputs()[0].Name
			grads, err := g.Gradient(g.Graph.Outputs[0].Name, x)
			if err != nil {
				t.Fatal(err)
			}
			g.Graph.Outputs = nil
			g.Output(g.Op("Mul", nil, grads.Names[0], grads.Names[0]), onnx.Float32, g.Graph.FreeInputs()[0].Type.Shape)
			n, err := gradientCheck{model: g.Model(), feeds: c.feeds, seed: 1}.run()
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
		})
	}
}

// TestMalformedBodies must fail, and not panic.
func TestMalformedBodies(t *testing.T) {
	for _, op := range []string{"Scan", "Loop", "If"} {
		for inputs := range 4 {
			for outputs := range 4 {
				b := onnx.NewBuilder("malformed")
				x := b.Input("x", onnx.Float32, 2, 2)
				body := b.Body("body")
				for i := range inputs {
					body.Input(fmt.Sprint("in", i), onnx.Float32, 2)
				}
				for range outputs {
					body.OutputAs("out", x, onnx.Float32, nil)
				}
				attrs := onnx.Attrs{"num_scan_inputs": int64(1), "body": body.Graph, "then_branch": body.Graph, "else_branch": body.Graph}
				y := b.Ops(op, attrs, 2, x, x)
				b.Output(y[0], onnx.Float32, nil)
				g, err := New(b.Model())
				if err != nil {
					continue
				}
				if _, err := g.Gradient(y[0], x); err == nil && (op != "If" || outputs < 2) {
					t.Errorf("%s with %d inputs and %d outputs has a gradient", op, inputs, outputs)
				}
			}
		}
	}
}
