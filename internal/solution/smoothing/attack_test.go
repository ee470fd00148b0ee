package smoothing_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"assay"
	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/model/gradient"
	"assay/internal/model/ort"
	"assay/internal/solution/smoothing"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// TestNoSuccessWithinRadii attacks each certified digit by Auto-PGD with the mean of gradients under noise: within
// its radius the answer never becomes another class, and well beyond it it often does.
func TestNoSuccessWithinRadii(t *testing.T) {
	if testing.Short() {
		t.Skip("trains and attacks a model")
	}
	ctx := context.Background()
	settings := model.Smoothing{Sigma: 2, N0: 50, N: 200, Alpha: 0.001, Batch: 200}
	training, test := digits(t)
	m := noisy(t, training, settings.Sigma)
	base, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{Batch: settings.Batch})
	if err != nil {
		t.Fatal(err)
	}
	c := smoothed(t, base, settings, 1)
	rows, err := target.NewRows(test.Schema, base.Describe())
	if err != nil {
		t.Fatal(err)
	}
	indices := make([]int, 40)
	for i := range indices {
		indices[i] = i
	}
	inputs := rows.Inputs(test, indices)
	var x []float64
	var labels []int
	for _, in := range inputs {
		for _, v := range in.X {
			x = append(x, float64(v))
		}
		labels = append(labels, in.Label)
	}
	certificates, err := c.Certify(ctx, x, labels)
	if err != nil {
		t.Fatal(err)
	}
	g, err := gradient.New(ctx, m, gradient.Options{Batch: 32})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	certified, beyond := 0, 0
	for i, one := range certificates {
		if !one.Correct {
			continue
		}
		certified++
		if broken(t, c, g, inputs[i], one.Radius) {
			t.Errorf("digit %d is broken within its radius of %g", i, one.Radius)
		}
		if broken(t, c, g, inputs[i], 4*one.Radius) {
			beyond++
		}
	}
	t.Logf("of %d digits %d are certified, 0 broken within their radius, %d within four times it", len(inputs), certified, beyond)
	if certified < 25 || beyond < certified/3 {
		t.Errorf("%d are certified, of which %d are broken beyond", certified, beyond)
	}
}

// broken reports whether the smoothed classifier gives something within eps another class than the input's.
func broken(t *testing.T, c *smoothing.Classifier, g *gradient.Model, in method.Input, eps float64) bool {
	t.Helper()
	d := c.Describe()
	to := method.Target{Model: answered{c, in.Label}, Confirm: answered{c, in.Label}, Gradient: &noiseMean{Model: g, random: rand.New(rand.NewPCG(9, uint64(in.Index)))}, Domain: unbounded(d.RowSize())}
	attacker := method.Attacker{Access: assay.Gradients, Norm: method.L2, Eps: eps}
	apgd := evasion.APGD{Steps: 15, Restarts: 1, Loss: model.CrossEntropy}
	results, err := method.Run(context.Background(), to, attacker, []method.Method{apgd}, []method.Input{in}, method.Options{Batch: 1})
	if err != nil {
		t.Fatal(err)
	}
	return !results[0].Robust
}

// answered gives what is refused the label: a refusal is no success.
type answered struct {
	*smoothing.Classifier
	label int
}

func (a answered) Predict(ctx context.Context, rows, scores []float64) error {
	if err := a.Classifier.Predict(ctx, rows, scores); err != nil {
		return err
	}
	classes := len(a.Describe().Classes)
	for i := 0; i < len(scores); i += classes {
		if scores[i+classes-1] == 1 {
			scores[i+classes-1], scores[i+a.label] = 0, 1
		}
	}
	return nil
}

// noiseMean is a gradient's mean over draws of noise (expectation over transformation).
type noiseMean struct {
	*gradient.Model
	random *rand.Rand
}

func (m *noiseMean) Batch() int { return 1 }

func (m *noiseMean) Gradient(ctx context.Context, loss model.Loss, rows []float32, labels, targets []int32, scores, losses, slope []float32) error {
	n, size, classes := m.Model.Batch(), len(rows), len(scores)-1
	many, label := make([]float32, n*size), make([]int32, n)
	manyScores, manyLosses, manySlopes := make([]float32, n*classes), make([]float32, n), make([]float32, n*size)
	for i := range many {
		many[i] = rows[i%size] + 2*float32(m.random.NormFloat64())
	}
	for i := range label {
		label[i] = labels[0]
	}
	if err := m.Model.Gradient(ctx, loss, many, label, nil, manyScores, manyLosses, manySlopes); err != nil {
		return err
	}
	clear(scores)
	clear(slope)
	losses[0] = 0
	for i := range n {
		losses[0] += manyLosses[i] / float32(n)
	}
	for i, v := range manyScores {
		scores[i%classes] += v / float32(n)
	}
	scores[classes] = float32(math.Inf(-1))
	for i, v := range manySlopes {
		slope[i%size] += v / float32(n)
	}
	return nil
}

// unbounded is a domain of real numbers: a certificate holds whatever they are.
func unbounded(n int) *method.Domain {
	d := &method.Domain{Low: make([]float32, n), High: make([]float32, n), Scale: make([]float32, n)}
	for i := range n {
		d.Low[i], d.High[i], d.Scale[i] = -100, 100, 1
	}
	return d
}

func digits(t *testing.T) (training, test *dataset.Dataset) {
	t.Helper()
	schema, err := dataset.OpenSchema("../../../examples/digits/schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Load(context.Background(), "../../../examples/digits/digits.csv.gz", dataset.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := d.Split(1, 0.6, 0.2)
	if err != nil {
		t.Fatal(err)
	}
	return d.Select(parts[0]), d.Select(parts[1])
}

// noisy trains a small network under noise.
func noisy(t *testing.T, d *dataset.Dataset, sigma float64) *onnx.Model {
	t.Helper()
	data := train.FromDataset(d)
	m, err := train.Standardize(network.CNN(1, 8, 8, []int{16, 32}, 10, 1), data)
	if err != nil {
		t.Fatal(err)
	}
	o := train.Options{Epochs: 20, Batch: 32, Seed: 1, Optimizer: train.Optimizer{Method: train.AdamW, Rate: 0.01}, Schedule: train.Schedule{Kind: train.OneCycle}}
	smoothing.Train(&o, sigma)
	r, err := train.Run(context.Background(), m, data, o)
	if err != nil {
		t.Fatal(err)
	}
	return r.Model
}
