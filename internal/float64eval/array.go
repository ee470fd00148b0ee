package float64eval

import (
	"fmt"
	"math"

	"assay/internal/model/ort"
	"assay/onnx"
)

// array is a tensor of numbers for the references. Whole numbers are held as
// float64 too, and say in elem what they are.
type array struct {
	elem  onnx.DataType
	shape []int
	data  []float64
}

func newArray(shape ...int) *array {
	return &array{elem: onnx.Float64, shape: append([]int{}, shape...), data: make([]float64, product(shape))}
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// strides gives, for each dimension of a row-major shape, how far its steps are.
func strides(shape []int) []int {
	s := make([]int, len(shape))
	step := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = step
		step *= shape[i]
	}
	return s
}

// each calls f with every index of a shape, in row-major order, and its number.
func each(shape []int, f func(at []int, i int)) {
	at := make([]int, len(shape))
	for i := range product(shape) {
		f(at, i)
		for d := len(at) - 1; d >= 0; d-- {
			if at[d]++; at[d] < shape[d] {
				break
			}
			at[d] = 0
		}
	}
}

// at reads an element, 0 where the place is outside.
func (a *array) at(index ...int) float64 {
	i := 0
	for d, k := range index {
		if k < 0 || k >= a.shape[d] {
			return 0
		}
		i = i*a.shape[d] + k
	}
	return a.data[i]
}

func (a *array) set(v float64, index ...int) {
	i := 0
	for d, k := range index {
		i = i*a.shape[d] + k
	}
	a.data[i] = v
}

func (a *array) like() *array { return newArray(a.shape...) }

func (a *array) mapped(f func(float64) float64) *array {
	out := a.like()
	for i, v := range a.data {
		out.data[i] = f(v)
	}
	return out
}

// transposed permutes the dimensions.
func (a *array) transposed(perm ...int) *array {
	shape, from := make([]int, len(perm)), strides(a.shape)
	for i, p := range perm {
		shape[i] = a.shape[p]
	}
	out := newArray(shape...)
	each(shape, func(at []int, i int) {
		j := 0
		for d, p := range perm {
			j += at[d] * from[p]
		}
		out.data[i] = a.data[j]
	})
	return out
}

// broadcast combines two arrays by NumPy's rules.
func broadcast(a, b *array, f func(x, y float64) float64) *array {
	rank := max(len(a.shape), len(b.shape))
	shape := make([]int, rank)
	dim := func(x *array, d int) int {
		if d -= rank - len(x.shape); d >= 0 {
			return x.shape[d]
		}
		return 1
	}
	for d := range shape {
		shape[d] = dim(a, d)
		if shape[d] == 1 {
			shape[d] = dim(b, d)
		}
	}
	place := func(x *array, at []int) int {
		i := 0
		for d, k := range at {
			if n := dim(x, d); n > 1 {
				i = i*n + k
			}
		}
		return i
	}
	out := newArray(shape...)
	each(shape, func(at []int, i int) { out.data[i] = f(a.data[place(a, at)], b.data[place(b, at)]) })
	return out
}

func fromValue(v Value) (*array, error) {
	if v == nil {
		return nil, nil
	}
	t, ok := v.(*ort.Tensor)
	if !ok {
		return nil, fmt.Errorf("a %T is not a tensor", v)
	}
	c, err := t.ONNX("")
	if err != nil {
		return nil, err
	}
	data, err := contentOf(c)
	if err != nil {
		return nil, err
	}
	a := &array{elem: t.Type, data: data, shape: make([]int, len(t.Shape))}
	for i, d := range t.Shape {
		a.shape[i] = int(d)
	}
	return a, nil
}

// contentOf gives a tensor's numbers, also those of 8 bits (OCP 8-bit Floating Point
// Specification, 2023, table 1).
func contentOf(t *onnx.Tensor) ([]float64, error) {
	fraction, bias := 0, 0
	switch t.Type {
	case onnx.Float8E4M3FN:
		fraction, bias = 3, 7
	case onnx.Float8E5M2:
		fraction, bias = 2, 15
	default:
		return t.Float64s()
	}
	raw, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(raw))
	for i, b := range raw {
		exponent, rest := int(b&0x7f)>>fraction, float64(int(b)&(1<<fraction-1))
		if exponent > 0 {
			rest += float64(int(1) << fraction)
		}
		out[i] = math.Ldexp(rest, max(exponent, 1)-bias-fraction)
		switch {
		case b&0x7f == 0x7f, t.Type == onnx.Float8E5M2 && b&0x7f > 0x7c:
			out[i] = math.NaN()
		case t.Type == onnx.Float8E5M2 && b&0x7f == 0x7c:
			out[i] = math.Inf(1)
		}
		if b&0x80 != 0 {
			out[i] = -out[i]
		}
	}
	return out, nil
}

func (a *array) value() (Value, error) {
	shape := make([]int64, len(a.shape))
	for i, d := range a.shape {
		shape[i] = int64(d)
	}
	t, err := onnx.FromFloat64s("", a.elem, a.data, shape...)
	if err != nil {
		return nil, err
	}
	return ort.FromONNX(t)
}

// ints gives the content of a vector of whole numbers.
func (a *array) ints() []int {
	out := make([]int, len(a.data))
	for i, v := range a.data {
		out[i] = int(v)
	}
	return out
}
