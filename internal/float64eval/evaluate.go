package float64eval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"assay/internal/model/ort"
	"assay/onnx"
	"assay/onnx/infer"
)

// Value is an *ort.Tensor, or a []any of such for a sequence.
type Value = any

// Evaluator runs a model that Convert gave. It is for one goroutine.
type Evaluator struct {
	model   *onnx.Model
	weights map[string]Value
	whole   *ort.Session // nil where the runtime lacks a kernel
	kernels map[*onnx.Node]map[string]kernel
	closers []func() error
}

// kernel computes a node's outputs, in their order, from its inputs and then the
// values that its subgraphs capture; an input that is left out is nil.
type kernel func(inputs []Value) ([]Value, error)

// New prepares a model. Runs may feed the weights named here with other content.
func New(m *onnx.Model, weights ...string) (*Evaluator, error) {
	e, err := ByNode(m)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(m.Graph.Nodes, Random) || slices.ContainsFunc(m.Graph.Nodes, inexact) {
		return e, nil
	}
	if e.whole, err = session(fed(m, weights)); err == nil {
		e.closers = append(e.closers, e.whole.Close)
	}
	return e, nil
}

// ByNode prepares a model to be evaluated one node at a time, even if the runtime
// could run all of it.
func ByNode(m *onnx.Model) (*Evaluator, error) {
	e := &Evaluator{model: m, weights: map[string]Value{}, kernels: map[*onnx.Node]map[string]kernel{}}
	return e, e.constants(m.Graph, e.weights)
}

func (e *Evaluator) constants(g *onnx.Graph, into map[string]Value) error {
	for _, t := range g.Initializers {
		v, err := ort.FromONNX(t)
		if err != nil {
			return err
		}
		into[t.Name] = v
	}
	return nil
}

// fed turns weights into inputs.
func fed(m *onnx.Model, weights []string) *onnx.Model {
	m = m.Clone()
	g := m.Graph
	kept := g.Initializers[:0:0]
	for _, t := range g.Initializers {
		if !slices.Contains(weights, t.Name) {
			kept = append(kept, t)
			continue
		}
		if !slices.ContainsFunc(g.Inputs, func(v onnx.Value) bool { return v.Name == t.Name }) {
			g.Inputs = append(g.Inputs, onnx.Value{Name: t.Name, Type: onnx.TensorOf(t.Type, onnx.Fixed(t.Shape...))})
		}
	}
	g.Initializers = kept
	return m
}

func session(m *onnx.Model) (*ort.Session, error) {
	return ort.New(m, ort.Options{Threads: 1, Optimization: ort.OptimizeOff, FreeMemory: true})
}

// Close frees the runtime's sessions.
func (e *Evaluator) Close() error {
	var errs []error
	for _, c := range e.closers {
		errs = append(errs, c())
	}
	e.closers, e.whole, e.kernels = nil, nil, nil
	return errors.Join(errs...)
}

// Run evaluates the model and gives its outputs by name. Feeds are its inputs and
// whichever of the weights are to be others.
func (e *Evaluator) Run(feeds map[string]Value) (map[string]Value, error) {
	if e.whole != nil {
		out, err := e.runWhole(feeds)
		if err == nil {
			return out, nil
		}
		// Some kernels refuse float64 only when they run.
		e.whole = nil
	}
	values := make(map[string]Value, len(e.weights)+len(e.model.Graph.Nodes))
	for name, v := range e.weights {
		values[name] = v
	}
	for name, v := range feeds {
		values[name] = v
	}
	if err := e.nodes(e.model.Graph, values); err != nil {
		return nil, err
	}
	out := map[string]Value{}
	for _, v := range e.model.Graph.Outputs {
		out[v.Name] = values[v.Name]
	}
	return out, nil
}

func (e *Evaluator) runWhole(feeds map[string]Value) (map[string]Value, error) {
	inputs := make([]Value, 0, len(feeds))
	for _, v := range e.whole.Inputs() {
		x, ok := feeds[v.Name]
		if !ok {
			x = e.weights[v.Name]
		}
		inputs = append(inputs, x)
	}
	outputs, err := runSession(e.whole, inputs)
	if err != nil {
		return nil, err
	}
	out := map[string]Value{}
	for i, v := range e.whole.Outputs() {
		out[v.Name] = outputs[i]
	}
	return out, nil
}

// runSession prefers the way that knows scalars, which sequences exclude.
func runSession(s *ort.Session, inputs []Value) ([]Value, error) {
	tensors := make([]*ort.Tensor, len(inputs))
	plain := !slices.ContainsFunc(s.Outputs(), func(v onnx.Value) bool { return v.Type.Kind != onnx.KindTensor })
	for i, x := range inputs {
		t, ok := x.(*ort.Tensor)
		plain = plain && ok
		tensors[i] = t
	}
	if !plain {
		return s.RunValues(context.Background(), inputs...)
	}
	outputs := make([]*ort.Tensor, len(s.Outputs()))
	if err := s.Run(context.Background(), tensors, outputs); err != nil {
		return nil, err
	}
	values := make([]Value, len(outputs))
	for i, t := range outputs {
		values[i] = t
	}
	return values, nil
}

// nodes evaluates a graph's nodes in order, in the scope of values.
func (e *Evaluator) nodes(g *onnx.Graph, values map[string]Value) error {
	for _, n := range g.Nodes {
		names := slices.Concat(n.Inputs, captures(n))
		inputs := make([]Value, len(names))
		for i, name := range names {
			if name == "" {
				continue
			}
			v, ok := values[name]
			if !ok {
				return fmt.Errorf("%s: there is no value %q", n, name)
			}
			inputs[i] = v
		}
		outputs, err := e.node(n, names, inputs)
		if err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
		for i, name := range n.Outputs {
			if name != "" {
				values[name] = outputs[i]
			}
		}
	}
	return nil
}

func (e *Evaluator) node(n *onnx.Node, names []string, inputs []Value) ([]Value, error) {
	key := signature(inputs)
	if k := e.kernels[n][key]; k != nil {
		return k(inputs)
	}
	k, err := e.runtimeKernel(n, names, inputs)
	if err == nil && !Random(n) && !inexact(n) {
		var out []Value
		if out, err = k(inputs); err == nil {
			e.keep(n, key, k)
			return out, nil
		}
	}
	if k = e.referenceKernel(n, names); k == nil {
		return nil, fmt.Errorf("there is no reference for it, and of the runtime: %w", err)
	}
	out, failed := k(inputs)
	if failed != nil {
		return nil, failed
	}
	e.keep(n, key, k)
	return out, nil
}

func (e *Evaluator) keep(n *onnx.Node, key string, k kernel) {
	if e.kernels[n] == nil {
		e.kernels[n] = map[string]kernel{}
	}
	e.kernels[n][key] = k
}

// runtimeKernel makes a session of the node alone.
func (e *Evaluator) runtimeKernel(n *onnx.Node, names []string, inputs []Value) (kernel, error) {
	g := &onnx.Graph{Name: n.Op, Nodes: []*onnx.Node{n}}
	types := infer.New()
	var at []int // which of inputs the session takes
	for i, name := range names {
		if name == "" || slices.Contains(names[:i], name) {
			continue
		}
		v := onnx.Value{Name: name, Type: typeOf(inputs[i])}
		g.Inputs = append(g.Inputs, v)
		at = append(at, i)
		if err := types.Input(v); err != nil {
			return nil, err
		}
	}
	if err := types.Node(n); err != nil {
		return nil, err
	}
	var to []int
	for i, name := range n.Outputs {
		if name == "" {
			continue
		}
		t := types.Of(name)
		if t.Kind == onnx.KindTensor {
			t.Shape = nil
		}
		g.Outputs = append(g.Outputs, onnx.Value{Name: name, Type: t})
		to = append(to, i)
	}
	s, err := session(&onnx.Model{IRVersion: onnx.IRVersion, Opsets: e.model.Opsets, Graph: g})
	if err != nil {
		return nil, err
	}
	e.closers = append(e.closers, s.Close)
	return func(inputs []Value) ([]Value, error) {
		taken := make([]Value, len(at))
		for j, i := range at {
			taken[j] = inputs[i]
		}
		got, err := runSession(s, taken)
		if err != nil {
			return nil, err
		}
		outputs := make([]Value, len(n.Outputs))
		for j, i := range to {
			outputs[i] = got[j]
		}
		return outputs, nil
	}, nil
}

// typeOf is the type of a value with its exact shape.
func typeOf(v Value) onnx.Type {
	switch v := v.(type) {
	case *ort.Tensor:
		return onnx.TensorOf(v.Type, onnx.Fixed(v.Shape...))
	case []any:
		of := onnx.TensorOf(onnx.Float64, nil)
		if len(v) > 0 {
			of = typeOf(v[0])
			of.Shape = nil
		}
		return onnx.Type{Kind: onnx.KindSequence, Of: &of}
	}
	return onnx.Type{}
}

func signature(inputs []Value) string {
	var b strings.Builder
	for _, v := range inputs {
		fmt.Fprint(&b, typeOf(v), ";")
	}
	return b.String()
}

// captures gives the values of the graph around it that a node's subgraphs use.
func captures(n *onnx.Node) []string {
	var outer []string
	for _, g := range n.Subgraphs() {
		local := map[string]bool{"": true}
		for _, v := range g.Inputs {
			local[v.Name] = true
		}
		for _, t := range g.Initializers {
			local[t.Name] = true
		}
		use := func(name string) {
			if !local[name] && !slices.Contains(outer, name) {
				outer = append(outer, name)
			}
		}
		for _, inner := range g.Nodes {
			for _, name := range slices.Concat(inner.Inputs, captures(inner)) {
				use(name)
			}
			for _, o := range inner.Outputs {
				local[o] = true
			}
		}
		for _, v := range g.Outputs {
			use(v.Name)
		}
	}
	return outer
}

// Random reports whether a node draws random numbers, which the reference makes
// the same at each run.
func Random(n *onnx.Node) bool { return n.Op == "Dropout" && len(n.Inputs) > 2 }

// inexact reports whether the runtime's float64 kernel of a node computes in float32.
func inexact(n *onnx.Node) bool { return n.OpType() == "Shrink" }
