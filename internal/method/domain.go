package method

import (
	"errors"
	"fmt"
	"math"

	"assay/internal/dataset"
	"assay/internal/model"
)

// Domain is what the inputs of a model can be, whoever makes them: limits of every
// number and what an attacker cannot change. The slices have one entry a number of a row.
type Domain struct {
	Low, High []float32 // closed limits, in the data's own units
	Scale     []float32 // what a perturbation of size 1 is, in those units; positive; those of groups count for nothing
	Fixed     []bool    // which the attacker cannot change; nil for none
	Integer   []bool    // which are whole numbers; nil for none
	Monotone  []Monotone
	Cost      []float64 // of a change by 1 in the data's own units, or to that category; NaN where none is stated; nil for none
	Groups    []Group   // one-hot groups, in order
	Relations []Relation
	Image     *Image // where the values of an image are; nil for what is none
}

// Group is the numbers Start ≤ i < End of a row, of which exactly one is 1 and the others 0.
type Group struct{ Start, End int }

// Relation says that a linear combination of numbers is at most a bound:
// Σ Weights[i]·x[Of[i]] ≤ Bound.
type Relation struct {
	Of      []int
	Weights []float64
	Bound   float64
}

// Holds reports whether a row satisfies the relation, to within rounding of float32.
func (r Relation) Holds(x []float32) bool { return r.excess(x) <= 0 }

func (r Relation) excess(x []float32) float64 {
	over, size := r.over(x)
	return over - size*0x1p-22
}

// over is by how much the bound is exceeded, and the size of the largest term.
func (r Relation) over(x []float32) (over, size float64) {
	size = math.Abs(r.Bound)
	for i, at := range r.Of {
		term := r.Weights[i] * float64(x[at])
		over += term
		size = max(size, math.Abs(term))
	}
	return over - r.Bound, size
}

// Validate reports what contradicts itself in the domain.
func (d *Domain) Validate() error {
	n := len(d.Low)
	if n == 0 {
		return errors.New("the domain describes no numbers")
	}
	if len(d.High) != n || len(d.Scale) != n || d.Fixed != nil && len(d.Fixed) != n || d.Integer != nil && len(d.Integer) != n {
		return fmt.Errorf("the domain has %d lower and %d upper limits, %d scales, and says of %d numbers whether they are fixed and of %d whether they are whole: these must be as many, or none",
			n, len(d.High), len(d.Scale), len(d.Fixed), len(d.Integer))
	}
	for i := range n {
		if !(d.Low[i] <= d.High[i]) {
			return fmt.Errorf("number %d of a row has the limits %g and %g, between which there is nothing", i, d.Low[i], d.High[i])
		}
		if !(d.Scale[i] > 0) || math.IsInf(float64(d.Scale[i]), 0) {
			return fmt.Errorf("number %d of a row has the scale %g: it must be positive and finite", i, d.Scale[i])
		}
	}
	if err := d.validateCosts(); err != nil {
		return err
	}
	if d.Image != nil {
		if err := d.Image.validate(n); err != nil {
			return err
		}
	}
	end := 0
	for _, g := range d.Groups {
		if g.Start < end || g.End <= g.Start || g.End > n {
			return fmt.Errorf("the group of numbers %d to %d is empty, overlaps the one before it, or leaves the row of %d", g.Start, g.End-1, n)
		}
		end = g.End
		for i := g.Start; i < g.End; i++ {
			if d.monotone(i) != 0 {
				return fmt.Errorf("number %d of a row is in a one-hot group, whose categories have no order in which it could only go up or down", i)
			}
			if d.Low[i] > 0 || d.High[i] < 1 {
				return fmt.Errorf("number %d of a row is in a one-hot group, and its limits %g and %g leave out 0 or 1", i, d.Low[i], d.High[i])
			}
		}
	}
	for i, r := range d.Relations {
		if err := r.validate(n); err != nil {
			return fmt.Errorf("relation %d %w", i+1, err)
		}
	}
	return nil
}

func (r Relation) validate(n int) error {
	if len(r.Of) == 0 || len(r.Of) != len(r.Weights) {
		return fmt.Errorf("is of %d numbers with %d weights: it needs some, and as many", len(r.Of), len(r.Weights))
	}
	// Numbers of a row are below 2^128, so sums of terms stay finite.
	const most = 1e200
	for i, at := range r.Of {
		if at < 0 || at >= n {
			return fmt.Errorf("is of number %d of a row, which has %d", at, n)
		}
		if !(math.Abs(r.Weights[i]) <= most) {
			return fmt.Errorf("has the weight %g, which is no finite number or too large", r.Weights[i])
		}
	}
	if !(math.Abs(r.Bound) <= most) {
		return fmt.Errorf("has the bound %g, which is no finite number or too large", r.Bound)
	}
	return nil
}

func (d *Domain) fixed(i int) bool { return d.Fixed != nil && d.Fixed[i] }

func (d *Domain) monotone(i int) Monotone {
	if d.Monotone == nil {
		return 0
	}
	return d.Monotone[i]
}

func (d *Domain) integer(i int) bool { return d.Integer != nil && d.Integer[i] }

// Pixel gives what number i is of that L0 counts once: in an image its pixel, from 0 and line by line, with all channels; else the number by itself.
func (d *Domain) Pixel(i int) int {
	if d.Image == nil {
		return i
	}
	y, x := d.Image.place(i)
	return y*d.Image.Width + x
}

// fixedGroup reports whether a group cannot change: one of its numbers is fixed.
func (d *Domain) fixedGroup(g Group) bool {
	for i := g.Start; i < g.End; i++ {
		if d.fixed(i) {
			return true
		}
	}
	return false
}

// plain goes through the numbers that are in no group, in order.
func (d *Domain) plain(visit func(i int)) {
	d.spans(func(from, to int) {
		for i := from; i < to; i++ {
			visit(i)
		}
	})
}

// spans visits the parts of a row between one-hot groups.
func (d *Domain) spans(visit func(from, to int)) {
	from := 0
	for _, g := range d.Groups {
		visit(from, g.Start)
		from = g.End
	}
	visit(from, len(d.Low))
}

// Scaling says what a perturbation of size 1 is.
type Scaling string

// The scalings.
const (
	Raw       Scaling = "raw"   // 1 in the data's own units
	ByRange   Scaling = "range" // from the lower limit to the upper
	Deviation Scaling = "std"   // the standard deviation
)

// Scalings gives all scalings.
func Scalings() []Scaling { return []Scaling{Raw, ByRange, Deviation} }

// DomainOf gives the domain of records of a complete schema. Limits are the schema's,
// or the range observed. Statistics are needed for scaling by the standard deviation;
// a number that is the same in all data has none, and is fixed.
func DomainOf(schema *dataset.Schema, statistics []dataset.Statistics, by Scaling) (*Domain, error) {
	columns := schema.Columns()
	if by == Deviation && len(statistics) != len(columns) {
		return nil, fmt.Errorf("to measure perturbations in standard deviations, those of %d numbers are needed, and %d are given", len(columns), len(statistics))
	}
	n := len(columns)
	d := &Domain{Low: make([]float32, n), High: make([]float32, n), Scale: make([]float32, n), Fixed: make([]bool, n), Integer: make([]bool, n)}
	d.Monotone, d.Cost = directions(columns), costs(columns)
	for i, c := range columns {
		d.Low[i], d.High[i], d.Scale[i] = c.Min, c.Max, 1
		d.Fixed[i] = c.Immutable
		d.Integer[i] = c.Type == dataset.Integer || c.Type == dataset.Boolean
		if c.Type == dataset.Categorical {
			continue
		}
		scale := float32(1)
		switch by {
		case Raw:
		case ByRange:
			scale = float32(min(float64(c.Max)-float64(c.Min), math.MaxFloat32))
		case Deviation:
			scale = float32(statistics[i].Std)
		default:
			return nil, fmt.Errorf("perturbations cannot be measured by %q: use one of %q", by, Scalings())
		}
		if scale == 0 { // nothing to move along
			d.Fixed[i], scale = true, 1
		}
		d.Scale[i] = scale
	}
	for _, g := range schema.Groups() {
		d.Groups = append(d.Groups, Group{g.Start, g.End})
	}
	return d, d.Validate()
}

// DomainOfModel gives the domain of all inputs in a model's range, in raw units.
func DomainOfModel(m model.Description) *Domain {
	n := m.RowSize()
	d := &Domain{Low: make([]float32, n), High: make([]float32, n), Scale: make([]float32, n), Image: ImageOf(m)}
	for i := range n {
		d.Low[i], d.High[i], d.Scale[i] = float32(m.Range.Low), float32(m.Range.High), 1
	}
	return d
}
