package ort

import (
	"context"
	"errors"
	"fmt"

	binding "github.com/yalue/onnxruntime_go"

	"assay/onnx"
)

func names(values []onnx.Value) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v.Name
	}
	return out
}

func (s *Session) checkInputs(inputs []*Tensor) error {
	if len(inputs) != len(s.inputs) {
		return fmt.Errorf("%s wants %d inputs (%q), and %d are given", s.name, len(s.inputs), names(s.inputs), len(inputs))
	}
	for i, t := range inputs {
		if t == nil {
			return fmt.Errorf("%s: input %q is missing", s.name, s.inputs[i].Name)
		}
		if err := fits(t, s.inputs[i].Type); err != nil {
			return fmt.Errorf("%s: input %q %w", s.name, s.inputs[i].Name, err)
		}
	}
	return nil
}

func (s *Session) checkOutputs(outputs []*Tensor) error {
	if len(outputs) != len(s.outputs) {
		return fmt.Errorf("%s has %d outputs (%q), and room for %d is given", s.name, len(s.outputs), names(s.outputs), len(outputs))
	}
	for i, t := range outputs {
		if t == nil {
			continue
		}
		if err := fits(t, s.outputs[i].Type); err != nil {
			return fmt.Errorf("%s: output %q %w", s.name, s.outputs[i].Name, err)
		}
	}
	return nil
}

// fits reports what keeps a tensor from being a value of the stated type.
func fits(t *Tensor, want onnx.Type) error {
	mismatch := fmt.Errorf("is %s, and %s is given", want, t)
	switch want.Kind {
	case onnx.KindUnknown, onnx.KindOptional:
		return nil // the runtime will say
	case onnx.KindTensor:
	default:
		return mismatch
	}
	if want.Elem != onnx.Undefined && t.Type != want.Elem {
		return mismatch
	}
	if want.Shape == nil {
		return nil
	}
	if len(want.Shape) != len(t.Shape) {
		return mismatch
	}
	for i, d := range want.Shape {
		if d.Known() && d.Size != t.Shape[i] {
			return mismatch
		}
	}
	return nil
}

// knownScalar makes the tensor for an output that is stated to be a scalar: the
// binding cannot receive those from the runtime's memory.
func (s *Session) knownScalar(i int) *Tensor {
	t := s.outputs[i].Type
	if t.Kind != onnx.KindTensor || t.Shape == nil || len(t.Shape) > 0 {
		return nil
	}
	scalar, err := Empty(t.Elem)
	if err != nil {
		return nil
	}
	return scalar
}

// refresh hands the runtime what inputs it holds copies of.
func (b *Binding) refresh() error {
	for i, t := range b.inputs {
		switch {
		case t.Type == onnx.String:
			if err := b.in[i].(*binding.StringTensor).SetContents(t.strings); err != nil {
				return err
			}
		case len(t.Shape) == 0:
			v, err := t.scalarValue()
			if err != nil {
				return err
			}
			b.in[i].Destroy()
			b.in[i] = v
		}
	}
	return nil
}

func (b *Binding) run(ctx context.Context) error {
	s := b.session
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.session == nil || b.options == nil {
		return fmt.Errorf("%s: its session is closed", s.name)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	copy(b.results, b.out)
	if ctx.Done() == nil {
		return b.failed(s.session.RunWithOptions(b.in, b.results, b.options))
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		b.options.Terminate()
		close(ended)
	})
	err := s.session.RunWithOptions(b.in, b.results, b.options)
	if !stop() {
		<-ended // so that the flag is set before it is cleared
		b.options.UnsetTerminate()
		if err != nil {
			return context.Cause(ctx)
		}
	}
	return b.failed(err)
}

func (b *Binding) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: the run failed: %w", b.session.name, err)
}

// collect turns the outputs that the runtime made into tensors and brings copies back.
func (b *Binding) collect() error {
	for i, v := range b.results {
		name := b.session.outputs[i].Name
		if b.outputs[i] != nil && b.out[i] != nil {
			if err := b.outputs[i].read(v); err != nil {
				return fmt.Errorf("%s: output %q: %w", b.session.name, name, err)
			}
			continue
		}
		t, err := b.receive(i, v)
		if err != nil {
			return fmt.Errorf("%s: output %q: %w", b.session.name, name, err)
		}
		b.outputs[i] = t
	}
	return nil
}

// receive makes the tensor of an output that the caller gave none for.
func (b *Binding) receive(i int, v binding.Value) (*Tensor, error) {
	if b.out[i] == nil {
		defer v.Destroy()
		return tensorOf(v)
	}
	t := b.session.knownScalar(i)
	return t, t.read(v)
}

var errNotTensor = errors.New("it is not a tensor")

// tensorOf gives a value of the runtime as a tensor over the Go memory into which
// the binding has copied it.
func tensorOf(v binding.Value) (*Tensor, error) {
	switch v := v.(type) {
	case *binding.Tensor[float32]:
		return NewTensor(v.GetData(), v.GetShape()...), nil
	case *binding.Tensor[float64]:
		return NewTensor(v.GetData(), v.GetShape()...), nil
	case *binding.Tensor[int8]:
		return NewTensor(v.GetData(), v.GetShape()...), nil
	case *binding.Tensor[int16]:
		return NewTensor(v.GetData(), v.GetShape()...), nil
	case *binding.Tensor[int32]:
		return NewTensor(v.GetData(), v.GetShape()...), nil
	case *binding.Tensor[int64]:
		return NewTensor(v.GetData(), v.GetShape()...), nil
	case *binding.Tensor[uint8]:
		return NewTensor(v.GetData(), v.GetShape()...), nil
	case *binding.Tensor[uint16]:
		return NewTensor(v.GetData(), v.GetShape()...), nil
	case *binding.Tensor[uint32]:
		return NewTensor(v.GetData(), v.GetShape()...), nil
	case *binding.Tensor[uint64]:
		return NewTensor(v.GetData(), v.GetShape()...), nil
	case *binding.Tensor[bool]:
		return NewTensor(v.GetData(), v.GetShape()...), nil
	case *binding.StringTensor:
		s, err := v.GetContents()
		return NewStrings(s, v.GetShape()...), err
	}
	return nil, errNotTensor
}
