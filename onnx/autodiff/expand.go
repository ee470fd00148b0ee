package autodiff

import (
	"slices"

	"assay/onnx"
	"assay/onnx/infer"
)

// expansion rewrites a node in terms of operators that have rules, where that is
// shorter than a rule of its own and lets the gradient share what the forward pass
// computes. It adds nodes and gives the name of a value for each of the node's
// outputs, "" for one that the node does not have. It gives nil, having added
// nothing, for a node that it leaves as it is.
type expansion func(e *expander, n *onnx.Node) []string

// expansions is every operator that is rewritten, under its name with its domain.
var expansions = map[string]expansion{
	"Attention":                 expandAttention,
	"RotaryEmbedding":           expandRotaryEmbedding,
	"BatchNormalization":        expandBatchNormalization,
	"DeformConv":                expandDeformConv,
	"GroupNormalization":        expandGroupNormalization,
	"NegativeLogLikelihoodLoss": expandLikelihoodLoss,
	"SoftmaxCrossEntropyLoss":   expandCrossEntropyLoss,
	"QLinearConv":               expandQLinearConv,
	"QLinearMatMul":             expandQLinearMatMul,

	"com.microsoft.Gelu":                             expandMicrosoftGelu,
	"com.microsoft.FastGelu":                         expandMicrosoftGelu,
	"com.microsoft.BiasGelu":                         expandMicrosoftGelu,
	"com.microsoft.QuickGelu":                        expandQuickGelu,
	"com.microsoft.FusedMatMul":                      expandFusedMatMul,
	"com.microsoft.SkipLayerNormalization":           expandSkipNormalization,
	"com.microsoft.SkipSimplifiedLayerNormalization": expandSkipNormalization,
}

// maxRounds bounds how often a graph is gone through: a node can wait for shapes
// that are known only once those before it are rewritten.
const maxRounds = 4

// expand rewrites the nodes of a model's graph, and of the graphs inside it, that
// have an expansion. Each node becomes a fixed number of others, which are not
// rewritten again.
func expand(b *onnx.Builder, m *onnx.Model) error {
	for range maxRounds {
		if !expandable(m.Graph) {
			return nil
		}
		types, err := inferred(m)
		if err != nil {
			return err
		}
		e := &expander{Builder: b}
		nodes := e.nodes(m.Graph, types)
		m.Graph.Nodes = nodes
		if !e.changed {
			return nil
		}
	}
	return nil
}

// expandable reports whether a node of the graph has an expansion.
func expandable(g *onnx.Graph) bool {
	return slices.ContainsFunc(g.Nodes, func(n *onnx.Node) bool {
		return expansions[n.OpType()] != nil || slices.ContainsFunc(n.Subgraphs(), expandable)
	})
}

// expander is what expansions build with. Constants that they add become weights of
// the outermost graph, where every graph sees them.
type expander struct {
	*onnx.Builder
	types   *infer.Types
	changed bool
}

// nodes gives the nodes of a graph, those with an expansion replaced.
func (e *expander) nodes(g *onnx.Graph, types *infer.Types) []*onnx.Node {
	var out []*onnx.Node
	for _, n := range g.Nodes {
		for _, sub := range n.Subgraphs() {
			if inside := types.Inside(sub); inside != nil {
				sub.Nodes = e.nodes(sub, inside)
			}
		}
		e.types = types
		out = append(out, e.replace(n)...)
	}
	return out
}

// replace gives the nodes that stand for n: itself, or its expansion with its names
// of outputs.
func (e *expander) replace(n *onnx.Node) []*onnx.Node {
	rewrite := expansions[n.OpType()]
	if rewrite == nil {
		return []*onnx.Node{n}
	}
	start := len(e.Graph.Nodes)
	outputs := rewrite(e, n)
	if outputs == nil {
		return []*onnx.Node{n}
	}
	e.changed = true
	return e.since(start, n, outputs)
}

// since gives the nodes added from a place on, which stand for n, with its names for
// the outputs.
func (e *expander) since(start int, n *onnx.Node, outputs []string) []*onnx.Node {
	made := map[string]bool{}
	for _, a := range e.Graph.Nodes[start:] {
		for _, o := range a.Outputs {
			made[o] = true
		}
	}
	final := map[string]string{}
	for i, o := range n.Outputs {
		switch v := outputs[i]; {
		case o == "" || o == v:
		case made[v] && final[v] == "":
			final[v] = o
		default: // an input, or a value that is two outputs
			e.Add("Identity", nil, []string{v}, []string{o})
		}
	}
	added := slices.Clone(e.Graph.Nodes[start:])
	e.Graph.Nodes = e.Graph.Nodes[:start]
	for _, a := range added {
		substitute(a, final)
		rename(a.Outputs, final)
		a.Name = a.Outputs[0]
		if n.Name != "" {
			a.Name = n.Name + "/" + a.Name // so that messages lead to the model's own node
		}
	}
	return added
}

func rename(names []string, to map[string]string) {
	for i, name := range names {
		if other, ok := to[name]; ok {
			names[i] = other
		}
	}
}

// composite is a node that is expanded only where a gradient flows through it, since
// the runtime has a faster form of the whole.
type composite struct {
	node   *onnx.Node
	in     *onnx.Graph
	types  *infer.Types
	expand composition
}

// composition is the expansion of a composite node. An error says what about the node
// makes it impossible.
type composition func(e *expander, n *onnx.Node) ([]string, error)

// replace puts the node's expansion in its place; b builds the outermost graph.
func (c composite) replace(b *onnx.Builder) error {
	e := &expander{Builder: b, types: c.types}
	start := len(b.Graph.Nodes)
	outputs, err := c.expand(e, c.node)
	if err != nil {
		b.Graph.Nodes = b.Graph.Nodes[:start]
		return &NotDifferentiable{Nodes: []*onnx.Node{c.node}, Reasons: []string{err.Error()}}
	}
	nodes := e.since(start, c.node, outputs)
	place := slices.Index(c.in.Nodes, c.node)
	c.in.Nodes = slices.Replace(c.in.Nodes, place, place+1, nodes...)
	return nil
}

// What expansions share.

func (e *expander) shape(value string) onnx.Shape   { return e.types.Of(value).Shape }
func (e *expander) elem(value string) onnx.DataType { return e.types.Of(value).Elem }

// size is dimension i of a value of known rank, as a vector of one number.
func (e *expander) size(value string, i int) string {
	if d := e.shape(value)[i]; d.Known() {
		return e.Ints(d.Size)
	}
	return e.Op("Shape", onnx.Attrs{"start": int64(i), "end": int64(i + 1)}, value)
}

// joined concatenates vectors.
func (e *expander) joined(vectors ...string) string {
	return e.Op("Concat", onnx.Attrs{"axis": int64(0)}, vectors...)
}

// counting is the vector 0, 1, … below n, which is a vector of one number.
func (e *expander) counting(n string) string {
	scalar := e.Op("Squeeze", nil, n, e.Ints(0))
	return e.Op("Range", nil, e.Number(onnx.Int64, 0), scalar, e.Number(onnx.Int64, 1))
}

// cut slices the last dimension.
func (e *expander) cut(x string, start, end, step int64) string {
	return e.Op("Slice", nil, x, e.Ints(start), e.Ints(end), e.Ints(-1), e.Ints(step))
}

// outputs gives a list for the node's outputs that holds the first of those given.
func outputs(n *onnx.Node, names ...string) []string {
	out := make([]string, len(n.Outputs))
	copy(out, names)
	return out
}
