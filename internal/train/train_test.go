package train_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"assay/internal/model/ort"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
	"assay/onnx/autodiff"
)

// clouds are points of two classes in the plane that overlap a little.
func clouds(n int, seed uint64) *train.Data {
	r := rand.New(rand.NewPCG(seed, 0))
	d := &train.Data{Shape: []int{2}}
	for i := range n {
		class := int32(i % 2)
		d.X = append(d.X, float32(r.NormFloat64()+2*float64(class)), float32(r.NormFloat64()-float64(class)))
		d.Classes = append(d.Classes, class)
	}
	return d
}

// pictures are images of two classes: bright to the left or to the right.
func pictures(n, size int, seed uint64) *train.Data {
	r := rand.New(rand.NewPCG(seed, 0))
	d := &train.Data{Shape: []int{1, size, size}}
	for i := range n {
		for range size {
			for x := range size {
				v := 0.3 * r.NormFloat64()
				if (x < size/2) == (i%2 == 0) {
					v++
				}
				d.X = append(d.X, float32(v))
			}
		}
		d.Classes = append(d.Classes, int32(i%2))
	}
	return d
}

func run(t testing.TB, m *onnx.Model, d *train.Data, o train.Options) *train.Result {
	t.Helper()
	r, err := train.Run(context.Background(), m, d, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func encode(t testing.TB, m *onnx.Model) []byte {
	t.Helper()
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func weights(t testing.TB, m *onnx.Model, name string) []float32 {
	t.Helper()
	w := m.Graph.Initializer(name)
	if w == nil {
		t.Fatalf("the model has no weight %q", name)
	}
	v, err := onnx.View[float32](w)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// withDropout is a network with dropout and batch normalisation, as exported.
func withDropout() *onnx.Model {
	b := onnx.NewBuilder("dropout")
	x := b.Input("input", onnx.Float32, "batch", 2)
	r := rand.New(rand.NewPCG(5, 0))
	draw := func(name string, shape ...int64) string {
		n, _ := onnx.Count(shape)
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(r.NormFloat64()) * 0.5
		}
		return b.Weight(onnx.NewTensor(name, v, shape...))
	}
	ones := []float32{1, 1, 1, 1, 1, 1, 1, 1}
	zeros := make([]float32, 8)
	h := b.Op("Gemm", nil, x, draw("w1", 2, 8), draw("b1", 8))
	// Exporters let equal constants be one; normalisation needs them apart.
	one, zero := b.Weight(onnx.NewTensor("ones", ones)), b.Weight(onnx.NewTensor("zeros", zeros))
	h = b.Op("BatchNormalization", nil, h, one, zero, zero, one)
	h = b.Op("Dropout", nil, b.Op("Relu", nil, h), b.Number(onnx.Float32, 0.3))
	h = b.Op("Gemm", nil, h, draw("w2", 8, 2), draw("b2", 2))
	b.Output(b.OpAs("probabilities", "Softmax", nil, h), onnx.Float32, onnx.Dims("batch", 2))
	return b.Model()
}

// trainings are of every kind that keeps something from step to step.
var trainings = map[string]struct {
	model   func() *onnx.Model
	data    func() *train.Data
	options train.Options
}{
	"sgd": {func() *onnx.Model { return network.MLP(2, []int{8}, 2, 1) }, func() *train.Data { return clouds(101, 1) },
		train.Options{Optimizer: train.Optimizer{Method: train.SGD, Rate: 0.05, Momentum: 0.9, Nesterov: true, Decay: 1e-3}, Schedule: train.Schedule{Kind: train.OneCycle}}},
	"adam with patience": {func() *onnx.Model { return network.MLP(2, []int{8}, 2, 1) }, func() *train.Data { return clouds(101, 1) },
		train.Options{Optimizer: train.Optimizer{Rate: 0.05}, Validation: clouds(50, 2), Patience: 2}},
	"augmented images": {func() *onnx.Model { return network.CNN(1, 8, 8, []int{4, 4}, 2, 1) }, func() *train.Data { return pictures(70, 8, 1) },
		train.Options{Augment: train.Augmentation{Crop: 2, Flip: true, Noise: 0.1}, Schedule: train.Schedule{Kind: train.StepDown}}},
	"dropout and batch normalisation": {withDropout, func() *train.Data { return clouds(97, 1) },
		train.Options{Optimizer: train.Optimizer{Method: train.AdamW, Decay: 0.01, Rate: 0.01}, Schedule: train.Schedule{Kind: train.Cosine, Warmup: 0.1}}},
}

func TestSameBytes(t *testing.T) {
	for name, c := range trainings {
		t.Run(name, func(t *testing.T) {
			o := c.options
			o.Epochs, o.Batch, o.Seed = 4, 16, 7
			before := encode(t, c.model())
			m := c.model()
			first := encode(t, run(t, m, c.data(), o).Model)
			if !bytes.Equal(before, encode(t, m)) {
				t.Error("training changed the model it was given")
			}
			if !bytes.Equal(first, encode(t, run(t, m, c.data(), o).Model)) {
				t.Error("the same training gives another model the second time")
			}
			o.Seed = 8
			if bytes.Equal(first, encode(t, run(t, m, c.data(), o).Model)) {
				t.Error("another seed gives the same model")
			}
		})
	}
}

// TestResume interrupts trainings in the middle of an epoch and between two, and
// wants what an uninterrupted one gives.
func TestResume(t *testing.T) {
	for name, c := range trainings {
		t.Run(name, func(t *testing.T) {
			o := c.options
			o.Epochs, o.Batch, o.Seed = 5, 16, 7
			whole := run(t, c.model(), c.data(), o)
			o.Checkpoint = filepath.Join(t.TempDir(), "state")
			for _, stop := range []struct{ epoch, step int }{{1, 2}, {2, 3}, {4, 1}} {
				ctx, cancel := context.WithCancel(context.Background())
				o.Progress = func(p train.Progress) {
					if p.Epoch == stop.epoch && p.Step == stop.step {
						cancel()
					}
				}
				if _, err := train.Run(ctx, c.model(), c.data(), o); err != nil && !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				cancel()
			}
			o.Progress = nil
			resumed := run(t, c.model(), c.data(), o)
			if resumed.Resumed == 0 {
				t.Error("nothing was resumed")
			}
			if !bytes.Equal(encode(t, whole.Model), encode(t, resumed.Model)) {
				t.Error("a resumed training gives another model than an uninterrupted one")
			}
			if !slices.EqualFunc(whole.History, resumed.History, func(a, b train.Epoch) bool { return a.Training == b.Training }) {
				t.Errorf("histories differ: %v and %v", whole.History, resumed.History)
			}
		})
	}
}

func TestCheckpointRefused(t *testing.T) {
	d, m := clouds(40, 1), network.Logistic(2, 2, 1)
	o := train.Options{Epochs: 2, Checkpoint: t.TempDir()}
	run(t, m, d, o)
	path := filepath.Join(o.Checkpoint, "training.checkpoint")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := o
	other.Seed = 9
	if _, err := train.Run(context.Background(), m, d, other); err == nil {
		t.Error("a checkpoint of another seed was resumed")
	}
	for name, bad := range map[string][]byte{
		"empty": {}, "truncated": good[:len(good)-1], "longer": append(slices.Clone(good), 0),
		"changed": append([]byte{'{' ^ 1}, good[1:]...), "text": []byte("{}\n"),
	} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := train.Run(context.Background(), m, d, o); err == nil {
			t.Errorf("a checkpoint that is %s was resumed", name)
		}
	}
}

func TestFrozen(t *testing.T) {
	m := network.MLP(2, []int{8}, 2, 1)
	r := run(t, m, clouds(64, 1), train.Options{Epochs: 2, Frozen: []string{"dense1.*"}})
	for _, w := range m.Graph.Initializers {
		same := slices.Equal(weights(t, m, w.Name), weights(t, r.Model, w.Name))
		if frozen := w.Name == "dense1.weight" || w.Name == "dense1.bias"; same != frozen {
			t.Errorf("weight %s: unchanged is %v, frozen is %v", w.Name, same, frozen)
		}
	}
	if _, err := train.Run(context.Background(), m, clouds(64, 1), train.Options{Frozen: []string{"nowhere"}}); err == nil {
		t.Error("a frozen weight that does not exist is no error")
	}
}

// TestFrozenNormalisation: where its parameters are frozen, so are its statistics.
func TestFrozenNormalisation(t *testing.T) {
	m := withDropout()
	changed := func(frozen ...string) bool {
		r := run(t, m, clouds(64, 1), train.Options{Epochs: 1, Frozen: frozen})
		for _, w := range r.Model.Graph.Initializers {
			if before := m.Graph.Initializer(w.Name); before == nil || w.Name == "zeros" || w.Name == "ones" {
				for _, v := range weights(t, r.Model, w.Name) {
					if v != 0 && v != 1 {
						return true
					}
				}
			}
		}
		return false
	}
	if !changed() {
		t.Error("batch normalisation was not trained")
	}
	if changed("ones", "zeros", "ones_*", "zeros_*") {
		t.Error("frozen batch normalisation has changed")
	}
}

// TestWeightsAreRows: an example of weight 2 is as good as the example twice, and
// one of weight 0 as none.
func TestWeightsAreRows(t *testing.T) {
	d := clouds(30, 1)
	weighted := &train.Data{X: d.X, Shape: d.Shape, Classes: d.Classes}
	rows := &train.Data{Shape: d.Shape}
	for i := range d.Len() {
		times := i % 3
		weighted.Weights = append(weighted.Weights, float32(times))
		for range times {
			rows.X, rows.Classes = append(rows.X, d.X[2*i:2*i+2]...), append(rows.Classes, d.Classes[i])
		}
	}
	o := train.Options{Epochs: 50, Batch: 100, Optimizer: train.Optimizer{Method: train.SGD, Rate: 0.5}}
	m := network.Logistic(2, 2, 1)
	a, b := run(t, m, weighted, o), run(t, m, rows, o)
	for _, w := range m.Graph.Initializers {
		x, y := weights(t, a.Model, w.Name), weights(t, b.Model, w.Name)
		for i := range x {
			if math.Abs(float64(x[i]-y[i])) > 1e-5 {
				t.Errorf("%s[%d] is %v with weights and %v with rows", w.Name, i, x[i], y[i])
			}
		}
	}
	last := func(r *train.Result) float64 { return r.History[len(r.History)-1].Training.Loss }
	if math.Abs(last(a)-last(b)) > 1e-6 {
		t.Errorf("the loss is %v with weights and %v with rows", last(a), last(b))
	}
}

// TestLogisticOptimum: at the optimum of the likelihood each feature's sum over the
// residuals is zero. The sums are made here, in float64.
func TestLogisticOptimum(t *testing.T) {
	d := clouds(200, 1)
	r := run(t, network.Logistic(2, 2, 1), d, train.Options{Epochs: 600, Batch: 200, Optimizer: train.Optimizer{Method: train.SGD, Rate: 1, Momentum: 0.5}})
	w, b := weights(t, r.Model, "dense.weight"), weights(t, r.Model, "dense.bias")
	var sums [3]float64
	for i, class := range d.Classes {
		x := []float64{float64(d.X[2*i]), float64(d.X[2*i+1]), 1}
		lead := x[0]*float64(w[1]-w[0]) + x[1]*float64(w[3]-w[2]) + float64(b[1]-b[0])
		residual := 1/(1+math.Exp(-lead)) - float64(class)
		for k := range sums {
			sums[k] += x[k] * residual / float64(d.Len())
		}
	}
	for k, s := range sums {
		if math.Abs(s) > 1e-5 {
			t.Errorf("the gradient's element %d is %v at the end, want 0", k, s)
		}
	}
}

// TestRegression finds the coefficients of a plane, by least squares.
func TestRegression(t *testing.T) {
	d := clouds(100, 3)
	d.Classes = nil
	for i := range len(d.X) / 2 {
		d.Targets = append(d.Targets, 3*d.X[2*i]-2*d.X[2*i+1]+0.5)
	}
	r := run(t, network.Logistic(2, 1, 1), d, train.Options{Epochs: 300, Batch: 100, Optimizer: train.Optimizer{Method: train.SGD, Rate: 0.1}})
	got := slices.Concat(weights(t, r.Model, "dense.weight"), weights(t, r.Model, "dense.bias"))
	for i, want := range []float64{3, -2, 0.5} {
		if math.Abs(float64(got[i])-want) > 1e-3 {
			t.Errorf("coefficient %d is %v, want %v", i, got[i], want)
		}
	}
}

// TestBinaryScore trains a model with one probability for two classes, and one
// whose probability cannot be traced to a score.
func TestBinaryScore(t *testing.T) {
	for name, end := range map[string]func(b *onnx.Builder, z string) string{
		"sigmoid": func(b *onnx.Builder, z string) string { return b.OpAs("probability", "Sigmoid", nil, z) },
		"sigmoid and its complement": func(b *onnx.Builder, z string) string {
			p := b.Op("Sigmoid", nil, z)
			return b.OpAs("probabilities", "Concat", onnx.Attrs{"axis": int64(1)}, b.Op("Sub", nil, b.Number(onnx.Float32, 1), p), p)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := onnx.NewBuilder("binary")
			x := b.Input("x", onnx.Float32, "batch", 2)
			z := b.Op("Gemm", nil, x, b.Weight(onnx.NewTensor("w", make([]float32, 2), 2, 1)), b.Weight(onnx.NewTensor("b", make([]float32, 1))))
			p := end(b, z)
			columns := 1
			if p == "probabilities" {
				columns = 2
			}
			b.Output(p, onnx.Float32, onnx.Dims("batch", columns))
			d := clouds(200, 1)
			r := run(t, b.Model(), d, train.Options{Epochs: 300, Batch: 200, Optimizer: train.Optimizer{Method: train.SGD, Rate: 1, Momentum: 0.5}})
			full := run(t, network.Logistic(2, 2, 1), d, train.Options{Epochs: 600, Batch: 200, Optimizer: train.Optimizer{Method: train.SGD, Rate: 1, Momentum: 0.5}})
			two := weights(t, full.Model, "dense.weight")
			one := weights(t, r.Model, "w")
			for i := range one {
				if want := two[2*i+1] - two[2*i]; math.Abs(float64(one[i]-want)) > 1e-3 {
					t.Errorf("coefficient %d is %v, and logistic regression's %v", i, one[i], want)
				}
			}
		})
	}
}

func TestDivergence(t *testing.T) {
	d := clouds(100, 1)
	m := network.MLP(2, []int{8}, 1, 1)
	d.Targets, d.Classes = make([]float32, d.Len()), nil
	r, err := train.Run(context.Background(), m, d, train.Options{Epochs: 20, Batch: 20, Optimizer: train.Optimizer{Method: train.SGD, Rate: 1e6}})
	var diverged *train.Diverged
	if !errors.As(err, &diverged) {
		t.Fatalf("error is %v, want *Diverged", err)
	}
	if r == nil {
		t.Fatal("the last good weights are lost")
	}
	for _, w := range r.Model.Graph.Initializers {
		for _, v := range weights(t, r.Model, w.Name) {
			if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
				t.Errorf("weight %s has %v", w.Name, v)
			}
		}
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	o := train.Options{Epochs: 1000, Batch: 10, Progress: func(p train.Progress) {
		if p.Epoch == 2 {
			cancel()
		}
	}}
	if _, err := train.Run(ctx, network.Logistic(2, 2, 1), clouds(100, 1), o); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want %v", err, context.Canceled)
	}
}

// TestPerturb: what the hook does to a batch is what the step sees, and the hook
// sees the weights as they change.
func TestPerturb(t *testing.T) {
	d := clouds(60, 1)
	swapped := &train.Data{X: d.X, Shape: d.Shape, Classes: slices.Clone(d.Classes)}
	for i := range swapped.Classes {
		swapped.Classes[i] = 1 - swapped.Classes[i]
	}
	m := network.Logistic(2, 2, 1)
	var seen [][]float32
	o := train.Options{Epochs: 2, Batch: 20, Perturb: func(_ context.Context, b *train.Batch) error {
		for i := range b.Classes {
			b.Classes[i] = 1 - b.Classes[i]
		}
		seen = append(seen, slices.Clone(ort.Data[float32](b.Model["dense.weight"])))
		return nil
	}}
	got := run(t, m, d, o)
	o.Perturb = nil
	if want := run(t, m, swapped, o); !bytes.Equal(encode(t, got.Model), encode(t, want.Model)) {
		t.Error("a perturbed batch does not train as the same data")
	}
	if len(seen) != 6 || slices.Equal(seen[0], seen[5]) {
		t.Error("the hook does not see the weights change")
	}
	o.Perturb = func(context.Context, *train.Batch) error { return errors.New("no") }
	if _, err := train.Run(context.Background(), m, d, o); err == nil {
		t.Error("the hook's error is lost")
	}
}

// TestBatchStatistics: after one step of the whole data the running statistics are
// 0.9 of what they were and 0.1 of the data's own, computed here.
func TestBatchStatistics(t *testing.T) {
	b := onnx.NewBuilder("normalised")
	x := b.Input("x", onnx.Float32, "batch", 2)
	y := b.Op("BatchNormalization", nil, x, b.Weight(onnx.NewTensor("scale", []float32{1, 1})), b.Weight(onnx.NewTensor("shift", []float32{0, 0})),
		b.Weight(onnx.NewTensor("mean", []float32{0, 0})), b.Weight(onnx.NewTensor("var", []float32{1, 1})))
	b.Add("Gemm", nil, []string{y, b.Weight(onnx.NewTensor("w", []float32{1, 0, 0, 1}, 2, 2))}, []string{b.Name("logits")})
	b.Output("logits", onnx.Float32, onnx.Dims("batch", 2))
	d := clouds(50, 4)
	r := run(t, b.Model(), d, train.Options{Epochs: 1, Batch: 50})
	mean, variance := weights(t, r.Model, "mean"), weights(t, r.Model, "var")
	for k := range 2 {
		sum, squares := 0.0, 0.0
		for i := range d.Len() {
			v := float64(d.X[2*i+k])
			sum, squares = sum+v, squares+v*v
		}
		own := sum / 50
		if want := 0.1 * own; math.Abs(float64(mean[k])-want) > 1e-5 {
			t.Errorf("running mean %d is %v, want %v", k, mean[k], want)
		}
		if want := 0.9 + 0.1*(squares/50-own*own); math.Abs(float64(variance[k])-want) > 1e-5 {
			t.Errorf("running variance %d is %v, want %v", k, variance[k], want)
		}
	}
	for _, n := range r.Model.Graph.Nodes {
		if n.Int("training_mode", 0) != 0 || n.Op == "BatchNormalization" && len(n.Outputs) != 1 {
			t.Errorf("%s is left in training mode", n)
		}
	}
}

// TestFixedBatch trains a model that takes 8 examples and no other number.
func TestFixedBatch(t *testing.T) {
	m := network.Logistic(2, 2, 1)
	m.Graph.Inputs[0].Type.Shape[0] = onnx.Dim{Size: 8}
	m.Graph.Outputs[0].Type.Shape[0] = onnx.Dim{Size: 8}
	r := run(t, m, clouds(100, 1), train.Options{Epochs: 20, Optimizer: train.Optimizer{Rate: 0.05}})
	for _, n := range []int{3, 20} {
		d := clouds(n, 1)
		got, err := train.Evaluate(context.Background(), r.Model, d, train.Options{})
		if err != nil {
			t.Fatal(err)
		}
		free := r.Model.Clone()
		free.Graph.Inputs[0].Type.Shape = onnx.Dims("batch", 2)
		free.Graph.Outputs[0].Type.Shape = onnx.Dims("batch", 2)
		want, err := train.Evaluate(context.Background(), free, d, train.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got.Loss-want.Loss) > 1e-6 || got.Accuracy != want.Accuracy {
			t.Errorf("%d examples: %+v in fixed batches, %+v in free ones", n, got, want)
		}
	}
}

// TestOtherTypes: models of other types are trained as those of float32, to within
// what their weights can hold.
func TestOtherTypes(t *testing.T) {
	trained := func(elem onnx.DataType) []float64 {
		b := onnx.NewBuilder("typed")
		x := b.Input("x", elem, "batch", 2)
		w, err := onnx.FromFloat64s("w", elem, make([]float64, 4), 2, 2)
		if err != nil {
			t.Fatal(err)
		}
		b.Add("MatMul", nil, []string{x, b.Weight(w)}, []string{b.Name("logits")})
		b.Output("logits", elem, onnx.Dims("batch", 2))
		r := run(t, b.Model(), clouds(100, 1), train.Options{Epochs: 20, Optimizer: train.Optimizer{Method: train.SGD}})
		got := r.Model.Graph.Initializer("w")
		if got.Type != elem {
			t.Errorf("the weight is %s in the trained model, want %s", got.Type, elem)
		}
		v, err := got.Float64s()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	want := trained(onnx.Float32)
	for elem, tolerance := range map[onnx.DataType]float64{onnx.Float64: 1e-5, onnx.Float16: 1e-2} {
		for i, v := range trained(elem) {
			if math.Abs(v-want[i]) > tolerance {
				t.Errorf("%s: weight %d is %v, and %v in float32", elem, i, v, want[i])
			}
		}
	}
}

// TestConstantsStay: what normalises the input and what scales by a number is no weight.
func TestConstantsStay(t *testing.T) {
	d := clouds(64, 1)
	m, err := train.Standardize(network.MLP(2, []int{4}, 2, 1), d)
	if err != nil {
		t.Fatal(err)
	}
	b := onnx.Extend(m.Graph)
	scaled := b.OpAs("scaled", "Mul", nil, "logits", b.Weight(onnx.Scalar("temperature", float32(0.5))))
	m.Graph.Outputs[0].Name = scaled
	r := run(t, m, d, train.Options{Epochs: 2})
	for _, name := range []string{"input_mean", "input_std", "temperature"} {
		if !slices.Equal(weights(t, m, name), weights(t, r.Model, name)) {
			t.Errorf("training changed the constant %s", name)
		}
	}
}

// TestStandardize: the trained model takes the data's own units.
func TestStandardize(t *testing.T) {
	d := clouds(100, 1)
	for i := range d.X {
		d.X[i] = 1e4 + 300*d.X[i]
	}
	m, err := train.Standardize(network.Logistic(2, 2, 1), d)
	if err != nil {
		t.Fatal(err)
	}
	if m.Graph.Inputs[0].Name != network.Input {
		t.Errorf("the input is named %q", m.Graph.Inputs[0].Name)
	}
	// The classes are √5 deviations apart, so 0.868 are told apart at best.
	r := run(t, m, d, train.Options{Epochs: 100, Optimizer: train.Optimizer{Rate: 0.05}})
	if a := r.History[99].Training.Accuracy; a < 0.85 {
		t.Errorf("accuracy %v", a)
	}
}

func TestEarlyStop(t *testing.T) {
	d := clouds(20, 1)
	r := run(t, network.MLP(2, []int{64, 64}, 2, 1), d, train.Options{
		Epochs: 500, Batch: 20, Validation: clouds(100, 2), Patience: 5, Optimizer: train.Optimizer{Rate: 0.02}})
	if !r.Early || len(r.History) != r.Best+1+5 {
		t.Fatalf("stopped %v after %d epochs, the best being %d", r.Early, len(r.History), r.Best)
	}
	score, err := train.Evaluate(context.Background(), r.Model, clouds(100, 2), train.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range r.History {
		if e.Validation.Loss < r.History[r.Best].Validation.Loss {
			t.Errorf("epoch %d was better than the best", i)
		}
	}
	if want := r.History[r.Best].Validation; math.Abs(score.Loss-want.Loss) > 1e-6 {
		t.Errorf("the model has the loss %v, and the best epoch had %v", score.Loss, want.Loss)
	}
}

func TestWrongUse(t *testing.T) {
	good, m := clouds(10, 1), network.Logistic(2, 2, 1)
	three := &train.Data{X: make([]float32, 9), Shape: []int{3}, Classes: make([]int32, 3)}
	many := &train.Data{X: good.X, Shape: good.Shape, Classes: []int32{0, 1, 2, 0, 1, 2, 0, 1, 2, 0}}
	nan := &train.Data{X: slices.Clone(good.X), Shape: good.Shape, Classes: good.Classes}
	nan.X[3] = float32(math.NaN())
	tree := network.Logistic(2, 2, 1)
	b := onnx.Extend(tree.Graph)
	tree.Graph.Outputs[0].Name = b.OpAs("rounded", "Round", nil, "logits")
	for name, c := range map[string]struct {
		model *onnx.Model
		data  *train.Data
		o     train.Options
	}{
		"no data":            {m, &train.Data{Shape: []int{2}}, train.Options{}},
		"wrong shape":        {m, three, train.Options{}},
		"class out of range": {m, many, train.Options{}},
		"not a number":       {m, nan, train.Options{}},
		"negative weight":    {m, &train.Data{X: good.X, Shape: good.Shape, Classes: good.Classes, Weights: slices.Repeat([]float32{-1}, 10)}, train.Options{}},
		"flipped table":      {m, good, train.Options{Augment: train.Augmentation{Flip: true}}},
		"no such optimizer":  {m, good, train.Options{Optimizer: train.Optimizer{Method: "lion"}}},
		"no such schedule":   {m, good, train.Options{Schedule: train.Schedule{Kind: "zigzag"}}},
		"negative rate":      {m, good, train.Options{Optimizer: train.Optimizer{Rate: -1}}},
		"negative epochs":    {m, good, train.Options{Epochs: -1}},
		"patience for what":  {m, good, train.Options{Patience: 1}},
		"no such output":     {m, good, train.Options{Output: "scores"}},
		"nothing to train":   {m, good, train.Options{Frozen: []string{"*"}}},
		"no gradient":        {tree, good, train.Options{}},
		"loss needs more":    {m, good, train.Options{Loss: autodiff.DLR}},
	} {
		if _, err := train.Run(context.Background(), c.model, c.data, c.o); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}
