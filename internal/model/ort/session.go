// Package ort runs ONNX models with ONNX Runtime, and is the only package that
// knows the C library.
//
// A Session is a model made ready to run. It reads and fills Tensors over Go memory
// in place; a Binding repeats a run over the same tensors for some microseconds on
// top of the computation. An output for which no tensor is given is copied once,
// from the runtime's memory into Go's. Give tensors for outputs of unknown shape
// and element types that Go does not have, such as float16: the binding to the C
// library cannot hand these over. Runs of a session on the same processor with the
// same Threads give the same bits.
//
// A Classifier is a Session behind the port of package model.
package ort

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

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
	Threads      int          // that one operator may use; 0 for as many as Go uses
	Optimization Optimization // none where a result must not depend on rewrites
	FreeMemory   bool         // give memory back after each run rather than keep it for the next
	Library      string       // the ONNX Runtime library; see Load
}

// Session is a model made ready to run. Any number of goroutines may run it at once.
type Session struct {
	name    string // for messages
	inputs  []onnx.Value
	outputs []onnx.Value
	scalar  []atomic.Bool // whether an output is a scalar: stated, or learnt from the first run

	mu      sync.RWMutex // held for reading during runs, so that Close waits for them
	session *binding.DynamicAdvancedSession
}

// New makes a session of a model in memory. The runtime takes a copy; the weights
// of a model too large for one message go to it by way of temporary files.
func New(m *onnx.Model, opts Options) (*Session, error) {
	if m == nil || m.Graph == nil {
		return nil, errors.New("there is no model to run: it has no graph")
	}
	name := "model"
	if m.Graph.Name != "" {
		name = fmt.Sprintf("model %q", m.Graph.Name)
	}
	s, err := newSession(name, m)
	if err != nil {
		return nil, err
	}
	if len(s.inputs) == 0 {
		m = withPlaceholder(m)
	}
	return s.startFromModel(m, opts)
}

func (s *Session) startFromModel(m *onnx.Model, opts Options) (*Session, error) {
	if err := Load(opts.Library); err != nil {
		return nil, err
	}
	if opts.Optimization == OptimizeAll {
		m = inBlocks(m)
	}
	weights := int64(0)
	for _, t := range m.Graph.Initializers {
		weights += t.Type.ByteSize(t.Len())
	}
	if weights > maxInMessage {
		return s.startFromFiles(m, opts)
	}
	data, err := m.Encode()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return s.start(opts, func(in, out []string, o *binding.SessionOptions) (*binding.DynamicAdvancedSession, error) {
		return binding.NewDynamicAdvancedSessionWithONNXData(data, in, out, o)
	})
}

// maxInMessage is how many bytes of weights are encoded in memory. Protobuf's
// limit is 2 GB, and the encoded model stands beside the runtime's copy for a while.
const maxInMessage = 1 << 30

func (s *Session) startFromFiles(m *onnx.Model, opts Options) (*Session, error) {
	dir, err := os.MkdirTemp("", "assay-model-*")
	if err != nil {
		return nil, fmt.Errorf("%s: make room for its weights: %w", s.name, err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "model.onnx")
	if err := m.SaveExternal(path); err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return s.startFromFile(path, opts)
}

func (s *Session) startFromFile(path string, opts Options) (*Session, error) {
	return s.start(opts, func(in, out []string, o *binding.SessionOptions) (*binding.DynamicAdvancedSession, error) {
		return binding.NewDynamicAdvancedSession(path, in, out, o)
	})
}

// Open makes a session of a model in a file. Weights that it keeps in other files
// are read by the runtime alone, once the file's structure has been checked.
func Open(path string, opts Options) (*Session, error) {
	s, err := describe(path)
	if err != nil {
		return nil, err
	}
	if len(s.inputs) == 0 {
		m, err := onnx.Open(path)
		if err != nil {
			return nil, err
		}
		return New(m, opts)
	}
	return s.startFromFile(path, opts)
}

// describe reads what a file's model takes and gives. It keeps nothing else, so
// that the model is not held in memory beside the runtime's own copy.
func describe(path string) (*Session, error) {
	m, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	return newSession(path, m)
}

// newSession describes a session of a model. The runtime's C++ is not to meet what
// is plainly wrong, so models of the operator sets that package onnx knows are
// checked; newer ones may run all the same.
func newSession(name string, m *onnx.Model) (*Session, error) {
	if v := m.Opset(); v >= onnx.MinOpset && v <= onnx.MaxOpset {
		if err := m.Check(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	s := &Session{name: name, inputs: m.Graph.FreeInputs(), outputs: slices.Clone(m.Graph.Outputs)}
	if len(s.outputs) == 0 {
		return nil, fmt.Errorf("%s: it has no outputs", name)
	}
	for _, v := range slices.Concat(s.inputs, s.outputs) {
		if t := v.Type; t.Kind == onnx.KindUnknown || t.Kind == onnx.KindTensor && !t.Elem.Valid() {
			return nil, fmt.Errorf("%s: it does not state the type of %q, as ONNX wants of inputs and outputs", name, v.Name)
		}
	}
	s.scalar = make([]atomic.Bool, len(s.outputs))
	for i, v := range s.outputs {
		s.scalar[i].Store(v.Type.Kind == onnx.KindTensor && v.Type.Shape != nil && len(v.Type.Shape) == 0)
	}
	return s, nil
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
	if err := Load(opts.Library); err != nil {
		return nil, err
	}
	o, err := opts.settings()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	defer o.Destroy()
	if s.session, err = start(s.inputNames(), valueNames(s.outputs), o); err != nil {
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
		o.SetIntraOpNumThreads(cmp.Or(opts.Threads, runtime.GOMAXPROCS(0))),
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

// inputNames are the names of what the runtime is given.
func (s *Session) inputNames() []string {
	if len(s.inputs) == 0 {
		return []string{placeholder}
	}
	return valueNames(s.inputs)
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

func valueNames(values []onnx.Value) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v.Name
	}
	return out
}
