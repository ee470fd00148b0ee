package infer

import (
	"errors"
	"fmt"
	"slices"

	"assay/onnx"
)

// total multiplies sizes.
func (a *algebra) total(s onnx.Shape) (integer, error) {
	n, err := number(1), error(nil)
	for _, d := range s {
		if n, err = a.mul(n, fromDim(d)); err != nil {
			return integer{}, err
		}
	}
	return n, nil
}

// shaped gives the shape that a list of integers states; a negative one is an error.
func shaped(list []integer) (onnx.Shape, error) {
	if len(list) > maxRank {
		return nil, fmt.Errorf("its shape of %d dimensions has more than the %d allowed", len(list), maxRank)
	}
	s := make(onnx.Shape, len(list))
	for i, x := range list {
		if x.known && x.n < 0 {
			return nil, fmt.Errorf("size %d of dimension %d is negative", x.n, i)
		}
		s[i] = x.dim()
	}
	return s, nil
}

// keep passes the content of the first input to the first output, whose elements
// stand in the same order.
func (c *call) keep() {
	v := c.in(0)
	c.content(0, v.content)
	if len(c.outs) == 0 || c.outs[0].content != nil || v.tensor == nil {
		return
	}
	c.outs[0].content = v.known()
}

func shapeOf(c *call) error {
	in := c.shape(0)
	if in == nil {
		c.tensor(0, onnx.Int64, unknown(1))
		return nil
	}
	rank := int64(len(in))
	start, end := c.n.Int("start", 0), c.n.Int("end", rank)
	if start < 0 {
		start += rank
	}
	if end < 0 {
		end += rank
	}
	start, end = min(max(start, 0), rank), min(max(end, 0), rank)
	list := []integer{}
	for i := start; i < end; i++ {
		list = append(list, fromDim(in[i]))
	}
	c.tensor(0, onnx.Int64, onnx.Fixed(int64(len(list))))
	c.content(0, &content{ints: list})
	return nil
}

func sizeOf(c *call) error {
	c.tensor(0, onnx.Int64, onnx.Shape{})
	if in := c.shape(0); in != nil {
		n, err := c.sizes().total(in)
		if err != nil {
			return err
		}
		c.content(0, &content{ints: []integer{n}})
	}
	return nil
}

func reshape(c *call) error {
	c.keep()
	want, ok := c.ints(1)
	if !ok {
		c.tensor(0, c.elem(0), nil)
		return nil
	}
	shape, err := c.reshaped(c.shape(0), want, c.n.Int("allowzero", 0) != 0)
	c.tensor(0, c.elem(0), shape)
	return err
}

// reshaped resolves the 0 (keep) and -1 (the rest) of Reshape.
func (c *call) reshaped(in onnx.Shape, want []integer, zeroes bool) (onnx.Shape, error) {
	if len(want) > maxRank {
		return nil, fmt.Errorf("its shape of %d dimensions has more than the %d allowed", len(want), maxRank)
	}
	out, rest := unknown(len(want)), -1
	for i, x := range want {
		switch {
		case x.known && x.n == -1 && rest >= 0:
			return nil, errors.New("its shape has -1 twice")
		case x.known && x.n == -1:
			rest = i
		case x.known && x.n < -1:
			return nil, fmt.Errorf("size %d of dimension %d is negative", x.n, i)
		case x.known && x.n == 0 && !zeroes:
			if in != nil && i >= len(in) {
				return nil, fmt.Errorf("its shape keeps dimension %d, which the input of shape %v has not", i, in)
			}
			if in != nil {
				out[i] = in[i]
			}
		case c.sizes().natural(x):
			out[i] = x.dim()
		}
	}
	if in == nil {
		return out, nil
	}
	if rest >= 0 && zeroes && slices.Contains(out, onnx.Dim{Size: 0}) {
		return nil, errors.New("its shape has both 0 and -1")
	}
	if rest < 0 {
		rest = loneUnknown(out) // the one size that is not known is the rest as well
	}
	return out, c.fill(in, out, rest)
}

// fill sets the size at rest, where that is not -1, so that out has as many elements
// as in.
func (c *call) fill(in, out onnx.Shape, rest int) error {
	left, product := slices.Clone(in), number(1)
	for i, d := range out {
		if i == rest {
			continue
		}
		// What both have cancels, even where it is only a name.
		if j := slices.IndexFunc(left, d.Equal); j >= 0 && d.Size != 0 {
			left = slices.Delete(left, j, j+1)
			continue
		}
		var err error
		if product, err = c.sizes().mul(product, fromDim(d)); err != nil {
			return err
		}
	}
	total, err := c.sizes().total(left)
	if err != nil {
		return err
	}
	known := total.known && product.known
	switch {
	case known && rest < 0 && total.n != product.n, known && rest >= 0 && product.n != 0 && total.n%product.n != 0,
		known && product.n == 0 && total.n != 0:
		return fmt.Errorf("its input of shape %v does not fill shape %v", in, out)
	case rest < 0, same(product, number(0)): // nothing times anything is nothing
		return nil
	}
	q, err := c.sizes().div(total, product)
	out[rest] = q.dim()
	return err
}

// loneUnknown gives the index of the only dimension of which nothing is known, or -1.
func loneUnknown(s onnx.Shape) int {
	at := -1
	for i, d := range s {
		if fromDim(d).given() {
			continue
		}
		if at >= 0 {
			return -1
		}
		at = i
	}
	return at
}

func squeeze(c *call) error {
	c.keep()
	in := c.shape(0)
	axes, known := c.numbers(1)
	switch {
	case in == nil:
		c.tensor(0, c.elem(0), nil)
		return nil
	case c.has(1) && !known:
		c.tensor(0, c.elem(0), nil)
		if list, ok := c.ints(1); ok && len(list) <= len(in) {
			c.tensor(0, c.elem(0), unknown(len(in)-len(list)))
		}
		return nil
	case !c.has(1):
		out := onnx.Shape{}
		for _, d := range in {
			if !d.Known() {
				c.tensor(0, c.elem(0), nil)
				return nil
			}
			if d.Size != 1 {
				out = append(out, d)
			}
		}
		c.tensor(0, c.elem(0), out)
		return nil
	}
	gone, err := axesOf(axes, len(in))
	if err != nil {
		return err
	}
	out := onnx.Shape{}
	for i, d := range in {
		if !gone[i] {
			out = append(out, d)
		} else if d.Known() && d.Size != 1 {
			return fmt.Errorf("it squeezes axis %d of shape %v, which is not 1", i, in)
		}
	}
	c.tensor(0, c.elem(0), out)
	return nil
}

func unsqueeze(c *call) error {
	c.keep()
	in := c.shape(0)
	axes, known := c.numbers(1)
	if in == nil || !known {
		c.tensor(0, c.elem(0), nil)
		if list, ok := c.ints(1); ok && in != nil {
			c.tensor(0, c.elem(0), unknown(len(in)+len(list)))
		}
		return nil
	}
	if len(axes) > maxRank {
		return fmt.Errorf("it adds %d dimensions, more than the %d allowed", len(axes), maxRank)
	}
	added, err := axesOf(axes, len(in)+len(axes))
	if err != nil {
		return err
	}
	out := make(onnx.Shape, 0, len(added))
	next := 0
	for _, one := range added {
		if one {
			out = append(out, onnx.Dim{Size: 1})
			continue
		}
		out = append(out, in[next])
		next++
	}
	c.tensor(0, c.elem(0), out)
	return nil
}

func flatten(c *call) error {
	c.keep()
	in := c.shape(0)
	if in == nil {
		c.tensor(0, c.elem(0), unknown(2))
		return nil
	}
	axis := c.n.Int("axis", 1)
	if axis < -int64(len(in)) || axis > int64(len(in)) {
		return fmt.Errorf("axis %d is not one of a tensor of %d dimensions", axis, len(in))
	}
	if axis < 0 {
		axis += int64(len(in))
	}
	rows, err := c.sizes().total(in[:axis])
	if err != nil {
		return err
	}
	columns, err := c.sizes().total(in[axis:])
	if err != nil {
		return err
	}
	c.tensor(0, c.elem(0), onnx.Shape{rows.dim(), columns.dim()})
	return nil
}

func transpose(c *call) error {
	in := c.shape(0)
	perm := c.n.Ints("perm")
	if in == nil {
		c.tensor(0, c.elem(0), nil)
		if perm != nil && len(perm) <= maxRank {
			c.tensor(0, c.elem(0), unknown(len(perm)))
		}
		return nil
	}
	if perm == nil {
		for i := range in {
			perm = append(perm, int64(len(in)-1-i))
		}
	}
	if len(perm) != len(in) {
		return fmt.Errorf("its order %v is not one of the axes of shape %v", perm, in)
	}
	if _, err := axesOf(perm, len(in)); err != nil {
		return err
	}
	out := make(onnx.Shape, len(in))
	for i, p := range perm {
		if p < 0 {
			return fmt.Errorf("its order %v has a negative axis", perm)
		}
		out[i] = in[p]
	}
	c.tensor(0, c.elem(0), out)
	if n, ok := fixedCount(in); ok && c.in(0).known() != nil {
		strides := stridesOf(in)
		index := make([]int, n)
		c.content(0, c.in(0).known().take(walk(out, func(at int, d, i int) int { return at + i*strides[perm[d]] }, index)))
	}
	return nil
}

func expand(c *call) error {
	list, ok := c.ints(1)
	if !ok {
		c.tensor(0, c.elem(0), nil)
		return nil
	}
	target, err := shaped(list)
	if err != nil {
		return err
	}
	shape, err := broadcast(c.shape(0), target)
	if err != nil {
		return err
	}
	c.tensor(0, c.elem(0), shape)
	if k := c.in(0).known(); k != nil {
		if _, ok := fixedCount(shape); ok {
			c.content(0, k.take(spread(c.shape(0), shape)))
		}
	}
	return nil
}

func tile(c *call) error {
	in := c.shape(0)
	repeats, ok := c.ints(1)
	if in == nil {
		c.tensor(0, c.elem(0), nil)
		return nil
	}
	if !ok {
		repeats = make([]integer, len(in))
	}
	if len(repeats) != len(in) {
		return fmt.Errorf("it has %d repeats for %d dimensions", len(repeats), len(in))
	}
	out := make(onnx.Shape, len(in))
	for i, d := range in {
		n, err := c.sizes().mul(fromDim(d), repeats[i])
		if err != nil {
			return err
		}
		out[i] = n.dim()
	}
	c.tensor(0, c.elem(0), out)
	if n, ok := fixedCount(out); ok && c.in(0).known() != nil && n > 0 {
		strides := stridesOf(in)
		c.content(0, c.in(0).known().take(walk(out,
			func(at, d, i int) int { return at + i%int(in[d].Size)*strides[d] }, make([]int, n))))
	}
	return nil
}
