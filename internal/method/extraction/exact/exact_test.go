package exact_test

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"assay/internal/method"
	"assay/internal/method/extraction"
	"assay/internal/method/extraction/exact"
	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/train/network"
	"assay/internal/trees"
	"assay/internal/trees/treestest"
	"assay/onnx"
)

// counted is a model behind the port that counts what it is asked.
type counted struct {
	model.Classifier
	asked int
}

func (c *counted) Predict(ctx context.Context, rows, scores []float64) error {
	c.asked += len(rows) / c.Describe().RowSize()
	return c.Classifier.Predict(ctx, rows, scores)
}

func victim(t *testing.T, m *onnx.Model) *counted {
	t.Helper()
	c, err := ort.NewClassifier(context.Background(), m, ort.ClassifierOptions{Options: ort.Options{Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &counted{Classifier: c}
}

// box is a domain of d numbers in units that differ by orders of magnitude.
func box(d int) *method.Domain {
	o := &method.Domain{}
	for i := range d {
		size := float32(math.Pow10(i%5 - 2))
		o.Low, o.High, o.Scale = append(o.Low, -size), append(o.High, 2*size), append(o.Scale, size)
	}
	return o
}

// scaled is a network whose first layer takes the domain's units, whose last layer's weights are times a factor, and whose
// classes are ahead about as often as each other.
func scaled(t *testing.T, m *onnx.Model, d *method.Domain, factor float32, softmax bool) *onnx.Model {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 3))
	change := func(name string, to func(i int, was float32) float32) {
		values, err := onnx.View[float32](m.Graph.Initializer(name))
		if err != nil {
			t.Fatal(err)
		}
		for i := range values {
			values[i] = to(i, values[i])
		}
	}
	first := m.Graph.Nodes[0]
	wide := int(m.Graph.Initializer(first.Input(1)).Shape[1])
	change("dense.weight", func(_ int, was float32) float32 { return factor * was })
	change(first.Input(1), func(i int, was float32) float32 { return was / d.Scale[i/wide] })
	change(first.Input(2), func(int, float32) float32 { return float32(r.NormFloat64()) })
	rows := draw(r, d, 1000)
	v := victim(t, m)
	var flat []float64
	for _, x := range rows {
		for _, n := range x {
			flat = append(flat, float64(n))
		}
	}
	classes := len(v.Describe().Classes)
	scores := make([]float64, len(rows)*classes)
	if err := v.Predict(context.Background(), flat, scores); err != nil {
		t.Fatal(err)
	}
	change("dense.bias", func(k int, was float32) float32 {
		for i := range rows {
			was -= float32(scores[i*classes+k]) / float32(len(rows))
		}
		return was
	})
	if softmax {
		b := onnx.Extend(m.Graph)
		out := m.Graph.Outputs[0]
		p := b.OpAs("probabilities", "Softmax", onnx.Attrs{"axis": int64(1)}, out.Name)
		m.Graph.Outputs = []onnx.Value{{Name: p, Type: out.Type}}
	}
	return m
}

func draw(r *rand.Rand, d *method.Domain, n int) (out [][]float32) {
	for range n {
		x := make([]float32, len(d.Low))
		for i := range x {
			x[i] = d.Low[i] + (d.High[i]-d.Low[i])*r.Float32()
		}
		out = append(out, x)
	}
	return out
}

// recover runs a method and gives its fidelity on rows that it did not ask about.
func recover(t *testing.T, v *counted, o exact.Options) (*extraction.Surrogate, float64) {
	t.Helper()
	ctx := context.Background()
	s, err := exact.Run(ctx, extraction.Victim{Model: v}, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Queries != v.asked || s.Queries > o.Queries {
		t.Errorf("%d queries told, %d made of %d", s.Queries, v.asked, o.Queries)
	}
	c, err := extraction.Compare(ctx, extraction.Victim{Model: v}, extraction.Victim{Model: victim(t, s.Model)}, draw(rand.New(rand.NewPCG(9, 9)), o.Domain, 20000), nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Prior.Part > 0.95 {
		t.Fatalf("the victim gives one class to %v of all rows: nothing would be shown", c.Prior.Part)
	}
	return s, c.Fidelity.Part
}

// Rows that recoveries are verified on.
const (
	checks     = 64
	confirming = 3000 // of trees
)

// Logits give the weights by d+1 queries, probabilities by few more; labels by the boundary points of 4·(d+1)(c-1)
// lines at most.
func TestLinearIsRecovered(t *testing.T) {
	for _, c := range []struct{ d, classes int }{{4, 2}, {30, 2}, {12, 4}, {20, 10}} {
		d := box(c.d)
		for _, softmax := range []bool{false, true} {
			v := victim(t, scaled(t, network.Logistic(c.d, c.classes, 1), d, 4, softmax))
			s, fidelity := recover(t, v, exact.Options{Method: exact.Linear, Answers: extraction.Probabilities, Queries: 1e5, Domain: d, Seed: 1})
			t.Logf("d %d, %d classes, softmax %v: %d queries, fidelity %v", c.d, c.classes, softmax, s.Queries, fidelity)
			most := c.d + 1 + checks
			if softmax {
				most = (c.d+1)*(c.classes-1) + 5*(c.d+1) + checks
			}
			if fidelity < 0.999 || s.Queries > most {
				t.Errorf("d %d, %d classes, softmax %v: %d queries where %d are expected at most, fidelity %v", c.d, c.classes, softmax, s.Queries, most, fidelity)
			}
		}
		v := victim(t, scaled(t, network.Logistic(c.d, c.classes, 1), d, 4, false))
		s, fidelity := recover(t, v, exact.Options{Method: exact.Linear, Answers: extraction.Labels, Queries: 1e6, Domain: d, Seed: 1})
		t.Logf("d %d, %d classes, labels: %d queries, fidelity %v", c.d, c.classes, s.Queries, fidelity)
		if most := 8*(c.d+1) + 26*4*(c.d+1)*(c.classes-1); fidelity < 0.999 || s.Queries > most {
			t.Errorf("d %d, %d classes, labels: %d queries where %d are expected at most, fidelity %v", c.d, c.classes, s.Queries, most, fidelity)
		}
	}
}

func TestReLUIsRecovered(t *testing.T) {
	for _, c := range []struct{ d, hidden, classes int }{{5, 4, 2}, {10, 16, 3}, {30, 32, 2}} {
		d := box(c.d)
		for _, softmax := range []bool{false, true} {
			v := victim(t, scaled(t, network.MLP(c.d, []int{c.hidden}, c.classes, 1), d, 1, softmax))
			s, fidelity := recover(t, v, exact.Options{Method: exact.ReLU, Answers: extraction.Probabilities, Queries: 1e6, Domain: d, Seed: 1})
			t.Logf("d %d, %d hidden, %d classes, softmax %v: %d queries, fidelity %v", c.d, c.hidden, c.classes, softmax, s.Queries, fidelity)
			// Each neuron costs gradients on two sides, and a search of each line that its plane crosses.
			if most := c.hidden * (20*c.d + 44*20); fidelity < 0.999 || s.Queries > most {
				t.Errorf("d %d, %d hidden, softmax %v: %d queries where %d are expected at most, fidelity %v", c.d, c.hidden, softmax, s.Queries, most, fidelity)
			}
		}
	}
}

// tree draws a tree without branches that no row takes, whose leaves have scores of their own.
func tree(d *method.Domain, depth int, seed uint64) treestest.Spec {
	r := rand.New(rand.NewPCG(seed, 5))
	var grow func(low, high []float32, left int) *treestest.Node
	grow = func(low, high []float32, left int) *treestest.Node {
		if left == 0 || left < depth-2 && r.IntN(5) == 0 {
			p := r.Float32()
			return &treestest.Node{Weights: []treestest.Weight{{Target: 0, Value: p}, {Target: 1, Value: 1 - p}}}
		}
		i := r.IntN(len(low))
		at := low[i] + (high[i]-low[i])*(0.1+0.8*r.Float32())
		yes, no := append([]float32(nil), high...), append([]float32(nil), low...)
		yes[i], no[i] = at, math.Nextafter32(at, float32(math.Inf(1)))
		return &treestest.Node{Mode: "BRANCH_LEQ", Feature: i, Value: at, Yes: grow(low, yes, left-1), No: grow(no, high, left-1)}
	}
	return treestest.Spec{Op: "TreeEnsembleClassifier", Width: len(d.Low), Targets: 2, Trees: []*treestest.Node{grow(d.Low, d.High, depth)}}
}

// leavesOf gives a tree's leaves as the model reader counts them.
func leavesOf(t *testing.T, m *onnx.Model) *trees.Ensemble {
	t.Helper()
	e, err := trees.Read(m)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Every leaf is found with its box and its scores: trees have as many leaves, and the scores of any row, those next to
// thresholds among them, are the same.
func TestTreeIsRecoveredLeafForLeaf(t *testing.T) {
	for seed := range uint64(8) {
		d := box(6)
		spec := tree(d, 2+int(seed), seed)
		m := spec.Model()
		v := victim(t, m)
		s, fidelity := recover(t, v, exact.Options{Method: exact.Tree, Answers: extraction.Probabilities, Queries: 1e6, Domain: d, Seed: 1})
		was, is := leavesOf(t, m), leavesOf(t, s.Model)
		t.Logf("%d leaves, %d queries", was.Leaves(), s.Queries)
		if fidelity != 1 || was.Leaves() != is.Leaves() {
			t.Errorf("seed %d: fidelity %v, %d leaves of %d", seed, fidelity, is.Leaves(), was.Leaves())
		}
		// Each leaf costs a search of 32 halvings for each end of its box, and the rows beside it.
		if most := was.Leaves()*(2*6)*(32+2) + confirming; s.Queries > most {
			t.Errorf("seed %d: %d queries for %d leaves", seed, s.Queries, was.Leaves())
		}
		for _, x := range atThresholds(spec.Trees[0], draw(rand.New(rand.NewPCG(seed, 1)), d, 50)) {
			a, b := was.Scores(x), is.Scores(x)
			for k := range a {
				if a[k] != b[k] {
					t.Fatalf("seed %d: %v is answered %v, not %v", seed, x, b, a)
				}
			}
		}
	}
}

// atThresholds moves rows onto every threshold and next to it.
func atThresholds(n *treestest.Node, rows [][]float32) (out [][]float32) {
	if n.Yes == nil {
		return nil
	}
	for _, x := range rows {
		for _, v := range []float32{n.Value, math.Nextafter32(n.Value, float32(math.Inf(1)))} {
			y := append([]float32(nil), x...)
			y[n.Feature] = v
			out = append(out, y)
		}
	}
	return append(append(out, atThresholds(n.Yes, rows)...), atThresholds(n.No, rows)...)
}

// Leaves of the same scores are told apart where another lies between them, and the answers are the tree's own.
func TestTreeOfPureLeaves(t *testing.T) {
	for seed := range uint64(6) {
		d := box(5)
		spec := tree(d, 5, seed)
		pure(spec.Trees[0])
		m := spec.Model()
		s, fidelity := recover(t, victim(t, m), exact.Options{Method: exact.Tree, Answers: extraction.Probabilities, Queries: 1e6, Domain: d, Seed: 1})
		t.Logf("%d leaves, %d recovered, %d queries", leavesOf(t, m).Leaves(), leavesOf(t, s.Model).Leaves(), s.Queries)
		if fidelity < 0.999 {
			t.Errorf("seed %d: fidelity %v", seed, fidelity)
		}
	}
}

// pure gives leaves one class each.
func pure(n *treestest.Node) {
	if n.Yes != nil {
		pure(n.Yes)
		pure(n.No)
		return
	}
	for k := range n.Weights {
		n.Weights[k].Value = float32(math.Round(float64(n.Weights[k].Value)))
	}
}

// A model of another form than the method is for is refused, as is what could not be solved.
func TestRefusals(t *testing.T) {
	d := box(4)
	deep := func() *onnx.Model { return scaled(t, network.MLP(4, []int{8, 8}, 2, 1), d, 1, false) }
	usual := exact.Options{Method: exact.Linear, Answers: extraction.Probabilities, Queries: 20000, Domain: d}
	for _, c := range []struct {
		model  *onnx.Model
		change func(*exact.Options)
		want   string
	}{
		{deep(), func(o *exact.Options) {}, "not of the form"},
		{deep(), func(o *exact.Options) { o.Answers = extraction.Labels }, "not of the form"},
		{deep(), func(o *exact.Options) { o.Method = exact.ReLU }, "do not suffice"},
		{deep(), func(o *exact.Options) { o.Method = exact.Tree }, "do not suffice"},
		{deep(), func(o *exact.Options) { o.Method = "exact" }, `no method "exact"`},
		{deep(), func(o *exact.Options) { o.Method, o.Answers = exact.Tree, extraction.Labels }, "needs the model's scores"},
		{deep(), func(o *exact.Options) { o.Answers = extraction.Rounded }, "recovered from"},
		{deep(), func(o *exact.Options) { o.Queries = 10 }, "10 queries do not suffice"},
		{deep(), func(o *exact.Options) { o.Domain = box(3) }, "a domain as wide"},
	} {
		o := usual
		c.change(&o)
		v := victim(t, c.model)
		if _, err := exact.Run(context.Background(), extraction.Victim{Model: v}, nil, o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", o, err, c.want)
		}
	}
	ended, end := context.WithCancel(context.Background())
	end()
	if _, err := exact.Run(ended, extraction.Victim{Model: victim(t, deep())}, nil, usual); err == nil {
		t.Error("an ended context did not end the recovery")
	}
}
