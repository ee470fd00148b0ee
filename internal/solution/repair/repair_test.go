package repair

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"assay/internal/dataset"
	"assay/internal/model/ort"
	"assay/internal/solution/rewrite"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

func digits(t *testing.T) *dataset.Dataset {
	t.Helper()
	const folder = "../../../examples/digits/"
	schema, err := dataset.OpenSchema(folder + "schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Load(t.Context(), folder+"test.csv", dataset.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// networks are models with all kinds of layers whose channels can be pruned.
func networks() map[string]*onnx.Model {
	b := onnx.NewBuilder("matmul")
	x := b.Input("input", onnx.Float32, "batch", 64)
	weights := func(n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = float32(i*7919%23-9) / 50
		}
		return out
	}
	h := b.Op("Relu", nil, b.Op("Add", nil, b.Op("MatMul", nil, x, b.Weight(onnx.NewTensor("w", weights(64*12), 64, 12))), b.Weight(onnx.NewTensor("b", weights(12)))))
	b.OutputAs("scores", b.Op("Gemm", onnx.Attrs{"transB": int64(1)}, h, b.Weight(onnx.NewTensor("v", weights(120), 10, 12))), onnx.Float32, onnx.Dims("batch", 10))
	return map[string]*onnx.Model{
		"matmul": b.Model(), "mlp": network.MLP(64, []int{24, 16}, 10, 1), "cnn": network.CNN(1, 8, 8, []int{8, 12}, 10, 1), "resnet20": network.ResNet20(1, 8, 8, 10, 1),
	}
}

func encoded(t *testing.T, m *onnx.Model) []byte {
	t.Helper()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// activations gives the features of each record at a layer.
func activations(t *testing.T, m *onnx.Model, value string, x []float32) ([]float32, int) {
	t.Helper()
	c, err := rewrite.Open(t.Context(), m, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f, n, err := rewrite.FeaturesOf(t.Context(), c, value, x, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f, n
}

// What is silenced is 0 on every record, and what is not stays as it was.
func TestSilence(t *testing.T) {
	d := digits(t)
	x := d.X[:64*20]
	for name, m := range networks() {
		all := layersOf(m.Graph)
		want := map[string]int{"matmul": 1, "mlp": 2, "cnn": 2, "resnet20": 21}[name] // of resnet20 two are shortcuts
		if len(all) != want {
			t.Errorf("%s has %d layers, not %d", name, len(all), want)
		}
		l := &all[0]
		before, n := activations(t, m, l.value, x)
		loudest := slices.Index(before, slices.Max(before)) % n
		off := []int{loudest, (loudest + 2) % n}
		out := m.Clone()
		if err := silence(out, l, off); err != nil {
			t.Fatal(err)
		}
		after, _ := activations(t, out, l.value, x)
		if n != l.channels() {
			t.Fatalf("%s: %d features of %d channels", name, n, l.channels())
		}
		silent := 0.0
		for i := range after {
			switch {
			case slices.Contains(off, i%n):
				if silent += float64(before[i]); after[i] != 0 {
					t.Fatalf("%s: channel %d gives %g", name, i%n, after[i])
				}
			case after[i] != before[i]:
				t.Fatalf("%s: channel %d gives %g, and %g before", name, i%n, after[i], before[i])
			}
		}
		if silent == 0 {
			t.Errorf("%s: the channels were silent before", name)
		}
	}
}

// A weight that two layers share is silenced in one alone.
func TestSilenceOfShared(t *testing.T) {
	b := onnx.NewBuilder("shared")
	x := b.Input("input", onnx.Float32, "batch", 2)
	w := b.Weight(onnx.NewTensor("w", []float32{1, 2, 3, 4}, 2, 2))
	h := b.Op("Relu", nil, b.Op("MatMul", nil, x, w))
	b.OutputAs("scores", b.Op("MatMul", nil, h, w), onnx.Float32, onnx.Dims("batch", 2))
	m := b.Model()
	all := layersOf(m.Graph)
	if err := silence(m, &all[0], []int{0}); err != nil {
		t.Fatal(err)
	}
	first, err := onnx.View[float32](m.Graph.Initializer(m.Graph.Nodes[0].Input(1)))
	if err != nil {
		t.Fatal(err)
	}
	second, err := onnx.View[float32](m.Graph.Initializer("w"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(first, []float32{0, 2, 0, 4}) || !slices.Equal(second, []float32{1, 2, 3, 4}) {
		t.Errorf("%v and %v", first, second)
	}
}

// A channel that can change much more than the others is pruned, with and without normalisation; nothing else is.
func TestLipschitzPruning(t *testing.T) {
	for name, m := range map[string]*onnx.Model{"cnn": network.CNN(1, 8, 8, []int{32, 32}, 10, 1), "resnet20": network.ResNet20(1, 8, 8, 10, 1)} {
		none, err := LipschitzPruning{Deviations: 5}.Repair(t.Context(), m, nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(encoded(t, none.Model), encoded(t, m)) {
			t.Errorf("%s: %s", name, none.Did)
		}
		loud := m.Clone()
		weight := map[string]string{"cnn": "conv2.weight", "resnet20": "stage2.block1.conv2.scale"}[name]
		at := slices.IndexFunc(loud.Graph.Initializers, func(w *onnx.Tensor) bool { return w.Name == weight })
		w := loud.Graph.Initializers[at]
		values, err := w.Float64s()
		if err != nil {
			t.Fatal(err)
		}
		values = slices.Clone(values)
		inner := len(values) / int(w.Shape[0])
		for i := range inner {
			values[5*inner+i] *= 20
		}
		if loud.Graph.Initializers[at], err = onnx.FromFloat64s(w.Name, w.Type, values, w.Shape...); err != nil {
			t.Fatal(err)
		}
		got, err := LipschitzPruning{Deviations: 5}.Repair(t.Context(), loud, nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(got.Did, "1 of ") {
			t.Errorf("%s: %s", name, got.Did)
		}
		pruned, err := got.Model.Graph.Initializer(weight).Float64s()
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range pruned {
			if (v == 0) != (i/inner == 5) {
				t.Fatalf("%s: weight %d of %s is %g", name, i, weight, v)
			}
		}
	}
}

// Every repair of trusted records gives the same model again, keeps the accuracy of a clean model, and leaves the one given.
func TestCleanModelsStayGood(t *testing.T) {
	d := digits(t)
	parts, err := d.Split(1, 0.5, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	trusted, test := d.Select(parts[0]), d.Select(parts[1])
	data := train.FromDataset(trusted)
	m, err := train.Standardize(network.CNN(1, 8, 8, []int{16, 32}, 10, 1), data)
	if err != nil {
		t.Fatal(err)
	}
	r, err := train.Run(t.Context(), m, data, train.Options{Epochs: 40, Optimizer: train.Optimizer{Rate: 0.01}})
	if err != nil {
		t.Fatal(err)
	}
	accuracy := func(m *onnx.Model) float64 {
		s, err := train.Evaluate(t.Context(), m, train.FromDataset(test), train.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s.Accuracy
	}
	before, was := accuracy(r.Model), encoded(t, r.Model)
	for _, by := range []Repair{FineTuning{Epochs: 10}, FinePruning{Tune: FineTuning{Epochs: 10}}, Unlearning{Tune: FineTuning{Epochs: 10}}} {
		got, err := by.Repair(t.Context(), r.Model, trusted, Options{Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		again, err := by.Repair(t.Context(), r.Model, trusted, Options{Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		after := accuracy(got.Model)
		t.Logf("%s: %s; accuracy %.3f, %.3f before", by.Describe().Name, got.Did, after, before)
		if after < before-0.04 || !bytes.Equal(encoded(t, got.Model), encoded(t, again.Model)) || !bytes.Equal(was, encoded(t, r.Model)) || bytes.Equal(was, encoded(t, got.Model)) {
			t.Errorf("%s: accuracy %.3f, %.3f before; or not the same again, or nothing or the model given was changed", by.Describe().Name, after, before)
		}
	}
}

// What fine-pruning has pruned stays so through the training after it.
func TestPrunedStays(t *testing.T) {
	d := digits(t)
	for name, m := range networks() {
		got, err := FinePruning{Loss: 0.9, Tune: FineTuning{Epochs: 2}}.Repair(t.Context(), m, d, Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		l, err := last(got.Model.Graph)
		if err != nil {
			t.Fatal(err)
		}
		f, n := activations(t, got.Model, l.value, d.X[:64*20])
		silent := 0
		for k := range n {
			if !slices.ContainsFunc(slices.Collect(func(yield func(float32) bool) {
				for i := k; i < len(f); i += n {
					if !yield(f[i]) {
						return
					}
				}
			}), func(v float32) bool { return v != 0 }) {
				silent++
			}
		}
		if t.Log(name, got.Did); silent == 0 {
			t.Errorf("%s: no channel is silent: %s", name, got.Did)
		}
	}
}

func TestRefused(t *testing.T) {
	d := digits(t)
	cnn, unlabelled := network.CNN(1, 8, 8, []int{4, 4}, 10, 1), &dataset.Dataset{Schema: d.Schema, X: d.X, Number: d.Number}
	foreign := d.NewQuarantine("other", []int{0}, []string{""})
	foreign.Records[0].Digest[0]++
	for want, of := range map[string]struct {
		by      Repair
		m       *onnx.Model
		records *dataset.Dataset
	}{
		"trusted records":                    {FineTuning{}, cnn, nil},
		"with labels":                        {Unlearning{}, cnn, unlabelled},
		"part of the accuracy":               {FinePruning{Loss: 1.5}, cnn, d},
		"needs convolutions":                 {LipschitzPruning{}, network.MLP(64, nil, 10, 1), nil},
		"hidden dense layer":                 {FinePruning{}, network.Logistic(64, 10, 1), d},
		"radius":                             {Unlearning{Radius: -1}, cnn, d},
		"stands out":                         {LipschitzPruning{Deviations: -1}, cnn, nil},
		"quarantine with some":               {Removal{}, cnn, d},
		"is not the one that was put":        {Relabelling{Quarantine: foreign}, cnn, d},
		"the records have the shape [1 8 8]": {FineTuning{}, network.CNN(3, 8, 8, []int{4}, 10, 1), d},
	} {
		if _, err := of.by.Repair(t.Context(), of.m, of.records, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not what is wrong, but %v", want, err)
		}
	}
}
