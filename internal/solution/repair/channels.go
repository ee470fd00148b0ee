package repair

import (
	"slices"

	"assay/onnx"
)

// layer is a convolution or dense layer whose channels can be switched off.
type layer struct {
	op     string
	index  int // of the node in its graph
	weight *onnx.Tensor
	axis   int         // of the weight, that of the channels
	norm   *onnx.Node  // the batch normalisation after it; nil where there is none
	value  string      // what it gives in the end: after bias, normalisation and activation
	owned  []parameter // that are 0 where a channel is switched off
}

// parameter is a weight of a node.
type parameter struct {
	node  int // in the graph
	input int
	axis  int // of the channels
}

func (l *layer) channels() int { return int(l.weight.Shape[l.axis]) }

// layersOf gives the layers of a graph whose weights are its own, in order, but for the last, which gives the scores.
func layersOf(g *onnx.Graph) []layer {
	var all []layer
	for i, n := range g.Nodes {
		l := layer{op: n.OpType(), index: i, value: n.Output(0), weight: g.Initializer(n.Input(1))}
		if l.weight == nil || !l.weight.Type.IsFloat() {
			continue
		}
		switch {
		case l.op == "Conv" && len(l.weight.Shape) > 2:
		case l.op == "Gemm" && len(l.weight.Shape) == 2:
			l.axis = 1 - int(n.Int("transB", 0))
		case l.op == "MatMul" && len(l.weight.Shape) == 2:
			l.axis = 1
		default:
			continue
		}
		l.owned = []parameter{{i, 1, l.axis}}
		if n.Input(2) != "" {
			l.owned = append(l.owned, parameter{i, 2, 0})
		}
		l.follow(g)
		all = append(all, l)
	}
	if len(all) == 0 {
		return nil
	}
	return all[:len(all)-1]
}

// follow goes on to what is made of a layer's values channel by channel, and of them alone.
func (l *layer) follow(g *onnx.Graph) {
	for {
		i := slices.IndexFunc(g.Nodes, func(n *onnx.Node) bool { return slices.Contains(n.Inputs, l.value) })
		if i < 0 || slices.ContainsFunc(g.Nodes[i+1:], func(n *onnx.Node) bool { return slices.Contains(n.Inputs, l.value) }) {
			return
		}
		n := g.Nodes[i]
		switch op := n.OpType(); {
		case op == "BatchNormalization" && l.norm == nil && n.Input(0) == l.value:
			l.norm = n
			l.owned = []parameter{{i, 1, 0}, {i, 2, 0}} // whatever the layer gives
		case op == "Add" && l.op == "MatMul" && l.biased(g, n, i):
		case op == "Relu":
			l.value = n.Output(0)
			return
		default:
			return
		}
		l.value = n.Output(0)
	}
}

// biased takes the bias that a node adds for the layer's own.
func (l *layer) biased(g *onnx.Graph, n *onnx.Node, at int) bool {
	input := 1 - slices.Index(n.Inputs, l.value)
	t := g.Initializer(n.Input(input))
	if t == nil || len(t.Shape) != 1 || int(t.Shape[0]) != l.channels() {
		return false
	}
	l.owned = append(l.owned, parameter{at, input, 0})
	return true
}

// silence switches channels of a layer off. A weight that other nodes take as well stays as it is for them.
func silence(m *onnx.Model, l *layer, channels []int) error {
	g := m.Graph
	for _, p := range l.owned {
		n := g.Nodes[p.node]
		t := g.Initializer(n.Input(p.input))
		if t == nil {
			continue // made by the model itself, and silenced by the others
		}
		zeroed, err := zero(t, p.axis, channels)
		if err != nil {
			return err
		}
		if users(g, t.Name) > 1 {
			n.Inputs[p.input] = onnx.Extend(g).Weight(zeroed)
			continue
		}
		at := slices.Index(g.Initializers, t)
		g.Initializers[at] = zeroed
	}
	return nil
}

func users(g *onnx.Graph, name string) int {
	n := 0
	for _, node := range g.Nodes {
		for _, v := range node.Reads() {
			if v == name {
				n++
			}
		}
	}
	return n
}

// zero gives a tensor with 0 in some channels of an axis.
func zero(t *onnx.Tensor, axis int, channels []int) (*onnx.Tensor, error) {
	values, err := t.Float64s()
	if err != nil {
		return nil, err
	}
	values = slices.Clone(values)
	inner := 1
	for _, size := range t.Shape[axis+1:] {
		inner *= int(size)
	}
	size := int(t.Shape[axis])
	for i := range values {
		if slices.Contains(channels, i/inner%size) {
			values[i] = 0
		}
	}
	return onnx.FromFloat64s(t.Name, t.Type, values, t.Shape...)
}
