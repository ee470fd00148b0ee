package method_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
	"assay/internal/model/gradient"
	"assay/internal/model/ort"
	"assay/internal/train/network"
	"assay/onnx"
)

// target opens a network as a target: for batches, with gradients, and to confirm.
func target(t *testing.T, m *onnx.Model, batch int) method.Target {
	t.Helper()
	open := func(o ort.Options) model.Classifier {
		c, err := ort.NewClassifier(context.Background(), m, ort.ClassifierOptions{Options: o})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	g, err := gradient.New(context.Background(), m, gradient.Options{Batch: batch})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	target := method.Target{Model: open(ort.Options{}), Gradient: g, Confirm: open(ort.Options{Optimization: ort.OptimizeOff, Threads: 1})}
	target.Domain = box(target.Model.Describe().RowSize(), -3, 3)
	return target
}

// units draws inputs, labelled by the model itself.
func units(t *testing.T, c model.Classifier, n int) []method.Input {
	t.Helper()
	d := c.Describe()
	r := rand.New(rand.NewPCG(5, 5))
	var inputs []method.Input
	for i := range n {
		x, row := make([]float32, d.RowSize()), make([]float64, d.RowSize())
		for j := range x {
			x[j] = float32(r.NormFloat64())
			row[j] = float64(x[j])
		}
		scores := make([]float64, len(d.Classes))
		if err := c.Predict(context.Background(), row, scores); err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, method.Input{Index: int64(i), X: x, Label: slices.Index(scores, slices.Max(scores))})
	}
	return inputs
}

// networks have, each with an eps, some units that are broken and some that are not.
func networks() map[string]struct {
	model *onnx.Model
	eps   float64
} {
	return map[string]struct {
		model *onnx.Model
		eps   float64
	}{
		"mlp": {network.MLP(13, []int{17, 9}, 3, 2), 0.15},
		"cnn": {network.CNN(2, 7, 5, []int{5, 6}, 3, 2), 0.15},
		// Large enough for several threads.
		"wide mlp": {network.MLP(130, []int{515, 260}, 3, 2), 0.02},
		"wide cnn": {network.CNN(3, 16, 16, []int{33, 48}, 3, 1), 0.6},
	}
}

// TestResultsDependOnTheUnitAlone: not on how many units run side by side, their order,
// or which others there are. The example found is the same to the bit.
func TestResultsDependOnTheUnitAlone(t *testing.T) {
	for name, network := range networks() {
		t.Run(name, func(t *testing.T) {
			const n = 40
			here := target(t, network.model, 0)
			inputs := units(t, here.Confirm, n)
			methods := []method.Method{ascent(6), draws(9)}
			a := method.Attacker{Access: assay.Gradients, Norm: method.Linf, Eps: network.eps}
			run := func(inputs []method.Input, lanes int) map[int64][]byte {
				results, err := method.Run(context.Background(), here, a, methods, inputs, method.Options{Seed: 3, Lanes: lanes})
				if err != nil {
					t.Fatal(err)
				}
				out := map[int64][]byte{}
				for i, r := range results {
					if r.Index != inputs[i].Index {
						t.Fatalf("result %d is of unit %d, not %d", i, r.Index, inputs[i].Index)
					}
					data, err := json.Marshal(r)
					if err != nil {
						t.Fatal(err)
					}
					for _, m := range r.Methods {
						example, err := json.Marshal(m.Example)
						if err != nil {
							t.Fatal(err)
						}
						data = append(data, example...)
					}
					out[r.Index] = data
				}
				return out
			}
			want := run(inputs, 32)
			broken := 0
			for _, data := range want {
				if bytes.Contains(data, []byte(`"success":true`)) {
					broken++
				}
			}
			if broken == 0 || broken == n {
				t.Fatalf("%d of %d units are broken: the test compares nothing of interest", broken, n)
			}
			compare := func(what string, inputs []method.Input, lanes int) {
				t.Helper()
				for i, data := range run(inputs, lanes) {
					if !bytes.Equal(data, want[i]) {
						t.Errorf("%s: unit %d\n%s\n%s", what, i, data, want[i])
					}
				}
			}
			compare("one after the other", inputs, 1)
			compare("three at a time", inputs, 3)
			backwards := slices.Clone(inputs)
			slices.Reverse(backwards)
			compare("backwards", backwards, 32)
			compare("some", inputs[7:12], 32)
			compare("one alone", inputs[30:31], 0)
			here = target(t, network.model, 7)
			compare("gradients in smaller batches", inputs, 0)
			for i := range methods {
				alone, err := method.Run(context.Background(), here, a, methods[i:i+1], inputs, method.Options{Seed: 3})
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range alone {
					data, err := json.Marshal(r.Methods[0])
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Contains(want[r.Index], data) {
						t.Errorf("unit %d: the method alone gives %s, with the other %s", r.Index, data, want[r.Index])
					}
				}
			}
		})
	}
}

// TestExamplesReproduce: what is reported as a success is one, for anyone who asks the
// model about the example, in any batch or none, and is within the attacker's limits.
func TestExamplesReproduce(t *testing.T) {
	for name, network := range networks() {
		for _, norm := range method.Norms() {
			t.Run(name+" "+string(norm), func(t *testing.T) {
				target := target(t, network.model, 0)
				inputs := units(t, target.Confirm, 20)
				a := method.Attacker{Access: assay.Gradients, Norm: norm, Eps: network.eps}
				size := float64(target.Model.Describe().RowSize())
				switch norm {
				case method.L2:
					a.Eps *= math.Sqrt(size)
				case method.L1:
					a.Eps *= size
				case method.L0:
					a.Eps = math.Ceil(size / 4)
				}
				results, err := method.Run(context.Background(), target, a, []method.Method{ascent(8)}, inputs, method.Options{})
				if err != nil {
					t.Fatal(err)
				}
				successes := 0
				for i, r := range results {
					f := r.Methods[0]
					if !f.Success {
						continue
					}
					successes++
					space := method.Space{Domain: target.Domain, Norm: norm, Eps: a.Eps, Clean: inputs[i].X}
					if err := space.Contains(f.Example); err != nil {
						t.Error(err)
					}
					row, scores := make([]float64, len(f.Example)), make([]float64, 3)
					for j, v := range f.Example {
						row[j] = float64(v)
					}
					if err := target.Confirm.Predict(context.Background(), row, scores); err != nil {
						t.Fatal(err)
					}
					if answer := slices.Index(scores, slices.Max(scores)); answer == inputs[i].Label || answer != r.Answer {
						t.Errorf("unit %d: the example is of class %d, the result says %d", i, answer, r.Answer)
					}
				}
				if successes == 0 {
					t.Error("nothing was found to look at")
				}
			})
		}
	}
}
