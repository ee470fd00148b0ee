package prepare

import (
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"assay/internal/dataset"
	"assay/internal/method/poisoning"
	"assay/internal/method/poisoning/neighbours"
	"assay/internal/model/ort"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// digits are the example's pictures, 64 numbers each, in an order drawn by seed.
func digits(t *testing.T, seed uint64) *train.Data {
	t.Helper()
	folder := filepath.Join("..", "..", "..", "..", "examples", "digits")
	d, err := dataset.Load(t.Context(), filepath.Join(folder, "digits.csv.gz"), dataset.Options{Label: "label"})
	if err != nil {
		t.Fatal(err)
	}
	d = d.Select(rand.New(rand.NewPCG(seed, 3)).Perm(d.Len()))
	return train.FromDataset(d)
}

func options(seed uint64) Options {
	return Options{
		Build: func(seed uint64) (*onnx.Model, error) { return network.MLP(64, []int{32}, 10, seed), nil },
		Train: train.Options{Epochs: 6, Seed: seed, Optimizer: train.Optimizer{Method: train.Adam, Rate: 0.003}},
		Folds: 4, Checkpoints: 2,
	}
}

// rank prepares data, of which the last are known to be clean, and ranks the others.
func rank(t *testing.T, d *train.Data, clean int, seed uint64) *poisoning.Ranking {
	t.Helper()
	r, err := Records(t.Context(), d, 10, options(seed))
	if err != nil {
		t.Fatal(err)
	}
	search := neighbours.Search(ort.Options{})
	rng := rand.New(rand.NewPCG(seed, 4))
	var scored []poisoning.Scored
	for _, detector := range []poisoning.Detector{
		poisoning.ConfidentLearning{}, poisoning.KNN{Search: search}, poisoning.TracIn{}, poisoning.SpectralSignatures{},
		poisoning.ActivationClustering{}, poisoning.Spectre{}, poisoning.TriggerPattern{}, poisoning.NearDuplicates{Search: search},
	} {
		s, err := detector.Suspect(t.Context(), r, rng)
		if err != nil {
			t.Fatal(err)
		}
		scored = append(scored, poisoning.Scored{Detector: detector.Describe().Name, Suspicion: s})
	}
	var known []int
	for i := d.Len() - clean; i < d.Len(); i++ {
		known = append(known, i)
	}
	ranking, err := poisoning.Rank(scored, poisoning.Calibration{Clean: known, FPR: 0.05, Alpha: 0.05}, rng)
	if err != nil {
		t.Fatal(err)
	}
	return ranking
}

// In the corner of 30 digits of 1,197 there is a bright patch of 2×2, and they are labelled 0: the ranking says so. Nothing of the kind is
// said of the same digits as they are.
func TestBackdooredDigits(t *testing.T) {
	d := digits(t, 1)
	d.Classes = slices.Clone(d.Classes)
	if ranking := rank(t, d, 600, 1); ranking.Planted {
		t.Errorf("clean digits are said to be planted, with p = %v", ranking.P)
	}
	planted := map[int]bool{}
	for i := 0; len(planted) < 30; i++ {
		if d.Classes[i] != 0 {
			planted[i] = true
			d.Classes[i] = 0
			for _, pixel := range []int{54, 55, 62, 63} {
				d.X[i*64+pixel] = 16
			}
		}
	}
	ranking := rank(t, d, 600, 1)
	found := 0
	for _, s := range ranking.Suspects {
		if s.Suspected && planted[s.Record] {
			found++
		}
	}
	t.Logf("p = %.2g, %d of 30 found", ranking.P, found)
	if !ranking.Planted || found < 24 {
		t.Errorf("p = %v, and %d of 30 planted are suspected", ranking.P, found)
	}
}

// The same seed gives the same bytes; probabilities are out of sample, and features those before the last layer.
func TestRecords(t *testing.T) {
	d := digits(t, 2)
	first, err := Records(t.Context(), d, 10, options(5))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Records(t.Context(), d, 10, options(5))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(first.Probabilities.Data, again.Probabilities.Data) || !slices.Equal(first.Features.Data, again.Features.Data) {
		t.Error("the same seed gave other records")
	}
	if first.Features.Width != 32 || len(first.Checkpoints) != 2 {
		t.Errorf("features of %d numbers, %d checkpoints", first.Features.Width, len(first.Checkpoints))
	}
	right := 0
	for i, label := range first.Labels {
		p, sum := first.Probabilities.Row(i), 0.0
		for _, v := range p {
			sum += float64(v)
		}
		if math.Abs(sum-1) > 1e-5 {
			t.Fatalf("probabilities of record %d add up to %v", i, sum)
		}
		if p[label] == slices.Max(p) {
			right++
		}
	}
	if share := float64(right) / float64(d.Len()); share < 0.85 || share == 1 {
		t.Errorf("out of sample %.3f of the labels are the most probable", share)
	}
	own := options(5)
	own.Own = &Own{Model: network.MLP(64, []int{7}, 10, 1), Rows: d.X}
	own.Train.Epochs = 1
	mine, err := Records(t.Context(), d, 10, own)
	if err != nil || mine.Features.Width != 7 || mine.Features.Len() != d.Len() || mine.Checkpoints != nil {
		t.Errorf("features of %d numbers of one's own model, %v", mine.Features.Width, err)
	}
}

func TestFoldsAreEven(t *testing.T) {
	d := &train.Data{X: make([]float32, 103), Shape: []int{1}, Classes: make([]int32, 103)}
	for i := range d.Classes {
		d.Classes[i] = int32(i % 3)
	}
	counts := map[[2]int]int{}
	for i, f := range folds(d, 3, 5, 1) {
		counts[[2]int{f, int(d.Classes[i])}]++
	}
	if len(counts) != 15 {
		t.Fatal(counts)
	}
	for k, n := range counts {
		if n < 6 || n > 8 {
			t.Errorf("fold %d has %d of class %d", k[0], n, k[1])
		}
	}
}

func TestRefuses(t *testing.T) {
	d := &train.Data{X: make([]float32, 20), Shape: []int{1}, Classes: make([]int32, 20)}
	build := func(uint64) (*onnx.Model, error) { return network.MLP(1, nil, 3, 1), nil }
	for _, c := range []struct {
		o       Options
		classes int
		want    string
	}{
		{Options{}, 2, "with a model to train"},
		{Options{Build: build}, 1, "two classes"},
		{Options{Build: build, Folds: 1}, 2, "folds"},
		{Options{Build: build, Folds: 11}, 2, "too few"},
		{Options{Build: build, Folds: 2, Train: train.Options{Epochs: 1}}, 2, "3 classes apart"},
	} {
		if _, err := Records(t.Context(), d, c.classes, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Records(ctx, d, 3, Options{Build: build}); err == nil {
		t.Error("a cancelled context prepared records")
	}
}
