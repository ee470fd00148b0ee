package infer

import (
	"fmt"
	"slices"

	"assay/onnx"
)

func sequenceOf(t onnx.Type) onnx.Type { return onnx.Type{Kind: onnx.KindSequence, Of: &t} }

// content gives the type within a sequence or optional, the zero Type where it is not known.
func within(t onnx.Type) onnx.Type {
	if t.Of == nil {
		return onnx.Type{}
	}
	return *t.Of
}

// either is the type of a value that has one of two types: what they agree on.
func either(a, b onnx.Type) onnx.Type {
	switch {
	case a.Kind != b.Kind:
		return onnx.Type{}
	case a.Kind == onnx.KindTensor || a.Kind == onnx.KindSparseTensor:
		out := onnx.Type{Kind: a.Kind, Shape: eitherShape(a.Shape, b.Shape)}
		if a.Elem == b.Elem {
			out.Elem = a.Elem
		}
		return out
	}
	of := either(within(a), within(b))
	return onnx.Type{Kind: a.Kind, Elem: a.Elem, Of: &of}
}

func eitherShape(a, b onnx.Shape) onnx.Shape {
	if a == nil || len(a) != len(b) {
		return nil
	}
	out := slices.Clone(a)
	for i, d := range b {
		if !out[i].Equal(d) {
			out[i] = onnx.Dim{Size: -1}
		}
	}
	return out
}

func sequenceConstruct(c *call) error {
	t := c.in(0).typ
	for i := range c.n.Inputs {
		t = either(t, c.in(i).typ)
	}
	c.typed(0, sequenceOf(t))
	return nil
}

func sequenceEmpty(c *call) error {
	c.typed(0, sequenceOf(onnx.TensorOf(c.typeAttr("dtype", onnx.Float32), nil)))
	return nil
}

func sequenceInsert(c *call) error {
	of := within(c.in(0).typ)
	if of.Kind == onnx.KindTensor && of.Shape == nil { // empty so far, or of any shape
		c.typed(0, c.in(0).typ)
		return nil
	}
	c.typed(0, sequenceOf(either(of, c.in(1).typ)))
	return nil
}

func sequenceAt(c *call) error {
	c.typed(0, within(c.in(0).typ))
	return nil
}

func sequenceErase(c *call) error {
	c.typed(0, c.in(0).typ)
	return nil
}

func scalarOf(elem onnx.DataType) rule {
	return func(c *call) error {
		c.tensor(0, elem, onnx.Shape{})
		return nil
	}
}

func concatFromSequence(c *call) error {
	of := within(c.in(0).typ)
	c.tensor(0, of.Elem, nil)
	if of.Shape == nil {
		return nil
	}
	rank := len(of.Shape)
	stack := c.n.Int("new_axis", 0) != 0
	if stack {
		rank++
	}
	axis, err := c.axis("axis", 0, rank)
	if err != nil {
		return err
	}
	out := slices.Clone(of.Shape)
	if stack {
		out = slices.Insert(out, axis, onnx.Dim{Size: -1})
	} else {
		out[axis] = onnx.Dim{Size: -1}
	}
	c.tensor(0, of.Elem, out)
	return nil
}

func splitToSequence(c *call) error {
	in := c.shape(0)
	if in == nil {
		c.typed(0, sequenceOf(onnx.TensorOf(c.elem(0), nil)))
		return nil
	}
	axis, err := c.axis("axis", 0, len(in))
	if err != nil {
		return err
	}
	out := slices.Clone(in)
	lengths, ok := c.numbers(1)
	switch {
	case !c.has(1) && c.n.Int("keepdims", 1) == 0:
		out = slices.Delete(out, axis, axis+1)
	case !c.has(1):
		out[axis] = onnx.Dim{Size: 1}
	case ok && len(lengths) > 0 && lengths[0] > 0 && !slices.ContainsFunc(lengths, func(n int64) bool { return n != lengths[0] }) &&
		(len(c.shape(1)) == 1 || out[axis].Known() && out[axis].Size%lengths[0] == 0):
		out[axis] = onnx.Dim{Size: lengths[0]}
	default:
		out[axis] = onnx.Dim{Size: -1}
	}
	c.typed(0, sequenceOf(onnx.TensorOf(c.elem(0), out)))
	return nil
}

func optional(c *call) error {
	of := c.in(0).typ
	if !c.has(0) {
		of, _ = c.n.Attrs["type"].(onnx.Type)
	}
	c.typed(0, onnx.Type{Kind: onnx.KindOptional, Of: &of})
	return nil
}

func optionalElement(c *call) error {
	t := c.in(0).typ
	if t.Kind == onnx.KindOptional {
		t = within(t)
	}
	c.typed(0, t)
	return nil
}

// sequenceMap applies its body to each element of its sequences.
func sequenceMap(c *call) error {
	body := c.n.Graph("body")
	if body == nil {
		return fmt.Errorf("it has no body")
	}
	args := make([]value, len(body.Inputs))
	for i := range args {
		t := c.in(i).typ
		if t.Kind == onnx.KindSequence {
			t = within(t)
		}
		args[i] = value{typ: t}
	}
	outs, err := c.enter(body, args)
	if err != nil {
		return err
	}
	for i, v := range outs {
		c.typed(i, sequenceOf(v.typ))
	}
	return nil
}
