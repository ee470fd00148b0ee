package evasion_test

import (
	"context"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"assay"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/evasion/linear"
	"assay/internal/method/target"
	"assay/internal/model"
)

// breakable is a linear classifier run as any other model, the units that it gets right and that
// can be broken, and the eps from which on each can.
func breakable(t *testing.T, classes int, norm method.Norm) (tgt method.Target, right []method.Input, limits []float64) {
	t.Helper()
	c, exactly, inputs := clouds(150, 24, classes, uint64(classes))
	o, err := target.Open(context.Background(), c.Model([]int64{24}), target.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	o.Domain, o.Pool = exactly.Domain, exactly.Pool
	for _, in := range inputs {
		s := &method.Space{Domain: o.Domain, Norm: norm, Eps: 10, Clean: in.X}
		if limit := c.Limit(s, in.Label); c.Label(in.X) == in.Label && !math.IsInf(limit, 1) {
			limits, right = append(limits, limit), append(right, in)
		}
	}
	if len(right) < 60 {
		t.Fatalf("%d units can be broken", len(right))
	}
	return o.Target, right, limits
}

func run(t testing.TB, tgt method.Target, a method.Attacker, inputs []method.Input, o method.Options, methods ...method.Method) []method.Result {
	t.Helper()
	results, err := method.Run(context.Background(), tgt, a, methods, inputs, o)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// searched are the norms in which a method can search.
func searched(m method.Method) []method.Norm {
	if norms := m.Describe().Norms; norms != nil {
		return norms
	}
	return method.Norms()
}

// The fast adaptive boundary attack ends at the exact least distance of a linear model, with few and with many classes.
func TestFABFindsExactDistance(t *testing.T) {
	for _, classes := range []int{2, 3, 6, 12} {
		for _, norm := range searched(evasion.FAB{}) {
			tgt, right, limits := breakable(t, classes, norm)
			a := method.Attacker{Access: assay.Gradients, Norm: norm, Eps: 10}
			worst := 0.0
			for i, r := range run(t, tgt, a, right, method.Options{}, evasion.FAB{Steps: 30, Targets: 11, Nearest: true}) {
				m := r.Methods[0]
				if over := m.Distance/limits[i] - 1; !m.Success || over > 1e-3 || over < -1e-4 {
					t.Errorf("%d classes, %s: unit %d is broken (%v) at distance %v, and exactly at %v", classes, norm, i, m.Success, m.Distance, limits[i])
				} else {
					worst = max(worst, over)
				}
			}
			t.Logf("%d classes, %s: %d units, at most %.2g above the exact distance", classes, norm, len(right), worst)
		}
	}
}

// Beyond 1.02 times the exact limit every unit of a linear model is broken towards its nearest class, and
// nothing is below the limit.
func TestAutoPGDAgainstExactAnswer(t *testing.T) {
	for _, classes := range []int{2, 3, 6} {
		for _, norm := range searched(evasion.APGD{}) {
			tgt, right, limits := breakable(t, classes, norm)
			eps, _ := linear.Median(limits)
			a := method.Attacker{Access: assay.Gradients, Norm: norm, Eps: eps}
			for _, m := range []struct {
				method method.Method
				power  float64 // of the units that can be broken at eps/1.02
			}{
				{evasion.APGD{Steps: 100, Restarts: 1, Loss: model.TargetedDLR, Targets: 9}, 1},
				{evasion.FAB{Steps: 100, Targets: 9}, 1},
				// Without a target, two classes can take turns being ahead, or the wrong one stays there.
				{evasion.APGD{Steps: 100, Restarts: 1, Loss: model.CrossEntropy}, 0.9},
				{evasion.APGD{Steps: 100, Restarts: 1, Loss: model.DLR}, 0.85},
			} {
				if _, apgd := m.method.(evasion.APGD); apgd && norm == method.L1 { // its last stage has 40 of the steps
					m.power -= 0.1
				}
				can, did := 0, 0
				for i, r := range run(t, tgt, a, right, method.Options{}, m.method) {
					if !r.Robust && limits[i] > eps*(1+1e-4) {
						t.Errorf("%d classes, %s: %s breaks unit %d at %v, which can be broken from %v on", classes, norm, m.method.Describe().Name, i, eps, limits[i])
					}
					if limits[i]*1.02 <= eps {
						if can++; !r.Robust {
							did++
						}
					}
				}
				t.Logf("%d classes, %s: %s breaks %d of %d", classes, norm, m.method.Describe().Name, did, can)
				if can < 20 || float64(did) < m.power*float64(can) {
					t.Errorf("%d classes, %s: %s breaks %d of %d", classes, norm, m.method.Describe().Name, did, can)
				}
			}
		}
	}
}

// parts are the methods of the ensemble, with less effort.
func parts() []method.Method {
	return []method.Method{
		evasion.APGD{Steps: 20, Restarts: 1, Loss: model.CrossEntropy},
		evasion.APGD{Steps: 20, Restarts: 2, Loss: model.DLR},
		evasion.APGD{Steps: 20, Restarts: 1, Loss: model.TargetedDLR, Targets: 3},
		evasion.FAB{Steps: 10, Targets: 3},
	}
}

// watched is a method whose every question is looked at.
type watched struct {
	method.Method
	look func(s *method.Space, x []float32)
}

func (w watched) Perturb(ctx context.Context, u method.Unit) error {
	return w.Method.Perturb(ctx, watchedUnit{u, w.look})
}

type watchedUnit struct {
	method.Unit
	look func(s *method.Space, x []float32)
}

func (w watchedUnit) Gradient(ctx context.Context, l model.Loss, target int, x []float32) (method.Gradient, error) {
	w.look(w.Space(), x)
	return w.Unit.Gradient(ctx, l, target, x)
}

func (w watchedUnit) Scores(ctx context.Context, rows []float32) ([]float32, error) {
	w.look(w.Space(), rows)
	return w.Unit.Scores(ctx, rows)
}

// On random models of records with whole numbers, categories, relations and fixed features, Auto-PGD asks
// about nothing outside its space (in L1 one of three times eps), and FAB about nothing outside the domain.
func TestAutoAttackKeepsLimits(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	asked, broken := 0, 0
	for range 30 {
		weights := make([]float64, 7)
		for j := range weights {
			weights[j] = r.NormFloat64()
		}
		tgt, inputs := records(weights, r.NormFloat64())
		tgt.Domain.Fixed[r.IntN(7)] = true
		a := method.Attacker{Access: assay.Gradients, Eps: math.Exp(2*r.NormFloat64() - 1), Groups: r.IntN(2)}
		for _, m := range parts() {
			for _, a.Norm = range searched(m) {
				_, anywhere := m.(evasion.FAB)
				w := watched{m, func(s *method.Space, x []float32) {
					asked++
					space := *s
					if anywhere {
						space.Eps = math.Inf(1)
					} else if s.Norm == method.L1 { // where the first of its stages search
						space.Eps *= 3
					}
					if err := space.Contains(x); err != nil {
						t.Errorf("%s, %s: %v", m.Describe().Name, a.Norm, err)
					}
				}}
				for _, unit := range run(t, tgt, a, inputs[:8], method.Options{Lanes: 1}, w) {
					if !unit.Robust {
						broken++
					}
				}
			}
		}
	}
	if asked < 10000 || broken < 100 {
		t.Errorf("%d questions were asked and %d units broken, which shows little", asked, broken)
	}
}

// What the ensemble does to a unit depends on nothing else, and leaving out what is broken changes
// no unit's robustness.
func TestEnsembleIsDeterministic(t *testing.T) {
	tgt, right, limits := breakable(t, 6, method.L2)
	eps, _ := linear.Median(limits)
	a := method.Attacker{Access: assay.Gradients, Norm: method.L2, Eps: eps}
	all := run(t, tgt, a, right, method.Options{Seed: 5}, parts()...)
	done, total := 0, 0
	early := run(t, tgt, a, right, method.Options{Seed: 5, UntilBroken: true, Progress: func(d, of int) { done, total = d, of }}, parts()...)
	if done != total || total != len(right)*len(parts()) {
		t.Errorf("progress ends at %d of %d", done, total)
	}
	if again := run(t, tgt, a, right, method.Options{Seed: 5, UntilBroken: true, Lanes: 3}, parts()...); !reflect.DeepEqual(early, again) {
		t.Error("with other units beside it, a unit's result is another")
	}
	left := 0
	for i, r := range all {
		if early[i].Robust != r.Robust {
			t.Errorf("unit %d is robust (%v) against all methods and (%v) until broken", i, r.Robust, early[i].Robust)
		}
		for k, m := range early[i].Methods {
			if !reflect.DeepEqual(m, r.Methods[k]) {
				t.Errorf("unit %d: %s gives another result", i, m.Method)
			}
			if m.Success && k+1 < len(early[i].Methods) {
				t.Errorf("unit %d was attacked after %s had broken it", i, m.Method)
			}
		}
		left += len(r.Methods) - len(early[i].Methods)
	}
	if left == 0 {
		t.Error("no search was left out")
	}
}

// On a network, Auto-PGD breaks at least what PGD does with as many gradients, and the ensemble
// at least what each of its parts does alone, none of which is far behind.
func TestAutoAttackOnDigits(t *testing.T) {
	if testing.Short() {
		t.Skip("trains and attacks a model")
	}
	s := digits(t)
	s.domain.Integer = nil
	o := open(t, s, cnn(t, s))
	defer o.Close()
	inputs := units(t, s.test, o, 80)
	for norm, eps := range map[method.Norm]float64{method.Linf: 1, method.L2: 4, method.L1: 20} {
		a := method.Attacker{Access: assay.Gradients, Norm: norm, Eps: eps}
		broken := map[string]int{}
		count := func(results []method.Result) {
			for _, r := range results {
				for _, m := range r.Methods {
					if m.Success {
						broken[m.Method]++
					}
				}
			}
		}
		for _, loss := range []model.Loss{model.CrossEntropy, model.DLR} {
			count(run(t, o.Target, a, inputs, method.Options{Seed: 1},
				evasion.PGD{Steps: 40, Step: 2.5 / 40, Restarts: 1, Loss: loss}, evasion.APGD{Steps: 40, Restarts: 1, Loss: loss}))
		}
		t.Logf("%s %v: at equal queries, units broken: %v", norm, eps, broken)
		behind := 0
		if norm == method.L1 { // it spends most of its steps on larger balls, to be ahead where there are more of them
			behind = 4
		}
		if broken["apgd-ce"]+behind < broken["pgd"] || broken["apgd-dlr"]+behind < broken["pgd-dlr"] || broken["pgd"] < 20 {
			t.Errorf("%s: units broken: %v", norm, broken)
		}

		clear(broken)
		ensemble := evasion.AutoAttack(norm)
		right, worst, early := 0, 0, run(t, o.Target, a, inputs, method.Options{Seed: 1, UntilBroken: true}, ensemble...)
		for i, r := range run(t, o.Target, a, inputs, method.Options{Seed: 1}, ensemble...) {
			count([]method.Result{r})
			if r.Correct {
				right++
			}
			if r.Correct && !r.Robust {
				worst++
			}
			if r.Robust != early[i].Robust {
				t.Errorf("%s: unit %d is robust (%v), and until broken (%v)", norm, i, r.Robust, early[i].Robust)
			}
		}
		t.Logf("%s %v: of %d units, the ensemble breaks %d, its parts %v", norm, eps, right, worst, broken)
		if len(broken) != 4 || worst == right {
			t.Errorf("%s: of %d units %d are broken, by %v", norm, right, worst, broken)
		}
		for name, n := range broken {
			if n > worst || float64(n) < 0.7*float64(worst) {
				t.Errorf("%s: %s breaks %d units, and the ensemble %d", norm, name, n, worst)
			}
		}
	}
}
