// Package reference compares a model with another that it should be, such as the one that was accepted, or that its maker published.
package reference

import (
	"fmt"
	"maps"
	"slices"

	"assay/onnx"
)

// Graph is how the graph of a model differs from that of a reference. Names do not count, nor does the order of nodes in the
// file, whether a constant is an initializer or a node, or what no output needs.
type Graph struct {
	Layers   []Layer  `json:"layers"`   // with other numbers
	Added    []string `json:"added"`    // nodes that the reference has not
	Removed  []string `json:"removed"`  // nodes of the reference
	Rewired  []string `json:"rewired"`  // nodes that read other values than the reference's, and outputs
	Metadata []string `json:"metadata"` // keys whose values differ; other programs that write the same model do that too
}

// Same tells whether both compute the same.
func (g *Graph) Same() bool {
	return len(g.Layers)+len(g.Added)+len(g.Removed)+len(g.Rewired) == 0
}

// CompareGraphs compares a model with a reference. The work is bounded by the size of both.
func CompareGraphs(own, other *onnx.Model) (*Graph, error) {
	a, err := newGraph(own)
	if err != nil {
		return nil, fmt.Errorf("the model: %w", err)
	}
	b, err := newGraph(other)
	if err != nil {
		return nil, fmt.Errorf("the reference: %w", err)
	}
	out := &Graph{Layers: []Layer{}, Added: []string{}, Removed: []string{}, Rewired: []string{}, Metadata: []string{}}
	is := align(a.nodes, b.nodes)
	for i, n := range a.nodes {
		if is[i] < 0 {
			out.Added = append(out.Added, n.String())
			continue
		}
		l, err := layerOf(n, b.nodes[is[i]])
		if err != nil {
			return nil, err
		}
		if l != nil {
			out.Layers = append(out.Layers, *l)
		}
	}
	met := make([]bool, len(b.nodes))
	for _, k := range is {
		if k >= 0 {
			met[k] = true
		}
	}
	for k, n := range b.nodes {
		if !met[k] {
			out.Removed = append(out.Removed, n.String())
		}
	}
	out.wiring(a, b, is)
	keys := slices.AppendSeq(slices.Collect(maps.Keys(own.Metadata)), maps.Keys(other.Metadata))
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		if own.Metadata[key] != other.Metadata[key] {
			out.Metadata = append(out.Metadata, key)
		}
	}
	return out, nil
}

// wiring compares what nodes that are each other's read. Values of which one comes of a node without counterpart are not compared: that node is told.
func (g *Graph) wiring(a, b *graph, is []int) {
	to, from := map[string]string{}, map[string]string{}
	pair := func(x, y []string) {
		for i := range min(len(x), len(y)) {
			to[x[i]], from[y[i]] = y[i], x[i]
		}
	}
	names := func(values []onnx.Value) (list []string) {
		for _, v := range values {
			list = append(list, v.Name)
		}
		return list
	}
	pair(names((&onnx.Graph{Inputs: a.Inputs, Initializers: a.Initializers}).FreeInputs()), names((&onnx.Graph{Inputs: b.Inputs, Initializers: b.Initializers}).FreeInputs()))
	for i, k := range is {
		if k >= 0 {
			pair(a.nodes[i].Outputs, b.nodes[k].Outputs)
		}
	}
	other := func(x, y []string) bool {
		for i := range min(len(x), len(y)) {
			_, known := to[x[i]]
			_, there := from[y[i]]
			if known && there && to[x[i]] != y[i] {
				return true
			}
		}
		return len(x) != len(y)
	}
	for i, k := range is {
		if k >= 0 && other(a.nodes[i].Reads(), b.nodes[k].Reads()) {
			g.Rewired = append(g.Rewired, a.nodes[i].String())
		}
	}
	if other(names(a.Outputs), names(b.Outputs)) {
		g.Rewired = append(g.Rewired, "the outputs")
	}
}
