package autodiff

import (
	"fmt"
	"slices"

	"assay/onnx"
)

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
