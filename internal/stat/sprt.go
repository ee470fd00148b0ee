package stat

import (
	"errors"
	"fmt"
	"math"
)

// SPRT is Wald's sequential probability ratio test of a rate: p0 or less is good,
// p1 or more is bad, and between them either answer will do (Wald 1945, Annals of
// Mathematical Statistics 16, 117-186). It ends with probability 1.
//
// It says Bad where the rate is p0 or less with a probability of at most alpha, and Good
// where it is p1 or more with one of at most beta. To hold exactly, the limits of the likelihood
// ratio are 1/alpha and beta, in place of Wald's approximations (1−beta)/alpha and beta/(1−alpha).
type SPRT struct {
	p0, p1      float64
	good, bad   float64 // limits of the log of the likelihood ratio
	n, failures int
	decision    Decision
}

// NewSPRT prepares a test with 0 < p0 < p1 < 1 and error rates below 1/2.
func NewSPRT(p0, p1, alpha, beta float64) (*SPRT, error) {
	if err := errors.Join(checkLimit("a good rate", p0), checkLimit("a bad rate", p1)); err != nil {
		return nil, err
	}
	if p0 >= p1 {
		return nil, fmt.Errorf("the good rate of %v must be below the bad rate of %v", p0, p1)
	}
	if !(alpha > 0 && alpha < 0.5 && beta > 0 && beta < 0.5) {
		return nil, fmt.Errorf("the error rates of %v and %v must be above 0 and below 0.5", alpha, beta)
	}
	return &SPRT{p0: p0, p1: p1, good: math.Log(beta), bad: -math.Log(alpha), decision: Continue}, nil
}

// Observe takes one more observation: whether what the rate counts happened. After
// a decision it changes nothing.
func (s *SPRT) Observe(success bool) Decision {
	if s.decision != Continue {
		return s.decision
	}
	s.n++
	if success {
		s.failures++
	}
	switch ratio := logRatio(s.failures, s.n, s.p1, s.p0); {
	case ratio >= s.bad:
		s.decision = Bad
	case ratio <= s.good:
		s.decision = Good
	}
	return s.decision
}

// Decision is that of the observations so far: Continue, Good or Bad.
func (s *SPRT) Decision() Decision { return s.decision }

// N is the number of observations that were taken into account.
func (s *SPRT) N() int { return s.n }

// ExpectedN is the expected number of observations at a true rate, by Wald's
// approximation, which neglects how far the last step goes past a limit.
func (s *SPRT) ExpectedN(rate float64) (float64, error) {
	if !(rate >= 0 && rate <= 1) {
		return 0, fmt.Errorf("a rate of %v is not between 0 and 1", rate)
	}
	hit, miss := math.Log(s.p1/s.p0), math.Log1p(-s.p1)-math.Log1p(-s.p0)
	drift := rate*hit + (1-rate)*miss
	h := s.root(rate, hit, miss)
	if math.Abs(h) < 1e-6 { // no drift: a walk that ends by its spread alone
		return -s.good * s.bad / (rate*hit*hit + (1-rate)*miss*miss), nil
	}
	// The probability of Bad, (1−e^(h·good)) / (e^(h·bad)−e^(h·good)), without overflow.
	bad := math.Expm1(-h*s.good) / math.Expm1(h*(s.bad-s.good))
	if h > 0 {
		bad = math.Exp(-h*s.bad) * math.Expm1(h*s.good) / math.Expm1(h*(s.good-s.bad))
	}
	return (bad*s.bad + (1-bad)*s.good) / drift, nil
}

// root is the h other than 0 at which the expectation of the likelihood ratio to the
// power h is 1 (Wald 1945, section 3.4), cut to ±1000 for rates near 0 and 1.
func (s *SPRT) root(rate, hit, miss float64) float64 {
	excess := func(h float64) float64 { // above 0 outside 0 and the root
		return logAdd(math.Log(rate)+h*hit, math.Log1p(-rate)+h*miss)
	}
	lowest := (math.Log1p(-rate) + math.Log(-miss) - math.Log(rate) - math.Log(hit)) / (hit - miss)
	switch {
	case lowest > 500:
		return 1000
	case lowest < -500:
		return -1000
	case lowest > 0:
		_, h := bisect(lowest, 1000, func(h float64) bool { return excess(h) >= 0 })
		return h
	}
	_, h := bisect(-lowest, 1000, func(h float64) bool { return excess(-h) >= 0 })
	return -h
}
