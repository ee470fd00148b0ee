package advtrain_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"assay"
	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/solution/advtrain"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

const folder = "../../../examples"

// digits are the 8×8 digits in two parts, and an attacker of them.
func digits(t testing.TB) (training, test *dataset.Dataset, a *advtrain.Attacker) {
	t.Helper()
	schema, err := dataset.OpenSchema(filepath.Join(folder, "digits/schema.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Load(context.Background(), filepath.Join(folder, "digits/digits.csv.gz"), dataset.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := d.Split(1, 0.6, 0.15)
	if err != nil {
		t.Fatal(err)
	}
	domain, err := method.DomainOf(d.Schema, d.Statistics(), method.Raw)
	if err != nil {
		t.Fatal(err)
	}
	return d.Select(parts[0]), d.Select(parts[1]), &advtrain.Attacker{Domain: domain, Norm: method.Linf, Eps: 2, Steps: 4}
}

func fit(t testing.TB, d *dataset.Dataset, o train.Options) *onnx.Model {
	t.Helper()
	data := train.FromDataset(d)
	m, err := train.Standardize(network.CNN(1, 8, 8, []int{16, 32}, 10, 1), data)
	if err != nil {
		t.Fatal(err)
	}
	o.Batch, o.Optimizer, o.Seed = 32, train.Optimizer{Method: train.AdamW, Rate: 0.01}, 1
	o.Schedule = train.Schedule{Kind: train.OneCycle}
	r, err := train.Run(context.Background(), m, data, o)
	if err != nil {
		t.Fatal(err)
	}
	return r.Model
}

func robust(t testing.TB, m *onnx.Model, d *dataset.Dataset, domain *method.Domain, eps float64) (right, robust float64) {
	t.Helper()
	ctx := context.Background()
	o, err := target.Open(ctx, m, target.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	rows, err := target.NewRows(d.Schema, o.Description)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]int, d.Len())
	for i := range all {
		all[i] = i
	}
	o.Domain = rows.Domain(domain)
	pgd := evasion.PGD{Steps: 10, Step: 0.25, Restarts: 1, Loss: model.CrossEntropy}
	results, err := method.Run(ctx, o.Target, method.Attacker{Access: assay.Gradients, Norm: method.Linf, Eps: eps}, []method.Method{pgd}, rows.Inputs(d, all), method.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Correct {
			right++
		}
		if r.Robust {
			robust++
		}
	}
	return right / float64(len(results)), robust / float64(len(results))
}

// TestHardens trains the same network with the solution and without it: PGD breaks the one
// less often than the other, and both get digits right.
func TestHardens(t *testing.T) {
	if testing.Short() {
		t.Skip("trains and attacks models")
	}
	training, test, a := digits(t)
	with := train.Options{Epochs: 20}
	a.Apply(&with)
	plainRight, plain := robust(t, fit(t, training, train.Options{Epochs: 20}), test, a.Domain, 2)
	hardRight, hard := robust(t, fit(t, training, with), test, a.Domain, 2)
	t.Logf("of %d digits right %.3f and robust %.3f without, %.3f and %.3f with", test.Len(), plainRight, plain, hardRight, hard)
	if hard < plain+0.2 {
		t.Errorf("%.3f are robust with the solution and %.3f without", hard, plain)
	}
	if plainRight < 0.9 || hardRight < 0.85 {
		t.Errorf("%.3f are right without the solution and %.3f with", plainRight, hardRight)
	}
}

// TestSameSeedSameBytes also interrupts a training and takes it up again.
func TestSameSeedSameBytes(t *testing.T) {
	training, _, a := digits(t)
	some := training.Select(seq(150))
	encode := func(o train.Options) []byte {
		o.Epochs = 2
		a.Apply(&o)
		data, err := fit(t, some, o).Encode()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	whole := encode(train.Options{})
	if !bytes.Equal(whole, encode(train.Options{})) {
		t.Error("the same seed gives other bytes")
	}
	state := t.TempDir()
	data := train.FromDataset(some)
	m, err := train.Standardize(network.CNN(1, 8, 8, []int{16, 32}, 10, 1), data)
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	o := train.Options{Epochs: 2, Batch: 32, Seed: 1, Optimizer: train.Optimizer{Method: train.AdamW, Rate: 0.01}, Schedule: train.Schedule{Kind: train.OneCycle},
		Checkpoint: state}
	a.Apply(&o)
	o.Perturb = func(ctx context.Context, b *train.Batch) error {
		if b.Epoch == 1 && b.Step == 1 {
			return stop
		}
		return a.Perturb(ctx, b)
	}
	if _, err := train.Run(context.Background(), m, data, o); !errors.Is(err, stop) {
		t.Fatalf("it was not interrupted: %v", err)
	}
	if !bytes.Equal(whole, encode(train.Options{Checkpoint: state})) {
		t.Error("a training that was interrupted gives other bytes")
	}
	other := *a
	other.Eps = 1
	other.Apply(&o)
	if _, err := train.Run(context.Background(), m, data, o); err == nil || !strings.Contains(err.Error(), "other options") {
		t.Errorf("a training against another attacker is resumed: %v", err)
	}
}

func seq(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// TestPerturbsWithinLimits looks at the batches of a training on a table with every kind of limit.
func TestPerturbsWithinLimits(t *testing.T) {
	// Two real numbers, a whole one, a fixed one, and a group of three.
	domain := &method.Domain{
		Low: []float32{-1, 0, 0, 0, 0, 0, 0}, High: []float32{1, 2, 9, 1, 1, 1, 1}, Scale: []float32{1, 0.5, 2, 1, 1, 1, 1},
		Fixed:     []bool{3: true, 6: false},
		Integer:   []bool{2: true, 6: false},
		Groups:    []method.Group{{Start: 4, End: 7}},
		Relations: []method.Relation{{Of: []int{0, 1}, Weights: []float64{1, -1}, Bound: 0}},
	}
	data := &train.Data{Shape: []int{7}}
	for i := range 60 {
		x := []float32{float32(i%7)/7 - 1, float32(i%5) / 4, float32(i % 10), 0.5, 0, 0, 0}
		x[4+i%3] = 1
		data.X = append(data.X, x...)
		data.Classes = append(data.Classes, int32(i/10%2))
	}
	for _, norm := range []method.Norm{method.Linf, method.L2} {
		a := &advtrain.Attacker{Domain: domain, Norm: norm, Eps: 0.7, Groups: 1, Steps: 3}
		if err := a.Validate(); err != nil {
			t.Fatal(err)
		}
		changed, n := 0, 0
		check := func(ctx context.Context, b *train.Batch) error {
			clean := slices.Clone(b.X)
			if err := a.Perturb(ctx, b); err != nil {
				return err
			}
			for i := range b.Len() {
				space := method.Space{Domain: domain, Norm: norm, Eps: a.Eps, Groups: a.Groups, Clean: clean[i*7 : (i+1)*7]}
				if !slices.Equal(space.Clean, data.X[b.Index[i]*7:(b.Index[i]+1)*7]) {
					t.Errorf("example %d of the batch is not number %d of the data", i, b.Index[i])
				}
				if err := space.Contains(b.X[i*7 : (i+1)*7]); err != nil {
					t.Errorf("%s: %v", norm, err)
				}
				if n++; !slices.Equal(space.Clean, b.X[i*7:(i+1)*7]) {
					changed++
				}
			}
			return nil
		}
		_, err := train.Run(context.Background(), network.MLP(7, []int{8}, 2, 1), data, train.Options{Epochs: 3, Batch: 16, Perturb: check})
		if err != nil {
			t.Fatal(err)
		}
		if n != 180 || changed < n/2 {
			t.Errorf("%s: of %d examples %d were changed", norm, n, changed)
		}
	}
}

func TestValidate(t *testing.T) {
	domain := &method.Domain{Low: []float32{0}, High: []float32{1}, Scale: []float32{1}}
	for _, a := range []advtrain.Attacker{
		{Domain: domain, Norm: method.Linf, Eps: 0, Steps: 7},
		{Domain: domain, Norm: method.Linf, Eps: 0.1},
		{Domain: domain, Norm: "L3", Eps: 0.1, Steps: 7},
		{Domain: domain, Norm: method.L2, Eps: 0.1, Steps: 7, Groups: -1},
		{Domain: &method.Domain{}, Norm: method.L2, Eps: 0.1, Steps: 7},
	} {
		if err := a.Validate(); err == nil {
			t.Errorf("%+v is possible", a)
		}
	}
}
