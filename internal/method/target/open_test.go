package target_test

import (
	"context"
	"errors"
	"testing"

	"assay/internal/method/target"
	"assay/internal/train/network"
	"assay/onnx"
	"assay/onnx/autodiff"
)

func TestOpen(t *testing.T) {
	m, err := target.Open(context.Background(), network.MLP(3, []int{4}, 2, 1), target.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Gradient == nil || m.NoGradient != nil || m.Hidden() || m.RowSize() != 3 {
		t.Errorf("%+v", m)
	}
	row, many, one := []float64{0.1, 0.2, 0.3}, make([]float64, 2), make([]float64, 2)
	if err := m.Target.Model.Predict(context.Background(), row, many); err != nil {
		t.Fatal(err)
	}
	if err := m.Confirm.Predict(context.Background(), row, one); err != nil {
		t.Fatal(err)
	}
	if d := many[0] - one[0]; d > 1e-6 || d < -1e-6 {
		t.Errorf("scores %v and %v", many, one)
	}
}

// A model that rounds its input can be attacked, and tells that its gradient is hidden.
func TestOpenWithoutGradient(t *testing.T) {
	b := onnx.NewBuilder("rounding")
	x := b.Op("Round", nil, b.Input("x", onnx.Float32, "batch", 2))
	w := b.Weight(onnx.NewTensor("w", []float32{1, -1, -1, 1}, 2, 2))
	b.OutputAs("logits", b.Op("MatMul", nil, x, w), onnx.Float32, onnx.Dims("batch", 2))
	m, err := target.Open(context.Background(), b.Model(), target.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var none *autodiff.NoPath
	if m.Gradient != nil || !errors.As(m.NoGradient, &none) || !m.Hidden() {
		t.Errorf("gradient %v, none because of %v", m.Gradient, m.NoGradient)
	}
}
