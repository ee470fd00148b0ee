package model

import (
	"errors"
	"fmt"
	"slices"

	"assay/onnx"
	"assay/onnx/infer"
)

// drawing tells of the operators that draw at random how many inputs they need.
var drawing = map[string]int{
	"RandomNormal": 0, "RandomUniform": 0, "RandomNormalLike": 1, "RandomUniformLike": 1, "Bernoulli": 1, "Multinomial": 1, "Dropout": 3,
}

// sources takes the inputs that the metadata declare as random, and those into which it makes the graph's own nodes that draw:
// so whoever runs the model decides what is drawn. Nodes in graphs inside of others are left as they are.
func (r *Recognised) sources(declared []RandomInput) error {
	made, err := r.replaceDraws()
	if err != nil {
		return err
	}
	if len(declared) == 0 && len(made) == 0 {
		return nil
	}
	g := r.Model.Graph
	free := g.FreeInputs()
	for _, d := range append(slices.Clone(declared), made...) {
		i := slices.IndexFunc(free, func(v onnx.Value) bool { return v.Name == d.Input })
		if i < 0 {
			return fmt.Errorf("the metadata name the random input %q, and the model has none of that name", d.Input)
		}
		sizes, _ := free[i].Type.Shape.Sizes()
		if free[i].Type.Elem != onnx.Float32 || len(sizes) == 0 {
			return fmt.Errorf("the random input %q is %s: it must be of float32, with the batch as its first dimension", d.Input, free[i].Type)
		}
		n, ok := onnx.Count(sizes[1:])
		if !ok || n > MaxValues/int64(max(sizes[0], 1)) {
			return fmt.Errorf("the random input %q is %s, which does not tell how many numbers a row takes, or is more than %d at once", d.Input, free[i].Type, MaxValues)
		}
		if batch := int(sizes[0]); batch > 0 {
			if r.Batch > 0 && r.Batch != batch {
				return fmt.Errorf("the inputs have batches of %d and %d rows", r.Batch, batch)
			}
			r.Batch = batch
		}
		r.Random = append(r.Random, Source{d, sizes[1:], int(n)})
	}
	random := func(v onnx.Value) bool { return r.source(v.Name) }
	last := slices.DeleteFunc(slices.Clone(g.Inputs), func(v onnx.Value) bool { return !random(v) })
	g.Inputs = append(slices.DeleteFunc(slices.Clone(g.Inputs), random), last...)
	r.Random = slices.SortedFunc(slices.Values(r.Random), func(a, b Source) int {
		at := func(s Source) int {
			return slices.IndexFunc(last, func(v onnx.Value) bool { return v.Name == s.Input })
		}
		return at(a) - at(b)
	})
	r.Description.Random = len(r.Random) > 0
	return nil
}

func (r *Recognised) source(input string) bool {
	return slices.ContainsFunc(r.Random, func(s Source) bool { return s.Input == input })
}

// draws reports whether some node of a list is one that draws.
func draws(nodes []*onnx.Node) bool {
	return slices.ContainsFunc(nodes, func(n *onnx.Node) bool {
		inputs, ok := drawing[n.OpType()]
		return ok && len(n.Inputs) >= inputs
	})
}

// replaceDraws makes nodes that draw into nodes that compute the same of an input.
func (r *Recognised) replaceDraws() ([]RandomInput, error) {
	inFunctions := slices.ContainsFunc(r.Model.Functions, func(f *onnx.Function) bool { return draws(f.Nodes) })
	if inFunctions {
		if err := r.Model.Inline(); err != nil {
			return nil, err
		}
	}
	g := r.Model.Graph
	if !draws(g.Nodes) {
		return nil, nil
	}
	types, err := infer.Shapes(r.Model)
	if err != nil {
		return nil, fmt.Errorf("the shapes of the model's random values: %w", err)
	}
	d := &drawn{Builder: onnx.Extend(g), types: types, index: newGraphIndex(g)}
	if free := g.FreeInputs(); len(free) > 0 && len(free[0].Type.Shape) > 0 {
		d.batch = free[0].Type.Shape[0]
	}
	nodes := g.Nodes
	g.Nodes = make([]*onnx.Node, 0, len(nodes))
	for _, n := range nodes {
		if _, ok := drawing[n.OpType()]; !ok || !d.replace(n) {
			g.Nodes = append(g.Nodes, n)
		}
	}
	r.drawn = len(d.inputs) > 0
	if d.alone && r.drawn {
		if d.batch.Size > 1 {
			return nil, errors.New("the model draws random numbers that all rows of its batch share: export it with a batch of one row, or of any number")
		}
		r.Batch = 1
	}
	return d.inputs, nil
}

// drawn is a graph whose nodes that draw are being replaced.
type drawn struct {
	*onnx.Builder
	types  *infer.Types
	index  *graphIndex
	batch  onnx.Dim
	inputs []RandomInput
	alone  bool // rows share what is drawn, so each must run by itself
}

// replace puts nodes in the place of one that draws, or reports that it cannot.
func (d *drawn) replace(n *onnx.Node) bool {
	if len(n.Outputs) == 0 || n.Outputs[0] == "" {
		return false
	}
	out := d.types.Of(n.Outputs[0])
	switch n.OpType() {
	case "RandomNormal", "RandomNormalLike":
		in := RandomInput{Distribution: Normal, Mean: float64(n.Float("mean", 0)), Deviation: float64(n.Float("scale", 1))}
		return d.finish(n, d.input(in, out.Shape), out.Elem)
	case "RandomUniform", "RandomUniformLike":
		in := RandomInput{Distribution: Uniform, Low: float64(n.Float("low", 0)), High: float64(n.Float("high", 1))}
		return d.finish(n, d.input(in, out.Shape), out.Elem)
	case "Bernoulli":
		u := d.uniform(out.Shape)
		if u == "" {
			return false
		}
		return d.finish(n, d.Op("Less", nil, u, d.float(n.Inputs[0])), out.Elem)
	case "Multinomial":
		return d.multinomial(n, out)
	case "Dropout":
		return d.dropout(n, out)
	}
	return false
}

// finish gives a value the name and type of a node's output.
func (d *drawn) finish(n *onnx.Node, value string, elem onnx.DataType) bool {
	if value == "" {
		return false
	}
	d.Add("Cast", onnx.Attrs{"to": int64(elem)}, []string{value}, n.Outputs[:1])
	return true
}

func (d *drawn) float(value string) string {
	return d.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, value)
}

func (d *drawn) uniform(shape onnx.Shape) string {
	return d.input(RandomInput{Distribution: Uniform, High: 1}, shape)
}

// input adds an input of random numbers that are used in a shape. It gives "" where the shape does not tell how many.
func (d *drawn) input(in RandomInput, shape onnx.Shape) string {
	perRow := len(shape) > 0 && shape[0].Equal(d.batch)
	sizes, _ := shape.Sizes()
	if perRow {
		sizes = sizes[1:]
	}
	if n, ok := onnx.Count(sizes); shape == nil || !ok || n == 0 || in.checkNumbers() != nil {
		return ""
	}
	dims := []any{d.batch}
	for _, size := range sizes {
		dims = append(dims, size)
	}
	if !perRow {
		dims[0] = 1
	}
	in.Input = d.Input("assay_draw", onnx.Float32, dims...)
	d.inputs = append(d.inputs, in)
	if perRow {
		return in.Input
	}
	d.alone = true
	return d.Op("Reshape", nil, in.Input, d.Ints(sizes...))
}

func (r RandomInput) checkNumbers() error {
	r.Input = "draw"
	return r.validate()
}

// multinomial takes the greatest of the logarithms of the weights and Gumbel noise (Gumbel 1954; the Gumbel-max trick), which
// draws each class by its weight.
func (d *drawn) multinomial(n *onnx.Node, out onnx.Type) bool {
	weights := d.types.Shape(n.Inputs[0])
	if len(weights) != 2 || len(out.Shape) != 2 || !weights[1].Known() {
		return false
	}
	u := d.uniform(onnx.Shape{out.Shape[0], out.Shape[1], weights[1]})
	if u == "" {
		return false
	}
	const least = 1e-20
	number := func(v float64) string { return d.Number(onnx.Float32, v) }
	noise := d.Op("Neg", nil, d.Op("Log", nil, d.Op("Neg", nil, d.Op("Log", nil, d.Op("Max", nil, u, number(least))))))
	logs := d.Op("Reshape", nil, d.float(n.Inputs[0]), d.Ints(0, 1, -1))
	best := d.Op("ArgMax", onnx.Attrs{"axis": int64(2), "keepdims": int64(0)}, d.Op("Add", nil, logs, noise))
	return d.finish(n, best, out.Elem)
}

// dropout replaces a Dropout in training mode, which drops elements also when the model is in use.
func (d *drawn) dropout(n *onnx.Node, out onnx.Type) bool {
	training := d.types.Constant(n.Input(2))
	if training == nil || training.Len() != 1 {
		return false
	}
	if on, err := training.Float64s(); err != nil || on[0] == 0 {
		return false
	}
	share := 0.5
	if n.Input(1) != "" {
		ratio := d.types.Constant(n.Input(1))
		if ratio == nil || ratio.Len() != 1 {
			return false
		}
		values, err := ratio.Float64s()
		if err != nil || !(values[0] >= 0 && values[0] < 1) {
			return false
		}
		share = values[0]
	}
	u := d.uniform(out.Shape)
	if u == "" {
		return false
	}
	kept := d.Op("GreaterOrEqual", nil, u, d.Number(onnx.Float32, share))
	scale := d.Op("Div", nil, d.float(kept), d.Number(onnx.Float32, 1-share))
	if mask := n.Output(1); mask != "" {
		d.Add("Identity", nil, []string{kept}, []string{mask})
	}
	return d.finish(n, d.Op("Mul", nil, d.float(n.Inputs[0]), scale), out.Elem)
}
