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
		return contentOf(v.tensor)
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

// fixedCount is the number of elements of a shape that is known and small.
func fixedCount(s onnx.Shape) (int, bool) {
	sizes, fixed := s.Sizes()
	n, ok := onnx.Count(sizes)
	return int(n), fixed && ok && n <= maxContent
}

// spread gives, for each element of out, the index of the element of in that
// broadcasting puts there. Both shapes are known.
func spread(in, out onnx.Shape) []int {
	total, _ := fixedCount(out)
	index := make([]int, total)
	stride, block := 1, 1
	for d := len(out) - 1; d >= 0; d-- {
		size := int(out[d].Size)
		if k := d - (len(out) - len(in)); k >= 0 {
			if in[k].Size != 1 {
				for i := range index {
					index[i] += i / block % size * stride
				}
			}
			stride *= int(in[k].Size)
		}
		block *= max(size, 1)
	}
	return index
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
