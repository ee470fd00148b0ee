package reference

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
	"assay/internal/method/poisoning/plant/tamper"
	"assay/internal/model/ort"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

const examples = "../../../../examples/digits/"

func digits(t *testing.T) *dataset.Dataset {
	t.Helper()
	s, err := dataset.OpenSchema(examples + "schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Load(t.Context(), examples+"test.csv", dataset.Options{Schema: s})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func trained(t *testing.T, m *onnx.Model, d *dataset.Dataset) *onnx.Model {
	t.Helper()
	data, err := train.ForModel(m, d)
	if err != nil {
		t.Fatal(err)
	}
	if m, err = train.Standardize(m, data); err != nil {
		t.Fatal(err)
	}
	r, err := train.Run(t.Context(), m, data, train.Options{Epochs: 8, Seed: 1, Optimizer: train.Optimizer{Rate: 0.003}})
	if err != nil {
		t.Fatal(err)
	}
	return r.Model
}

func graphs(t *testing.T, own, other *onnx.Model) *Graph {
	t.Helper()
	g, err := CompareGraphs(own, other)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func answersOf(t *testing.T, own, other *onnx.Model, d *dataset.Dataset) *Answers {
	t.Helper()
	var of [2]*ort.Classifier
	for i, m := range []*onnx.Model{own, other} {
		c, err := ort.NewClassifier(t.Context(), m, ort.ClassifierOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		of[i] = c
	}
	a, err := CompareAnswers(t.Context(), of[0], of[1], d)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// resaved gives a model as another program would write it: other names, another order, constants as nodes, an unused node.
func resaved(t *testing.T, m *onnx.Model) *onnx.Model {
	t.Helper()
	m = m.Clone()
	m.Producer, m.Metadata = "another", map[string]string{"written": "today"}
	g := m.Graph
	names := map[string]string{}
	for _, v := range slices.Concat(g.Inputs, g.Outputs) {
		names[v.Name] = v.Name
	}
	rename := func(list []string) {
		for i, name := range list {
			if _, known := names[name]; !known && name != "" {
				names[name] = fmt.Sprintf("v%d", len(names))
			}
			list[i] = names[name]
		}
	}
	for _, n := range g.Nodes {
		n.Name, n.Doc = "", "written again"
		rename(n.Inputs)
		rename(n.Outputs)
	}
	g.Values = nil
	var nodes []*onnx.Node
	for i, x := range g.Initializers {
		x = x.Renamed(names[x.Name])
		g.Initializers[i] = x
		if i == 0 {
			nodes = append(nodes, &onnx.Node{Op: "Constant", Outputs: []string{x.Name}, Attrs: onnx.Attrs{"value": x}})
		}
	}
	g.Initializers = g.Initializers[1:]
	slices.Reverse(g.Initializers)
	g.Nodes = append(nodes, g.Nodes...)
	g.Nodes = append(g.Nodes, &onnx.Node{Op: "Identity", Inputs: []string{g.Inputs[0].Name}, Outputs: []string{"unused"}})
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(g.Nodes), func(i, j int) { g.Nodes[i], g.Nodes[j] = g.Nodes[j], g.Nodes[i] })
	if err := m.Sort(); err != nil {
		t.Fatal(err)
	}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	return m
}

// Each fault that is planted in a model is told by its kind and in its layers; a model that was written again is the same.
func TestFaultsAreTold(t *testing.T) {
	d := digits(t)
	mlp := trained(t, network.MLP(64, []int{32, 16}, 10, 1), d)
	resnet := network.ResNet20(1, 8, 8, 10, 1)
	for _, c := range []struct {
		by    tamper.Tamperer
		m     *onnx.Model
		o     tamper.Options
		kinds []Kind // of layers
	}{
		{tamper.FineTune{Planter: plant.BadNets{}}, mlp, tamper.Options{Rate: 0.05, Target: 3, Seed: 1}, []Kind{Trained}},
		{tamper.Handcrafted{Planter: plant.BadNets{}}, mlp, tamper.Options{Target: 3, Seed: 1}, []Kind{Edited}},
		{tamper.RandomBits{}, mlp, tamper.Options{Bits: 9, Seed: 1}, []Kind{Bits}},
		{tamper.ProgressiveBits{}, mlp, tamper.Options{Bits: 9, Seed: 1}, []Kind{Bits}},
		{tamper.SwapLabels{}, mlp, tamper.Options{Target: 4}, nil},
		{tamper.ShiftStatistics{}, resnet, tamper.Options{Rate: 0.2, Seed: 1}, []Kind{Statistics}},
	} {
		name := c.by.Describe().Name
		got, err := c.by.Tamper(t.Context(), c.m, d, c.o)
		if err != nil {
			t.Fatal(err)
		}
		g := graphs(t, resaved(t, got.Model), c.m)
		changed := 0
		var kinds []Kind
		for _, l := range g.Layers {
			changed += l.Changed
			if !slices.Contains(kinds, l.Kind) {
				kinds = append(kinds, l.Kind)
			}
			if !(l.Distance > 0) || l.Numbers < l.Changed {
				t.Errorf("%s: %+v", name, l)
			}
		}
		if !slices.Equal(kinds, c.kinds) || g.Same() {
			t.Errorf("%s: layers are told as %v, not as %v: %+v", name, kinds, c.kinds, g)
		}
		if c.kinds != nil && (changed != got.Changed || len(g.Added)+len(g.Removed)+len(g.Rewired) > 0) {
			t.Errorf("%s: %d numbers differ, and %d were changed: %+v", name, changed, got.Changed, g)
		}
		if c.kinds == nil && (len(g.Added) != 1 || !strings.HasPrefix(g.Added[0], "Gather") || len(g.Removed)+len(g.Rewired) > 0) {
			t.Errorf("%s: %+v", name, g)
		}
	}
	for _, m := range []*onnx.Model{mlp, resnet} {
		g := graphs(t, resaved(t, m), m)
		if !g.Same() || !slices.Equal(g.Metadata, []string{"written"}) {
			t.Errorf("a model written again: %+v", g)
		}
	}
}

// Classes that were swapped are named by the answers; a model written again answers the same, with an upper bound of what could differ.
func TestAnswers(t *testing.T) {
	d := digits(t)
	m := trained(t, network.MLP(64, []int{32}, 10, 1), d)
	swap, err := (tamper.SwapLabels{}).Tamper(t.Context(), m, nil, tamper.Options{Target: 4})
	if err != nil {
		t.Fatal(err)
	}
	a := answersOf(t, swap.Model, m, d)
	if !slices.Equal(a.Swapped, []int{4, 5}) || a.Classes[4].Most != 5 || a.Classes[4].Differ != a.Classes[4].N || a.Classes[3].Differ != 0 || a.All.Differ != a.Classes[4].N+a.Classes[5].N {
		t.Errorf("%+v", a)
	}
	a = answersOf(t, resaved(t, m), m, d)
	if a.All.Differ != 0 || a.All.Lower != 0 || a.All.Upper <= 0 || a.All.Upper > 0.01 || len(a.Swapped) > 0 || a.Classes[0].Most != -1 {
		t.Errorf("%+v", a)
	}
}

// By hand: of 20 records of class 0 that the reference gives, 5 become 1, and the classes 2 and 1 go where nothing comes back from.
func TestAnswersByHand(t *testing.T) {
	is := slices.Concat(slices.Repeat([]int{0}, 15), slices.Repeat([]int{1}, 4), []int{2}, slices.Repeat([]int{2}, 20), slices.Repeat([]int{0}, 20))
	was := slices.Concat(slices.Repeat([]int{0}, 20), slices.Repeat([]int{1}, 20), slices.Repeat([]int{2}, 20))
	a, err := answers(is, was, 4)
	if err != nil {
		t.Fatal(err)
	}
	if c := a.Classes[0]; len(a.Classes) != 3 || c.Differ != 5 || c.N != 20 || c.Most != 1 || c.ByHow != 4 || a.All.Differ != 45 {
		t.Errorf("%+v", a)
	}
	if len(a.Swapped) > 0 {
		t.Errorf("%v are said to be swapped, and only 1 and 2 move", a.Swapped)
	}
	// 2 records of 2: the exact bound is 0.05^(1/2), which does not show more than half
	if few, err := answers([]int{1, 1, 0, 0}, []int{0, 0, 1, 1}, 2); err != nil || len(few.Swapped) > 0 {
		t.Errorf("%+v, %v", few, err)
	}
}

// What computes otherwise by the same numbers is told as well.
func TestWiring(t *testing.T) {
	of := func(first, second, op string) *onnx.Model {
		b := onnx.NewBuilder("net")
		x, y := b.Input("x", onnx.Float32, 1, 2), b.Input("y", onnx.Float32, 1, 2)
		v := map[string]string{"x": x, "y": y}
		b.OutputAs("z", b.Op(op, nil, b.Op("Sub", nil, v[first], v[second])), onnx.Float32, onnx.Dims(1, 2))
		return b.Model()
	}
	if g := graphs(t, of("x", "y", "Relu"), of("x", "y", "Relu")); !g.Same() {
		t.Errorf("%+v", g)
	}
	if g := graphs(t, of("y", "x", "Relu"), of("x", "y", "Relu")); len(g.Rewired) != 1 || len(g.Added) > 0 {
		t.Errorf("%+v", g)
	}
	if g := graphs(t, of("x", "y", "Neg"), of("x", "y", "Relu")); len(g.Added) != 1 || len(g.Removed) != 1 || len(g.Rewired) > 0 {
		t.Errorf("%+v", g)
	}
}
