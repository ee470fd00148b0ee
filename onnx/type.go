package onnx

import (
	"slices"
	"strconv"
	"strings"
)

// Dim is one dimension of a shape: a size, or a name for a size known only when
// the model runs, or neither.
type Dim struct {
	Size  int64  // -1 where it is not known
	Param string // such as "batch"; equal names stand for equal sizes
}

// Known reports whether the dimension has a fixed size.
func (d Dim) Known() bool { return d.Size >= 0 }

// Equal reports whether the two are certain to be the same size.
func (d Dim) Equal(e Dim) bool {
	if d.Known() || e.Known() {
		return d.Size == e.Size
	}
	return d.Param != "" && d.Param == e.Param
}

func (d Dim) String() string {
	switch {
	case d.Known():
		return strconv.FormatInt(d.Size, 10)
	case d.Param != "":
		return d.Param
	}
	return "?"
}

// Shape is a list of dimensions. A nil Shape has an unknown rank; the shape of a
// scalar is empty but not nil.
type Shape []Dim

// Dims makes a Shape. A dimension is an int or int64 (negative for unknown) or a
// string, its name.
func Dims(dims ...any) Shape {
	s := make(Shape, len(dims))
	for i, d := range dims {
		switch d := d.(type) {
		case int:
			s[i] = sized(int64(d))
		case int64:
			s[i] = sized(d)
		case string:
			s[i] = Dim{Size: -1, Param: d}
		case Dim:
			s[i] = d
		default:
			panic("onnx: a dimension is an int or a name")
		}
	}
	return s
}

// Fixed makes a Shape of known sizes.
func Fixed(sizes ...int64) Shape {
	s := make(Shape, len(sizes))
	for i, n := range sizes {
		s[i] = sized(n)
	}
	return s
}

func sized(n int64) Dim {
	if n < 0 {
		return Dim{Size: -1}
	}
	return Dim{Size: n}
}

// Sizes gives the dimensions as numbers, -1 where unknown, and whether all are known.
func (s Shape) Sizes() (sizes []int64, fixed bool) {
	if s == nil {
		return nil, false
	}
	fixed = true
	sizes = make([]int64, len(s))
	for i, d := range s {
		sizes[i] = d.Size
		fixed = fixed && d.Known()
	}
	return sizes, fixed
}

// Equal reports whether the two shapes are certain to be the same.
func (s Shape) Equal(t Shape) bool {
	return s != nil && t != nil && slices.EqualFunc(s, t, Dim.Equal)
}

func (s Shape) String() string {
	if s == nil {
		return "[...]"
	}
	parts := make([]string, len(s))
	for i, d := range s {
		parts[i] = d.String()
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// Kind tells the sorts of values that ONNX knows.
type Kind uint8

// The kinds of values.
const (
	KindUnknown Kind = iota
	KindTensor
	KindSequence
	KindMap
	KindOptional
	KindSparseTensor
)

// Type is the type of a value.
type Type struct {
	Kind  Kind
	Elem  DataType // of a tensor or sparse tensor; of a map's keys
	Shape Shape    // of a tensor or sparse tensor
	Of    *Type    // of a sequence's or optional's content, of a map's values
}

// TensorOf is the type of tensors of the given elements and shape.
func TensorOf(elem DataType, shape Shape) Type {
	return Type{Kind: KindTensor, Elem: elem, Shape: shape}
}

// of is the type of the content, unknown where none is given.
func (t Type) of() Type {
	if t.Of == nil {
		return Type{}
	}
	return *t.Of
}

func (t Type) String() string {
	of := t.of()
	switch t.Kind {
	case KindTensor:
		return t.Elem.String() + t.Shape.String()
	case KindSparseTensor:
		return "sparse " + t.Elem.String() + t.Shape.String()
	case KindSequence:
		return "sequence of " + of.String()
	case KindOptional:
		return "optional " + of.String()
	case KindMap:
		return "map of " + t.Elem.String() + " to " + of.String()
	}
	return "unknown type"
}
