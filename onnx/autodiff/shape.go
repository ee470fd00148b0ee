package autodiff

import (
	"errors"
	"fmt"
	"slices"

	"assay/onnx"
)

// shaping holds the operators that move, repeat or drop elements by their places.
var shaping = map[string]operator{
	"Reshape":         {gradient: reshapeGradient},
	"Flatten":         {gradient: reshapeGradient},
	"Squeeze":         {gradient: reshapeGradient},
	"Unsqueeze":       {gradient: reshapeGradient},
	"Transpose":       {gradient: transposeGradient},
	"Concat":          {gradient: concatGradient},
	"Split":           {gradient: splitGradient},
	"Slice":           {gradient: sliceGradient},
	"Pad":             {gradient: padGradient},
	"Expand":          {gradient: expandGradient},
	"Tile":            {gradient: tileGradient},
	"DepthToSpace":    {gradient: depthToSpaceGradient},
	"SpaceToDepth":    {gradient: spaceToDepthGradient},
	"Trilu":           {gradient: triluGradient},
	"ReverseSequence": {gradient: reverseSequenceGradient},
	"CenterCropPad":   {gradient: centerCropPadGradient},

	// These look at the shape of their input, not at its elements.
	"Shape": {shapeOnly: true}, "Size": {shapeOnly: true}, "EyeLike": {shapeOnly: true},

	// These follow a size, in steps.
	"ConstantOfShape": {zero: true}, "HannWindow": {zero: true}, "HammingWindow": {zero: true},
	"BlackmanWindow": {zero: true}, "MelWeightMatrix": {zero: true},
}

// toEnd and toStart stand in a Slice for the far and the near end.
const toEnd, toStart = 1 << 62, -1 << 62

// known gives the content of an integer value that is the same in every run.
func (p *pass) known(value string) (ints []int64, ok bool) {
	if value == "" {
		return nil, false
	}
	t := p.types.Constant(value)
	if t == nil {
		return nil, false
	}
	ints, err := t.Int64s()
	return ints, err == nil
}

// axis is a node's attribute axis, counted from the front of value x.
func (p *pass) axis(n *onnx.Node, x string, otherwise int64) (int64, error) {
	rank, err := p.rank(x)
	if err != nil {
		return 0, err
	}
	return counted(n.Int("axis", otherwise), rank)
}

// counted brings an axis that may be counted from the back to the range 0 … rank-1.
func counted(axis, rank int64) (int64, error) {
	if axis < -rank || axis >= rank {
		return 0, fmt.Errorf("axis %d is not one of %d dimensions", axis, rank)
	}
	return (axis + rank) % rank, nil
}

// ofAxis is the shape for Reshape of a vector along one axis of so many.
func ofAxis(axis, rank int) []int64 {
	shape := orOnes(nil, rank)
	shape[axis] = -1
	return shape
}

// toInt64 casts indices or sizes to int64.
func (p *pass) toInt64(value string) string {
	if p.elem(value) == onnx.Int64 {
		return value
	}
	return p.Op("Cast", onnx.Attrs{"to": int64(onnx.Int64)}, value)
}

// sizeAlong is a value's size along an axis, a vector of one int64.
func (p *pass) sizeAlong(x string, axis int64) string {
	if s := p.shape(x); int64(len(s)) > axis && s[axis].Known() {
		return p.Ints(s[axis].Size)
	}
	return p.Op("Slice", nil, p.Op("Shape", nil, x), p.Ints(axis), p.Ints(axis+1))
}

// scaledShape is the shape of a value with each size multiplied by a factor, for use
// in Reshape: one size that is not known stands as -1.
func (p *pass) scaledShape(x string, factors []int64) string {
	sizes, _ := p.shape(x).Sizes()
	unknown := 0
	for i, size := range sizes {
		switch {
		case size < 0:
			unknown++
		case size == 0:
			unknown = 2 // -1 would not be determined
		default:
			sizes[i] = size * factors[i]
		}
	}
	if unknown <= 1 {
		return p.Ints(sizes...)
	}
	return p.Op("Mul", nil, p.Op("Shape", nil, x), p.Ints(factors...))
}

// reshapedLike gives a gradient the shape of value x.
func (p *pass) reshapedLike(grad, x string) string {
	shape := p.shape(x)
	sizes, fixed := shape.Sizes()
	if shape == nil || fixed || slices.Contains(sizes, 0) {
		return p.Op("Reshape", onnx.Attrs{"allowzero": int64(1)}, grad, p.shapeOf(x))
	}
	return p.Op("Reshape", nil, grad, p.scaledShape(x, slices.Repeat([]int64{1}, len(sizes))))
}

// routed is the gradient of any operator that makes its output of copies of elements
// of x: move, given the place of each element instead of the element, tells where
// each of the output came from, and that is where its gradient goes.
func (p *pass) routed(x, dy string, move func(places string) string) string {
	zero, one := p.Number(onnx.Int64, 0), p.Number(onnx.Int64, 1)
	size := p.Op("Size", nil, x)
	places := p.Op("Reshape", onnx.Attrs{"allowzero": int64(1)}, p.Op("Range", nil, zero, size, one), p.shapeOf(x))
	return p.reshapedLike(p.scattered(size, move(places), dy), x)
}

// scattered adds each element of grad at a place in a vector of size zeros.
func (p *pass) scattered(size, places, grad string) string {
	flat := p.Ints(-1)
	zero, _ := onnx.FromFloat64s("", p.float, []float64{0})
	zeros := p.Op("ConstantOfShape", onnx.Attrs{"value": zero}, p.Op("Reshape", nil, size, p.Ints(1)))
	return p.Op("ScatterElements", onnx.Attrs{"reduction": "add"}, zeros,
		p.Op("Reshape", nil, places, flat), p.Op("Reshape", nil, grad, flat))
}

func reshapeGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	return []string{p.reshapedLike(dy[0], n.Inputs[0])}, nil
}

func transposeGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	perm := n.Ints("perm")
	if perm == nil { // reverses the dimensions
		return []string{p.Op("Transpose", nil, dy[0])}, nil
	}
	back := make([]int64, len(perm))
	for i, axis := range perm {
		if axis < 0 || axis >= int64(len(perm)) {
			return nil, fmt.Errorf("perm %v is not a permutation", perm)
		}
		back[axis] = int64(i)
	}
	return []string{p.Op("Transpose", onnx.Attrs{"perm": back}, dy[0])}, nil
}

// concatGradient cuts dY into the parts.
func concatGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	axis, err := p.axis(n, n.Outputs[0], 0)
	if err != nil {
		return nil, err
	}
	if len(n.Inputs) == 1 {
		return dy, nil
	}
	ends := []int64{0}
	parts := make([]string, len(n.Inputs))
	fixed := true
	for i, x := range n.Inputs {
		s := p.shape(x)
		if int64(len(s)) <= axis || !s[axis].Known() {
			fixed = false
			parts[i] = p.sizeAlong(x, axis)
			continue
		}
		parts[i] = p.Ints(s[axis].Size)
		ends = append(ends, ends[len(ends)-1]+s[axis].Size)
	}
	if !fixed {
		return p.Ops("Split", onnx.Attrs{"axis": axis}, len(parts), dy[0], p.joined(parts...)), nil
	}
	grads := make([]string, len(n.Inputs))
	for i, x := range n.Inputs {
		if p.wants(x) {
			grads[i] = p.Op("Slice", nil, dy[0], p.Ints(ends[i]), p.Ints(ends[i+1]), p.Ints(axis))
		}
	}
	return grads, nil
}

// splitGradient joins the parts' gradients.
func splitGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	parts := slices.Clone(dy)
	for i, d := range parts {
		if d == "" && n.Outputs[i] == "" {
			return nil, fmt.Errorf("its output %d is left out", i)
		}
		if d == "" {
			parts[i] = p.filled(n.Outputs[i], 0)
		}
	}
	return []string{p.Op("Concat", onnx.Attrs{"axis": n.Int("axis", 0)}, parts...)}, nil
}

// span is what a Slice takes along one axis.
type span struct{ axis, start, step, size, count int64 }

// sliceGradient puts zeros where the slice took nothing.
func sliceGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x := n.Inputs[0]
	if spans, ok := p.spans(n); ok {
		return []string{p.unsliced(spans, n, dy[0])}, nil
	}
	if grad, ok := p.unslicedWhole(n, dy[0]); ok {
		return []string{grad}, nil
	}
	return []string{p.routed(x, dy[0], func(places string) string {
		return p.Op("Slice", nil, append([]string{places}, n.Inputs[1:]...)...)
	})}, nil
}

// spans resolves a Slice of which the bounds and the sizes that matter are known.
func (p *pass) spans(n *onnx.Node) ([]span, bool) {
	shape := p.shape(n.Inputs[0])
	starts, ok := p.known(n.Inputs[1])
	ends, okEnds := p.known(n.Inputs[2])
	if shape == nil || !ok || !okEnds {
		return nil, false
	}
	axes, okAxes := upTo(int64(len(starts))), true
	if n.Input(3) != "" {
		axes, okAxes = p.known(n.Input(3))
	}
	steps, okSteps := orOnes(nil, len(starts)), true
	if n.Input(4) != "" {
		steps, okSteps = p.known(n.Input(4))
	}
	if !okAxes || !okSteps || len(ends) != len(starts) || len(axes) != len(starts) || len(steps) != len(starts) {
		return nil, false
	}
	var spans []span
	for i, start := range starts {
		axis, err := counted(axes[i], int64(len(shape)))
		if err != nil || steps[i] == 0 {
			return nil, false
		}
		size := shape[axis].Size
		if size < 0 {
			const whole = 1<<31 - 1 // what exporters write for "to the end"
			if start == 0 && steps[i] == 1 && ends[i] >= whole {
				continue
			}
			return nil, false
		}
		spans = append(spans, spanOf(axis, start, ends[i], steps[i], size))
	}
	slices.SortFunc(spans, func(a, b span) int { return int(a.axis - b.axis) })
	return spans, true
}

// spanOf clamps bounds as Slice does.
func spanOf(axis, start, end, step, size int64) span {
	if start < 0 {
		start += size
	}
	if end < 0 {
		end += size
	}
	s := span{axis: axis, start: start, step: step, size: size}
	switch {
	case size == 0:
	case step > 0:
		s.start = min(max(start, 0), size)
		if end = min(max(end, 0), size); end > s.start {
			s.count = (end-s.start-1)/step + 1
		}
	default:
		s.start = min(max(start, 0), size-1)
		if end = min(max(end, -1), size-1); end < s.start {
			s.count = (end-s.start+1)/step + 1
		}
	}
	return s
}

// unsliced turns dY to the order of x, spreads it where the step is above 1, and pads
// it to x's size.
func (p *pass) unsliced(spans []span, n *onnx.Node, dy string) string {
	if len(spans) == 0 {
		return dy
	}
	if slices.ContainsFunc(spans, func(s span) bool { return s.count == 0 }) {
		return p.filled(n.Inputs[0], 0)
	}
	var backwards []int64
	for i, s := range spans {
		if s.step < 0 {
			backwards = append(backwards, s.axis)
			spans[i].start, spans[i].step = s.start+(s.count-1)*s.step, -s.step
		}
	}
	if backwards != nil {
		dy = p.reversed(dy, backwards)
	}
	dy = p.spaced(spans, n.Outputs[0], dy)
	before, after, axes := make([]int64, len(spans)), make([]int64, len(spans)), make([]int64, len(spans))
	for i, s := range spans {
		axes[i], before[i] = s.axis, s.start
		after[i] = s.size - s.start - s.count*s.step
	}
	return p.Op("Pad", nil, dy, p.Ints(slices.Concat(before, after)...), "", p.Ints(axes...))
}

// reversed turns the order of elements along axes.
func (p *pass) reversed(x string, axes []int64) string {
	k := len(axes)
	last := p.Ints(slices.Repeat([]int64{-1}, k)...)
	return p.Op("Slice", nil, x, last, p.Ints(slices.Repeat([]int64{toStart}, k)...), p.Ints(axes...), last)
}

// spaced puts step-1 zeros behind each element along the axes of spans. The gradient
// dy has the shape of y.
func (p *pass) spaced(spans []span, y, dy string) string {
	factors := orOnes(nil, len(p.shape(y)))
	var axes, pads []int64
	for _, s := range spans {
		if s.step > 1 && s.count > 1 {
			axes = append(axes, s.axis+1+int64(len(axes)))
			pads = append(pads, s.step-1)
			factors[s.axis] = s.step
		}
	}
	if axes == nil {
		for i := range spans {
			spans[i].step = 1
		}
		return dy
	}
	for i, s := range spans {
		if s.count == 1 {
			spans[i].step = 1
		}
	}
	dy = p.Op("Unsqueeze", nil, dy, p.Ints(axes...))
	dy = p.Op("Pad", nil, dy, p.Ints(append(make([]int64, len(pads)), pads...)...), "", p.Ints(axes...))
	return p.Op("Reshape", nil, dy, p.scaledShape(y, factors))
}

// unslicedWhole handles slices with steps of 1 and any bounds.
func (p *pass) unslicedWhole(n *onnx.Node, dy string) (string, bool) {
	if n.Input(4) != "" {
		steps, ok := p.known(n.Input(4))
		if !ok || slices.ContainsFunc(steps, func(s int64) bool { return s != 1 }) {
			return "", false
		}
	}
	axes := n.Input(3)
	if axes == "" {
		length := p.shape(n.Inputs[1])
		if len(length) != 1 || !length[0].Known() {
			return "", false
		}
		axes = p.Ints(upTo(length[0].Size)...)
	} else {
		axes = p.toInt64(axes)
	}
	sizes := p.Op("Gather", nil, p.shapeOf(n.Inputs[0]), axes)
	have := p.Op("Gather", nil, p.Op("Shape", nil, dy), axes)
	start, zero := p.toInt64(n.Inputs[1]), p.Ints(0)
	before := p.Op("Where", nil, p.Op("Less", nil, start, zero), p.Op("Add", nil, start, sizes), start)
	before = p.Op("Min", nil, p.Op("Max", nil, before, zero), sizes)
	after := p.Op("Sub", nil, p.Op("Sub", nil, sizes, have), before)
	return p.Op("Pad", nil, dy, p.joined(before, after), "", axes), true
}

// padGradient cuts the padding off. What it repeated of x, in the modes that do, is
// added to where it came from. A constant's gradient is the sum over the padding.
func padGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	pads := n.Inputs[1]
	grads := make([]string, 3)
	if n.Text("mode", "constant") != "constant" {
		grad, err := p.padded(n, dy[0])
		grads[0] = grad
		return grads, err
	}
	negative := ""
	if sizes, ok := p.known(pads); ok {
		for i := range sizes {
			sizes[i] = -sizes[i]
		}
		negative = p.Ints(sizes...)
	} else {
		negative = p.Op("Neg", nil, p.toInt64(pads))
	}
	inputs := []string{dy[0], negative}
	if axes := n.Input(3); axes != "" {
		inputs = append(inputs, "", p.toInt64(axes))
	}
	grads[0] = p.Op("Pad", nil, inputs...)
	if value := n.Input(2); p.wants(value) {
		all := onnx.Attrs{"keepdims": int64(0)}
		outside := p.Op("Sub", nil, p.Op("ReduceSum", all, dy[0]), p.Op("ReduceSum", all, grads[0]))
		grads[2] = p.reshapedLike(outside, value)
	}
	return grads, nil
}

// padded is the gradient of x under a padding that repeats parts of x.
func (p *pass) padded(n *onnx.Node, dy string) (string, error) {
	x, mode := n.Inputs[0], n.Text("mode", "")
	rank, err := p.rank(x)
	if err != nil {
		return "", err
	}
	pads, ok := p.known(n.Inputs[1])
	axes, okAxes := upTo(rank), true
	if n.Input(3) != "" {
		axes, okAxes = p.known(n.Input(3))
	}
	if !ok || !okAxes {
		return p.routed(x, dy, func(places string) string {
			return p.Op("Pad", n.Attrs, slices.Concat([]string{places, n.Inputs[1], ""}, n.Inputs[min(3, len(n.Inputs)):])...)
		}), nil
	}
	k := len(axes)
	if len(pads) != 2*k {
		return "", fmt.Errorf("it has %d pads for %d axes", len(pads), k)
	}
	for i, axis := range axes {
		if pads[i] == 0 && pads[i+k] == 0 {
			continue
		}
		if axis, err = counted(axis, rank); err != nil {
			return "", err
		}
		matrix := p.matrixOf(x, axis, func(eye string) string {
			return p.Op("Pad", onnx.Attrs{"mode": mode}, eye, p.Ints(0, pads[i], 0, pads[i+k]))
		})
		dy = p.along(axis, rank, matrix, dy)
	}
	return dy, nil
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

func expandGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	return []string{p.sumTo(dy[0], n.Inputs[0], n.Outputs[0])}, nil
}

// tileGradient sums over the copies.
func tileGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x := n.Inputs[0]
	rank, err := p.rank(x)
	if err != nil {
		return nil, err
	}
	if rank == 0 {
		return dy, nil
	}
	repeats := p.Op("Unsqueeze", nil, p.toInt64(n.Inputs[1]), p.Ints(1))
	sizes := p.Op("Unsqueeze", nil, p.shapeOf(x), p.Ints(1))
	split := p.Op("Reshape", nil, p.Op("Concat", onnx.Attrs{"axis": int64(1)}, repeats, sizes), p.Ints(-1))
	axes := upTo(rank)
	for i := range axes {
		axes[i] *= 2
	}
	copies := p.Op("Reshape", onnx.Attrs{"allowzero": int64(1)}, dy[0], split)
	return []string{p.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, copies, p.Ints(axes...))}, nil
}

// depthToSpaceGradient: SpaceToDepth is the inverse in mode DCR. In mode CRD the
// channels are the outer and the places in a block the inner part of the depth.
func depthToSpaceGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	block := n.Int("blocksize", 1)
	back := p.Op("SpaceToDepth", onnx.Attrs{"blocksize": block}, dy[0])
	if n.Text("mode", "DCR") == "DCR" {
		return []string{back}, nil
	}
	channels := p.sizeAlong(n.Outputs[0], 1)
	split := p.Op("Reshape", nil, back, p.joined(p.Ints(0, block*block), channels, p.Ints(-1)))
	return []string{p.reshapedLike(p.Op("Transpose", onnx.Attrs{"perm": []int64{0, 2, 1, 3}}, split), n.Inputs[0])}, nil
}

func spaceToDepthGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	return []string{p.Op("DepthToSpace", onnx.Attrs{"blocksize": n.Int("blocksize", 1)}, dy[0])}, nil
}

// triluGradient: a triangle cut out twice is the triangle.
func triluGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	return []string{p.Op("Trilu", n.Attrs, append([]string{dy[0]}, n.Inputs[1:]...)...)}, nil
}

// reverseSequenceGradient: it is its own inverse and moves each element to one place.
func reverseSequenceGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	return []string{p.Op("ReverseSequence", n.Attrs, dy[0], n.Inputs[1])}, nil
}

// centerCropPadGradient: what was cut off is filled up with zeros and the other way
// round, both with the smaller half in front.
func centerCropPadGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x := n.Inputs[0]
	axes := n.Ints("axes")
	if axes == nil {
		return []string{p.Op("CenterCropPad", nil, dy[0], p.shapeOf(x))}, nil
	}
	rank, err := p.rank(x)
	if err != nil {
		return nil, err
	}
	if len(axes) == 0 {
		return nil, errors.New("its axes are an empty list")
	}
	sizes := make([]string, len(axes))
	for i, axis := range axes {
		if axis, err = counted(axis, rank); err != nil {
			return nil, err
		}
		sizes[i] = p.sizeAlong(x, axis)
	}
	return []string{p.Op("CenterCropPad", onnx.Attrs{"axes": axes}, dy[0], p.joined(sizes...))}, nil
}
