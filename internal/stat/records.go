package stat

import (
	"errors"
	"fmt"
	"math"
)

// HypergeometricUpper is the exact upper bound of the number of bad records in a population of
// which n were drawn without replacement and failures of these were bad: the largest
// number with which so few would have a probability of more than 1−confidence. rate is its
// part of the population.
func HypergeometricUpper(failures, n, population int, confidence float64) (bad int, rate float64, err error) {
	if err := errors.Join(checkCounts("records", failures, n), checkConfidence(confidence)); err != nil {
		return 0, 0, err
	}
	if n > population || population > most {
		return 0, 0, fmt.Errorf("a sample of %d records cannot be judged as part of a population of %d: the population must be between the sample and %d", n, population, most)
	}
	bad = hypergeometricUpper(failures, n, population, 1-confidence)
	return bad, float64(bad) / float64(population), nil
}

func hypergeometricUpper(failures, n, population int, alpha float64) int {
	certain := population - n + failures // no more can be bad: the good ones were seen
	return firstInt(failures, certain, func(bad int) bool { return drawnAtMost(failures, n, bad, population) <= alpha }) - 1
}

// SampleSize is the smallest number of records to draw from a population such that
// no more than allowedFailures bad ones among them show, at the confidence, that at
// most the tolerable rate of the population is bad.
func SampleSize(population int, tolerableRate, confidence float64, allowedFailures int) (int, error) {
	if err := errors.Join(checkLimit("a tolerable rate", tolerableRate), checkConfidence(confidence)); err != nil {
		return 0, err
	}
	if population < 1 || population > most {
		return 0, fmt.Errorf("a population of %d records is not between 1 and %d", population, most)
	}
	if allowedFailures < 0 {
		return 0, fmt.Errorf("%d failures cannot be allowed: give 0 or more", allowedFailures)
	}
	// A rate such as 0.07 of 100 is 7, whatever rounding makes of it.
	tolerable := int(math.Floor(tolerableRate*float64(population) + 1e-9*float64(population)*tolerableRate))
	if allowedFailures > tolerable {
		return 0, fmt.Errorf("to allow %d failures is more than the %d bad records that are tolerable among %d", allowedFailures, tolerable, population)
	}
	alpha := 1 - confidence
	return firstInt(allowedFailures, population, func(n int) bool {
		return drawnAtMost(allowedFailures, n, tolerable+1, population) <= alpha
	}), nil
}

// drawnAtMost is the probability of k bad records or fewer in a sample of n out of a
// population with so many bad ones. It sums from the likelier end of what is asked for,
// by the ratio of neighbours.
func drawnAtMost(k, n, bad, population int) float64 {
	least, largest := max(0, n+bad-population), min(n, bad)
	switch {
	case k < least:
		return 0
	case k >= largest:
		return 1
	}
	// First relative to the probability of k, which is then had from the sum over all.
	ratio := func(x int) float64 { // of the probabilities of x+1 and x
		return float64(bad-x) / float64(x+1) * float64(n-x) / float64(population-bad-n+x+1)
	}
	const negligible = 1e-18
	below, above := 1.0, 0.0
	for x, term := k, 1.0; x > least && term > negligible*below; x-- {
		term /= ratio(x - 1)
		below += term
	}
	for x, term := k, 1.0; x < largest && (term > negligible*above || ratio(x) > 1); x++ {
		term *= ratio(x)
		above += term
		if math.IsInf(above, 0) {
			return 0
		}
	}
	if math.IsInf(below, 0) {
		return 1
	}
	return below / (below + above)
}
