package method_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"assay/internal/dataset"
	"assay/internal/method"
)

// TestCostOnLinear: on a linear function the best that a budget buys is known, as it is a knapsack of which
// parts can be taken: what gains most for its cost first, each to its limit. One step reaches it.
func TestCostOnLinear(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		n := 1 + r.IntN(8)
		d := box(n, -5, 5)
		d.Cost, d.Monotone = make([]float64, n), make([]method.Monotone, n)
		s := &method.Space{Domain: d, Norm: method.Cost, Eps: 10 * r.Float64(), Clean: make([]float32, n)}
		slope := make([]float32, n)
		for i := range n {
			s.Clean[i], slope[i] = float32(r.IntN(11)-5), float32(r.NormFloat64())
			d.Cost[i] = 0.1 + 3*r.Float64()
			d.Monotone[i] = method.Monotone(r.IntN(3) - 1)
		}
		x := slices.Clone(s.Clean)
		s.Step(x, slope, s.Eps)
		if err := s.Contains(x); err != nil {
			t.Fatal(err)
		}
		got := 0.0
		for i := range x {
			got += float64(slope[i]) * (float64(x[i]) - float64(s.Clean[i]))
		}
		if want := knapsack(s, slope); math.Abs(got-want) > 1e-4*(1+want) {
			t.Errorf("seed %d: a step gains %g, the best is %g", seed, got, want)
		}
	}
}

// knapsack is the most that a linear function gains within a budget.
func knapsack(s *method.Space, slope []float32) (gain float64) {
	type item struct{ ratio, room float64 }
	var items []item
	for i, g := range slope {
		room, d := 5-float64(s.Clean[i]), s.Domain.Monotone[i]
		if g < 0 {
			room = float64(s.Clean[i]) + 5
		}
		if g > 0 && d == method.Down || g < 0 && d == method.Up {
			continue
		}
		items = append(items, item{math.Abs(float64(g)) / s.Domain.Cost[i], room * s.Domain.Cost[i]})
	}
	slices.SortFunc(items, func(a, b item) int { return int(math.Copysign(1, b.ratio-a.ratio)) })
	money := s.Eps
	for _, it := range items {
		spent := min(money, it.room)
		gain += spent * it.ratio
		money -= spent
	}
	return gain
}

// TestCostKnown: what changes cost, written down.
func TestCostKnown(t *testing.T) {
	d := &method.Domain{
		Low: []float32{0, 0, 0, 0, 0}, High: []float32{9, 9, 1, 1, 1}, Scale: []float32{7, 7, 1, 1, 1},
		Integer: []bool{false, true, false, false, false}, Groups: []method.Group{{Start: 2, End: 5}},
		Cost: []float64{2, 3, 1, 4, 5}, Monotone: []method.Monotone{method.Up, 0, 0, 0, 0},
	}
	s := &method.Space{Domain: d, Norm: method.Cost, Eps: 10, Clean: []float32{4, 4, 1, 0, 0}}
	for _, c := range []struct {
		x    []float32
		cost float64
		want string // of the error
	}{
		{[]float32{4, 4, 1, 0, 0}, 0, ""},
		{[]float32{5.5, 2, 1, 0, 0}, 9, ""},
		{[]float32{4, 5, 0, 0, 1}, 8, ""},
		{[]float32{4.5, 6, 0, 1, 0}, 11, "cost norm is 11"},
		{[]float32{3.5, 4, 1, 0, 0}, 1, "number 0 can only go up, and went from 4 to 3.5"},
	} {
		if got := s.Distance(c.x); got != c.cost {
			t.Errorf("%v costs %g, not %g", c.x, got, c.cost)
		}
		if err := s.Contains(c.x); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.x, err, c.want)
		}
	}
	x := []float32{9, 4, 0, 0.2, 0.1} // the second category is ahead, and leaves 6 of the budget
	s.Project(x)
	if !slices.Equal(x, []float32{7, 4, 0, 1, 0}) {
		t.Errorf("projected to %v", x)
	}
	d.Cost[1] = math.NaN()
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(d *method.Domain){
		"has the cost -1":        func(d *method.Domain) { d.Cost[0] = -1 },
		"has the cost +Inf":      func(d *method.Domain) { d.Cost[0] = math.Inf(1) },
		"of 1 what a change":     func(d *method.Domain) { d.Cost = d.Cost[:1] },
		"the direction 2":        func(d *method.Domain) { d.Monotone[1] = 2 },
		"categories have no ord": func(d *method.Domain) { d.Monotone[2] = method.Up },
	} {
		c := *d
		c.Cost, c.Monotone = slices.Clone(d.Cost), slices.Clone(d.Monotone)
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// TestRepairKeepsMore: where one number must not exceed another, a projection keeps half of the way and a
// repair takes the other number along.
func TestRepairKeepsMore(t *testing.T) {
	d := box(2, 0, 9)
	d.Relations = []method.Relation{{Of: []int{0, 1}, Weights: []float64{1, -1}, Bound: 0}}
	s := &method.Space{Domain: d, Norm: method.Linf, Eps: 3, Clean: []float32{4, 4}}
	projected, repaired := []float32{7, 4}, []float32{7, 4}
	s.Project(projected)
	s.Repair(repaired)
	if projected[0] != 4 || repaired[0] < 5.49 || s.Contains(repaired) != nil {
		t.Errorf("projected to %v, repaired to %v", projected, repaired)
	}
	d.Monotone = []method.Monotone{0, method.Down}
	repaired = []float32{7, 4}
	if s.Repair(repaired); repaired[0] > 4 || s.Contains(repaired) != nil {
		t.Errorf("repaired to %v where the other number cannot rise", repaired)
	}
}

func TestSchemaOfCosts(t *testing.T) {
	schema, err := dataset.DecodeSchema([]byte(`
complete: true
features:
  - {name: age, type: integer, min: 0, max: 90, monotone: increasing, cost: 3}
  - {name: job, type: categorical, categories: [a, b], cost: 0.5}
  - {name: debt, type: real, min: 0, max: 9, monotone: decreasing}
`))
	if err != nil {
		t.Fatal(err)
	}
	d, err := method.DomainOf(schema, nil, method.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.Monotone, []method.Monotone{method.Up, 0, 0, method.Down}) || !slices.Equal(d.Cost[:3], []float64{3, 0.5, 0.5}) || !math.IsNaN(d.Cost[3]) {
		t.Errorf("%+v", d)
	}
	for want, text := range map[string]string{
		`unknown direction "sideways" under monotone`: "features: [{name: a, monotone: sideways}]",
		"categorical, so its values have no order":    "features: [{name: a, type: categorical, categories: [x, y], monotone: increasing}]",
		"has the cost -1":  "features: [{name: a, cost: -1}]",
		"has the cost NaN": "features: [{name: a, cost: .nan}]",
		"cannot construct": "features: [{name: a, cost: dear}]",
	} {
		if _, err := dataset.DecodeSchema([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
