// Package upgrade rewrites ONNX models of older operator sets to the forms of operator
// set 21, without changing what they compute, so that all else has one form of each
// operator to know.
package upgrade

import (
	"errors"
	"fmt"

	"assay/onnx"
	"assay/onnx/infer"
)

// Form is the operator set whose forms models are brought to. The sets after it, up to
// onnx.MaxOpset, add operators and element types and keep these forms.
const Form = 21

// To gives the model in the forms of operator set 21, as one that imports the operator
// set opset, Form or newer. A model that imports such a set already is given back as
// it is; any other is not changed but copied. Domains other than ONNX's main one keep
// their versions.
//
// A model that calls functions of its own must have them inlined before. An error
// names the node for which there is no equal in the new form.
//
// Two results are defined only now that were not before: the mask of Dropout outside
// training (all true), and the variance that BatchNormalization keeps in training (that
// of the population).
func To(m *onnx.Model, opset int64) (*onnx.Model, error) {
	switch {
	case opset < Form || opset > onnx.MaxOpset:
		return nil, fmt.Errorf("models are upgraded to operator sets %d to %d, not %d", Form, onnx.MaxOpset, opset)
	case m.Graph == nil:
		return nil, errors.New("the model has no graph")
	case m.Opset() == 0 || m.Opset() >= Form:
		return m, nil
	case m.Opset() < onnx.MinOpset:
		return nil, fmt.Errorf("the model is of operator set %d; sets from %d on are supported: export it again with a newer one",
			m.Opset(), onnx.MinOpset)
	case len(m.Functions) > 0:
		return nil, errors.New("the model has functions of its own: inline them before upgrading it")
	}
	out := m.Clone()
	u := &upgrader{from: m.Opset(), names: onnx.Extend(out.Graph), root: infer.New(), rules: rules()}
	if err := u.graph(out.Graph, u.root, nil); err != nil {
		return nil, err
	}
	out.Opsets[""] = opset
	out.IRVersion = max(out.IRVersion, onnx.IRVersion)
	return out, nil
}

// upgrader rewrites one model.
type upgrader struct {
	from  int64         // the model's operator set
	names *onnx.Builder // of the main graph, which keeps the constants
	rules map[string]rule
	root  *infer.Types // of the main graph
	types *infer.Types // of the graph that is being rewritten, up to the present node
	nodes []*onnx.Node // its nodes so far
}

// rule emits what a node of the old form becomes.
type rule func(u *upgrader, n *onnx.Node) error

// graph rewrites a graph in place, with types as its scope. Elems are element types of
// its inputs, for those it does not state itself.
func (u *upgrader) graph(g *onnx.Graph, types *infer.Types, elems []onnx.DataType) error {
	outer := *u
	defer func() { u.nodes, u.types = outer.nodes, outer.types }()
	u.nodes, u.types = make([]*onnx.Node, 0, len(g.Nodes)), types
	for i, v := range g.Inputs {
		if v.Type.Kind == onnx.KindUnknown && i < len(elems) && elems[i] != onnx.Undefined {
			v.Type = onnx.TensorOf(elems[i], nil)
		}
		if err := u.types.Input(v); err != nil {
			return err
		}
	}
	for _, w := range g.Initializers {
		if err := u.types.Weight(w); err != nil {
			return err
		}
	}
	for _, n := range g.Nodes {
		if err := u.node(n); err != nil {
			return err
		}
	}
	g.Nodes = u.nodes
	return nil
}

func (u *upgrader) node(n *onnx.Node) error {
	elems := make([]onnx.DataType, len(n.Inputs))
	for i, name := range n.Inputs {
		elems[i] = u.types.Elem(name)
	}
	for _, g := range n.Subgraphs() {
		if err := u.graph(g, u.types.Within(), elems); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
	}
	r := u.rules[n.OpType()]
	if r == nil {
		u.emit(n)
		return nil
	}
	if n.Input(0) == "" && n.Op != "Scan" || len(n.Outputs) == 0 {
		return fmt.Errorf("%s: it has no input or no output", n)
	}
	if err := r(u, n); err != nil {
		return fmt.Errorf("%s: %w", n, err)
	}
	return nil
}

// emit adds a node of the new form. What cannot be inferred of it stays unknown: a
// model that contradicts itself is for the inference of the whole to report.
func (u *upgrader) emit(n *onnx.Node) {
	u.nodes = append(u.nodes, n)
	_ = u.types.Node(n)
}

// op emits a new node and gives its output. The node has no name, so that it has none
// of another's.
func (u *upgrader) op(op string, attrs onnx.Attrs, inputs ...string) string {
	out := u.names.Name(op)
	u.emit(&onnx.Node{Op: op, Inputs: inputs, Outputs: []string{out}, Attrs: attrs})
	return out
}

// become emits a node in the place of n, with n's name and its first output.
func (u *upgrader) become(n *onnx.Node, op string, attrs onnx.Attrs, inputs ...string) {
	u.emit(&onnx.Node{Name: n.Name, Op: op, Inputs: inputs, Outputs: n.Outputs[:1], Attrs: attrs, Doc: n.Doc})
}

// constant adds a constant to the main graph, which every subgraph sees.
func (u *upgrader) constant(t *onnx.Tensor) string {
	name := u.names.Constant(t)
	if u.root.Elem(name) == onnx.Undefined {
		_ = u.root.Weight(t.Renamed(name))
	}
	return name
}

func (u *upgrader) ints(values ...int64) string {
	return u.constant(onnx.NewTensor("", values, int64(len(values))))
}

// number is a scalar of the element type of the value like.
func (u *upgrader) number(v float32, like string) string {
	elem := u.types.Elem(like)
	if t, err := onnx.FromFloat64s("", elem, []float64{float64(v)}, []int64{}...); err == nil {
		return u.constant(t)
	}
	t := u.constant(onnx.Scalar("", v))
	if elem == onnx.Undefined {
		return u.op("CastLike", nil, t, like)
	}
	return t
}

// input makes name the i-th input of a node.
func input(n *onnx.Node, i int, name string) {
	for len(n.Inputs) <= i {
		n.Inputs = append(n.Inputs, "")
	}
	n.Inputs[i] = name
}
