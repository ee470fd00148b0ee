package backdoor

import (
	"context"
	"math"
	"math/rand/v2"

	"assay/internal/method"
	"assay/internal/method/poisoning/plant"
)

// UniversalShift searches for each class the smallest change, the same for all records and over all of their numbers, that makes
// records of the other classes that class's: a universal perturbation (Moosavi-Dezfooli et al. 2017, arXiv:1610.08401), targeted, and
// smallest in L2, found and judged as Neural Cleanse finds and judges patches. It sees triggers that are faint
// and everywhere, of which no small patch is a part: blended patterns and waves. In tables it moves numbers, and no categories.
type UniversalShift struct{ Inversion }

// Describe implements Detector.
func (UniversalShift) Describe() Description {
	return Description{Name: "universal-shift", Reference: "Moosavi-Dezfooli et al. 2017 (arXiv:1610.08401), judged as by Wang et al. 2019", Published: 2}
}

// Inspect implements Detector.
func (d UniversalShift) Inspect(ctx context.Context, s *Subject, rng *rand.Rand) (*Finding, error) {
	if err := s.sloped(d.Describe()); err != nil {
		return nil, err
	}
	return invert(ctx, s, d.Inversion, rng, newShift)
}

// Shift is a trigger that adds the same to every record.
type Shift struct {
	By     []float64 // in the record's units
	domain *method.Domain
}

// Apply implements plant.Trigger.
func (t *Shift) Apply(record []float32) []float32 {
	x := make([]float32, len(record))
	t.add(record, x)
	settle(t.domain, record, x)
	return x
}

// add keeps to the limits, as far as the record itself does.
func (t *Shift) add(record, x []float32) {
	for i, v := range record {
		low, high := min(t.domain.Low[i], v), max(t.domain.High[i], v)
		x[i] = min(max(v+float32(t.By[i]), low), high)
	}
}

// shift is a Shift in search: of each number the inverse hyperbolic tangent of what is added, in units of its range.
type shift struct {
	Shift
	values []float64
	free   []bool
}

func newShift(s *Subject, rng *rand.Rand) form {
	n := len(s.Domain.Low)
	f := &shift{Shift: Shift{By: make([]float64, n), domain: s.Domain}, values: make([]float64, n), free: make([]bool, n)}
	for i := range f.free {
		f.free[i] = !s.Domain.Fixed[i]
	}
	for _, g := range s.Domain.Groups {
		for i := g.Start; i < g.End; i++ {
			f.free[i] = false
		}
	}
	for i := range f.values {
		f.values[i] = 0.02 * (rng.Float64() - 0.5)
	}
	return f
}

func (f *shift) numbers() []float64 { return f.values }

func (f *shift) refresh() (cost, most float64) {
	for i, free := range f.free {
		if free {
			part := math.Tanh(f.values[i])
			f.By[i] = part * float64(f.domain.Scale[i])
			cost += part * part
			most++
		}
	}
	return math.Sqrt(cost), math.Sqrt(most)
}

func (f *shift) apply(record, x []float32) { f.add(record, x) }

func (f *shift) back(record, slope []float32, to []float64) {
	for i, free := range f.free {
		if !free {
			continue
		}
		part := math.Tanh(f.values[i])
		to[i] += float64(slope[i]) * float64(f.domain.Scale[i]) * (1 - part*part) // also where the limit cuts: other records are not cut
	}
}

func (f *shift) weigh(weight float64, to []float64) {
	cost, _ := f.refresh()
	for i, free := range f.free {
		if part := math.Tanh(f.values[i]); free && cost > 0 {
			to[i] += weight * part / cost * (1 - part*part)
		}
	}
}

func (f *shift) trigger() plant.Trigger {
	t := f.Shift
	return &t
}
