package inversion_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"assay/internal/dataset"
	"assay/internal/method/inversion"
	"assay/internal/method/poisoning/plant/craft"
	"assay/internal/train/network"
	"assay/onnx"
)

// digits are those of the example, 8 by 8 pixels from 0 to 16.
func digits(t *testing.T) *dataset.Dataset {
	t.Helper()
	schema, err := dataset.OpenSchema("../../../examples/digits/schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Load(context.Background(), "../../../examples/digits/digits.csv.gz", dataset.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// limits are those of the digits.
func limits() inversion.Options {
	o := inversion.Options{Image: []int{1, 8, 8}, Variation: 1e-3, Seed: 1, Steps: 400, Restarts: 1}
	for range 64 {
		o.Low, o.High = append(o.Low, 0), append(o.High, 16)
	}
	return o
}

// someOf gives records and, after them, others as a prior.
func someOf(d *dataset.Dataset, n int) (records, prior inversion.Records) {
	for i := range d.Len() {
		to := &prior
		if i < n {
			to = &records
		}
		to.Rows, to.Labels = append(to.Rows, d.Record(i)), append(to.Labels, int(d.Y[i]))
	}
	return records, prior
}

func audit(t *testing.T, m *onnx.Model, n int, noise *inversion.Noise) *inversion.GradientAudit {
	t.Helper()
	l, err := inversion.NewLeak(m, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	records, prior := someOf(digits(t), n)
	a, err := l.Audit(context.Background(), records, prior, noise, limits(), 0.95, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// One update of an undefended network gives its digit to a thousandth, where the nearest other digit is off by much more; noise
// of a tenth of the clip leaves nothing.
func TestDigitsLeakAndNoiseKeepsThem(t *testing.T) {
	m := flatCNN("Relu", 1)
	a := audit(t, m, 3, nil)
	for _, x := range a.Attempts {
		t.Logf("error %.2g, SSIM %.3f; mean %.2g, nearest %.2g", x.Error, x.SSIM, x.OfMean, x.OfNearest)
		if !x.Leaked || x.Error > 1e-3 || x.SSIM < 0.98 || x.Label != x.LabelRead || x.OfNearest < 10*x.Error {
			t.Errorf("%+v", x)
		}
	}
	// Three of three: the exact lower bound is (0.025)^(1/3).
	if a.Leaked.Part != 1 || math.Abs(a.Leaked.Lower-math.Cbrt(0.025)) > 1e-9 || a.Labels.Part != 1 {
		t.Errorf("%+v %+v", a.Leaked, a.Labels)
	}
	kept := audit(t, m, 3, &inversion.Noise{Clip: 1, Multiplier: 0.1})
	for _, x := range kept.Attempts {
		t.Logf("under noise: error %.2g, SSIM %.3f; mean %.2g, nearest %.2g", x.Error, x.SSIM, x.OfMean, x.OfNearest)
	}
	if kept.Leaked.Part != 0 {
		t.Errorf("%+v", kept.Leaked)
	}
}

// A network that does not look at its input gives nothing away but the label.
func TestNothingLeaksOfWhatIsNotLookedAt(t *testing.T) {
	m := flatCNN("Relu", 1)
	for _, w := range m.Graph.Initializers {
		if w.Name == "conv1.weight" || w.Name == "conv2.weight" {
			values, err := onnx.View[float32](w)
			if err != nil {
				t.Fatal(err)
			}
			clear(values)
		}
	}
	a := audit(t, m, 2, nil)
	if a.Leaked.Part != 0 || a.Labels.Part != 1 {
		t.Errorf("leaked %+v, labels %+v", a.Leaked, a.Labels)
	}
}

// A dense layer with a bias gives its input by a division, exactly but for rounding.
func TestDenseLayerGivesItsInput(t *testing.T) {
	d := digits(t)
	w, err := craft.NewWeights(network.MLP(64, []int{32}, 10, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i := range 20 {
		_, g, err := w.Slopes(context.Background(), d.Record(i), []int64{int64(d.Y[i])})
		if err != nil {
			t.Fatal(err)
		}
		x, err := inversion.Dense(g[0], g[1])
		if err != nil {
			t.Fatal(err)
		}
		for j, v := range x {
			if math.Abs(float64(v-d.Record(i)[j])) > 1e-5*16 {
				t.Fatalf("record %d: number %d is %v, not %v", i, j, v, d.Record(i)[j])
			}
		}
	}
	if _, err := inversion.Dense([]float32{1, 2}, []float32{0}); err == nil {
		t.Error("gradients of zero gave an input")
	}
}

func TestRefusals(t *testing.T) {
	if _, err := inversion.NewLeak(flatCNN("Relu", 1), 3); err == nil {
		t.Error("a model of 10 classes was taken for one of 3")
	}
	l, err := inversion.NewLeak(flatCNN("Relu", 1), 10)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	records, prior := someOf(digits(t), 1)
	ctx := context.Background()
	if _, err := l.Audit(ctx, records, inversion.Records{}, nil, limits(), 0.95, nil); err == nil {
		t.Error("there was no prior, and no error")
	}
	if _, err := l.Audit(ctx, records, prior, &inversion.Noise{}, limits(), 0.95, nil); err == nil {
		t.Error("noise without a clip was no error")
	}
	ended, end := context.WithCancel(ctx)
	end()
	if _, err := l.Audit(ended, records, prior, nil, limits(), 0.95, nil); err == nil {
		t.Error("an ended context did not end the audit")
	}
}

// flatCNN is a network of two convolutions and a dense layer that sees every place, as LeNet.
func flatCNN(activation string, seed uint64) *onnx.Model {
	r := rand.New(rand.NewPCG(seed, 7))
	b := onnx.NewBuilder("lenet")
	weight := func(name string, deviation float64, shape ...int64) string {
		n, _ := onnx.Count(shape)
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(r.NormFloat64() * deviation)
		}
		return b.Weight(onnx.NewTensor(name, values, shape...))
	}
	x := b.Input("input", onnx.Float32, "batch", 1, 8, 8)
	y := b.Op("Div", nil, x, b.Number(onnx.Float32, 16))
	in := int64(1)
	for i, out := range []int64{12, 12} {
		name := []string{"conv1", "conv2"}[i]
		y = b.Op("Conv", onnx.Attrs{"kernel_shape": []int64{3, 3}, "pads": []int64{1, 1, 1, 1}}, y, weight(name+".weight", math.Sqrt(2/float64(9*in)), out, in, 3, 3), weight(name+".bias", 0.1, out))
		y = b.Op(activation, nil, y)
		in = out
	}
	y = b.Op("Flatten", nil, y)
	b.Add("Gemm", nil, []string{y, weight("dense.weight", 0.05, 12*64, 10), weight("dense.bias", 0.1, 10)}, []string{b.Name("logits")})
	b.Output("logits", onnx.Float32, onnx.Dims("batch", 10))
	return b.Model()
}
