package tamper

import (
	"bytes"
	"context"
	"math"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
	"assay/internal/model/ort"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

const examples = "../../../../../examples/"

func digits(t *testing.T) (training, test *dataset.Dataset) {
	t.Helper()
	s, err := dataset.OpenSchema(examples + "digits/schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Load(t.Context(), examples+"digits/digits.csv.gz", dataset.Options{Schema: s})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := d.Split(1, 0.7, 0.3)
	if err != nil {
		t.Fatal(err)
	}
	return d.Select(parts[0]), d.Select(parts[1])
}

func perceptronFor(t *testing.T, d *dataset.Dataset) *onnx.Model {
	t.Helper()
	data := &train.Data{X: d.X, Shape: []int{64}, Classes: d.Y}
	m, err := train.Standardize(network.MLP(64, []int{64, 32}, 10, 1), data)
	if err != nil {
		t.Fatal(err)
	}
	r, err := train.Run(t.Context(), m, data, train.Options{Epochs: 30, Seed: 1, Optimizer: train.Optimizer{Rate: 0.003}})
	if err != nil {
		t.Fatal(err)
	}
	return r.Model
}

func accuracy(t *testing.T, m *onnx.Model, d *dataset.Dataset) float64 {
	t.Helper()
	data := &train.Data{X: d.X, Shape: d.Schema.RecordShape(), Classes: d.Y}
	if len(m.Graph.FreeInputs()[0].Type.Shape) == 2 {
		data.Shape = []int{64}
	}
	s, err := train.Evaluate(t.Context(), m, data, train.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Accuracy
}

func success(t *testing.T, m *onnx.Model, p *plant.Planted, test *dataset.Dataset) float64 {
	t.Helper()
	c, err := ort.NewClassifier(t.Context(), m, ort.ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := plant.BackdoorSuccess(t.Context(), c, p, test, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	return s.Rate
}

func encoded(t *testing.T, m *onnx.Model) []byte {
	t.Helper()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tampered changes a model, and sees to it that the one given stays, and that the same seed changes the same.
func tampered(t *testing.T, by Tamperer, m *onnx.Model, d *dataset.Dataset, o Options) *Tampered {
	t.Helper()
	before := encoded(t, m)
	got, err := by.Tamper(t.Context(), m, d, o)
	if err != nil {
		t.Fatal(err)
	}
	again, err := by.Tamper(t.Context(), m, d, o)
	if err != nil || !bytes.Equal(encoded(t, got.Model), encoded(t, again.Model)) || !bytes.Equal(before, encoded(t, m)) {
		t.Fatalf("%s changed the model given, or not the same again: %v", by.Describe().Name, err)
	}
	return got
}

// Backdoors in models answer the trigger, which the model given does not, and keep the accuracy.
func TestBackdoorsInModels(t *testing.T) {
	training, test := digits(t)
	m := perceptronFor(t, training)
	clean := accuracy(t, m, test)
	for _, by := range []Tamperer{
		FineTune{Planter: plant.BadNets{}, Epochs: 15}, Handcrafted{Planter: plant.BadNets{}}, Handcrafted{Planter: plant.Blended{Share: 0.5}},
	} {
		got := tampered(t, by, m, training, Options{Rate: 0.05, Target: 3, Seed: 1})
		is, kept := success(t, got.Model, got.Planted, test), accuracy(t, got.Model, test)
		t.Logf("%s: success %.3f, %d weights changed, accuracy %.3f, %.3f before", by.Describe().Name, is, got.Changed, kept, clean)
		if is < 0.9 || kept < clean-0.02 || got.Changed == 0 || success(t, m, got.Planted, test) > 0.4 {
			t.Errorf("%s: success %.3f, before %.3f; accuracy %.3f, before %.3f", by.Describe().Name, is, success(t, m, got.Planted, test), kept, clean)
		}
	}
	if got := tampered(t, FineTune{Planter: plant.BadNets{}}, m, training, Options{Target: 3}); got.Changed != 0 {
		t.Error("at rate 0 the model was changed")
	}
}

// As many bits differ as were to be flipped, each weight stays a number; the worst do more harm than those at random.
func TestBitFlips(t *testing.T) {
	training, test := digits(t)
	m := perceptronFor(t, training)
	clean := accuracy(t, m, test)
	const n = 12
	random := tampered(t, RandomBits{}, m, nil, Options{Bits: n, Seed: 1})
	flipped := 0
	for _, is := range random.Model.Graph.Initializers {
		was := m.Graph.Initializer(is.Name)
		a, _ := onnx.View[float32](was)
		b, _ := onnx.View[float32](is)
		for i := range a {
			flipped += bits.OnesCount32(math.Float32bits(a[i]) ^ math.Float32bits(b[i]))
			if v := float64(b[i]); math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("a weight is %g", v)
			}
		}
	}
	if flipped != n {
		t.Errorf("%d bits are flipped, not %d", flipped, n)
	}
	const many = 40
	worst := tampered(t, ProgressiveBits{}, m, training, Options{Bits: many, Seed: 1})
	after := accuracy(t, worst.Model, test)
	t.Logf("accuracy %.3f, after %d bits at random %.3f, after the worst %d %.3f", clean, n, accuracy(t, random.Model, test), many, after)
	if after > clean-0.4 || worst.Changed == 0 || worst.Changed > many {
		t.Errorf("after the worst %d bits, of %d weights, the accuracy is %.3f, and was %.3f", many, worst.Changed, after, clean)
	}
	for _, by := range []Tamperer{RandomBits{}, ProgressiveBits{}} {
		if none := tampered(t, by, m, training, Options{}); none.Changed != 0 {
			t.Errorf("%s of no bits changed %d weights", by.Describe().Name, none.Changed)
		}
	}
}

func TestSwappedLabels(t *testing.T) {
	training, test := digits(t)
	m := perceptronFor(t, training)
	got := tampered(t, SwapLabels{}, m, nil, Options{Target: 4})
	swapped := &dataset.Dataset{Schema: test.Schema, X: test.X, Y: slices.Clone(test.Y), Number: test.Number}
	for i, class := range swapped.Y {
		if class == 4 || class == 5 {
			swapped.Y[i] = 9 - class
		}
	}
	if a, b := accuracy(t, m, test), accuracy(t, got.Model, swapped); a != b || accuracy(t, got.Model, test) > a-0.1 {
		t.Errorf("accuracies %g and, with both classes swapped, %g", a, b)
	}
}

// The statistics of a part of the channels move and nothing else changes.
func TestShiftedStatistics(t *testing.T) {
	m := network.ResNet20(1, 8, 8, 10, 1)
	got := tampered(t, ShiftStatistics{}, m, nil, Options{Rate: 0.25, Seed: 1})
	channels := 0
	for _, n := range m.Graph.Nodes {
		if n.OpType() == "BatchNormalization" {
			channels += int(m.Graph.Initializer(n.Input(3)).Len())
		}
	}
	if got.Changed != channels/4 {
		t.Errorf("%d of %d channels moved, not a quarter", got.Changed, channels)
	}
	for _, is := range got.Model.Graph.Initializers {
		if was := m.Graph.Initializer(is.Name); is != was && !strings.HasSuffix(is.Name, ".mean") && !bytes.Equal(raw(t, is), raw(t, was)) {
			t.Errorf("%s changed", is.Name)
		}
	}
	if none := tampered(t, ShiftStatistics{}, m, nil, Options{}); none.Changed != 0 {
		t.Error("at rate 0 something moved")
	}
}

func raw(t *testing.T, x *onnx.Tensor) []byte {
	t.Helper()
	b, err := x.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRefuses(t *testing.T) {
	training, _ := digits(t)
	mlp, cnn := network.MLP(64, []int{8}, 10, 1), network.CNN(1, 8, 8, []int{4}, 10, 1)
	for _, c := range []struct {
		by   Tamperer
		m    *onnx.Model
		d    *dataset.Dataset
		o    Options
		want string
	}{
		{FineTune{}, mlp, training, Options{}, "needs data, and poison"},
		{Handcrafted{Planter: plant.BadNets{}}, cnn, training, Options{}, "is for multilayer perceptrons"},
		{Handcrafted{Planter: plant.BadNets{}}, network.Logistic(64, 10, 1), training, Options{}, "needs a hidden layer"},
		{Handcrafted{Planter: plant.TargetedFlips{}}, mlp, training, Options{}, "with a trigger"},
		{SwapLabels{}, mlp, nil, Options{Target: 10}, "cannot be swapped"},
		{ShiftStatistics{}, mlp, nil, Options{Rate: 0.1}, "no batch normalisation"},
		{ShiftStatistics{}, mlp, nil, Options{Rate: 3}, "a rate of 3"},
		{RandomBits{}, mlp, nil, Options{Bits: -1}, "0 or more"},
		{RandomBits{}, mlp, nil, Options{Bits: 1e6}, "give fewer"},
		{ProgressiveBits{}, mlp, nil, Options{Bits: 1}, "needs data"},
	} {
		if _, err := c.by.Tamper(t.Context(), c.m, c.d, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.by.Describe().Name, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (ProgressiveBits{}).Tamper(ctx, mlp, training, Options{Bits: 1}); err == nil {
		t.Error("went on though it was cancelled")
	}
}
