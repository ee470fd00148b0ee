package ort_test

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/onnx"
)

// drawingModel is a graph whose scores are what add makes of a row of four numbers, and their negatives.
func drawingModel(batch any, add func(b *onnx.Builder, x string) string) *onnx.Model {
	b := onnx.NewBuilder("draws")
	y := add(b, b.Input("x", onnx.Float32, batch, 4))
	b.Output(b.OpAs("logits", "Concat", onnx.Attrs{"axis": int64(1)}, y, b.Op("Neg", nil, y)), onnx.Float32, onnx.Dims(batch, 8))
	return b.Model()
}

// Nodes that draw are made inputs: a draw is the same again, another is another, and what is drawn has the distribution
// that the operator has.
func TestDraws(t *testing.T) {
	cast := func(b *onnx.Builder, x string) string { return b.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, x) }
	for _, c := range []struct {
		name            string
		add             func(b *onnx.Builder, x string) string
		mean, deviation float64 // of each score, at an input of ones
	}{
		{"RandomNormalLike", func(b *onnx.Builder, x string) string {
			return b.Op("RandomNormalLike", onnx.Attrs{"mean": float32(2), "scale": float32(3)}, x)
		}, 2, 3},
		{"RandomUniformLike", func(b *onnx.Builder, x string) string {
			return b.Op("RandomUniformLike", onnx.Attrs{"low": float32(-1), "high": float32(5)}, x)
		}, 2, 6 / math.Sqrt(12)},
		{"RandomNormal, the same for all rows", func(b *onnx.Builder, x string) string {
			return b.Op("Add", nil, x, b.Op("RandomNormal", onnx.Attrs{"shape": []int64{4}, "scale": float32(2)}))
		}, 1, 2},
		{"RandomUniform of a batch of one", func(b *onnx.Builder, x string) string {
			return b.Op("Add", nil, x, b.Op("RandomUniform", onnx.Attrs{"shape": []int64{1, 4}}))
		}, 1.5, 1 / math.Sqrt(12)},
		{"Bernoulli", func(b *onnx.Builder, x string) string {
			return b.Op("Bernoulli", nil, b.Op("Mul", nil, x, b.Number(onnx.Float32, 0.3)))
		}, 0.3, math.Sqrt(0.3 * 0.7)},
		{"Multinomial", func(b *onnx.Builder, x string) string {
			// of weights 1, 2, 3 and 4
			weights := b.Op("Add", nil, x, b.Weight(onnx.NewTensor("w", []float32{0, 0.6931472, 1.0986123, 1.3862944}, 4)))
			return cast(b, b.Op("Multinomial", onnx.Attrs{"sample_size": int64(4)}, weights))
		}, 2, 1},
		{"Dropout in training", func(b *onnx.Builder, x string) string {
			return b.Op("Dropout", nil, x, b.Number(onnx.Float32, 0.2), b.Number(onnx.Bool, 1))
		}, 1, math.Sqrt(1.25*1.25*0.8 - 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "model.onnx")
			if err := drawingModel("N", c.add).Save(path); err != nil {
				t.Fatal(err)
			}
			m, err := ort.OpenClassifier(context.Background(), path, ort.ClassifierOptions{Batch: 16})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if !m.Describe().Random {
				t.Fatal("it is not said to draw at random")
			}
			const n = 4000
			rows, draws := slices.Repeat([]float64{1}, 4*n), make([]uint64, n)
			for i := range draws {
				draws[i] = uint64(i)
			}
			ask := func(rows []float64, draws []uint64) []float64 {
				t.Helper()
				scores := make([]float64, 2*len(rows))
				if err := m.PredictDraws(context.Background(), rows, draws, scores); err != nil {
					t.Fatal(err)
				}
				return scores
			}
			all := ask(rows, draws)
			if one := ask(rows[:4], draws[77:78]); !slices.Equal(one, all[77*8:78*8]) {
				t.Errorf("draw 77 gives %v alone, and %v among others", one, all[77*8:78*8])
			}
			if zero := ask(rows[:8], nil); !slices.Equal(zero[:8], all[:8]) || !slices.Equal(zero[8:], all[:8]) {
				t.Errorf("without draws the scores are %v, of draw 0 %v", zero, all[:8])
			}
			sum, squares := 0.0, 0.0
			for i := range n {
				for _, v := range all[8*i : 8*i+4] {
					sum, squares = sum+v, squares+v*v
				}
			}
			mean := sum / (4 * n)
			deviation := math.Sqrt(squares/(4*n) - mean*mean)
			// Scores of one row need not be independent, so the error of the mean is that of n.
			if math.Abs(mean-c.mean) > 5*c.deviation/math.Sqrt(n) || math.Abs(deviation/c.deviation-1) > 0.1 {
				t.Errorf("the mean is %.3f and the deviation %.3f, not %g and %.3f", mean, deviation, c.mean, c.deviation)
			}
		})
	}
}

// Inputs that the metadata declare are filled likewise, and a model that has none is no other than before.
func TestDeclaredRandom(t *testing.T) {
	b := onnx.NewBuilder("declared")
	noise := b.Input("noise", onnx.Float32, "N", 3) // before the row
	x := b.Input("x", onnx.Float32, "N", 3)
	b.Output(b.OpAs("logits", "Add", nil, x, noise), onnx.Float32, onnx.Dims("N", 3))
	m := b.Model()
	d := model.Defence{Random: []model.RandomInput{{Input: "noise", Distribution: model.Uniform, Low: 10, High: 11}}}
	if err := d.Write(m); err != nil {
		t.Fatal(err)
	}
	c, err := ort.NewClassifier(context.Background(), m, ort.ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	scores := make([]float64, 6)
	if err := c.Predict(context.Background(), []float64{1, 2, 3, -1, -2, -3}, scores); err != nil {
		t.Fatal(err)
	}
	for i, v := range []float64{1, 2, 3, -1, -2, -3} {
		if got := scores[i] - v; got < 10 || got >= 11 {
			t.Errorf("the noise of score %d is %g", i, got)
		}
	}
	if scores[0]-1 == scores[3]+1 {
		t.Error("two rows get the same numbers")
	}
	for _, bad := range []model.RandomInput{
		{Input: "nothing", Distribution: model.Uniform, High: 1}, {Input: "x", Distribution: model.Uniform, High: 1}, {Input: "noise", Distribution: model.Uniform, High: 1},
	} {
		broken := b.Model()
		broken.Metadata = nil
		list := []model.RandomInput{bad}
		if bad.Input == "x" {
			list = append(list, model.RandomInput{Input: "noise", Distribution: model.Uniform, High: 1})
		}
		if err := (&model.Defence{Random: list}).Write(broken); err != nil {
			t.Fatal(err)
		}
		c, err := ort.NewClassifier(context.Background(), broken, ort.ClassifierOptions{})
		if err == nil {
			c.Close()
		}
		if (err == nil) != (bad.Input == "noise") {
			t.Errorf("with %+v the error is %v", list, err)
		}
	}
}
