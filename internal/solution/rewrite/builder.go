package rewrite

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"assay/internal/model"
	"assay/onnx"
)

// Builder builds a model that takes what a classifier takes, as float32.
type Builder struct {
	*onnx.Builder
	Input string // the batch of rows

	of       *Classifier
	calls    []*onnx.Function
	weights  map[*Classifier][]string
	random   []model.RandomInput
	straight map[string]bool // names of nodes, before they are given their last
}

// domain is where the classifiers' graphs are called until the model is finished.
const domain = "assay.solution"

// Begin begins a model that is to stand in a classifier's place.
func (c *Classifier) Begin() *Builder {
	b := &Builder{Builder: onnx.NewBuilder(c.source.Graph.Name), of: c, weights: map[*Classifier][]string{}, straight: map[string]bool{}}
	dims := []any{c.dim()}
	for _, size := range c.Shape {
		dims = append(dims, int(size))
	}
	b.Input = b.Builder.Input(c.input.Name, onnx.Float32, dims...)
	return b
}

// dim is the number of rows.
func (c *Classifier) dim() any {
	if c.Batch > 0 {
		return c.Batch
	}
	return "batch"
}

// Call runs a classifier on x, of the shape of its rows, and gives its logits, [N, classes] of float32, and the values
// of the layers named. Logits of probabilities are their logarithms. All calls of a classifier share its weights.
func (b *Builder) Call(c *Classifier, x string, layers ...string) (logits string, values []string) {
	f := b.function(c, layers)
	if c.input.Type.Elem != onnx.Float32 {
		x = b.Op("Cast", onnx.Attrs{"to": int64(c.input.Type.Elem)}, x)
	}
	outputs := make([]string, len(f.Outputs))
	for i, o := range f.Outputs {
		outputs[i] = b.Name(o)
	}
	call := b.Add(f.Name, nil, append([]string{x}, b.weights[c]...), outputs)
	call.Domain = f.Domain
	values = outputs[1:]
	for i, name := range layers {
		values[i] = b.float(values[i], c.types.Of(name).Elem)
	}
	return b.logits(c, b.float(outputs[0], c.types.Of(c.value).Elem)), values
}

// function makes a classifier's graph one that can be called.
func (b *Builder) function(c *Classifier, layers []string) *onnx.Function {
	g := c.source.Graph
	f := &onnx.Function{Name: "classifier" + strconv.Itoa(len(b.calls)), Domain: domain, Inputs: []string{c.input.Name}, Opsets: c.source.Opsets, Nodes: g.Nodes}
	f.Outputs = append([]string{c.value}, layers...)
	_, known := b.weights[c]
	for _, t := range g.Initializers {
		f.Inputs = append(f.Inputs, t.Name)
		if !known {
			b.weights[c] = append(b.weights[c], b.Weight(t))
		}
	}
	for _, name := range c.defence.StraightThrough {
		b.straight[name] = true
	}
	b.calls = append(b.calls, f)
	return f
}

func (b *Builder) float(value string, from onnx.DataType) string {
	if from == onnx.Float32 {
		return value
	}
	return b.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, value)
}

// logits brings scores to the form [N, classes], the greatest winning.
func (b *Builder) logits(c *Classifier, value string) string {
	width := int64(len(c.Classes))
	if c.form == lead || c.form == second {
		width = 1
	}
	if t := c.types.Of(c.value); len(t.Shape) != 2 || t.Shape[1].Size != width {
		value = b.Op("Reshape", nil, value, b.Ints(-1, width))
	}
	join := func(first string) { value = b.Op("Concat", onnx.Attrs{"axis": int64(1)}, first, value) }
	switch c.form {
	case lead:
		join(b.Op("Mul", nil, value, b.Number(onnx.Float32, 0)))
	case second:
		join(b.Op("Sub", nil, b.Number(onnx.Float32, 1), value))
	}
	if c.form == second || c.form == probability {
		const least = 1e-12 // so that the logarithm of a probability of 0 is finite
		value = b.Op("Log", nil, b.Op("Max", nil, value, b.Number(onnx.Float32, least)))
	}
	return value
}

// Random declares an input of fresh random numbers, of some shape for each row.
func (b *Builder) Random(r model.RandomInput, shape ...int64) string {
	dims := []any{b.of.dim()}
	for _, size := range shape {
		dims = append(dims, int(size))
	}
	r.Input = b.Builder.Input(r.Input, onnx.Float32, dims...)
	b.random = append(b.random, r)
	return r.Input
}

// StraightThrough marks the node that makes a value: its gradient is to be passed through unchanged.
func (b *Builder) StraightThrough(value string) { b.straight[value] = true }

// Classify gives the model whose scores are logits, [N, classes]. With reject they have a column more, the refusal. It
// keeps the metadata of the classifier that it stands for. Nodes are named after what they make.
func (b *Builder) Classify(logits string, reject bool) (*onnx.Model, error) {
	classes := len(b.of.Classes)
	if reject {
		classes++
	}
	m, err := b.finish("logits", logits, classes)
	if err != nil {
		return nil, err
	}
	d := &model.Defence{Reject: reject, Random: b.random}
	for _, n := range m.Graph.Nodes {
		if b.straight[n.Output(0)] {
			d.StraightThrough = append(d.StraightThrough, n.Name)
		}
	}
	m.Metadata = maps.Clone(b.of.source.Metadata)
	return m, d.Write(m)
}

// Measure gives the model that gives a value, [N] or [N, ...] of float32, for each row.
func (b *Builder) Measure(value string) (*onnx.Model, error) { return b.finish("measure", value, 0) }

// finish puts the classifiers' graphs in place of their calls. With columns the output is a matrix.
func (b *Builder) finish(name, value string, columns int) (*onnx.Model, error) {
	m := b.Model()
	m.Opsets[domain] = 1
	for _, f := range b.calls {
		if v := f.Opsets[""]; v > m.Opsets[""] {
			m.Opsets[""] = v
			m.IRVersion = max(m.IRVersion, b.of.source.IRVersion)
		}
	}
	m.Functions = slices.Clone(b.calls)
	var shape onnx.Shape
	if columns > 0 {
		shape = onnx.Dims(b.of.dim(), columns)
	}
	b.OutputAs(name, value, onnx.Float32, shape)
	if err := m.Inline(); err != nil {
		return nil, err
	}
	delete(m.Opsets, domain)
	for _, n := range m.Graph.Nodes { // calls of one classifier have given several nodes the same name
		if b.straight[n.Name] {
			b.straight[n.Output(0)] = true
		}
		n.Name = n.Output(0)
	}
	if err := m.Sort(); err != nil {
		return nil, err
	}
	if err := m.Check(); err != nil {
		return nil, fmt.Errorf("the model that was built is not as it must be: %w", err)
	}
	return m, nil
}
