package ort

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	binding "github.com/yalue/onnxruntime_go"

	"assay/onnx"
)

// value makes the runtime's handle of the tensor, which refers to the tensor's
// memory unless it is not shared, and pins that memory.
func (t *Tensor) value(pins *runtime.Pinner) (binding.Value, error) {
	n, ok := onnx.Count(t.Shape)
	switch {
	case !ok || t.Type == onnx.String && n != int64(len(t.strings)) || t.Type != onnx.String && t.Type.ByteSize(n) != int64(len(t.raw)):
		return nil, fmt.Errorf("its content does not fill its shape %v", t.Shape)
	case len(t.Shape) == 0:
		return t.scalar()
	case t.Type == onnx.String:
		return t.text()
	}
	raw := t.raw
	if len(raw) == 0 {
		raw = make([]byte, 1) // the binding wants memory even for no elements
	}
	pins.Pin(&raw[0])
	return binding.NewCustomDataTensor(t.Shape, raw, binding.TensorElementDataType(t.Type))
}

// shared reports whether the runtime works on the tensor's own memory. The binding
// keeps strings and scalars in memory of its own.
func (t *Tensor) shared() bool { return t.Type != onnx.String && len(t.Shape) > 0 }

func (t *Tensor) text() (binding.Value, error) {
	for _, s := range t.strings {
		if strings.ContainsRune(s, 0) {
			return nil, fmt.Errorf("the string %q has a zero byte, which ONNX Runtime cannot be given", s)
		}
	}
	v, err := binding.NewStringTensor(t.Shape)
	if err != nil {
		return nil, err
	}
	if err := v.SetContents(t.strings); err != nil {
		v.Destroy()
		return nil, err
	}
	return v, nil
}

func (t *Tensor) scalar() (binding.Value, error) {
	e := elements[t.Type]
	if e == nil {
		return nil, fmt.Errorf("the binding to ONNX Runtime takes no scalars of %s: use shape [1]", t.Type)
	}
	return e.scalar(t)
}

// read copies into the tensor what the runtime holds in memory of its own.
func (t *Tensor) read(v binding.Value) error {
	if t.shared() {
		return nil
	}
	if v, ok := v.(*binding.StringTensor); ok {
		s, err := v.GetContents()
		copy(t.strings, s)
		return err
	}
	elements[t.Type].read(t, v)
	return nil
}

// tensorOf gives a tensor that the runtime made, over the Go memory into which the
// binding has copied it.
func tensorOf(v binding.Value) (*Tensor, error) {
	if v, ok := v.(*binding.StringTensor); ok {
		s, err := v.GetContents()
		if err != nil {
			return nil, err
		}
		return NewStrings(s, v.GetShape()...), nil
	}
	e := elements[onnx.DataType(v.DataType())]
	if v.GetONNXType() != binding.ONNXTypeTensor || e == nil {
		return nil, errors.New("it is not a tensor: use RunValues")
	}
	return e.tensor(v), nil
}

// elements are the element types that the binding knows as Go types.
var elements = map[onnx.DataType]interface {
	scalar(*Tensor) (binding.Value, error)
	read(*Tensor, binding.Value) // of a scalar
	tensor(binding.Value) *Tensor
}{
	onnx.Float32: element[float32]{}, onnx.Float64: element[float64]{}, onnx.Bool: element[bool]{},
	onnx.Int8: element[int8]{}, onnx.Int16: element[int16]{}, onnx.Int32: element[int32]{}, onnx.Int64: element[int64]{},
	onnx.Uint8: element[uint8]{}, onnx.Uint16: element[uint16]{}, onnx.Uint32: element[uint32]{}, onnx.Uint64: element[uint64]{},
}

type element[T onnx.Element] struct{}

func (element[T]) scalar(t *Tensor) (binding.Value, error) { return binding.NewScalar(Data[T](t)[0]) }

func (element[T]) read(t *Tensor, v binding.Value) {
	Data[T](t)[0] = v.(*binding.Scalar[T]).GetData()
}

func (element[T]) tensor(v binding.Value) *Tensor {
	return NewTensor(v.(*binding.Tensor[T]).GetData(), v.GetShape()...)
}
