package bounds

import (
	"fmt"
	"slices"

	"assay/onnx"
	"assay/onnx/autodiff"
)

// pulledBack gives the vector-Jacobian products of a node with respect to some of its
// inputs, for rows a of its outputs ("" for none). The node is differentiated in a graph
// of its own, whose batch is the rows.
func (p *backward) pulledBack(n *onnx.Node, at []int, a []string) ([]string, error) {
	alone := onnx.NewBuilder("pullback")
	same := map[string]string{} // the small graph's values that are ours
	of := func(v string) []any {
		dims := []any{"rows"}
		for _, d := range p.sizes(v) {
			dims = append(dims, d)
		}
		return dims
	}
	node := n.Clone()
	var vary, stand []string
	for i, v := range n.Inputs {
		switch {
		case v == "":
		case slices.Contains(at, i):
			node.Inputs[i] = alone.Input(fmt.Sprintf("varying_%d", i), onnx.Float32, of(v)...)
			vary = append(vary, node.Inputs[i])
			stand = append(stand, v)
		case slices.Contains(n.Inputs[:i], v):
		default:
			p.constantFor(alone, v)
			same[v] = v
		}
	}
	for i, o := range node.Outputs {
		if o != "" {
			node.Outputs[i] = alone.Name(fmt.Sprintf("result_%d", i))
		}
	}
	alone.Graph.Nodes = append(alone.Graph.Nodes, node)
	value, seed := "", ""
	for i, o := range node.Outputs {
		if a[i] == "" {
			continue
		}
		s := alone.Input(fmt.Sprintf("rows_%d", i), onnx.Float32, of(n.Outputs[i])...)
		same[s] = a[i]
		flat := func(v string) string { return alone.Op("Flatten", nil, v) }
		switch {
		case value == "" && len(node.Outputs) == 1:
			value, seed = o, s
		case value == "":
			value, seed = flat(o), flat(s)
		default:
			join := onnx.Attrs{"axis": int64(1)}
			value, seed = alone.Op("Concat", join, value, flat(o)), alone.Op("Concat", join, seed, flat(s))
		}
	}
	alone.Output(value, onnx.Float32, nil)
	small := alone.Model()
	small.Opsets = p.source.Opsets
	g, err := autodiff.New(small)
	if err != nil {
		return nil, err
	}
	grads, err := g.Pullback(value, seed, vary...)
	if err != nil {
		return nil, err
	}
	for i, v := range vary {
		same[v] = p.rowsLike(stand[i], slices.IndexFunc(a, func(s string) bool { return s != "" }), a)
	}
	return p.graft(g.Model().Graph, grads.Names, same), nil
}

// constantFor declares a value that does not vary: as the weight that it is, so that the
// gradient can be made for it, else as an input.
func (p *backward) constantFor(alone *onnx.Builder, v string) {
	if t := p.Graph.Initializer(v); t != nil {
		alone.Weight(t)
		return
	}
	if t := p.types.Constant(v); t != nil {
		alone.Weight(t.Renamed(v))
		return
	}
	alone.Name(v)
	alone.Graph.Inputs = append(alone.Graph.Inputs, onnx.Value{Name: v, Type: p.types.Of(v)})
}

// rowsLike is a value of the shape of v for each row, for gradients that ask for that
// shape: they do not depend on its content.
func (p *backward) rowsLike(v string, i int, a []string) string {
	count := p.Op("Shape", onnx.Attrs{"start": int64(0), "end": int64(1)}, a[i])
	shape := p.Op("Concat", onnx.Attrs{"axis": int64(0)}, count, p.Ints(p.sizes(v)...))
	if len(p.sizes(v)) == 0 {
		shape = count
	}
	zero, _ := onnx.FromFloat64s("", onnx.Float32, []float64{0}, 1)
	return p.Op("ConstantOfShape", onnx.Attrs{"value": zero}, shape)
}

// graft takes over the nodes that some values of another graph rest on, under new names.
func (p *backward) graft(g *onnx.Graph, values []string, same map[string]string) []string {
	wanted := map[string]bool{}
	for _, v := range values {
		wanted[v] = true
	}
	var nodes []*onnx.Node
	for _, n := range slices.Backward(g.Nodes) {
		if slices.ContainsFunc(n.Outputs, func(o string) bool { return wanted[o] }) {
			nodes = append(nodes, n)
			for _, v := range n.Reads() {
				wanted[v] = true
			}
		}
	}
	slices.Reverse(nodes)
	for _, t := range g.Initializers {
		if wanted[t.Name] && same[t.Name] == "" {
			same[t.Name] = p.Constant(t)
		}
	}
	named := func(v string) string {
		if v == "" {
			return ""
		}
		if same[v] == "" {
			same[v] = p.Name(v)
		}
		return same[v]
	}
	for _, n := range nodes {
		c := n.Clone()
		for i, v := range c.Inputs {
			c.Inputs[i] = named(v)
		}
		for i, v := range c.Outputs {
			c.Outputs[i] = named(v)
		}
		c.Name = c.Outputs[0]
		p.Graph.Nodes = append(p.Graph.Nodes, c)
	}
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = named(v)
	}
	return out
}
