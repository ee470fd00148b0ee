package autodiff

import "assay/onnx"

// expandDeformConv writes a DeformConv out: each tap of the kernel samples its group
// of channels bilinearly at its place plus an offset, with zeros outside, and the
// samples times the mask are multiplied by the weights (Zhu et al. 2019,
// arXiv:1811.11168, equation 1). Only two-dimensional ones are.
func expandDeformConv(e *expander, n *onnx.Node) []string {
	x, offset := n.Inputs[0], n.Inputs[2]
	weights, fixed := e.shape(n.Inputs[1]).Sizes()
	if !fixed || len(weights) != 4 || len(e.shape(x)) != 4 || len(e.shape(offset)) != 4 {
		return nil
	}
	groups, offsetGroups := n.Int("group", 1), n.Int("offset_group", 1)
	channels := weights[1] * groups
	if groups < 1 || offsetGroups < 1 || weights[0]%groups != 0 || channels%offsetGroups != 0 {
		return nil
	}
	taps := weights[2] * weights[3]
	height, width := e.size(offset, 2), e.size(offset, 3)
	places := e.Op("Mul", nil, height, width)

	grid := e.deformed(n, weights[2], weights[3])
	split := e.Op("Reshape", nil, x, e.joined(e.Ints(-1, channels/offsetGroups), e.size(x, 2), e.size(x, 3)))
	samples := e.Op("GridSample", onnx.Attrs{"mode": "linear"}, split, grid) // [N·og, C/og, taps, places]
	if mask := n.Input(4); mask != "" {
		samples = e.Op("Mul", nil, samples, e.Op("Reshape", nil, mask, e.joined(e.Ints(-1, 1, taps), places)))
	}
	columns := e.Op("Reshape", nil, samples, e.joined(e.Ints(-1, groups, weights[1]*taps), places))
	kernel := e.Op("Reshape", nil, n.Inputs[1], e.Ints(groups, weights[0]/groups, weights[1]*taps))
	y := e.Op("Reshape", nil, e.Op("MatMul", nil, kernel, columns), e.joined(e.Ints(-1, weights[0]), height, width))
	if bias := n.Input(3); bias != "" {
		y = e.Op("Add", nil, y, e.Op("Unsqueeze", nil, bias, e.Ints(1, 2)))
	}
	return outputs(n, y)
}

// deformed is the grid [N·og, taps, places, 2] of where the taps sample.
func (e *expander) deformed(n *onnx.Node, kernelHeight, kernelWidth int64) string {
	x, offset := n.Inputs[0], n.Inputs[2]
	elem := e.elem(x)
	kernel := [2]int64{kernelHeight, kernelWidth}
	strides, dilations := orOnes(n.Ints("strides"), 2), orOnes(n.Ints("dilations"), 2)
	pads := n.Ints("pads")
	if pads == nil {
		pads = make([]int64, 4)
	}
	apart := e.Op("Reshape", nil, offset, e.joined(e.Ints(-1, kernel[0]*kernel[1], 2), e.size(offset, 2), e.size(offset, 3)))
	var coordinates [2]string // y, x, each [N·og, taps, height, width, 1]
	for i := range coordinates {
		var starts []float64
		for row := range kernel[0] {
			for column := range kernel[1] {
				starts = append(starts, float64([2]int64{row, column}[i]*dilations[i]-pads[i]))
			}
		}
		start, err := onnx.FromFloat64s("", elem, starts, int64(len(starts)), 1, 1)
		if err != nil {
			return ""
		}
		place := e.Op("Mul", nil, e.counting(e.size(offset, i+2)), e.Number(onnx.Int64, float64(strides[i])))
		place = e.Op("Reshape", nil, e.Op("Cast", onnx.Attrs{"to": int64(elem)}, place), e.Ints(ofAxis(i, 2)...))
		at := e.Op("Gather", onnx.Attrs{"axis": int64(2)}, apart, e.Number(onnx.Int64, float64(i)))
		at = e.Op("Add", nil, at, e.Op("Add", nil, e.Constant(start), place))
		// From elements to -1 … 1, from edge to edge of the image.
		half := e.Op("Div", nil, e.Op("Cast", onnx.Attrs{"to": int64(elem)}, e.size(x, i+2)), e.Number(elem, 2))
		at = e.Op("Div", nil, e.Op("Add", nil, at, e.Number(elem, 0.5)), half)
		coordinates[i] = e.Op("Unsqueeze", nil, e.Op("Sub", nil, at, e.Number(elem, 1)), e.Ints(-1))
	}
	grid := e.Op("Concat", onnx.Attrs{"axis": int64(-1)}, coordinates[1], coordinates[0])
	return e.Op("Reshape", nil, grid, e.Ints(0, 0, -1, 2))
}
