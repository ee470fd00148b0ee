package relapse_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"

	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
	"assay/internal/method/poisoning/relapse"
	"assay/internal/model/ort"
	"assay/internal/realdata"
	"assay/internal/solution/repair"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// scene is a network with a backdoor, and all that it is repaired and tried with.
type scene struct {
	training, trusted, test *dataset.Dataset // the training data as they were before the poison
	planted                 *plant.Planted
	model                   *onnx.Model
	options                 train.Options
	rate                    float64
}

// backdoored trains a network on poisoned data.
func backdoored(t *testing.T, s *scene, planter plant.Planter, m func(*train.Data) *onnx.Model, seed uint64) {
	t.Helper()
	var err error
	if s.planted, err = planter.Plant(t.Context(), s.training, plant.Options{Rate: s.rate, Target: 0, Seed: seed}); err != nil {
		t.Fatal(err)
	}
	data := train.FromDataset(s.planted.Dataset)
	fresh, err := train.Standardize(m(data), data)
	if err != nil {
		t.Fatal(err)
	}
	o := s.options
	o.Seed = seed
	r, err := train.Run(t.Context(), fresh, data, o)
	if err != nil {
		t.Fatal(err)
	}
	s.model = r.Model
}

// quarantine holds what was planted, as a detector would that finds all.
func (s *scene) quarantine() *dataset.Quarantine {
	var at []int
	for i, w := range s.planted.Which {
		if w {
			at = append(at, i)
		}
	}
	return s.planted.Dataset.NewQuarantine("poisoned", at, make([]string, len(at)))
}

// try repairs and attacks again.
func (s *scene) try(t *testing.T, by repair.Repair, fresh []plant.Planter, seed uint64) *relapse.Report {
	t.Helper()
	records := s.trusted
	if by.Describe().Records == repair.Training {
		records = s.planted.Dataset
	}
	mend := func(ctx context.Context, m *onnx.Model) (*onnx.Model, error) {
		r, err := by.Repair(ctx, m, records, repair.Options{Seed: seed})
		if err != nil {
			return nil, err
		}
		t.Log(by.Describe().Name + ": " + r.Did)
		return r.Model, nil
	}
	after, err := mend(t.Context(), s.model)
	if err != nil {
		t.Fatal(err)
	}
	trial := relapse.Trial{Before: s.model, After: after, Backdoor: s.planted, Test: s.test, Training: s.training, Train: s.options, Seed: seed, Rate: s.rate}
	if by.Describe().Records != repair.Training {
		trial.Fresh, trial.Repair = fresh, mend
	}
	r, err := relapse.Run(t.Context(), trial)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func line(name string, r *relapse.Report) string {
	text := fmt.Sprintf("%-18s clean %.4f -> %.4f (lower %.4f, lost at most %.4f); same %.4f -> %.4f (upper %.4f)", name, r.Clean.Before, r.Clean.After, r.Clean.Lower, r.Clean.LostUpper, r.Same.Before.Rate, r.Same.After.Rate, r.Same.After.Upper)
	for _, f := range r.Fresh {
		text += fmt.Sprintf("; fresh %s %.4f -> %.4f (upper %.4f)", f.Attack, f.Before.Rate, f.After.Rate, f.After.Upper)
	}
	if a := r.Reactivated; a != nil {
		text += fmt.Sprintf("; reactivated %.4f, never backdoored %.4f", a.Success.Rate, a.Twin.Rate)
	}
	return text
}

func (s *scene) repairs() []repair.Repair {
	q, o := s.quarantine(), s.options
	return []repair.Repair{
		repair.FineTuning{}, repair.FinePruning{}, repair.Unlearning{}, repair.LipschitzPruning{}, repair.Removal{Quarantine: q, Train: o}, repair.Relabelling{Quarantine: q, Train: o},
	}
}

// TestMeasured prints what every repair achieves on MNIST, for the table in the documentation. It takes a quarter of an hour, so it
// is run where ASSAY_MEASURE says for which seed.
func TestMeasured(t *testing.T) {
	seed, err := strconv.ParseUint(os.Getenv("ASSAY_MEASURE"), 10, 64)
	if err != nil {
		t.Skip("ASSAY_MEASURE gives no seed")
	}
	load := func(images, labels string, n int) *dataset.Dataset {
		d, err := dataset.Load(t.Context(), realdata.Path(t, "mnist/"+images), dataset.Options{LabelFile: realdata.Path(t, "mnist/"+labels)})
		if err != nil {
			t.Fatal(err)
		}
		parts, err := d.Split(seed, float64(n)/float64(d.Len()))
		if err != nil {
			t.Fatal(err)
		}
		return d.Select(parts[0])
	}
	all := load("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", 7000)
	parts, err := all.Split(seed, 6.0/7, 1.0/7)
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{training: all.Select(parts[0]), trusted: all.Select(parts[1]), rate: 0.05}
	s.test = load("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", 5000)
	s.options = train.Options{Epochs: 6, Optimizer: train.Optimizer{Rate: 0.003}, Schedule: train.Schedule{Kind: train.OneCycle}}
	for _, planter := range []plant.Planter{plant.BadNets{}, plant.Blended{}} {
		backdoored(t, s, planter, func(*train.Data) *onnx.Model { return network.CNN(1, 28, 28, []int{16, 16, 32, 32}, 10, seed) }, seed)
		for _, by := range s.repairs() {
			if one := os.Getenv("ASSAY_REPAIR"); one != "" && one != by.Describe().Name {
				continue
			}
			t.Log(planter.Describe().Name + ", " + line(by.Describe().Name, s.try(t, by, []plant.Planter{plant.BadNets{}, plant.Blended{}}, seed)))
		}
	}
}

var _ = ort.Options{}
