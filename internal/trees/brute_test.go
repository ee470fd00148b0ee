package trees_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"assay/internal/method"
	"assay/internal/trees"
)

// asked is a unit whose model is an ensemble. It keeps the nearest adversarial row of the space that was asked about.
type asked struct {
	method.Unit
	ensemble *trees.Ensemble
	space    *method.Space
	label    int
	r        *rand.Rand
	nearest  float64
}

func (a *asked) Clean() []float32                          { return a.space.Clean }
func (a *asked) Label() int                                { return a.label }
func (a *asked) Space() *method.Space                      { return a.space }
func (a *asked) Rand() *rand.Rand                          { return a.r }
func (a *asked) Pool(context.Context) ([][]float32, error) { return nil, nil }
func (a *asked) Labels(_ context.Context, rows []float32) ([]int, error) {
	class := a.ensemble.Class(rows)
	if class != a.label && a.space.Contains(rows) == nil {
		a.nearest = min(a.nearest, a.space.Distance(rows))
	}
	return []int{class}, nil
}

// TestMethodsAgainstBruteForce: in every norm tree-exact finds the nearest that there is, and tree-leaf nothing nearer
// and most of what there is.
func TestMethodsAgainstBruteForce(t *testing.T) {
	can, did, least := map[method.Norm]int{}, map[method.Norm]int{}, map[method.Norm]int{}
	for seed := range uint64(700) {
		r := rand.New(rand.NewPCG(seed, 5))
		e, err := trees.Read(small(r).Model())
		if err != nil {
			t.Fatal(err)
		}
		s := around(r)
		label := e.Class(s.Clean)
		want := brute(e, s, label, thresholds)
		of := func(m method.Method) float64 {
			u := &asked{ensemble: e, space: s, label: label, r: rand.New(rand.NewPCG(seed, 6)), nearest: math.Inf(1)}
			if err := m.Perturb(context.Background(), u); err != nil {
				t.Fatal(err)
			}
			return u.nearest
		}
		if got := of(trees.Exact{Ensemble: e, Work: 1e6}); got != want {
			t.Fatalf("seed %d, %s: tree-exact is at %g, and the nearest at %g", seed, s.Norm, got, want)
		}
		got := of(trees.Leaves{Ensemble: e, Starts: 20})
		if got < want {
			t.Fatalf("seed %d, %s: tree-leaf is at %g, and the nearest at %g", seed, s.Norm, got, want)
		}
		if !math.IsInf(want, 1) {
			can[s.Norm]++
		}
		if !math.IsInf(got, 1) {
			did[s.Norm]++
		}
		if got == want && !math.IsInf(want, 1) {
			least[s.Norm]++
		}
	}
	t.Logf("units that can be broken %v, that tree-leaf broke %v, at the minimum %v", can, did, least)
	for _, norm := range method.Budgets() {
		if can[norm] < 20 || did[norm] < can[norm]*8/10 || least[norm] < can[norm]*7/10 {
			t.Errorf("%s: of %d that can be broken tree-leaf broke %d, %d at the minimum", norm, can[norm], did[norm], least[norm])
		}
	}
}
