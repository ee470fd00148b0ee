package trees_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"assay/internal/method"
	"assay/internal/trees"
	"assay/internal/trees/treestest"
)

const class, regress = "TreeEnsembleClassifier", "TreeEnsembleRegressor"

// thresholds are those of small ensembles.
var thresholds = []float32{-0.5, 0, 0.25, 0.5, 1, 1.1}

// small draws an ensemble of few trees on three numbers, of any kind.
func small(r *rand.Rand) treestest.Spec {
	specs := []treestest.Spec{
		{Op: class, Targets: 3, Post: "SOFTMAX"}, {Op: class, Targets: 3}, {Op: class, Targets: 2}, {Op: class, Targets: 3, Post: "LOGISTIC"},
		{Op: class, Targets: 2, Post: "LOGISTIC", Base: []float32{0.1, 0.2}}, {Op: regress, Targets: 1, Base: []float32{-0.1}},
		{Op: regress, Targets: 1, After: "Sigmoid"}, {Op: regress, Targets: 3, Aggregate: "AVERAGE", Base: []float32{0.1, -0.1, 0}},
		{Op: regress, Targets: 2, Aggregate: "MIN"}, {Op: regress, Targets: 3, Aggregate: "MAX"}, {Op: class, Targets: 3, Post: "SOFTMAX_ZERO"},
	}
	s := specs[r.IntN(len(specs))]
	leaf := all(s.Targets, false)
	switch r.IntN(4) {
	case 0: // ties
		leaf = func(r *rand.Rand) []treestest.Weight {
			w := all(s.Targets, false)(r)
			for i := range w {
				w[i].Value = float32(r.IntN(3))
			}
			return w
		}
	case 1: // a binary model of boosted trees
		if s.Op == class {
			s = treestest.Spec{Op: class, Targets: 2, Post: []string{"LOGISTIC", "NONE"}[r.IntN(2)]}
			leaf = only(r.IntN(2), r.IntN(2) == 0)
		}
	}
	modes := comparisons[:1+r.IntN(len(comparisons))]
	s.Width = 3
	s.Trees = treestest.Random(r, treestest.Shape{Width: 3, Trees: 1 + r.IntN(5), Depth: 1 + r.IntN(3), Modes: modes, Values: thresholds, Leaf: leaf})
	return s
}

// around draws a space of three numbers.
func around(r *rand.Rand) *method.Space {
	d := &method.Domain{Low: []float32{-1, -1, -1}, High: []float32{2, 2, 2}, Scale: []float32{1, 0.7, 3}, Cost: []float64{1, 0.5, 2}}
	d.Fixed, d.Integer, d.Monotone = make([]bool, 3), make([]bool, 3), make([]method.Monotone, 3)
	s := &method.Space{Domain: d, Norm: method.Budgets()[r.IntN(len(method.Budgets()))], Eps: 1.6 * r.Float64(), Groups: r.IntN(2), Clean: make([]float32, 3)}
	if s.Norm == method.L0 {
		if s.Eps *= 2; r.IntN(3) == 0 {
			d.Image = &method.Image{Channels: 3, Height: 1, Width: 1}
		}
	}
	for i := range 3 {
		s.Clean[i] = -1 + 3*r.Float32()
		d.Fixed[i] = r.IntN(6) == 0
		if d.Integer[i] = r.IntN(4) == 0; d.Integer[i] && r.IntN(4) > 0 {
			s.Clean[i] = float32(math.Round(float64(s.Clean[i])))
		}
		d.Monotone[i] = method.Monotone(max(r.IntN(6), 3) - 4)
	}
	if r.IntN(3) == 0 {
		d.Groups = []method.Group{{Start: 1, End: 3}}
		for i := 1; i < 3; i++ {
			d.Low[i], d.High[i], d.Monotone[i], d.Integer[i], s.Clean[i] = 0, 1, 0, false, 0
		}
		s.Clean[1+r.IntN(2)] = 1
	}
	return s
}

// brute goes through all cells into which thresholds and limits cut a space: in each, the row nearest to clean is
// made of such numbers. It gives the least distance of a row of another class, infinite where there is none.
func brute(e *trees.Ensemble, s *method.Space, label int, values []float32) float64 {
	candidates := make([][]float32, 3)
	for i := range candidates {
		list := []float32{s.Clean[i], 0, 1, -1, 2}
		for _, v := range values {
			list = append(list, v, math.Nextafter32(v, -9), math.Nextafter32(v, 9))
		}
		candidates[i] = append(list, s.Domain.Low[i], s.Domain.High[i])
		slices.Sort(candidates[i])
		candidates[i] = slices.Compact(candidates[i])
	}
	best, x := math.Inf(1), make([]float32, 3)
	var walk func(i int)
	walk = func(i int) {
		if i == 3 {
			if d := s.Distance(x); d < best && s.Contains(x) == nil && e.Class(x) != label {
				best = d
			}
			return
		}
		for _, x[i] = range candidates[i] {
			walk(i + 1)
		}
	}
	walk(0)
	return best
}

// TestVerifyIsExact: against all cells of small ensembles, in both directions, and the nearest too.
func TestVerifyIsExact(t *testing.T) {
	count, broken := map[trees.Verdict]int{}, map[method.Norm]int{}
	for seed := range uint64(700) {
		r := rand.New(rand.NewPCG(seed, 5))
		spec := small(r)
		e, err := trees.Read(spec.Model())
		if err != nil {
			t.Fatal(err)
		}
		s := around(r)
		label := e.Class(s.Clean)
		want := brute(e, s, label, thresholds)
		confirm := func(_ context.Context, x []float32) (int, error) { return e.Class(x), nil }
		got, err := trees.Verify(context.Background(), e, s, label, trees.Options{Nearest: true, Confirm: confirm})
		if err != nil {
			t.Fatal(err)
		}
		count[got.Verdict]++
		if (got.Verdict == trees.Broken) != !math.IsInf(want, 1) || got.Verdict == trees.Unknown {
			t.Fatalf("seed %d: %s (%s), and the nearest by brute force is at %g: %+v %+v", seed, got.Verdict, got.Reason, want, spec, s.Domain)
		}
		if got.Verdict == trees.Robust {
			continue
		}
		broken[s.Norm]++
		if s.Contains(got.Example) != nil || e.Class(got.Example) == label || !got.Minimal || got.Distance != want {
			t.Fatalf("seed %d: %v at %g is %v, class %d not %d; the nearest is at %g", seed, got.Example, got.Distance, s.Contains(got.Example), e.Class(got.Example), label, want)
		}
		// The eps just below it is robust.
		below := *s
		below.Eps = math.Nextafter(want, -1)
		if want > 0 {
			got, err := trees.Verify(context.Background(), e, &below, label, trees.Options{Confirm: confirm})
			if err != nil || got.Verdict != trees.Robust {
				t.Fatalf("seed %d: below the nearest it is %s, %v", seed, got.Verdict, err)
			}
		}
	}
	t.Logf("%v, broken in %v", count, broken)
	for _, norm := range method.Budgets() {
		if broken[norm] < 20 || count[trees.Robust] < 200 {
			t.Errorf("%v, broken in %v: the test shows one side alone", count, broken)
		}
	}
}

// TestVerifyWithoutConfirm: what it decides by itself is right, and what rounding decides it leaves open.
func TestVerifyWithoutConfirm(t *testing.T) {
	count := map[trees.Verdict]int{}
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 5))
		e, err := trees.Read(small(r).Model())
		if err != nil {
			t.Fatal(err)
		}
		s := around(r)
		label := e.Class(s.Clean)
		want := brute(e, s, label, thresholds)
		got, err := trees.Verify(context.Background(), e, s, label, trees.Options{})
		if err != nil {
			t.Fatal(err)
		}
		count[got.Verdict]++
		if got.Verdict == trees.Robust && !math.IsInf(want, 1) || got.Verdict == trees.Broken && math.IsInf(want, 1) {
			t.Errorf("seed %d: %s, and the nearest is at %g", seed, got.Verdict, want)
		}
	}
	if count[trees.Unknown] == 0 || count[trees.Unknown] > 200 {
		t.Errorf("%v", count)
	}
}

// TestVerifyEnds: with little work it says what it does not know, and an ended context ends it.
func TestVerifyEnds(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 5))
	s := treestest.Spec{Op: class, Width: 4, Targets: 2, Post: "LOGISTIC"}
	s.Trees = treestest.Random(r, treestest.Shape{Width: 4, Trees: 200, Depth: 6, Modes: comparisons[:1], Values: []float32{-0.5, 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 1, 1.1, 1.7}, Leaf: only(0, false)})
	e, err := trees.Read(s.Model())
	if err != nil {
		t.Fatal(err)
	}
	space := &method.Space{Domain: &method.Domain{Low: []float32{-9, -9, -9, -9}, High: []float32{9, 9, 9, 9}, Scale: []float32{1, 1, 1, 1}}, Norm: method.Linf, Eps: 0.3, Clean: []float32{0.3, 0.3, 0.3, 0.3}}
	label := e.Class(space.Clean)
	got, err := trees.Verify(context.Background(), e, space, label, trees.Options{Work: 500, Nearest: true})
	if err != nil || got.Work > 2000 || got.Minimal || got.Reason == "" {
		t.Errorf("%+v, %v", got, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := trees.Verify(ctx, e, space, label, trees.Options{Nearest: true}); err == nil {
		t.Error("an ended context does not end it")
	}
}
