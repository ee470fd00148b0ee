package onnx

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"unsafe"
)

// Tensor is a constant: a weight or a tensor attribute. Its content is not
// changed once it is made, so that models can share it.
type Tensor struct {
	Name  string
	Type  DataType
	Shape []int64
	Doc   string

	raw      []byte    // little-endian, row-major; often a view of the file
	strings  []string  // for Type String
	external *external // where the content stands in another file
}

// SparseTensor is a tensor given by its non-zero values and their places: row i of
// Indices (or the i-th linear index) is the place of the i-th of Values.
type SparseTensor struct {
	Values, Indices *Tensor
	Shape           []int64
}

// Element is a Go type that has the memory layout of a tensor's elements.
type Element interface {
	integer | float32 | float64 | bool
}

type integer interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64
}

// TypeOf gives the tensor element type of a Go type. Float16 and BFloat16 tensors
// have elements of uint16 too, their bits, so uint16 does not lead back to them.
func TypeOf[T Element]() DataType {
	var zero T
	switch any(zero).(type) {
	case float32:
		return Float32
	case float64:
		return Float64
	case int8:
		return Int8
	case int16:
		return Int16
	case int32:
		return Int32
	case int64:
		return Int64
	case uint8:
		return Uint8
	case uint16:
		return Uint16
	case uint32:
		return Uint32
	case uint64:
		return Uint64
	}
	return Bool
}

// NewTensor makes a tensor over values without copying them. Shape's product must
// be their number; without a shape the tensor is a vector.
func NewTensor[T Element](name string, values []T, shape ...int64) *Tensor {
	if shape == nil {
		shape = []int64{int64(len(values))}
	}
	if n, ok := Count(shape); !ok || n != int64(len(values)) {
		panic(fmt.Sprintf("onnx: %d values do not fill shape %v", len(values), shape))
	}
	return &Tensor{Name: name, Type: TypeOf[T](), Shape: shape, raw: asBytes(values)}
}

// Scalar makes a tensor of rank 0.
func Scalar[T Element](name string, value T) *Tensor {
	return &Tensor{Name: name, Type: TypeOf[T](), Shape: []int64{}, raw: asBytes([]T{value})}
}

// NewRawTensor makes a tensor of any fixed-size type over its little-endian bytes,
// packed as ONNX packs types of less than a byte. Without a shape it is a scalar.
func NewRawTensor(name string, t DataType, raw []byte, shape ...int64) (*Tensor, error) {
	n, ok := Count(shape)
	if !ok || !t.Valid() || t == String || t.ByteSize(n) != int64(len(raw)) {
		return nil, fmt.Errorf("tensor %q: %d bytes do not fill %s%v", name, len(raw), t, shape)
	}
	if shape == nil {
		shape = []int64{}
	}
	return &Tensor{Name: name, Type: t, Shape: shape, raw: raw}, nil
}

// NewStringTensor makes a tensor of strings.
func NewStringTensor(name string, values []string, shape ...int64) *Tensor {
	if shape == nil {
		shape = []int64{int64(len(values))}
	}
	return &Tensor{Name: name, Type: String, Shape: shape, strings: values}
}

// Renamed gives a tensor with the same content under another name.
func (t *Tensor) Renamed(name string) *Tensor {
	c := *t
	c.Name = name
	return &c
}

// Count gives the number of elements of a shape; not ok where a dimension is
// negative or the product overflows.
func Count(shape []int64) (n int64, ok bool) {
	n = 1
	zero := false
	for _, d := range shape {
		if d < 0 {
			return 0, false
		}
		if d == 0 {
			zero = true
			continue
		}
		hi, lo := bits.Mul64(uint64(n), uint64(d))
		if hi != 0 || lo > math.MaxInt64/16 { // 16: the bytes of the largest element
			return 0, false
		}
		n = int64(lo)
	}
	if zero {
		return 0, true
	}
	return n, true
}

// Len is the tensor's number of elements.
func (t *Tensor) Len() int64 {
	n, _ := Count(t.Shape)
	return n
}

// Bytes gives the tensor's content, little-endian and row-major, as a view where
// it is in memory; content in another file is read then. It is not for writing.
func (t *Tensor) Bytes() ([]byte, error) {
	if t.Type == String {
		return nil, fmt.Errorf("tensor %q holds strings, which have no bytes of fixed size", t.Name)
	}
	if t.external != nil {
		return t.external.read(t)
	}
	return t.raw, nil
}

// Strings gives the content of a string tensor.
func (t *Tensor) Strings() []string { return t.strings }

// View gives the tensor's elements without copying them. T must be the Go type of
// the tensor's elements, or uint16 for the bits of Float16 and BFloat16.
func View[T Element](t *Tensor) ([]T, error) {
	want := TypeOf[T]()
	if t.Type != want && !(want == Uint16 && (t.Type == Float16 || t.Type == BFloat16)) {
		return nil, fmt.Errorf("tensor %q holds %s, not %s", t.Name, t.Type, want)
	}
	raw, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	return fromBytes[T](raw), nil
}

// Int64s gives the elements of an integer tensor as int64, in a new slice.
func (t *Tensor) Int64s() ([]int64, error) {
	raw, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	switch t.Type {
	case Int64:
		return append([]int64{}, fromBytes[int64](raw)...), nil
	case Int32:
		return convert[int32, int64](raw), nil
	case Int16:
		return convert[int16, int64](raw), nil
	case Int8:
		return convert[int8, int64](raw), nil
	case Uint8:
		return convert[uint8, int64](raw), nil
	case Uint16:
		return convert[uint16, int64](raw), nil
	case Uint32:
		return convert[uint32, int64](raw), nil
	case Uint64:
		if i := slices.IndexFunc(fromBytes[uint64](raw), func(v uint64) bool { return v > math.MaxInt64 }); i >= 0 {
			return nil, fmt.Errorf("tensor %q: element %d is too large for int64", t.Name, i)
		}
		return convert[uint64, int64](raw), nil
	case Bool:
		return convert[uint8, int64](raw), nil
	case Uint4, Int4, Uint2, Int2:
		return unpackBits(raw, t.Len(), uint(t.Type.bits()), t.Type == Int4 || t.Type == Int2), nil
	}
	return nil, fmt.Errorf("tensor %q holds %s, not integers", t.Name, t.Type)
}

// unpackBits reads n integers of 2 or 4 bits, of which a byte holds the first in
// its lowest bits.
func unpackBits(raw []byte, n int64, bits uint, signed bool) []int64 {
	out := make([]int64, n)
	for i := range out {
		at := uint(i) * bits
		v := int64(raw[at/8]>>(at%8)) & (1<<bits - 1)
		if signed && v>>(bits-1) == 1 {
			v -= 1 << bits
		}
		out[i] = v
	}
	return out
}

// Float64s gives the elements of a number tensor as float64, in a new slice.
func (t *Tensor) Float64s() ([]float64, error) {
	raw, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	switch t.Type {
	case Float32:
		return convert[float32, float64](raw), nil
	case Float64:
		return append([]float64{}, fromBytes[float64](raw)...), nil
	case Uint64:
		return convert[uint64, float64](raw), nil
	case Float16, BFloat16:
		widen := Float16ToFloat32
		if t.Type == BFloat16 {
			widen = BFloat16ToFloat32
		}
		halves := fromBytes[uint16](raw)
		out := make([]float64, len(halves))
		for i, h := range halves {
			out[i] = float64(widen(h))
		}
		return out, nil
	}
	ints, err := t.Int64s()
	if err != nil {
		return nil, fmt.Errorf("tensor %q holds %s, which has no conversion to float64", t.Name, t.Type)
	}
	out := make([]float64, len(ints))
	for i, v := range ints {
		out[i] = float64(v)
	}
	return out, nil
}

// FromFloat64s makes a tensor of type t from numbers. Floating-point types round
// each to the nearest, ties to even; integers take only numbers they can hold, and
// any number but 0 is true.
func FromFloat64s(name string, t DataType, values []float64, shape ...int64) (*Tensor, error) {
	if shape == nil {
		shape = []int64{int64(len(values))}
	}
	if n, ok := Count(shape); !ok || n != int64(len(values)) {
		return nil, fmt.Errorf("tensor %q: %d values do not fill shape %v", name, len(values), shape)
	}
	var raw []byte
	var err error
	switch t {
	case Float32:
		raw = asBytes(mapped(values, func(v float64) float32 { return float32(v) }))
	case Float64:
		raw = asBytes(append([]float64{}, values...))
	case Float16:
		raw = asBytes(mapped(values, Float64ToFloat16))
	case BFloat16:
		raw = asBytes(mapped(values, Float64ToBFloat16))
	case Bool:
		raw = asBytes(mapped(values, func(v float64) bool { return v != 0 }))
	case Int64:
		raw, err = integers[int64](values, math.MinInt64, 1<<63)
	case Int32:
		raw, err = integers[int32](values, math.MinInt32, 1<<31)
	case Int16:
		raw, err = integers[int16](values, math.MinInt16, 1<<15)
	case Int8:
		raw, err = integers[int8](values, math.MinInt8, 1<<7)
	case Uint8:
		raw, err = integers[uint8](values, 0, 1<<8)
	case Uint16:
		raw, err = integers[uint16](values, 0, 1<<16)
	case Uint32:
		raw, err = integers[uint32](values, 0, 1<<32)
	case Uint64:
		raw, err = integers[uint64](values, 0, 1<<64)
	default:
		err = fmt.Errorf("numbers cannot be written as %s", t)
	}
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", name, err)
	}
	return &Tensor{Name: name, Type: t, Shape: shape, raw: raw}, nil
}

// integers converts whole numbers from least up to but not including end.
func integers[T integer](values []float64, least, end float64) ([]byte, error) {
	out := make([]T, len(values))
	for i, v := range values {
		if !(v >= least && v < end && v == math.Trunc(v)) {
			return nil, fmt.Errorf("%v is not a number of %s", v, TypeOf[T]())
		}
		out[i] = T(v)
	}
	return asBytes(out), nil
}

func mapped[S, T any](values []S, f func(S) T) []T {
	out := make([]T, len(values))
	for i, v := range values {
		out[i] = f(v)
	}
	return out
}

func convert[S, T integer | float32 | float64](raw []byte) []T {
	return mapped(fromBytes[S](raw), func(v S) T { return T(v) })
}

// asBytes and fromBytes reinterpret memory. ONNX is little-endian, as is every
// platform ONNX Runtime ships for. A view of a file may be unaligned: the
// processors concerned read such numbers, and Go allows it for types without pointers.
func asBytes[T Element](values []T) []byte {
	if len(values) == 0 {
		return []byte{}
	}
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), len(values)*int(unsafe.Sizeof(zero)))
}

func fromBytes[T Element](raw []byte) []T {
	var zero T
	n := len(raw) / int(unsafe.Sizeof(zero))
	if n == 0 {
		return []T{}
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(raw))), n)
}
