package autodiff

import (
	"fmt"
	"slices"

	"assay/onnx"
)

// expansion writes the nodes that an operator is a composition of. They must make all
// of the node's outputs, under their names.
type expansion func(e *expander, n *onnx.Node) error

// expander writes the nodes that replace one. What it knows of types is of the values
// that were there before.
type expander struct{ *pass }

// composite is a node that is to be expanded, in the graph of a pass.
type composite struct {
	in     *pass
	node   *onnx.Node
	expand expansion
}

// replace puts the nodes of the expansion in the place of the node.
func (c composite) replace() error {
	g := c.in.graph
	place := slices.Index(g.Nodes, c.node)
	if place < 0 {
		return nil // it was in a graph that an expansion has replaced
	}
	e := &expander{newPass(c.in.Body(c.node.Name), c.in.types, c.in.rules, &onnx.Graph{}, nil)}
	for _, o := range c.node.Outputs {
		if e.float = e.elem(o); e.float.IsFloat() {
			break
		}
	}
	if err := c.expand(e, c.node); err != nil {
		return fmt.Errorf("%s: %w", c.node, err)
	}
	g.Nodes = slices.Replace(g.Nodes, place, place+1, e.Graph.Nodes...)
	g.Initializers = append(g.Initializers, e.Graph.Initializers...)
	return nil
}

// as gives a value the name of one of the outputs of the node that is replaced. It
// does nothing for an output that is left out.
func (e *expander) as(output, value string) {
	if output != "" {
		e.Add("Identity", nil, []string{value}, []string{output})
	}
}
