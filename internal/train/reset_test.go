package train_test

import (
	"bytes"
	"math"
	"testing"

	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// Reset leaves nothing of what was trained: two models that were trained on different data are the same after it.
func TestReset(t *testing.T) {
	for name, m := range map[string]*onnx.Model{
		"mlp": network.MLP(64, []int{16}, 10, 1), "cnn": network.CNN(1, 8, 8, []int{4, 4}, 10, 1), "resnet20": network.ResNet20(1, 8, 8, 10, 1),
	} {
		d := &train.Data{X: make([]float32, 64*20), Shape: []int{1, 8, 8}, Classes: make([]int32, 20)}
		if name == "mlp" {
			d.Shape = []int{64}
		}
		for i := range d.X {
			d.X[i] = float32(i*i%17) / 17
		}
		for i := range d.Classes {
			d.Classes[i] = int32(i % 10)
		}
		r, err := train.Run(t.Context(), m, d, train.Options{Epochs: 1, Batch: 5})
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := train.Reset(m, d, 7)
		if err != nil {
			t.Fatal(err)
		}
		again, err := train.Reset(r.Model, d, 7)
		if err != nil {
			t.Fatal(err)
		}
		a, b := encode(t, fresh), encode(t, again)
		if !bytes.Equal(a, b) || bytes.Equal(a, encode(t, r.Model)) {
			t.Errorf("%s: something of the training is left, or nothing was drawn", name)
		}
		other, err := train.Reset(m, d, 8)
		if err != nil || bytes.Equal(a, encode(t, other)) {
			t.Errorf("%s: another seed draws the same: %v", name, err)
		}
		if name != "resnet20" {
			continue
		}
		w, err := onnx.View[float32](fresh.Graph.Initializer("stage3.block2.conv1.weight"))
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, v := range w {
			sum += float64(v) * float64(v)
		}
		if is, want := sum/float64(len(w)), 2.0/(64*9); math.Abs(is/want-1) > 0.05 {
			t.Errorf("the variance of a layer's weights is %g, not %g", is, want)
		}
	}
}
