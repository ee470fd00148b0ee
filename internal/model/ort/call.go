package ort

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"

	binding "github.com/yalue/onnxruntime_go"

	"assay/onnx"
)

// call is the runtime's side of runs: its handles of what goes in and comes out.
type call struct {
	session *Session
	in      []binding.Value
	out     []binding.Value // nil where the runtime makes the output
	results []binding.Value // what the last run gave: out, with the gaps filled
	options *binding.RunOptions
	pins    runtime.Pinner // the runtime keeps pointers to Go memory between calls
}

func (s *Session) newCall() (*call, error) {
	options, err := binding.NewRunOptions()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	c := &call{
		session: s, options: options,
		in:      make([]binding.Value, len(s.inputs)),
		out:     make([]binding.Value, len(s.outputs)),
		results: make([]binding.Value, len(s.outputs)),
	}
	if len(s.inputs) > 0 {
		return c, nil
	}
	v, err := NewTensor(make([]bool, 1)).value(&c.pins)
	if err != nil {
		c.close()
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	c.in = append(c.in, v)
	return c, nil
}

// setInput hands the runtime the tensor for input i, in place of any before it.
func (c *call) setInput(i int, t *Tensor) error {
	v, err := t.value(&c.pins)
	if err != nil {
		return fmt.Errorf("%s: input %q: %w", c.session.name, c.session.inputs[i].Name, err)
	}
	destroy(c.in[i])
	c.in[i] = v
	return nil
}

// setOutput hands the runtime the memory for output i; nil leaves it to the runtime.
func (c *call) setOutput(i int, t *Tensor) error {
	name, stated := c.session.outputs[i].Name, c.session.outputs[i].Type
	if t == nil && packed(stated) {
		return fmt.Errorf("%s: output %q is %s, whose elements are packed: give a tensor for it", c.session.name, name, stated)
	}
	if t == nil {
		return nil
	}
	var err error
	if c.out[i], err = t.value(&c.pins); err != nil {
		return fmt.Errorf("%s: output %q: %w", c.session.name, name, err)
	}
	return nil
}

// packed reports whether a type has elements of less than a byte. The binding
// takes each for a byte, and would read past the end of the runtime's memory.
func packed(t onnx.Type) bool {
	if t.Of != nil {
		return packed(*t.Of)
	}
	return t.Kind == onnx.KindTensor && t.Elem != onnx.String && t.Elem.ByteSize(2) < 2
}

func (c *call) close() {
	for _, v := range c.in {
		destroy(v)
	}
	for _, v := range c.out {
		destroy(v)
	}
	c.in, c.out = nil, nil
	c.options.Destroy()
	c.pins.Unpin()
}

// destroy frees a value. After an error the binding leaves nil pointers in place
// of values, on which its own Destroy fails.
func destroy(v binding.Value) {
	if v != nil && !reflect.ValueOf(v).IsNil() {
		v.Destroy()
	}
}

// run runs the model, and fills outputs and the nil places among them.
func (c *call) run(ctx context.Context, outputs []*Tensor) error {
	return c.runInto(ctx, outputs, func(i int, v binding.Value) (err error) {
		outputs[i], err = tensorOf(v)
		return err
	})
}

// runInto runs the model, fills the tensors in room and has take look at the other
// outputs, which are freed afterwards. The binding fails for scalars that the
// runtime made, and cuts the content of element types that Go does not have; room
// is made for these then and the model run again.
func (c *call) runInto(ctx context.Context, room []*Tensor, take func(int, binding.Value) error) error {
	for i, t := range room {
		if t == nil && c.session.scalar[i].Load() {
			room[i], _ = Empty(c.session.outputs[i].Type.Elem)
		}
	}
	for {
		again, err := c.attempt(ctx, room, take)
		if err != nil || !again {
			return err
		}
	}
}

func (c *call) attempt(ctx context.Context, room []*Tensor, take func(int, binding.Value) error) (again bool, err error) {
	var pins runtime.Pinner
	defer pins.Unpin()
	defer c.release()
	copy(c.results, c.out)
	for i, t := range room {
		if t != nil && c.results[i] == nil {
			if c.results[i], err = t.value(&pins); err != nil {
				return false, c.outputError(i, err)
			}
		}
	}
	if err := c.execute(ctx); err != nil {
		if errors.Is(err, binding.ZeroShapeLengthError) && c.makeScalar(room) {
			return true, nil
		}
		return false, err
	}
	for i, v := range c.results {
		if room[i] != nil {
			continue
		}
		if cut, ok := v.(*binding.CustomDataTensor); ok {
			if room[i], err = Empty(onnx.DataType(cut.DataType()), cut.GetShape()...); err != nil {
				return false, c.outputError(i, err)
			}
			again = true
		}
	}
	if again {
		return true, nil
	}
	for i, v := range c.results {
		if room[i] != nil {
			err = room[i].read(v)
		} else {
			err = take(i, v)
		}
		if err != nil {
			return false, c.outputError(i, err)
		}
	}
	return false, nil
}

func (c *call) outputError(i int, err error) error {
	return fmt.Errorf("%s: output %q: %w", c.session.name, c.session.outputs[i].Name, err)
}

// makeScalar makes room for the scalar at which the binding failed, the last
// output that it tried to convert.
func (c *call) makeScalar(room []*Tensor) bool {
	for i := len(room) - 1; i >= 0; i-- {
		if room[i] != nil || c.results[i] == nil {
			continue
		}
		t := c.session.outputs[i].Type
		if t.Kind != onnx.KindTensor {
			return false
		}
		c.session.scalar[i].Store(true)
		scalar, err := Empty(t.Elem)
		room[i] = scalar
		return err == nil
	}
	return false
}

// release frees what the last run made.
func (c *call) release() {
	for i, v := range c.results {
		if c.out[i] == nil {
			destroy(v)
		}
		c.results[i] = nil
	}
}

// execute starts the runtime and waits for it.
func (c *call) execute(ctx context.Context) error {
	s := c.session
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.session == nil {
		return fmt.Errorf("%s: its session is closed", s.name)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if ctx.Done() == nil {
		return c.start()
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.options.Terminate()
		close(ended)
	})
	err := c.start()
	if !stop() {
		<-ended // so that the flag is set before it is cleared
		c.options.UnsetTerminate()
		if err != nil {
			return context.Cause(ctx)
		}
	}
	return err
}

func (c *call) start() (err error) {
	defer func() {
		if r := recover(); r != nil { // the binding's, on a sequence with a scalar in it
			err = fmt.Errorf("%s: the run's results cannot be read: %v", c.session.name, r)
		}
	}()
	if err := c.session.session.RunWithOptions(c.in, c.results, c.options); err != nil {
		return fmt.Errorf("%s: the run failed: %w", c.session.name, err)
	}
	return nil
}
