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
	return d.inspect(ctx, s, d.Describe(), rng, newShift)
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

// shift is a Shift in search: its parts are what is added to each number, in units of its range.
type shift struct {
	Shift
	free []bool
	cost float64
}

func newShift(s *Subject) form {
	n := len(s.Domain.Low)
	f := &shift{Shift: Shift{By: make([]float64, n), domain: s.Domain}, free: make([]bool, n)}
	for i := range f.free {
		f.free[i] = !s.Domain.Fixed[i]
	}
	for _, g := range s.Domain.Groups {
		for i := g.Start; i < g.End; i++ {
			f.free[i] = false
		}
	}
	return f
}

func (f *shift) start(rng *rand.Rand) []float64 {
	parts := make([]float64, len(f.free))
	for i := range parts {
		parts[i] = math.Tanh(0.02 * (rng.Float64() - 0.5))
	}
	return parts
}

func (f *shift) set(parts []float64) (cost, most float64) {
	for i, free := range f.free {
		if free {
			f.By[i] = parts[i] * float64(f.domain.Scale[i])
			cost += parts[i] * parts[i]
			most++
		}
	}
	f.cost = math.Sqrt(cost)
	return f.cost, math.Sqrt(most)
}

func (f *shift) apply(record, x []float32) { f.add(record, x) }

func (f *shift) back(_, slope []float32, to []float64) {
	for i, free := range f.free {
		if free {
			to[i] += float64(slope[i]) * float64(f.domain.Scale[i]) // also where the limit cuts: other records are not cut
		}
	}
}

func (f *shift) weigh(weight float64, to []float64) {
	for i, free := range f.free {
		if free && f.cost > 0 {
			to[i] += weight * f.By[i] / float64(f.domain.Scale[i]) / f.cost
		}
	}
}

func (f *shift) trigger() plant.Trigger {
	t := f.Shift
	return &t
}
