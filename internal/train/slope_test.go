package train

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"assay/onnx"
)

// smooth is a network with batch normalisation and dropout, and no kinks.
func smooth() *onnx.Model {
	b := onnx.NewBuilder("smooth")
	r := rand.New(rand.NewPCG(5, 0))
	weight := func(name string, shape ...int64) string {
		n, _ := onnx.Count(shape)
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(r.NormFloat64()) * 0.5
		}
		return b.Weight(onnx.NewTensor(name, v, shape...))
	}
	ones := func(name string, value float32) string {
		return b.Weight(onnx.NewTensor(name, slices.Repeat([]float32{value}, 8)))
	}
	h := b.Op("Gemm", nil, b.Input("input", onnx.Float32, "batch", 2), weight("w1", 2, 8), weight("b1", 8))
	h = b.Op("BatchNormalization", nil, h, ones("scale", 1), ones("shift", 0), ones("mean", 0), ones("var", 1))
	h = b.Op("Dropout", nil, b.Op("Tanh", nil, h), b.Number(onnx.Float32, 0.3))
	b.Output(b.Op("Gemm", nil, h, weight("w2", 8, 2), weight("b2", 2)), onnx.Float32, onnx.Dims("batch", 2))
	return b.Model()
}

// TestInputGradient compares the gradient that a batch gives with the rise of the losses along
// it, while the weights and running statistics change.
func TestInputGradient(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	d := &Data{Shape: []int{2}}
	for i := range 70 {
		d.X = append(d.X, float32(r.NormFloat64()+float64(i%2)), float32(r.NormFloat64()))
		d.Classes = append(d.Classes, int32(i%2))
	}
	compared := 0
	perturb := func(ctx context.Context, b *Batch) error {
		clean := slices.Clone(b.X)
		defer copy(b.X, clean)
		slope, err := b.InputGradient(ctx)
		if err != nil {
			return err
		}
		slope = slices.Clone(slope)
		const h = 0.02
		move := func(by float64) []float32 { // the losses at a distance along each example's slope
			for i := range b.Len() {
				length := math.Hypot(float64(slope[2*i]), float64(slope[2*i+1]))
				for k := 2 * i; k < 2*i+2; k++ {
					b.X[k] = clean[k] + float32(by*float64(slope[k])/length)
				}
			}
			if _, err := b.InputGradient(ctx); err != nil {
				t.Fatal(err)
			}
			return slices.Clone(b.loss)
		}
		up, down := move(h), move(-h)
		for i := range b.Len() {
			want := math.Hypot(float64(slope[2*i]), float64(slope[2*i+1]))
			if got := float64(up[i]-down[i]) / (2 * h); math.Abs(got-want) > 0.01*want+1e-4 {
				t.Errorf("epoch %d, example %d: the loss rises by %g, and the gradient's length is %g", b.Epoch, i, got, want)
			}
			compared++
		}
		return nil
	}
	if _, err := Run(context.Background(), smooth(), d, Options{Epochs: 3, Batch: 32, Optimizer: Optimizer{Rate: 0.01}, Perturb: perturb}); err != nil {
		t.Fatal(err)
	}
	if compared != 3*70 {
		t.Errorf("%d gradients were compared", compared)
	}
}
