package autodiff

import (
	"errors"
	"fmt"
	"slices"

	"assay/onnx"
)

// control holds the operators that run graphs of their own.
var control = map[string]operator{
	"If":   {gradient: ifGradient, inside: ifInside},
	"Scan": {gradient: roundsGradient, inside: roundsInside},
	"Loop": {gradient: roundsGradient, inside: roundsInside},
}

// inner is a pass over a graph inside of p's, with respect to those of its own inputs
// that are given and to all that p's graph is active in. It writes to a new body.
func (p *pass) inner(g *onnx.Graph, inputs []string) *pass {
	wrt := slices.Clone(inputs)
	for _, v := range g.Captures() {
		if p.active[v] {
			wrt = append(wrt, v)
		}
	}
	q := newPass(p.Body(g.Name+"_gradient"), p.types.Inside(g), p.rules, g, wrt)
	q.found = p.found
	for v := range p.carried {
		q.carried[v] = true
	}
	return q
}

// ifInside walks both branches.
func ifInside(p *pass, n *onnx.Node, reached map[string]bool) string {
	for _, g := range n.Subgraphs() {
		if len(g.Outputs) < len(n.Outputs) {
			return "its branches do not give all of its outputs"
		}
		q := p.inner(g, nil)
		within := map[string]bool{}
		for i, o := range n.Outputs {
			within[g.Outputs[i].Name] = within[g.Outputs[i].Name] || reached[o]
		}
		q.walk(within)
		for _, v := range g.Captures() {
			reached[v] = reached[v] || within[v]
		}
	}
	return ""
}

// ifGradient is an If on the same condition, whose branches are the reverse passes of
// the node's own, each with what it needs of the branch computed again.
func ifGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	var branches []*pass
	var wanted []string
	for _, name := range []string{"then_branch", "else_branch"} {
		g := n.Graph(name)
		if g == nil {
			return nil, fmt.Errorf("it has no %s", name)
		}
		q := p.inner(g, nil)
		for i, d := range dy {
			if d != "" {
				q.add(g.Outputs[i].Name, d)
			}
		}
		if err := q.sweep(); err != nil {
			return nil, err
		}
		for _, v := range g.Captures() {
			if q.wants(v) && q.total(v) != "" && !slices.Contains(wanted, v) {
				wanted = append(wanted, v)
			}
		}
		branches = append(branches, q)
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	for _, q := range branches {
		for _, v := range wanted {
			d := q.total(v)
			if d == "" {
				d = q.filled(v, 0)
			}
			q.give(d, q.types.Of(v))
		}
		prune(q.Graph)
		if err := q.recall(func(string) bool { return false }); err != nil {
			return nil, err
		}
	}
	attrs := onnx.Attrs{"then_branch": branches[0].Graph, "else_branch": branches[1].Graph}
	for i, d := range p.Ops("If", attrs, len(wanted), n.Inputs[0]) {
		p.add(wanted[i], d)
	}
	return nil, nil
}

// give makes a value an output of the body that the pass writes to. A graph must make
// each of its outputs itself, and each once.
func (p *pass) give(value string, t onnx.Type) {
	makes := func(n *onnx.Node) bool { return slices.Contains(n.Outputs, value) }
	given := func(v onnx.Value) bool { return v.Name == value }
	if !slices.ContainsFunc(p.Graph.Nodes, makes) || slices.ContainsFunc(p.Graph.Outputs, given) {
		value = p.Op("Identity", nil, value)
	}
	p.Output(value, t.Elem, fixed(t.Shape))
}

// fixed keeps of a shape what is known for certain in every graph: the sizes.
func fixed(s onnx.Shape) onnx.Shape {
	s = slices.Clone(s)
	for i := range s {
		s[i].Param = ""
	}
	return s
}

// prune removes what nothing in the graph, nor its outputs, use.
func prune(g *onnx.Graph) {
	used := map[string]bool{}
	for _, o := range g.Outputs {
		used[o.Name] = true
	}
	for i, n := range slices.Backward(g.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(o string) bool { return used[o] }) {
			g.Nodes[i] = nil
			continue
		}
		for _, v := range n.Reads() {
			used[v] = true
		}
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *onnx.Node) bool { return n == nil })
	g.Initializers = slices.DeleteFunc(g.Initializers, func(t *onnx.Tensor) bool { return !used[t.Name] })
}

// recall makes the values of the swept graph that the reverse pass reads available in
// the body it is written to, under their own names. Those that save takes care of are
// left to it; others are computed again. The swept graph's inputs must be saved.
func (p *pass) recall(save func(value string) bool) error {
	need := map[string]bool{}
	for _, v := range p.Graph.Captures() {
		need[v] = true
	}
	needs := func(v string) bool { return v != "" && need[v] }
	var again []*onnx.Node
	for _, n := range slices.Backward(p.nodes) {
		if !slices.ContainsFunc(n.Outputs, needs) {
			continue
		}
		missing := false
		for _, o := range n.Outputs {
			missing = missing || needs(o) && !save(o)
		}
		if !missing {
			continue
		}
		if p.random(n) {
			return fmt.Errorf("%s inside it draws random numbers, which cannot be drawn again", n)
		}
		again = append(again, n.Clone())
		for _, v := range n.Reads() {
			need[v] = true
		}
	}
	slices.Reverse(again)
	p.Graph.Nodes = append(again, p.Graph.Nodes...)
	for _, v := range p.graph.Inputs {
		if need[v.Name] && !save(v.Name) {
			return errors.New("the values that it carries are not tensors whose sizes stay the same")
		}
	}
	for _, t := range p.graph.Initializers {
		if need[t.Name] {
			p.Graph.Initializers = append(p.Graph.Initializers, t)
		}
	}
	return nil
}

// random reports whether a node gives other values each time it runs.
func (p *pass) random(n *onnx.Node) bool {
	switch n.Op {
	case "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial":
		return true
	case "Dropout":
		training := n.Input(2)
		if training == "" {
			return false
		}
		c := p.types.Constant(training)
		if c == nil {
			return true
		}
		on, err := c.Int64s()
		return err != nil || len(on) != 1 || on[0] != 0
	}
	for _, g := range n.Subgraphs() {
		inside := &pass{types: p.types.Inside(g)}
		if slices.ContainsFunc(g.Nodes, inside.random) {
			return true
		}
	}
	return false
}
