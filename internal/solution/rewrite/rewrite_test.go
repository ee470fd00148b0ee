package rewrite_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/solution/rewrite"
	"assay/onnx"
)

// ending builds a model of rows of two numbers that ends in some way.
func ending(elem onnx.DataType, columns int, end func(b *onnx.Builder, z string) string) *onnx.Model {
	b := onnx.NewBuilder("ending")
	w := []float64{1, -2, 0.5, 3}[:2*columns]
	weight, err := onnx.FromFloat64s("w", elem, w, 2, int64(columns))
	if err != nil {
		panic(err)
	}
	x := b.Input("logits", elem, "batch", 2) // a name that what is built would like to have
	y := end(b, b.Op("MatMul", nil, x, b.Weight(weight)))
	b.OutputAs("probabilities", y, elem, onnx.Dims("batch", columns))
	return b.Model()
}

// TestLogits: whatever a model ends in, its logits win as its scores do, and their softmax is its probabilities
// where it gives such.
func TestLogits(t *testing.T) {
	softmax := func(b *onnx.Builder, z string) string { return b.Op("Softmax", onnx.Attrs{"axis": int64(1)}, z) }
	for name, m := range map[string]*onnx.Model{
		"logits":  ending(onnx.Float32, 2, func(_ *onnx.Builder, z string) string { return z }),
		"softmax": ending(onnx.Float32, 2, softmax),
		"double":  ending(onnx.Float64, 2, softmax),
		"sigmoid": ending(onnx.Float32, 1, func(b *onnx.Builder, z string) string { return b.Op("Sigmoid", nil, z) }),
		"of two": func() *onnx.Model {
			m := ending(onnx.Float32, 2, softmax)
			m.Graph.Inputs[0].Type.Shape[0], m.Graph.Outputs[0].Type.Shape[0] = onnx.Dim{Size: 2}, onnx.Dim{Size: 2}
			return m
		}(),
		"clipped": ending(onnx.Float32, 2, func(b *onnx.Builder, z string) string {
			return b.Op("Clip", nil, softmax(b, z), b.Number(onnx.Float32, 0), b.Number(onnx.Float32, 1))
		}),
	} {
		ctx := context.Background()
		c, err := rewrite.Open(ctx, m, ort.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b := c.Begin()
		logits, _ := b.Call(c, b.Input)
		again, _ := b.Call(c, b.Input)
		built, err := b.Classify(b.Op("Max", nil, logits, again), false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		rows := []float64{0.3, 0.2, -1, 0.5, 0.1, -0.4}
		want, got := scores(t, m, rows), scores(t, built, rows)
		for i := 0; i < len(got); i += 2 {
			a, b := got[i], got[i+1]
			if c.Output == model.Probabilities {
				a, b = math.Exp(a)/(math.Exp(a)+math.Exp(b)), math.Exp(b)/(math.Exp(a)+math.Exp(b))
			}
			if math.Abs(a-want[i]) > 1e-5 || math.Abs(b-want[i+1]) > 1e-5 {
				t.Errorf("%s: scores %g and %g, and the model gives %g and %g", name, a, b, want[i], want[i+1])
			}
		}
	}
}

func scores(t *testing.T, m *onnx.Model, rows []float64) []float64 {
	t.Helper()
	c, err := ort.NewClassifier(context.Background(), m, ort.ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out := make([]float64, len(rows)/2*len(c.Describe().Classes))
	if err := c.Predict(context.Background(), rows, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSubgraphs calls a model twice that has a branch, which uses a value from around it.
func TestSubgraphs(t *testing.T) {
	m := ending(onnx.Float32, 2, func(b *onnx.Builder, z string) string {
		yes, no := b.Body("yes"), b.Body("no")
		yes.Output(yes.Op("Neg", nil, z), onnx.Float32, nil)
		no.Output(no.Op("Add", nil, z, z), onnx.Float32, nil)
		return b.Op("If", onnx.Attrs{"then_branch": yes.Graph, "else_branch": no.Graph}, b.Number(onnx.Bool, 1))
	})
	c, err := rewrite.Open(context.Background(), m, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := c.Begin()
	one, _ := b.Call(c, b.Input)
	two, _ := b.Call(c, b.Op("Neg", nil, b.Input))
	built, err := b.Classify(b.Op("Sub", nil, one, two), false)
	if err != nil {
		t.Fatal(err)
	}
	want, got := scores(t, m, []float64{0.3, 0.2}), scores(t, built, []float64{0.3, 0.2})
	for k := range want {
		if math.Abs(got[k]-2*want[k]) > 1e-6 {
			t.Errorf("%v, want twice %v", got, want)
		}
	}
}

// TestKeepsMetadata: what the model says of itself stays, marks of straight-through nodes follow their nodes.
func TestKeepsMetadata(t *testing.T) {
	m := ending(onnx.Float32, 2, func(b *onnx.Builder, z string) string { return b.Op("Add", nil, z, b.Op("Round", nil, z)) })
	for _, n := range m.Graph.Nodes {
		if n.Op == "Round" {
			n.Name = "coarse"
		}
	}
	m.Metadata = map[string]string{"author": "somebody"}
	if err := (&model.Defence{StraightThrough: []string{"coarse"}}).Write(m); err != nil {
		t.Fatal(err)
	}
	c, err := rewrite.Open(context.Background(), m, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := c.Begin()
	one, _ := b.Call(c, b.Input)
	two, _ := b.Call(c, b.Input)
	built, err := b.Classify(b.Op("Add", nil, one, two), false)
	if err != nil {
		t.Fatal(err)
	}
	d, err := model.ReadDefence(built)
	if err != nil || len(d.StraightThrough) != 2 || built.Metadata["author"] != "somebody" {
		t.Fatalf("%+v, %v, %v", d, built.Metadata, err)
	}
	rounds := 0
	for _, n := range built.Graph.Nodes {
		if n.Name == d.StraightThrough[0] || n.Name == d.StraightThrough[1] {
			if rounds++; n.Op != "Round" {
				t.Errorf("%s is marked", n)
			}
		}
	}
	if rounds != 2 {
		t.Errorf("%d nodes are marked", rounds)
	}
}

// TestRun gives a row's value however many rows a model takes at once.
func TestRun(t *testing.T) {
	for _, batch := range []onnx.Dim{{Size: -1, Param: "batch"}, {Size: 2}} {
		m := ending(onnx.Float32, 2, func(_ *onnx.Builder, z string) string { return z })
		m.Graph.Inputs[0].Type.Shape[0], m.Graph.Outputs[0].Type.Shape[0] = batch, batch
		c, err := rewrite.Open(context.Background(), m, ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b := c.Begin()
		logits, _ := b.Call(c, b.Input)
		measure, err := b.Measure(logits)
		if err != nil {
			t.Fatal(err)
		}
		rows := make([]float32, 2*301)
		for i := range rows {
			rows[i] = float32(i % 7)
		}
		got, err := rewrite.Run(context.Background(), measure, rows, ort.Options{})
		if err != nil || len(got) != len(rows) {
			t.Fatalf("%d numbers, %v", len(got), err)
		}
		for i := 0; i < len(rows); i += 2 { // times 1 -2 over 0.5 3
			x, y := rows[i], rows[i+1]
			if got[i] != x+0.5*y || got[i+1] != -2*x+3*y {
				t.Fatalf("row %d: %v", i/2, got[i:i+2])
			}
		}
	}
}

func TestLayers(t *testing.T) {
	m := ending(onnx.Float32, 2, func(b *onnx.Builder, z string) string {
		return b.Op("Add", nil, b.Op("MatMul", nil, b.OpAs("hidden", "Relu", nil, z), b.Weight(onnx.NewTensor("v", []float32{1, 0, 0, 1}, 2, 2))), b.Number(onnx.Float32, 1))
	})
	c, err := rewrite.Open(context.Background(), m, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "hidden"} {
		if got, err := c.Layer(name); got != "hidden" || err != nil {
			t.Errorf("layer %q is %q, %v", name, got, err)
		}
	}
	if _, err := c.Layer("attic"); err == nil || !strings.Contains(err.Error(), `"hidden"`) {
		t.Errorf("%v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	plain := func() *onnx.Model {
		return ending(onnx.Float32, 2, func(_ *onnx.Builder, z string) string { return z })
	}
	rejecting, smoothed, whole := plain(), plain(), plain()
	if err := (&model.Defence{Reject: true}).Write(rejecting); err != nil {
		t.Fatal(err)
	}
	if err := (&model.Defence{Smoothing: &model.Smoothing{Sigma: 1, N0: 10, N: 100, Alpha: 0.01, Batch: 10}}).Write(smoothed); err != nil {
		t.Fatal(err)
	}
	b := onnx.Extend(whole.Graph)
	b.Graph.Outputs = nil
	b.OutputAs("label", b.Op("ArgMax", onnx.Attrs{"axis": int64(1), "keepdims": int64(0)}, whole.Graph.Nodes[0].Output(0)), onnx.Int64, onnx.Dims("batch"))
	for _, c := range []struct {
		m    *onnx.Model
		want string
	}{{rejecting, "refuses inputs already"}, {smoothed, "answers at random"}, {whole, "labels"}} {
		if _, err := rewrite.Open(context.Background(), c.m, ort.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
