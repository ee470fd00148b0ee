package autodiff

import "assay/onnx"

// The operators of ONNX Runtime's own domain that it puts into models that it has
// optimised, in terms of ONNX's (docs/ContribOperators.md of its repository).

// expandMicrosoftGelu: Gelu and BiasGelu are exact, FastGelu the tanh approximation;
// the second input of the latter two is added first.
func expandMicrosoftGelu(e *expander, n *onnx.Node) []string {
	x := n.Inputs[0]
	if bias := n.Input(1); bias != "" {
		x = e.Op("Add", nil, x, bias)
	}
	if n.Op == "FastGelu" {
		return outputs(n, e.Op("Gelu", onnx.Attrs{"approximate": "tanh"}, x))
	}
	return outputs(n, e.Op("Gelu", nil, x))
}

// expandQuickGelu: x·σ(αx).
func expandQuickGelu(e *expander, n *onnx.Node) []string {
	x := n.Inputs[0]
	elem := e.elem(x)
	if !elem.IsFloat() {
		return nil
	}
	scaled := e.Op("Mul", nil, x, e.Number(elem, float64(n.Float("alpha", 1.702))))
	return outputs(n, e.Op("Mul", nil, x, e.Op("Sigmoid", nil, scaled)))
}

// expandFusedMatMul: α·A'·B', where A' is A or A with its last two dimensions
// swapped.
func expandFusedMatMul(e *expander, n *onnx.Node) []string {
	if n.Int("transBatchA", 0) != 0 || n.Int("transBatchB", 0) != 0 {
		return nil
	}
	elem := e.elem(n.Inputs[0])
	var operands [2]string
	for i, trans := range []string{"transA", "transB"} {
		operands[i] = n.Inputs[i]
		if n.Int(trans, 0) == 0 {
			continue
		}
		rank := len(e.shape(n.Inputs[i]))
		if rank == 0 {
			return nil
		}
		if rank > 1 { // a vector is left as it is
			perm := upTo(int64(rank))
			perm[rank-1], perm[rank-2] = perm[rank-2], perm[rank-1]
			operands[i] = e.Op("Transpose", onnx.Attrs{"perm": perm}, n.Inputs[i])
		}
	}
	y := e.Op("MatMul", nil, operands[0], operands[1])
	if alpha := float64(n.Float("alpha", 1)); alpha != 1 {
		y = e.Op("Mul", nil, y, e.Number(elem, alpha))
	}
	return outputs(n, y)
}

// expandSkipNormalization normalises the sum of an input, a skip connection and
// perhaps a bias. The sum is the fourth output.
func expandSkipNormalization(e *expander, n *onnx.Node) []string {
	if n.Op == "SkipSimplifiedLayerNormalization" && (n.Output(1) != "" || n.Output(2) != "") {
		return nil // outputs that ONNX Runtime makes only when it trains
	}
	sum := e.Op("Add", nil, n.Inputs[0], n.Inputs[1])
	attrs := onnx.Attrs{"axis": int64(-1), "epsilon": n.Float("epsilon", 1e-12)}
	op, bias, beta := "LayerNormalization", n.Input(4), n.Input(3)
	if n.Op == "SkipSimplifiedLayerNormalization" {
		op, bias, beta = "SimplifiedLayerNormalization", n.Input(3), ""
	}
	if bias != "" {
		sum = e.Op("Add", nil, sum, bias)
	}
	inputs := []string{sum, n.Inputs[2]}
	if beta != "" {
		inputs = append(inputs, beta)
	}
	if op == "SimplifiedLayerNormalization" {
		return outputs(n, e.Op(op, attrs, inputs...), "", "", sum)
	}
	normal := e.Ops(op, attrs, 3, inputs...)
	return outputs(n, normal[0], normal[1], normal[2], sum)
}
