package model_test

import (
	"math"
	"slices"
	"testing"

	"assay/internal/model"
)

func TestSoftmax(t *testing.T) {
	got := model.Softmax([]float64{1000, 1000 + math.Log(3)}, model.Logits)
	if math.Abs(float64(got[0])-0.25) > 1e-6 || math.Abs(float64(got[1])-0.75) > 1e-6 {
		t.Errorf("%v of logits", got)
	}
	if got := model.Softmax([]float64{0.5, 0.25, 0.25}, model.Probabilities); !slices.Equal(got, []float32{0.5, 0.25, 0.25}) {
		t.Errorf("%v of probabilities", got)
	}
}
