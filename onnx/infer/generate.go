package infer

import (
	"errors"
	"fmt"
	"math"

	"assay/onnx"
)

func constant(c *call) error {
	n := c.n
	var t *onnx.Tensor
	switch {
	case n.Tensor("value") != nil:
		t = n.Tensor("value")
	case n.Has("value_int"):
		t = onnx.Scalar("", n.Int("value_int", 0))
	case n.Has("value_ints"):
		t = onnx.NewTensor("", n.Ints("value_ints"))
	case n.Has("value_float"):
		t = onnx.Scalar("", n.Float("value_float", 0))
	case n.Has("value_floats"):
		t = onnx.NewTensor("", n.Floats("value_floats"))
	case n.Has("value_string"):
		t = onnx.NewStringTensor("", []string{n.Text("value_string", "")}, []int64{}...)
		t.Shape = []int64{}
	case n.Has("value_strings"):
		t = onnx.NewStringTensor("", n.Texts("value_strings"))
	case n.Has("sparse_value"):
		s, _ := n.Attrs["sparse_value"].(*onnx.SparseTensor)
		if s == nil {
			return errors.New("its sparse_value is not a sparse tensor")
		}
		c.typed(0, onnx.Type{Kind: onnx.KindSparseTensor, Elem: s.Values.Type, Shape: onnx.Fixed(s.Shape...)})
		return nil
	default:
		return errors.New("it has no value")
	}
	for i := range min(len(c.outs), 1) {
		c.outs[i] = value{typ: onnx.TensorOf(t.Type, onnx.Fixed(t.Shape...)), tensor: t}
	}
	return nil
}

func constantOfShape(c *call) error {
	fill := c.n.Tensor("value")
	if fill == nil {
		fill = onnx.Scalar("", float32(0))
	}
	if fill.Len() != 1 {
		return fmt.Errorf("its value has %d elements, not one", fill.Len())
	}
	list, ok := c.ints(0)
	if !ok {
		c.tensor(0, fill.Type, nil)
		return nil
	}
	shape, err := shaped(list)
	if err != nil {
		return err
	}
	c.tensor(0, fill.Type, shape)
	if n, ok := fixedCount(shape); ok {
		if one := contentOf(fill); one != nil {
			c.content(0, one.take(make([]int, n)))
		}
	}
	return nil
}

// rangeOf follows Range: max(ceil((limit - start) / delta), 0) elements.
func rangeOf(c *call) error {
	elem := c.elem(0)
	c.tensor(0, elem, unknown(1))
	start, limit, delta := c.scalar(0), c.scalar(1), c.scalar(2)
	if a, b, d := c.in(0).known(), c.in(1).known(), c.in(2).known(); a != nil && b != nil && d != nil &&
		len(a.floats) == 1 && len(b.floats) == 1 && len(d.floats) == 1 {
		return c.floatRange(a.floats[0], b.floats[0], d.floats[0])
	}
	if same(delta, number(0)) {
		return errors.New("its step is 0")
	}
	if !delta.known {
		return nil
	}
	span, err := c.sizes().sub(limit, start)
	if err != nil {
		return err
	}
	if !span.known && delta.n > 0 && c.sizes().natural(span) {
		n, err := c.sizes().divUp(span, delta)
		c.tensor(0, elem, onnx.Shape{n.dim()})
		return err
	}
	if !start.known || !limit.known {
		return nil
	}
	if delta.n == math.MinInt64 || span.n == math.MinInt64 {
		return errOverflow
	}
	n := max(-floorDiv(-span.n, delta.n), 0)
	c.tensor(0, elem, onnx.Fixed(n))
	if n > maxContent {
		return nil
	}
	list := make([]integer, n)
	for i := range list {
		list[i] = number(start.n + int64(i)*delta.n)
	}
	c.content(0, &content{ints: list})
	return nil
}

func (c *call) floatRange(start, limit, delta float64) error {
	size := math.Max(math.Ceil((limit-start)/delta), 0)
	n := truncated(size)
	if !n.known {
		return fmt.Errorf("from %g to %g in steps of %g is no range", start, limit, delta)
	}
	c.tensor(0, c.elem(0), onnx.Fixed(n.n))
	if n.n > maxContent {
		return nil
	}
	list := make([]float64, n.n)
	for i := range list {
		list[i] = rounded(start+float64(i)*delta, c.elem(0))
	}
	c.content(0, &content{floats: list})
	return nil
}

// typeAttr is an element type stated by an attribute, or otherwise.
func (c *call) typeAttr(name string, otherwise onnx.DataType) onnx.DataType {
	return onnx.DataType(c.n.Int(name, int64(otherwise)))
}

// likeOf has the shape of the input, and the element type of the attribute dtype or
// else of the input.
func likeOf(c *call) error {
	c.tensor(0, c.typeAttr("dtype", c.elem(0)), c.shape(0))
	return nil
}

// random has a shape by attribute.
func random(c *call) error {
	list := []integer{}
	for _, n := range c.n.Ints("shape") {
		list = append(list, number(n))
	}
	shape, err := shaped(list)
	c.tensor(0, c.typeAttr("dtype", onnx.Float32), shape)
	return err
}

func multinomial(c *call) error {
	shape := unknown(2)
	if in := c.shape(0); len(in) > 0 {
		shape[0] = in[0]
	}
	shape[1].Size = c.n.Int("sample_size", 1)
	c.tensor(0, c.typeAttr("dtype", onnx.Int32), shape)
	return nil
}

// window is a vector of a stated length.
func window(c *call) error {
	n := c.scalar(0)
	if n.known && n.n < 0 {
		return fmt.Errorf("its size is %d", n.n)
	}
	c.tensor(0, c.typeAttr("output_datatype", onnx.Float32), onnx.Shape{n.dim()})
	return nil
}

func melWeights(c *call) error {
	bins, length := c.scalar(0), c.scalar(1)
	half, err := c.sizes().div(length, number(2))
	if err != nil {
		return err
	}
	if half, err = c.sizes().add(half, number(1)); err != nil {
		return err
	}
	c.tensor(0, c.typeAttr("output_datatype", onnx.Float32), onnx.Shape{half.dim(), bins.dim()})
	return nil
}
