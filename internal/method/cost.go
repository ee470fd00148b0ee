package method

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"assay/internal/dataset"
)

// Monotone is the direction in which alone an attacker can move a number; 0 for both.
type Monotone int8

// The directions.
const (
	Up   Monotone = 1
	Down Monotone = -1
)

// Cost is the budget of an attacker who pays for each change: a number's Domain.Cost for each unit
// of the data by which it moves, a group's for a change to that category (Kulynych et al. 2018,
// arXiv:1810.10939, section 2, with a cost that is a sum over features). Eps is the budget.
const Cost Norm = "cost"

// Budgets gives all by which a perturbation can be limited: the norms, and Cost, for which a
// domain must state costs.
func Budgets() []Norm { return append(Norms(), Cost) }

// priced reports that a number which could change has no cost, where costs are what limits.
func (d *Domain) priced(by Norm) error {
	if by != Cost {
		return nil
	}
	for i := range d.Low {
		if !d.fixed(i) && (d.Cost == nil || math.IsNaN(d.Cost[i])) {
			return fmt.Errorf("number %d of a row can change, and it is not stated what that costs: give its feature a cost in the schema, or make it immutable", i)
		}
	}
	return nil
}

func (d *Domain) validateCosts() error {
	n := len(d.Low)
	if d.Monotone != nil && len(d.Monotone) != n || d.Cost != nil && len(d.Cost) != n {
		return fmt.Errorf("the domain has %d numbers, and says of %d in which direction they can go and of %d what a change costs: these must be as many, or none", n, len(d.Monotone), len(d.Cost))
	}
	for i, c := range d.Cost {
		if c < 0 || c > math.MaxFloat32 {
			return fmt.Errorf("number %d of a row has the cost %g: it must be finite and not negative", i, c)
		}
	}
	for i, m := range d.Monotone {
		if m != 0 && m != Up && m != Down {
			return fmt.Errorf("number %d of a row has the direction %d, which is neither up (1) nor down (-1) nor both (0)", i, m)
		}
	}
	return nil
}

// directions gives the directions of columns, nil where all can go both ways.
func directions(columns []dataset.Column) []Monotone {
	var out []Monotone
	for i, c := range columns {
		if c.Monotone == "" {
			continue
		}
		if out == nil {
			out = make([]Monotone, len(columns))
		}
		out[i] = Up
		if c.Monotone == dataset.Decreasing {
			out[i] = Down
		}
	}
	return out
}

// costs gives the costs of columns, nil where none is stated.
func costs(columns []dataset.Column) []float64 {
	if !slices.ContainsFunc(columns, func(c dataset.Column) bool { return c.Cost != nil }) {
		return nil
	}
	out := make([]float64, len(columns))
	for i, c := range columns {
		if out[i] = math.NaN(); c.Cost != nil {
			out[i] = *c.Cost
		}
	}
	return out
}

// price is what a change of number i by 1 costs; nothing where that is not stated, as of what cannot change.
func (s *Space) price(i int) float64 {
	if s.Domain.Cost == nil || math.IsNaN(s.Domain.Cost[i]) {
		return 0
	}
	return s.Domain.Cost[i]
}

// cost is what the changes of a row cost together.
func (s *Space) cost(x []float32) float64 {
	sum := s.groupCost(x)
	s.Domain.plain(func(i int) {
		if by := math.Abs(float64(x[i]) - float64(s.Clean[i])); by != 0 {
			sum += by * s.price(i)
		}
	})
	return sum
}

// groupCost is what the changed groups of a row cost.
func (s *Space) groupCost(x []float32) (sum float64) {
	for _, g := range s.Domain.Groups {
		if !slices.Equal(x[g.Start:g.End], s.Clean[g.Start:g.End]) {
			sum += s.price(largest(x, g))
		}
	}
	return sum
}

// allowed gives the first of changes that may be made together: as many as Groups allows, or as
// the budget pays.
func (s *Space) allowed(changes []change) []change {
	if s.Norm != Cost {
		return changes[:min(len(changes), max(s.Groups, 0))]
	}
	spent := 0.0
	return slices.DeleteFunc(changes, func(c change) bool {
		if spent+s.price(c.category) > s.Eps {
			return true
		}
		spent += s.price(c.category)
		return false
	})
}

// shrinkToCost shrinks the perturbation of numbers until what the groups leave of the budget pays it.
func (s *Space) shrinkToCost(x []float32) {
	if s.cost(x) <= s.Eps {
		return
	}
	original, groups := slices.Clone(x), s.groupCost(x)
	factor := (s.Eps - groups) / (s.cost(x) - groups)
	for range 64 { // the sum's own rounding may leave it just above
		s.Domain.plain(func(i int) { x[i] = s.shrunk(i, original[i], max(factor, 0)) })
		if s.cost(x) <= s.Eps {
			return
		}
		factor = factor*(1-1e-9) - 1e-12
	}
	s.Domain.plain(func(i int) { x[i] = s.Clean[i] })
	if s.cost(x) > s.Eps { // the groups' sum, by its rounding
		copy(x, s.Clean)
	}
}

// move is what could be moved along a slope: a number by itself, or a group to a category.
type move struct {
	number int // or the category's
	group  *Group
	gain   float64 // for each unit of cost, to first order
}

// stepCost spends size of the budget on the changes that gain most for what they cost, to first order: the
// steepest ascent where a budget is a weighted sum of changes, each up to the number's limit. A whole
// number moves by whole steps, if one can be paid.
func (s *Space) stepCost(x, slope []float32, size float64) {
	from := slices.Clone(x)
	for _, m := range s.moves(x, slope) {
		if m.group != nil {
			if price := s.price(m.number); price <= size {
				size -= price
				clear(x[m.group.Start:m.group.End])
				x[m.number] = 1
			}
			continue
		}
		size -= s.moveBy(x, m.number, math.Copysign(1, float64(slope[m.number])), size)
	}
	if s.cost(x) > s.Eps { // an old change of a group gives way to new ones
		s.forget(x, from)
	}
}

// moveBy moves number i in a direction as far as its limits and the money allow, and gives what it costs.
func (s *Space) moveBy(x []float32, i int, direction, money float64) float64 {
	price, at := s.price(i), float64(x[i])
	to := float64(s.clip(i, float32(math.Copysign(math.MaxFloat32, direction))))
	by := math.Abs(to - at)
	if price > 0 {
		by = min(by, money/price)
	}
	if s.Domain.integer(i) {
		by = math.Floor(by * (1 + 1e-12))
	}
	x[i] = float32(at + math.Copysign(by, direction))
	return by * price
}

// moves gives what gains along a slope, the most for its cost first. What costs nothing comes first of all.
func (s *Space) moves(x, slope []float32) []move {
	var out []move
	add := func(m move, gain, price float64) {
		if gain > 0 {
			m.gain = gain / price // infinite for what is free
			out = append(out, m)
		}
	}
	s.Domain.plain(func(i int) {
		g := s.scaled(i, slope) / float64(s.Domain.Scale[i])
		if limit := s.clip(i, float32(math.Copysign(math.MaxFloat32, g))); limit != x[i] {
			add(move{number: i}, math.Abs(g), s.price(i))
		}
	})
	for k, g := range s.Domain.Groups {
		if best := largest(slope, g); !s.Domain.fixedGroup(g) && x[best] != 1 {
			gain := float64(slope[best])
			for i := g.Start; i < g.End; i++ {
				gain -= float64(slope[i]) * float64(x[i])
			}
			add(move{number: best, group: &s.Domain.Groups[k]}, gain, s.price(best))
		}
	}
	slices.SortStableFunc(out, func(a, b move) int { return cmp.Compare(b.gain, a.gain) })
	return out
}

// forget puts back groups that had changed before a step and did not in it, the dearest first, until the budget pays the rest.
func (s *Space) forget(x, from []float32) {
	var old []Group
	for _, g := range s.Domain.Groups {
		if now := x[g.Start:g.End]; slices.Equal(now, from[g.Start:g.End]) && !slices.Equal(now, s.Clean[g.Start:g.End]) {
			old = append(old, g)
		}
	}
	slices.SortStableFunc(old, func(a, b Group) int { return cmp.Compare(s.price(largest(x, b)), s.price(largest(x, a))) })
	for _, g := range old {
		if s.groupCost(x) <= s.Eps {
			return
		}
		copy(x[g.Start:g.End], s.Clean[g.Start:g.End])
	}
}
