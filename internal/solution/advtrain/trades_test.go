package advtrain_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"assay/internal/method"
	"assay/internal/model/ort"
	"assay/internal/solution/advtrain"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// TestTRADESGradients compares the gradient by the examples that an attacker climbs, and the step that training
// makes along that by the weights, with central differences of equation 5 computed here for a linear model.
func TestTRADESGradients(t *testing.T) {
	const features, classes, n, rate = 3, 4, 5, 0.01
	m := network.Logistic(features, classes, 3)
	r := rand.New(rand.NewPCG(1, 0))
	d := &train.Data{Shape: []int{features}}
	for i := range n {
		for range features {
			d.X = append(d.X, float32(r.NormFloat64()))
		}
		d.Classes = append(d.Classes, int32(i%classes))
	}
	linear := linearModel{in: features, out: classes}
	for _, name := range []string{"dense.weight", "dense.bias"} {
		v, err := m.Graph.Initializer(name).Float64s()
		if err != nil {
			t.Fatal(err)
		}
		linear.weights = append(linear.weights, v...)
	}
	trades := &advtrain.TRADES{Beta: 6, Attacker: advtrain.Attacker{Domain: box(features, -9, 9), Norm: method.L2, Eps: 1, Steps: 1}}
	if err := trades.Validate(); err != nil {
		t.Fatal(err)
	}
	o := train.Options{Epochs: 1, Batch: n, Optimizer: train.Optimizer{Method: train.SGD, Rate: rate}}
	trades.Apply(&o)
	var clean, moved []float32
	var labels []int64
	o.Perturb = func(ctx context.Context, b *train.Batch) error {
		clean = slices.Clone(b.X)
		for i := range b.X {
			b.X[i] += 0.5 * float32(r.NormFloat64())
		}
		moved, labels = slices.Clone(b.X), slices.Clone(b.Classes)
		slope, err := b.InputGradient(ctx)
		if err != nil {
			return err
		}
		for i, got := range slope {
			at := i / features * features
			want := difference(func(h float64) float64 {
				x := floats(moved[at : at+features])
				x[i-at] += h
				return linear.divergence(floats(clean[at:at+features]), x)
			})
			if math.Abs(float64(got)-want) > 1e-3*math.Abs(want)+1e-5 {
				t.Errorf("example %d, number %d: the divergence's slope is %g, and by differences %g", i/features, i-at, got, want)
			}
		}
		return nil
	}
	result, err := train.Run(context.Background(), m, d, o)
	if err != nil {
		t.Fatal(err)
	}
	var after []float64
	for _, name := range []string{"dense.weight", "dense.bias"} {
		v, err := result.Model.Graph.Initializer(name).Float64s()
		if err != nil {
			t.Fatal(err)
		}
		after = append(after, v...)
	}
	for k := range after {
		want := difference(func(h float64) float64 {
			other := linear
			other.weights = slices.Clone(linear.weights)
			other.weights[k] += h
			sum := 0.0
			for i := range n {
				x, y := floats(clean[i*features:(i+1)*features]), floats(moved[i*features:(i+1)*features])
				sum += (-other.logs(x)[labels[i]] + trades.Beta*other.divergence(x, y)) / n
			}
			return sum
		})
		if got := (linear.weights[k] - after[k]) / rate; math.Abs(got-want) > 2e-3*math.Abs(want)+2e-4 {
			t.Errorf("weight %d: the step was along %g, and the loss rises by %g", k, got, want)
		}
	}
}

// linearModel is softmax(x·W + b) in float64.
type linearModel struct {
	in, out int
	weights []float64
}

func (m linearModel) logs(x []float64) []float64 {
	z := slices.Clone(m.weights[m.in*m.out:])
	sum := 0.0
	for c := range z {
		for i, v := range x {
			z[c] += v * m.weights[i*m.out+c]
		}
		sum += math.Exp(z[c])
	}
	for c := range z {
		z[c] -= math.Log(sum)
	}
	return z
}

func (m linearModel) divergence(x, y []float64) float64 {
	p, q := m.logs(x), m.logs(y)
	sum := 0.0
	for c := range p {
		sum += math.Exp(p[c]) * (p[c] - q[c])
	}
	return sum
}

func difference(f func(h float64) float64) float64 { return (f(1e-5) - f(-1e-5)) / 2e-5 }

func floats(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

func box(n int, low, high float32) *method.Domain {
	return &method.Domain{Low: slices.Repeat([]float32{low}, n), High: slices.Repeat([]float32{high}, n), Scale: slices.Repeat([]float32{1}, n)}
}

// TestTRADESHardens: the same network withstands PGD more often with TRADES than without, and two trainings give
// the same bytes.
func TestTRADESHardens(t *testing.T) {
	if testing.Short() {
		t.Skip("trains and attacks models")
	}
	training, test, a := digits(t)
	a.Steps = 3
	trades := &advtrain.TRADES{Attacker: *a, Beta: 3}
	with := train.Options{Epochs: 12}
	trades.Apply(&with)
	plainRight, plain := robust(t, fit(t, training, train.Options{Epochs: 12}), test, a.Domain, 2)
	hardRight, hard := robust(t, fit(t, training, with), test, a.Domain, 2)
	t.Logf("of %d digits right %.3f and robust %.3f without, %.3f and %.3f with", test.Len(), plainRight, plain, hardRight, hard)
	if hard < plain+0.2 {
		t.Errorf("%.3f are robust with the solution and %.3f without", hard, plain)
	}
	if hardRight < 0.85 {
		t.Errorf("%.3f are right with the solution", hardRight)
	}
}

// TestTRADESIsDeterministic trains a network with batch normalisation, of pairs in one batch.
func TestTRADESIsDeterministic(t *testing.T) {
	training, _, a := digits(t)
	a.Steps = 1
	trades := &advtrain.TRADES{Attacker: *a, Beta: 6}
	data := train.FromDataset(training.Select(seq(40)))
	var first []byte
	for range 2 {
		o := train.Options{Epochs: 1, Batch: 20, Seed: 4}
		trades.Apply(&o)
		r, err := train.Run(context.Background(), network.ResNet20(1, 8, 8, 10, 1), data, o)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := r.Model.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !slices.Equal(first, encoded) {
			t.Error("the same seed gives other bytes")
		}
		first = encoded
	}
	s, err := ort.New(mustDecode(t, first), ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func mustDecode(t *testing.T, data []byte) *onnx.Model {
	t.Helper()
	m, err := onnx.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTRADESRefuses(t *testing.T) {
	a := advtrain.Attacker{Domain: box(2, 0, 1), Norm: method.Linf, Eps: 0.1, Steps: 1}
	for _, beta := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if err := (&advtrain.TRADES{Attacker: a, Beta: beta}).Validate(); err == nil || !strings.Contains(err.Error(), "beta") {
			t.Errorf("beta %g: %v", beta, err)
		}
	}
	data := &train.Data{Shape: []int{2}, X: make([]float32, 8), Classes: []int32{0, 1, 0, 1}}
	m := network.Logistic(2, 2, 1)
	m.Graph.Inputs[0].Type.Shape[0] = onnx.Dim{Size: 2}
	o := train.Options{Epochs: 1, Batch: 2}
	(&advtrain.TRADES{Attacker: a, Beta: 1}).Apply(&o)
	if _, err := train.Run(context.Background(), m, data, o); err == nil || !strings.Contains(err.Error(), "batches of 2 examples only") {
		t.Errorf("a model of a fixed batch: %v", err)
	}
	o.Perturb = nil
	if _, err := train.Run(context.Background(), network.Logistic(2, 2, 1), data, o); err == nil || !strings.Contains(err.Error(), "nothing perturbs") {
		t.Errorf("nothing perturbs: %v", err)
	}
}
