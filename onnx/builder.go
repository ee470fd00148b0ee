package onnx

import (
	"fmt"
	"slices"
	"strconv"
)

// Builder adds to a graph. Values are referred to by the names that its methods
// give; names it makes are new in the graph and those around it. A Builder is for
// one goroutine.
//
//	b := onnx.NewBuilder("mlp")
//	x := b.Input("x", onnx.Float32, "batch", 4)
//	hidden := b.Op("Relu", nil, b.Op("Gemm", nil, x, b.Weight(w1), b.Weight(b1)))
//	logits := b.OpAs("logits", "Gemm", nil, hidden, b.Weight(w2), b.Weight(b2))
//	b.Output(logits, onnx.Float32, onnx.Dims("batch", 3))
//	model := b.Model()
type Builder struct {
	Graph *Graph

	names     *names
	constants map[string]string // content of a small constant → its name
}

// names are those taken in a graph and its subgraphs, which share one scope.
type names struct {
	taken map[string]bool
	next  int
}

// IRVersion and DefaultOpset are what new models are written with.
const (
	IRVersion    = 10
	DefaultOpset = 21
)

// NewBuilder starts an empty graph.
func NewBuilder(name string) *Builder {
	return Extend(&Graph{Name: name})
}

// Extend builds on a graph that exists. Its nodes are appended, so that what they
// use is there already.
func Extend(g *Graph) *Builder {
	b := &Builder{Graph: g, names: &names{taken: map[string]bool{"": true}}, constants: map[string]string{}}
	b.names.reserve(g)
	return b
}

// Body starts a graph for an attribute of a node that is yet to be added: a branch
// of an If, the body of a Loop or Scan. It may use the values of b's graph, but must
// give back its own: see [Builder.OutputAs].
//
//	positive, negative := b.Body("positive"), b.Body("negative")
//	positive.OutputAs("same", x, onnx.Float32, nil)
//	negative.Output(negative.Op("Neg", nil, x), onnx.Float32, nil)
//	y := b.Op("If", onnx.Attrs{"then_branch": positive.Graph, "else_branch": negative.Graph}, condition)
func (b *Builder) Body(name string) *Builder {
	return &Builder{Graph: &Graph{Name: name}, names: b.names, constants: map[string]string{}}
}

func (n *names) reserve(g *Graph) {
	for _, list := range [][]Value{g.Inputs, g.Outputs, g.Values} {
		for _, v := range list {
			n.taken[v.Name] = true
		}
	}
	for _, t := range g.Initializers {
		n.taken[t.Name] = true
	}
	for _, node := range g.Nodes {
		for _, o := range node.Outputs {
			n.taken[o] = true
		}
		for _, sub := range node.Subgraphs() {
			n.reserve(sub)
		}
	}
}

// Model wraps the graph as a model of the default operator set.
func (b *Builder) Model() *Model {
	return &Model{
		IRVersion: IRVersion, Opsets: map[string]int64{"": DefaultOpset}, Producer: "assay",
		Graph: b.Graph,
	}
}

// Name gives a name that is new in the graph, hint itself where it is free.
func (b *Builder) Name(hint string) string {
	name := hint
	for b.names.taken[name] {
		b.names.next++
		name = hint + "_" + strconv.Itoa(b.names.next)
	}
	b.names.taken[name] = true
	return name
}

// Input declares an input of the graph.
func (b *Builder) Input(name string, elem DataType, dims ...any) string {
	name = b.Name(name)
	b.Graph.Inputs = append(b.Graph.Inputs, Value{Name: name, Type: TensorOf(elem, Dims(dims...))})
	return name
}

// Output declares value as an output of the graph under its own name.
func (b *Builder) Output(value string, elem DataType, shape Shape) {
	b.Graph.Outputs = append(b.Graph.Outputs, Value{Name: value, Type: TensorOf(elem, shape)})
}

// OutputAs declares value as an output under another name, by an Identity node. A
// value that is made for the purpose gets its name from OpAs without one.
func (b *Builder) OutputAs(name, value string, elem DataType, shape Shape) {
	name = b.Name(name)
	b.Add("Identity", nil, []string{value}, []string{name})
	b.Output(name, elem, shape)
}

// Weight adds a constant to the graph under its own name, made new where need be.
func (b *Builder) Weight(t *Tensor) string {
	hint := t.Name
	if hint == "" {
		hint = "weight"
	}
	name := b.Name(hint)
	b.Graph.Initializers = append(b.Graph.Initializers, t.Renamed(name))
	return name
}

// Constant adds a small unnamed constant; the same content twice is one constant.
func (b *Builder) Constant(t *Tensor) string {
	content := string(t.raw)
	if t.Type == String || t.external != nil {
		content = fmt.Sprintf("%q %p", t.strings, t.external)
	}
	key := fmt.Sprint(t.Type, t.Shape, content)
	if name, ok := b.constants[key]; ok {
		return name
	}
	name := b.Weight(t.Renamed("const"))
	b.constants[key] = name
	return name
}

// Ints is a constant vector of int64, as shapes and axes are given.
func (b *Builder) Ints(values ...int64) string {
	return b.Constant(NewTensor("", slices.Clone(values), int64(len(values))))
}

// Number is a constant scalar of type t, which must be able to hold the value: one
// that cannot is a mistake in the program, and panics.
func (b *Builder) Number(t DataType, value float64) string {
	c, err := FromFloat64s("", t, []float64{value}, []int64{}...)
	if err != nil {
		panic("onnx: " + err.Error())
	}
	return b.Constant(c)
}

// Op adds a node of one of ONNX's own operators and gives its first output.
func (b *Builder) Op(op string, attrs Attrs, inputs ...string) string {
	return b.Ops(op, attrs, 1, inputs...)[0]
}

// OpAs is Op with a name for the output, made new where need be.
func (b *Builder) OpAs(name, op string, attrs Attrs, inputs ...string) string {
	name = b.Name(name)
	b.Add(op, attrs, inputs, []string{name})
	return name
}

// Ops adds a node with n outputs.
func (b *Builder) Ops(op string, attrs Attrs, n int, inputs ...string) []string {
	outputs := make([]string, n)
	for i := range outputs {
		outputs[i] = b.Name(op)
	}
	b.Add(op, attrs, inputs, outputs)
	return outputs
}

// Add adds a node with given names, which the caller got from Name; the node takes
// the name of its first output.
func (b *Builder) Add(op string, attrs Attrs, inputs, outputs []string) *Node {
	if attrs == nil {
		attrs = Attrs{}
	}
	n := &Node{Op: op, Inputs: slices.Clone(inputs), Outputs: slices.Clone(outputs), Attrs: attrs}
	n.Name = n.Output(0)
	b.Graph.Nodes = append(b.Graph.Nodes, n)
	return n
}
