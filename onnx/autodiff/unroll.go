package autodiff

import (
	"fmt"
	"slices"

	"assay/onnx"
)

// Bounds on what a Loop is written out to.
const (
	maxUnrolled      = 256     // rounds
	maxUnrolledNodes = 1 << 15 // of the model with all of them
)

// steady reports whether the values that gradients are carried through are tensors
// that keep their sizes from round to round, as the reversal needs.
func (r *rounds) steady(p, q *pass, within map[string]bool) bool {
	for i := range r.carried {
		if !within[r.after(i)] || !q.wants(r.before(i)) {
			continue
		}
		first := p.types.Of(r.node.Inputs[r.lead+i])
		if first.Kind != onnx.KindTensor || !first.Shape.Equal(q.shape(r.before(i))) {
			return false
		}
	}
	return true
}

// unroll writes a Loop of a known number of rounds out, round after round: the form
// for one whose carried values change their sizes.
func unroll(e *expander, n *onnx.Node) ([]string, error) {
	r, err := newRounds(n)
	if err != nil {
		return nil, err
	}
	trips, err := e.types.Constant(n.Inputs[0]).Int64s()
	if err != nil {
		return nil, err
	}
	if len(trips) != 1 || trips[0] < 1 || trips[0] > maxUnrolled ||
		trips[0]*size(r.body)+size(e.Graph) > maxUnrolledNodes {
		return nil, fmt.Errorf("the values that it carries change their sizes, and %d rounds cannot be written out", trips)
	}
	names := map[string]string{}
	for _, t := range r.body.Initializers {
		names[t.Name] = e.Weight(t)
	}
	names[r.body.Inputs[1].Name] = e.Number(onnx.Bool, 1)
	carried := slices.Clone(n.Inputs[r.lead:])
	stacks := make([][]string, len(n.Outputs)-r.carried)
	for round := range trips[0] {
		shape := make([]int64, len(r.body.Inputs[0].Type.Shape)) // a scalar, or a vector of one
		for i := range shape {
			shape[i] = 1
		}
		names[r.body.Inputs[0].Name] = e.Constant(onnx.NewTensor("", []int64{round}, shape...))
		for i, v := range carried {
			names[r.before(i)] = v
		}
		for _, m := range r.body.Nodes {
			copied := m.Clone()
			substitute(copied, names)
			for i, o := range m.Outputs {
				if o != "" {
					names[o] = e.Name(o)
					copied.Outputs[i] = names[o]
				}
			}
			copied.Name = copied.Output(0)
			e.Graph.Nodes = append(e.Graph.Nodes, copied)
		}
		given := func(k int) string {
			v := r.body.Outputs[r.skip+k].Name
			if to, ok := names[v]; ok {
				return to
			}
			return v
		}
		for i := range carried {
			carried[i] = given(i)
		}
		for k := range stacks {
			stacks[k] = append(stacks[k], e.Op("Unsqueeze", nil, given(r.carried+k), e.Ints(0)))
		}
	}
	for _, pieces := range stacks {
		carried = append(carried, e.Op("Concat", onnx.Attrs{"axis": int64(0)}, pieces...))
	}
	return outputs(n, carried...), nil
}

// size is the number of nodes in a graph and the graphs inside it.
func size(g *onnx.Graph) int64 {
	n := int64(len(g.Nodes))
	for _, m := range g.Nodes {
		for _, sub := range m.Subgraphs() {
			n += size(sub)
		}
	}
	return n
}

// substitute renames what a node reads, also inside of its graphs.
func substitute(n *onnx.Node, names map[string]string) {
	rename(n.Inputs, names)
	for _, g := range n.Subgraphs() {
		for _, m := range g.Nodes {
			substitute(m, names)
		}
		for i, o := range g.Outputs {
			if to, ok := names[o.Name]; ok {
				g.Outputs[i].Name = to
			}
		}
	}
}
