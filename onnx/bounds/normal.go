package bounds

import (
	"math"
	"slices"

	"assay/onnx"
	"assay/onnx/infer"
)

// rewrite brings operators to forms that have rules. What changes shape alone becomes a
// Reshape that keeps each example's elements together; Clip becomes two ReLUs.
func rewrite(m *onnx.Model, types *infer.Types) {
	b := onnx.Extend(m.Graph)
	nodes := m.Graph.Nodes
	m.Graph.Nodes = nil
	for _, n := range nodes {
		sizes, fixed := types.Shape(n.Output(0)).Sizes()
		switch n.OpType() {
		case "Reshape", "Flatten", "Squeeze", "Unsqueeze":
			if fixed && len(sizes) > 0 && sizes[0] == 1 && types.Constant(n.Output(0)) == nil && !slices.Contains(sizes, 0) {
				b.Add("Reshape", nil, []string{n.Inputs[0], b.Ints(append([]int64{-1}, sizes[1:]...)...)}, n.Outputs)
				continue
			}
		case "Dropout":
			if n.Input(2) == "" && n.Output(1) == "" {
				b.Add("Identity", nil, n.Inputs[:1], n.Outputs)
				continue
			}
		case "Clip":
			if clip(b, types, n) {
				continue
			}
		}
		m.Graph.Nodes = append(m.Graph.Nodes, n)
	}
}

// clip writes min(max(x, a), c) as c - relu(c - a - relu(x - a)) …, one side at a time.
func clip(b *onnx.Builder, types *infer.Types, n *onnx.Node) bool {
	limit := func(i int, none float64) (float64, bool) {
		if n.Input(i) == "" {
			return none, true
		}
		c := types.Constant(n.Input(i))
		if c == nil {
			return 0, false
		}
		v, err := c.Float64s()
		if err != nil || len(v) != 1 || math.IsNaN(v[0]) {
			return 0, false
		}
		return v[0], true
	}
	low, ok := limit(1, math.Inf(-1))
	high, ok2 := limit(2, math.Inf(1))
	if !ok || !ok2 || types.Elem(n.Inputs[0]) != onnx.Float32 {
		return false
	}
	x := n.Inputs[0]
	number := func(v float64) string { return b.Number(onnx.Float32, v) }
	if low > -math.MaxFloat32 {
		if low == 0 {
			x = b.Op("Relu", nil, x)
		} else {
			x = b.Op("Add", nil, b.Op("Relu", nil, b.Op("Sub", nil, x, number(low))), number(low))
		}
	}
	if high < math.MaxFloat32 {
		x = b.Op("Sub", nil, number(high), b.Op("Relu", nil, b.Op("Sub", nil, number(high), x)))
	}
	b.Add("Identity", nil, []string{x}, n.Outputs)
	return true
}
