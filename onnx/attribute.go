package onnx

import "slices"

// Attrs are a node's attributes by name. A value is an int64, float32, string,
// *Tensor, *SparseTensor, *Graph or Type, a slice of one of these, or a Ref.
type Attrs map[string]any

// Ref is an attribute inside a function body whose value is the calling node's
// attribute of the given name.
type Ref struct {
	Name string
	Type int32 // ONNX's AttributeType of the value
}

// Int gives an integer attribute, or otherwise where there is none.
func (n *Node) Int(name string, otherwise int64) int64 {
	if v, ok := n.Attrs[name].(int64); ok {
		return v
	}
	return otherwise
}

// Float gives a number attribute, or otherwise where there is none.
func (n *Node) Float(name string, otherwise float32) float32 {
	if v, ok := n.Attrs[name].(float32); ok {
		return v
	}
	return otherwise
}

// Text gives a string attribute, or otherwise where there is none.
func (n *Node) Text(name, otherwise string) string {
	if v, ok := n.Attrs[name].(string); ok {
		return v
	}
	return otherwise
}

// Ints gives a list-of-integers attribute as a copy, nil where there is none.
func (n *Node) Ints(name string) []int64 {
	v, _ := n.Attrs[name].([]int64)
	return slices.Clone(v)
}

// Floats gives a list-of-numbers attribute, nil where there is none.
func (n *Node) Floats(name string) []float32 {
	v, _ := n.Attrs[name].([]float32)
	return v
}

// Texts gives a list-of-strings attribute, nil where there is none.
func (n *Node) Texts(name string) []string {
	v, _ := n.Attrs[name].([]string)
	return v
}

// Tensor gives a tensor attribute, nil where there is none.
func (n *Node) Tensor(name string) *Tensor {
	v, _ := n.Attrs[name].(*Tensor)
	return v
}

// Graph gives a subgraph attribute, nil where there is none.
func (n *Node) Graph(name string) *Graph {
	v, _ := n.Attrs[name].(*Graph)
	return v
}

// Has reports whether the node has the attribute.
func (n *Node) Has(name string) bool {
	_, ok := n.Attrs[name]
	return ok
}

// Subgraphs gives the graphs among the node's attributes in the order of the
// attributes' names.
func (n *Node) Subgraphs() []*Graph {
	var graphs []*Graph
	for _, name := range sortedNames(n.Attrs) {
		switch v := n.Attrs[name].(type) {
		case *Graph:
			graphs = append(graphs, v)
		case []*Graph:
			graphs = append(graphs, v...)
		}
	}
	return graphs
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
