package onnx

import (
	"fmt"
	"strconv"
)

// Builder adds to a graph. Values are referred to by the names that its methods
// give; names it makes are new in the graph. A Builder is for one goroutine.
type Builder struct {
	Graph *Graph

	names     map[string]bool
	constants map[string]string // content of a small constant → its name
	next      int
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
	b := &Builder{Graph: g, names: map[string]bool{"": true}, constants: map[string]string{}}
	b.reserve(g)
	return b
}

// reserve takes the names of a graph and its subgraphs, which share one scope.
func (b *Builder) reserve(g *Graph) {
	for _, v := range g.Inputs {
		b.names[v.Name] = true
	}
	for _, t := range g.Initializers {
		b.names[t.Name] = true
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			b.names[o] = true
		}
		for _, sub := range n.Subgraphs() {
			b.reserve(sub)
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
	for b.names[name] {
		b.next++
		name = hint + "_" + strconv.Itoa(b.next)
	}
	b.names[name] = true
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

// OutputAs declares value as an output under another name.
func (b *Builder) OutputAs(name, value string, elem DataType, shape Shape) {
	name = b.Name(name)
	b.Add("Identity", nil, []string{value}, []string{name})
	b.Output(name, elem, shape)
}

// Weight adds a constant to the graph under its own name, made new where need be.
func (b *Builder) Weight(t *Tensor) string {
	name := b.Name(t.Name)
	b.Graph.Initializers = append(b.Graph.Initializers, t.Renamed(name))
	return name
}

// Constant adds a small unnamed constant; the same content twice is one constant.
func (b *Builder) Constant(t *Tensor) string {
	key := fmt.Sprint(t.Type, t.Shape, string(t.raw))
	if name, ok := b.constants[key]; ok {
		return name
	}
	name := b.Weight(t.Renamed("const"))
	b.constants[key] = name
	return name
}

// Ints is a constant vector of int64, as shapes and axes are given.
func (b *Builder) Ints(values ...int64) string {
	return b.Constant(NewTensor("", values, int64(len(values))))
}

// Number is a constant scalar of type t.
func (b *Builder) Number(t DataType, value float64) string {
	c, err := FromFloat64s("", t, []float64{value}, []int64{}...)
	if err != nil {
		panic("onnx: " + err.Error())
	}
	c.Shape = []int64{}
	return b.Constant(c)
}

// Op adds a node of one of ONNX's own operators and gives its first output.
func (b *Builder) Op(op string, attrs Attrs, inputs ...string) string {
	return b.Ops(op, attrs, 1, inputs...)[0]
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

// Add adds a node with given names, which the caller got from Name.
func (b *Builder) Add(op string, attrs Attrs, inputs, outputs []string) *Node {
	n := &Node{Name: outputs[0], Op: op, Inputs: inputs, Outputs: outputs, Attrs: attrs}
	b.Graph.Nodes = append(b.Graph.Nodes, n)
	return n
}
