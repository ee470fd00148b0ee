package autodiff

import (
	"fmt"
	"strings"

	"assay/onnx"
)

// resizing holds the operators that resample along axes.
var resizing = map[string]operator{
	"Resize": {gradient: resizeGradient},
}

// resizeGradient: in every mode a Resize is linear along each axis by itself, so that
// Y = A·X·Bᵀ for matrices of weights and dX = Aᵀ·dY·B. Repeating each element a whole
// number of times has the sum over the copies as its gradient.
func resizeGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x := n.Inputs[0]
	rank, err := p.rank(x)
	if err != nil {
		return nil, err
	}
	if p.wants(n.Input(1)) {
		return nil, fmt.Errorf("its roi %q would need a gradient, which is not supported", n.Input(1))
	}
	if keepsAspect(n) && !placesByScale(n) {
		return nil, fmt.Errorf("its keep_aspect_ratio_policy %q is supported with coordinates half_pixel or asymmetric, without antialias and exclude_outside",
			n.Text("keep_aspect_ratio_policy", ""))
	}
	axes := n.Ints("axes")
	if axes == nil {
		axes = upTo(rank)
	}
	for i := range axes {
		if axes[i], err = counted(axes[i], rank); err != nil {
			return nil, err
		}
	}
	if factors, ok := p.repeats(n, axes, rank); ok {
		return []string{p.sumOfBlocks(dy[0], n.Outputs[0], factors)}, nil
	}
	grad := dy[0]
	for i, axis := range axes {
		if keepsAspect(n) {
			scale := p.aspectScale(n, axes)
			matrix := p.matrixOf(x, axis, func(eye string) string { return p.scaledEye(n, eye, scale, axis) })
			grad = p.along(axis, rank, matrix, grad)
		} else if p.resizes(n, i, axis) {
			matrix := p.matrixOf(x, axis, func(eye string) string { return p.resizedEye(n, eye, i, axis, len(axes)) })
			grad = p.along(axis, rank, matrix, grad)
		}
	}
	return []string{grad}, nil
}

// repeats tells how often a Resize repeats each element along each dimension, if that
// is all it does. With "asymmetric" coordinates i/k and "floor" it does for a whole
// factor k; with half-pixel ones, (i+½)/k - ½, the k elements around each centre
// round to it, none of them from halfway.
func (p *pass) repeats(n *onnx.Node, axes []int64, rank int64) ([]int64, bool) {
	coordinates, rounding := n.Text("coordinate_transformation_mode", "half_pixel"), n.Text("nearest_mode", "round_prefer_floor")
	centred := strings.Contains(coordinates, "half_pixel") && strings.HasPrefix(rounding, "round")
	if keepsAspect(n) || n.Text("mode", "nearest") != "nearest" || !centred && (coordinates != "asymmetric" || rounding != "floor") {
		return nil, false
	}
	factors := orOnes(nil, int(rank))
	var scales []float64
	if t := p.types.Constant(n.Input(2)); t != nil && t.Len() > 0 {
		scales, _ = t.Float64s()
	}
	in, out := p.shape(n.Inputs[0]), p.shape(n.Outputs[0])
	for i, axis := range axes {
		switch {
		case len(scales) == len(axes):
			factors[axis] = int64(scales[i])
			if float64(factors[axis]) != scales[i] {
				return nil, false
			}
		case n.Input(3) != "" && out != nil && in[axis].Equal(out[axis]):
		case n.Input(3) != "" && out != nil && in[axis].Size > 0 && out[axis].Size > 0 && out[axis].Size%in[axis].Size == 0:
			factors[axis] = out[axis].Size / in[axis].Size
		default:
			return nil, false
		}
		// pytorch_half_pixel puts a single element at 0 whatever the scale
		if factors[axis] < 1 {
			return nil, false
		}
	}
	return factors, true
}

// sumOfBlocks sums blocks of the given sizes of a value of the shape of y. Over the
// last two of four dimensions that is an average pooling, which ONNX Runtime does in
// the layout that it keeps convolutions in.
func (p *pass) sumOfBlocks(dy, y string, factors []int64) string {
	elements, _ := onnx.Count(factors)
	if elements == 1 {
		return dy
	}
	if len(factors) >= 3 && len(factors) <= 5 && factors[0] == 1 && factors[1] == 1 {
		block := factors[2:]
		return p.times(p.Op("AveragePool", onnx.Attrs{"kernel_shape": block, "strides": block}, dy), float64(elements))
	}
	shape := p.Op("Unsqueeze", nil, p.Op("Div", nil, p.shapeOf(y), p.Ints(factors...)), p.Ints(1))
	blocks := p.Op("Unsqueeze", nil, p.Ints(factors...), p.Ints(1))
	split := p.Op("Reshape", nil, p.Op("Concat", onnx.Attrs{"axis": int64(1)}, shape, blocks), p.Ints(-1))
	axes := upTo(int64(len(factors)))
	for i := range axes {
		axes[i] = 2*axes[i] + 1
	}
	return p.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, p.Op("Reshape", onnx.Attrs{"allowzero": int64(1)}, dy, split), p.Ints(axes...))
}

// resizes reports whether a Resize may change anything along the i-th of its axes.
func (p *pass) resizes(n *onnx.Node, i int, axis int64) bool {
	if n.Text("coordinate_transformation_mode", "") == "tf_crop_and_resize" {
		return true
	}
	if t := p.types.Constant(n.Input(2)); t != nil && t.Len() > 0 {
		scales, err := t.Float64s()
		return err != nil || i >= len(scales) || scales[i] != 1
	}
	in, out := p.shape(n.Inputs[0]), p.shape(n.Outputs[0])
	return n.Input(3) == "" || out == nil || !in[axis].Equal(out[axis])
}

// alongAxis gives the attributes of a Resize that say what it does along each axis.
func alongAxis(n *onnx.Node) onnx.Attrs {
	attrs := onnx.Attrs{"extrapolation_value": float32(0)}
	for _, name := range []string{"mode", "nearest_mode", "coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside", "antialias"} {
		if v, ok := n.Attrs[name]; ok {
			attrs[name] = v
		}
	}
	return attrs
}

// keepsAspect reports whether a Resize takes its sizes as bounds, with one scale for
// all axes.
func keepsAspect(n *onnx.Node) bool {
	return n.Input(3) != "" && n.Text("keep_aspect_ratio_policy", "stretch") != "stretch"
}

// placesByScale reports whether the scale alone tells what each element of the output
// is made of, without the sizes.
func placesByScale(n *onnx.Node) bool {
	coordinates := n.Text("coordinate_transformation_mode", "half_pixel")
	return (coordinates == "half_pixel" || coordinates == "asymmetric") && n.Int("antialias", 0) == 0 && n.Int("exclude_outside", 0) == 0
}

// aspectScale is the one scale of a Resize that keeps the aspect ratio, a vector of one.
func (p *pass) aspectScale(n *onnx.Node, axes []int64) string {
	toFloat := onnx.Attrs{"to": int64(onnx.Float32)}
	sizes := p.Op("Cast", toFloat, p.Op("Gather", nil, p.shapeOf(n.Inputs[0]), p.Ints(axes...)))
	scales := p.Op("Div", nil, p.Op("Cast", toFloat, n.Inputs[3]), sizes)
	if n.Text("keep_aspect_ratio_policy", "") == "not_larger" {
		return p.Op("ReduceMin", nil, scales)
	}
	return p.Op("ReduceMax", nil, scales)
}

// scaledEye resizes the columns of an identity matrix by a scale. Such a size is rounded
// up too, where a Resize by scale rounds down: so it is made of more columns, the last
// repeated as Resize itself takes what is outside, and cut.
func (p *pass) scaledEye(n *onnx.Node, eye, scale string, axis int64) string {
	one := p.Constant(onnx.NewTensor("", []float32{1}, 1))
	more := p.Op("Add", nil, p.Op("Ceil", nil, p.Op("Div", nil, one, scale)), one)
	more = p.Op("Cast", onnx.Attrs{"to": int64(onnx.Int64)}, more)
	wide := p.Op("Pad", onnx.Attrs{"mode": "edge"}, eye, p.joined(p.Ints(0, 0, 0), more))
	resized := p.Op("Resize", alongAxis(n), p.Op("Unsqueeze", nil, wide, p.Ints(0, 1)), "", p.joined(one, one, one, scale))
	return p.Op("Slice", nil, p.Op("Squeeze", nil, resized, p.Ints(0, 1)), p.Ints(0), p.sizeAlong(n.Outputs[0], axis), p.Ints(1))
}

// resizedEye resizes the columns of an identity matrix the way that n resizes the i-th
// of its axes. It is done on four dimensions, for which runtimes have all modes.
func (p *pass) resizedEye(n *onnx.Node, eye string, i int, axis int64, axes int) string {
	attrs := alongAxis(n)
	roi, scales, sizes := "", "", ""
	at := int64(i)
	if n.Text("coordinate_transformation_mode", "") == "tf_crop_and_resize" {
		zero, one := p.Number(onnx.Float32, 0), p.Number(onnx.Float32, 1)
		all := p.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, n.Inputs[1])
		bounds := p.Op("Gather", nil, all, p.Ints(at, at+int64(axes)))
		start, end := p.Op("Slice", nil, bounds, p.Ints(0), p.Ints(1)), p.Op("Slice", nil, bounds, p.Ints(1), p.Ints(2))
		zeros, ones := p.Op("Expand", nil, zero, p.Ints(3)), p.Op("Expand", nil, one, p.Ints(3))
		roi = p.joined(zeros, start, ones, end)
	}
	if n.Input(3) != "" {
		size := p.sizeAlong(n.Inputs[0], axis)
		sizes = p.joined(p.Ints(1, 1), size, p.Op("Slice", nil, p.toInt64(n.Inputs[3]), p.Ints(at), p.Ints(at+1)))
	} else {
		ones := p.Constant(onnx.NewTensor("", []float32{1, 1, 1}, 3))
		scale := p.Op("Slice", nil, n.Inputs[2], p.Ints(at), p.Ints(at+1))
		if p.elem(n.Inputs[2]) != onnx.Float32 {
			scale = p.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, scale)
		}
		scales = p.joined(ones, scale)
	}
	inputs := []string{p.Op("Unsqueeze", nil, eye, p.Ints(0, 1)), roi, scales, sizes}
	for inputs[len(inputs)-1] == "" {
		inputs = inputs[:len(inputs)-1]
	}
	return p.Op("Squeeze", nil, p.Op("Resize", attrs, inputs...), p.Ints(0, 1))
}

// matrixOf gives the matrix [size, new size] of an operator that is linear along each
// axis by itself, for one axis of x: it is what the operator makes, along the last
// axis, of the identity matrix. Where the size is fixed, the runtime computes it once.
func (p *pass) matrixOf(x string, axis int64, op func(eye string) string) string {
	size := p.sizeAlong(x, axis)
	zeros, _ := onnx.FromFloat64s("", onnx.Float32, []float64{0})
	square := p.Op("ConstantOfShape", onnx.Attrs{"value": zeros}, p.joined(size, size))
	matrix := op(p.Op("EyeLike", nil, square))
	if p.float != onnx.Float32 {
		matrix = p.cast(matrix)
	}
	return matrix
}

// along multiplies a value by a matrix [n, m] along an axis of size m, which becomes n.
func (p *pass) along(axis, rank int64, matrix, value string) string {
	if axis == rank-1 {
		return p.Op("MatMul", nil, value, p.Op("Transpose", nil, matrix))
	}
	if axis == rank-2 {
		return p.Op("MatMul", nil, matrix, value)
	}
	perm := upTo(rank)
	perm[axis], perm[rank-2] = perm[rank-2], perm[axis]
	swap := onnx.Attrs{"perm": perm}
	return p.Op("Transpose", swap, p.Op("MatMul", nil, matrix, p.Op("Transpose", swap, value)))
}
