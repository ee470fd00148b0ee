package onnx

import (
	"fmt"
	"testing"
)

// chain is a model of three nodes: x → a → b → y.
func chain() *Model {
	b := NewBuilder("chain")
	x := b.Input("x", Float32, "batch", 4)
	a := b.OpAs("a", "Relu", nil, x)
	c := b.OpAs("b", "Mul", nil, a, b.Weight(NewTensor("w", []float32{1, 2, 3, 4})))
	b.Output(b.OpAs("y", "Neg", nil, c), Float32, Dims("batch", 4))
	return b.Model()
}

func TestCheckFindsWhatIsPlanted(t *testing.T) {
	if err := chain().Check(); err != nil {
		t.Fatal(err)
	}
	body := func(outputs ...string) *Graph {
		g := &Graph{Nodes: []*Node{{Op: "Identity", Inputs: []string{"a"}, Outputs: []string{"inner"}}}}
		for _, o := range outputs {
			g.Outputs = append(g.Outputs, Value{Name: o})
		}
		return g
	}
	local := func(nodes ...*Node) *Function {
		return &Function{Name: "F", Domain: "local", Inputs: []string{"p"}, Outputs: []string{"q"}, Nodes: nodes, Opsets: map[string]int64{"": 21, "local": 1}}
	}
	tests := []struct {
		name  string
		plant func(m *Model)
		want  []string
	}{
		{"no graph", func(m *Model) { m.Graph = nil }, []string{"no graph"}},
		{"no operator sets", func(m *Model) { m.Opsets = nil }, []string{"imports no operator set"}},
		{"set of another domain only", func(m *Model) { m.Opsets = map[string]int64{"com.example": 1} }, []string{"Relu node a", "does not import"}},
		{"old operator set", func(m *Model) { m.Opsets[""] = 6 }, []string{"version 6", "7 to 24"}},
		{"new operator set", func(m *Model) { m.Opsets[""] = 25 }, []string{"version 25", "7 to 24"}},
		{"set without a version", func(m *Model) { m.Opsets["local"] = 0 }, []string{"version 0", "local"}},
		{"misspelt operator", func(m *Model) { m.Graph.Nodes[0].Op = "Rellu" }, []string{"Rellu node a", "did you mean Relu?"}},
		{"operator of another domain", func(m *Model) { m.Graph.Nodes[0].Op = "Scaler" }, []string{"ai.onnx.ml"}},
		{"no operator", func(m *Model) { m.Graph.Nodes[0].Op = "" }, []string{"node a", "has no operator"}},
		{"operator of a later set", func(m *Model) { m.Graph.Nodes[0].Op = "Swish" }, []string{"version 24", "imports version 21"}},
		{"withdrawn operator", func(m *Model) { m.Graph.Nodes[0].Op = "Upsample" }, []string{"Upsample node a", "withdrawn"}},
		{"dangling input", func(m *Model) { m.Graph.Nodes[1].Inputs[1] = "nowhere" }, []string{"Mul node b", "input 1", `"nowhere"`}},
		{"not sorted", func(m *Model) {
			m.Graph.Nodes[0], m.Graph.Nodes[1] = m.Graph.Nodes[1], m.Graph.Nodes[0]
		}, []string{"Mul node b", "made only later, by Relu node a"}},
		{"cycle", func(m *Model) { m.Graph.Nodes[0].Inputs[0] = "b" }, []string{"cycle", "Relu node a", "Mul node b"}},
		{"node that reads itself", func(m *Model) { m.Graph.Nodes[0].Inputs[0] = "a" }, []string{"cycle", "Relu node a"}},
		{"value made twice", func(m *Model) { m.Graph.Nodes[1].Outputs[0] = "a" }, []string{"Mul node b", `"a" is made twice`}},
		{"input made by a node", func(m *Model) { m.Graph.Nodes[1].Outputs[0] = "x" }, []string{"Mul node b", `"x" is made twice`}},
		{"input twice", func(m *Model) { m.Graph.Inputs = append(m.Graph.Inputs, m.Graph.Inputs[0]) }, []string{`input "x"`, "twice"}},
		{"input without a name", func(m *Model) { m.Graph.Inputs[0].Name = "" }, []string{"no name"}},
		{"input without a type", func(m *Model) { m.Graph.Inputs[0].Type = Type{} }, []string{`input "x"`, "no type"}},
		{"initializer twice", func(m *Model) { m.Graph.Initializers = append(m.Graph.Initializers, m.Graph.Initializers[0]) }, []string{`two initializers "w"`}},
		{"output nobody makes", func(m *Model) { m.Graph.Outputs[0].Name = "z" }, []string{`output "z"`}},
		{"negative size", func(m *Model) { m.Graph.Inputs[0].Type.Shape[1].Size = -7 }, []string{`input "x"`, "negative"}},
		{"overflowing shape", func(m *Model) { m.Graph.Outputs[0].Type.Shape = Fixed(1<<40, 1<<40) }, []string{`output "y"`, "overflowing"}},
		{"2^40 elements", func(m *Model) { m.Graph.Inputs[0].Type.Shape = Fixed(1<<20, 1<<20) }, []string{`input "x"`, "1099511627776 elements"}},
		{"2^40 elements in a sequence", func(m *Model) {
			of := TensorOf(Float32, Fixed(1<<40))
			m.Graph.Values = append(m.Graph.Values, Value{Name: "s", Type: Type{Kind: KindSequence, Of: &of}})
		}, []string{`value "s"`, "1099511627776 elements"}},
		{"very many dimensions", func(m *Model) { m.Graph.Inputs[0].Type.Shape = Fixed(make([]int64, 1000)...) }, []string{`input "x"`, "1000 dimensions"}},
		{"unknown element type", func(m *Model) { m.Graph.Inputs[0].Type.Elem = 99 }, []string{`input "x"`, "data type 99"}},
		{"weight that does not fill its shape", func(m *Model) { m.Graph.Initializers[0].Shape = []int64{5} }, []string{`initializer "w"`, "20 bytes"}},
		{"reference outside functions", func(m *Model) { m.Graph.Nodes[0].Attrs["alpha"] = Ref{Name: "a"} }, []string{"Relu node a", `"alpha"`, "in no function"}},
		{"dangling input in a subgraph", func(m *Model) {
			g := body("inner")
			g.Nodes[0].Inputs[0] = "nowhere"
			m.Graph.Nodes[2].Attrs["body"] = g
		}, []string{"Neg node y", `"body"`, "Identity node making inner", `"nowhere"`}},
		{"value of a later node in a subgraph", func(m *Model) {
			m.Graph.Nodes[0].Attrs["body"] = body("inner")
		}, []string{"Relu node a", `"a"`}},
		{"value in a subgraph with a name from around", func(m *Model) {
			g := body("b")
			g.Nodes[0].Outputs[0] = "b"
			m.Graph.Nodes[2].Attrs["body"] = g
		}, []string{"Neg node y", `"b" has the name of one of the graph around`}},
		{"subgraph that gives back a value from around", func(m *Model) {
			m.Graph.Nodes[2].Attrs["body"] = body("a")
		}, []string{"Neg node y", `output "a"`, "Identity"}},
		{"function twice", func(m *Model) {
			m.Functions = []*Function{local(), local()}
		}, []string{"function local.F", "twice"}},
		{"recursive function", func(m *Model) {
			m.Functions = []*Function{local(&Node{Op: "F", Domain: "local", Inputs: []string{"p"}, Outputs: []string{"q"}})}
		}, []string{"function local.F calls itself"}},
		{"function with a dangling input", func(m *Model) {
			m.Functions = []*Function{local(&Node{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"q"}})}
		}, []string{"function local.F", "Relu node making q", `"x"`}},
		{"function without its output", func(m *Model) { m.Functions = []*Function{local()} }, []string{"function local.F", `output "q"`}},
		{"reference to an attribute the function lacks", func(m *Model) {
			m.Functions = []*Function{local(&Node{Op: "Elu", Inputs: []string{"p"}, Outputs: []string{"q"}, Attrs: Attrs{"alpha": Ref{Name: "slope"}}})}
		}, []string{"function local.F", "Elu node", `"slope"`}},
		{"call with too many inputs", func(m *Model) {
			m.Functions = []*Function{local(&Node{Op: "Relu", Inputs: []string{"p"}, Outputs: []string{"q"}})}
			m.Graph.Nodes[1].Op, m.Graph.Nodes[1].Domain = "F", "local"
		}, []string{"local.F node b", "1 inputs"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := chain()
			test.plant(m)
			wantError(t, m.Check(), test.want...)
		})
	}
}

func TestCheckIsQuietOnWhatIsSound(t *testing.T) {
	tests := map[string]func(m *Model){
		"weight that is an input too": func(m *Model) {
			m.Graph.Inputs = append(m.Graph.Inputs, Value{Name: "w", Type: TensorOf(Float32, Fixed(4))})
		},
		"foreign operator": func(m *Model) { m.Graph.Nodes[0].Domain, m.Opsets["com.example"] = "com.example", 1 },
		"operator replaced by a function": func(m *Model) {
			m.Functions = []*Function{{Name: "Relu", Inputs: []string{"p"}, Outputs: []string{"q"},
				Nodes: []*Node{{Op: "Neg", Inputs: []string{"p"}, Outputs: []string{"q"}}}}}
		},
		"optional input left out": func(m *Model) {
			m.Graph.Nodes[0].Op, m.Graph.Nodes[0].Inputs = "Clip", []string{"x", "", "w"}
		},
		"same names in two branches": func(m *Model) {
			for _, name := range []string{"left", "right"} {
				m.Graph.Nodes[2].Attrs[name] = &Graph{
					Nodes:   []*Node{{Op: "Abs", Inputs: []string{"a"}, Outputs: []string{"inner"}}},
					Outputs: []Value{{Name: "inner"}},
				}
			}
		},
		"sequence input": func(m *Model) {
			of := TensorOf(Float32, nil)
			m.Graph.Inputs = append(m.Graph.Inputs, Value{Name: "s", Type: Type{Kind: KindSequence, Of: &of}})
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			m := chain()
			change(m)
			if err := m.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSortFollowsTheValues(t *testing.T) {
	m := chain()
	inner := &Graph{ // reads b, so its node must follow the one that makes b
		Nodes:   []*Node{{Op: "Abs", Inputs: []string{"u"}, Outputs: []string{"v"}}, {Op: "Abs", Inputs: []string{"b"}, Outputs: []string{"u"}}},
		Outputs: []Value{{Name: "v"}},
	}
	branch := &Node{Op: "If", Inputs: []string{"x"}, Outputs: []string{"branched"}, Attrs: Attrs{"then_branch": inner}}
	n := m.Graph.Nodes
	m.Graph.Nodes = []*Node{branch, n[2], n[1], n[0]}
	if err := m.Sort(); err != nil {
		t.Fatal(err)
	}
	if err := m.Check(); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(m.Graph.Nodes); got != fmt.Sprint([]*Node{n[0], n[1], branch, n[2]}) {
		t.Errorf("sorted to %s", got)
	}
	if got := fmt.Sprint(inner.Captures(), branch.Reads()); got != "[b] [x b]" {
		t.Errorf("captures and reads are %s", got)
	}
}

func TestSortKeepsASoundOrder(t *testing.T) {
	b := NewBuilder("wide")
	x := b.Input("x", Float32, 1)
	for _, op := range []string{"Relu", "Abs", "Neg", "Exp", "Sqrt"} {
		b.Op(op, nil, x)
	}
	before := fmt.Sprint(b.Graph.Nodes)
	if err := b.Graph.Sort(); err != nil {
		t.Fatal(err)
	}
	if after := fmt.Sprint(b.Graph.Nodes); after != before {
		t.Errorf("%s became %s", before, after)
	}
}

func TestDecodeSortsNodesAndRefusesCycles(t *testing.T) {
	m := chain()
	m.Graph.Nodes[0], m.Graph.Nodes[2] = m.Graph.Nodes[2], m.Graph.Nodes[0]
	if err := decodeModel(t, encode(t, m)).Check(); err != nil {
		t.Error(err)
	}
	m = chain()
	m.Graph.Nodes[0].Inputs[0] = "b"
	_, err := Decode(encode(t, m))
	wantError(t, err, "cycle", "Relu node a", "Mul node b")
}

func TestOperatorTable(t *testing.T) {
	list := Operators()
	if len(list) < 200 {
		t.Fatalf("%d operators", len(list))
	}
	for i, op := range list {
		if got, ok := LookupOperator(op.Domain, op.Name); !ok || got.Name != op.Name || got.Domain != op.Domain {
			t.Errorf("%s.%s is not found: the table is not sorted", op.Domain, op.Name)
		}
		if len(op.Since) == 0 || op.Since[0] < 1 || (op.Domain == "" && op.Since[len(op.Since)-1] > MaxOpset) {
			t.Errorf("%s since %v", op.Name, op.Since)
		}
		if i > 0 && list[i-1].Domain == op.Domain && list[i-1].Name >= op.Name {
			t.Errorf("%s stands before %s", list[i-1].Name, op.Name)
		}
	}
	pad, _ := LookupOperator("", "Pad")
	for opset, want := range map[int64]int64{1: 1, 2: 2, 10: 2, 11: 11, 22: 21, 24: 24} {
		if got := pad.SinceVersion(opset); got != want {
			t.Errorf("Pad in set %d is of version %d, want %d", opset, got, want)
		}
	}
}
