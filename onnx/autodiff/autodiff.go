// Package autodiff differentiates ONNX graphs: it appends the reverse-mode pass to
// a graph as ordinary ONNX operators, so that a runtime optimises and runs model,
// loss and gradient as one computation.
//
// A Graph is made from a model, may be given a loss (see Loss), and gives the
// names of gradients:
//
//	g, err := autodiff.New(model)
//	loss := autodiff.CrossEntropy(g.Builder, "logits", labels)
//	grads, err := g.Gradient(loss, "image")
//
// Rules exist for each operator by itself; docs/operators.md lists them. Where the
// gradient stops, or is not the mathematical one, the Gradients say so.
package autodiff

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"assay/onnx"
	"assay/onnx/infer"
	"assay/onnx/upgrade"
)

// Opset is the operator set that gradients are written in. Models of an older one
// are brought to it, newer ones are left as they are.
const Opset = 21

// Graph is a model's graph that can be extended and differentiated. Its Builder
// adds losses and other computations.
type Graph struct {
	*onnx.Builder
	model *onnx.Model
	rules *ruleSet
}

// New prepares a copy of the model: local functions are inlined, operators brought to
// the forms of Opset, sequences taken apart, and operators that are compositions of
// others, such as Attention, written out as these. The model itself is not changed.
func New(m *onnx.Model) (*Graph, error) {
	m = m.Clone()
	if err := m.Inline(); err != nil {
		return nil, err
	}
	m, err := upgrade.To(m, Opset)
	if err != nil {
		return nil, err
	}
	b := onnx.Extend(m.Graph)
	if err := takeApart(b, m); err != nil {
		return nil, err
	}
	if err := expand(b, m); err != nil {
		return nil, err
	}
	return &Graph{Builder: b, model: m, rules: exactRules}, nil
}

// Model gives the model with all that was added. It stays tied to g: what is added
// later shows in it too.
func (g *Graph) Model() *onnx.Model { return g.model }

// Gradients are the derivatives of one value with respect to others.
type Gradients struct {
	// Names of the gradients, in the order asked for; each has its value's shape.
	Names []string
	// StraightThrough are nodes, such as quantisation, that have a gradient of zero
	// almost everywhere and were given the gradient of the identity instead, or with
	// Surrogates another one.
	StraightThrough []*onnx.Node
	// Stopped are nodes, such as Round or a comparison, whose gradient is zero
	// wherever it is defined: nothing flows through them. What depends on the
	// inputs only through these is invisible to a gradient attack.
	Stopped []*onnx.Node
}

// Gradient adds the gradient of the sum of value's elements with respect to each
// of the values wrt. With a vector of per-example losses this gives each example's
// own gradient, as long as the model treats examples separately.
//
// It fails with *NotDifferentiable if a node between has no gradient, and with
// *NoPath if nothing flows from value to any of wrt.
func (g *Graph) Gradient(value string, wrt ...string) (*Gradients, error) {
	return g.Pullback(value, "", wrt...)
}

// Pullback is Gradient with value's elements weighted by those of seed, a value of
// the same shape: the vector-Jacobian product.
func (g *Graph) Pullback(value, seed string, wrt ...string) (*Gradients, error) {
	p, err := g.prepare(value, wrt)
	if err != nil {
		return nil, err
	}
	if seed == "" {
		seed = p.filled(value, 1)
	}
	p.add(value, seed)
	if err := p.sweep(); err != nil {
		return nil, err
	}
	out := &Gradients{StraightThrough: p.found.straight, Stopped: p.found.stopped}
	for _, w := range wrt {
		grad := p.total(w)
		if grad == "" {
			grad = p.filled(w, 0)
		}
		out.Names = append(out.Names, grad)
	}
	return out, nil
}

// prepare gives a pass from value to wrt through nodes that all have a rule. Nodes on
// the way that are compositions of others are replaced by them first.
func (g *Graph) prepare(value string, wrt []string) (*pass, error) {
	for {
		types, err := inferred(g.model)
		if err != nil {
			return nil, err
		}
		p := newPass(g.Builder, types, g.rules, g.Graph, wrt)
		if err := p.check(value); err != nil {
			return nil, err
		}
		if len(p.found.composite) == 0 {
			return p, nil
		}
		for _, c := range p.found.composite {
			if err := c.replace(g.Builder); err != nil {
				return nil, err
			}
		}
	}
}

// NotDifferentiable lists every node that would have to be differentiated and cannot be.
type NotDifferentiable struct {
	Nodes   []*onnx.Node
	Reasons []string // one for each node
}

func (e *NotDifferentiable) Error() string {
	lines := make([]string, len(e.Nodes))
	for i, n := range e.Nodes {
		lines[i] = fmt.Sprintf("%s (%s)", n, e.Reasons[i])
	}
	return "no gradient exists through " + strings.Join(lines, ", ") + "; use a gradient-free method"
}

// NoPath says that no gradient flows from a value to any of those asked for.
type NoPath struct {
	Value   string
	Wrt     []string
	Stopped []*onnx.Node // where it stops, if it is anywhere in particular
}

func (e *NoPath) Error() string {
	msg := fmt.Sprintf("%s has no gradient with respect to %s", e.Value, strings.Join(e.Wrt, ", "))
	if len(e.Stopped) == 0 {
		return msg + ": it does not depend on it"
	}
	names := make([]string, len(e.Stopped))
	for i, n := range e.Stopped {
		names[i] = n.String()
	}
	return msg + ": it is zero through " + strings.Join(names, ", ")
}

// pass is one reverse sweep over a graph.
type pass struct {
	*onnx.Builder              // of the graph that the sweep is written to
	graph         *onnx.Graph  // that is swept over
	nodes         []*onnx.Node // its nodes, before anything was appended
	types         *infer.Types // of its values
	rules         *ruleSet
	wrt           []string
	active        map[string]bool     // values that depend on wrt
	grads         map[string][]string // contributions to each value's gradient
	carried       map[string]bool     // whole numbers with a gradient, which is of float32
	standIn       map[string]string   // float32 values that rules made to stand for whole numbers
	float         onnx.DataType       // of the outputs of the node at hand
	layout        bool                // the runtime keeps images in its blocked layout
	found         *findings           // shared with the passes over the graphs inside
	rounds        *rounds             // of which this is the body, nil for any other graph
}

// findings are the nodes of note that a gradient meets on its way.
type findings struct {
	failed    NotDifferentiable
	straight  []*onnx.Node
	stopped   []*onnx.Node
	composite []composite
	visits    int // of nodes; bodies of loops in loops are visited repeatedly
}

// maxVisits bounds the work on a hostile model.
const maxVisits = 1 << 22

var errTooNested = errors.New("it is in too many loops in loops")

// note appends a node to a list where it is not in it.
func note(list *[]*onnx.Node, n *onnx.Node) {
	if !slices.Contains(*list, n) {
		*list = append(*list, n)
	}
}

func (f *findings) compose(c composite) {
	if !slices.ContainsFunc(f.composite, func(d composite) bool { return d.node == c.node }) {
		f.composite = append(f.composite, c)
	}
}

func (f *findings) fail(n *onnx.Node, because string) {
	if !slices.Contains(f.failed.Nodes, n) {
		f.failed.Nodes = append(f.failed.Nodes, n)
		f.failed.Reasons = append(f.failed.Reasons, because)
	}
}

func newPass(b *onnx.Builder, types *infer.Types, rules *ruleSet, g *onnx.Graph, wrt []string) *pass {
	p := &pass{
		Builder: b, types: types, rules: rules, graph: g, nodes: slices.Clone(g.Nodes), wrt: wrt,
		active: map[string]bool{}, grads: map[string][]string{}, standIn: map[string]string{}, found: &findings{},
	}
	for _, w := range wrt {
		p.active[w] = true
	}
	for _, n := range p.nodes {
		if rules.of(n).shapeOnly {
			continue
		}
		if slices.ContainsFunc(n.Reads(), func(v string) bool { return p.active[v] }) {
			for _, o := range n.Outputs {
				p.active[o] = o != ""
			}
		}
	}
	p.carried = carrying(p.nodes, p)
	p.layout = p.constantKernels()
	return p
}

// check walks back from value without adding anything, to find every node that
// cannot be differentiated, and whether anything reaches wrt.
func (p *pass) check(value string) error {
	if p.elem(value) != onnx.Undefined && !p.elem(value).IsFloat() {
		return &NoPath{Value: value, Wrt: p.wrt}
	}
	reached := map[string]bool{value: true}
	p.walk(reached)
	f := p.found
	if len(f.failed.Nodes) > 0 {
		slices.Reverse(f.failed.Nodes)
		slices.Reverse(f.failed.Reasons)
		return &f.failed
	}
	slices.Reverse(f.stopped)
	slices.Reverse(f.straight)
	for _, w := range p.wrt {
		if reached[w] && p.elem(w).IsFloat() {
			return nil
		}
	}
	return &NoPath{Value: value, Wrt: p.wrt, Stopped: f.stopped}
}

// walk goes back from the values reached and adds to them those that they depend on,
// as far as these are active.
func (p *pass) walk(reached map[string]bool) {
	for _, n := range slices.Backward(p.nodes) {
		if !slices.ContainsFunc(n.Outputs, func(o string) bool { return reached[o] && p.active[o] }) {
			continue
		}
		if p.found.visits++; p.found.visits > maxVisits {
			p.found.fail(n, errTooNested.Error())
			return
		}
		op := p.rules.of(n)
		switch {
		case op.zero:
			note(&p.found.stopped, n)
			continue
		case op.inside != nil:
			if because := op.inside(p, n, reached); because != "" {
				p.found.fail(n, because)
			}
			continue
		case op.expand != nil:
			p.found.compose(composite{n, p.graph, p.types, op.expand})
		case op.gradient == nil:
			p.found.fail(n, op.reason())
		case p.replaces(n, op):
			note(&p.found.straight, n)
		}
		// A whole number has no gradient, but what stands behind it, such as an
		// ArgMax, is what the caller must hear of.
		numbers := op.gradient == nil || n.Op == "Cast" || n.Op == "CastLike" || !p.elem(n.Outputs[0]).IsFloat()
		for _, v := range n.Reads() {
			if p.active[v] && (numbers || p.wants(v)) {
				reached[v] = true
			}
		}
	}
}

// sweep appends the reverse pass, starting with the gradients that were added.
func (p *pass) sweep() error {
	for _, n := range slices.Backward(p.nodes) {
		op := p.rules.of(n)
		if op.gradient == nil {
			continue
		}
		dy := make([]string, len(n.Outputs))
		flows := false
		for i, o := range n.Outputs {
			if o != "" && p.active[o] {
				dy[i] = p.total(o)
				flows = flows || dy[i] != ""
			}
		}
		if !flows {
			continue
		}
		p.float = p.elemOfGradient(n, dy)
		dx, err := op.gradient(p, n, dy)
		if err != nil {
			return fmt.Errorf("gradient of %s: %w", n, err)
		}
		for i, d := range dx {
			if d != "" && p.wants(n.Input(i)) {
				p.add(n.Inputs[i], d)
			}
		}
	}
	return nil
}

// elemOfGradient is the type of the first output of n that a gradient flows to.
func (p *pass) elemOfGradient(n *onnx.Node, dy []string) onnx.DataType {
	for i, d := range dy {
		if d != "" && p.elem(n.Outputs[i]).IsFloat() {
			return p.elem(n.Outputs[i])
		}
	}
	return onnx.Float32
}

// add notes a contribution to the gradient of a value.
func (p *pass) add(value, grad string) {
	p.grads[value] = append(p.grads[value], grad)
}

// total gives the gradient of a value, "" where nothing reaches it.
func (p *pass) total(value string) string {
	parts := p.grads[value]
	switch len(parts) {
	case 0:
		return ""
	case 1:
		return parts[0]
	}
	sum := p.Op("Add", nil, parts[0], parts[1])
	for _, part := range parts[2:] {
		sum = p.Op("Add", nil, sum, part)
	}
	p.grads[value] = []string{sum}
	return sum
}

// wants reports whether a gradient with respect to the value is of use.
func (p *pass) wants(value string) bool {
	if q, ok := p.standIn[value]; ok {
		value = q
	}
	if !p.active[value] {
		return false
	}
	t := p.types.Of(value)
	return t.Kind != onnx.KindTensor || t.Elem.IsFloat() || p.carried[value]
}

// elem is the element type of a value.
func (p *pass) elem(value string) onnx.DataType {
	if _, ok := p.standIn[value]; ok {
		return onnx.Float32
	}
	return p.types.Of(value).Elem
}

// shape is the shape of a value, nil where its rank is not known.
func (p *pass) shape(value string) onnx.Shape {
	if q, ok := p.standIn[value]; ok {
		value = q
	}
	return p.types.Of(value).Shape
}

// rank is the rank of a value, or an error that names it.
func (p *pass) rank(value string) (int64, error) {
	s := p.shape(value)
	if s == nil {
		return 0, fmt.Errorf("the rank of %q is not known", value)
	}
	return int64(len(s)), nil
}

// number is a constant scalar of the type of the gradient at hand.
func (p *pass) number(v float64) string { return p.Number(p.float, v) }

// filled is a value of the shape and type of another, with v everywhere.
func (p *pass) filled(like string, v float64) string {
	t := p.elem(like)
	if t == onnx.Undefined || p.carried[like] {
		t = onnx.Float32
	}
	c, err := onnx.FromFloat64s("", t, []float64{v})
	if err != nil {
		panic("autodiff: " + err.Error())
	}
	return p.Op("ConstantOfShape", onnx.Attrs{"value": c}, p.shapeOf(like))
}

// shapeOf is the shape of a value as a vector of int64: a constant where it is
// fixed, else computed when the graph runs.
func (p *pass) shapeOf(value string) string {
	if sizes, fixed := p.shape(value).Sizes(); fixed {
		return p.Ints(sizes...)
	}
	return p.Op("Shape", nil, value)
}

// sumTo sums a gradient over the dimensions along which value like was broadcast,
// the adjoint of broadcasting it to value result.
func (p *pass) sumTo(grad, like, result string) string {
	from, to := p.shape(result), p.shape(like)
	if from.Equal(to) {
		return grad
	}
	if axes, ok := broadcastAxes(from, to); ok {
		if lead := int64(len(from) - len(to)); lead > 0 {
			axes = axes[lead:]
			grad = p.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, grad, p.Ints(upTo(lead)...))
			for i := range axes {
				axes[i] -= lead
			}
		}
		if len(axes) > 0 {
			grad = p.Op("ReduceSum", nil, grad, p.Ints(axes...))
		}
		return grad
	}
	return p.sumToDynamic(grad, like)
}

// broadcastAxes gives the axes of shape from along which shape to was broadcast;
// not ok where the shapes do not tell.
func broadcastAxes(from, to onnx.Shape) (axes []int64, ok bool) {
	if from == nil || to == nil || len(to) > len(from) {
		return nil, false
	}
	lead := len(from) - len(to)
	axes = upTo(int64(lead))
	for i, d := range to {
		f := from[lead+i]
		switch {
		case d.Equal(f):
		case d.Size == 1:
			axes = append(axes, int64(lead+i)) // harmless where f turns out to be 1
		case d.Known():
			// a known size above 1 was not broadcast
		default:
			return nil, false
		}
	}
	return axes, true
}

// sumToDynamic finds the axes when the graph runs: like's shape, led by ones to
// the gradient's rank, differs from the gradient's along them.
func (p *pass) sumToDynamic(grad, like string) string {
	have, want := p.Op("Shape", nil, grad), p.Op("Shape", nil, like)
	lead := p.Op("Sub", nil, p.Op("Shape", nil, have), p.Op("Shape", nil, want))
	one, _ := onnx.FromFloat64s("", onnx.Int64, []float64{1})
	padded := p.Op("Concat", onnx.Attrs{"axis": int64(0)},
		p.Op("ConstantOfShape", onnx.Attrs{"value": one}, lead), want)
	differ := p.Op("Not", nil, p.Op("Equal", nil, have, padded))
	axes := p.Op("Squeeze", nil, p.Op("NonZero", nil, differ), p.Ints(0))
	sum := p.Op("ReduceSum", onnx.Attrs{"noop_with_empty_axes": int64(1)}, grad, axes)
	return p.Op("Reshape", onnx.Attrs{"allowzero": int64(1)}, sum, want)
}

func upTo(n int64) []int64 {
	list := make([]int64, n)
	for i := range list {
		list[i] = int64(i)
	}
	return list
}

// inferred gives the types of all values of a prepared model.
func inferred(m *onnx.Model) (*infer.Types, error) {
	types, err := infer.Shapes(m)
	if err != nil {
		return nil, fmt.Errorf("the shapes of the model's values: %w", err)
	}
	return types, nil
}
