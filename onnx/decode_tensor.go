package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/onnx/internal/pb"
)

// Limits on single tensors. Nothing that a model computes with comes near them;
// a file of a few bytes can claim them.
const (
	maxElements   = 1 << 34
	maxRank       = 64
	maxDenseBytes = 64 << 20 // of a model's sparse initializers, made dense
)

// tensor reads a tensor and checks that its content fills its shape.
func (d *decoder) tensor(t *pb.Tensor) (*Tensor, error) {
	out := &Tensor{Name: t.Name, Type: DataType(t.DataType), Shape: t.Dims, Doc: t.DocString}
	if out.Shape == nil {
		out.Shape = []int64{}
	}
	if !out.Type.Valid() {
		return nil, fmt.Errorf("%s is not an element type that ONNX defines", out.Type)
	}
	n, err := elements(t.Dims)
	if err != nil {
		return nil, err
	}
	if t.DataLocation == 1 {
		if out.Type == String {
			return nil, errors.New("strings cannot stand in another file")
		}
		out.external, err = d.files.locate(t.ExternalData, out.Type.ByteSize(n))
		return out, err
	}
	if out.Type == String {
		if int64(len(t.StringData)) != n {
			return nil, fmt.Errorf("shape %v wants %d strings, it has %d", t.Dims, n, len(t.StringData))
		}
		out.strings = texts(t.StringData)
		return out, nil
	}
	if len(t.RawData) == 8 {
		c := d.contents[binary.LittleEndian.Uint64(t.RawData)]
		if out.raw, err = c.bytes(out.Type, n); err != nil {
			return nil, fmt.Errorf("shape %v: %w", t.Dims, err)
		}
	}
	if want := out.Type.ByteSize(n); int64(len(out.raw)) != want {
		return nil, fmt.Errorf("shape %v of %s wants %d bytes, it has %d", t.Dims, out.Type, want, len(out.raw))
	}
	return out, nil
}

// elements counts the elements of a shape and refuses absurd ones.
func elements(shape []int64) (int64, error) {
	if len(shape) > maxRank {
		return 0, fmt.Errorf("it has %d dimensions; %d are the most that are supported", len(shape), maxRank)
	}
	n, ok := Count(shape)
	switch {
	case !ok:
		return 0, fmt.Errorf("shape %v has a negative or overflowing size", shape)
	case n > maxElements:
		return 0, fmt.Errorf("shape %v has %d elements; %d are the most that are supported", shape, n, int64(maxElements))
	}
	return n, nil
}

// bytes gives the content of n elements of type t in little-endian form. It makes
// nothing larger than the shape wants, and that only once the elements are there.
func (c *content) bytes(t DataType, n int64) ([]byte, error) {
	if c.typed == nil {
		return normalBools(t, c.raw), nil
	}
	if len(c.raw) > 0 {
		return nil, errors.New("it has raw and typed content")
	}
	switch t {
	case Float32, Complex64:
		return c.field(fieldFloats), nil
	case Float64, Complex128:
		return c.field(fieldDoubles), nil
	case Int64:
		return unpack(c.field(fieldInt64s), n, func(v uint64) int64 { return int64(v) })
	case Uint64:
		return unpack(c.field(fieldUint64s), n, func(v uint64) uint64 { return v })
	case Uint32:
		return unpack(c.field(fieldUint64s), n, func(v uint64) uint32 { return uint32(min(v, math.MaxUint32)) })
	case Int32:
		return unpack(c.field(fieldInt32s), n, func(v uint64) int32 { return int32(v) })
	case Int16, Uint16, Float16, BFloat16:
		return unpack(c.field(fieldInt32s), n, func(v uint64) uint16 { return uint16(v) })
	}
	raw, err := unpack(c.field(fieldInt32s), t.ByteSize(n), func(v uint64) uint8 { return uint8(v) }) // types below a byte come packed
	return normalBools(t, raw), err
}

// unpack turns n packed varints into the memory of n elements.
func unpack[T Element](packed []byte, n int64, convert func(uint64) T) ([]byte, error) {
	if n > int64(len(packed)) { // a varint takes a byte at least
		return nil, fmt.Errorf("it wants %d elements, it has fewer", n)
	}
	out := make([]T, 0, n)
	if err := varints(packed, n, func(v uint64) { out = append(out, convert(v)) }); err != nil {
		return nil, fmt.Errorf("it wants %d elements: %w", n, err)
	}
	return asBytes(out), nil
}

// normalBools makes every true of bool content the byte 1. Go, like C++, takes no
// other byte for a bool.
func normalBools(t DataType, raw []byte) []byte {
	if t != Bool || !slices.ContainsFunc(raw, func(b byte) bool { return b > 1 }) {
		return raw
	}
	out := make([]byte, len(raw))
	for i, b := range raw {
		out[i] = min(b, 1)
	}
	return out
}

func (d *decoder) sparse(s *pb.SparseTensor) (*SparseTensor, error) {
	if s.Values == nil || s.Indices == nil {
		return nil, errors.New("a sparse tensor without values or indices")
	}
	values, err := d.tensor(s.Values)
	if err != nil {
		return nil, err
	}
	indices, err := d.tensor(s.Indices)
	if err != nil {
		return nil, err
	}
	if _, err := elements(s.Dims); err != nil {
		return nil, err
	}
	return &SparseTensor{Values: values, Indices: indices, Shape: s.Dims}, nil
}

// sparseInitializer reads a sparse weight as a dense one: nothing else in a graph
// tells the two apart. What a model's sparse weights take in memory is limited, for
// a few bytes can stand for any number of zeros.
func (d *decoder) sparseInitializer(s *pb.SparseTensor) (*Tensor, error) {
	sparse, err := d.sparse(s)
	if err != nil {
		return nil, err
	}
	n, _ := Count(sparse.Shape)
	if d.dense += sparse.Values.Type.ByteSize(n); d.dense > maxDenseBytes {
		return nil, fmt.Errorf("made dense, the model's sparse initializers take more than %d MB: store it densely", maxDenseBytes>>20)
	}
	dense, err := sparse.Dense()
	if err != nil {
		return nil, err
	}
	return dense.Renamed(s.Values.Name), nil
}

// Dense gives the tensor with its zeros written out. Values must have a type of at
// least a byte; Indices are int64, either linear or a row of coordinates each.
func (s *SparseTensor) Dense() (*Tensor, error) {
	n, err := elements(s.Shape)
	if err != nil {
		return nil, err
	}
	size := s.Values.Type.ByteSize(1)
	if s.Values.Type == String || s.Values.Type.ByteSize(2) != 2*size {
		return nil, fmt.Errorf("a sparse tensor of %s is not supported: store it densely", s.Values.Type)
	}
	places, err := s.places()
	if err != nil {
		return nil, err
	}
	values, err := s.Values.Bytes()
	if err != nil {
		return nil, err
	}
	raw := make([]byte, s.Values.Type.ByteSize(n))
	for i, place := range places {
		if place < 0 || place >= n {
			return nil, fmt.Errorf("sparse value %d has index %d outside shape %v", i, place, s.Shape)
		}
		copy(raw[place*size:], values[int64(i)*size:][:size])
	}
	return &Tensor{Name: s.Values.Name, Type: s.Values.Type, Shape: s.Shape, raw: raw}, nil
}

// places gives the linear index of each value.
func (s *SparseTensor) places() ([]int64, error) {
	if s.Indices.Type != Int64 {
		return nil, fmt.Errorf("sparse indices are %s, not int64", s.Indices.Type)
	}
	indices, err := s.Indices.Int64s()
	if err != nil {
		return nil, err
	}
	count, rank := s.Values.Len(), int64(len(s.Shape))
	switch {
	case slices.Equal(s.Indices.Shape, []int64{count}):
		return indices, nil
	case !slices.Equal(s.Indices.Shape, []int64{count, rank}):
		return nil, fmt.Errorf("sparse indices have shape %v for %d values of a tensor of rank %d", s.Indices.Shape, count, rank)
	}
	places := make([]int64, count)
	for i := range places {
		for axis, size := range s.Shape {
			at := indices[i*len(s.Shape)+axis]
			if at < 0 || at >= size {
				return nil, fmt.Errorf("sparse value %d has index %d on axis %d outside shape %v", i, at, axis, s.Shape)
			}
			places[i] = places[i]*size + at
		}
	}
	return places, nil
}
