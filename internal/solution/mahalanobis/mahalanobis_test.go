package mahalanobis_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"assay/internal/model/ort"
	"assay/internal/solution/mahalanobis"
	"assay/internal/solution/refusal"
	"assay/internal/solution/solutiontest"
)

// TestMahalanobisByHand compares with scores computed here, at a layer that is the input itself.
func TestMahalanobisByHand(t *testing.T) {
	c := solutiontest.Plane(t)
	// Two classes around (0,0) and (10,0), with variance 4 along the first number and 1 along the second.
	rows := []float32{-2, -1, 2, -1, -2, 1, 2, 1, 8, -1, 12, -1, 8, 1, 12, 1}
	detector, err := mahalanobis.Fit(context.Background(), c, "x", rows, []int{0, 0, 0, 0, 1, 1, 1, 1}, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := refusal.Scores(context.Background(), c, detector, []float32{0, 0, 4, 0, 7, 0, 10, 3}, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{0, 16.0 / 4.0025, 9 / 4.0025, 9 / 1.0025} { // a ridge of a thousandth of the mean variance, 2.5
		if math.Abs(float64(got[i])-want) > 1e-4 {
			t.Errorf("row %d: %g, want %g", i, got[i], want)
		}
	}
}

// TestClassWithoutRecords: a class of which there are no records is near to nothing.
func TestClassWithoutRecords(t *testing.T) {
	c := solutiontest.Plane(t)
	d, err := mahalanobis.Fit(context.Background(), c, "x", []float32{9, 9, 11, 9, 9, 11, 11, 11}, []int{1, 1, 1, 1}, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := refusal.Scores(context.Background(), c, d, []float32{10, 10, 0, 0}, ort.Options{})
	if err != nil || math.Abs(float64(got[0])) > 1e-4 || math.Abs(float64(got[1])-200/1.001) > 0.01 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestFitRefuses(t *testing.T) {
	c := solutiontest.Plane(t)
	for _, f := range []struct {
		rows   []float32
		labels []int
		want   string
	}{
		{nil, nil, "there are none"}, {[]float32{1, 2, 3}, []int{0}, "there are none"},
		{[]float32{1, 2}, []int{2}, "of class 2, and the model has 2"}, {[]float32{1, 2, 1, 2}, []int{0, 0}, "the same for all records"},
	} {
		if _, err := mahalanobis.Fit(context.Background(), c, "x", f.rows, f.labels, ort.Options{}); err == nil || !strings.Contains(err.Error(), f.want) {
			t.Errorf("%v, want %q", err, f.want)
		}
	}
}
