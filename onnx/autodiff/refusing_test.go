package autodiff

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"assay/internal/float64eval"
	"assay/internal/model/ort"
	"assay/onnx"
)

// The label and the refusal stand together in every loss. In the last example the refusal is ahead of all, and in the
// second the label.
func TestRefusing(t *testing.T) {
	const n, k = 3, 6 // five classes and the refusal
	rng := rand.New(rand.NewPCG(4, 4))
	logits := make([]float32, n*k)
	for i := range logits {
		logits[i] = float32(2 * rng.NormFloat64())
	}
	labels, targets := []int64{0, 4, 2}, []int64{3, 1, 0}
	logits[1*k+4], logits[2*k+5] = 8, 9
	z := func(row, class int) float64 { return float64(logits[row*k+class]) }
	sorted := func(row int) []float64 {
		v := make([]float64, k-1)
		for i := range v {
			v[i] = z(row, i)
		}
		slices.Sort(v)
		slices.Reverse(v)
		return v
	}
	own := func(row int) float64 { return max(z(row, int(labels[row])), z(row, k-1)) }
	best := func(row int) float64 {
		b := math.Inf(-1)
		for i := range k - 1 {
			if int64(i) != labels[row] {
				b = max(b, z(row, i))
			}
		}
		return b
	}
	for _, l := range []struct {
		name string
		loss Loss
		want func(row int) float64
	}{
		{"cross-entropy", CrossEntropy, func(row int) float64 {
			sum := 0.0
			for i := range k {
				sum += math.Exp(z(row, i))
			}
			return -math.Log((math.Exp(z(row, int(labels[row]))) + math.Exp(z(row, k-1))) / sum)
		}},
		{"margin", Margin, func(row int) float64 { return best(row) - own(row) }},
		{"targeted margin", TargetedMargin, func(row int) float64 { return z(row, int(targets[row])) - own(row) }},
		{"DLR", DLR, func(row int) float64 { return (best(row) - own(row)) / (sorted(row)[0] - sorted(row)[2]) }},
		{"targeted DLR", TargetedDLR, func(row int) float64 {
			s := sorted(row)
			return (z(row, int(targets[row])) - own(row)) / (s[0] - (s[2]+s[3])/2)
		}},
	} {
		t.Run(l.name, func(t *testing.T) {
			b := onnx.NewBuilder("loss")
			b.Output(b.Op("Identity", nil, b.Input("logits", onnx.Float32, "N", k)), onnx.Float32, onnx.Dims("N", k))
			g, err := New(b.Model())
			if err != nil {
				t.Fatal(err)
			}
			y, target := g.Input("labels", onnx.Int64, "N"), g.Input("targets", onnx.Int64, "N")
			loss, err := g.Loss(Refusing(l.loss), g.Graph.Outputs[0].Name, y, target)
			if err != nil {
				t.Fatal(err)
			}
			g.Graph.Outputs = nil
			g.Output(loss, onnx.Float32, onnx.Dims("N"))
			feeds := map[string]float64eval.Value{
				"logits": ort.NewTensor(logits, n, k), y: ort.NewTensor(labels), target: ort.NewTensor(targets),
			}
			if _, err := (gradientCheck{model: g.Model(), feeds: feeds, seed: 1}).run(); err != nil {
				t.Error(err)
			}
			got := evaluated(t, g.Model(), feeds)[loss]
			for row := range n {
				if want := l.want(row); math.Abs(got[row]-want) > 1e-9*max(1, math.Abs(want)) {
					t.Errorf("example %d has the loss %v, not %v", row, got[row], want)
				}
			}
		})
	}
}
