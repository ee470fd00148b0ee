package onnx

import (
	"fmt"
	"testing"
)

// function makes a local function of the operator set that new models have.
func function(name string, inputs, outputs []string, nodes ...*Node) *Function {
	return &Function{Name: name, Domain: "local", Inputs: inputs, Outputs: outputs, Nodes: nodes, Opsets: map[string]int64{"": DefaultOpset}}
}

func node(op string, inputs, outputs []string, attrs Attrs) *Node {
	return &Node{Op: op, Inputs: inputs, Outputs: outputs, Attrs: attrs}
}

func call(name string, inputs, outputs []string, attrs Attrs) *Node {
	n := node(name, inputs, outputs, attrs)
	n.Domain = "local"
	return n
}

type list = []string

// calling is a model of one input x and output y whose nodes call functions.
func calling(nodes []*Node, functions ...*Function) *Model {
	b := NewBuilder("calling")
	b.Input("x", Float32)
	b.Graph.Nodes = nodes
	b.Output("y", Float32, Shape{})
	m := b.Model()
	m.Functions = functions
	return m
}

// evaluate runs a graph of a few operators on scalars, calling functions as it goes:
// what inlining must not change.
func evaluate(m *Model, nodes []*Node, values map[string]float64, ref Attrs) {
	number := func(n *Node, name string, otherwise float64) float64 {
		v := n.Attrs[name]
		if r, ok := v.(Ref); ok {
			v = ref[r.Name]
		}
		if f, ok := v.(float32); ok {
			return float64(f)
		}
		return otherwise
	}
	for _, n := range nodes {
		in := func(i int) float64 { return values[n.Input(i)] }
		switch n.OpType() {
		case "Identity":
			values[n.Outputs[0]] = in(0)
		case "Add":
			values[n.Outputs[0]] = in(0) + in(1)
		case "Mul":
			values[n.Outputs[0]] = in(0) * in(1)
		case "Elu": // stands for any operator with an attribute that has a default
			values[n.Outputs[0]] = in(0) + number(n, "alpha", 1000)
		case "If":
			g := n.Graph("else_branch")
			if in(0) > 0 {
				g = n.Graph("then_branch")
			}
			inner := map[string]float64{}
			for k, v := range values {
				inner[k] = v
			}
			for _, t := range g.Initializers {
				w, _ := t.Float64s()
				inner[t.Name] = w[0]
			}
			evaluate(m, g.Nodes, inner, ref)
			values[n.Outputs[0]] = inner[g.Outputs[0].Name]
		default:
			t, _ := m.functionTable()
			f := t.called(n)
			inner, attrs := map[string]float64{}, Attrs{}
			for k, v := range f.Defaults {
				attrs[k] = v
			}
			for k, v := range n.Attrs {
				if r, ok := v.(Ref); ok {
					if v, ok = ref[r.Name]; !ok {
						continue
					}
				}
				attrs[k] = v
			}
			for i, name := range f.Inputs {
				inner[name] = in(i)
			}
			evaluate(m, f.Nodes, inner, attrs)
			for i, name := range n.Outputs {
				values[name] = inner[f.Outputs[i]]
			}
		}
	}
}

func TestInlineKeepsTheMeaning(t *testing.T) {
	square := function("Square", list{"v"}, list{"r"}, node("Mul", list{"v", "v"}, list{"r"}, nil))
	shift := function("Shift", list{"v"}, list{"r"}, node("Elu", list{"v"}, list{"r"}, Attrs{"alpha": Ref{Name: "by"}}))
	shift.Params = list{"by"}
	defaulted := function("Defaulted", list{"v"}, list{"r"}, node("Elu", list{"v"}, list{"r"}, Attrs{"alpha": Ref{Name: "by"}}))
	defaulted.Defaults = Attrs{"by": float32(7)}
	overload := *square
	overload.Overload = "twice"
	overload.Nodes = []*Node{node("Add", list{"v", "v"}, list{"r"}, nil)}
	overloaded := call("Square", list{"x"}, list{"y"}, nil)
	overloaded.Overload = "twice"
	branching := function("Branching", list{"v"}, list{"r"},
		node("Add", list{"v", "v"}, list{"t"}, nil),
		node("If", list{"v"}, list{"r"}, Attrs{
			"then_branch": &Graph{
				Initializers: []*Tensor{Scalar("t2", float32(5))},
				Nodes:        []*Node{call("Square", list{"t"}, list{"u"}, nil), node("Add", list{"u", "t2"}, list{"w"}, nil)},
				Values:       []Value{{Name: "u"}},
				Outputs:      []Value{{Name: "w"}},
			},
			"else_branch": &Graph{
				Nodes:   []*Node{node("Elu", list{"t"}, list{"w"}, Attrs{"alpha": Ref{Name: "by"}})},
				Outputs: []Value{{Name: "w"}},
			},
		}))
	branching.Params = list{"by"}
	outer := function("Outer", list{"v"}, list{"r"},
		call("Square", list{"v"}, list{"t"}, nil),
		call("Shift", list{"t"}, list{"s"}, Attrs{"by": Ref{Name: "amount"}}),
		node("Add", list{"s", "v"}, list{"r"}, nil))
	outer.Params = list{"amount"}

	tests := map[string]*Model{
		"one call":          calling([]*Node{call("Square", list{"x"}, list{"y"}, nil)}, square),
		"the same twice":    calling([]*Node{call("Square", list{"x"}, list{"v"}, nil), call("Square", list{"v"}, list{"y"}, nil)}, square),
		"attribute":         calling([]*Node{call("Shift", list{"x"}, list{"y"}, Attrs{"by": float32(3)})}, shift),
		"attribute absent":  calling([]*Node{call("Shift", list{"x"}, list{"y"}, nil)}, shift),
		"default":           calling([]*Node{call("Defaulted", list{"x"}, list{"y"}, nil)}, defaulted),
		"default overruled": calling([]*Node{call("Defaulted", list{"x"}, list{"y"}, Attrs{"by": float32(4)})}, defaulted),
		"overload":          calling([]*Node{overloaded}, square, &overload),
		"nested":            calling([]*Node{call("Outer", list{"x"}, list{"y"}, Attrs{"amount": float32(9)})}, square, shift, outer),
		"names that clash": calling([]*Node{
			node("Add", list{"x", "x"}, list{"v"}, nil), node("Add", list{"v", "x"}, list{"r"}, nil),
			call("Square", list{"r"}, list{"t"}, nil), node("Add", list{"t", "v"}, list{"y"}, nil)}, square),
		"input passed through": calling([]*Node{call("Both", list{"x"}, list{"a", "b"}, nil), node("Add", list{"a", "b"}, list{"y"}, nil)},
			function("Both", list{"v"}, list{"v", "r"}, node("Mul", list{"v", "v"}, list{"r"}, nil))),
		"output left out": calling([]*Node{call("Two", list{"x"}, list{"", "y"}, nil)},
			function("Two", list{"v"}, list{"r", "s"}, node("Mul", list{"v", "v"}, list{"r"}, nil), node("Add", list{"r", "v"}, list{"s"}, nil))),
		"subgraphs": calling([]*Node{
			call("Branching", list{"x"}, list{"a"}, Attrs{"by": float32(2)}),
			call("Branching", list{"a"}, list{"y"}, Attrs{"by": float32(6)})}, square, branching),
	}
	for name, m := range tests {
		t.Run(name, func(t *testing.T) {
			if err := m.Check(); err != nil {
				t.Fatal(err)
			}
			inlined := m.Clone()
			if err := inlined.Inline(); err != nil {
				t.Fatal(err)
			}
			if err := inlined.Check(); err != nil {
				t.Fatal(err)
			}
			if len(inlined.Functions) > 0 || len(m.Functions) == 0 {
				t.Errorf("%d functions left, %d in the original", len(inlined.Functions), len(m.Functions))
			}
			for _, x := range []float64{3, -2} {
				want, got := map[string]float64{"x": x}, map[string]float64{"x": x}
				evaluate(m, m.Graph.Nodes, want, nil)
				evaluate(inlined, inlined.Graph.Nodes, got, nil)
				if want["y"] != got["y"] || want["y"] == 0 {
					t.Errorf("f(%v) = %v, inlined %v", x, want["y"], got["y"])
				}
			}
		})
	}
}

func TestInlineMergesOperatorSets(t *testing.T) {
	f := function("F", list{"v"}, list{"r"}, node("Relu", list{"v"}, list{"s"}, nil), &Node{Op: "Scaler", Domain: "ai.onnx.ml", Inputs: list{"s"}, Outputs: list{"r"}})
	f.Opsets = map[string]int64{"": 18, "ai.onnx.ml": 3} // Relu is the same from 14 on
	m := calling([]*Node{call("F", list{"x"}, list{"y"}, nil)}, f)
	if err := m.Inline(); err != nil {
		t.Fatal(err)
	}
	if m.Opsets["ai.onnx.ml"] != 3 || m.Opset() != DefaultOpset {
		t.Errorf("operator sets are %v", m.Opsets)
	}

	f.Opsets = map[string]int64{"": 13}
	f.Nodes = []*Node{node("Relu", list{"v"}, list{"r"}, nil)}
	m = calling([]*Node{call("F", list{"x"}, list{"y"}, nil)}, f)
	wantError(t, m.Inline(), "local.F", "Relu node making r", "version 13", "version 21")
	if len(m.Functions) != 1 || len(m.Graph.Nodes) != 1 {
		t.Error("a failed Inline changed the model")
	}
}

func TestInlineRefusesBombs(t *testing.T) {
	double := func(levels int) *Model {
		functions := []*Function{function("F0", list{"v"}, list{"r"}, node("Relu", list{"v"}, list{"r"}, nil))}
		for i := 1; i < levels; i++ {
			inner := fmt.Sprint("F", i-1)
			functions = append(functions, function(fmt.Sprint("F", i), list{"v"}, list{"r"},
				call(inner, list{"v"}, list{"t"}, nil), call(inner, list{"t"}, list{"r"}, nil)))
		}
		return calling([]*Node{call(fmt.Sprint("F", levels-1), list{"x"}, list{"y"}, nil)}, functions...)
	}
	small := double(8)
	if err := small.Inline(); err != nil || len(small.Graph.Nodes) != 1<<7 {
		t.Errorf("8 levels: %d nodes, %v", len(small.Graph.Nodes), err)
	}
	wantError(t, double(40).Inline(), "would grow")
	wantError(t, double(70).Inline(), "more than 64 deep")

	a := function("A", list{"v"}, list{"r"}, call("B", list{"v"}, list{"r"}, nil))
	b := function("B", list{"v"}, list{"r"}, call("A", list{"v"}, list{"r"}, nil))
	wantError(t, calling([]*Node{call("A", list{"x"}, list{"y"}, nil)}, a, b).Inline(),
		"local.A calls itself", "function local.A calls function local.B calls function local.A")
}
