package onnx

import "fmt"

// DataType is the element type of a tensor, with ONNX's own numbers.
type DataType int32

// The element types of ONNX (IR version 13).
const (
	Undefined DataType = iota
	Float32
	Uint8
	Int8
	Uint16
	Int16
	Int32
	Int64
	String
	Bool
	Float16
	Float64
	Uint32
	Uint64
	Complex64
	Complex128
	BFloat16
	Float8E4M3FN
	Float8E4M3FNUZ
	Float8E5M2
	Float8E5M2FNUZ
	Uint4
	Int4
	Float4E2M1
	Float8E8M0
	Uint2
	Int2
)

var dataTypes = [...]struct {
	name string
	bits int64 // of one element; 0 where elements have no fixed size
}{
	Undefined: {"undefined", 0}, Float32: {"float32", 32}, Uint8: {"uint8", 8}, Int8: {"int8", 8},
	Uint16: {"uint16", 16}, Int16: {"int16", 16}, Int32: {"int32", 32}, Int64: {"int64", 64},
	String: {"string", 0}, Bool: {"bool", 8}, Float16: {"float16", 16}, Float64: {"float64", 64},
	Uint32: {"uint32", 32}, Uint64: {"uint64", 64}, Complex64: {"complex64", 64}, Complex128: {"complex128", 128},
	BFloat16: {"bfloat16", 16}, Float8E4M3FN: {"float8e4m3fn", 8}, Float8E4M3FNUZ: {"float8e4m3fnuz", 8},
	Float8E5M2: {"float8e5m2", 8}, Float8E5M2FNUZ: {"float8e5m2fnuz", 8}, Uint4: {"uint4", 4}, Int4: {"int4", 4},
	Float4E2M1: {"float4e2m1", 4}, Float8E8M0: {"float8e8m0", 8}, Uint2: {"uint2", 2}, Int2: {"int2", 2},
}

// Valid reports whether t is an element type that ONNX defines.
func (t DataType) Valid() bool { return t > Undefined && int(t) < len(dataTypes) }

// IsFloat reports whether t is a floating-point type, one along which gradients flow.
func (t DataType) IsFloat() bool {
	switch t {
	case Float16, BFloat16, Float32, Float64:
		return true
	}
	return false
}

func (t DataType) String() string {
	if t < 0 || int(t) >= len(dataTypes) {
		return fmt.Sprintf("data type %d", int32(t))
	}
	return dataTypes[t].name
}

// bits is the size of one element, 0 where elements have no fixed size.
func (t DataType) bits() int64 {
	if !t.Valid() {
		return 0
	}
	return dataTypes[t].bits
}

// ByteSize gives the bytes that n elements take, packed as ONNX packs types of
// less than a byte. Strings have no fixed size and give 0.
func (t DataType) ByteSize(n int64) int64 {
	bits := t.bits()
	if bits >= 8 {
		return n * (bits / 8)
	}
	return (n*bits + 7) / 8
}
