package infer

import (
	"math"
	"slices"

	"assay/onnx"
)

// reduction removes axes, or keeps them with size 1. The fold, if any, is followed
// where all axes of known content go.
func reduction(ints integerFunction, floats floatFunction) rule {
	return func(c *call) error {
		in := c.shape(0)
		keep := c.n.Int("keepdims", 1) != 0
		c.tensor(0, c.elem(0), nil)
		axes, known := c.numbers(1)
		if in == nil {
			return nil
		}
		list, counted := c.ints(1)
		switch {
		case c.has(1) && !known && keep:
			c.tensor(0, c.elem(0), unknown(len(in)))
			return nil
		case c.has(1) && !known && counted && len(list) > 0 && len(list) <= len(in):
			c.tensor(0, c.elem(0), unknown(len(in)-len(list)))
			return nil
		case c.has(1) && !known:
			return nil
		case len(axes) == 0 && c.n.Int("noop_with_empty_axes", 0) != 0:
			c.tensor(0, c.elem(0), in)
			return nil
		}
		gone, err := axesOf(axes, len(in))
		if err != nil {
			return err
		}
		if len(axes) == 0 {
			gone = slices.Repeat([]bool{true}, len(in))
		}
		out := onnx.Shape{}
		for i, d := range in {
			if !gone[i] {
				out = append(out, d)
			} else if keep {
				out = append(out, onnx.Dim{Size: 1})
			}
		}
		c.tensor(0, c.elem(0), out)
		if !slices.Contains(gone, false) {
			c.fold(ints, floats)
		}
		return nil
	}
}

// fold combines all elements of the first input.
func (c *call) fold(ints integerFunction, floats floatFunction) {
	k := c.in(0).known()
	switch {
	case k == nil || k.len() == 0:
	case k.ints != nil && ints != nil:
		sum, err := k.ints[0], error(nil)
		for _, x := range k.ints[1:] {
			if sum, err = ints(c.sizes(), sum, x); err != nil {
				return
			}
		}
		if !sum.known || fits(sum.n, c.elem(0)) {
			c.content(0, &content{ints: []integer{sum}})
		}
	case k.floats != nil && floats != nil:
		sum := k.floats[0]
		for _, x := range k.floats[1:] {
			sum = rounded(floats(sum, x), c.elem(0))
		}
		c.content(0, &content{floats: []float64{sum}})
	}
}

var (
	reduceSum  = reduction(add, func(x, y float64) float64 { return x + y })
	reduceProd = reduction(mul, func(x, y float64) float64 { return x * y })
	reduceMax  = reduction(larger, math.Max)
	reduceMin  = reduction(smaller, math.Min)
)

// argReduction gives places along one axis.
func argReduction(c *call) error {
	in := c.shape(0)
	c.tensor(0, onnx.Int64, nil)
	if in == nil {
		return nil
	}
	axis, err := c.axis("axis", 0, len(in))
	if err != nil {
		return err
	}
	out := slices.Clone(in)
	out[axis] = onnx.Dim{Size: 1}
	if c.n.Int("keepdims", 1) == 0 {
		out = slices.Delete(out, axis, axis+1)
	}
	c.tensor(0, onnx.Int64, out)
	return nil
}

// onAxis is an operator along one axis that keeps type and shape.
func onAxis(otherwise int64) rule {
	return func(c *call) error {
		if in := c.shape(0); len(in) > 0 {
			if _, err := c.axis("axis", otherwise, len(in)); err != nil {
				return err
			}
		}
		return unary(c)
	}
}
