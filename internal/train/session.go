package train

import (
	"context"
	"fmt"
	"slices"

	"assay/internal/model/ort"
	"assay/onnx"
)

// memory is what training works on. It stays in one place, where the runtime and
// the optimizer both find it.
type memory struct {
	weights, grads []float32 // of all parameters, one after the other
	segments       []segment
	running, batch []float32 // statistics of batch normalisation: the model's, and of the last batch

	parameters, gradients []*ort.Tensor // views of weights and grads
	statistics, measured  []*ort.Tensor // views of running and batch
}

// newMemory makes room for a model's parameters and fills it with their content.
func newMemory(p *plan) (*memory, error) {
	m := &memory{}
	total := 0
	for _, w := range p.parameters {
		n, _ := onnx.Count(w.shape)
		m.segments = append(m.segments, segment{total, total + int(n), w.decay})
		total += int(n)
	}
	m.weights, m.grads = make([]float32, total), make([]float32, total)
	for i, w := range p.parameters {
		s := m.segments[i]
		m.parameters = append(m.parameters, view(m.weights[s.start:s.end], w.shape))
		m.gradients = append(m.gradients, view(m.grads[s.start:s.end], w.shape))
		if err := load(m.weights[s.start:s.end], p.source, w.name); err != nil {
			return nil, err
		}
	}
	total = 0
	for _, s := range p.statistics {
		n, _ := onnx.Count(s.shape)
		total += int(n)
	}
	m.running, m.batch = make([]float32, total), make([]float32, total)
	at := 0
	for _, s := range p.statistics {
		n, _ := onnx.Count(s.shape)
		end := at + int(n)
		m.statistics = append(m.statistics, view(m.running[at:end], s.shape))
		m.measured = append(m.measured, view(m.batch[at:end], s.shape))
		if err := load(m.running[at:end], p.source, s.name); err != nil {
			return nil, err
		}
		at = end
	}
	return m, nil
}

// view is a tensor over a part of a flat slice.
func view(data []float32, shape []int64) *ort.Tensor {
	return ort.NewTensor(data, append([]int64{}, shape...)...)
}

// load writes a weight's content into training's memory.
func load(to []float32, m *onnx.Model, name string) error {
	values, err := m.Graph.Initializer(name).Float64s()
	if err != nil {
		return err
	}
	if len(values) != len(to) {
		return fmt.Errorf("the weight %q has %d values where its shape has %d", name, len(values), len(to))
	}
	for i, v := range values {
		to[i] = float32(v)
	}
	return nil
}

// absorb moves the running statistics towards the last batch's.
func (m *memory) absorb(statistics []statistic) {
	for i, s := range statistics {
		keeps := float32(s.keeps)
		running, batch := ort.Data[float32](m.statistics[i]), ort.Data[float32](m.measured[i])
		for k, v := range batch {
			running[k] = keeps*running[k] + (1-keeps)*v
		}
	}
}

// model gives the model as it was, with the weights and statistics given.
func (p *plan) model(v values) (*onnx.Model, error) {
	weights, running := v.weights, v.running
	m := p.source.Clone()
	content := map[string]*onnx.Tensor{}
	put := func(values []float32, name string, elem onnx.DataType, shape []int64) error {
		n, _ := onnx.Count(shape)
		numbers := make([]float64, n)
		for i := range numbers {
			numbers[i] = float64(values[i])
		}
		t, err := onnx.FromFloat64s(name, elem, numbers, append([]int64{}, shape...)...)
		content[name] = t
		return err
	}
	for _, w := range p.parameters {
		if err := put(weights, w.name, w.elem, w.shape); err != nil {
			return nil, err
		}
		n, _ := onnx.Count(w.shape)
		weights = weights[n:]
	}
	for _, s := range p.statistics {
		if err := put(running, s.name, s.elem, s.shape); err != nil {
			return nil, err
		}
		n, _ := onnx.Count(s.shape)
		running = running[n:]
	}
	initializers := make([]*onnx.Tensor, len(m.Graph.Initializers))
	for i, t := range m.Graph.Initializers {
		initializers[i] = t
		if c := content[t.Name]; c != nil {
			c.Doc = t.Doc
			initializers[i] = c
		}
	}
	m.Graph.Initializers = initializers
	return m, nil
}

// runner is a session of a graph, bound to the memory of batches.
type runner struct {
	plan    *plan
	session *ort.Session
	inputs  []*ort.Tensor // after the examples and labels
	outputs []*ort.Tensor // after the losses and scores
	weigh   bool          // the examples' weights are the last input
	slope   bool          // the examples' gradients are the last output
	paired  bool          // the examples as they were before follow the inputs
	bound   map[*Batch]*ort.Binding
}

func (p *plan) newRunner(graph *onnx.Model, inputs, outputs []*ort.Tensor, weigh bool, o *Options) (*runner, error) {
	s, err := ort.New(graph, ort.Options{Threads: o.Threads, Library: o.Library})
	if err != nil {
		return nil, err
	}
	return &runner{plan: p, session: s, inputs: inputs, outputs: outputs, weigh: weigh, bound: map[*Batch]*ort.Binding{}}, nil
}

// run runs the graph on a batch. The first run on a batch's memory binds it.
func (r *runner) run(ctx context.Context, b *Batch) error {
	bound := r.bound[b]
	if bound == nil {
		inputs := slices.Concat(b.inputs(r.plan), r.inputs)
		if r.paired {
			inputs = append(inputs, ort.NewTensor(b.clean, inputs[0].Shape...))
		}
		if r.weigh {
			inputs = append(inputs, ort.NewTensor(b.Weights))
		}
		outputs := slices.Concat(b.outputs(), r.outputs)
		if r.slope {
			outputs = append(outputs, ort.NewTensor(b.slope, inputs[0].Shape...))
		}
		var err error
		if bound, err = r.session.Bind(inputs, outputs); err != nil {
			return err
		}
		r.bound[b] = bound
	}
	return bound.Run(ctx)
}

func (r *runner) close() {
	for _, b := range r.bound {
		b.Close()
	}
	r.session.Close()
}
