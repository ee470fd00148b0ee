package train_test

import (
	"context"
	"testing"

	"assay/internal/dataset"
	"assay/internal/train"
	"assay/internal/train/network"
)

// parts splits a dataset into examples to train on and to test on.
func parts(t testing.TB, d *dataset.Dataset, seed uint64, test float64) (training, held *train.Data) {
	t.Helper()
	split, err := d.Split(seed, 1-test, test)
	if err != nil {
		t.Fatal(err)
	}
	return train.FromDataset(d.Select(split[0])), train.FromDataset(d.Select(split[1]))
}

func read(t testing.TB, path string, o dataset.Options) *dataset.Dataset {
	t.Helper()
	d, err := dataset.Load(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// diagnosis is the Wisconsin diagnostic breast cancer data.
func diagnosis(t testing.TB) (training, held *train.Data) {
	return parts(t, read(t, "../../examples/diagnosis/breast_cancer.csv", dataset.Options{Label: "diagnosis"}), 1, 0.25)
}

func TestMLPOnDiagnosis(t *testing.T) {
	training, held := diagnosis(t)
	m, err := train.Standardize(network.MLP(30, []int{32, 16}, 2, 1), training)
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, m, training, train.Options{Epochs: 30, Batch: 32, Seed: 1,
		Optimizer: train.Optimizer{Method: train.AdamW, Rate: 0.003, Decay: 0.01}, Schedule: train.Schedule{Kind: train.Cosine}})
	score, err := train.Evaluate(context.Background(), r.Model, held, train.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v on %d examples held out", score, held.Len())
	if score.Accuracy < 0.96 {
		t.Errorf("accuracy %.4f on %d examples held out, want 0.96", score.Accuracy, held.Len())
	}
}

// digits are the 8×8 optical digits.
func digits(t testing.TB) (training, held *train.Data) {
	schema, err := dataset.OpenSchema("../../examples/digits/schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return parts(t, read(t, "../../examples/digits/digits.csv.gz", dataset.Options{Schema: schema}), 1, 0.2)
}

func TestCNNOnDigits(t *testing.T) {
	training, held := digits(t)
	m, err := train.Standardize(network.CNN(1, 8, 8, []int{16, 32, 64}, 10, 1), training)
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, m, training, train.Options{Epochs: 12, Batch: 32, Seed: 1,
		Optimizer: train.Optimizer{Method: train.AdamW, Rate: 0.01, Decay: 0.01}, Schedule: train.Schedule{Kind: train.OneCycle}})
	score, err := train.Evaluate(context.Background(), r.Model, held, train.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v on %d examples held out", score, held.Len())
	if score.Accuracy < 0.98 {
		t.Errorf("accuracy %.4f on %d examples held out, want 0.98", score.Accuracy, held.Len())
	}
}
