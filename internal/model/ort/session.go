// Package ort runs ONNX models with ONNX Runtime. It is the only package that
// knows the C library: sessions take and fill Tensors over Go memory.
package ort

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	binding "github.com/yalue/onnxruntime_go"

	"assay/onnx"
)

// Optimization says how far ONNX Runtime rewrites a graph before it runs it.
type Optimization int

// The levels of optimization.
const (
	OptimizeAll  Optimization = iota // everything the processor can use
	OptimizeSome                     // only rewrites that keep each operator's result
	OptimizeOff                      // the graph as it stands, for an independent second execution
)

// Options say how a session runs its model. The zero value is fast.
type Options struct {
	Threads      int          // that one operator may use; 0 for one per core
	Optimization Optimization // none where a result must not depend on rewrites
	FreeMemory   bool         // give memory back after each run rather than keep it for the next
	Library      string       // the ONNX Runtime library; see Load
}

// Session is a model made ready to run. Any number of goroutines may run it at once.
type Session struct {
	name    string // for messages
	inputs  []onnx.Value
	outputs []onnx.Value
	unfed   bool // the model has no inputs; see placeholder

	mu      sync.RWMutex // held for reading during runs, so that Close waits for them
	session *binding.DynamicAdvancedSession
}

// New makes a session of a model in memory. The model is encoded for the runtime,
// which limits it to 2 GB: use Open for larger ones that are in a file.
func New(m *onnx.Model, opts Options) (*Session, error) {
	if m == nil || m.Graph == nil {
		return nil, errors.New("there is no model to run: it has no graph")
	}
	name := "model"
	if m.Graph.Name != "" {
		name = fmt.Sprintf("model %q", m.Graph.Name)
	}
	s := newSession(name, m.Graph)
	if s.unfed {
		m = withPlaceholder(m)
	}
	data, err := m.Encode()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s.start(opts, func(in, out []string, o *binding.SessionOptions) (*binding.DynamicAdvancedSession, error) {
		return binding.NewDynamicAdvancedSessionWithONNXData(data, in, out, o)
	})
}

// Open makes a session of a model in a file. Weights that it keeps in other files
// are read by the runtime alone, once the file's structure has been checked.
func Open(path string, opts Options) (*Session, error) {
	m, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	s := newSession(path, m.Graph)
	if s.unfed {
		return New(m, opts)
	}
	m = nil // the runtime reads the file itself; this copy can go
	return s.start(opts, func(in, out []string, o *binding.SessionOptions) (*binding.DynamicAdvancedSession, error) {
		return binding.NewDynamicAdvancedSession(path, in, out, o)
	})
}

func newSession(name string, g *onnx.Graph) *Session {
	s := &Session{name: name, inputs: g.FreeInputs(), outputs: slices.Clone(g.Outputs)}
	s.unfed = len(s.inputs) == 0
	return s
}

// placeholder is an input that nothing uses: the binding runs no model without one.
const placeholder = "assay_placeholder"

func withPlaceholder(m *onnx.Model) *onnx.Model {
	m = m.Clone()
	m.Graph.Inputs = append(m.Graph.Inputs, onnx.Value{Name: placeholder, Type: onnx.TensorOf(onnx.Bool, onnx.Fixed(1))})
	return m
}

type starter func(inputs, outputs []string, o *binding.SessionOptions) (*binding.DynamicAdvancedSession, error)

func (s *Session) start(opts Options, start starter) (*Session, error) {
	if len(s.outputs) == 0 {
		return nil, fmt.Errorf("%s: it has no outputs", s.name)
	}
	if err := Load(opts.Library); err != nil {
		return nil, err
	}
	o, err := opts.settings()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	defer o.Destroy()
	inputs := names(s.inputs)
	if s.unfed {
		inputs = []string{placeholder}
	}
	if s.session, err = start(inputs, names(s.outputs), o); err != nil {
		return nil, fmt.Errorf("%s: ONNX Runtime refuses it: %w", s.name, err)
	}
	return s, nil
}

func (opts Options) settings() (*binding.SessionOptions, error) {
	if opts.Threads < 0 {
		return nil, fmt.Errorf("a session cannot use %d threads", opts.Threads)
	}
	o, err := binding.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	levels := map[Optimization]binding.GraphOptimizationLevel{
		OptimizeAll:  binding.GraphOptimizationLevelEnableAll,
		OptimizeSome: binding.GraphOptimizationLevelEnableBasic,
		OptimizeOff:  binding.GraphOptimizationLevelDisableAll,
	}
	err = errors.Join(
		o.SetLogSeverityLevel(binding.LoggingLevelFatal),
		o.SetIntraOpNumThreads(opts.Threads),
		o.SetInterOpNumThreads(1),
		o.SetGraphOptimizationLevel(levels[opts.Optimization]),
		o.SetCpuMemArena(!opts.FreeMemory),
		o.SetMemPattern(!opts.FreeMemory),
	)
	if err != nil {
		o.Destroy()
		return nil, err
	}
	return o, nil
}

// Inputs are the values that a run must be given, in order.
func (s *Session) Inputs() []onnx.Value { return slices.Clone(s.inputs) }

// Outputs are the values that a run gives, in order.
func (s *Session) Outputs() []onnx.Value { return slices.Clone(s.outputs) }

// Close frees the session's memory after waiting for its runs.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil {
		return nil
	}
	err := s.session.Destroy()
	s.session = nil
	return err
}

// Run runs the model once on tensors in the order of Inputs and Outputs. Outputs
// given are filled in place; where one is nil, a new Tensor of Go memory takes its
// place in the slice. A run ends early with the context's error.
func (s *Session) Run(ctx context.Context, inputs, outputs []*Tensor) error {
	b, err := s.Bind(inputs, outputs)
	if err != nil {
		return err
	}
	defer b.Close()
	return b.Run(ctx)
}

// Bind prepares runs over the same tensors: Run then only starts the model, on
// what the inputs' memory holds by then. Outputs that are nil are made anew by each
// run, which puts them into the slice given here.
func (s *Session) Bind(inputs, outputs []*Tensor) (*Binding, error) {
	if err := s.checkInputs(inputs); err != nil {
		return nil, err
	}
	if err := s.checkOutputs(outputs); err != nil {
		return nil, err
	}
	b := &Binding{session: s, inputs: inputs, outputs: outputs}
	if s.unfed {
		b.inputs = []*Tensor{NewTensor(make([]bool, 1))}
	}
	if err := b.bind(); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Binding is a session together with the tensors it runs on. It is for one
// goroutine; several Bindings of a session may run at once. Close frees it.
type Binding struct {
	session         *Session
	inputs, outputs []*Tensor
	in, out         []binding.Value // out[i] is nil where the runtime allocates
	results         []binding.Value // out, completed by a run
	options         *binding.RunOptions
	pins            runtime.Pinner // the runtime keeps pointers to the tensors between calls
}

func (b *Binding) bind() error {
	var err error
	if b.options, err = binding.NewRunOptions(); err != nil {
		return fmt.Errorf("%s: %w", b.session.name, err)
	}
	for i, t := range b.inputs {
		v, err := b.value(t)
		if err != nil {
			return fmt.Errorf("%s: input %q: %w", b.session.name, b.session.inputs[i].Name, err)
		}
		b.in = append(b.in, v)
	}
	for i, t := range b.outputs {
		var v binding.Value
		if t == nil {
			t = b.session.knownScalar(i)
		}
		if t != nil {
			if v, err = b.value(t); err != nil {
				return fmt.Errorf("%s: output %q: %w", b.session.name, b.session.outputs[i].Name, err)
			}
		}
		b.out = append(b.out, v)
	}
	b.results = make([]binding.Value, len(b.out))
	return nil
}

func (b *Binding) value(t *Tensor) (binding.Value, error) {
	if len(t.raw) > 0 {
		b.pins.Pin(&t.raw[0])
	}
	return t.value()
}

// Close frees the binding. The tensors stay the caller's.
func (b *Binding) Close() error {
	for _, v := range slices.Concat(b.in, b.out) {
		if v != nil {
			v.Destroy()
		}
	}
	b.in, b.out = nil, nil
	if b.options != nil {
		b.options.Destroy()
		b.options = nil
	}
	b.pins.Unpin()
	return nil
}

// Run runs the model once.
func (b *Binding) Run(ctx context.Context) error {
	if err := b.refresh(); err != nil {
		return err
	}
	if err := b.run(ctx); err != nil {
		return err
	}
	return b.collect()
}
