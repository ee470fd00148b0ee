package ort_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"assay/internal/model"
	"assay/internal/model/modeltest"
	"assay/internal/model/ort"
	"assay/onnx"
)

// exported are models in the forms that the common exporters give them.
var exported = []struct {
	name  string
	model func() *onnx.Model
	want  model.Description
}{
	{"PyTorch CNN, dynamic batch", func() *onnx.Model { return torchCNN("batch", false) }, model.Description{
		Shape: []int64{3, 8, 8}, Layout: model.NCHW, Range: model.Range{Low: 0, High: 1}, Classes: numbered(4), Output: model.Logits,
	}},
	{"PyTorch CNN, batch of 1", func() *onnx.Model { return torchCNN(1, false) }, model.Description{
		Shape: []int64{3, 8, 8}, Layout: model.NCHW, Range: model.Range{Low: 0, High: 1}, Batch: 1, Classes: numbered(4), Output: model.Logits,
	}},
	{"PyTorch CNN, batch of 7, softmax", func() *onnx.Model { return torchCNN(7, true) }, model.Description{
		Shape: []int64{3, 8, 8}, Layout: model.NCHW, Range: model.Range{Low: 0, High: 1}, Batch: 7, Classes: numbered(4), Output: model.Probabilities,
	}},
	{"Keras CNN, channels last", kerasCNN, model.Description{
		Shape: []int64{8, 8, 3}, Layout: model.NHWC, Range: model.Range{Low: 0, High: 255}, Classes: numbered(4), Output: model.Probabilities,
	}},
	{"Keras binary, one sigmoid", kerasBinary, model.Description{
		Shape: []int64{5}, Layout: model.Tabular, Classes: numbered(2), Output: model.Probabilities,
	}},
	{"skl2onnx linear, ZipMap of strings", sklearnLinear, model.Description{
		Shape: []int64{3}, Layout: model.Tabular, Classes: []string{"setosa", "versicolor", "virginica"}, Output: model.Probabilities,
	}},
	{"skl2onnx forest, ZipMap of numbers", sklearnForest, model.Description{
		Shape: []int64{3}, Layout: model.Tabular, Classes: []string{"3", "5"}, Output: model.Probabilities,
	}},
	{"skl2onnx forest, label alone", sklearnLabel, model.Description{
		Shape: []int64{3}, Layout: model.Tabular, Classes: []string{"3", "5"}, Output: model.Labels,
	}},
	{"one input per column, double", sklearnColumns, model.Description{
		Shape: []int64{2}, Layout: model.Tabular, Classes: numbered(2), Output: model.Logits,
	}},
}

func numbered(n int) []string { return strings.Split("0123456789"[:n], "")[:n] }

func TestClassifier(t *testing.T) {
	for _, tt := range exported {
		t.Run(tt.name, func(t *testing.T) {
			open := func(t *testing.T) model.Classifier {
				c, err := ort.NewClassifier(context.Background(), tt.model(), ort.ClassifierOptions{Options: ort.Options{Threads: 1}})
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			c := open(t)
			defer c.Close()
			got, want := c.Describe(), tt.want
			if want.Range == (model.Range{}) {
				want.Range = model.Unbounded("")
			}
			if got.Range.Basis, want.Range.Basis = "", ""; !slices.Equal(got.Shape, want.Shape) || got.Layout != want.Layout || got.Range != want.Range ||
				got.Batch != want.Batch || !slices.Equal(got.Classes, want.Classes) || got.Output != want.Output {
				t.Errorf("recognised %+v\nnot %+v", got, want)
			}
			rng := rand.New(rand.NewPCG(1, 1))
			rows := make([]float64, 5*want.RowSize())
			for i := range rows {
				rows[i] = rng.Float64()
			}
			modeltest.Run(t, open, rows)
		})
	}
}

// TestScores checks scores against numbers worked out by hand.
func TestScores(t *testing.T) {
	logistic := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	tests := []struct {
		name  string
		model *onnx.Model
		rows  []float64
		want  []float64
	}{
		{"one sigmoid", kerasBinary(), []float64{1, 0, 0, 0, 0, 0, 1, 0, 0, 0}, []float64{1 - logistic(1), logistic(1), 1 - logistic(2), logistic(2)}},
		{"forest", sklearnForest(), []float64{0, 0, 0, 1, 0, 0}, []float64{0.75, 0.25, 0.125, 0.875}},
		{"label", sklearnLabel(), []float64{0, 0, 0, 1, 0, 0}, []float64{1, 0, 0, 1}},
		{"columns", sklearnColumns(), []float64{1, 2, 3, 5}, []float64{-1, 3, -2, 8}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := ort.NewClassifier(context.Background(), tt.model, ort.ClassifierOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			got := make([]float64, len(tt.want))
			if err := c.Predict(context.Background(), tt.rows, got); err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if math.Abs(got[i]-tt.want[i]) > 1e-6 {
					t.Fatalf("%v, not %v", got, tt.want)
				}
			}
		})
	}
}

func TestNotAClassifier(t *testing.T) {
	tests := []struct {
		name     string
		model    func() *onnx.Model
		override model.Override
		want     string
	}{
		{"text input", func() *onnx.Model {
			b := onnx.NewBuilder("g")
			b.Output(b.Op("Identity", nil, b.Input("s", onnx.String, "n", 1)), onnx.String, onnx.Dims("n", 1))
			return b.Model()
		}, model.Override{}, `input "s" is string[n 1]`},
		{"row of unknown size", func() *onnx.Model {
			b := onnx.NewBuilder("g")
			b.Output(b.Op("Relu", nil, b.Input("x", onnx.Float32, "n", "d")), onnx.Float32, onnx.Dims("n", "d"))
			return b.Model()
		}, model.Override{}, "state the shape of a row"},
		{"an enormous batch", func() *onnx.Model {
			b := onnx.NewBuilder("g")
			b.Output(b.Op("Relu", nil, b.Input("x", onnx.Float32, 1<<40, 2)), onnx.Float32, onnx.Dims(1<<40, 2))
			return b.Model()
		}, model.Override{}, "values at once"},
		{"two outputs alike", func() *onnx.Model {
			b := onnx.NewBuilder("g")
			x := b.Input("x", onnx.Float32, "n", 2)
			b.Output(b.Op("Relu", nil, x), onnx.Float32, onnx.Dims("n", 2))
			b.Output(b.Op("Abs", nil, x), onnx.Float32, onnx.Dims("n", 2))
			return b.Model()
		}, model.Override{}, "not clear: name one of Relu: float32[n 2], Abs: float32[n 2]"},
		{"wrong number of names", kerasBinary, model.Override{Classes: []string{"a", "b", "c"}}, "3 names of classes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ort.NewClassifier(context.Background(), tt.model(), ort.ClassifierOptions{Override: tt.override})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v does not say %q", err, tt.want)
			}
		})
	}
}

func TestOverride(t *testing.T) {
	o := model.Override{Classes: []string{"healthy", "ill"}, Output: model.Logits, Range: &model.Range{Low: -1, High: 1, Basis: "stated"}, Layout: model.Other}
	c, err := ort.NewClassifier(context.Background(), kerasBinary(), ort.ClassifierOptions{Override: o})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d := c.Describe()
	if !slices.Equal(d.Classes, o.Classes) || d.Output != o.Output || d.Range != *o.Range || d.Layout != o.Layout {
		t.Errorf("%+v", d)
	}
}

// TestOpenClassifier: a model in a file, with weights beside it, gives the scores
// that it gives in memory.
func TestOpenClassifier(t *testing.T) {
	for _, tt := range exported {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "model.onnx")
			if err := tt.model().SaveExternal(path); err != nil {
				t.Fatal(err)
			}
			ctx, row := context.Background(), make([]float64, 2*tt.want.RowSize())
			for i := range row {
				row[i] = math.Cos(float64(i))
			}
			inMemory, err := ort.NewClassifier(ctx, tt.model(), ort.ClassifierOptions{Batch: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer inMemory.Close()
			inFile, err := ort.OpenClassifier(ctx, path, ort.ClassifierOptions{Batch: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer inFile.Close()
			want, got := make([]float64, 2*len(tt.want.Classes)), make([]float64, 2*len(tt.want.Classes))
			if err := errors.Join(inMemory.Predict(ctx, row, want), inFile.Predict(ctx, row, got)); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v, not %v", got, want)
			}
		})
	}
}
