package infer

import (
	"fmt"
	"math"
	"slices"

	"assay/onnx"
)

// unary is an operator whose output has the type of its first input.
func unary(c *call) error {
	in := c.in(0).typ
	c.tensor(0, in.Elem, in.Shape)
	return nil
}

// unaryTo is one whose output has the shape of its first input.
func unaryTo(elem onnx.DataType) rule {
	return func(c *call) error {
		c.tensor(0, elem, c.shape(0))
		return nil
	}
}

// identity passes its input on, whatever it is.
func identity(c *call) error {
	c.pass(0, 0)
	return nil
}

// pass makes output i the same as input j.
func (c *call) pass(i, j int) {
	if i < len(c.outs) {
		v := c.in(j)
		c.outs[i] = value{typ: v.typ, content: v.content, tensor: v.tensor}
	}
}

// function1 is a unary operator with known results on numbers.
func function1(ints func(*algebra, integer) (integer, error), floats func(float64) float64) rule {
	return func(c *call) error {
		if err := unary(c); err != nil {
			return err
		}
		in := c.in(0).known()
		switch {
		case in == nil:
		case in.ints != nil && ints != nil:
			out := make([]integer, len(in.ints))
			for i, x := range in.ints {
				y, err := ints(c.sizes(), x)
				if err == nil && (!y.known || fits(y.n, c.elem(0))) {
					out[i] = y
				}
			}
			c.content(0, &content{ints: out})
		case in.floats != nil && floats != nil:
			out := make([]float64, len(in.floats))
			for i, x := range in.floats {
				out[i] = rounded(floats(x), c.elem(0))
			}
			c.content(0, &content{floats: out})
		}
		return nil
	}
}

var (
	negative = function1(func(a *algebra, x integer) (integer, error) { return a.mul(x, number(-1)) },
		func(x float64) float64 { return -x })
	absolute = function1(func(a *algebra, x integer) (integer, error) {
		if x.known && x.n < 0 && x.n != math.MinInt64 {
			return number(-x.n), nil
		}
		if !a.natural(x) {
			return integer{}, nil
		}
		return x, nil
	}, math.Abs)
	relu = function1(func(a *algebra, x integer) (integer, error) {
		return larger(a, x, number(0))
	}, func(x float64) float64 { return math.Max(x, 0) })
	not = function1(func(_ *algebra, x integer) (integer, error) {
		if x.known {
			return number(1 - x.n), nil
		}
		return integer{}, nil
	}, nil)
)

// integerFunction computes with two integers; unknown where the result is not certain.
type integerFunction func(a *algebra, x, y integer) (integer, error)

type floatFunction func(x, y float64) float64

// pairwise is an operator of broadcast inputs whose output has their element type.
func pairwise(ints integerFunction, floats floatFunction) rule {
	return func(c *call) error {
		elem := c.elem(0)
		for i := range c.n.Inputs {
			if e := c.elem(i); elem == onnx.Undefined {
				elem = e
			} else if e != onnx.Undefined && e != elem {
				return fmt.Errorf("its inputs are %s and %s, which should be one type", elem, e)
			}
		}
		return c.broadcastTo(elem, ints, floats)
	}
}

// comparison is an operator of broadcast inputs whose output holds truth values.
func comparison(ints integerFunction, floats func(x, y float64) bool) rule {
	return func(c *call) error {
		return c.broadcastTo(onnx.Bool, ints, func(x, y float64) float64 {
			if floats != nil && floats(x, y) {
				return 1
			}
			return 0
		})
	}
}

// broadcastTo sets the first output to the broadcast of all inputs, and its content
// by folding the inputs from the left.
func (c *call) broadcastTo(elem onnx.DataType, ints integerFunction, floats floatFunction) error {
	if len(c.n.Inputs) == 0 {
		return fmt.Errorf("it has no inputs")
	}
	shapes := make([]onnx.Shape, len(c.n.Inputs))
	for i := range shapes {
		shapes[i] = c.shape(i)
	}
	shape, err := broadcast(shapes...)
	if err != nil {
		return err
	}
	c.tensor(0, elem, shape)
	sum, at := c.in(0).known(), shapes[0]
	for i := 1; i < len(shapes) && sum != nil; i++ {
		next, err := broadcast(at, shapes[i])
		if err != nil {
			return err
		}
		sum = c.combine(elem, next, at, sum, shapes[i], c.in(i).known(), ints, floats)
		at = next
	}
	c.content(0, sum)
	return nil
}

// combine applies a function to the broadcast of two contents.
func (c *call) combine(elem onnx.DataType, out, xShape onnx.Shape, x *content, yShape onnx.Shape, y *content,
	ints integerFunction, floats floatFunction) *content {
	size, ok := fixedCount(out)
	if x == nil || y == nil || !ok || (x.ints == nil) != (y.ints == nil) {
		return nil
	}
	xs, ys := spread(xShape, out), spread(yShape, out)
	if x.ints != nil && ints != nil {
		list := make([]integer, size)
		for i := range list {
			r, err := ints(c.sizes(), x.ints[xs[i]], y.ints[ys[i]])
			if err == nil && (!r.known || fits(r.n, elem)) {
				list[i] = r
			}
		}
		return &content{ints: list}
	}
	if x.floats == nil || floats == nil {
		return nil
	}
	list := make([]float64, size)
	for i := range list {
		list[i] = floats(x.floats[xs[i]], y.floats[ys[i]])
	}
	if elem == onnx.Bool {
		truth := make([]integer, size)
		for i, v := range list {
			truth[i] = number(int64(v))
		}
		return &content{ints: truth}
	}
	for i := range list {
		list[i] = rounded(list[i], elem)
	}
	return &content{floats: list}
}

func add(a *algebra, x, y integer) (integer, error) { return a.add(x, y) }
func sub(a *algebra, x, y integer) (integer, error) { return a.sub(x, y) }
func mul(a *algebra, x, y integer) (integer, error) { return a.mul(x, y) }

// quotient is integer division as ONNX has it, rounding towards 0, which is rounding
// down where nothing is negative.
func quotient(a *algebra, x, y integer) (integer, error) {
	if x.known && y.known {
		if y.n == 0 || (x.n == math.MinInt64 && y.n == -1) {
			return integer{}, nil
		}
		return number(x.n / y.n), nil
	}
	if !a.natural(x) || !a.natural(y) || same(y, number(0)) {
		return integer{}, nil
	}
	return a.div(x, y)
}

func larger(a *algebra, x, y integer) (integer, error) {
	if y.known && y.n <= 0 && a.natural(x) {
		return x, nil
	}
	return choose(x, y, x.n >= y.n)
}

func smaller(_ *algebra, x, y integer) (integer, error) {
	return choose(x, y, x.n <= y.n)
}

func choose(x, y integer, first bool) (integer, error) {
	switch {
	case same(x, y):
		return x, nil
	case !x.known || !y.known:
		return integer{}, nil
	case first:
		return x, nil
	}
	return y, nil
}

// test makes an integer function of a comparison of numbers. Two sizes of one name
// are equal; a size is not negative.
func test(holds func(x, y int64) bool) integerFunction {
	return func(a *algebra, x, y integer) (integer, error) {
		switch {
		case x.known && y.known:
			return truth(holds(x.n, y.n)), nil
		case same(x, y):
			return truth(holds(0, 0)), nil
		case a.natural(x) && y.known && y.n < 0:
			return truth(holds(0, -1)), nil
		case a.natural(y) && x.known && x.n < 0:
			return truth(holds(-1, 0)), nil
		}
		return integer{}, nil
	}
}

// known2 makes an integer function of two known numbers.
func known2(holds func(x, y int64) bool) integerFunction {
	return func(_ *algebra, x, y integer) (integer, error) {
		if x.known && y.known {
			return truth(holds(x.n, y.n)), nil
		}
		return integer{}, nil
	}
}

func truth(b bool) integer {
	if b {
		return number(1)
	}
	return number(0)
}

// modulo is ONNX's Mod: with the sign of the divisor, or of the dividend where fmod is 1.
func modulo(c *call) error {
	fmod := c.n.Int("fmod", 0) == 1
	ints := func(_ *algebra, x, y integer) (integer, error) {
		if !x.known || !y.known || y.n == 0 || y.n == -1 {
			return integer{}, nil
		}
		r := x.n % y.n
		if r != 0 && !fmod && (r < 0) != (y.n < 0) {
			r += y.n
		}
		return number(r), nil
	}
	return pairwise(ints, math.Mod)(c)
}

// power keeps the element type of its base; only whole-number content is followed.
func power(c *call) error {
	ints := func(a *algebra, x, y integer) (integer, error) {
		if !y.known || y.n < 0 || y.n > 63 {
			return integer{}, nil
		}
		out, err := number(1), error(nil)
		for range y.n {
			if out, err = a.mul(out, x); err != nil {
				return integer{}, err
			}
		}
		return out, nil
	}
	floats := math.Pow
	if e := c.elem(1); e != c.elem(0) {
		ints, floats = nil, nil
	}
	return c.broadcastTo(c.elem(0), ints, floats)
}

// where takes from its second or third input as its first says.
func where(c *call) error {
	shape, err := broadcast(c.shape(0), c.shape(1), c.shape(2))
	if err != nil {
		return err
	}
	elem := c.elem(1)
	if elem == onnx.Undefined {
		elem = c.elem(2)
	}
	c.tensor(0, elem, shape)
	which, x, y := c.in(0).known(), c.in(1).known(), c.in(2).known()
	n, ok := fixedCount(shape)
	if which == nil || which.ints == nil || x == nil || y == nil || !ok || (x.ints == nil) != (y.ints == nil) {
		return nil
	}
	ws, xs, ys := spread(c.shape(0), shape), spread(c.shape(1), shape), spread(c.shape(2), shape)
	out := &content{}
	if x.ints != nil {
		out.ints = []integer{}
	}
	for i := range n {
		w := which.ints[ws[i]]
		switch {
		case x.ints == nil && !w.known:
			return nil
		case x.ints == nil && w.n != 0:
			out.floats = append(out.floats, x.floats[xs[i]])
		case x.ints == nil:
			out.floats = append(out.floats, y.floats[ys[i]])
		case !w.known && x.ints[xs[i]] != y.ints[ys[i]]:
			out.ints = append(out.ints, integer{})
		case !w.known || w.n != 0:
			out.ints = append(out.ints, x.ints[xs[i]])
		default:
			out.ints = append(out.ints, y.ints[ys[i]])
		}
	}
	c.content(0, out)
	return nil
}

// cast changes the element type; contents follow where the target type has them.
func (c *call) cast(to onnx.DataType) error {
	if !to.Valid() {
		return fmt.Errorf("it casts to %s, which ONNX does not define", to)
	}
	c.tensor(0, to, c.shape(0))
	in := c.in(0).known()
	if in == nil {
		return nil
	}
	out := &content{}
	switch {
	case in.ints != nil && isInt(to):
		out.ints = slices.Clone(in.ints)
		for i, x := range out.ints {
			switch {
			case to == onnx.Bool && x.known:
				out.ints[i] = truth(x.n != 0)
			case to == onnx.Bool, x.known && !fits(x.n, to):
				out.ints[i] = integer{}
			}
		}
	case in.ints != nil && (to == onnx.Float32 || to == onnx.Float64):
		out.floats = make([]float64, len(in.ints))
		for i, x := range in.ints {
			if !x.known {
				return nil
			}
			out.floats[i] = rounded(float64(x.n), to)
		}
	case in.floats != nil && isInt(to):
		out.ints = make([]integer, len(in.floats))
		for i, x := range in.floats {
			if n := truncated(x); to == onnx.Bool {
				out.ints[i] = truth(x != 0)
			} else if n.known && fits(n.n, to) {
				out.ints[i] = n
			}
		}
	case in.floats != nil && (to == onnx.Float32 || to == onnx.Float64):
		out.floats = make([]float64, len(in.floats))
		for i, x := range in.floats {
			out.floats[i] = rounded(x, to)
		}
	default:
		return nil
	}
	c.content(0, out)
	return nil
}

func cast(c *call) error { return c.cast(onnx.DataType(c.n.Int("to", 0))) }

func castLike(c *call) error {
	if to := c.elem(1); to != onnx.Undefined {
		return c.cast(to)
	}
	c.tensor(0, onnx.Undefined, c.shape(0))
	return nil
}

// prelu's slope broadcasts to the input, not the other way.
func prelu(c *call) error {
	if shape, err := broadcast(c.shape(0), c.shape(1)); err != nil {
		return err
	} else if shape != nil && len(shape) != len(c.shape(0)) {
		return fmt.Errorf("its slope of shape %v does not broadcast to the input's %v", c.shape(1), c.shape(0))
	}
	return unary(c)
}

// bitCast reads the same bits as another type of the same width.
func bitCast(c *call) error {
	c.tensor(0, c.typeAttr("to", onnx.Undefined), c.shape(0))
	return nil
}
