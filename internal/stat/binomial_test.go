package stat

import (
	"fmt"
	"math"
	"math/big"
	"testing"
)

// near fails where a value is further from what it should be than the tolerance.
func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %v, should be %v", what, got, want)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// The tails are compared with sums in 400 bits.
func TestTailsAgainstLongArithmetic(t *testing.T) {
	for _, c := range []struct {
		k, n int
		p    float64
	}{
		{0, 59, 0.05}, {5, 100, 0.102}, {50, 1000, 0.063}, {500, 10_000, 0.054}, {9, 10_000, 0.002},
		{10, 1_000_000, 2e-5}, {50_000, 1_000_000, 0.0503}, {10, 100, 0.5}, {100_000, 10_000_000, 0.0101},
	} {
		if testing.Short() && c.n > 100_000 {
			continue
		}
		want := longAtMost(c.k, c.n, c.p)
		if got := atMost(c.k, c.n, c.p); math.Abs(got/want-1) > 5e-9 {
			t.Errorf("at most %d of %d at %v: %v, should be %v", c.k, c.n, c.p, got, want)
		}
		near(t, fmt.Sprint("more than ", c), atLeast(c.k+1, c.n, c.p), 1-want, 1e-10)
	}
}

func longAtMost(k, n int, p float64) float64 {
	long := func() *big.Float { return new(big.Float).SetPrec(400) }
	hit := long().SetFloat64(p)
	miss := long().Sub(long().SetInt64(1), hit)
	term, power := long().SetInt64(1), long().Set(miss)
	for e := n; e > 0; e >>= 1 {
		if e&1 == 1 {
			term.Mul(term, power)
		}
		power.Mul(power, power)
	}
	odds, sum := long().Quo(hit, miss), long().Set(term)
	for i := 1; i <= k; i++ {
		term.Mul(term, odds)
		term.Mul(term, long().SetInt64(int64(n-i+1)))
		term.Quo(term, long().SetInt64(int64(i)))
		sum.Add(sum, term)
	}
	value, _ := sum.Float64()
	return value
}

// The rules for a test of a success rate, and those for an FPR, as published.
func TestPublishedBounds(t *testing.T) {
	for _, c := range []struct {
		successes, n int
		percent      float64
	}{{5, 100, 10.2}, {50, 1000, 6.3}, {500, 10_000, 5.4}} {
		upper := must[float64](t)(BinomialUpper(c.successes, c.n, 0.95))
		near(t, fmt.Sprintf("the upper bound of %d in %d", c.successes, c.n), math.Round(1000*upper)/10, c.percent, 1e-9)
	}
	for _, c := range []struct {
		falsePositives, n int
		lower, upper      float64 // in per cent, as they are rounded there
		scale             [2]float64
	}{{1, 1000, 0.003, 0.56, [2]float64{1e3, 1e2}}, {10, 10_000, 0.05, 0.18, [2]float64{1e2, 1e2}}, {50, 50_000, 0.074, 0.132, [2]float64{1e3, 1e3}}} {
		i := must[Interval](t)(ClopperPearson(c.falsePositives, c.n, 0.95))
		near(t, fmt.Sprint("the lower bound of ", c), math.Round(100*i.Lower*c.scale[0])/c.scale[0], c.lower, 1e-9)
		near(t, fmt.Sprint("the upper bound of ", c), math.Round(100*i.Upper*c.scale[1])/c.scale[1], c.upper, 1e-9)
	}
	// Newcombe 1998, table I: 81/263, 15/148, 0/20, 1/29 by methods 5 and 3.
	for _, c := range []struct {
		successes, n  int
		exact, wilson Interval
	}{
		{81, 263, Interval{0.2527, 0.3676}, Interval{0.2553, 0.3662}},
		{15, 148, Interval{0.0578, 0.1617}, Interval{0.0624, 0.1605}},
		{0, 20, Interval{0, 0.1684}, Interval{0, 0.1611}},
		{1, 29, Interval{0.0009, 0.1776}, Interval{0.0061, 0.1718}},
	} {
		exact := must[Interval](t)(ClopperPearson(c.successes, c.n, 0.95))
		score := must[Interval](t)(Wilson(c.successes, c.n, 0.95))
		near(t, "the exact lower", exact.Lower, c.exact.Lower, 5.1e-5)
		near(t, "the exact upper", exact.Upper, c.exact.Upper, 5.1e-5)
		near(t, "Wilson's lower", score.Lower, c.wilson.Lower, 5.1e-5)
		near(t, "Wilson's upper", score.Upper, c.wilson.Upper, 5.1e-5)
	}
}

func TestZeroFailures(t *testing.T) {
	for _, c := range []struct {
		limit, confidence float64
		n                 int
	}{
		{0.05, 0.95, 59}, {0.01, 0.95, 299}, {0.001, 0.95, 2995},
		{0.05, 0.99, 90}, {0.01, 0.99, 459}, {0.001, 0.99, 4603},
	} {
		if n := must[int](t)(ZeroFailureN(c.limit, c.confidence)); n != c.n {
			t.Errorf("%v at %v takes %d, should take %d", c.limit, c.confidence, n, c.n)
		}
	}
}

// Every sample of a small n is counted: bounds are right at least as often as stated, at every rate.
func TestCoverageOfProportions(t *testing.T) {
	const confidence = 0.9
	for _, n := range []int{1, 2, 5, 13, 40} {
		for step := 1; step < 200; step++ {
			p := float64(step) / 200
			lower, upper := 0.0, 0.0
			for k := range n + 1 {
				mass := atMost(k, n, p) - atMost(k-1, n, p)
				if must[float64](t)(BinomialUpper(k, n, confidence)) >= p {
					upper += mass
				}
				if must[float64](t)(BinomialLower(k, n, confidence)) <= p {
					lower += mass
				}
			}
			if lower < confidence-1e-12 || upper < confidence-1e-12 {
				t.Fatalf("of %d at %v the bounds are right with %v and %v", n, p, lower, upper)
			}
		}
	}
}

func TestBoundsAreMonotone(t *testing.T) {
	for n := 1; n <= 60; n++ {
		for k := 0; k <= n; k++ {
			low, high := binomialLower(k, n, 0.05), binomialUpper(k, n, 0.05)
			rate := float64(k) / float64(n)
			if !(0 <= low && low <= rate && rate <= high && high <= 1) {
				t.Fatalf("%d of %d: [%v, %v]", k, n, low, high)
			}
			if k > 0 && (binomialLower(k-1, n, 0.05) >= low || binomialUpper(k-1, n, 0.05) >= high) {
				t.Fatalf("%d of %d: bounds do not rise with successes", k, n)
			}
			if k < n && (binomialUpper(k, n+1, 0.05) >= high || binomialUpper(k, n, 0.01) <= high) {
				t.Fatalf("%d of %d: bounds do not move with n and confidence", k, n)
			}
			if high2 := 1 - binomialLower(n-k, n, 0.05); math.Abs(high-high2) > 1e-12 {
				t.Fatalf("%d of %d: %v and %v mirror each other", k, n, high, high2)
			}
		}
	}
}

func TestBadArgumentsAreSentences(t *testing.T) {
	nan := math.NaN()
	roc := must[*ROC](t)(NewROC([]float64{0, 1}, []bool{false, true}))
	sprt := must[*SPRT](t)(NewSPRT(0.1, 0.2, 0.05, 0.05))
	plan := must[*Sequential](t)(NewSequential(0.1, 0.95, true, 0))
	mean := must[*MeanSequence](t)(NewMeanSequence(0.95))
	for i, call := range []func() error{
		func() error { _, err := BinomialUpper(1, 0, 0.95); return err },
		func() error { _, err := BinomialUpper(-1, 5, 0.95); return err },
		func() error { _, err := BinomialUpper(6, 5, 0.95); return err },
		func() error { _, err := BinomialLower(1, 5, 1); return err },
		func() error { _, err := BinomialLower(1, math.MaxInt, 0.5); return err },
		func() error { _, err := ClopperPearson(1, 5, nan); return err },
		func() error { _, err := Wilson(1, 5, 0); return err },
		func() error { _, err := DifferenceBounds(1, 5, 6, 5, 0.9); return err },
		func() error { _, err := DifferenceBounds(1, 1_000_000, 1, 5, 0.9); return err },
		func() error { _, err := PairedDifferenceBounds(3, 3, 5, 0.9); return err },
		func() error { _, err := PairedDifferenceBounds(math.MaxInt, math.MaxInt, 5, 0.9); return err },
		func() error { _, err := NewProportionSequence(95); return err },
		func() error { _, err := NewMeanSequence(nan); return err },
		func() error { return mean.Observe(1.5) },
		func() error { return mean.Observe(nan) },
		func() error { _, err := NewSequential(0, 0.95, true, 0); return err },
		func() error { _, err := NewSequential(0.1, 0.95, true, -1); return err },
		func() error { _, err := plan.Characteristics(0.1); return err },
		func() error { _, err := plan.Characteristics(nan); return err },
		func() error { _, err := NewSPRT(0.2, 0.1, 0.05, 0.05); return err },
		func() error { _, err := NewSPRT(0.1, 0.2, 0.05, nan); return err },
		func() error { _, err := sprt.ExpectedN(nan); return err },
		func() error { _, err := WaldBound(0.1, 0.1, 0.05, 0.95); return err },
		func() error { _, _, err := FixedN(0.1, 0.95, 0.9, 0.1, true); return err },
		func() error { _, _, err := FixedN(0.1, 0.95, 0.9, 0.09999999, true); return err },
		func() error { _, _, err := FixedN(0.1, 0.95, 1, 0.05, true); return err },
		func() error { _, _, err := FixedN(0.9, 0.95, 0.9, 0.8, false); return err },
		func() error { _, err := ZeroFailureN(1e-300, 0.95); return err },
		func() error { _, err := Power(0, 0.1, 0.95, 0.05, true); return err },
		func() error { _, err := Power(5, 0.1, 0.95, nan, true); return err },
		func() error { _, _, err := Needed(1, 5, 1, 0.95); return err },
		func() error { _, err := NewROC([]float64{1}, nil); return err },
		func() error { _, err := NewROC([]float64{1, nan}, []bool{true, false}); return err },
		func() error { _, err := NewROC([]float64{1, 2}, []bool{true, true}); return err },
		func() error { _, err := roc.AUROC(2); return err },
		func() error { _, err := roc.TPRAtFPR(0, 0.95); return err },
		func() error { _, _, err := roc.At(nan, 0.95); return err },
		func() error { _, err := roc.Band(1); return err },
		func() error { _, err := SmallestNegatives(0.001, 0.95, 1); return err },
		func() error { _, err := SmallestNegatives(1e-9, 0.95, 2); return err },
		func() error { _, _, err := HypergeometricUpper(0, 10, 5, 0.95); return err },
		func() error { _, err := SampleSize(100, 0.01, 0.95, 2); return err },
		func() error { _, err := SampleSize(0, 0.01, 0.95, 0); return err },
		func() error { _, _, err := Holm(nil, 0.05); return err },
		func() error { _, _, err := Holm([]float64{nan}, 0.05); return err },
	} {
		if call() == nil {
			t.Errorf("case %d is no error", i)
		}
	}
}
