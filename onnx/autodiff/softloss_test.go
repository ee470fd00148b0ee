package autodiff

import (
	"math"
	"testing"

	"assay/internal/float64eval"
	"assay/internal/model/ort"
	"assay/onnx"
)

func TestSoftCrossEntropy(t *testing.T) {
	const n, k = 3, 4
	logits := []float32{0.5, -1, 2, 0, 3, 3, -2, 1, -0.5, 0.25, 0.125, 4}
	soft := []float32{0.1, 0.2, 0.3, 0.4, 1, 0, 0, 0, 0.25, 0.25, 0.25, 0.25}
	b := onnx.NewBuilder("loss")
	b.Output(b.Op("Identity", nil, b.Input("logits", onnx.Float32, "N", k)), onnx.Float32, onnx.Dims("N", k))
	g, err := New(b.Model())
	if err != nil {
		t.Fatal(err)
	}
	y := g.Input("soft", onnx.Float32, "N", k)
	loss, err := g.Loss(SoftCrossEntropy, g.Graph.Outputs[0].Name, y)
	if err != nil {
		t.Fatal(err)
	}
	g.Graph.Outputs = nil
	g.Output(loss, onnx.Float32, onnx.Dims("N"))
	feeds := map[string]float64eval.Value{"logits": ort.NewTensor(logits, n, k), y: ort.NewTensor(soft, n, k)}
	if _, err := (gradientCheck{model: g.Model(), feeds: feeds, seed: 1}).run(); err != nil {
		t.Error(err)
	}
	got := evaluated(t, g.Model(), feeds)[loss]
	for row := range n {
		sum, want := 0.0, 0.0
		for c := range k {
			sum += math.Exp(float64(logits[row*k+c]))
		}
		for c := range k {
			want -= float64(soft[row*k+c]) * (float64(logits[row*k+c]) - math.Log(sum))
		}
		if math.Abs(got[row]-want) > 1e-9 {
			t.Errorf("row %d: %v, want %v", row, got[row], want)
		}
	}
}
