package ort

import (
	"context"
	"errors"
	"fmt"
	"slices"

	binding "github.com/yalue/onnxruntime_go"

	"assay/onnx"
)

// Run runs the model once on tensors in the order of Inputs and Outputs. Outputs
// given are filled in place; where one is nil, a Tensor of new memory takes its
// place in the slice. When the context ends, the run ends early with its error.
func (s *Session) Run(ctx context.Context, inputs, outputs []*Tensor) error {
	b, err := s.Bind(inputs, outputs)
	if err != nil {
		return err
	}
	defer b.Close()
	return b.Run(ctx)
}

// Binding is a session together with the tensors it runs on. It is for one
// goroutine; several Bindings of a session may run at once.
type Binding struct {
	call    *call
	inputs  []*Tensor
	outputs []*Tensor // the caller's slice
	given   []*Tensor // what was in it
}

// Bind prepares runs over the same tensors. Each run works on what the inputs'
// memory holds by then. Outputs that are nil are made anew by each run, which puts
// them into the slice given here. Close the Binding when done.
func (s *Session) Bind(inputs, outputs []*Tensor) (*Binding, error) {
	if err := s.checkInputs(inputs); err != nil {
		return nil, err
	}
	if err := s.checkOutputs(outputs); err != nil {
		return nil, err
	}
	c, err := s.newCall()
	if err != nil {
		return nil, err
	}
	for i, t := range inputs {
		if err := c.setInput(i, t); err != nil {
			c.close()
			return nil, err
		}
	}
	for i, t := range outputs {
		if t == nil {
			continue
		}
		if err := c.setOutput(i, t); err != nil {
			c.close()
			return nil, err
		}
	}
	return &Binding{call: c, inputs: inputs, outputs: outputs, given: slices.Clone(outputs)}, nil
}

// Run runs the model once. When the context ends, the run ends early with its error.
func (b *Binding) Run(ctx context.Context) error {
	if b.call == nil {
		return errors.New("this binding of a session is closed")
	}
	for i, t := range b.inputs {
		if !t.shared() {
			if err := b.call.setInput(i, t); err != nil {
				return err
			}
		}
	}
	copy(b.outputs, b.given)
	if err := b.call.session.makeRoom(b.outputs, b.inputs); err != nil {
		return err
	}
	return b.call.run(ctx, b.outputs, func(i int, v binding.Value) (err error) {
		b.outputs[i], err = tensorOf(v)
		return err
	})
}

// Close frees the binding. The tensors stay the caller's.
func (b *Binding) Close() {
	if b.call != nil {
		b.call.close()
		b.call = nil
	}
}

func (s *Session) checkInputs(inputs []*Tensor) error {
	if len(inputs) != len(s.inputs) {
		return fmt.Errorf("%s wants %d inputs (%q), and %d are given", s.name, len(s.inputs), valueNames(s.inputs), len(inputs))
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
		return fmt.Errorf("%s has %d outputs (%q), and room for %d is given", s.name, len(s.outputs), valueNames(s.outputs), len(outputs))
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
	if want.Kind == onnx.KindOptional && want.Of != nil {
		want = *want.Of
	}
	ok := want.Kind == onnx.KindTensor && t.Type == want.Elem && (want.Shape == nil || len(want.Shape) == len(t.Shape))
	for i := 0; ok && i < len(want.Shape); i++ {
		ok = !want.Shape[i].Known() || want.Shape[i].Size == t.Shape[i]
	}
	if !ok {
		return fmt.Errorf("is %s, and %s is given", want, t)
	}
	return nil
}

// makeRoom makes tensors for those outputs that the binding cannot receive from
// the runtime's memory: scalars, and element types that Go does not have.
func (s *Session) makeRoom(room, inputs []*Tensor) error {
	for i, v := range s.outputs {
		var err error
		switch elem, isTensor := contained(v.Type); {
		case room[i] != nil:
			continue
		case s.scalar[i].Load():
			room[i], err = Empty(elem)
		case elements[elem] != nil || elem == onnx.String:
		case isTensor:
			room[i], err = s.sized(v.Type, inputs)
		default:
			err = fmt.Errorf("is a %s, which cannot be read", v.Type)
		}
		if err != nil {
			return fmt.Errorf("%s: output %q %w", s.name, v.Name, err)
		}
	}
	return nil
}

// contained gives the type of the elements in the end, and whether they are a
// tensor's rather than those of tensors or maps in a sequence.
func contained(t onnx.Type) (elem onnx.DataType, isTensor bool) {
	if t.Of == nil {
		return t.Elem, t.Kind == onnx.KindTensor
	}
	elem, isTensor = contained(*t.Of)
	return elem, isTensor && t.Kind == onnx.KindOptional
}

// maxRoom bounds the elements for which memory is taken on the model's word.
const maxRoom = 1 << 30

// sized makes the tensor for an output whose shape follows from the inputs', by the
// names that dimensions share.
func (s *Session) sized(t onnx.Type, inputs []*Tensor) (*Tensor, error) {
	sizes := map[string]int64{}
	for i, v := range s.inputs {
		for axis, d := range v.Type.Shape {
			if inputs[i] != nil && axis < len(inputs[i].Shape) && d.Param != "" {
				sizes[d.Param] = inputs[i].Shape[axis]
			}
		}
	}
	shape := make([]int64, len(t.Shape))
	for axis, d := range t.Shape {
		if size, ok := sizes[d.Param]; ok {
			d.Size = size
		}
		shape[axis] = d.Size
	}
	if n, ok := onnx.Count(shape); t.Shape == nil || !ok || n > maxRoom {
		return nil, fmt.Errorf("is %s, so a tensor must be given for it", t)
	}
	return Empty(t.Elem, shape...)
}
