package target_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"assay/internal/method/target"
	"assay/internal/model"
)

// asked remembers what it was asked, and gives each number of a row as its own slope.
type asked struct {
	rows   []float32
	labels []int32
}

func (a *asked) Batch() int   { return 4 }
func (a *asked) Close() error { return nil }

func (a *asked) Gradient(_ context.Context, _ model.Loss, rows []float32, labels, _ []int32, scores, _, gradient []float32) error {
	a.rows, a.labels = slices.Clone(rows), slices.Clone(labels)
	copy(gradient, rows)
	for i := range scores {
		scores[i] = float32(i)
	}
	return nil
}

// A surrogate of other layout and order of classes gets its own rows and classes, and its slope comes back in the target's.
func TestSurrogateIsTranslated(t *testing.T) {
	schema := images([]int{3, 1, 2}, "a", "b")
	last := model.Description{Shape: []int64{1, 2, 3}, Layout: model.NHWC, Classes: []string{"a", "b", "c"}}
	first := model.Description{Shape: []int64{3, 1, 2}, Layout: model.NCHW, Classes: []string{"b", "a"}}
	of, err := target.NewRows(schema, last)
	if err != nil {
		t.Fatal(err)
	}
	own, err := target.NewRows(schema, first)
	if err != nil {
		t.Fatal(err)
	}
	m, g := &target.Model{Description: first}, &asked{}
	m.Gradient = g
	s, err := target.NewSurrogate(own, m, of, last)
	if err != nil {
		t.Fatal(err)
	}
	row := of.Row([]float32{0, 1, 10, 11, 20, 21})
	scores, slope := make([]float32, 3), make([]float32, 6)
	if err := s.Gradient(context.Background(), model.CrossEntropy, row, []int32{0}, nil, scores, make([]float32, 1), slope); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(g.rows, []float32{0, 1, 10, 11, 20, 21}) || !slices.Equal(g.labels, []int32{1}) || !slices.Equal(slope, row) {
		t.Errorf("asked about %v of class %v, and gave %v", g.rows, g.labels, slope)
	}
	if scores[0] != 1 || scores[1] != 0 || !math.IsInf(float64(scores[2]), -1) {
		t.Errorf("scores %v", scores)
	}
	err = s.Gradient(context.Background(), model.CrossEntropy, row, []int32{2}, nil, scores, make([]float32, 1), slope)
	if err == nil || !strings.Contains(err.Error(), "does not have the target's class 2") {
		t.Error(err)
	}
	if _, err := target.NewSurrogate(own, &target.Model{Description: first}, of, last); err == nil {
		t.Error("a surrogate without gradients was taken")
	}
}
