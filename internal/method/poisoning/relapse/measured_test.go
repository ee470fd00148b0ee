package relapse_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
	"assay/internal/method/poisoning/relapse"
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
	widths                  []int // of the network
	seed                    uint64
}

// backdoored trains a network on poisoned data.
func backdoored(t *testing.T, s *scene, planter plant.Planter) {
	t.Helper()
	var err error
	if s.planted, err = planter.Plant(t.Context(), s.training, plant.Options{Rate: s.rate, Target: 0, Seed: s.seed}); err != nil {
		t.Fatal(err)
	}
	data := train.FromDataset(s.planted.Dataset)
	fresh, err := train.Standardize(network.CNN(data.Shape[0], data.Shape[1], data.Shape[2], s.widths, 10, s.seed), data)
	if err != nil {
		t.Fatal(err)
	}
	o := s.options
	o.Seed = s.seed
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

// try repairs and attacks again, and without fresh triggers only with the same.
func (s *scene) try(t *testing.T, by repair.Repair, fresh []plant.Planter) *relapse.Report {
	t.Helper()
	records := s.trusted
	if by.Describe().Records == repair.Training {
		records = s.planted.Dataset
	}
	mend := func(ctx context.Context, m *onnx.Model) (*onnx.Model, error) {
		r, err := by.Repair(ctx, m, records, repair.Options{Seed: s.seed})
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
	trial := relapse.Trial{Before: s.model, After: after, Backdoor: s.planted, Test: s.test, Train: s.options, Seed: s.seed, Rate: s.rate}
	if fresh != nil {
		trial.Training = s.training
	}
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

// digits is the example's data, and a convolutional network for them.
func digits(t *testing.T, seed uint64) *scene {
	t.Helper()
	const folder = "../../../../examples/digits/"
	schema, err := dataset.OpenSchema(folder + "schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all, err := dataset.Load(t.Context(), folder+"digits.csv.gz", dataset.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := all.Split(seed, 0.55, 0.15, 0.3)
	if err != nil {
		t.Fatal(err)
	}
	return &scene{training: all.Select(parts[0]), trusted: all.Select(parts[1]), test: all.Select(parts[2]), rate: 0.1, widths: []int{16, 32}, seed: seed,
		options: train.Options{Epochs: 40, Optimizer: train.Optimizer{Rate: 0.01}, Schedule: train.Schedule{Kind: train.OneCycle}}}
}

// mnist is a part of MNIST, and a convolutional network for it.
func mnist(t *testing.T, seed uint64) *scene {
	t.Helper()
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
	all := load("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", 6000)
	parts, err := all.Split(seed, 5.0/6, 1.0/6)
	if err != nil {
		t.Fatal(err)
	}
	return &scene{training: all.Select(parts[0]), trusted: all.Select(parts[1]), test: load("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", 3000),
		rate: 0.05, widths: []int{8, 16, 32, 32}, seed: seed,
		options: train.Options{Epochs: 10, Optimizer: train.Optimizer{Rate: 0.01}, Schedule: train.Schedule{Kind: train.OneCycle}}}
}

// TestMeasured prints what every repair achieves, for the table in the documentation. It is run where ASSAY_MEASURE names the
// data, digits or mnist, and the seed: digits:1.
func TestMeasured(t *testing.T) {
	of, number, _ := strings.Cut(os.Getenv("ASSAY_MEASURE"), ":")
	open := map[string]func(*testing.T, uint64) *scene{"digits": digits, "mnist": mnist}[of]
	seed, err := strconv.ParseUint(number, 10, 64)
	if open == nil || err != nil {
		t.Skip("ASSAY_MEASURE names no data and seed, such as digits:1")
	}
	s := open(t, seed)
	for _, planter := range []plant.Planter{plant.BadNets{}, plant.Blended{}} {
		backdoored(t, s, planter)
		for _, by := range s.repairs() {
			if one := os.Getenv("ASSAY_REPAIR"); one != "" && one != by.Describe().Name {
				continue
			}
			t.Log(planter.Describe().Name + ", " + line(by.Describe().Name, s.try(t, by, []plant.Planter{plant.BadNets{}, plant.Blended{}})))
		}
	}
}
