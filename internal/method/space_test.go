package method_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"assay/internal/dataset"
	"assay/internal/method"
)

var inf = float32(math.Inf(1))

// extreme draws a float32 of any size.
func extreme(r *rand.Rand) float32 {
	switch r.IntN(8) {
	case 0:
		return []float32{0, 1, -1, math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 1 << 24, 0.1}[r.IntN(8)]
	case 1, 2:
		return float32(r.NormFloat64() * math.Pow(10, r.Float64()*70-35))
	case 3:
		return float32(r.IntN(9) - 4)
	}
	return float32(r.NormFloat64())
}

// wild draws what a method might ask to be projected.
func wild(r *rand.Rand) float32 {
	if r.IntN(12) == 0 {
		return []float32{inf, -inf, float32(math.NaN())}[r.IntN(3)]
	}
	return extreme(r)
}

// randomSpace draws a space in which anything that Validate allows may occur.
func randomSpace(r *rand.Rand, norm method.Norm) *method.Space {
	n := 1 + r.IntN(12)
	d := &method.Domain{Low: make([]float32, n), High: make([]float32, n), Scale: make([]float32, n), Fixed: make([]bool, n), Integer: make([]bool, n)}
	s := &method.Space{Domain: d, Norm: norm, Eps: math.Abs(float64(extreme(r))), Groups: r.IntN(3), Clean: make([]float32, n)}
	if r.IntN(3) == 0 {
		channels := 1 + r.IntN(3)
		d.Image = &method.Image{Channels: channels, Height: 1, Width: n / channels, Last: r.IntN(2) == 0}
		if n%channels != 0 {
			d.Image = nil
		}
	}
	for i := range n {
		a, b := extreme(r), extreme(r)
		d.Low[i], d.High[i] = min(a, b), max(a, b)
		if r.IntN(4) == 0 {
			d.Low[i], d.High[i] = -inf, inf
		}
		if d.Scale[i] = float32(math.Abs(float64(extreme(r)))); d.Scale[i] == 0 {
			d.Scale[i] = 1
		}
		d.Fixed[i], d.Integer[i] = r.IntN(6) == 0, r.IntN(4) == 0
		s.Clean[i] = min(max(extreme(r), d.Low[i]), d.High[i])
		if d.Integer[i] {
			s.Clean[i] = float32(math.Round(float64(s.Clean[i])))
		}
		if r.IntN(10) == 0 { // not of the domain itself
			s.Clean[i] = extreme(r)
		}
	}
	for at := r.IntN(4); at < n; {
		g := method.Group{Start: at, End: min(at+1+r.IntN(4), n)}
		for i := g.Start; i < g.End; i++ {
			d.Low[i], d.High[i], d.Integer[i], s.Clean[i] = 0, 1, false, 0
		}
		if r.IntN(6) > 0 { // else no category
			s.Clean[g.Start+r.IntN(g.End-g.Start)] = 1
		}
		d.Groups = append(d.Groups, g)
		at = g.End + r.IntN(4)
	}
	for range r.IntN(4) {
		k := 1 + r.IntN(3)
		relation := method.Relation{Bound: float64(extreme(r))}
		for range k {
			relation.Of = append(relation.Of, r.IntN(n))
			relation.Weights = append(relation.Weights, float64(extreme(r)))
		}
		d.Relations = append(d.Relations, relation)
	}
	d.Monotone, d.Cost = make([]method.Monotone, n), make([]float64, n)
	for i := range n {
		d.Cost[i] = math.Abs(float64(extreme(r)))
		if r.IntN(5) == 0 {
			d.Monotone[i] = []method.Monotone{method.Up, method.Down}[r.IntN(2)]
		}
	}
	for _, g := range d.Groups {
		clear(d.Monotone[g.Start:g.End])
	}
	return s
}

// check asserts what holds for every space and row.
func check(t *testing.T, s *method.Space, x, slope []float32, r *rand.Rand) {
	t.Helper()
	if err := s.Domain.Validate(); err != nil {
		t.Fatalf("%v: %+v", err, s.Domain)
	}
	if err := s.Contains(s.Clean); err != nil {
		t.Errorf("the clean input is outside: %v\n%+v", err, s.Domain)
	}
	inside := func(what string, x []float32) {
		t.Helper()
		if err := s.Contains(x); err != nil {
			t.Errorf("%s: %v\n%v eps %g groups %d clean %v\n%+v", what, err, x, s.Eps, s.Groups, s.Clean, s.Domain)
			return
		}
		again := slices.Clone(x)
		s.Project(again)
		if !slices.Equal(again, x) {
			t.Errorf("%s: the projection moves %v, which is inside, to %v", what, x, again)
		}
	}
	clean := slices.Clone(s.Clean)
	p := slices.Clone(x)
	s.Project(p)
	inside("projected", p)
	s.Step(p, slope, s.Eps/3)
	inside("a step", p)
	s.Random(r, p)
	inside("at random", p)
	p = slices.Clone(x)
	s.Repair(p)
	inside("repaired", p)
	if !slices.Equal(s.Clean, clean) {
		t.Error("the clean input was changed")
	}
}

func TestProjectionIsInside(t *testing.T) {
	for _, norm := range method.Budgets() {
		for seed := range uint64(5000) {
			r := rand.New(rand.NewPCG(seed, 0))
			s := randomSpace(r, norm)
			x, slope := make([]float32, len(s.Clean)), make([]float32, len(s.Clean))
			for i := range x {
				x[i], slope[i] = wild(r), wild(r)
				if r.IntN(3) == 0 { // near the clean input, where rounding decides
					x[i] = s.Clean[i] + s.Domain.Scale[i]*float32(s.Eps)*(2*r.Float32()-1)
				}
			}
			check(t, s, x, slope, r)
			if t.Failed() {
				t.Fatalf("%s, seed %d", norm, seed)
			}
		}
	}
}

func FuzzProject(f *testing.F) {
	f.Add(uint64(1), byte(1), []byte{0, 0, 0x80, 0x7f, 1, 2, 3, 4})
	f.Add(uint64(7), byte(3), []byte{0xff, 0xff, 0x7f, 0x7f, 0, 0, 0xc0, 0x7f})
	f.Add(uint64(3), byte(4), []byte{0, 0, 0x20, 0x41, 0, 0, 0xc0, 0x40})
	f.Fuzz(func(t *testing.T, seed uint64, which byte, numbers []byte) {
		norm := method.Budgets()[int(which)%len(method.Budgets())]
		r := rand.New(rand.NewPCG(seed, 1))
		s := randomSpace(r, norm)
		x, slope := slices.Clone(s.Clean), make([]float32, len(s.Clean))
		for i := range x {
			if len(numbers) >= 4 {
				x[i] = math.Float32frombits(binary.LittleEndian.Uint32(numbers))
				slope[i] = x[i]
				numbers = numbers[4:]
			}
		}
		check(t, s, x, slope, r)
	})
}

// FuzzDomain: whatever passes Validate can be projected into.
func FuzzDomain(f *testing.F) {
	f.Add([]byte{3, 0, 2, 1, 200, 7, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Fuzz(func(t *testing.T, data []byte) {
		next := func() int {
			if len(data) == 0 {
				return 0
			}
			v := int(data[0])
			data = data[1:]
			return v
		}
		number := func() float32 {
			return math.Float32frombits(uint32(next())<<24 | uint32(next())<<16 | uint32(next())<<8)
		}
		n := next() % 8
		d := &method.Domain{}
		s := &method.Space{Domain: d, Norm: method.Norms()[next()%4], Eps: math.Abs(float64(number())), Groups: next()}
		for range n {
			d.Low, d.High, d.Scale = append(d.Low, number()), append(d.High, number()), append(d.Scale, number())
			d.Integer = append(d.Integer, next()%2 == 0)
			s.Clean = append(s.Clean, number())
		}
		for range next() % 3 {
			d.Groups = append(d.Groups, method.Group{Start: next()%10 - 1, End: next() % 10})
		}
		for range next() % 3 {
			relation := method.Relation{Bound: float64(number())}
			for range next() % 4 {
				relation.Of, relation.Weights = append(relation.Of, next()%10-1), append(relation.Weights, float64(number()))
			}
			d.Relations = append(d.Relations, relation)
		}
		finite := !math.IsInf(s.Eps, 0) && !math.IsNaN(s.Eps)
		for _, v := range s.Clean {
			finite = finite && v-v == 0
		}
		if d.Validate() != nil || !finite {
			return
		}
		x := make([]float32, n)
		for i := range x {
			x[i] = number()
		}
		check(t, s, x, x, rand.New(rand.NewPCG(1, 1)))
	})
}

// TestProjectionKnown: small cases with the answer written down.
func TestProjectionKnown(t *testing.T) {
	unit := []float32{1, 1, 1, 1, 1}
	base := func() method.Domain {
		return method.Domain{Low: []float32{0, 0, 0, 0, 0}, High: []float32{9, 9, 1, 1, 1}, Scale: slices.Clone(unit), Groups: []method.Group{{Start: 2, End: 5}}}
	}
	clean := []float32{4, 4, 1, 0, 0}
	tests := []struct {
		name   string
		change func(d *method.Domain, s *method.Space)
		x      []float32
		want   []float32
	}{
		{"inside", nil, []float32{4.5, 3.5, 1, 0, 0}, []float32{4.5, 3.5, 1, 0, 0}},
		{"Linf ball", nil, []float32{7, -8, 1, 0, 0}, []float32{5, 3, 1, 0, 0}},
		{"L2 ball", func(_ *method.Domain, s *method.Space) { s.Norm, s.Eps = method.L2, 2.5 }, []float32{7, 8, 1, 0, 0}, []float32{5.5, 6, 1, 0, 0}},
		{"L1 ball", func(_ *method.Domain, s *method.Space) { s.Norm, s.Eps = method.L1, 2 }, []float32{7, 2, 1, 0, 0}, []float32{5.5, 3.5, 1, 0, 0}},
		{"L1 ball and a limit", func(d *method.Domain, s *method.Space) { s.Norm, s.Eps, d.High[0] = method.L1, 2, 4.5 }, []float32{7, 2, 1, 0, 0}, []float32{4.5, 2.5, 1, 0, 0}},
		{"L1 in its scale", func(d *method.Domain, s *method.Space) {
			s.Norm, s.Eps, d.Scale[0] = method.L1, 2, 0.5
		}, []float32{5, 6, 1, 0, 0}, []float32{4.5, 5, 1, 0, 0}},
		{"L0", func(_ *method.Domain, s *method.Space) { s.Norm = method.L0 }, []float32{5, 2, 1, 0, 0}, []float32{4, 2, 1, 0, 0}},
		{"L0 by what the limits leave", func(d *method.Domain, s *method.Space) { s.Norm, d.Low[1] = method.L0, 3.95 }, []float32{5, 2, 1, 0, 0}, []float32{5, 4, 1, 0, 0}},
		{"L0 of a pixel", func(d *method.Domain, s *method.Space) {
			s.Norm, d.Image = method.L0, &method.Image{Channels: 5, Height: 1, Width: 1}
		}, []float32{5, 2, 1, 0, 0}, []float32{5, 2, 1, 0, 0}},
		{"L0 of no pixel", func(_ *method.Domain, s *method.Space) { s.Norm, s.Eps = method.L0, 0.9 }, []float32{5, 2, 1, 0, 0}, clean},
		{"scale", func(d *method.Domain, _ *method.Space) { d.Scale = []float32{0.5, 3, 1, 1, 1} }, []float32{9, 9, 1, 0, 0}, []float32{4.5, 7, 1, 0, 0}},
		{"limits", func(d *method.Domain, _ *method.Space) { d.High[0], d.Low[1] = 4.25, 3.75 }, []float32{9, 0, 1, 0, 0}, []float32{4.25, 3.75, 1, 0, 0}},
		{"clean beyond the limit", func(d *method.Domain, _ *method.Space) { d.High[0] = 3 }, []float32{9, 4, 1, 0, 0}, []float32{4, 4, 1, 0, 0}},
		{"fixed", func(d *method.Domain, _ *method.Space) { d.Fixed = []bool{true, false, false, false, false} }, []float32{5, 5, 1, 0, 0}, []float32{4, 5, 1, 0, 0}},
		{"integer", func(d *method.Domain, s *method.Space) { s.Eps, d.Integer = 3, []bool{true, true, false, false, false} }, []float32{5.9, 2.1, 1, 0, 0}, []float32{5, 3, 1, 0, 0}},
		{"group may change", func(_ *method.Domain, s *method.Space) { s.Groups = 1 }, []float32{4, 4, 0.3, 0.2, 0.9}, []float32{4, 4, 0, 0, 1}},
		{"group may not change", nil, []float32{4, 4, 0.3, 0.2, 0.9}, clean},
		{"fixed group", func(d *method.Domain, s *method.Space) {
			s.Groups, d.Fixed = 1, []bool{false, false, false, true, false}
		}, []float32{4, 4, 0, 0, 1}, clean},
		{"relation", func(d *method.Domain, _ *method.Space) { // x0 - x1 <= 0.5
			d.Relations = []method.Relation{{Of: []int{0, 1}, Weights: []float64{1, -1}, Bound: 0.5}}
		}, []float32{5, 3, 1, 0, 0}, []float32{4.25, 3.75, 1, 0, 0}},
		{"relation that never held", func(d *method.Domain, _ *method.Space) { // x0 + x1 <= 1
			d.Relations = []method.Relation{{Of: []int{0, 1}, Weights: []float64{1, 1}, Bound: 1}}
		}, []float32{5, 5, 1, 0, 0}, []float32{5, 5, 1, 0, 0}},
		{"relation with a group", func(d *method.Domain, s *method.Space) { // the last category needs x0 >= 5
			s.Groups = 1
			d.Relations = []method.Relation{{Of: []int{4, 0}, Weights: []float64{5, -1}, Bound: 0}}
		}, []float32{4.5, 4.5, 0, 0, 1}, []float32{4, 4.5, 1, 0, 0}},
		{"not numbers", nil, []float32{float32(math.NaN()), inf, 1, 0, 0}, []float32{4, 5, 1, 0, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := base()
			s := &method.Space{Domain: &d, Norm: method.Linf, Eps: 1, Clean: clean}
			if tt.change != nil {
				tt.change(&d, s)
			}
			x := slices.Clone(tt.x)
			s.Project(x)
			if !slices.Equal(x, tt.want) {
				t.Errorf("%v, not %v", x, tt.want)
			}
			if err := s.Contains(x); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestContainsFindsEachFault: the check has the other direction too.
func TestContainsFindsEachFault(t *testing.T) {
	d := &method.Domain{
		Low: []float32{0, 0, 0, 0, 0, 0}, High: []float32{9, 9, 9, 9, 1, 1}, Scale: []float32{1, 1, 1, 1, 1, 1},
		Fixed: []bool{true, false, false, false, false, false}, Integer: []bool{false, true, false, false, false, false},
		Groups:    []method.Group{{Start: 4, End: 6}},
		Relations: []method.Relation{{Of: []int{2, 3}, Weights: []float64{1, 1}, Bound: 9}},
	}
	s := &method.Space{Domain: d, Norm: method.Linf, Eps: 1, Clean: []float32{4, 4, 4.5, 4.5, 1, 0}}
	for want, x := range map[string][]float32{
		"number 0 is fixed":               {4.5, 4, 4.5, 4.5, 1, 0},
		"number 1 is 4.5, not a whole":    {4, 4.5, 4.5, 4.5, 1, 0},
		"number 3 is -1, below its limit": {4, 4, 4.5, -1, 1, 0},
		"number 3 is 9.5, above":          {4, 4, 4.5, 9.5, 1, 0},
		"norm is 1.25":                    {4, 4, 4.5, 3.25, 1, 0},
		"relation 1 is exceeded":          {4, 4, 5, 4.5, 1, 0},
		"groups changed, 1 more":          {4, 4, 4.5, 4.5, 0, 1},
		"are not one 1":                   {4, 4, 4.5, 4.5, 1, 1},
		"not finite":                      {4, 4, float32(math.NaN()), 4.5, 1, 0},
		"has 2 numbers":                   {4, 4},
	} {
		if err := s.Contains(x); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	s.Norm = method.L1
	if err := s.Contains([]float32{4, 4, 3.9, 3.9, 1, 0}); err == nil || !strings.Contains(err.Error(), "L1 norm") {
		t.Errorf("%v", err)
	}
	s.Norm = method.L0
	if err := s.Contains([]float32{4, 4, 4.4, 4.4, 1, 0}); err == nil || !strings.Contains(err.Error(), "L0 norm is 2") {
		t.Errorf("%v", err)
	}
	d.Image = &method.Image{Channels: 2, Height: 1, Width: 3, Last: true}
	if err := s.Contains([]float32{4, 4, 4.4, 4.4, 1, 0}); err != nil {
		t.Error(err)
	}
	s.Norm = method.L2
	if err := s.Contains([]float32{4, 4, 3.75, 3.75, 1, 0}); err == nil || !strings.Contains(err.Error(), "L2 norm") {
		t.Errorf("%v", err)
	}
}

// TestRandomIsUniform: its mean and spread are those of the uniform distribution.
func TestRandomIsUniform(t *testing.T) {
	const n, draws = 3, 20000
	// Of one coordinate in the unit ball; in L0 of each that is drawn, between the limits.
	for norm, variance := range map[method.Norm]float64{method.Linf: 1.0 / 3, method.L2: 1.0 / (n + 2), method.L1: 2.0 / ((n + 1) * (n + 2)), method.L0: 4.0 / 3 / n} {
		s := &method.Space{Domain: box(n, -2, 2), Norm: norm, Eps: 1, Clean: make([]float32, n)}
		r := rand.New(rand.NewPCG(1, 2))
		x := make([]float32, n)
		mean, square := 0.0, 0.0
		for range draws {
			s.Random(r, x)
			mean += float64(x[1])
			square += float64(x[1]) * float64(x[1])
		}
		if mean /= draws; math.Abs(mean) > 0.02 {
			t.Errorf("%s: the mean is %g", norm, mean)
		}
		if square /= draws; math.Abs(square-variance) > 0.02 {
			t.Errorf("%s: the variance is %g, not %g", norm, square, variance)
		}
	}
}

// TestStep: known steps, and that a whole number gets on at all.
func TestStep(t *testing.T) {
	d := box(3, -100, 100)
	d.Scale = []float32{1, 2, 1}
	s := &method.Space{Domain: d, Norm: method.Linf, Eps: 8, Clean: []float32{0, 0, 0}}
	x := []float32{0, 0, 0}
	s.Step(x, []float32{3, -0.1, 0}, 0.5)
	if !slices.Equal(x, []float32{0.5, -1, 0}) {
		t.Errorf("Linf: %v", x)
	}
	s.Norm = method.L2
	x = []float32{0, 0, 0}
	s.Step(x, []float32{3, 2, 0}, 5) // in scaled units the slope is 3, 4
	if !slices.Equal(x, []float32{3, 8, 0}) {
		t.Errorf("L2: %v", x)
	}
	s.Norm = method.L1
	x = []float32{0, 0, 0}
	s.Step(x, []float32{3, 2, 0}, 5) // all along the steepest
	if !slices.Equal(x, []float32{0, 10, 0}) {
		t.Errorf("L1: %v", x)
	}
	d.High[1] = 10
	s.Step(x, []float32{3, 2, 0}, 2) // which is at its limit
	if !slices.Equal(x, []float32{2, 10, 0}) {
		t.Errorf("L1 at a limit: %v", x)
	}
	x = []float32{0, 0, 0}
	s.StepSparse(x, []float32{3, 2, 1}, 5, 0.67)
	if !slices.Equal(x, []float32{2.5, 5, 0}) {
		t.Errorf("L1, two of three: %v", x)
	}
	d.High[1] = 100
	s.Norm, s.Eps = method.L0, 1
	x = []float32{0, 0, 0}
	s.Step(x, []float32{1, -3, 0}, 0.5) // a quarter and three of half of what each can move
	if !slices.Equal(x, []float32{0, -75, 0}) {
		t.Errorf("L0: %v", x)
	}
	s.Eps = 8
	d.Integer = []bool{true, false, false}
	for _, norm := range method.Norms() {
		s.Norm = norm
		x = []float32{0, 0, 0}
		for range 4 {
			s.Step(x, []float32{3, 1, 1}, 0.1)
		}
		if x[0] < 1 {
			t.Errorf("%s: the whole number stays at %g", norm, x[0])
		}
	}
	groups := &method.Space{Domain: box(4, 0, 1), Norm: method.Linf, Groups: 1, Clean: []float32{1, 0, 1, 0}}
	groups.Domain.Groups = []method.Group{{Start: 0, End: 2}, {Start: 2, End: 4}}
	x = slices.Clone(groups.Clean)
	groups.Step(x, []float32{0, 1, -2, 0.5}, 1)
	if !slices.Equal(x, []float32{1, 0, 0, 1}) {
		t.Errorf("the greater gain is not taken: %v", x)
	}
	groups.Step(x, make([]float32, 4), 1)
	if !slices.Equal(x, []float32{1, 0, 0, 1}) {
		t.Errorf("without a slope groups move to %v", x)
	}
}

func TestDomainOfSchema(t *testing.T) {
	low, high := 1.0, 5.0
	schema := &dataset.Schema{Complete: true, Features: []dataset.Feature{
		{Name: "size", Type: dataset.Real, Min: &low, Max: &high},
		{Name: "count", Type: dataset.Integer, Observed: &dataset.Range{Min: 0, Max: 40}},
		{Name: "colour", Type: dataset.Categorical, Categories: []string{"red", "green", "blue"}},
		{Name: "sex", Type: dataset.Boolean, Categories: []string{"f", "m"}, Immutable: true},
		{Name: "same", Type: dataset.Real, Observed: &dataset.Range{Min: 2, Max: 2}},
	}}
	if err := schema.Validate(); err != nil {
		t.Fatal(err)
	}
	statistics := make([]dataset.Statistics, schema.Width())
	for i := range statistics {
		statistics[i].Std = float64(i) / 2
	}
	statistics[0].Std = 0.25
	for by, want := range map[method.Scaling][]float32{
		method.Raw: {1, 1, 1, 1, 1, 1, 1}, method.ByRange: {4, 40, 1, 1, 1, 1, 1}, method.Deviation: {0.25, 0.5, 1, 1, 1, 2.5, 3},
	} {
		d, err := method.DomainOf(schema, statistics, by)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(d.Scale, want) || !slices.Equal(d.Low, []float32{1, 0, 0, 0, 0, 0, 2}) || !slices.Equal(d.High, []float32{5, 40, 1, 1, 1, 1, 2}) {
			t.Errorf("%s: %+v", by, d)
		}
		if !slices.Equal(d.Integer, []bool{false, true, false, false, false, true, false}) || !d.Fixed[5] || d.Fixed[6] != (by == method.ByRange) || d.Fixed[0] {
			t.Errorf("%s: %+v", by, d)
		}
		if !slices.Equal(d.Groups, []method.Group{{Start: 2, End: 5}}) {
			t.Errorf("%+v", d.Groups)
		}
	}
	if _, err := method.DomainOf(schema, nil, method.Deviation); err == nil {
		t.Error("deviations without statistics")
	}
	if _, err := method.DomainOf(schema, statistics, "ulp"); err == nil {
		t.Error("an unknown scaling")
	}
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(d *method.Domain){
		"no numbers":          func(d *method.Domain) { *d = method.Domain{} },
		"2 lower and 1 upper": func(d *method.Domain) { d.High = d.High[:1] },
		"between which there": func(d *method.Domain) { d.Low[1] = 2 },
		"limits NaN":          func(d *method.Domain) { d.Low[1] = float32(math.NaN()) },
		"scale 0":             func(d *method.Domain) { d.Scale[0] = 0 },
		"scale +Inf":          func(d *method.Domain) { d.Scale[0] = inf },
		"leaves the row":      func(d *method.Domain) { d.Groups = []method.Group{{Start: 1, End: 3}} },
		"overlaps":            func(d *method.Domain) { d.Groups = []method.Group{{Start: 0, End: 1}, {Start: 0, End: 2}} },
		"leave out 0 or 1":    func(d *method.Domain) { d.High[0], d.Groups = 0.5, []method.Group{{Start: 0, End: 1}} },
		"of number 2":         func(d *method.Domain) { d.Relations = []method.Relation{{Of: []int{2}, Weights: []float64{1}}} },
		"1 numbers with 0":    func(d *method.Domain) { d.Relations = []method.Relation{{Of: []int{1}}} },
		"weight NaN": func(d *method.Domain) {
			d.Relations = []method.Relation{{Of: []int{1}, Weights: []float64{math.NaN()}}}
		},
		"relation 1 has the bo": func(d *method.Domain) {
			d.Relations = []method.Relation{{Of: []int{1}, Weights: []float64{1}, Bound: math.Inf(1)}}
		},
	} {
		d := box(2, 0, 1)
		change(d)
		if err := d.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
