package infer

import (
	"fmt"
	"slices"

	"assay/onnx"
)

// call is the inference of one node.
type call struct {
	types *Types
	n     *onnx.Node
	outs  []value
}

// rule infers the outputs of a node. What it does not set stays unknown.
type rule func(*call) error

func (c *call) sizes() *algebra { return c.types.shared.sizes }

// in gives what is known of the i-th input; nothing where it is left out.
func (c *call) in(i int) *value {
	if name := c.n.Input(i); name != "" {
		if v := c.types.lookup(name); v != nil {
			return c.types.shared.within(v)
		}
	}
	return &value{}
}

// within counts what is read of contents, and withholds them once it is too much.
func (s *shared) within(v *value) *value {
	if v.content != nil {
		s.follows += v.content.len()
	} else if v.tensor != nil && v.tensor.Len() <= maxContent {
		s.follows += int(v.tensor.Len())
	}
	if s.follows > maxFollow {
		return &value{typ: v.typ}
	}
	return v
}

func (c *call) has(i int) bool           { return c.n.Input(i) != "" }
func (c *call) shape(i int) onnx.Shape   { return c.types.Shape(c.n.Input(i)) }
func (c *call) elem(i int) onnx.DataType { return c.types.Elem(c.n.Input(i)) }

// tensor says that the i-th output is a tensor.
func (c *call) tensor(i int, elem onnx.DataType, shape onnx.Shape) {
	c.typed(i, onnx.TensorOf(elem, shape))
}

func (c *call) typed(i int, t onnx.Type) {
	if i < len(c.outs) {
		c.outs[i].typ = t
	}
}

// content says what the i-th output holds.
func (c *call) content(i int, v *content) {
	if i < len(c.outs) {
		c.outs[i].content = v
	}
}

// ints gives the integers that the i-th input holds, as far as they are known; not ok
// where not even their number is.
func (c *call) ints(i int) (list []integer, ok bool) {
	v := c.in(i)
	if k := v.known(); k != nil && k.ints != nil {
		return k.ints, true
	}
	// The length may be known where the content is not.
	if len(v.typ.Shape) == 1 && v.typ.Shape[0].Known() && v.typ.Shape[0].Size <= maxContent {
		return make([]integer, v.typ.Shape[0].Size), true
	}
	return nil, false
}

// numbers gives the integers that the i-th input holds where all are known.
func (c *call) numbers(i int) ([]int64, bool) {
	list, ok := c.ints(i)
	if !ok || !c.has(i) {
		return nil, false
	}
	out := make([]int64, len(list))
	for j, x := range list {
		if !x.known {
			return nil, false
		}
		out[j] = x.n
	}
	return out, true
}

// scalar gives the one integer that the i-th input holds.
func (c *call) scalar(i int) integer {
	if k := c.in(i).known(); k != nil && len(k.ints) == 1 {
		return k.ints[0]
	}
	return integer{}
}

// axis reads an axis attribute for a tensor of the given rank.
func (c *call) axis(name string, otherwise int64, rank int) (int, error) {
	return axisOf(c.n.Int(name, otherwise), rank)
}

func axisOf(axis int64, rank int) (int, error) {
	if axis < -int64(rank) || axis >= int64(rank) {
		return 0, fmt.Errorf("axis %d is not one of a tensor of %d dimensions", axis, rank)
	}
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis), nil
}

// axesOf reads a list of axes into a set.
func axesOf(axes []int64, rank int) ([]bool, error) {
	set := make([]bool, rank)
	for _, a := range axes {
		i, err := axisOf(a, rank)
		if err != nil {
			return nil, err
		}
		if set[i] {
			return nil, fmt.Errorf("axis %d is named twice", a)
		}
		set[i] = true
	}
	return set, nil
}

// rank checks that the i-th input has the rank; not ok where it is not known.
func (c *call) rank(i, rank int) (onnx.Shape, bool, error) {
	s := c.shape(i)
	if s == nil {
		return nil, false, nil
	}
	if len(s) != rank {
		return nil, false, fmt.Errorf("its input %q of shape %v should have %d dimensions", c.n.Input(i), s, rank)
	}
	return s, true, nil
}

// unknown is a shape of the rank with nothing known of its sizes.
func unknown(rank int) onnx.Shape {
	s := make(onnx.Shape, rank)
	for i := range s {
		s[i] = onnx.Dim{Size: -1}
	}
	return s
}

// agree joins two statements of one size.
func agree(a, b onnx.Dim) (onnx.Dim, error) {
	switch {
	case a.Known() && b.Known() && a.Size != b.Size:
		return a, fmt.Errorf("sizes %s and %s should be equal", a, b)
	case a.Known(), !b.Known() && a.Param != "":
		return a, nil
	}
	return b, nil
}

// broadcast gives the shape of elementwise operators as NumPy does (ONNX,
// "Broadcasting"); nil where a rank is not known.
func broadcast(shapes ...onnx.Shape) (onnx.Shape, error) {
	rank := 0
	for _, s := range shapes {
		if s == nil {
			return nil, nil
		}
		rank = max(rank, len(s))
	}
	out := make(onnx.Shape, rank)
	for i := range out {
		out[i] = onnx.Dim{Size: 1}
	}
	for _, s := range shapes {
		for i, d := range s {
			at := &out[rank-len(s)+i]
			var ok bool
			if *at, ok = broadcastDim(*at, d); !ok {
				return nil, fmt.Errorf("shapes %v do not broadcast together", shapes)
			}
		}
	}
	return out, nil
}

func broadcastDim(a, b onnx.Dim) (onnx.Dim, bool) {
	switch {
	case a.Size == 1:
		return b, true
	case b.Size == 1 || a.Equal(b):
		return a, true
	case a.Known() && b.Known():
		return a, false
	case a.Known(): // b is 1 or a
		return a, true
	case b.Known():
		return b, true
	}
	return onnx.Dim{Size: -1}, true
}

// joined puts parts of shapes together; no dimensions at all are a scalar's.
func joined(parts ...onnx.Shape) onnx.Shape {
	return append(onnx.Shape{}, slices.Concat(parts...)...)
}
