package gradient

import (
	"fmt"
	"slices"

	"assay/internal/model"
	"assay/onnx"
	"assay/onnx/autodiff"
	"assay/onnx/infer"
)

var byName = map[model.Loss]autodiff.Loss{
	model.CrossEntropy: autodiff.CrossEntropy, model.Margin: autodiff.Margin, model.TargetedMargin: autodiff.TargetedMargin,
	model.DLR: autodiff.DLR, model.TargetedDLR: autodiff.TargetedDLR,
}

// derive makes the graph that takes rows, labels, and targets where the loss has them,
// and gives scores, losses and gradients, all of float32.
func (m *Model) derive(loss model.Loss) (*onnx.Model, error) {
	source, rows, err := m.withRows()
	if err != nil {
		return nil, err
	}
	g, err := autodiff.New(source)
	if err != nil {
		return nil, err
	}
	if m.options.Surrogate {
		marked, err := m.marked()
		if err != nil {
			return nil, err
		}
		g.Surrogates(marked...)
	}
	e := &extension{Graph: g, model: m}
	scores, err := e.scores(source.Graph.Outputs[0].Name)
	if err != nil {
		return nil, err
	}
	if err := g.Simplify(scores); err != nil {
		return nil, err
	}
	if scores, err = e.columns(scores); err != nil {
		return nil, err
	}
	labels := g.Input("assay_labels", onnx.Int64, m.dim())
	var targets []string
	if loss.Targeted() {
		targets = append(targets, g.Input("assay_targets", onnx.Int64, m.dim()))
	}
	of := byName[loss]
	if m.recognised.Reject {
		of = autodiff.Refusing(of)
	}
	each, err := g.Loss(of, scores, labels, targets...)
	if err != nil {
		return nil, fmt.Errorf("loss %s: %w", loss, err)
	}
	grads, err := g.Gradient(each, rows.Name)
	if err != nil {
		return nil, err
	}
	if len(m.runners) == 0 { // the first is made before anyone can ask
		m.straight, m.stopped = names(grads.StraightThrough), names(grads.Stopped)
	}
	g.Graph.Outputs = nil
	g.OutputAs("assay_scores", scores, onnx.Float32, onnx.Dims(m.dim(), len(m.recognised.Classes)))
	g.OutputAs("assay_losses", each, onnx.Float32, onnx.Dims(m.dim()))
	g.OutputAs("assay_gradient", grads.Names[0], onnx.Float32, rows.Type.Shape)
	return g.Model(), g.State()
}

// marked gives the outputs of the nodes that the metadata name.
func (m *Model) marked() ([]string, error) {
	var outputs []string
	for _, name := range m.recognised.Defence.StraightThrough {
		nodes := m.recognised.Model.Graph.Nodes
		i := slices.IndexFunc(nodes, func(n *onnx.Node) bool { return n.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("the metadata name the node %q, whose gradient is to be passed straight through, and the model has none of that name on the way to its scores", name)
		}
		outputs = append(outputs, nodes[i].Output(0))
	}
	return outputs, nil
}

func names(nodes []*onnx.Node) []string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.String())
	}
	return out
}

// dim is the first dimension of everything that has a row for each row.
func (m *Model) dim() any {
	if m.recognised.Batch > 0 {
		return m.recognised.Batch
	}
	return "assay_batch"
}

// withRows gives the model with one input of float32 in place of its own: itself where
// it has one such, else cast, and cut into columns.
func (m *Model) withRows() (*onnx.Model, onnx.Value, error) {
	c := m.recognised.Model.Clone()
	r := m.recognised
	dims := []any{m.dim()}
	for _, size := range r.Shape {
		dims = append(dims, int(size))
	}
	for i, v := range c.Graph.Inputs { // of random numbers, a row for each row
		if slices.ContainsFunc(r.Random, func(s model.Source) bool { return s.Input == v.Name }) {
			shape := slices.Clone(v.Type.Shape)
			shape[0] = onnx.Dims(m.dim())[0]
			c.Graph.Inputs[i].Type = onnx.TensorOf(onnx.Float32, shape)
		}
	}
	nodes := c.Graph.Nodes
	own := func(v onnx.Value) bool {
		return slices.ContainsFunc(r.Inputs, func(in model.Input) bool { return in.Name == v.Name })
	}
	if len(r.Inputs) == 1 && r.Inputs[0].Element == onnx.Float32 {
		rows := onnx.Value{Name: r.Inputs[0].Name, Type: onnx.TensorOf(onnx.Float32, onnx.Dims(dims...))}
		c.Graph.Inputs = append([]onnx.Value{rows}, slices.DeleteFunc(slices.Clone(c.Graph.Inputs), own)...)
		return c, rows, nil
	}
	b := onnx.Extend(c.Graph)
	c.Graph.Nodes = nil
	c.Graph.Inputs = slices.DeleteFunc(slices.Clone(c.Graph.Inputs), own)
	name := b.Input("assay_rows", onnx.Float32, dims...)
	last := len(c.Graph.Inputs) - 1
	rows := c.Graph.Inputs[last]
	c.Graph.Inputs = append([]onnx.Value{rows}, c.Graph.Inputs[:last]...)
	from := int64(0)
	for _, in := range r.Inputs {
		x := name
		if len(r.Inputs) > 1 {
			x = b.Op("Slice", nil, x, b.Ints(from), b.Ints(from+int64(in.Size)), b.Ints(1))
			shape := []int64{-1}
			if r.Batch > 0 {
				shape[0] = int64(r.Batch)
			}
			x = b.Op("Reshape", nil, x, b.Ints(append(shape, in.Shape...)...))
		}
		from += int64(in.Size)
		b.Add("Cast", onnx.Attrs{"to": int64(in.Element)}, []string{x}, []string{in.Name})
	}
	c.Graph.Nodes = append(c.Graph.Nodes, nodes...)
	return c, rows, nil
}

// extension is a model's graph on the way to a loss.
type extension struct {
	*autodiff.Graph
	model *Model
	types *infer.Types
	made  map[string]*onnx.Node
	kind  kind
}

// kind says what the value is that the scores are made from.
type kind int

const (
	ready       kind = iota // a score for each class
	lead                    // of the second class over the first
	probability             // of each class
	second                  // the probability of the second class
)

// scores finds the value that scores are made from, before a softmax or sigmoid where
// the model ends in one.
func (e *extension) scores(output string) (value string, err error) {
	if e.types, err = infer.Shapes(e.Model()); err != nil {
		return "", err
	}
	e.made = map[string]*onnx.Node{}
	for _, n := range e.Graph.Graph.Nodes {
		for _, o := range n.Outputs {
			e.made[o] = n
		}
	}
	one := e.model.recognised.Columns == 1
	probabilities := e.model.recognised.Output == model.Probabilities
	if logits := e.logits(output); logits != "" && !one {
		return logits, nil
	}
	n := e.producer(output)
	switch {
	case n != nil && n.Op == "Sigmoid" && one:
		e.kind = lead
		return n.Input(0), nil
	case n != nil && n.Op == "Concat" && !one && e.complement(n) != "":
		e.kind = lead
		return e.complement(n), nil
	case one && probabilities:
		e.kind = second
	case one:
		e.kind = lead
	case probabilities && (n == nil || n.Op != "LogSoftmax"):
		e.kind = probability
	}
	return output, nil
}

// logits finds what scores are a softmax of: the operator, or one that is written out, or its logarithm; also where the scores
// are cut off at limits, which does not change which is the greatest. Where they are joined with that of a refusal it takes the
// logarithm of both. It gives "" where there is no softmax.
func (e *extension) logits(output string) string {
	n := e.producer(output)
	for n != nil && (n.OpType() == "Clip" || n.OpType() == "Log") {
		n = e.producer(n.Input(0))
	}
	switch {
	case n == nil:
		return ""
	case n.OpType() == "Softmax" && e.overClasses(n.Input(0), n.Int("axis", -1), 0):
		return n.Input(0)
	case n.OpType() == "Div":
		return e.writtenOut(n)
	case n.OpType() == "Concat" && e.model.recognised.Reject && len(n.Inputs) == 2 && len(n.Attrs) == 1:
		p := e.producer(n.Input(0))
		if p == nil || p.OpType() != "Softmax" || !e.overClasses(p.Input(0), p.Int("axis", -1), 1) || len(e.types.Of(n.Input(0)).Shape) != 2 {
			return ""
		}
		elem := e.types.Of(n.Input(1)).Elem
		refusal := e.Op("Log", nil, e.Op("Max", nil, n.Input(1), e.Number(elem, least)))
		return e.Op("Concat", onnx.Attrs{"axis": int64(1)}, e.Op("LogSoftmax", onnx.Attrs{"axis": int64(1)}, p.Input(0)), refusal)
	}
	return ""
}

// writtenOut gives z of exp(z) divided by its sum over the classes, else "".
func (e *extension) writtenOut(n *onnx.Node) string {
	exp, sum := e.producer(n.Input(0)), e.producer(n.Input(1))
	if exp == nil || sum == nil || exp.OpType() != "Exp" || sum.OpType() != "ReduceSum" || e.producer(sum.Input(0)) != exp {
		return ""
	}
	axes := e.types.Constant(sum.Input(1))
	if axes == nil || axes.Len() != 1 {
		return ""
	}
	axis, err := axes.Int64s()
	if err != nil || !e.overClasses(exp.Input(0), axis[0], 0) {
		return ""
	}
	return exp.Input(0)
}

// producer gives the node that computes a value, past those that only rearrange it.
func (e *extension) producer(value string) *onnx.Node {
	n := e.made[value]
	for range e.Graph.Graph.Nodes {
		if n == nil {
			return nil
		}
		switch n.OpType() {
		case "Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze":
			n = e.made[n.Input(0)]
		default:
			return n
		}
	}
	return n
}

// overClasses reports whether an axis of a value is that of the classes, but for some.
func (e *extension) overClasses(value string, axis int64, but int) bool {
	shape := e.types.Of(value).Shape
	if axis < 0 {
		axis += int64(len(shape))
	}
	return axis > 0 && axis < int64(len(shape)) && shape[axis].Size == int64(len(e.model.recognised.Classes)-but)
}

// complement gives the input of the sigmoid, where a Concat joins its complement and it:
// the probabilities of two classes, the first of them one less that of the second.
func (e *extension) complement(n *onnx.Node) string {
	if len(n.Inputs) != 2 {
		return ""
	}
	p, rest := e.producer(n.Input(1)), e.producer(n.Input(0))
	if p == nil || rest == nil || p.OpType() != "Sigmoid" || rest.OpType() != "Sub" || e.producer(rest.Input(1)) != p || !e.isOne(rest.Input(0)) {
		return ""
	}
	return p.Input(0)
}

func (e *extension) isOne(value string) bool {
	t := e.Graph.Graph.Initializer(value)
	if n := e.made[value]; t == nil && n != nil && n.OpType() == "Constant" {
		t = n.Tensor("value")
	}
	if t == nil || t.Len() != 1 {
		return false
	}
	v, err := t.Float64s()
	return err == nil && v[0] == 1
}

// least is the smallest probability whose logarithm is taken.
const least = 1e-12

// columns brings scores to the form [N, classes] of float32, the greatest winning.
func (e *extension) columns(value string) (string, error) {
	classes := len(e.model.recognised.Classes)
	width := classes
	if e.kind == lead || e.kind == second {
		width = 1
	}
	types, err := infer.Shapes(e.Model())
	if err != nil {
		return "", err
	}
	t := types.Of(value)
	if t.Kind != onnx.KindTensor || !t.Elem.IsFloat() || t.Shape == nil {
		return "", fmt.Errorf("the model's scores %q are %s, and floating-point numbers of known rank are needed", value, t)
	}
	if t.Elem != onnx.Float32 {
		value = e.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, value)
	}
	if len(t.Shape) != 2 || t.Shape[1].Size != int64(width) {
		value = e.Op("Reshape", nil, value, e.Ints(-1, int64(width)))
	}
	join := func(first string) { value = e.Op("Concat", onnx.Attrs{"axis": int64(1)}, first, value) }
	switch e.kind {
	case lead:
		join(e.Op("Mul", nil, value, e.Number(onnx.Float32, 0)))
	case second:
		join(e.Op("Sub", nil, e.Number(onnx.Float32, 1), value))
	}
	if e.kind == second || e.kind == probability {
		value = e.Op("Log", nil, e.Op("Max", nil, value, e.Number(onnx.Float32, least)))
	}
	return value, nil
}
