package ort

import (
	"fmt"
	"unsafe"

	"assay/onnx"
)

// Tensor is typed memory that models read and write: Go memory, which ONNX Runtime
// works on without copying. Its content may be changed between runs, not during one.
type Tensor struct {
	Type  onnx.DataType
	Shape []int64

	raw     []byte   // the content, row-major
	strings []string // for onnx.String
}

// NewTensor makes a tensor over data without copying it. Shape's product must be
// the number of elements; without a shape the tensor is a vector. An empty shape
// that is not nil makes a scalar.
func NewTensor[T onnx.Element](data []T, shape ...int64) *Tensor {
	shape = shapeFor(len(data), shape)
	return &Tensor{Type: onnx.TypeOf[T](), Shape: shape, raw: bytesOf(data)}
}

// NewStrings makes a tensor of strings. The runtime keeps strings in its own
// memory, so these are copied at every run.
func NewStrings(data []string, shape ...int64) *Tensor {
	return &Tensor{Type: onnx.String, Shape: shapeFor(len(data), shape), strings: data}
}

// NewRaw makes a tensor of any element type of fixed size over its bytes, without
// copying them: the way to float16, bfloat16, the 8-bit floats and packed types.
func NewRaw(t onnx.DataType, raw []byte, shape ...int64) (*Tensor, error) {
	n, ok := onnx.Count(shape)
	if !ok || !t.Valid() || t == onnx.String || t.ByteSize(n) != int64(len(raw)) {
		return nil, fmt.Errorf("%d bytes do not fill a tensor of %s%v", len(raw), t, shape)
	}
	return &Tensor{Type: t, Shape: append([]int64{}, shape...), raw: raw}, nil
}

// Empty makes a tensor with new memory, zeroed.
func Empty(t onnx.DataType, shape ...int64) (*Tensor, error) {
	n, ok := onnx.Count(shape)
	if !ok || !t.Valid() {
		return nil, fmt.Errorf("a tensor of %s%v cannot be made", t, shape)
	}
	if t == onnx.String {
		return NewStrings(make([]string, n), append([]int64{}, shape...)...), nil
	}
	// Memory of 64-bit words, so that it is aligned for elements of any type.
	size := t.ByteSize(n)
	words := make([]uint64, (size+7)/8)
	return &Tensor{Type: t, Shape: append([]int64{}, shape...), raw: bytesOf(words)[:size]}, nil
}

// FromONNX makes a tensor over a constant's content, for reading only.
func FromONNX(t *onnx.Tensor) (*Tensor, error) {
	if t.Type == onnx.String {
		return NewStrings(t.Strings(), append([]int64{}, t.Shape...)...), nil
	}
	raw, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	return NewRaw(t.Type, raw, t.Shape...)
}

// ONNX gives the tensor as a constant that shares its memory.
func (t *Tensor) ONNX(name string) (*onnx.Tensor, error) {
	if t.Type == onnx.String {
		return onnx.NewStringTensor(name, t.strings, append([]int64{}, t.Shape...)...), nil
	}
	return onnx.NewRawTensor(name, t.Type, t.raw, append([]int64{}, t.Shape...)...)
}

// Data gives the tensor's elements, not a copy of them. T must be the Go type of
// the elements, or uint16 for the bits of float16 and bfloat16; it panics otherwise.
func Data[T onnx.Element](t *Tensor) []T {
	want := onnx.TypeOf[T]()
	if t.Type != want && !(want == onnx.Uint16 && (t.Type == onnx.Float16 || t.Type == onnx.BFloat16)) {
		panic(fmt.Sprintf("ort: a tensor of %s has no elements of %s", t.Type, want))
	}
	var zero T
	n := len(t.raw) / int(unsafe.Sizeof(zero))
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(t.raw))), n)
}

// Bytes gives the tensor's memory, nil for strings.
func (t *Tensor) Bytes() []byte { return t.raw }

// Strings gives the content of a tensor of strings.
func (t *Tensor) Strings() []string { return t.strings }

// Len is the tensor's number of elements.
func (t *Tensor) Len() int64 {
	n, _ := onnx.Count(t.Shape)
	return n
}

// String tells the tensor's type and shape, for messages.
func (t *Tensor) String() string { return fmt.Sprintf("%s%v", t.Type, t.Shape) }

func shapeFor(n int, shape []int64) []int64 {
	if shape == nil {
		return []int64{int64(n)}
	}
	if count, ok := onnx.Count(shape); !ok || count != int64(n) {
		panic(fmt.Sprintf("ort: %d values do not fill shape %v", n, shape))
	}
	return append([]int64{}, shape...)
}

func bytesOf[T onnx.Element](data []T) []byte {
	if len(data) == 0 {
		return nil
	}
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), len(data)*int(unsafe.Sizeof(zero)))
}
