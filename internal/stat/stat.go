// Package stat decides by counting: exact intervals for proportions and their
// differences, tests that may stop as soon as they are decided, the size that a
// test needs, ROC curves with bounds, samples of records, and many tests at once.
// It is pure: no randomness, no clock, no files.
//
// A confidence is a number between 0 and 1, such as 0.95. A bound is one-sided
// unless its name or comment says otherwise: a lower and an upper bound at 0.95
// are each wrong in at most 5 % of all samples, so that both are right in at
// least 90 %. Bounds found by bisection are rounded outward, to the safe side.
// Where a method is no more than approximate, its comment says so.
package stat

import (
	"fmt"
	"math"
)

// Interval is a closed interval [Lower, Upper].
type Interval struct{ Lower, Upper float64 }

// most is the largest number of observations: up to it the tails of the binomial
// distribution are known to be right to nine digits (binomial_test.go).
const most = 10_000_000

func checkConfidence(confidence float64) error {
	if !(confidence > 0 && confidence < 1) {
		return fmt.Errorf("a confidence of %v is not between 0 and 1: give one such as 0.95", confidence)
	}
	return nil
}

// checkLimit is for rates that a test is about, for which 0 and 1 cannot be tested.
func checkLimit(what string, rate float64) error {
	if !(rate > 0 && rate < 1) {
		return fmt.Errorf("%s of %v is not between 0 and 1, both excluded", what, rate)
	}
	return nil
}

func checkCounts(what string, successes, n int) error {
	switch {
	case n < 1:
		return fmt.Errorf("there is nothing to judge: %d %s were observed, at least 1 is needed", n, what)
	case n > most:
		return fmt.Errorf("%d %s are more than the %d that are computed exactly", n, what, most)
	case successes < 0 || successes > n:
		return fmt.Errorf("%d successes among %d %s: they must be between 0 and %[2]d", successes, n, what)
	}
	return nil
}

// bisect finds where a condition that holds from some point of [low, high] on
// begins. It gives a point at which it does not hold and one at which it does,
// apart by no more than two neighbouring numbers or 1e-15: low and high themselves
// are taken for such.
func bisect(low, high float64, holds func(float64) bool) (outside, inside float64) {
	for range 200 {
		middle := low + (high-low)/2
		if middle <= low || middle >= high || high-low < 1e-15*high {
			break
		}
		if holds(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return low, high
}

// firstInt is the smallest integer above low for which a condition holds that
// holds from there on, or limit+1 where it holds for none up to limit.
func firstInt(low, limit int, holds func(int) bool) int {
	step := 1
	for low+step <= limit && !holds(low+step) {
		low += step
		step *= 2
	}
	high := min(low+step, limit+1)
	for high-low > 1 {
		middle := low + (high-low)/2
		if holds(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// logAdd is log(exp(a) + exp(b)).
func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(a, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}
