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
	out := unknown(len(want))
	rest := -1
	left := slices.Clone(in) // without the sizes that out has too
	product := number(1)
	var err error
	for i, x := range want {
		switch {
		case x.known && x.n == -1:
			if rest >= 0 {
				return nil, errors.New("its shape has -1 twice")
			}
			rest = i
			continue
		case x.known && x.n < -1:
			return nil, fmt.Errorf("size %d of dimension %d is negative", x.n, i)
		case x.known && x.n == 0 && !zeroes:
			if in == nil {
				product = integer{}
				continue
			}
			if i >= len(in) {
				return nil, fmt.Errorf("its shape keeps dimension %d, which the input of shape %v has not", i, in)
			}
			x = fromDim(in[i])
		}
		out[i] = x.dim()
		if j := slices.IndexFunc(left, func(d onnx.Dim) bool { return same(fromDim(d), x) }); j >= 0 && !same(x, number(0)) {
			left = slices.Delete(left, j, j+1)
			continue
		}
		if product, err = c.sizes().mul(product, x); err != nil {
			return nil, err
		}
	}
	if in == nil {
		return out, nil
	}
	total, err := c.sizes().total(left)
	if err != nil {
		return nil, err
	}
	fits := func() error {
		return fmt.Errorf("its input of shape %v does not fill shape %v", in, out)
	}
	switch {
	case rest < 0:
		if total.known && product.known && total.n != product.n {
			return nil, fits()
		}
		// The one size that is not known is what is left.
		if i := loneUnknown(out); i >= 0 {
			if known, err := c.sizes().total(slices.Delete(slices.Clone(out), i, i+1)); err == nil && !same(known, number(0)) {
				all, err := c.sizes().total(in)
				if err != nil {
					return nil, err
				}
				if q, err := c.sizes().div(all, known); err == nil && known.given() {
					out[i] = q.dim()
				}
			}
		}
	case product.known && product.n == 0:
		if zeroes {
			return nil, errors.New("its shape has both 0 and -1")
		}
		out[rest] = onnx.Dim{Size: -1}
		if total.known && total.n == 0 {
			out[rest] = onnx.Dim{Size: 0}
		}
	case total.known && product.known && total.n%product.n != 0:
		return nil, fits()
	default:
		q, err := c.sizes().div(total, product)
		if err != nil {
			return nil, err
		}
		out[rest] = q.dim()
	}
	return out, nil
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

// stridesOf gives the distance of neighbours along each axis of a known shape.
func stridesOf(s onnx.Shape) []int {
	strides := make([]int, len(s))
	step := 1
	for i := len(s) - 1; i >= 0; i-- {
		strides[i] = step
		step *= int(s[i].Size)
	}
	return strides
}

// walk computes an index for each element of a known shape: move adds what place i
// along axis d contributes.
func walk(s onnx.Shape, move func(at, d, i int) int, index []int) []int {
	strides := stridesOf(s)
	for e := range index {
		at := 0
		for d := range s {
			at = move(at, d, e/strides[d]%int(s[d].Size))
		}
		index[e] = at
	}
	return index
}

// take gives the elements at the given places.
func (c *content) take(index []int) *content {
	out := &content{}
	if c.ints != nil {
		out.ints = make([]integer, len(index))
		for i, at := range index {
			out.ints[i] = c.ints[at]
		}
		return out
	}
	out.floats = make([]float64, len(index))
	for i, at := range index {
		out.floats[i] = c.floats[at]
	}
	return out
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

func concat(c *call) error {
	var out onnx.Shape
	elem := c.elem(0)
	for i := range c.n.Inputs {
		s := c.shape(i)
		if s == nil {
			c.tensor(0, elem, nil)
			return nil
		}
		if i == 0 {
			out = slices.Clone(s)
			continue
		}
		if len(s) != len(out) {
			return fmt.Errorf("shapes %v and %v have different numbers of dimensions", out, s)
		}
		axis, err := c.axis("axis", 0, len(out))
		if err != nil {
			return err
		}
		for d := range out {
			if d == axis {
				n, err := c.sizes().add(fromDim(out[d]), fromDim(s[d]))
				if err != nil {
					return err
				}
				out[d] = n.dim()
			} else if out[d], err = agree(out[d], s[d]); err != nil {
				return fmt.Errorf("shapes %v and %v do not concatenate on axis %d: %w", out, s, axis, err)
			}
		}
	}
	if out == nil {
		return errors.New("it has no inputs")
	}
	axis, err := c.axis("axis", 0, len(out))
	if err != nil {
		return err
	}
	c.tensor(0, elem, out)
	c.concatContent(out, axis)
	return nil
}

// concatContent joins contents; a vector of integers with unknown parts is followed too.
func (c *call) concatContent(out onnx.Shape, axis int) {
	n, ok := fixedCount(out)
	if !ok {
		return
	}
	outer, _ := fixedCount(out[:axis])
	joined := &content{}
	if isInt(c.elem(0)) {
		joined.ints = make([]integer, 0, n)
	} else {
		joined.floats = make([]float64, 0, n)
	}
	for row := range outer {
		for i := range c.n.Inputs {
			k := c.in(i).known()
			size, _ := fixedCount(c.shape(i)[axis:])
			switch {
			case joined.ints != nil && (k == nil || k.ints == nil):
				joined.ints = append(joined.ints, make([]integer, size)...)
			case joined.ints != nil:
				joined.ints = append(joined.ints, k.ints[row*size:][:size]...)
			case k == nil || k.floats == nil:
				return
			default:
				joined.floats = append(joined.floats, k.floats[row*size:][:size]...)
			}
		}
	}
	c.content(0, joined)
}

func split(c *call) error {
	in := c.shape(0)
	parts := int64(len(c.n.Outputs))
	for i := range c.n.Outputs {
		c.tensor(i, c.elem(0), nil)
	}
	if in == nil {
		return nil
	}
	axis, err := c.axis("axis", 0, len(in))
	if err != nil {
		return err
	}
	lengths, ok := c.ints(1)
	if c.has(1) && !ok {
		lengths = make([]integer, parts)
	}
	if !c.has(1) {
		if lengths, err = c.equalParts(fromDim(in[axis]), parts); err != nil {
			return err
		}
	}
	if int64(len(lengths)) != parts {
		return fmt.Errorf("it has %d parts but %d outputs", len(lengths), parts)
	}
	begin := number(0)
	for i, n := range lengths {
		if n.known && n.n < 0 {
			return fmt.Errorf("part %d has the negative size %d", i, n.n)
		}
		out := slices.Clone(in)
		out[axis] = n.dim()
		c.tensor(i, c.elem(0), out)
		if len(in) == 1 && begin.known && n.known && c.in(0).known() != nil && begin.n+n.n <= int64(c.in(0).known().len()) {
			index := make([]int, n.n)
			for j := range index {
				index[j] = int(begin.n) + j
			}
			c.content(i, c.in(0).known().take(index))
		}
		if begin, err = c.sizes().add(begin, n); err != nil {
			return err
		}
	}
	if d := in[axis]; begin.known && d.Known() && begin.n != d.Size {
		return fmt.Errorf("its parts have %d together, but axis %d of its input %v has %d", begin.n, axis, in, d.Size)
	}
	return nil
}

// equalParts splits a size into parts, the last smaller where it does not divide.
func (c *call) equalParts(size integer, parts int64) ([]integer, error) {
	if n := c.n.Int("num_outputs", parts); n != parts {
		return nil, fmt.Errorf("num_outputs is %d, but it has %d outputs", n, parts)
	}
	lengths := make([]integer, parts)
	if !size.known {
		q, ok := c.sizes().exact(size, number(parts))
		for i := range lengths {
			if ok && size.given() {
				lengths[i] = q
			}
		}
		return lengths, nil
	}
	each := (size.n + parts - 1) / parts
	left := size.n
	for i := range lengths {
		lengths[i] = number(min(each, left))
		left -= lengths[i].n
	}
	return lengths, nil
}
