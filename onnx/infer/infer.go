// Package infer tells the types of the values that an ONNX model computes, without
// running it: element types, ranks and sizes, sizes by name where only a run knows
// them, and the content of small tensors, above all those that hold shapes.
//
// It reads models in the form of operator set 21 or newer; package upgrade brings
// older ones there. What cannot be told stays unknown. What is told is certain, given
// that the model's own statements about its inputs hold, that equal names of dimensions
// stand for equal sizes, and that no size of an input is 0 where it is not stated.
package infer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"assay/onnx"
)

// Bounds on untrusted models.
const (
	maxContent = 4096    // elements of a tensor whose content is followed
	maxRank    = 64      // dimensions of a tensor
	maxFollow  = 1 << 26 // elements of contents read, in the whole model
	maxVisits  = 1 << 22 // of nodes; bodies of loops in loops are visited repeatedly
)

// Types is what is known of the values of a graph. The values of a subgraph are in
// the Types that Inside gives. Any number of goroutines may read it at once.
type Types struct {
	outer  *Types
	values map[string]*value
	inside map[*onnx.Graph]*Types
	shared *shared
}

// shared is common to the graphs of a model.
type shared struct {
	sizes   *algebra
	rules   map[string]rule
	visits  int
	follows int // elements of contents read
	inputs  map[string]onnx.Shape
}

// value is what is known of one value.
type value struct {
	typ     onnx.Type
	content *content     // nil where nothing is known
	tensor  *onnx.Tensor // of a weight or Constant, of any length
}

// Option changes how Shapes works.
type Option func(*shared)

// WithInput states the shape of a graph input more closely than the model does, such
// as the batch size of one run.
func WithInput(name string, shape onnx.Shape) Option {
	return func(s *shared) { s.inputs[name] = shape }
}

// Shapes infers the types of all values of a model. An error names the node at which
// the model contradicts itself: shapes that do not fit, a negative size, a stated
// shape that is wrong. An operator that is not known makes values of unknown type.
func Shapes(m *onnx.Model, opts ...Option) (*Types, error) {
	t := New(opts...)
	if err := t.Graph(m.Graph); err != nil {
		return nil, err
	}
	return t, nil
}

// New starts with no values known, for a graph that is built step by step: see Input,
// Weight and Node.
func New(opts ...Option) *Types {
	s := &shared{sizes: newAlgebra(), rules: table(), inputs: map[string]onnx.Shape{}}
	for _, opt := range opts {
		opt(s)
	}
	return &Types{values: map[string]*value{}, inside: map[*onnx.Graph]*Types{}, shared: s}
}

// Within starts the scope of a subgraph that is built step by step; it sees the values
// of t.
func (t *Types) Within() *Types {
	return &Types{outer: t, values: map[string]*value{}, inside: map[*onnx.Graph]*Types{}, shared: t.shared}
}

// Of gives the type of a value, the zero Type where nothing is known of it.
func (t *Types) Of(name string) onnx.Type {
	if v := t.lookup(name); v != nil {
		return v.typ
	}
	return onnx.Type{}
}

// Shape gives the shape of a tensor, nil where its rank is not known.
func (t *Types) Shape(name string) onnx.Shape { return t.Of(name).Shape }

// Elem gives the element type of a tensor, Undefined where it is not known.
func (t *Types) Elem(name string) onnx.DataType { return t.Of(name).Elem }

// Constant gives the content of a value that is the same in every run, nil where it
// isn't or where that is not known: a weight, or a small tensor computed from such.
func (t *Types) Constant(name string) *onnx.Tensor {
	v := t.lookup(name)
	if v == nil {
		return nil
	}
	if v.tensor == nil && v.content != nil {
		return v.content.tensor(name, v.typ)
	}
	return v.tensor
}

// Sizes gives the content of an integer scalar or vector as dimensions, as they are
// known: a vector that will be used as a shape has those of that shape. Negative
// numbers, such as the -1 of Reshape, are unknown dimensions here. It is nil where
// nothing is known.
func (t *Types) Sizes(name string) onnx.Shape {
	v := t.lookup(name)
	if v == nil {
		return nil
	}
	c := v.known()
	if c == nil || c.ints == nil || len(v.typ.Shape) > 1 {
		return nil
	}
	s := make(onnx.Shape, len(c.ints))
	for i, x := range c.ints {
		if s[i] = x.dim(); s[i].Size < 0 {
			s[i].Size = -1
		}
	}
	return s
}

// Inside gives the types of the values of a subgraph, and of all that it can see. It
// is nil for a graph that was not met.
func (t *Types) Inside(g *onnx.Graph) *Types { return t.inside[g] }

// Names gives the names of the values of the graph itself, sorted.
func (t *Types) Names() []string { return slices.Sorted(maps.Keys(t.values)) }

func (t *Types) lookup(name string) *value {
	for ; t != nil; t = t.outer {
		if v := t.values[name]; v != nil {
			return v
		}
	}
	return nil
}

// Graph infers the types of a graph's values.
func (t *Types) Graph(g *onnx.Graph) error {
	if g == nil {
		return errors.New("the model has no graph")
	}
	for _, v := range g.Inputs {
		if err := t.Input(v); err != nil {
			return err
		}
	}
	return t.body(g)
}

// Input declares an input of the graph.
func (t *Types) Input(v onnx.Value) error {
	typ := v.Type
	if closer, ok := t.shared.inputs[v.Name]; ok {
		merged, err := t.merge(onnx.TensorOf(typ.Elem, closer), typ)
		if err != nil {
			return fmt.Errorf("input %q: %w", v.Name, err)
		}
		typ = merged
	}
	t.adopt(typ, 1)
	t.name(v.Name, &typ, 1)
	t.values[v.Name] = &value{typ: typ}
	return nil
}

// Weight declares an initializer of the graph.
func (t *Types) Weight(w *onnx.Tensor) error {
	typ := onnx.TensorOf(w.Type, onnx.Fixed(w.Shape...))
	if v := t.values[w.Name]; v != nil {
		if _, err := t.merge(typ, v.typ); err != nil {
			return fmt.Errorf("initializer %q: %w", w.Name, err)
		}
	}
	t.set(w.Name, &value{typ: typ, tensor: w})
	return nil
}

// body infers the values of a graph whose inputs are declared.
func (t *Types) body(g *onnx.Graph) error {
	for _, w := range g.Initializers {
		if err := t.Weight(w); err != nil {
			return err
		}
	}
	stated := make(map[string][]onnx.Type, len(g.Values)+len(g.Outputs))
	for _, v := range slices.Concat(g.Values, g.Outputs) {
		stated[v.Name] = append(stated[v.Name], v.Type)
	}
	for _, n := range g.Nodes {
		if err := t.node(n, stated); err != nil {
			return err
		}
	}
	return nil
}

// Node infers the outputs of a node from its inputs, which must be known already.
func (t *Types) Node(n *onnx.Node) error { return t.node(n, nil) }

// node infers a node's outputs; stated holds what the graph says of its values.
func (t *Types) node(n *onnx.Node, stated map[string][]onnx.Type) error {
	if t.shared.visits++; t.shared.visits > maxVisits {
		return fmt.Errorf("%s: the model nests too many loops in loops to follow them", n)
	}
	c := &call{types: t, n: n, outs: make([]value, len(n.Outputs))}
	if rule := t.shared.rules[n.OpType()]; rule != nil {
		if err := rule(c); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
	} else if err := c.subgraphs(); err != nil {
		return fmt.Errorf("%s: %w", n, err)
	}
	for i, name := range n.Outputs {
		if name == "" {
			continue
		}
		v := c.outs[i]
		if err := check(v.typ); err != nil {
			return fmt.Errorf("%s: its output %q: %w", n, name, err)
		}
		for _, typ := range stated[name] {
			merged, err := t.merge(v.typ, typ)
			if err != nil {
				return fmt.Errorf("%s: its output %q: %w", n, name, err)
			}
			v.typ = merged
		}
		if v.content != nil && !v.content.fills(v.typ) {
			v.content = nil
		}
		t.adopt(v.typ, 0)
		t.set(name, &v)
	}
	return nil
}

func check(t onnx.Type) error {
	if len(t.Shape) > maxRank {
		return fmt.Errorf("it has %d dimensions, more than the %d allowed", len(t.Shape), maxRank)
	}
	for i, d := range t.Shape {
		if d.Size < -1 {
			return fmt.Errorf("the size of its dimension %d is negative", i)
		}
	}
	return nil
}

// set stores a value.
func (t *Types) set(name string, v *value) {
	t.name(name, &v.typ, 0)
	t.values[name] = v
}

// name gives each size of a value of which nothing is known a name, so that it can be
// followed; it is at least as large as stated.
func (t *Types) name(value string, typ *onnx.Type, least int64) {
	typ.Shape = slices.Clone(typ.Shape)
	for i, d := range typ.Shape {
		if !d.Known() && d.Param == "" {
			typ.Shape[i] = t.shared.sizes.fresh(value+"."+strconv.Itoa(i), least).dim()
		}
	}
}

// adopt makes the names of a type's dimensions known, of sizes at least as large as
// stated.
func (t *Types) adopt(typ onnx.Type, least int64) {
	for _, d := range typ.Shape {
		t.shared.sizes.use(d.Param, least)
	}
	if typ.Of != nil {
		t.adopt(*typ.Of, 0)
	}
}

// merge joins what was inferred of a value with what is stated; where both have a
// name for a size, the inferred one stays.
func (t *Types) merge(inferred, stated onnx.Type) (onnx.Type, error) {
	wrong := func() error {
		return fmt.Errorf("it is stated to be %s, but must be %s", stated, inferred)
	}
	switch {
	case stated.Kind == onnx.KindUnknown:
		return inferred, nil
	case inferred.Kind == onnx.KindUnknown:
		return stated, nil
	case inferred.Kind != stated.Kind:
		return inferred, wrong()
	}
	out := inferred
	if out.Elem == onnx.Undefined {
		out.Elem = stated.Elem
	} else if stated.Elem != onnx.Undefined && stated.Elem != out.Elem {
		return inferred, wrong()
	}
	if inferred.Of != nil && stated.Of != nil {
		of, err := t.merge(*inferred.Of, *stated.Of)
		if err != nil {
			return inferred, wrong()
		}
		out.Of = &of
	} else if out.Of == nil {
		out.Of = stated.Of
	}
	if inferred.Shape == nil || stated.Shape == nil {
		if inferred.Shape == nil {
			out.Shape = stated.Shape
		}
		return out, nil
	}
	if len(inferred.Shape) != len(stated.Shape) {
		return inferred, wrong()
	}
	out.Shape = slices.Clone(inferred.Shape)
	for i, d := range stated.Shape {
		switch mine := out.Shape[i]; {
		case mine.Known() && d.Known() && mine.Size != d.Size:
			return inferred, wrong()
		case !mine.Known() && (d.Known() || mine.Param == ""):
			out.Shape[i] = d
		}
	}
	return out, nil
}
