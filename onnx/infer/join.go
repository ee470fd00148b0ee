package infer

import (
	"errors"
	"fmt"
	"slices"

	"assay/onnx"
)

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
	if !ok || n == 0 {
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
	each, left := size.n, size.n
	if size.n > 0 && parts > 0 {
		each = (size.n-1)/parts + 1
	}
	for i := range lengths {
		lengths[i] = number(min(each, left))
		left -= lengths[i].n
	}
	return lengths, nil
}
