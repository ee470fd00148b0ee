package method_test

import (
	"context"
	"testing"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
)

// idle gives gradients without computing any.
type idle struct{ rows int }

func (i idle) Batch() int { return i.rows }

func (i idle) Gradient(_ context.Context, _ model.Loss, _ []float32, _, _ []int32, scores, _, gradient []float32) error {
	clear(scores)
	for k := range gradient {
		gradient[k] = float32(k%3) - 1
	}
	return nil
}

func (i idle) Close() error { return nil }

// BenchmarkStep measures what a step of an attack on 128 images of 3×32×32 costs
// beside the model.
func BenchmarkStep(b *testing.B) {
	const rows, size = 128, 3 * 32 * 32
	quiet := &scorer{size: size, classes: 2, score: func(_, _ []float64) []float64 { return []float64{1, 0} }}
	target := method.Target{Model: quiet, Confirm: quiet, Gradient: idle{rows}, Domain: box(size, 0, 1)}
	inputs := make([]method.Input, rows)
	for i := range inputs {
		inputs[i].X = make([]float32, size)
		for j := range inputs[i].X {
			inputs[i].X[j] = float32(j%11) / 10
		}
	}
	for _, norm := range method.Norms() {
		b.Run(string(norm), func(b *testing.B) {
			b.ReportAllocs()
			a := method.Attacker{Access: assay.Gradients, Norm: norm, Eps: 0.03}
			if _, err := method.Run(context.Background(), target, a, []method.Method{ascent(b.N)}, inputs, method.Options{}); err != nil {
				b.Fatal(err)
			}
		})
	}
}
