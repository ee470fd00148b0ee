package infer

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/onnx"
)

// slice follows ONNX's Slice: starts and ends are clamped to the axis.
func slice(c *call) error {
	in := c.shape(0)
	c.tensor(0, c.elem(0), nil)
	if in == nil {
		return nil
	}
	starts, ok := c.ints(1)
	ends, ok2 := c.ints(2)
	c.tensor(0, c.elem(0), unknown(len(in)))
	if !ok || !ok2 {
		return nil
	}
	axes, known := c.numbers(3)
	if c.has(3) && !known {
		return nil
	}
	if !c.has(3) {
		for i := range starts {
			axes = append(axes, int64(i))
		}
	}
	steps := slices.Repeat([]integer{number(1)}, len(starts))
	if c.has(4) {
		if steps, ok = c.ints(4); !ok {
			steps = make([]integer, len(starts))
		}
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || len(steps) != len(starts) {
		return fmt.Errorf("it has %d starts, %d ends, %d axes and %d steps", len(starts), len(ends), len(axes), len(steps))
	}
	if _, err := axesOf(axes, len(in)); err != nil {
		return err
	}
	out := slices.Clone(in)
	for i, a := range axes {
		axis, _ := axisOf(a, len(in))
		n, err := c.sliced(fromDim(in[axis]), starts[i], ends[i], steps[i])
		if err != nil {
			return err
		}
		out[axis] = n.dim()
	}
	c.tensor(0, c.elem(0), out)
	c.sliceContent(in, out, starts, axes, steps)
	return nil
}

// sliced is the number of elements that a slice of an axis of the given size keeps.
func (c *call) sliced(size, start, end, step integer) (integer, error) {
	if same(step, number(0)) {
		return integer{}, errors.New("a step of its slice is 0")
	}
	if size.known && start.known && end.known && step.known {
		from, to := clampSlice(size.n, start.n, end.n, step.n)
		if to == from || (to > from) != (step.n > 0) {
			return number(0), nil
		}
		if step.n > 0 {
			return number((to-from-1)/step.n + 1), nil
		}
		return number((to-from+1)/step.n + 1), nil
	}
	if same(step, number(-1)) && start.known && end.known && end.n <= -math.MaxInt32 &&
		(start.n == -1 || start.n >= math.MaxInt32) {
		return size, nil // the whole axis in reverse
	}
	if !step.known || step.n < 0 || !size.given() {
		return integer{}, nil
	}
	a := c.sizes()
	from, to := a.clamp(start, size), a.clamp(end, size)
	n, err := a.sub(to, from)
	switch {
	case err != nil || !n.given():
		return integer{}, err
	case !a.natural(n):
		return integer{}, nil
	}
	return a.divUp(n, step)
}

// clamp brings the start or end of a slice into an axis of the given size; unknown
// where it is not certain what that gives.
func (a *algebra) clamp(at, size integer) integer {
	switch {
	case at.known && at.n >= math.MaxInt32:
		return size // as exporters write an open end
	case at.known && at.n <= -math.MaxInt32:
		return number(0)
	case at.known && at.n < 0:
		if moved, err := a.add(size, at); err == nil && a.natural(moved) {
			return moved
		}
	case a.natural(at) && a.atMost(at, size):
		return at
	case a.natural(at) && a.atMost(size, at):
		return size
	}
	return integer{}
}

// clampSlice brings start and end into the axis.
func clampSlice(size, start, end, step int64) (from, to int64) {
	if start < 0 {
		start += size
	}
	if end < 0 {
		end += size
	}
	if step > 0 {
		return min(max(start, 0), size), min(max(end, 0), size)
	}
	return min(max(start, 0), size-1), min(max(end, -1), size-1)
}

func (c *call) sliceContent(in, out onnx.Shape, starts []integer, axes []int64, steps []integer) {
	k := c.in(0).known()
	n, ok := fixedCount(out)
	if k == nil || !ok {
		return
	}
	from, by := make([]int, len(in)), slices.Repeat([]int{1}, len(in))
	for i, a := range axes {
		axis, _ := axisOf(a, len(in))
		if !starts[i].known || !steps[i].known {
			return
		}
		if out[axis].Size > 0 {
			start, _ := clampSlice(in[axis].Size, starts[i].n, 0, steps[i].n)
			from[axis] = int(start)
		}
		if out[axis].Size > 1 {
			by[axis] = int(steps[i].n)
		}
	}
	strides := stridesOf(in)
	c.content(0, k.take(walk(out, func(at, d, i int) int { return at + (from[d]+i*by[d])*strides[d] }, make([]int, n))))
}

func gather(c *call) error {
	in, at := c.shape(0), c.shape(1)
	c.tensor(0, c.elem(0), nil)
	if in == nil || at == nil {
		return nil
	}
	axis, err := c.axis("axis", 0, len(in))
	if err != nil {
		return err
	}
	out := joined(in[:axis], at, in[axis+1:])
	c.tensor(0, c.elem(0), out)
	k := c.in(0).known()
	index, ok := c.numbers(1)
	n, small := fixedCount(out)
	if len(at) == 0 {
		x := c.scalar(1)
		index, ok = []int64{x.n}, x.known
	}
	if !ok || len(at) > 1 || !in[axis].Known() {
		return nil
	}
	for i, x := range index {
		if x < -in[axis].Size || x >= in[axis].Size {
			return fmt.Errorf("index %d is not in axis %d of shape %v", x, axis, in)
		}
		if x < 0 {
			index[i] += in[axis].Size
		}
	}
	if k == nil || !small {
		return nil
	}
	strides := stridesOf(in)
	places := walk(out, func(place, d, i int) int {
		switch {
		case d < axis:
			return place + i*strides[d]
		case d < axis+len(at):
			return place + int(index[i])*strides[axis]
		}
		return place + i*strides[d-len(at)+1]
	}, make([]int, n))
	if len(at) == 0 {
		for i := range places {
			places[i] += int(index[0]) * strides[axis]
		}
	}
	c.content(0, k.take(places))
	return nil
}

// likeIndices has the elements of the first input and the shape of the second.
func likeIndices(c *call) error {
	if in, at := c.shape(0), c.shape(1); in != nil && at != nil && len(in) != len(at) {
		return fmt.Errorf("its data of shape %v and its indices of shape %v should have the same number of dimensions", in, at)
	}
	c.tensor(0, c.elem(0), c.shape(1))
	return nil
}

func gatherND(c *call) error {
	in, at := c.shape(0), c.shape(1)
	c.tensor(0, c.elem(0), nil)
	if in == nil || at == nil {
		return nil
	}
	if len(at) == 0 {
		return errors.New("its indices are a scalar")
	}
	last, batch := at[len(at)-1], c.n.Int("batch_dims", 0)
	if !last.Known() {
		return nil
	}
	if batch < 0 || batch >= int64(len(at)) || last.Size > int64(len(in))-batch {
		return fmt.Errorf("indices of shape %v do not fit data of shape %v with %d batch dimensions", at, in, batch)
	}
	c.tensor(0, c.elem(0), joined(at[:len(at)-1], in[batch+last.Size:]))
	return nil
}

func compress(c *call) error {
	in := c.shape(0)
	if !c.n.Has("axis") {
		c.tensor(0, c.elem(0), unknown(1))
		return nil
	}
	c.tensor(0, c.elem(0), nil)
	if in == nil {
		return nil
	}
	axis, err := c.axis("axis", 0, len(in))
	if err != nil {
		return err
	}
	out := slices.Clone(in)
	out[axis] = onnx.Dim{Size: -1}
	if picks, ok := c.numbers(1); ok {
		out[axis].Size = 0
		for _, p := range picks {
			out[axis].Size += p
		}
	}
	c.tensor(0, c.elem(0), out)
	return nil
}

func nonZero(c *call) error {
	out := unknown(2)
	if in := c.shape(0); in != nil {
		out[0].Size = int64(len(in))
	}
	c.tensor(0, onnx.Int64, out)
	return nil
}

func unique(c *call) error {
	in := c.shape(0)
	out := unknown(1)
	if c.n.Has("axis") {
		out = nil
		if in != nil {
			axis, err := c.axis("axis", 0, len(in))
			if err != nil {
				return err
			}
			out = slices.Clone(in)
			out[axis] = onnx.Dim{Size: -1}
		}
	}
	c.tensor(0, c.elem(0), out)
	for i := 1; i < 4; i++ {
		c.tensor(i, onnx.Int64, unknown(1))
	}
	if in != nil && !c.n.Has("axis") {
		n, err := c.sizes().total(in)
		if err != nil {
			return err
		}
		c.tensor(2, onnx.Int64, onnx.Shape{n.dim()})
	}
	return nil
}

func topK(c *call) error {
	in := c.shape(0)
	out := slices.Clone(in)
	if in != nil {
		axis, err := c.axis("axis", -1, len(in))
		if err != nil {
			return err
		}
		k := c.scalar(1)
		if k.known && (k.n < 0 || in[axis].Known() && k.n > in[axis].Size) {
			return fmt.Errorf("it takes %d of the %s elements of axis %d", k.n, in[axis], axis)
		}
		out[axis] = k.dim()
	}
	c.tensor(0, c.elem(0), out)
	c.tensor(1, onnx.Int64, out)
	return nil
}

func oneHot(c *call) error {
	in := c.shape(0)
	c.tensor(0, c.elem(2), nil)
	if in == nil {
		return nil
	}
	axis, err := c.axis("axis", -1, len(in)+1)
	if err != nil {
		return err
	}
	depth := c.scalar(1)
	if k := c.in(1).known(); k != nil && len(k.floats) == 1 {
		depth = truncated(k.floats[0])
	}
	if depth.known && depth.n < 0 {
		return fmt.Errorf("its depth is %d", depth.n)
	}
	c.tensor(0, c.elem(2), slices.Insert(slices.Clone(in), axis, depth.dim()))
	return nil
}

func nonMaxSuppression(c *call) error {
	c.tensor(0, onnx.Int64, onnx.Shape{{Size: -1}, {Size: 3}})
	return nil
}
