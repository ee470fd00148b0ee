package ort

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	binding "github.com/yalue/onnxruntime_go"

	"assay/onnx"
)

// RunValues runs the model once on values of any kind: a *Tensor, a sequence as
// []any, a map as map[K]V with K one of string and int64 and V one of string,
// int64, float32 and float64. Values that it gives are copies.
func (s *Session) RunValues(ctx context.Context, inputs ...any) ([]any, error) {
	if len(inputs) != len(s.inputs) {
		return nil, fmt.Errorf("%s wants %d inputs (%q), and %d are given", s.name, len(s.inputs), valueNames(s.inputs), len(inputs))
	}
	c, err := s.newCall()
	if err != nil {
		return nil, err
	}
	defer c.close()
	tensors := make([]*Tensor, len(inputs)) // nil where an input is of another kind
	for i, input := range inputs {
		if t, ok := input.(*Tensor); ok && t != nil {
			tensors[i] = t
			if err := fits(t, s.inputs[i].Type); err != nil {
				return nil, fmt.Errorf("%s: input %q %w", s.name, s.inputs[i].Name, err)
			}
		}
		if c.in[i], err = valueOf(input, &c.pins); err != nil {
			return nil, fmt.Errorf("%s: input %q: %w", s.name, s.inputs[i].Name, err)
		}
	}
	room, outputs := make([]*Tensor, len(s.outputs)), make([]any, len(s.outputs))
	if err := s.makeRoom(room, tensors); err != nil {
		return nil, err
	}
	err = c.run(ctx, room, func(i int, v binding.Value) (err error) {
		outputs[i], err = goValue(v)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, t := range room {
		if t != nil {
			outputs[i] = t
		}
	}
	return outputs, nil
}

// goValue copies a value of the runtime.
func goValue(v binding.Value) (any, error) {
	switch v := v.(type) {
	case *binding.Sequence:
		values, err := v.GetValues()
		if err != nil {
			return nil, err
		}
		out := make([]any, len(values))
		for i, v := range values {
			if out[i], err = goValue(v); err != nil {
				return nil, fmt.Errorf("element %d: %w", i, err)
			}
		}
		return out, nil
	case *binding.Map:
		return goMap(v)
	}
	return tensorOf(v)
}

func goMap(m *binding.Map) (any, error) {
	k, v, err := m.GetKeysAndValues()
	if err != nil {
		return nil, err
	}
	keys, err := tensorOf(k)
	if err != nil {
		return nil, err
	}
	values, err := tensorOf(v)
	if err != nil {
		return nil, err
	}
	switch keys.Type {
	case onnx.String:
		return mapOf(keys.strings, values)
	case onnx.Int64:
		return mapOf(Data[int64](keys), values)
	}
	return nil, fmt.Errorf("its keys are of %s, not string or int64", keys.Type)
}

func mapOf[K comparable](keys []K, values *Tensor) (any, error) {
	switch values.Type {
	case onnx.String:
		return zip(keys, values.strings), nil
	case onnx.Int64:
		return zip(keys, Data[int64](values)), nil
	case onnx.Float32:
		return zip(keys, Data[float32](values)), nil
	case onnx.Float64:
		return zip(keys, Data[float64](values)), nil
	}
	return nil, fmt.Errorf("its values are of %s, not string, int64, float32 or float64", values.Type)
}

func zip[K comparable, V any](keys []K, values []V) map[K]V {
	m := make(map[K]V, len(keys))
	for i, k := range keys {
		m[k] = values[i]
	}
	return m
}

// valueOf makes the runtime's value of a Go value.
func valueOf(x any, pins *runtime.Pinner) (binding.Value, error) {
	switch x := x.(type) {
	case *Tensor:
		if x == nil {
			return nil, errors.New("it is missing")
		}
		return x.value(pins)
	case []any:
		return sequenceOf(x, pins)
	case map[string]string:
		return mapValue(x, NewStrings, NewStrings)
	case map[string]int64:
		return mapValue(x, NewStrings, NewTensor[int64])
	case map[string]float32:
		return mapValue(x, NewStrings, NewTensor[float32])
	case map[string]float64:
		return mapValue(x, NewStrings, NewTensor[float64])
	case map[int64]string:
		return mapValue(x, NewTensor[int64], NewStrings)
	case map[int64]int64:
		return mapValue(x, NewTensor[int64], NewTensor[int64])
	case map[int64]float32:
		return mapValue(x, NewTensor[int64], NewTensor[float32])
	case map[int64]float64:
		return mapValue(x, NewTensor[int64], NewTensor[float64])
	}
	return nil, fmt.Errorf("a %T is not a tensor, sequence or map", x)
}

func sequenceOf(list []any, pins *runtime.Pinner) (_ binding.Value, err error) {
	if len(list) == 0 {
		return nil, errors.New("the binding to ONNX Runtime takes no empty sequences")
	}
	values := make([]binding.Value, len(list))
	defer func() { // the sequence has copies of them
		for _, v := range values {
			destroy(v)
		}
		if r := recover(); r != nil { // the binding's, on a scalar
			err = errors.New("the binding to ONNX Runtime takes no scalars in sequences")
		}
	}()
	for i, x := range list {
		if values[i], err = valueOf(x, pins); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return binding.NewSequence(values)
}

func mapValue[K comparable, V any](m map[K]V, keyTensor func([]K, ...int64) *Tensor, valueTensor func([]V, ...int64) *Tensor) (binding.Value, error) {
	keys, values := make([]K, 0, len(m)), make([]V, 0, len(m))
	for k, v := range m {
		keys, values = append(keys, k), append(values, v)
	}
	var pins runtime.Pinner
	defer pins.Unpin() // the map has copies
	k, err := keyTensor(keys).value(&pins)
	if err != nil {
		return nil, err
	}
	defer k.Destroy()
	v, err := valueTensor(values).value(&pins)
	if err != nil {
		return nil, err
	}
	defer v.Destroy()
	return binding.NewMap(k, v)
}
