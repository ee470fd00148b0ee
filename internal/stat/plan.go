package stat

import (
	"errors"
	"fmt"
	"math"
)

// FixedN is the smallest fixed number of observations with which a true rate as
// assumed is shown to be at most the limit (upper), or at least the limit (not
// upper), with a probability of at least power. It is shown by the exact bound at
// the confidence: with no more than maxFailures on the wrong side among the n, which are
// successes where upper and what is no success where not.
func FixedN(limit, confidence, power, assumed float64, upper bool) (n, maxFailures int, err error) {
	if err := checkPlan(limit, confidence, assumed); err != nil {
		return 0, 0, err
	}
	if err := checkLimit("a power", power); err != nil {
		return 0, 0, err
	}
	if upper && assumed >= limit || !upper && assumed <= limit {
		return 0, 0, fmt.Errorf("a rate of %v does not keep the limit of %v, so no number of observations could show that it does: assume a better rate", assumed, limit)
	}
	if !upper {
		limit, assumed = 1-limit, 1-assumed
	}
	alpha := 1 - confidence
	enough := func(failures int) (int, bool) {
		size := sizeFor(failures, limit, alpha)
		return size, size <= most && atMost(failures, size, assumed) >= power
	}
	end := int(most * limit)
	c := firstInt(-1, end, func(failures int) bool { _, ok := enough(failures); return ok })
	// Sizes are whole numbers, so the power does not rise at each step; a smaller one may do.
	for back := c - 1; back >= 0 && back > c-16-int(math.Min(4*limit/(limit-assumed), 200)); back-- {
		if _, ok := enough(back); ok {
			c = back
		}
	}
	if n, ok := enough(c); ok {
		return n, c, nil
	}
	return 0, 0, fmt.Errorf("to tell a rate of %v from the limit of %v takes more than %d observations: assume a rate further from the limit", assumed, limit, most)
}

// sizeFor is the smallest number of observations in which so many failures still
// have an upper bound of at most the limit.
func sizeFor(failures int, limit, alpha float64) int {
	shown := func(n int) bool { return failures < n && atMost(failures, n, limit) <= alpha }
	n := firstInt(failures, most, shown)
	// The bound is rounded outward; what it does not show, one more does.
	for n <= most && binomialUpper(failures, n, alpha) > limit {
		n++
	}
	return n
}

// ZeroFailureN is the smallest number of observations that, without any failure
// among them, show that the rate is at most the limit.
func ZeroFailureN(limit, confidence float64) (int, error) {
	if err := errors.Join(checkLimit("a limit", limit), checkConfidence(confidence)); err != nil {
		return 0, err
	}
	n := sizeFor(0, limit, 1-confidence)
	if n > most {
		return 0, fmt.Errorf("to show a limit of %v takes more than %d observations", limit, most)
	}
	return n, nil
}

// Power is the probability that n observations at the true rate assumed show, by the
// exact bound at the confidence, that the rate is at most the limit (upper) or at least the limit
// (not upper). The assumed rate may be on either side of the limit.
func Power(n int, limit, confidence, assumed float64, upper bool) (float64, error) {
	if err := errors.Join(checkCounts("observations", 0, n), checkPlan(limit, confidence, assumed)); err != nil {
		return 0, err
	}
	if !upper {
		limit, assumed = 1-limit, 1-assumed
	}
	return atMost(largestShown(n, limit, 1-confidence), n, assumed), nil
}

// largestShown is the largest number of failures that shows the limit, -1 where none does.
func largestShown(n int, limit, alpha float64) int {
	return firstInt(-1, n, func(failures int) bool { return binomialUpper(failures, n, alpha) > limit }) - 1
}

// Needed is how many more observations would decide a fixed plan at its exact
// one-sided bounds if the rate observed so far stayed: 0 where the rate is already
// shown to be at most the limit, or above it. It is false where more would never decide.
// It is a plan for another test: to observe on until decided is what Sequential is for.
func Needed(successes, n int, limit, confidence float64) (more int, decides bool, err error) {
	if err := errors.Join(checkProportion(successes, n, confidence), checkLimit("a limit", limit)); err != nil {
		return 0, false, err
	}
	alpha := 1 - confidence
	good := func(k, total int) bool { return binomialUpper(k, total, alpha) <= limit }
	bad := func(k, total int) bool { return binomialLower(k, total, alpha) > limit }
	if good(successes, n) || bad(successes, n) {
		return 0, true, nil
	}
	more, decides = needed(successes, n, most, limit, good, bad)
	return more, decides, nil
}

func checkPlan(limit, confidence, assumed float64) error {
	if err := errors.Join(checkLimit("a limit", limit), checkConfidence(confidence)); err != nil {
		return err
	}
	if !(assumed >= 0 && assumed <= 1) || math.IsNaN(assumed) {
		return fmt.Errorf("an assumed rate of %v is not between 0 and 1", assumed)
	}
	return nil
}
