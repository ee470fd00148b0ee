package knn_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"assay/internal/model/ort"
	"assay/internal/solution/knn"
	"assay/internal/solution/refusal"
	"assay/internal/solution/solutiontest"
	"assay/onnx"
)

// TestNeighboursByHand compares with scores computed here, at a layer that is the input itself.
func TestNeighboursByHand(t *testing.T) {
	c := solutiontest.Plane(t)
	rows := []float32{1, 0, 3, 3, 0, 2, -1, 0}
	detector, err := knn.Fit(context.Background(), c, "x", 2, rows, 1, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := refusal.Scores(context.Background(), c, detector, []float32{5, 0, 0, 1, -2, 0, 0, 0}, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// Cosines to (1,0), (3,3), (0,2) and (-1,0): the second largest is 1/√2, 1/√2, 0, and of nothing 0.
	for i, want := range []float64{1 - math.Sqrt2/2, 1 - math.Sqrt2/2, 1, 1} {
		if math.Abs(float64(got[i])-want) > 1e-6 {
			t.Errorf("row %d: %g, want %g", i, got[i], want)
		}
	}
}

// TestFewRecords: of many records some are kept, the same ones under the same seed, and the rest leaves no trace.
func TestFewRecords(t *testing.T) {
	c := solutiontest.Plane(t)
	rows := make([]float32, 2*(knn.MaxRecords+500))
	for i := range rows {
		rows[i] = float32(i % 97)
	}
	build := func(seed uint64) []byte {
		d, err := knn.Fit(context.Background(), c, "x", 3, rows, seed, ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		m, _, err := refusal.Add(context.Background(), c, d, rows[:400], refusal.Rule{FPR: 0.1, Confidence: 0.9}, ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range m.Graph.Initializers {
			if strings.HasPrefix(w.Name, "neighbours") && w.Shape[1] != knn.MaxRecords {
				t.Errorf("%d records are kept", w.Shape[1])
			}
		}
		return encoded(t, m)
	}
	one := build(1)
	if again := build(1); string(one) != string(again) {
		t.Error("the same seed gives other bytes")
	}
	if string(one) == string(build(2)) {
		t.Error("two seeds keep the same records")
	}
}

func encoded(t *testing.T, m *onnx.Model) []byte {
	t.Helper()
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestFitRefuses(t *testing.T) {
	c := solutiontest.Plane(t)
	for _, f := range []struct {
		k    int
		rows []float32
		want string
	}{{1, nil, "there are none"}, {0, make([]float32, 6), "give 1 to 3"}, {4, make([]float32, 6), "give 1 to 3"}} {
		if _, err := knn.Fit(context.Background(), c, "x", f.k, f.rows, 1, ort.Options{}); err == nil || !strings.Contains(err.Error(), f.want) {
			t.Errorf("%v, want %q", err, f.want)
		}
	}
}
