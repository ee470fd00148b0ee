// Package onnx holds ONNX models as plain Go values: read, check, rewrite, build
// and write them. It knows the format and its operators' forms, and runs nothing.
//
// A Model owns one Graph; a Graph is a list of Nodes in an order in which each
// value is made before it is used, plus Initializers (the weights), Inputs and
// Outputs. Values are referred to by name. Slices and tensors may be views of the
// file's bytes: change a weight by replacing its Tensor, not by writing into it.
package onnx

import (
	"maps"
	"slices"
)

// Model is an ONNX model.
type Model struct {
	IRVersion       int64
	Opsets          map[string]int64 // operator-set version by domain; "" is ONNX's own
	Producer        string
	ProducerVersion string
	Domain          string
	Version         int64
	Doc             string
	Metadata        map[string]string
	Graph           *Graph
	Functions       []*Function
}

// Opset is the version of ONNX's own operator set that the model imports, 0 for none.
func (m *Model) Opset() int64 { return m.Opsets[""] }

// Clone copies the model so that its graph can be rewritten. Tensors are shared:
// they are never changed in place.
func (m *Model) Clone() *Model {
	c := *m
	c.Opsets = maps.Clone(m.Opsets)
	c.Metadata = maps.Clone(m.Metadata)
	c.Graph = m.Graph.Clone()
	c.Functions = slices.Clone(m.Functions)
	return &c
}

// Graph is a computation over named values.
type Graph struct {
	Name         string
	Doc          string
	Inputs       []Value
	Outputs      []Value
	Values       []Value // types stated for values in between
	Nodes        []*Node
	Initializers []*Tensor
}

// Clone copies the graph down to its nodes and subgraphs. Tensors are shared.
func (g *Graph) Clone() *Graph {
	if g == nil {
		return nil
	}
	c := *g
	c.Inputs = slices.Clone(g.Inputs)
	c.Outputs = slices.Clone(g.Outputs)
	c.Values = slices.Clone(g.Values)
	c.Initializers = slices.Clone(g.Initializers)
	c.Nodes = make([]*Node, len(g.Nodes))
	for i, n := range g.Nodes {
		c.Nodes[i] = n.Clone()
	}
	return &c
}

// Initializer gives the weight of that name, or nil.
func (g *Graph) Initializer(name string) *Tensor {
	for _, t := range g.Initializers {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// FreeInputs are the inputs that a caller must feed: those without an initializer
// (older models list their weights as inputs too).
func (g *Graph) FreeInputs() []Value {
	weights := make(map[string]bool, len(g.Initializers))
	for _, t := range g.Initializers {
		weights[t.Name] = true
	}
	var free []Value
	for _, v := range g.Inputs {
		if !weights[v.Name] {
			free = append(free, v)
		}
	}
	return free
}

// Value is a named value and its type.
type Value struct {
	Name string
	Type Type
	Doc  string
}

// Node is one operation. An empty string among its inputs or outputs stands for
// an optional one that is left out.
type Node struct {
	Name     string
	Op       string // operator, such as "Conv"
	Domain   string // "" for ONNX's own operators
	Overload string // of a local function
	Doc      string
	Inputs   []string
	Outputs  []string
	Attrs    Attrs
}

// Clone copies the node and its subgraphs. Tensors are shared.
func (n *Node) Clone() *Node {
	c := *n
	c.Inputs = slices.Clone(n.Inputs)
	c.Outputs = slices.Clone(n.Outputs)
	c.Attrs = make(Attrs, len(n.Attrs))
	for name, v := range n.Attrs {
		c.Attrs[name] = cloneAttribute(v)
	}
	return &c
}

func cloneAttribute(v any) any {
	switch v := v.(type) {
	case *Graph:
		return v.Clone()
	case []*Graph:
		graphs := make([]*Graph, len(v))
		for i, g := range v {
			graphs[i] = g.Clone()
		}
		return graphs
	}
	return v
}

// Input gives the node's i-th input, "" where it has none.
func (n *Node) Input(i int) string {
	if i >= len(n.Inputs) {
		return ""
	}
	return n.Inputs[i]
}

// Output gives the node's i-th output, "" where it has none.
func (n *Node) Output(i int) string {
	if i >= len(n.Outputs) {
		return ""
	}
	return n.Outputs[i]
}

// OpType is the operator with its domain, for messages: "Conv", "ai.onnx.ml.Scaler".
func (n *Node) OpType() string {
	if n.Domain == "" {
		return n.Op
	}
	return n.Domain + "." + n.Op
}

// String names the node for messages: its operator and its name, or its first
// output where it has none.
func (n *Node) String() string {
	name := n.Name
	if name == "" {
		for _, o := range n.Outputs {
			if o != "" {
				name = "making " + o
				break
			}
		}
	}
	if name == "" {
		return n.OpType() + " node"
	}
	return n.OpType() + " node " + name
}

// Function is an operator defined inside the model by a graph of others.
type Function struct {
	Name     string
	Domain   string
	Overload string
	Doc      string
	Inputs   []string
	Outputs  []string
	Params   []string // attributes a call may give
	Defaults Attrs    // attributes with their default values
	Opsets   map[string]int64
	Nodes    []*Node
}
