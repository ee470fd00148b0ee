package ort

import (
	"context"
	"fmt"

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
	room    []*Tensor // what was in it
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
		if err := c.setOutput(i, t); err != nil {
			c.close()
			return nil, err
		}
	}
	return &Binding{call: c, inputs: inputs, outputs: outputs, room: append([]*Tensor{}, outputs...)}, nil
}

// Run runs the model once. When the context ends, the run ends early with its error.
func (b *Binding) Run(ctx context.Context) error {
	if b.call == nil {
		return fmt.Errorf("the binding is closed")
	}
	for i, t := range b.inputs {
		if !t.shared() {
			if err := b.call.setInput(i, t); err != nil {
				return err
			}
		}
	}
	copy(b.outputs, b.room)
	return b.call.run(ctx, b.outputs)
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
