package autodiff

import "assay/onnx"

// reduction holds the operators that combine elements along axes, and running sums.
var reduction = map[string]operator{
	"ReduceSum":       {gradient: reduceSumGradient},
	"ReduceMean":      {gradient: reduceMeanGradient},
	"ReduceMax":       {gradient: reduceExtremeGradient},
	"ReduceMin":       {gradient: reduceExtremeGradient},
	"ReduceProd":      {gradient: reduceProdGradient},
	"ReduceL1":        reducing(func(p *pass, x, y string) string { return p.Op("Sign", nil, x) }),
	"ReduceL2":        reducing(reduceL2Slope),
	"ReduceLogSum":    reducing(func(p *pass, x, y string) string { return p.Op("Exp", nil, p.Op("Neg", nil, y)) }),
	"ReduceLogSumExp": reducing(func(p *pass, x, y string) string { return p.Op("Exp", nil, p.Op("Sub", nil, x, y)) }),
	"ReduceSumSquare": reducing(func(p *pass, x, y string) string { return p.times(x, 2) }),
	"CumSum":          {gradient: cumSumGradient},
	"Range":           {gradient: rangeGradient},
}

// reducing is a reduction with a slope made from x and from y with the reduced axes
// kept.
func reducing(slope func(p *pass, x, y string) string) operator {
	return operator{gradient: func(p *pass, n *onnx.Node, dy []string) ([]string, error) {
		x := n.Inputs[0]
		grad := p.Op("Mul", nil, slope(p, x, p.kept(n, n.Outputs[0])), p.kept(n, dy[0]))
		if n.Op == "ReduceLogSum" { // the slope is the same for all that is summed
			grad = p.Op("Expand", nil, grad, p.shapeOf(x))
		}
		return []string{grad}, nil
	}}
}

// kept gives a value of a reduction's output shape in a form that broadcasts to the
// input's. Where all axes were reduced, a scalar does too.
func (p *pass) kept(n *onnx.Node, value string) string {
	axes := n.Input(1)
	if n.Int("keepdims", 1) != 0 || axes == "" {
		return value
	}
	if list, ok := p.known(axes); ok && len(list) == 0 {
		return value
	}
	return p.Op("Unsqueeze", nil, value, axes)
}

// reduced applies a reduction along the axes of another, which it keeps.
func (p *pass) reduced(op string, n *onnx.Node, value string) string {
	attrs := onnx.Attrs{"noop_with_empty_axes": n.Int("noop_with_empty_axes", 0)}
	return p.Op(op, attrs, append([]string{value}, n.Inputs[1:]...)...)
}

func reduceSumGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	return []string{p.Op("Expand", nil, p.kept(n, dy[0]), p.shapeOf(n.Inputs[0]))}, nil
}

func reduceMeanGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x := n.Inputs[0]
	share := p.kept(n, dy[0])
	if elements, ok := p.elementsReduced(n); ok {
		share = p.times(share, 1/float64(elements))
	} else {
		sizes := p.Op("Div", nil, p.cast(p.Op("Size", nil, x)), p.cast(p.Op("Size", nil, dy[0])))
		share = p.Op("Div", nil, share, sizes)
	}
	return []string{p.Op("Expand", nil, share, p.shapeOf(x))}, nil
}

// elementsReduced is how many elements of the input make one of the output.
func (p *pass) elementsReduced(n *onnx.Node) (int64, bool) {
	shape := p.shape(n.Inputs[0])
	axes, ok := upTo(int64(len(shape))), true
	if n.Input(1) != "" {
		axes, ok = p.known(n.Input(1))
	}
	if shape == nil || !ok {
		return 0, false
	}
	if len(axes) == 0 || n.Input(1) == "" {
		if n.Int("noop_with_empty_axes", 0) != 0 {
			return 1, true
		}
		axes = upTo(int64(len(shape)))
	}
	elements := int64(1)
	for _, axis := range axes {
		axis, err := counted(axis, int64(len(shape)))
		if err != nil || shape[axis].Size <= 0 {
			return 0, false
		}
		elements *= shape[axis].Size
	}
	return elements, true
}

// reduceExtremeGradient shares dY among the elements that tie for the extreme.
func reduceExtremeGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	extreme := p.cast(p.Op("Equal", nil, n.Inputs[0], p.kept(n, n.Outputs[0])))
	count := p.reduced("ReduceSum", n, extreme)
	return []string{p.Op("Mul", nil, extreme, p.Op("Div", nil, p.kept(n, dy[0]), count))}, nil
}

// reduceProdGradient is dY times the product of the others, which is found without
// dividing by zeros: a zero makes all but its own gradient vanish.
func reduceProdGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x := n.Inputs[0]
	isZero := p.Op("Equal", nil, x, p.number(0))
	zeros := p.reduced("ReduceSum", n, p.cast(isZero))
	safe := p.Op("Where", nil, isZero, p.number(1), x)
	product := p.Op("Mul", nil, p.kept(n, dy[0]), p.reduced("ReduceProd", n, safe))
	return []string{p.Op("Mul", nil, p.othersZero(zeros, isZero), p.Op("Div", nil, product, safe))}, nil
}

// reduceL2Slope is x/‖x‖, 0 where the norm is.
func reduceL2Slope(p *pass, x, y string) string {
	return p.Op("Div", nil, x, p.Op("Where", nil, p.positive(y), y, p.number(1)))
}

// cumSumGradient sums the other way round.
func cumSumGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	attrs := onnx.Attrs{"exclusive": n.Int("exclusive", 0), "reverse": 1 - n.Int("reverse", 0)}
	return []string{p.Op("CumSum", attrs, dy[0], n.Inputs[1])}, nil
}

// rangeGradient: element i is start + i·delta. How many there are depends on the
// limit in steps, so the limit's gradient is zero.
func rangeGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	all := onnx.Attrs{"keepdims": int64(0)}
	grads := make([]string, 3)
	grads[0] = p.Op("ReduceSum", all, dy[0])
	if p.wants(n.Inputs[2]) {
		steps := p.cast(p.Op("Range", nil, p.Number(onnx.Int64, 0), p.Op("Size", nil, dy[0]), p.Number(onnx.Int64, 1)))
		grads[2] = p.Op("ReduceSum", all, p.Op("Mul", nil, dy[0], steps))
	}
	return grads, nil
}
