// Package solutiontest is what tests of solutions share: the example of digits, and what must hold of any model
// that a solution makes.
package solutiontest

import (
	"bytes"
	"context"
	"path/filepath"
	"runtime"
	"testing"

	"assay/internal/dataset"
	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/solution/rewrite"
	"assay/onnx"
)

// Rows are inputs one after the other, with their classes.
type Rows struct {
	X      []float32
	Labels []int
}

// Digits are the example's undefended model, and the pictures that it was not trained on in three parts, of 40, 40
// and 20 %.
type Digits struct {
	Model                  *onnx.Model
	Classifier             *rewrite.Classifier
	Fit, Calibration, Test Rows
}

// Open reads the example.
func Open(t testing.TB) *Digits {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	folder := filepath.Join(filepath.Dir(file), "../../../examples/digits")
	schema, err := dataset.OpenSchema(filepath.Join(folder, "schema.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	d, err := dataset.Load(ctx, filepath.Join(folder, "test.csv"), dataset.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := d.Split(1, 0.4, 0.4, 0.2)
	if err != nil {
		t.Fatal(err)
	}
	out := &Digits{}
	for i, to := range []*Rows{&out.Fit, &out.Calibration, &out.Test} {
		for _, k := range parts[i] {
			to.X = append(to.X, d.Record(k)...)
			to.Labels = append(to.Labels, int(d.Y[k]))
		}
	}
	if out.Model, err = onnx.Open(filepath.Join(folder, "models/undefended.onnx")); err != nil {
		t.Fatal(err)
	}
	out.Classifier = Classifier(t, out.Model)
	return out
}

// Classifier opens a model for a solution to be built around.
func Classifier(t testing.TB, m *onnx.Model) *rewrite.Classifier {
	t.Helper()
	c, err := rewrite.Open(context.Background(), m, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Answers runs a model as a classifier, and gives each row's class and scores.
func Answers(t testing.TB, m *onnx.Model, x []float32) (classes []int, scores [][]float64) {
	t.Helper()
	c, err := ort.NewClassifier(context.Background(), m, ort.ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d := c.Describe()
	rows := make([]float64, len(x))
	for i, v := range x {
		rows[i] = float64(v)
	}
	k := len(d.Classes)
	all := make([]float64, len(x)/d.RowSize()*k)
	if err := c.Predict(context.Background(), rows, all); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(all); i += k {
		best := 0
		for j, v := range all[i : i+k] {
			if v > all[i+best] {
				best = j
			}
		}
		classes, scores = append(classes, best), append(scores, all[i:i+k])
	}
	return classes, scores
}

// Accuracy is the part of rows that a model gets right.
func Accuracy(t testing.TB, m *onnx.Model, rows Rows) float64 {
	t.Helper()
	classes, _ := Answers(t, m, rows.X)
	hits := 0
	for i, k := range classes {
		if k == rows.Labels[i] {
			hits++
		}
	}
	return float64(hits) / float64(len(classes))
}

// Refused counts rows that get the last class.
func Refused(t testing.TB, m *onnx.Model, x []float32) (refused, n int) {
	t.Helper()
	classes, scores := Answers(t, m, x)
	for i, k := range classes {
		if k == len(scores[i])-1 {
			refused++
		}
	}
	return refused, len(classes)
}

// Sound checks a model that build makes: it holds in ONNX's terms, is what it says in its metadata, survives being
// written, and comes out byte by byte the same again.
func Sound(t testing.TB, build func() *onnx.Model, reject bool, straight int) *onnx.Model {
	t.Helper()
	m := build()
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	d, err := model.ReadDefence(m)
	if err != nil {
		t.Fatal(err)
	}
	if d.Reject != reject || len(d.StraightThrough) != straight || len(d.Random) > 0 || d.Smoothing != nil {
		t.Errorf("the metadata say %+v", d)
	}
	named := map[string]int{}
	for _, n := range m.Graph.Nodes {
		named[n.Name]++
	}
	for _, name := range d.StraightThrough {
		if named[name] != 1 {
			t.Errorf("%d nodes have the name %q, which the metadata give one", named[name], name)
		}
	}
	first, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	second, err := build().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("the same build gives other bytes")
	}
	read, err := onnx.Decode(first)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// Plane is a linear model of two numbers, the layer x, and two classes.
func Plane(t testing.TB) *rewrite.Classifier {
	t.Helper()
	b := onnx.NewBuilder("plane")
	x := b.OpAs("x", "Identity", nil, b.Input("input", onnx.Float32, "batch", 2))
	w := b.Weight(onnx.NewTensor("w", []float32{1, -1, 0.5, 2}, 2, 2))
	b.OutputAs("scores", b.Op("MatMul", nil, x, w), onnx.Float32, onnx.Dims("batch", 2))
	return Classifier(t, b.Model())
}
