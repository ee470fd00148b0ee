package autodiff

import (
	"math"
	"slices"

	"assay/onnx"
)

// Simplify rewrites the model into forms that compute the same and whose gradient
// runs faster, for the common case that its weights are constants: batch
// normalisation in inference form is folded into the convolution before it, and a
// max pooling moves before a ReLU, so that the ReLU and its mask are smaller. Values
// between the two disappear, but for those named in keep and the graph's outputs.
//
// Runtimes fold batch normalisation too, but only into forward convolutions: in the
// reverse pass it would remain, as a product that breaks their layout of the data.
// Folding changes results by rounding alone.
func (g *Graph) Simplify(keep ...string) error {
	s := &simplifier{Graph: g, kept: map[string]bool{}, readers: map[string][]*onnx.Node{}}
	for _, name := range keep {
		s.kept[name] = true
	}
	for _, v := range g.Graph.Outputs {
		s.kept[v.Name] = true
	}
	for _, n := range g.Graph.Nodes {
		for _, v := range n.Reads() {
			s.readers[v] = append(s.readers[v], n)
		}
	}
	gone := map[*onnx.Node]bool{}
	for _, n := range g.Graph.Nodes {
		next := s.onlyReader(n)
		if next == nil {
			continue
		}
		switch {
		case n.Op == "Conv" && next.Op == "BatchNormalization":
			folded, err := s.foldNormalisation(n, next)
			if err != nil {
				return err
			}
			gone[next] = folded
		case n.Op == "Relu" && next.Op == "MaxPool" && next.Output(1) == "":
			s.poolFirst(n, next)
		}
	}
	g.Graph.Nodes = slices.DeleteFunc(g.Graph.Nodes, func(n *onnx.Node) bool { return gone[n] })
	return nil
}

type simplifier struct {
	*Graph
	kept    map[string]bool
	readers map[string][]*onnx.Node // of each value
}

// onlyReader gives the node that reads n's output as its first input, if there is
// no other and the output may disappear.
func (s *simplifier) onlyReader(n *onnx.Node) *onnx.Node {
	if len(n.Outputs) != 1 || n.Domain != "" || s.kept[n.Outputs[0]] {
		return nil
	}
	readers := s.readers[n.Outputs[0]]
	if len(readers) != 1 || readers[0].Domain != "" || readers[0].Input(0) != n.Outputs[0] || len(readers[0].Subgraphs()) > 0 {
		return nil
	}
	return readers[0]
}

// poolFirst turns MaxPool(Relu(x)) into Relu(MaxPool(x)): ReLU keeps order, so the
// greatest stays the greatest. Padding counts as less than anything either way.
func (s *simplifier) poolFirst(relu, pool *onnx.Node) {
	x, y, between := relu.Inputs[0], pool.Outputs[0], s.Name("pooled")
	*relu, *pool = onnx.Node{
		Name: pool.Name, Op: pool.Op, Inputs: []string{x}, Outputs: []string{between}, Attrs: pool.Attrs,
	}, onnx.Node{
		Name: relu.Name, Op: relu.Op, Inputs: []string{between}, Outputs: []string{y}, Attrs: relu.Attrs,
	}
}

// foldNormalisation scales a convolution's kernels and moves its bias as the batch
// normalisation after it would, if all of them are constants of float32.
func (s *simplifier) foldNormalisation(conv, norm *onnx.Node) (bool, error) {
	if norm.Int("training_mode", 0) != 0 || len(norm.Outputs) != 1 {
		return false, nil
	}
	weight := s.Graph.Graph.Initializer(conv.Inputs[1])
	params := make([][]float64, 4) // scale, shift, mean, variance
	for i := range params {
		t := s.Graph.Graph.Initializer(norm.Input(i + 1))
		if t == nil || t.Type != onnx.Float32 {
			return false, nil
		}
		var err error
		if params[i], err = t.Float64s(); err != nil {
			return false, err
		}
	}
	if weight == nil || weight.Type != onnx.Float32 || len(weight.Shape) < 3 || int(weight.Shape[0]) != len(params[0]) {
		return false, nil
	}
	bias := make([]float64, len(params[0]))
	if name := conv.Input(2); name != "" {
		t := s.Graph.Graph.Initializer(name)
		if t == nil {
			return false, nil
		}
		var err error
		if bias, err = t.Float64s(); err != nil {
			return false, err
		}
	}
	kernels, err := weight.Float64s()
	if err != nil {
		return false, err
	}
	each := len(kernels) / len(bias)
	for c := range bias {
		scale := params[0][c] / math.Sqrt(params[3][c]+float64(norm.Float("epsilon", 1e-5)))
		for i := range each {
			kernels[c*each+i] *= scale
		}
		bias[c] = (bias[c]-params[2][c])*scale + params[1][c]
	}
	w, err := onnx.FromFloat64s(conv.Inputs[1]+"_folded", onnx.Float32, kernels, weight.Shape...)
	if err != nil {
		return false, err
	}
	b, err := onnx.FromFloat64s(conv.Inputs[1]+"_bias", onnx.Float32, bias)
	if err != nil {
		return false, err
	}
	conv.Inputs = []string{conv.Inputs[0], s.Weight(w), s.Weight(b)}
	conv.Outputs = slices.Clone(norm.Outputs)
	return true, nil
}

// State writes down the types of the values in between, as far as they are known, so
// that the runtime need not find them again: it cannot always, and then it leaves
// images out of the layout that convolutions run fastest in.
func (g *Graph) State() error {
	types, err := inferred(g.model)
	if err != nil {
		return err
	}
	stated := map[string]bool{}
	for _, list := range [][]onnx.Value{g.Graph.Inputs, g.Graph.Outputs, g.Graph.Values} {
		for _, v := range list {
			stated[v.Name] = true
		}
	}
	for _, n := range g.Graph.Nodes {
		for _, o := range n.Outputs {
			if t := types.Of(o); o != "" && !stated[o] && t.Kind == onnx.KindTensor && t.Shape != nil {
				g.Graph.Values = append(g.Graph.Values, onnx.Value{Name: o, Type: t})
			}
		}
	}
	return nil
}
