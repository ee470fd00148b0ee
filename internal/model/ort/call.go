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

// setOutput hands the runtime the memory for output i.
func (c *call) setOutput(i int, t *Tensor) (err error) {
	if c.out[i], err = t.value(&c.pins); err != nil {
		return c.outputError(i, err)
	}
	return nil
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

// run runs the model, fills the tensors in room and has take look at the other
// outputs, which are freed afterwards.
func (c *call) run(ctx context.Context, room []*Tensor, take func(int, binding.Value) error) error {
	for {
		again, err := c.attempt(ctx, room, take)
		if err != nil || !again {
			return err
		}
	}
}

// attempt runs the model once. The binding fails for scalars that the runtime
// made; where no scalar was expected, there is room for it in the next attempt.
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
		var err error
		room[i], err = Empty(t.Elem)
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
