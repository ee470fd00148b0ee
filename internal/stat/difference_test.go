package stat

import (
	"math"
	"testing"
)

// By counting every table: each bound is right as often as stated, at every pair of rates.
func TestCoverageOfDifferences(t *testing.T) {
	const confidence = 0.9
	for _, size := range [][2]int{{4, 7}, {9, 9}} {
		bounds := map[[2]int]Interval{}
		for a := range size[0] + 1 {
			for b := range size[1] + 1 {
				bounds[[2]int{a, b}] = must[Interval](t)(DifferenceBounds(a, size[0], b, size[1], confidence))
			}
		}
		for i := 0; i <= 20; i++ {
			for j := 0; j <= 20; j++ {
				p1, p2 := float64(i)/20, float64(j)/20
				low, high := 0.0, 0.0
				for table, bound := range bounds {
					mass := binomialMass(table[0], size[0], p1) * binomialMass(table[1], size[1], p2)
					if bound.Lower > p1-p2+1e-12 {
						low += mass
					}
					if bound.Upper < p1-p2-1e-12 {
						high += mass
					}
				}
				if low > 1-confidence+1e-9 || high > 1-confidence+1e-9 {
					t.Fatalf("%v at %v and %v: wrong with %v and %v", size, p1, p2, low, high)
				}
			}
		}
	}
}

func TestCoverageOfPairedDifferences(t *testing.T) {
	const n, confidence = 9, 0.9
	bounds := map[[2]int]Interval{}
	for b := 0; b <= n; b++ {
		for c := 0; b+c <= n; c++ {
			bounds[[2]int{b, c}] = must[Interval](t)(PairedDifferenceBounds(b, c, n, confidence))
		}
	}
	for i := 0; i <= 20; i++ {
		for j := 0; i+j <= 20; j++ {
			p1, p2 := float64(i)/20, float64(j)/20
			low, high := 0.0, 0.0
			for table, bound := range bounds {
				mass := binomialMass(table[1], n, p2)
				if p2 < 1 {
					mass *= binomialMass(table[0], n-table[1], math.Min(p1/(1-p2), 1))
				}
				if bound.Lower > p1-p2+1e-12 {
					low += mass
				}
				if bound.Upper < p1-p2-1e-12 {
					high += mass
				}
			}
			if low > 1-confidence+1e-9 || high > 1-confidence+1e-9 {
				t.Fatalf("at %v and %v: wrong with %v and %v", p1, p2, low, high)
			}
		}
	}
}

func binomialMass(k, n int, p float64) float64 { return atMost(k, n, p) - atMost(k-1, n, p) }

// The tail inversion of Chan and Zhang with the score statistic, written out on grids, gives
// nearly the same bounds though it orders the tables differently.
func TestDifferenceNearChanAndZhang(t *testing.T) {
	if testing.Short() {
		t.Skip("the inversion on grids takes seconds")
	}
	for _, c := range [][4]int{{7, 15, 12, 15}, {2, 12, 9, 14}, {10, 10, 6, 11}, {0, 8, 0, 9}} {
		ours := must[Interval](t)(DifferenceBounds(c[0], c[1], c[2], c[3], 0.975))
		near(t, "the lower bound", ours.Lower, chanZhangLower(c[0], c[1], c[2], c[3], 0.025), 0.04)
		near(t, "the upper bound", ours.Upper, -chanZhangLower(c[2], c[3], c[0], c[1], 0.025), 0.04)
	}
}

func chanZhangLower(s1, n1, s2, n2 int, alpha float64) float64 {
	// The likeliest rates at a difference, by search: the likelihood is concave in p2.
	score := func(a, b int, delta float64) float64 {
		low, high := math.Max(0, -delta), math.Min(1, 1-delta)
		f := func(p2 float64) float64 {
			l := func(k, n int, p float64) float64 {
				v := 0.0
				if k > 0 {
					v += float64(k) * math.Log(p)
				}
				if n > k {
					v += float64(n-k) * math.Log1p(-p)
				}
				return v
			}
			return l(a, n1, math.Min(1, math.Max(0, p2+delta))) + l(b, n2, p2)
		}
		for range 60 {
			x, y := low+(high-low)/3, high-(high-low)/3
			if f(x) < f(y) {
				low = x
			} else {
				high = y
			}
		}
		p2 := (low + high) / 2
		p1 := math.Min(1, math.Max(0, p2+delta))
		distance := float64(a)/float64(n1) - float64(b)/float64(n2) - delta
		if math.Abs(distance) < 1e-9 {
			return 0
		}
		return distance / math.Sqrt(math.Max(1e-12, p1*(1-p1)/float64(n1)+p2*(1-p2)/float64(n2)))
	}
	for delta := -0.995; delta < 1; delta += 0.005 {
		var tail [][2]int
		observed := score(s1, s2, delta)
		for a := range n1 + 1 {
			for b := range n2 + 1 {
				if score(a, b, delta) >= observed-1e-6 {
					tail = append(tail, [2]int{a, b})
				}
			}
		}
		worst := 0.0
		for i := 0; i <= 50; i++ {
			low, high := math.Max(0, -delta), math.Min(1, 1-delta)
			p2 := low + (high-low)*float64(i)/50
			sum := 0.0
			for _, table := range tail {
				sum += binomialMass(table[0], n1, p2+delta) * binomialMass(table[1], n2, p2)
			}
			worst = math.Max(worst, sum)
		}
		if worst > alpha {
			return delta
		}
	}
	return 1
}

func TestDifferenceProperties(t *testing.T) {
	for s := range 12 {
		here := must[Interval](t)(DifferenceBounds(s, 12, 5, 10, 0.95))
		more := must[Interval](t)(DifferenceBounds(s+1, 12, 5, 10, 0.95))
		surer := must[Interval](t)(DifferenceBounds(s, 12, 5, 10, 0.99))
		turned := must[Interval](t)(DifferenceBounds(5, 10, s, 12, 0.95))
		rate := float64(s)/12 - 0.5
		if here.Lower > rate || here.Upper < rate || more.Lower < here.Lower || more.Upper < here.Upper {
			t.Errorf("%d successes: %v, one more: %v", s, here, more)
		}
		if surer.Lower > here.Lower || surer.Upper < here.Upper {
			t.Errorf("%d successes: %v at 95 %%, %v at 99 %%", s, here, surer)
		}
		near(t, "the turned bound", turned.Lower, -here.Upper, 1e-12)
	}
	// A paired lower bound is no higher than that against a twin known never to succeed; the sign test (1/2)^8 says it is above 0.
	paired := must[Interval](t)(PairedDifferenceBounds(8, 0, 40, 0.95))
	single := must[float64](t)(BinomialLower(8, 40, 0.95))
	if paired.Lower > single || paired.Lower <= 0 {
		t.Errorf("8 of 40 against none: %v, alone %v", paired.Lower, single)
	}
}
