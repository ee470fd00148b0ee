package privacy

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Where all r guesses are correct, (e^ε/(1+e^ε))^r is the chance of it.
func TestAuditOfAllCorrect(t *testing.T) {
	for _, r := range []int{1, 10, 1000, 100000} {
		got, err := AuditEpsilon(r, r, r, 0, 0.95)
		q := math.Pow(0.05, 1/float64(r))
		want := max(0, math.Log(q)-math.Log(1-q))
		if err != nil || math.Abs(got-want) > 1e-6*max(1, want) {
			t.Errorf("%d of %d: ε ≥ %v, in closed form %v (%v)", r, r, got, want, err)
		}
	}
}

func TestAuditOfChance(t *testing.T) {
	for _, c := range []struct{ canaries, guesses, correct int }{{1000, 1000, 500}, {1000, 100, 50}, {10, 0, 0}, {100, 100, 0}, {5, 4, 4}} {
		if got, err := AuditEpsilon(c.canaries, c.guesses, c.correct, 1e-5, 0.95); err != nil || got != 0 {
			t.Errorf("%+v: ε ≥ %v (%v)", c, got, err)
		}
	}
}

// More correct guesses prove more; a larger δ, more canaries for the same guesses, or more confidence less.
func TestAuditOrder(t *testing.T) {
	audit := func(m, r, v int, delta, confidence float64) float64 {
		e, err := AuditEpsilon(m, r, v, delta, confidence)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	base := audit(1000, 200, 180, 1e-5, 0.95)
	if base < 1 {
		t.Fatalf("180 of 200 prove ε ≥ %v", base)
	}
	if audit(1000, 200, 185, 1e-5, 0.95) <= base || audit(1000, 200, 180, 1e-3, 0.95) >= base ||
		audit(100000, 200, 180, 1e-5, 0.95) >= base || audit(1000, 200, 180, 1e-5, 0.999) >= base {
		t.Error("the bound does not move as it must")
	}
}

// Randomised response has exactly ε: the bound is above it in no more than a twentieth of the runs, and near it.
func TestAuditOfRandomisedResponse(t *testing.T) {
	const epsilon, canaries, runs = 1.5, 400, 400
	rng := rand.New(rand.NewPCG(1, 2))
	above, sum := 0, 0.0
	for range runs {
		correct := 0
		for range canaries {
			if rng.Float64() < 1/(1+math.Exp(-epsilon)) {
				correct++
			}
		}
		got, err := AuditEpsilon(canaries, canaries, correct, 0, 0.95)
		if err != nil {
			t.Fatal(err)
		}
		if got > epsilon {
			above++
		}
		sum += got
	}
	if above > 30 { // 20 are expected at most; 30 or more have a chance of 2 %
		t.Errorf("the bound is above the truth in %d of %d runs", above, runs)
	}
	if mean := sum / runs; mean < 1.1 || mean > epsilon {
		t.Errorf("the bound is %v on average", mean)
	}
}

func TestAuditRefuses(t *testing.T) {
	for _, c := range []struct {
		m, r, v           int
		delta, confidence float64
	}{{0, 0, 0, 0, 0.9}, {5, 6, 1, 0, 0.9}, {5, 4, 5, 0, 0.9}, {5, 4, -1, 0, 0.9}, {5, 4, 3, 1, 0.9}, {5, 4, 3, 0, 1}, {5, 4, 3, math.NaN(), 0.9}} {
		if _, err := AuditEpsilon(c.m, c.r, c.v, c.delta, c.confidence); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}
