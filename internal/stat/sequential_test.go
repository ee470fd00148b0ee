package stat

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Every sequence of outcomes of a short test is followed: at the rate that is bet against, and beyond it, the
// expected capital after each observation is at most what it was before.
func TestCapitalsAreMartingales(t *testing.T) {
	for _, limit := range []float64{0.05, 0.3, 0.5, 0.9} {
		for n := range 25 {
			for k := range n + 1 {
				for _, rate := range []float64{limit, limit + (1-limit)/3, 1} {
					before := math.Exp(goodCapital(k, n, limit))
					after := rate*math.Exp(goodCapital(k+1, n+1, limit)) + (1-rate)*math.Exp(goodCapital(k, n+1, limit))
					if after > before*(1+1e-11) || rate == limit && after < before*(1-1e-11) {
						t.Fatalf("limit %v, %d of %d at %v: the good side goes from %v to %v", limit, k, n, rate, before, after)
					}
				}
				for _, rate := range []float64{limit, limit / 3, 0} {
					before := math.Exp(badCapital(k, n, limit))
					after := rate*math.Exp(badCapital(k+1, n+1, limit)) + (1-rate)*math.Exp(badCapital(k, n+1, limit))
					if after > before*(1+1e-11) || rate == limit && after < before*(1-1e-11) {
						t.Fatalf("limit %v, %d of %d at %v: the bad side goes from %v to %v", limit, k, n, rate, before, after)
					}
				}
			}
		}
		near(t, "the stake", goodCapital(0, 0, limit), 0, 1e-12)
		near(t, "the stake", badCapital(0, 0, limit), 0, 1e-12)
	}
}

// Drawn with a fixed seed, and computed: a wrong decision at the limit is rarer than stated, and what is
// computed is what happens.
func TestFalseDecisionsAtTheLimit(t *testing.T) {
	runs := 10_000
	if testing.Short() {
		runs = 500
	}
	random := rand.New(rand.NewPCG(3, 1))
	for _, limit := range []float64{0.05, 0.1, 0.2} {
		fixed, _, _ := FixedN(limit, 0.95, 0.95, limit/2, true)
		horizon := 2 * fixed
		plan := must[*Sequential](t)(NewSequential(limit, 0.95, true, horizon))
		exact := must[Characteristics](t)(plan.Characteristics(limit))
		if exact.Good > 0.05 || exact.Bad > 0.05 {
			t.Errorf("limit %v: wrong with %v and %v", limit, exact.Good, exact.Bad)
		}
		near(t, "the sum of ends", exact.Good+exact.Bad+exact.Undecided, 1, 1e-9)
		good, bad, total := boundaries(plan)
		counts := map[Decision]int{}
		for range runs {
			failures, n, decision := 0, 0, Continue
			for decision == Continue {
				n++
				if random.Float64() < limit {
					failures++
				}
				switch {
				case failures <= good[n]:
					decision = Good
				case failures >= bad[n]:
					decision = Bad
				case n == total:
					decision = Exhausted
				}
			}
			counts[decision]++
		}
		if counts[Good] > runs/20 || counts[Bad] > runs/20 {
			t.Errorf("limit %v: of %d runs at the limit %v are decided", limit, runs, counts)
		}
		// Within five standard deviations of what is computed.
		near(t, "the part of Good", float64(counts[Good])/float64(runs), exact.Good, 5*math.Sqrt(0.05/float64(runs)))
		near(t, "the part of Bad", float64(counts[Bad])/float64(runs), exact.Bad, 5*math.Sqrt(0.05/float64(runs)))
	}
}

// boundaries are the largest count that is good and the smallest that is bad after each observation,
// found by asking the test itself.
func boundaries(s *Sequential) (good, bad []int, horizon int) {
	good, bad = make([]int, s.horizon+1), make([]int, s.horizon+1)
	g, b := -1, 0
	for n := 1; n <= s.horizon; n++ {
		for g < n && s.after(g+1, n) == Good {
			g++
		}
		for b = max(b, g+1); b <= n && s.after(b, n) != Bad; {
			b++
		}
		good[n], bad[n] = g, b
	}
	return good, bad, s.horizon
}

func TestSequentialSavesObservations(t *testing.T) {
	for _, limit := range []float64{0.01, 0.05, 0.1, 0.2, 0.5} {
		for _, upper := range []bool{true, false} {
			at, half := limit, limit/2
			if !upper {
				at, half = 1-limit, 1-limit/2
			}
			fixed, _, err := FixedN(at, 0.95, 0.95, half, upper)
			if err != nil {
				t.Fatal(err)
			}
			c := must[Characteristics](t)(must[*Sequential](t)(NewSequential(at, 0.95, upper, 4*fixed)).Characteristics(half))
			same, _, err := FixedN(at, 0.95, c.Good, half, upper)
			if err != nil {
				t.Fatal(err)
			}
			bound := must[float64](t)(WaldBound(at, half, 0.05, 0.95))
			if c.Good < 0.95 || c.MeanN > 0.5*float64(same) || c.MeanN > 1.35*bound || c.MeanN < bound {
				t.Errorf("limit %v: %+v; fixed %d, of the same errors %d; at least %v", at, c, fixed, same, bound)
			}
		}
	}
}

// Both directions, and what is needed, by observing one by one.
func TestSequentialDecides(t *testing.T) {
	for _, c := range []struct {
		limit    float64
		upper    bool
		every    int // one in so many is a success
		decision Decision
	}{{0.1, true, 20, Good}, {0.1, true, 4, Bad}, {0.3, false, 2, Good}, {0.3, false, 10, Bad}, {0.1, true, 1 << 30, Good}} {
		s := must[*Sequential](t)(NewSequential(c.limit, 0.95, c.upper, 0))
		if _, decides := s.Needed(); decides {
			t.Error("nothing observed cannot tell what is needed")
		}
		for i := 1; s.Decision() == Continue && i < 100_000; i++ {
			s.Observe(i%c.every == 0)
		}
		if s.Decision() != c.decision {
			t.Errorf("%+v: %s after %d", c, s.Decision(), s.N())
		}
		if more, decides := s.Needed(); more != 0 || !decides {
			t.Errorf("%+v: %d more are needed", c, more)
		}
	}
	s := must[*Sequential](t)(NewSequential(0.1, 0.95, true, 60))
	s.Observe(false)
	more, decides := s.Needed()
	for i := range more {
		if s.Decision() != Continue {
			t.Errorf("decided by %d of the %d that were needed", i, more)
		}
		s.Observe(false)
	}
	if s.Decision() != Good || !decides {
		t.Errorf("after the %d that were needed: %s", more, s.Decision())
	}
	s = must[*Sequential](t)(NewSequential(0.1, 0.95, true, 30))
	s.Observe(false)
	if more, decides := s.Needed(); decides {
		t.Errorf("%d more would decide, beyond the horizon", more)
	}
}

func TestHorizonEndsUndecided(t *testing.T) {
	s := must[*Sequential](t)(NewSequential(0.5, 0.99, true, 4))
	for i := range 10 {
		s.Observe(i%2 == 0)
	}
	if s.Decision() != Exhausted || s.N() != 4 {
		t.Errorf("%s after %d, should be exhausted after 4", s.Decision(), s.N())
	}
}

// The errors of Wald's test by carrying all probabilities along, and its expected length.
func TestSPRT(t *testing.T) {
	const p0, p1, alpha, beta = 0.1, 0.3, 0.02, 0.03
	run := func(rate float64) (good, bad, mean float64) {
		alive := map[int]float64{0: 1}
		for n := 1; n < 3000 && len(alive) > 0; n++ {
			next := map[int]float64{}
			for k, mass := range alive {
				mean += mass
				for step, p := range []float64{1 - rate, rate} {
					s := must[*SPRT](t)(NewSPRT(p0, p1, alpha, beta))
					s.failures, s.n = k, n-1
					switch s.Observe(step == 1) {
					case Good:
						good += mass * p
					case Bad:
						bad += mass * p
					default:
						if mass*p > 1e-15 {
							next[k+step] += mass * p
						}
					}
				}
			}
			alive = next
		}
		return good, bad, mean
	}
	plan := must[*SPRT](t)(NewSPRT(p0, p1, alpha, beta))
	for _, rate := range []float64{0.02, p0, 0.15, 0.186, 0.25, p1, 0.6} {
		good, bad, mean := run(rate)
		near(t, "the sum of ends", good+bad, 1, 1e-9)
		if rate <= p0 && bad > alpha || rate >= p1 && good > beta {
			t.Errorf("at %v: good with %v, bad with %v", rate, good, bad)
		}
		// Wald's approximation neglects the last step, so it is low by a few observations.
		if approximate := must[float64](t)(plan.ExpectedN(rate)); approximate > mean+0.5 || approximate < 0.75*mean {
			t.Errorf("at %v the mean is %v, expected %v", rate, mean, approximate)
		}
	}
	for _, rate := range []float64{0, 1} {
		n := must[float64](t)(plan.ExpectedN(rate))
		if !(n > 0 && n < 100) {
			t.Errorf("at %v the expected number is %v", rate, n)
		}
	}
}
