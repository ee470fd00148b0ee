package train

import (
	"fmt"
	"path"
	"slices"

	"assay/onnx"
)

// parameter is a weight of a model that training changes.
type parameter struct {
	name  string
	shape []int64
	elem  onnx.DataType // in the model; training holds it in float32
	decay bool          // it multiplies its input, so that weight decay is meant for it
}

// weightInputs are the inputs by which operators take weights, those that decay
// first. Elementwise operators are looked at by themselves.
var weightInputs = map[string]struct{ decaying, other []int }{
	"Conv": {[]int{1}, []int{2}}, "ConvTranspose": {[]int{1}, []int{2}},
	"Gemm": {[]int{0, 1}, []int{2}}, "MatMul": {[]int{0, 1}, nil}, "Einsum": {[]int{0, 1, 2, 3}, nil},
	"Gather":                {[]int{0}, nil},
	"BatchNormalization":    {nil, []int{1, 2}},
	"InstanceNormalization": {nil, []int{1, 2}},
	"GroupNormalization":    {nil, []int{1, 2}},
	"LayerNormalization":    {nil, []int{1, 2}},
	"RMSNormalization":      {nil, []int{1}},
	"PRelu":                 {nil, []int{1}},
	"LSTM":                  {[]int{1, 2}, []int{3, 7}}, "GRU": {[]int{1, 2}, []int{3}}, "RNN": {[]int{1, 2}, []int{3}},
	"com.microsoft.FusedMatMul":            {[]int{0, 1}, nil},
	"com.microsoft.BiasGelu":               {nil, []int{1}},
	"com.microsoft.SkipLayerNormalization": {nil, []int{2, 3, 4}}, "com.microsoft.SkipSimplifiedLayerNormalization": {nil, []int{2, 3}},
}

// rearranging operators hand a weight on to the one that uses it.
var rearranging = map[string]bool{
	"Identity": true, "Cast": true, "Transpose": true, "Reshape": true, "Flatten": true, "Squeeze": true, "Unsqueeze": true,
}

// parameters finds the weights of a graph that reach a value. Weights are the
// floating-point initializers that layers take as such, and those that elementwise
// operators combine with what layers gave. Other constants are none: scalars, and
// those that normalise the input before the first layer.
func parameters(g *onnx.Graph, value string, frozen []string) ([]parameter, error) {
	f := finder{carried: map[string]string{}, learned: map[string]bool{}, scalars: map[string]bool{}, decays: map[string]bool{}, found: map[string]bool{}}
	for _, t := range g.Initializers {
		if t.Type.IsFloat() && t.Len() > 0 {
			f.carried[t.Name] = t.Name
			f.scalars[t.Name] = len(t.Shape) == 0
		}
	}
	for _, n := range needed(g, value) {
		f.node(n)
	}
	var out []parameter
	for _, t := range g.Initializers {
		if !f.found[t.Name] || slices.ContainsFunc(frozen, func(p string) bool { return matches(p, t.Name) }) {
			continue
		}
		out = append(out, parameter{name: t.Name, shape: t.Shape, elem: t.Type, decay: f.decays[t.Name]})
	}
	for _, p := range frozen {
		if _, err := path.Match(p, ""); err != nil {
			return nil, fmt.Errorf("the pattern %q of frozen weights: %w", p, err)
		}
		if !slices.ContainsFunc(g.Initializers, func(t *onnx.Tensor) bool { return matches(p, t.Name) }) {
			return nil, fmt.Errorf("no weight is named %q, so it cannot be frozen", p)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the model has no weights to train: none that is not frozen reaches %q", value)
	}
	return out, nil
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return pattern == name || err == nil && ok
}

// finder goes through a graph in order.
type finder struct {
	carried map[string]string // values that are an initializer, rearranged at most, and which
	learned map[string]bool   // values that depend on weights
	scalars map[string]bool   // initializers of rank 0
	decays  map[string]bool
	found   map[string]bool
}

func (f *finder) node(n *onnx.Node) {
	if w := f.carried[n.Input(0)]; w != "" && rearranging[n.OpType()] {
		f.carried[n.Output(0)] = w
		return
	}
	learned := slices.ContainsFunc(n.Inputs, func(v string) bool { return f.learned[v] })
	take := func(i int, decay bool) {
		if w := f.carried[n.Input(i)]; w != "" {
			f.found[w] = true
			f.decays[w] = f.decays[w] || decay
			learned = true
		}
	}
	switch n.OpType() {
	case "Add", "Sub", "Mul", "Div", "Sum":
		for i := range n.Inputs {
			if w := f.carried[n.Input(i)]; learned && !f.scalars[w] {
				take(i, false)
			}
		}
	default:
		inputs := weightInputs[n.OpType()]
		for _, i := range inputs.decaying {
			take(i, true)
		}
		for _, i := range inputs.other {
			take(i, false)
		}
	}
	for _, o := range n.Outputs {
		f.learned[o] = learned && o != ""
	}
}

// needed gives the nodes of a graph that a value depends on, in order.
func needed(g *onnx.Graph, value string) []*onnx.Node {
	wanted := map[string]bool{value: true}
	var nodes []*onnx.Node
	for _, n := range slices.Backward(g.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(o string) bool { return o != "" && wanted[o] }) {
			continue
		}
		nodes = append(nodes, n)
		for _, v := range n.Reads() {
			wanted[v] = true
		}
	}
	slices.Reverse(nodes)
	return nodes
}
