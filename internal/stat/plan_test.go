package stat

import (
	"math"
	"testing"
)

// FixedN against a search through every n.
func TestFixedNIsTheSmallest(t *testing.T) {
	for _, c := range []struct{ limit, confidence, power, assumed float64 }{
		{0.05, 0.95, 0.95, 0.025}, {0.1, 0.95, 0.8, 0.05}, {0.2, 0.9, 0.9, 0.1}, {0.3, 0.99, 0.7, 0.2},
		{0.5, 0.95, 0.9, 0.4}, {0.05, 0.95, 0.9, 0}, {0.9, 0.95, 0.8, 0.8}, {0.1, 0.95, 0.2, 0.09},
	} {
		n, failures, err := FixedN(c.limit, c.confidence, c.power, c.assumed, true)
		if err != nil {
			t.Fatal(err)
		}
		for size := 1; size <= n; size++ {
			k := -1
			for k+1 < size && binomialUpper(k+1, size, 1-c.confidence) <= c.limit {
				k++
			}
			if enough := atMost(k, size, c.assumed) >= c.power; enough != (size == n) {
				t.Fatalf("%+v: %d suffices: %v; FixedN says %d", c, size, enough, n)
			}
			if size == n && k != failures {
				t.Errorf("%+v: %d failures, should be %d", c, failures, k)
			}
		}
		if power := must[float64](t)(Power(n, c.limit, c.confidence, c.assumed, true)); power < c.power {
			t.Errorf("%+v: the power is %v", c, power)
		}
		mirrored, same, err := FixedN(1-c.limit, c.confidence, c.power, 1-c.assumed, false)
		if err != nil || math.Abs(float64(mirrored-n)) > 0 || same != failures {
			t.Errorf("%+v: the mirrored plan is %d with %d: %v", c, mirrored, same, err)
		}
	}
}

func TestPowerAtTheLimitIsTheError(t *testing.T) {
	for n := 1; n < 300; n += 7 {
		if wrong := must[float64](t)(Power(n, 0.1, 0.95, 0.1, true)); wrong > 0.05+1e-12 {
			t.Errorf("%d observations are wrong with %v", n, wrong)
		}
	}
}

func TestNeeded(t *testing.T) {
	for _, c := range []struct {
		successes, n int
		limit        float64
		decides      bool
	}{{0, 10, 0.05, true}, {3, 100, 0.05, true}, {8, 100, 0.05, true}, {5, 100, 0.05, false}, {1, 10, 0.9, true}, {0, 100, 0.05, true}} {
		more, decides, err := Needed(c.successes, c.n, c.limit, 0.95)
		if err != nil || decides != c.decides {
			t.Fatalf("%+v: %d %v %v", c, more, decides, err)
		}
		if !decides {
			continue
		}
		rate, total := float64(c.successes)/float64(c.n), c.n+more
		good := binomialUpper(int(math.Ceil(rate*float64(total)-1e-9)), total, 0.05) <= c.limit
		bad := binomialLower(int(math.Floor(rate*float64(total)+1e-9)), total, 0.05) > c.limit
		if good == bad || good != (rate < c.limit) {
			t.Errorf("%+v: after %d more it is good %v, bad %v", c, more, good, bad)
		}
	}
	if more, _, _ := Needed(0, 10, 0.05, 0.95); more != 49 {
		t.Errorf("0 in 10 need %d more, should need 49", more)
	}
}

// Holm's procedure by its definition, on the example of R's p.adjust.
func TestHolm(t *testing.T) {
	rejected, adjusted, err := Holm([]float64{0.01, 0.04, 0.03, 0.005}, 0.05)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{0.03, 0.06, 0.06, 0.02} {
		near(t, "an adjusted p-value", adjusted[i], want, 1e-12)
		if rejected[i] != (want <= 0.05) {
			t.Errorf("hypothesis %d: rejected is %v", i, rejected[i])
		}
	}
}

// drawnAtMost against binomial coefficients, and bounds right as often as stated, by counting all samples.
func TestRecordsByEnumeration(t *testing.T) {
	const population, confidence = 30, 0.9
	choose := func(n, k int) float64 {
		if k < 0 || k > n {
			return 0
		}
		c := 1.0
		for i := range k {
			c = c * float64(n-i) / float64(i+1)
		}
		return c
	}
	for n := 1; n <= population; n++ {
		for bad := 0; bad <= population; bad++ {
			right, sum := 0.0, 0.0
			for k := 0; k <= n; k++ {
				mass := choose(bad, k) * choose(population-bad, n-k) / choose(population, n)
				sum += mass
				near(t, "a hypergeometric tail", drawnAtMost(k, n, bad, population), sum, 1e-12)
				if mass == 0 {
					continue
				}
				upper, rate, err := HypergeometricUpper(k, n, population, confidence)
				if err != nil {
					t.Fatal(err)
				}
				near(t, "the rate", rate, float64(upper)/population, 0)
				if upper >= bad {
					right += mass
				}
			}
			if right < confidence-1e-12 {
				t.Fatalf("%d of %d with %d bad: right with %v", n, population, bad, right)
			}
		}
	}
}

func TestSampleSize(t *testing.T) {
	for _, c := range []struct {
		population int
		tolerable  float64
		allowed    int
	}{{1000, 0.05, 0}, {1000, 0.05, 2}, {100, 0.07, 1}, {20, 0.1, 0}, {50, 0.5, 3}, {10, 0.01, 0}} {
		n := must[int](t)(SampleSize(c.population, c.tolerable, 0.95, c.allowed))
		most := int(math.Round(c.tolerable*float64(c.population)*1e6)) / 1_000_000
		for size := max(1, c.allowed); size <= c.population; size++ {
			if shown := hypergeometricUpper(c.allowed, size, c.population, 1-0.95) <= most; shown != (size >= n) {
				t.Fatalf("%+v: %d records show it: %v; SampleSize says %d", c, size, shown, n)
			}
		}
	}
	// A population without end is the binomial's.
	if n := must[int](t)(SampleSize(most, 0.05, 0.95, 0)); n != 59 {
		t.Errorf("a large population takes %d records, should take 59", n)
	}
}
