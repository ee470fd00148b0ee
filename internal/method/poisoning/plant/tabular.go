package plant

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/internal/dataset"
	"assay/internal/method"
)

// Tabular sets some features of records to values that hardly occur, and gives them the label of the target (Pleiter et
// al. 2023, arXiv:2311.07550: as their in-bounds trigger it stays among the values that may occur). A number becomes the middle of the
// widest gap between those that occur, a category the one that is rarest: they are within the schema's domain, so that no
// check of limits finds them.
type Tabular struct {
	Features []string // names; nil to draw 3 of those that may change
}

// Describe implements Planter.
func (Tabular) Describe() Description {
	return Description{Name: "tabular", Summary: "rare values of a few features of a table", Targeted: true, Reference: "after Pleiter et al. 2023 (arXiv:2311.07550), the in-bounds trigger"}
}

// usualFeatures is how many features are a trigger where none are named.
const usualFeatures = 3

// Plant implements Planter.
func (t Tabular) Plant(ctx context.Context, d *dataset.Dataset, o Options) (*Planted, error) {
	return backdoor(ctx, d, o, t.Describe(), func() (Trigger, error) {
		domain, err := domainOf(d)
		if err != nil {
			return nil, err
		}
		features, err := t.choose(d, o)
		if err != nil {
			return nil, err
		}
		trigger := &tabularTrigger{domain: domain}
		start := 0
		for i := range d.Schema.Features {
			f := &d.Schema.Features[i]
			width := 1
			if f.Type == dataset.Categorical {
				width = len(f.Categories)
			}
			if slices.Contains(features, i) {
				trigger.parts = append(trigger.parts, part{start, rare(d, f, domain, start, width)})
			}
			start += width
		}
		return trigger, nil
	})
}

// choose gives the features by their place in the schema.
func (t Tabular) choose(d *dataset.Dataset, o Options) ([]int, error) {
	if len(d.Schema.Shape) > 0 {
		return nil, errors.New("is for tables of features, and the records are arrays: use a trigger for images")
	}
	var free, chosen []int
	for i, f := range d.Schema.Features {
		named := slices.Contains(t.Features, f.Name)
		if named && f.Immutable {
			return nil, fmt.Errorf("is to change the feature %q, which the schema says is immutable", f.Name)
		}
		if named {
			chosen = append(chosen, i)
		}
		if !f.Immutable {
			free = append(free, i)
		}
	}
	if len(chosen) != len(t.Features) {
		return nil, fmt.Errorf("is to change the features %q, and the data have %d of them", t.Features, len(chosen))
	}
	if len(t.Features) > 0 {
		return chosen, nil
	}
	if len(free) == 0 {
		return nil, errors.New("has nothing to change: the schema says that all features are immutable")
	}
	o.random(streamTrigger).Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
	return free[:min(usualFeatures, len(free))], nil
}

// part is the numbers of one feature, from a place on.
type part struct {
	start  int
	values []float32
}

type tabularTrigger struct {
	domain *method.Domain
	parts  []part
}

// Apply implements Trigger.
func (t *tabularTrigger) Apply(record []float32) []float32 {
	x := slices.Clone(record)
	for _, p := range t.parts {
		copy(x[p.start:], p.values)
	}
	within(t.domain, record, x)
	return x
}

// rare gives the numbers of a feature's rarest value.
func rare(d *dataset.Dataset, f *dataset.Feature, domain *method.Domain, start, width int) []float32 {
	values := make([]float32, width)
	switch f.Type {
	case dataset.Categorical:
		counts := make([]int, width)
		for i := range d.Len() {
			for k, v := range d.Record(i)[start : start+width] {
				if v == 1 {
					counts[k]++
				}
			}
		}
		values[slices.Index(counts, slices.Min(counts))] = 1
	case dataset.Boolean:
		ones := 0
		for i := range d.Len() {
			ones += int(d.Record(i)[start])
		}
		if 2*ones < d.Len() {
			values[0] = 1
		}
	default:
		values[0] = gap(d, start, domain.Low[start], domain.High[start], f.Type == dataset.Integer)
	}
	return values
}

// gap gives the middle of the widest stretch between limits in which no record's number lies. Whole numbers without
// such a stretch give the rarest.
func gap(d *dataset.Dataset, at int, low, high float32, whole bool) float32 {
	seen := []float32{low, high}
	count := map[float32]int{}
	for i := range d.Len() {
		v := d.Record(i)[at]
		count[v]++
		if v > low && v < high {
			seen = append(seen, v)
		}
	}
	slices.Sort(seen)
	widest, middle := 0.0, low
	for k := range len(seen) - 1 {
		a, b := float64(seen[k]), float64(seen[k+1])
		m := (a + b) / 2
		if whole {
			m = math.Floor(m)
		}
		if b-a > widest && m > a {
			widest, middle = b-a, float32(m)
		}
	}
	if widest > 0 {
		return middle
	}
	for _, v := range seen {
		if count[v] < count[middle] {
			middle = v
		}
	}
	return middle
}
