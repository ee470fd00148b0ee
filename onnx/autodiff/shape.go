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
