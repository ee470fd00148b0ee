package autodiff

import (
	"fmt"
	"slices"

	"assay/onnx"
)

// indexing holds the operators that take or put elements by index. Their gradients
// add up where an index stands twice; ScatterElements does that one by one, while
// ONNX Runtime's ScatterND adds in parallel and may then lose some.
var indexing = map[string]operator{
	"Gather":          {gradient: gatherGradient},
	"GatherElements":  {gradient: gatherElementsGradient},
	"GatherND":        {gradient: gatherNDGradient},
	"ScatterElements": {gradient: scatterElementsGradient},
	"ScatterND":       {gradient: scatterNDGradient},
	"TensorScatter":   {gradient: tensorScatterGradient},
	"OneHot":          {gradient: oneHotGradient},
	"Compress":        {gradient: compressGradient},
	"TopK":            {gradient: topKGradient},
	"Hardmax":         {zero: true},

	"ArgMax":            {because: "an index jumps from one whole number to another"},
	"ArgMin":            {because: "an index jumps from one whole number to another"},
	"NonZero":           {because: "an index jumps from one whole number to another"},
	"NonMaxSuppression": {because: "an index jumps from one whole number to another"},
	"Unique":            {because: "which values are equal changes with any small step"},
}

// gatherGradient puts dY back along the axis.
func gatherGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x, index := n.Inputs[0], n.Inputs[1]
	axis, err := p.axis(n, x, 0)
	if err != nil {
		return nil, err
	}
	rank := int64(len(p.shape(x)))
	indexRank, err := p.rank(index)
	if err != nil {
		return nil, err
	}
	d := dy[0] // brought to x's rank, with one dimension of indices
	switch {
	case indexRank == 0:
		d = p.Op("Unsqueeze", nil, d, p.Ints(axis))
	case indexRank > 1:
		d = p.Op("Reshape", nil, d, p.shapeWith(x, axis, p.Ints(-1)))
	}
	if places, ok := p.known(index); ok && p.shape(x)[axis].Known() {
		if grad, ok := p.ungathered(d, places, axis, p.shape(x)[axis].Size); ok {
			return []string{grad}, nil
		}
	}
	index = p.Op("Expand", nil, p.Op("Reshape", nil, index, p.Ints(ofAxis(int(axis), int(rank))...)), p.Op("Shape", nil, d))
	return []string{p.Op("ScatterElements", onnx.Attrs{"axis": axis, "reduction": "add"}, p.filled(x, 0), index, d)}, nil
}

// shapeWith is the shape of x with another size along one axis.
func (p *pass) shapeWith(x string, axis int64, size string) string {
	sizes, fixed := p.shape(x).Sizes()
	if known, ok := p.known(size); ok && fixed && !slices.Contains(sizes, 0) {
		sizes[axis] = known[0]
		return p.Ints(sizes...)
	}
	shape := p.Op("Shape", nil, x)
	return p.joined(p.Op("Slice", nil, shape, p.Ints(0), p.Ints(axis)), size, p.Op("Slice", nil, shape, p.Ints(axis+1), p.Ints(toEnd)))
}

// ungathered is the gradient for fixed indices of which none stands twice: each place
// of x takes its element of dy, or a zero that is put behind them.
func (p *pass) ungathered(dy string, index []int64, axis, size int64) (string, bool) {
	from := slices.Repeat([]int64{int64(len(index))}, int(size))
	inOrder := len(index) > 0
	for i, place := range index {
		if place < 0 {
			place += size
		}
		if place < 0 || place >= size || from[place] != int64(len(index)) {
			return "", false
		}
		from[place] = int64(i)
		inOrder = inOrder && place == (index[0]+size)%size+int64(i)
	}
	at := p.Ints(axis)
	if inOrder {
		first := (index[0] + size) % size
		return p.Op("Pad", nil, dy, p.Ints(first, size-first-int64(len(index))), "", at), true
	}
	if int64(len(index)) < size {
		dy = p.Op("Pad", nil, dy, p.Ints(0, 1), "", at)
	}
	return p.Op("Gather", onnx.Attrs{"axis": axis}, dy, p.Ints(from...)), true
}

func gatherElementsGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	attrs := onnx.Attrs{"axis": n.Int("axis", 0), "reduction": "add"}
	return []string{p.Op("ScatterElements", attrs, p.filled(n.Inputs[0], 0), n.Inputs[1], dy[0])}, nil
}

func gatherNDGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	return []string{p.routed(n.Inputs[0], dy[0], func(places string) string {
		return p.Op("GatherND", n.Attrs, places, n.Inputs[1])
	})}, nil
}

// places is how a scattering operator reaches the elements that its indices name.
type places struct {
	take func(value string) string
	put  func(value, updates, reduction string) string
}

func scatterElementsGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	return p.scatterGradient(n, dy[0], p.elementsAt(n.Inputs[1], n.Int("axis", 0)), n.Text("reduction", "none"))
}

func (p *pass) elementsAt(index string, axis int64) places {
	return places{
		take: func(value string) string {
			return p.Op("GatherElements", onnx.Attrs{"axis": axis}, value, index)
		},
		put: func(value, updates, reduction string) string {
			return p.Op("ScatterElements", onnx.Attrs{"axis": axis, "reduction": reduction}, value, index, updates)
		},
	}
}

// scatterNDGradient reaches the elements by their places in the flat tensor.
func scatterNDGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x, index := n.Inputs[0], n.Inputs[1]
	zero, one, flat := p.Number(onnx.Int64, 0), p.Number(onnx.Int64, 1), p.Ints(-1)
	all := p.Op("Range", nil, zero, p.Op("Size", nil, x), one)
	at := p.Op("Reshape", nil, p.Op("GatherND", nil, p.Op("Reshape", onnx.Attrs{"allowzero": int64(1)}, all, p.shapeOf(x)), index), flat)
	return p.scatterGradient(n, dy[0], places{
		take: func(value string) string {
			return p.reshapedLike(p.Op("Gather", nil, p.Op("Reshape", nil, value, flat), at), n.Inputs[2])
		},
		put: func(value, updates, reduction string) string {
			value, updates = p.Op("Reshape", nil, value, flat), p.Op("Reshape", nil, updates, flat)
			return p.reshapedLike(p.Op("ScatterElements", onnx.Attrs{"reduction": reduction}, value, at, updates), x)
		},
	}, n.Text("reduction", "none"))
}

// scatterGradient is the gradient of data and updates. Of updates at the same place
// with no reduction, which the specification forbids, each gets the whole of dY.
func (p *pass) scatterGradient(n *onnx.Node, dy string, at places, reduction string) ([]string, error) {
	grads := make([]string, 3)
	data, updates := n.Inputs[0], n.Inputs[2]
	switch reduction {
	case "none":
		grads[0] = at.put(dy, p.filled(updates, 0), "none")
		grads[2] = at.take(dy)
	case "add":
		grads[0], grads[2] = dy, at.take(dy)
	case "mul":
		if p.wants(data) {
			grads[0] = p.Op("Mul", nil, dy, at.put(p.filled(data, 1), updates, "mul"))
		}
		if p.wants(updates) {
			grads[2] = p.factorGradient(n, dy, at)
		}
	case "max", "min":
		// The elements that tie for the result share dY.
		y := n.Outputs[0]
		mine := p.cast(p.Op("Equal", nil, data, y))
		theirs := p.cast(p.Op("Equal", nil, updates, at.take(y)))
		share := p.Op("Div", nil, dy, at.put(mine, theirs, "add"))
		grads[0] = p.Op("Mul", nil, share, mine)
		grads[2] = p.Op("Mul", nil, at.take(share), theirs)
	default:
		return nil, fmt.Errorf("its reduction is %q", reduction)
	}
	return grads, nil
}

// factorGradient is the gradient of updates that multiply: dY times the data and the
// other factors at the place, which also holds where a factor is zero.
func (p *pass) factorGradient(n *onnx.Node, dy string, at places) string {
	data, updates := n.Inputs[0], n.Inputs[2]
	isZero := p.Op("Equal", nil, updates, p.number(0))
	zeros := at.take(at.put(p.filled(data, 0), p.cast(isZero), "add"))
	safe := p.Op("Where", nil, isZero, p.number(1), updates)
	product := at.take(p.Op("Mul", nil, p.Op("Mul", nil, dy, data), at.put(p.filled(data, 1), safe, "mul")))
	return p.Op("Mul", nil, p.othersZero(zeros, isZero), p.Op("Div", nil, product, safe))
}

// othersZero is 1 where no factor but the element's own is zero, else 0: zeros counts
// the factors that are, isZero tells whether the element itself is.
func (p *pass) othersZero(zeros, isZero string) string {
	return p.cast(p.Op("Equal", nil, zeros, p.cast(isZero)))
}

// tensorScatterGradient writes zeros where the update was written, and reads the
// update's gradient there.
func tensorScatterGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	cache, update := n.Inputs[0], n.Inputs[1]
	axis, err := p.axis(n, cache, -2)
	if err != nil {
		return nil, err
	}
	rank := len(p.shape(cache))
	zero, one := p.Number(onnx.Int64, 0), p.Number(onnx.Int64, 1)
	length := p.Op("Squeeze", nil, p.sizeAlong(update, axis))
	index := p.Op("Reshape", nil, p.Op("Range", nil, zero, length, one), p.Ints(ofAxis(int(axis), rank)...))
	if start := n.Input(2); start != "" {
		index = p.Op("Add", nil, index, p.Op("Reshape", nil, start, p.Ints(ofAxis(0, rank)...)))
	}
	if n.Text("mode", "linear") == "circular" {
		index = p.Op("Mod", nil, index, p.sizeAlong(cache, axis))
	}
	index = p.Op("Expand", nil, index, p.shapeOf(update))
	at := p.elementsAt(index, axis)
	return []string{at.put(dy[0], p.filled(update, 0), "none"), at.take(dy[0])}, nil
}

// oneHotGradient is that of the two values, [off, on].
func oneHotGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	mask := p.Op("OneHot", onnx.Attrs{"axis": n.Int("axis", -1)}, n.Inputs[0], n.Inputs[1],
		p.Constant(onnx.NewTensor("", []float32{0, 1}, 2)))
	if p.float != onnx.Float32 {
		mask = p.cast(mask)
	}
	all := onnx.Attrs{"keepdims": int64(0)}
	on := p.Op("ReduceSum", all, p.Op("Mul", nil, dy[0], mask))
	off := p.Op("ReduceSum", all, p.Op("Mul", nil, dy[0], p.minus(1, mask)))
	first := p.Ints(0)
	return []string{"", "", p.joined(p.Op("Unsqueeze", nil, off, first), p.Op("Unsqueeze", nil, on, first))}, nil
}

func compressGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	return []string{p.routed(n.Inputs[0], dy[0], func(places string) string {
		return p.Op("Compress", n.Attrs, places, n.Inputs[1])
	})}, nil
}

func topKGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	if dy[0] == "" {
		return nil, nil
	}
	index := n.Output(1)
	if index == "" {
		index = p.Ops("TopK", n.Attrs, 2, n.Inputs...)[1]
	}
	attrs := onnx.Attrs{"axis": n.Int("axis", -1)}
	return []string{p.Op("ScatterElements", attrs, p.filled(n.Inputs[0], 0), index, dy[0])}, nil
}
