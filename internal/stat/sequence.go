package stat

import "math"

// ProportionSequence bounds a rate at all times: after every observation it gives
// bounds, and the upper bound is above the true rate at all times together with a
// probability of at least its confidence; the same holds for the lower bound. One
// may look whenever one likes and stop whenever one likes.
//
// A rate p is excluded as too high when a bet against it has multiplied its stake
// by 1/(1−confidence), which happens with a probability of at most 1−confidence
// if the rate is p or more (Ville 1939). The bet is the likelihood ratio to p,
// averaged over all lower rates alike: the uniform mixture of Robbins (1970,
// Annals of Mathematical Statistics 41, 1397-1409), cut at p so that it is
// one-sided. Bounds never widen again: they are the running intersection.
type ProportionSequence struct {
	limit        float64 // log of the capital that excludes a rate
	n, successes int
	bounds       Interval
}

// NewProportionSequence begins with the bounds 0 and 1.
func NewProportionSequence(confidence float64) (*ProportionSequence, error) {
	if err := checkConfidence(confidence); err != nil {
		return nil, err
	}
	return &ProportionSequence{limit: -math.Log(1 - confidence), bounds: Interval{0, 1}}, nil
}

// Observe takes one more observation. Observations are independent with one rate,
// or at least each has the rate given all before it.
func (s *ProportionSequence) Observe(success bool) {
	s.n++
	if success {
		s.successes++
	}
	n, k := s.n, s.successes
	s.bounds.Upper = excluded(k, n, s.bounds.Upper, s.limit)
	s.bounds.Lower = 1 - excluded(n-k, n, 1-s.bounds.Lower, s.limit)
}

// Interval gives the bounds so far, each one-sided. If the lower is above the upper, the
// observations are not of one rate, or what happens once in 1/(2−2·confidence) did.
func (s *ProportionSequence) Interval() Interval { return s.bounds }

// excluded is the smallest rate, no higher than the bound so far, from which on
// every rate is excluded. Above the observed rate the capital rises with the rate
// wherever it is more than 1, so that there is one such point.
func excluded(successes, n int, bound, limit float64) float64 {
	observed := float64(successes) / float64(n)
	if bound <= observed || bound == 1 && successes == n {
		return bound
	}
	if bound < 1 && logUniformBelow(successes, n, bound) < limit {
		return bound
	}
	_, upper := bisect(observed, bound, func(p float64) bool { return logUniformBelow(successes, n, p) >= limit })
	return upper
}
