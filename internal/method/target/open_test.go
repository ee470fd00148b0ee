package target_test

import (
	"context"
	"errors"
	"testing"

	"assay"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/target"
	"assay/internal/model"
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
	if m.Surrogate == nil {
		t.Error("nothing stands in for the gradient")
	}
}

// A model that is to be smoothed is attacked under its noise, with the abstention as a class, and confirmed by its vote.
func TestOpenSmoothed(t *testing.T) {
	plain := network.MLP(3, []int{4}, 2, 1)
	d := model.Defence{Smoothing: &model.Smoothing{Sigma: 0.5, N0: 20, N: 100, Alpha: 0.01, Batch: 16}}
	if err := d.Write(plain); err != nil {
		t.Fatal(err)
	}
	m, err := target.Open(context.Background(), plain, target.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	confirm := m.Confirm.Describe()
	if !m.Random || !m.Reject || confirm.Random || !confirm.Reject || len(m.Classes) != 3 || len(confirm.Classes) != 3 || m.Gradient == nil {
		t.Fatalf("attacked is %+v, what confirms %+v", m.Description, confirm)
	}
	domain := &method.Domain{Low: []float32{-9, -9, -9}, High: []float32{9, 9, 9}, Scale: []float32{1, 1, 1}}
	m.Domain = domain
	var inputs []method.Input
	for i := range 12 {
		x := []float32{float32(i) - 6, float32(i%5) - 2, float32(i%3) - 1}
		for label := range 2 {
			inputs = append(inputs, method.Input{Index: int64(len(inputs)), X: x, Label: label})
		}
	}
	a := method.Attacker{Access: assay.Gradients, Norm: method.L2, Eps: 6}
	results, err := method.Run(context.Background(), m.Target, a, []method.Method{evasion.PGD{Steps: 10, Step: 0.25, Restarts: 1, Loss: model.Margin}}, inputs, method.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	right, broken := 0, 0
	for _, r := range results {
		if r.Correct {
			right++
			if !r.Robust {
				broken++
			}
		}
	}
	if right == 0 || right > 12 || broken == 0 {
		t.Errorf("of 12 inputs, the vote is right about %d, and %d are broken", right, broken)
	}
}
