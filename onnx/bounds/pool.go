package bounds

import "assay/onnx"

// pool goes on through MaxPool. From below, the greatest of a window is at least any one of
// it: that with the greatest lower bound is taken. From above it is at most its own upper
// bound, and linear bounds end there.
func (p *backward) pool(n *onnx.Node, a string) error {
	x, y := n.Inputs[0], n.Outputs[0]
	kernel, _ := onnx.Count(n.Ints("kernel_shape"))
	g, err := gamma(kernel)
	if err != nil {
		return err
	}
	// Where windows overlap, coefficients of an element are sums.
	p.term(y, a, "", "", p.add(p.times(p.again(n, p.mag(x))[0], g), p.number(tiny)))
	upper := p.of(y).upper
	p.term(y, p.Op("Min", nil, a, p.number(0)), upper, upper, p.number(0))

	sizes := p.sizes(x)
	repeated := []int64{1, p.rows}
	for range sizes {
		repeated = append(repeated, 1)
	}
	lower := p.Op("Expand", nil, p.Op("Unsqueeze", nil, p.of(x).lower, p.Ints(1)), p.Ints(repeated...))
	shape := p.Ints(append([]int64{-1}, sizes...)...)
	lower = p.Op("Reshape", nil, lower, shape)
	rowMajor := n.Clone().Attrs
	delete(rowMajor, "storage_order")
	places := p.Ops("MaxPool", rowMajor, 2, lower)[1]
	flat := p.Ints(-1)
	zeros := p.Op("Reshape", nil, p.mul(lower, p.number(0)), flat)
	spread := p.Op("ScatterElements", onnx.Attrs{"reduction": "add"}, zeros,
		p.Op("Reshape", nil, places, flat), p.Op("Reshape", nil, p.Op("Relu", nil, a), flat))
	p.give(x, p.Op("Reshape", nil, spread, shape))
	return nil
}
