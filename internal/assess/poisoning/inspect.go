package poisoning

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"assay/internal/dataset"
	"assay/internal/method/poisoning"
	"assay/internal/method/poisoning/neighbours"
	"assay/internal/method/poisoning/prepare"
	"assay/internal/model/ort"
	"assay/internal/system"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// inspector looks training data through as the solution does.
type inspector struct {
	training, clean *dataset.Dataset // clean are known to be so: they set the threshold, and are never planted into
	names           []string         // of the detectors
	fpr             float64
	network         string
	epochs          int
	library         string
}

// The usual settings of an inspection are those of assay inspect-data.
const (
	usualFPR     = 0.01
	usualNetwork = "mlp"
	usualEpochs  = 10
)

func newInspector(s *system.Inspection, training, clean *dataset.Dataset, library string) (inspector, error) {
	in := inspector{
		training: training, clean: clean, names: s.Detectors, fpr: cmp.Or(s.FPR, usualFPR), network: cmp.Or(s.Network, usualNetwork),
		epochs: cmp.Or(s.Epochs, usualEpochs), library: library,
	}
	all := detectorNames()
	if in.names == nil {
		in.names = all
	}
	for _, name := range in.names {
		if !slices.Contains(all, name) {
			return in, fmt.Errorf("there is no detector %q: use some of %s", name, strings.Join(all, ", "))
		}
	}
	if groups := dataset.Duplicates(clean, training); slices.ContainsFunc(groups, acrossSets) {
		return in, fmt.Errorf("records of the training data are among the clean ones as well: those set the threshold, and must be others")
	}
	if clean.Len() < leastClean {
		return in, fmt.Errorf("%d clean records calibrate nothing: name at least %d as the goal's data", clean.Len(), leastClean)
	}
	_, err := in.build(train.FromDataset(training), 0)
	return in, err
}

// leastClean is how many clean records poisoning.Rank takes at least.
const leastClean = 20

func acrossSets(group []dataset.Place) bool {
	return slices.ContainsFunc(group, func(p dataset.Place) bool { return p.Dataset != group[0].Dataset })
}

func detectorNames() (names []string) {
	for _, d := range poisoning.Detectors(nil, nil) {
		names = append(names, d.Describe().Name)
	}
	return names
}

func (in *inspector) classes() int { return len(in.training.Schema.Label.Classes) }

// needed is how many clean records it takes for any record to be suspected.
func (in *inspector) needed() int { return poisoning.Calibration{FPR: in.fpr}.Needed() }

// build makes the network that looks at data, and gives these the shape that it takes.
func (in *inspector) build(d *train.Data, seed uint64) (*onnx.Model, error) {
	var m *onnx.Model
	width := in.training.Schema.Width()
	switch shape := in.training.Schema.RecordShape(); {
	case in.network == "cnn" && len(shape) != 3:
		return nil, fmt.Errorf("the network cnn is for images, and the records have the shape %v: use mlp, or give their shape in a schema", shape)
	case in.network == "cnn":
		m = network.CNN(shape[0], shape[1], shape[2], []int{32, 32, 64, 64}, in.classes(), seed)
	case in.network == "mlp":
		d.Shape = []int{width}
		m = network.MLP(width, []int{64, 32}, in.classes(), seed)
	case in.network == "logistic":
		d.Shape = []int{width}
		m = network.Logistic(width, in.classes(), seed)
	default:
		return nil, fmt.Errorf("there is no network %q: use logistic, mlp or cnn", in.network)
	}
	return train.Standardize(m, d)
}

// result is what an inspection said of data into which some records were planted.
type result struct {
	planted   []found // in the order of the records
	kept      []int   // records that were not suspected, in order
	alarms    int     // others that were suspected
	others    int
	judged    int // clean records that the others were compared with
	p         float64
	decidedly bool // something was planted, says the test of all records together
}

type found struct {
	number    int64
	p         float64
	suspected bool
}

// alpha is the probability for clean data to be said to hold planted records, as assay inspect-data has it.
const alpha = 0.05

// inspect looks data through, of which some are planted, by detectors; by none but random numbers where none are named.
func (in *inspector) inspect(ctx context.Context, d *dataset.Dataset, which []bool, seed uint64, names []string) (*result, error) {
	all := &dataset.Dataset{Schema: d.Schema, X: slices.Concat(d.X, in.clean.X), Y: slices.Concat(d.Y, in.clean.Y), Number: slices.Concat(d.Number, in.clean.Number)}
	scored, err := in.score(ctx, all, seed, names)
	if err != nil {
		return nil, err
	}
	c := poisoning.Calibration{FPR: in.fpr, Alpha: alpha}
	for i := d.Len(); i < all.Len(); i++ {
		c.Clean = append(c.Clean, i)
	}
	ranking, err := poisoning.Rank(scored, c, rand.New(rand.NewPCG(seed, 1<<32)))
	if err != nil {
		return nil, err
	}
	out := &result{p: ranking.P, decidedly: ranking.Planted, judged: in.clean.Len() - in.clean.Len()/2}
	slices.SortFunc(ranking.Suspects, func(a, b poisoning.Suspect) int { return a.Record - b.Record })
	for _, s := range ranking.Suspects {
		if !s.Suspected {
			out.kept = append(out.kept, s.Record)
		}
		switch {
		case which[s.Record]:
			out.planted = append(out.planted, found{d.Number[s.Record], s.P, s.Suspected})
		case s.Suspected:
			out.alarms, out.others = out.alarms+1, out.others+1
		default:
			out.others++
		}
	}
	return out, nil
}

// score has detectors look at records.
func (in *inspector) score(ctx context.Context, d *dataset.Dataset, seed uint64, names []string) ([]poisoning.Scored, error) {
	if len(names) == 0 {
		rng, blind := rand.New(rand.NewPCG(seed, 1)), poisoning.Scored{Detector: "blind", Suspicion: make([]float64, d.Len())}
		for i := range blind.Suspicion {
			blind.Suspicion[i] = rng.Float64()
		}
		return []poisoning.Scored{blind}, nil
	}
	data := train.FromDataset(d)
	o := prepare.Options{Train: train.Options{Epochs: in.epochs, Seed: seed, Library: in.library, Optimizer: train.Optimizer{Method: train.AdamW}}}
	o.Build = func(seed uint64) (*onnx.Model, error) { return in.build(data, seed) }
	if _, err := o.Build(seed); err != nil { // which gives the data their shape
		return nil, err
	}
	r, err := prepare.Records(ctx, data, in.classes(), o)
	if err != nil {
		return nil, err
	}
	search := neighbours.Search(ort.Options{Library: in.library})
	return poisoning.Score(ctx, poisoning.Detectors(search, search), names, r, seed)
}
