package stat

import (
	"math"
	"math/rand/v2"
	"testing"
)

// All sequences of 14 observations: the chance that a bound was ever wrong is at most as stated.
func TestProportionSequenceByEnumeration(t *testing.T) {
	const length, confidence = 14, 0.8
	for _, p := range []float64{0.02, 0.1, 0.3, 0.5, 0.77, 0.95} {
		low, high := 0.0, 0.0
		var follow func(s ProportionSequence, mass float64)
		follow = func(s ProportionSequence, mass float64) {
			if s.n == length {
				if s.Interval().Lower > p {
					low += mass
				}
				if s.Interval().Upper < p {
					high += mass
				}
				return
			}
			hit, miss := s, s
			hit.Observe(true)
			miss.Observe(false)
			follow(hit, mass*p)
			follow(miss, mass*(1-p))
		}
		s := must[*ProportionSequence](t)(NewProportionSequence(confidence))
		follow(*s, 1)
		if low > 1-confidence || high > 1-confidence {
			t.Errorf("at %v the bounds are ever wrong with %v and %v", p, low, high)
		}
	}
}

// The mixture by a sum over a fine grid of rates, as it is defined.
func TestMixtureByQuadrature(t *testing.T) {
	const cells = 200_000
	for _, c := range []struct {
		k, n int
		p    float64
	}{{0, 40, 0.1}, {3, 40, 0.2}, {10, 20, 0.7}, {1, 300, 0.02}} {
		sum := 0.0
		for i := range cells {
			q := c.p * (float64(i) + 0.5) / cells
			sum += math.Exp(logRatio(c.k, c.n, q, c.p)) / cells
		}
		near(t, "the log of a mixture", logUniformBelow(c.k, c.n, c.p), math.Log(sum), 1e-6)
	}
}

func TestSequencesCloseIn(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	proportion := must[*ProportionSequence](t)(NewProportionSequence(0.95))
	mean := must[*MeanSequence](t)(NewMeanSequence(0.95))
	last := Interval{0, 1}
	for range 3000 {
		hit := random.Float64() < 0.3
		proportion.Observe(hit)
		if err := mean.Observe(random.Float64() * 0.4); err != nil { // a mean of 0.2, little spread
			t.Fatal(err)
		}
		now := proportion.Interval()
		if now.Lower < last.Lower-1e-15 || now.Upper > last.Upper {
			t.Fatalf("the bounds widen from %v to %v", last, now)
		}
		last = now
	}
	if last.Lower > 0.3 || last.Upper < 0.3 || last.Upper-last.Lower > 0.08 {
		t.Errorf("3000 observations at 0.3 give %v", last)
	}
	if i := mean.Interval(); i.Lower > 0.2 || i.Upper < 0.2 || i.Upper-i.Lower > 0.03 {
		t.Errorf("3000 numbers with the mean 0.2 give %v", i)
	}
}

// The same capital process written out plainly, one mean at a time.
func TestMeanSequenceAgainstThePaper(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 9))
	const alpha, length = 0.05, 400
	x := make([]float64, length)
	s := must[*MeanSequence](t)(NewMeanSequence(1 - alpha))
	for i := range x {
		x[i] = math.Sqrt(random.Float64()) // Beta(2, 1), a mean of 2/3
		if err := s.Observe(x[i]); err != nil {
			t.Fatal(err)
		}
	}
	excluded := func(m float64, up bool) bool {
		sum, squares, capital := 0.0, 0.0, 1.0
		for i, v := range x {
			t := float64(i + 1)
			bet := math.Sqrt(2 * math.Log(1/alpha) / ((0.25 + squares) / t * t * math.Log(1+t)))
			if up {
				capital *= 1 + math.Min(bet, 0.5/m)*(v-m)
			} else {
				capital *= 1 - math.Min(bet, 0.5/(1-m))*(v-m)
			}
			if capital >= 1/alpha {
				return true
			}
			sum += v
			distance := v - (0.5+sum)/(t+1)
			squares += distance * distance
		}
		return false
	}
	i := s.Interval()
	for m := 0.0005; m < 1; m += 0.001 {
		// The grid is rounded outward by no more than one of its steps.
		if m < i.Lower && !excluded(m, true) || m > i.Lower+0.002 && m < 0.9 && excluded(m, true) {
			t.Errorf("%v and the lower bound %v do not agree", m, i.Lower)
		}
		if m > i.Upper && !excluded(m, false) || m < i.Upper-0.002 && m > 0.1 && excluded(m, false) {
			t.Errorf("%v and the upper bound %v do not agree", m, i.Upper)
		}
	}
	if i.Lower < 0.6 || i.Lower > 2.0/3 || i.Upper < 2.0/3 || i.Upper > 0.73 {
		t.Errorf("the bounds are %v", i)
	}
}

// All sequences of 12 coin tosses, for means on the grid.
func TestMeanSequenceByEnumeration(t *testing.T) {
	const length, confidence = 12, 0.8
	for _, cell := range []int{100, 300, 512, 800} {
		p := meanAt(cell)
		low, high := 0.0, 0.0
		for outcome := range 1 << length {
			s := must[*MeanSequence](t)(NewMeanSequence(confidence))
			mass := 1.0
			for i := range length {
				hit := float64(outcome >> i & 1)
				mass *= hit*p + (1-hit)*(1-p)
				if err := s.Observe(hit); err != nil {
					t.Fatal(err)
				}
			}
			if s.Interval().Lower > p {
				low += mass
			}
			if s.Interval().Upper < p {
				high += mass
			}
		}
		if low > 1-confidence || high > 1-confidence {
			t.Errorf("a mean of %v: the bounds are ever wrong with %v and %v", p, low, high)
		}
		if testing.Short() {
			break
		}
	}
}
