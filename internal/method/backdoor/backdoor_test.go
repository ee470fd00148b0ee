package backdoor

import (
	"math/rand/v2"
	"testing"

	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

const examples = "../../../examples/"

func digits(t *testing.T) (training, clean *dataset.Dataset) {
	t.Helper()
	return read(t, "digits/digits.csv.gz", "digits/schema.yaml")
}

func read(t *testing.T, data, schema string) (training, clean *dataset.Dataset) {
	t.Helper()
	s, err := dataset.OpenSchema(examples + schema)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Load(t.Context(), examples+data, dataset.Options{Schema: s})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := d.Split(1, 0.7, 0.3)
	if err != nil {
		t.Fatal(err)
	}
	return d.Select(parts[0]), d.Select(parts[1])
}

// trained gives a small convolutional network of the data.
func trained(t *testing.T, d *dataset.Dataset, seed uint64) *onnx.Model {
	t.Helper()
	data := train.FromDataset(d)
	m, err := train.Standardize(network.CNN(1, 8, 8, []int{16, 32, 32}, 10, seed), data)
	if err != nil {
		t.Fatal(err)
	}
	r, err := train.Run(t.Context(), m, data, train.Options{Epochs: 20, Seed: seed, Optimizer: train.Optimizer{Rate: 0.003}})
	if err != nil {
		t.Fatal(err)
	}
	return r.Model
}

// poisoned gives a model that was trained on data with poison in them.
func poisoned(t *testing.T, by plant.Planter, rate float64, d *dataset.Dataset, seed uint64) (*onnx.Model, *plant.Planted) {
	t.Helper()
	p, err := by.Plant(t.Context(), d, plant.Options{Rate: rate, Target: int(seed % 10), Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	return trained(t, p.Dataset, seed), p
}

func subject(t *testing.T, m *onnx.Model, clean *dataset.Dataset) *Subject {
	t.Helper()
	s, err := NewSubject(t.Context(), m, clean, SubjectOptions{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func found(t *testing.T, d Detector, s *Subject) *Finding {
	t.Helper()
	f, err := d.Inspect(t.Context(), s, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A patch that a model was taught is found under its target, and what is recovered works on records that it was not searched on. The same
// model without poison has no such class.
func TestInversionFindsThePatch(t *testing.T) {
	training, clean := digits(t)
	m, p := poisoned(t, plant.BadNets{}, 0.05, training, 1)
	f := found(t, NeuralCleanse{}, subject(t, m, clean))
	at := f.Classes[p.Target]
	if f.Statistic != at.Statistic || f.Statistic <= (NeuralCleanse{}).Describe().Published || at.Success.Lower < 0.9 {
		t.Errorf("statistic %.2f, of the target %+v", f.Statistic, at)
	}
	none := found(t, NeuralCleanse{}, subject(t, trained(t, training, 1), clean))
	if none.Statistic > (NeuralCleanse{}).Describe().Published || none.Classes[p.Target].Size < 2*at.Size {
		t.Errorf("of a clean model %.2f, mask %.2f, and %.2f with the backdoor", none.Statistic, none.Classes[p.Target].Size, at.Size)
	}
}
