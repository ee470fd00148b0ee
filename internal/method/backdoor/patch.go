package backdoor

import (
	"context"
	"math"
	"math/rand/v2"

	"assay/internal/method"
	"assay/internal/method/poisoning/plant"
)

// NeuralCleanse searches for each class the smallest patch that makes records of the other classes that class's: a mask of
// places and a pattern that shows through it. A backdoor's is much smaller than the others (Wang et al. 2019, IEEE S&P, sections IV.B
// and IV.C). In a table a place is a feature. The statistic is the anomaly index of the smallest mask.
type NeuralCleanse struct{ Inversion }

// Describe implements Detector.
func (NeuralCleanse) Describe() Description {
	return Description{Name: "neural-cleanse", Reference: "Wang et al. 2019 (IEEE S&P), section IV", Published: 2}
}

// Inspect implements Detector.
func (d NeuralCleanse) Inspect(ctx context.Context, s *Subject, rng *rand.Rand) (*Finding, error) {
	if err := s.sloped(d.Describe()); err != nil {
		return nil, err
	}
	return invert(ctx, s, d.Inversion, rng, newPatch)
}

// Patch is a trigger that lays a pattern over some places of a record.
type Patch struct {
	Mask    []float64 // how much of the pattern shows, 0 to 1, for each number of a record
	Pattern []float64 // in the record's units
	domain  *method.Domain
}

// Apply implements plant.Trigger.
func (p *Patch) Apply(record []float32) []float32 {
	x := make([]float32, len(record))
	p.lay(record, x)
	settle(p.domain, record, x)
	return x
}

func (p *Patch) lay(record, x []float32) {
	for i, v := range record {
		x[i] = float32((1-p.Mask[i])*float64(v) + p.Mask[i]*p.Pattern[i])
	}
}

// patch is a Patch in search. Its numbers are those of the places, then those of the pattern; each stands for its sigmoid.
type patch struct {
	Patch
	values []float64
	places []int // of each number of a record; -1 for one that cannot be changed
	count  int
	shown  []float64 // of each place
}

func newPatch(s *Subject, rng *rand.Rand) form {
	n := len(s.Domain.Low)
	f := &patch{Patch: Patch{Mask: make([]float64, n), Pattern: make([]float64, n), domain: s.Domain}}
	f.places, f.count = places(s)
	f.shown = make([]float64, f.count)
	f.values = make([]float64, f.count+n)
	for i := range f.values {
		f.values[i] = logit(0.05 + 0.9*rng.Float64())
	}
	return f
}

// places gives the place of each number of a record: of images the pixel, of tables the feature.
func places(s *Subject) (of []int, count int) {
	n := len(s.Domain.Low)
	of = make([]int, n)
	if shape := s.Search.Schema.RecordShape(); len(shape) == 3 {
		count = shape[1] * shape[2]
		for i := range of {
			of[i] = i % count
		}
		return of, count
	}
	group := make([]int, n)
	for k, g := range s.Domain.Groups {
		for i := g.Start; i < g.End; i++ {
			group[i] = k + 1
		}
	}
	for i := range of {
		switch {
		case s.Domain.Fixed[i]:
			of[i] = -1
		case i > 0 && group[i] != 0 && group[i] == group[i-1] && of[i-1] >= 0:
			of[i] = of[i-1]
		default:
			of[i] = count
			count++
		}
	}
	return of, count
}

func (f *patch) numbers() []float64 { return f.values }

func (f *patch) refresh() (cost, most float64) {
	for k := range f.shown {
		f.shown[k] = sigmoid(f.values[k])
		cost += f.shown[k]
	}
	for i, k := range f.places {
		if k < 0 {
			continue
		}
		f.Mask[i] = f.shown[k]
		low, high := float64(f.domain.Low[i]), float64(f.domain.High[i])
		f.Pattern[i] = low + sigmoid(f.values[f.count+i])*(high-low)
	}
	return cost, float64(f.count)
}

func (f *patch) apply(record, x []float32) { f.lay(record, x) }

func (f *patch) back(record, slope []float32, to []float64) {
	for i, k := range f.places {
		if k < 0 {
			continue
		}
		g, shown := float64(slope[i]), f.shown[k]
		to[k] += g * (f.Pattern[i] - float64(record[i])) * 2 * shown * (1 - shown)
		low, high := float64(f.domain.Low[i]), float64(f.domain.High[i])
		part := sigmoid(f.values[f.count+i])
		to[f.count+i] += g * shown * (high - low) * 2 * part * (1 - part)
	}
}

func (f *patch) weigh(weight float64, to []float64) {
	for k, shown := range f.shown {
		to[k] += weight * 2 * shown * (1 - shown)
	}
}

func (f *patch) trigger() plant.Trigger {
	p := f.Patch
	return &p
}

// sigmoid is (tanh(x)+1)/2, as the authors' program has it.
func sigmoid(x float64) float64 { return (math.Tanh(x) + 1) / 2 }

func logit(p float64) float64 { return math.Atanh(2*p - 1) }
