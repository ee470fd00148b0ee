package trees_test

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"assay/internal/method"
	"assay/internal/trees"
	"assay/internal/trees/treestest"
	"assay/onnx"
)

// drawn is a small forest to be spoilt.
func drawn() *onnx.Model {
	r := rand.New(rand.NewPCG(1, 9))
	s := treestest.Spec{Op: class, Width: 3, Targets: 2, ZipMap: true}
	s.Trees = treestest.Random(r, treestest.Shape{Width: 3, Trees: 3, Depth: 2, Modes: comparisons[:1], Values: wholes, Leaf: all(2, true), Stop: func(*rand.Rand, int) bool { return false }})
	return s.Model()
}

// TestReadRefuses: what is no ensemble of trees is an error that says where.
func TestReadRefuses(t *testing.T) {
	attr := func(name string, change func(v []int64)) func(m *onnx.Model) {
		return func(m *onnx.Model) {
			list := m.Graph.Nodes[0].Ints(name)
			change(list)
			m.Graph.Nodes[0].Attrs[name] = list
		}
	}
	for want, change := range map[string]func(m *onnx.Model){
		"below itself":                attr("nodes_truenodeids", func(v []int64) { v[1] = 0 }),
		"below two others":            attr("nodes_falsenodeids", func(v []int64) { v[0] = 1 }),
		"node 99, which there is not": attr("nodes_truenodeids", func(v []int64) { v[0] = 99 }),
		"number 7, and a row has 3":   attr("nodes_featureids", func(v []int64) { v[0] = 7 }),
		"number -1, and a row has 3":  attr("nodes_featureids", func(v []int64) { v[0] = math.MinInt64 }),
		"target 5, and there are 2":   attr("class_ids", func(v []int64) { v[0] = 5 }),
		"two weights for target 1":    attr("class_ids", func(v []int64) { v[0] = 1 }),
		"node 55 of tree 0":           attr("class_nodeids", func(v []int64) { v[0] = 55 }),
		"is listed twice":             attr("nodes_nodeids", func(v []int64) { v[1] = 0 }),
		"are not listed together":     attr("nodes_treeids", func(v []int64) { v[3] = 9 }),
		"entries for":                 func(m *onnx.Model) { m.Graph.Nodes[0].Attrs["nodes_values"] = []float32{1} },
		"0 nodes":                     func(m *onnx.Model) { m.Graph.Nodes[0].Attrs["nodes_nodeids"] = []int64{} },
		`post_transform "CUBE"`:       func(m *onnx.Model) { m.Graph.Nodes[0].Attrs["post_transform"] = "CUBE" },
		"3 base values":               func(m *onnx.Model) { m.Graph.Nodes[0].Attrs["base_values"] = []float32{1, 2, 3} },
		"not finite":                  func(m *onnx.Model) { m.Graph.Nodes[0].Attrs["base_values"] = []float32{1, float32(math.Inf(1))} },
		`mode "BRANCH_MAYBE"`:         func(m *onnx.Model) { m.Graph.Nodes[0].Attrs["nodes_modes"].([]string)[0] = "BRANCH_MAYBE" },
		"the model has no trees":      func(m *onnx.Model) { m.Graph.Nodes[1].Inputs[0] = "x" },
		"which is not supported": func(m *onnx.Model) {
			m.Graph.Nodes[0].Attrs["nodes_values_as_tensor"] = onnx.NewTensor("v", []float64{1}, 1)
		},
		"its input is changed before": func(m *onnx.Model) { scaled(m, "Neg") },
		"no ensemble of trees alone":  func(m *onnx.Model) { after(m, "Neg") },
		"a Sigmoid of its 2 sums":     func(m *onnx.Model) { after(m, "Sigmoid") },
		"a Softmax of what it makes":  func(m *onnx.Model) { after(m, "Softmax") },
	} {
		m := drawn()
		change(m)
		if _, err := trees.Read(m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if _, err := trees.Read(drawn()); err != nil {
		t.Error(err)
	}
	chain := &treestest.Node{Weights: []treestest.Weight{{Target: 0, Value: 1}}}
	for range 5000 {
		chain = &treestest.Node{Mode: "BRANCH_LEQ", Value: 9, Yes: chain, No: &treestest.Node{Weights: []treestest.Weight{{Target: 0, Value: 1}}}}
	}
	for _, m := range []*onnx.Model{
		treestest.Spec{Op: regress, Width: 1, Targets: 1, Trees: []*treestest.Node{chain}}.Model(),
		treestest.Spec{Width: 1, Targets: 1, Trees: []*treestest.Node{chain}}.General(),
	} {
		if _, err := trees.Read(m); err == nil || !strings.Contains(err.Error(), "deeper than 4096") {
			t.Errorf("a chain of nodes: %v", err)
		}
	}
}

// scaled puts an operator before the trees, after one behind their scores.
func scaled(m *onnx.Model, op string) {
	m.Graph.Nodes[0].Inputs[0] = "changed"
	m.Graph.Nodes = append([]*onnx.Node{{Op: op, Inputs: []string{"x"}, Outputs: []string{"changed"}}}, m.Graph.Nodes...)
}

func after(m *onnx.Model, op string) {
	zip := m.Graph.Nodes[1]
	m.Graph.Nodes = []*onnx.Node{m.Graph.Nodes[0], {Op: op, Inputs: []string{zip.Inputs[0]}, Outputs: []string{"changed"}}, zip}
	zip.Inputs = []string{"changed"}
}

// FuzzRead: whatever a file claims, trees are read or refused, and what is read can be asked and searched.
func FuzzRead(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 9))
	for i := range 4 {
		s := treestest.Spec{Op: []string{class, regress}[i%2], Width: 3, Targets: 2, Post: "SOFTMAX"}
		s.Trees = treestest.Random(r, treestest.Shape{Width: 3, Trees: 2, Depth: 2, Modes: comparisons, Values: wholes, Leaf: all(2, false)})
		m := s.Model()
		if i == 3 {
			s.Trees = treestest.Random(r, treestest.Shape{Width: 3, Trees: 2, Depth: 2, Modes: append([]string{"BRANCH_MEMBER"}, comparisons...), Values: wholes, Leaf: only(1, false)})
			m = s.General()
		}
		data, err := m.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := onnx.Decode(data)
		if err != nil {
			return
		}
		e, err := trees.Read(m)
		if err != nil || e.Width() > 64 || e.Classes() > 64 {
			return
		}
		d := &method.Domain{Low: make([]float32, e.Width()), High: make([]float32, e.Width()), Scale: make([]float32, e.Width())}
		for i := range d.Low {
			d.Low[i], d.High[i], d.Scale[i] = -9, 9, 1
		}
		s := &method.Space{Domain: d, Norm: method.Linf, Eps: 2, Clean: make([]float32, e.Width())}
		label := e.Class(s.Clean)
		if label < 0 {
			return
		}
		got, err := trees.Verify(context.Background(), e, s, label, trees.Options{Work: 2000, Nearest: true})
		if err != nil {
			t.Fatal(err)
		}
		if got.Verdict == trees.Broken && (s.Contains(got.Example) != nil || e.Class(got.Example) == label) {
			t.Errorf("%v is no counterexample of class %d", got.Example, label)
		}
	})
}
