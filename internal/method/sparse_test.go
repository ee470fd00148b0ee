package method_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"assay/internal/method"
)

// near is a space of numbers that can move anywhere within a box, and a row that may be outside.
func near(r *rand.Rand, norm method.Norm, n int, eps float64) (*method.Space, []float32) {
	d := box(n, 0, 1)
	s := &method.Space{Domain: d, Norm: norm, Eps: eps, Clean: make([]float32, n)}
	x := make([]float32, n)
	for i := range n {
		s.Clean[i] = r.Float32()
		if r.IntN(3) == 0 {
			s.Clean[i] = float32(r.IntN(2))
		}
		x[i] = s.Clean[i] + float32(r.NormFloat64())
		if norm == method.L1 {
			d.Scale[i] = float32(0.5 + r.Float64())
		}
	}
	return s, x
}

func squared(s *method.Space, a, b []float32) (sum float64) {
	for i := range a {
		by := (float64(a[i]) - float64(b[i])) / float64(s.Domain.Scale[i])
		sum += by * by
	}
	return sum
}

// The projections onto ball and box together are the nearest points: in L1 nearer than all points of the space beside
// them, which decides as the space is convex, and in L0 than the best for every choice of numbers.
func TestSparseProjectionsAreNearest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	cut := 0
	for range 300 {
		s, x := near(r, method.L1, 6, 0.2+2*r.Float64())
		p := slices.Clone(x)
		s.Project(p)
		if s.Distance(p) > s.Eps*(1-1e-6) {
			cut++
		}
		least := squared(s, p, x)
		for range 200 {
			q := slices.Clone(p)
			to := make([]float32, len(x))
			s.Random(r, to)
			share := float32(math.Pow(10, -3*r.Float64()))
			for i := range q {
				q[i] += share * (to[i] - q[i])
			}
			if s.Contains(q) == nil && squared(s, q, x) < least*(1-1e-5) {
				t.Fatalf("%v of %v is nearer to %v than its projection %v", q, s.Clean, x, p)
			}
		}
	}
	if cut < 100 {
		t.Errorf("the ball matters for %d of 300", cut)
	}
	for range 300 {
		s, x := near(r, method.L0, 6, float64(r.IntN(4)))
		p, best := slices.Clone(x), math.Inf(1)
		s.Project(p)
		for set := range 1 << 6 {
			q, n := slices.Clone(s.Clean), 0
			for i := range q {
				if set>>i&1 == 1 {
					q[i] = min(max(x[i], 0), 1)
					n++
				}
			}
			if float64(n) <= s.Eps {
				best = min(best, squared(s, q, x))
			}
		}
		if got := squared(s, p, x); math.Abs(got-best) > 1e-5 {
			t.Errorf("%v is at %v of %v, and the nearest at %v", p, got, x, best)
		}
	}
}

// A pixel's channels change together or not at all, and random draws use what eps allows.
func TestL0CountsPixels(t *testing.T) {
	const channels, pixels = 3, 20
	d := box(channels*pixels, 0, 1)
	d.Image = &method.Image{Channels: channels, Height: 4, Width: pixels / 4}
	r := rand.New(rand.NewPCG(5, 5))
	s := &method.Space{Domain: d, Norm: method.L0, Eps: 4, Clean: slices.Repeat([]float32{0.5}, channels*pixels)}
	slope, x := make([]float32, len(s.Clean)), slices.Clone(s.Clean)
	for i := range slope {
		slope[i] = float32(r.NormFloat64())
	}
	numbers := func() (n int) {
		for i, v := range x {
			if v != s.Clean[i] {
				n++
			}
		}
		return n
	}
	s.Step(x, slope, 4)
	if s.Distance(x) != 4 || numbers() != 12 {
		t.Errorf("a step changes %d numbers of %g pixels", numbers(), s.Distance(x))
	}
	s.Random(r, x)
	if s.Distance(x) != 4 || numbers() != 12 {
		t.Errorf("a draw changes %d numbers of %g pixels", numbers(), s.Distance(x))
	}
}
