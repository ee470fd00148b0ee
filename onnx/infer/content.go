package infer

import (
	"math"

	"assay/onnx"
)

// content is what is known of the elements of a small tensor, row-major: integers
// and truth values (0 and 1) one by one, floating-point numbers all or none.
type content struct {
	ints   []integer
	floats []float64
}

// known gives the content of a value, read from its tensor where that is small.
func (v *value) known() *content {
	if v.content == nil && v.tensor != nil && v.tensor.Len() <= maxContent {
		v.content = contentOf(v.tensor)
	}
	return v.content
}

func contentOf(t *onnx.Tensor) *content {
	switch {
	case t.Type == onnx.Float32 || t.Type == onnx.Float64:
		if floats, err := t.Float64s(); err == nil {
			return &content{floats: floats}
		}
	case isInt(t.Type):
		ints, err := t.Int64s()
		if err != nil {
			return nil
		}
		c := &content{ints: make([]integer, len(ints))}
		for i, n := range ints {
			c.ints[i] = number(n)
		}
		return c
	}
	return nil
}

// isInt reports whether contents of type t are followed as integers. Uint64 is left
// out: its numbers need not fit.
func isInt(t onnx.DataType) bool {
	switch t {
	case onnx.Int8, onnx.Int16, onnx.Int32, onnx.Int64, onnx.Uint8, onnx.Uint16, onnx.Uint32, onnx.Bool:
		return true
	}
	return false
}

// tensor makes a constant of the content, nil where not all is known.
func (c *content) tensor(name string, typ onnx.Type) *onnx.Tensor {
	sizes, fixed := typ.Shape.Sizes()
	if n, ok := onnx.Count(sizes); !fixed || !ok || n != int64(c.len()) {
		return nil
	}
	floats := c.floats
	if floats == nil {
		ints := make([]int64, len(c.ints))
		floats = make([]float64, len(c.ints))
		for i, x := range c.ints {
			if !x.known {
				return nil
			}
			ints[i], floats[i] = x.n, float64(x.n)
		}
		if typ.Elem == onnx.Int64 {
			return onnx.NewTensor(name, ints, sizes...)
		}
	}
	t, err := onnx.FromFloat64s(name, typ.Elem, floats, sizes...)
	if err != nil {
		return nil
	}
	return t
}

// fills reports whether the content is that of a tensor of the type.
func (c *content) fills(typ onnx.Type) bool {
	sizes, fixed := typ.Shape.Sizes()
	n, ok := onnx.Count(sizes)
	return fixed && ok && n <= maxContent && n == int64(c.len())
}

func (c *content) len() int { return max(len(c.ints), len(c.floats)) }

// fits reports whether an element type has the number.
func fits(n int64, t onnx.DataType) bool {
	switch t {
	case onnx.Bool:
		return n == 0 || n == 1
	case onnx.Int8:
		return n == int64(int8(n))
	case onnx.Int16:
		return n == int64(int16(n))
	case onnx.Int32:
		return n == int64(int32(n))
	case onnx.Uint8:
		return n == int64(uint8(n))
	case onnx.Uint16:
		return n == int64(uint16(n))
	case onnx.Uint32:
		return n == int64(uint32(n))
	}
	return true
}

// rounded is x as a number of type t holds it.
func rounded(x float64, t onnx.DataType) float64 {
	if t == onnx.Float32 {
		return float64(float32(x))
	}
	return x
}

// truncated is the integer part of x, where int64 has it.
func truncated(x float64) integer {
	if math.IsNaN(x) || x <= -1<<63 || x >= 1<<63 {
		return integer{}
	}
	return number(int64(x))
}
