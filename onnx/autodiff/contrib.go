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
	if !elem.IsFloat() {
		return nil
	}
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
	elem := e.elem(n.Inputs[0])
	if n.Op == "SkipSimplifiedLayerNormalization" && (n.Output(1) != "" || n.Output(2) != "" || !elem.IsFloat()) {
		return nil // with outputs that ONNX Runtime makes only when it trains
	}
	sum := e.Op("Add", nil, n.Inputs[0], n.Inputs[1])
	if n.Op == "SkipSimplifiedLayerNormalization" {
		if bias := n.Input(3); bias != "" {
			sum = e.Op("Add", nil, sum, bias)
		}
		return outputs(n, e.rootMeanSquare(sum, n.Inputs[2], elem, float64(n.Float("epsilon", 1e-12))), "", "", sum)
	}
	if bias := n.Input(4); bias != "" {
		sum = e.Op("Add", nil, sum, bias)
	}
	inputs := []string{sum, n.Inputs[2]}
	if beta := n.Input(3); beta != "" {
		inputs = append(inputs, beta)
	}
	attrs := onnx.Attrs{"axis": int64(-1), "epsilon": n.Float("epsilon", 1e-12)}
	normal := e.Ops("LayerNormalization", attrs, 3, inputs...)
	return outputs(n, normal[0], normal[1], normal[2], sum)
}

// rootMeanSquare is RMSNormalization, which operator sets before 23 do not have.
func (e *expander) rootMeanSquare(x, scale string, elem onnx.DataType, epsilon float64) string {
	mean := e.Op("ReduceMean", nil, e.Op("Mul", nil, x, x), e.Ints(-1))
	size := e.Op("Sqrt", nil, e.Op("Add", nil, mean, e.Number(elem, epsilon)))
	return e.Op("Mul", nil, e.Op("Div", nil, x, size), scale)
}
