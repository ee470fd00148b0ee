package stat

import (
	"math"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"
)

// BinomialUpper is the exact upper bound of a rate of which successes in n
// independent trials were seen: the largest rate at which so few or fewer would
// have a probability of more than 1−confidence (Clopper and Pearson 1934).
func BinomialUpper(successes, n int, confidence float64) (float64, error) {
	if err := checkProportion(successes, n, confidence); err != nil {
		return 0, err
	}
	return binomialUpper(successes, n, 1-confidence), nil
}

// BinomialLower is the exact lower bound of a rate: the smallest at which so many
// successes or more would have a probability of more than 1−confidence (Clopper
// and Pearson 1934).
func BinomialLower(successes, n int, confidence float64) (float64, error) {
	if err := checkProportion(successes, n, confidence); err != nil {
		return 0, err
	}
	return binomialLower(successes, n, 1-confidence), nil
}

// ClopperPearson is the exact two-sided interval of a rate: each of its bounds is
// wrong with a probability of at most (1−confidence)/2 (Clopper and Pearson 1934).
func ClopperPearson(successes, n int, confidence float64) (Interval, error) {
	if err := checkProportion(successes, n, confidence); err != nil {
		return Interval{}, err
	}
	alpha := (1 - confidence) / 2
	return Interval{binomialLower(successes, n, alpha), binomialUpper(successes, n, alpha)}, nil
}

// Wilson is the two-sided score interval of a rate without correction for
// continuity (Wilson 1927; method 3 in Newcombe 1998, Statistics in Medicine 17,
// 857-872). It is approximate: shorter than Clopper and Pearson's, and wrong more
// often than stated for some rates. It is for drawing, not for deciding.
func Wilson(successes, n int, confidence float64) (Interval, error) {
	if err := checkProportion(successes, n, confidence); err != nil {
		return Interval{}, err
	}
	return wilson(successes, n, normalQuantile((1+confidence)/2)), nil
}

func checkProportion(successes, n int, confidence float64) error {
	if err := checkCounts("trials", successes, n); err != nil {
		return err
	}
	return checkConfidence(confidence)
}

func wilson(successes, n int, z float64) Interval {
	s, m := float64(successes), float64(n)
	centre, half := s+z*z/2, z*math.Sqrt(s*(m-s)/m+z*z/4)
	interval := Interval{(centre - half) / (m + z*z), (centre + half) / (m + z*z)}
	if successes == 0 {
		interval.Lower = 0
	}
	if successes == n {
		interval.Upper = 1
	}
	return interval
}

// binomialUpper is the bound that is wrong with a probability of at most alpha.
func binomialUpper(successes, n int, alpha float64) float64 {
	if successes == n {
		return 1
	}
	if successes == 0 { // (1-p)^n = alpha
		return -math.Expm1(math.Log(alpha) / float64(n))
	}
	_, upper := bisect(float64(successes)/float64(n), 1, func(p float64) bool { return atMost(successes, n, p) <= alpha })
	return upper
}

func binomialLower(successes, n int, alpha float64) float64 {
	if successes == 0 {
		return 0
	}
	if successes == n {
		return math.Exp(math.Log(alpha) / float64(n))
	}
	lower, _ := bisect(0, float64(successes)/float64(n), func(p float64) bool { return atLeast(successes, n, p) > alpha })
	return lower
}

// atMost is the probability of k successes or fewer in n trials at the rate p.
func atMost(k, n int, p float64) float64 {
	switch {
	case k < 0:
		return 0
	case k >= n || p <= 0:
		return 1
	case p >= 1:
		return 0
	}
	return mathext.RegIncBeta(float64(n-k), float64(k+1), 1-p)
}

// atLeast is the probability of k successes or more in n trials at the rate p.
func atLeast(k, n int, p float64) float64 {
	switch {
	case k <= 0:
		return 1
	case k > n || p <= 0:
		return 0
	case p >= 1:
		return 1
	}
	return mathext.RegIncBeta(float64(k), float64(n-k+1), p)
}

func normalQuantile(p float64) float64 { return distuv.UnitNormal.Quantile(p) }
