package stat

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"
)

// Decision is what a sequential test says after each observation.
type Decision string

// The decisions of sequential tests.
const (
	Continue  Decision = "continue"
	Good      Decision = "good" // the rate is on the right side of the limit
	Bad       Decision = "bad"
	Exhausted Decision = "exhausted" // the horizon is reached and nothing is decided
)

// Sequential tests a rate against one limit and stops as soon as either side is
// decided. It is wrong with a probability of at most 1−confidence on each side:
// it says Good with no more where the rate is at the limit or on its wrong side,
// and Bad with no more where it is at the limit or on its right side, however
// long it goes on and whenever one looks.
//
// Each side is a bet against what it is to exclude, and decides when the bet has
// multiplied its stake by 1/(1−confidence) (Ville 1939). Half of the stake is on one
// rate, as in Wald's test (1945): half of the limit on the good side, twice the
// limit (or what is half-way from it to 1) on the bad one. The other half is spread alike over all rates
// beyond the limit, as in ProportionSequence, so that no rate is assumed and no
// more than log 2 is lost where the first half is right (mixtures of this kind: Robbins 1970;
// Ramdas, Grünwald, Vovk and Shafer 2023, Statistical Science 38, section 3).
//
// At half the limit it takes some 63 % of the fixed number of observations that has a
// power of 95 %, and decides in more than 99 % of all cases; against the fixed number of
// that power it takes less than half. No test with a power of 95 % takes less than 53 %: see WaldBound.
type Sequential struct {
	limit, threshold float64 // the limit of the rate of failures; log of the capital that decides
	upper            bool
	horizon          int
	n, failures      int
	decision         Decision
}

// NewSequential prepares a test of rate ≤ limit, or of rate ≥ limit where upper is
// false. After horizon observations it ends, decided or not; 0 is without end.
func NewSequential(limit, confidence float64, upper bool, horizon int) (*Sequential, error) {
	if err := errors.Join(checkLimit("a limit", limit), checkConfidence(confidence)); err != nil {
		return nil, err
	}
	if horizon < 0 || horizon > most {
		return nil, fmt.Errorf("a horizon of %d observations is not between 0 (none) and %d", horizon, most)
	}
	s := &Sequential{limit: limit, threshold: -math.Log(1 - confidence), upper: upper, horizon: horizon, decision: Continue}
	if !upper {
		s.limit = 1 - limit // of its complement, which is to be small
	}
	return s, nil
}

// Observe takes one more observation: whether what the rate counts happened. After
// a decision it changes nothing.
func (s *Sequential) Observe(success bool) Decision {
	if s.decision != Continue {
		return s.decision
	}
	s.n++
	if success == s.upper {
		s.failures++
	}
	s.decision = s.after(s.failures, s.n)
	return s.decision
}

// Decision is that of the observations so far.
func (s *Sequential) Decision() Decision { return s.decision }

// N is the number of observations that were taken into account.
func (s *Sequential) N() int { return s.n }

func (s *Sequential) after(failures, n int) Decision {
	switch {
	case s.good(failures, n):
		return Good
	case s.bad(failures, n):
		return Bad
	case n == s.horizon:
		return Exhausted
	}
	return Continue
}

func (s *Sequential) good(failures, n int) bool {
	return goodCapital(failures, n, s.limit) >= s.threshold
}

func (s *Sequential) bad(failures, n int) bool {
	return badCapital(failures, n, s.limit) >= s.threshold
}

// goodCapital is the log of what a stake of 1 against rates of the limit or more has become.
func goodCapital(failures, n int, limit float64) float64 {
	point := logRatio(failures, n, limit/2, limit)
	return logAdd(point, logUniformBelow(failures, n, limit)) - math.Ln2
}

// badCapital is that of a stake against rates of the limit or less.
func badCapital(failures, n int, limit float64) float64 {
	point := logRatio(failures, n, math.Min(2*limit, (1+limit)/2), limit)
	return logAdd(point, logUniformBelow(n-failures, n, 1-limit)) - math.Ln2
}

// logRatio is the log of the likelihood ratio of the rate q to the rate p.
func logRatio(successes, n int, q, p float64) float64 {
	return float64(successes)*math.Log(q/p) + float64(n-successes)*(math.Log1p(-q)-math.Log1p(-p))
}

// logUniformBelow is the log of the likelihood ratio to the rate p, averaged over the
// rates from 0 to p. For every true rate of at least p it is the capital of a bet
// that expects to gain nothing.
func logUniformBelow(successes, n int, p float64) float64 {
	s, f := float64(successes), float64(n-successes)
	area := mathext.RegIncBeta(s+1, f+1, p)
	return math.Log(area) + mathext.Lbeta(s+1, f+1) - (s+1)*math.Log(p) - f*math.Log1p(-p)
}

// Needed is how many more observations would decide if the rate observed so far
// stayed. It is false where none would, or none within the horizon.
func (s *Sequential) Needed() (more int, decides bool) {
	if s.decision == Good || s.decision == Bad {
		return 0, true
	}
	end := s.horizon
	if end == 0 {
		end = most
	}
	return needed(s.failures, s.n, end, s.limit, s.good, s.bad)
}

// needed looks ahead along the observed rate; counts are rounded toward the limit.
func needed(failures, n, end int, limit float64, good, bad func(failures, n int) bool) (int, bool) {
	if n == 0 {
		return 0, false
	}
	decided := func(total int) bool {
		whole, rest := failures*(total/n), failures*(total%n) // exact in 64 bits
		if failures < int(math.Ceil(limit*float64(n))) {
			return good(whole+(rest+n-1)/n, total)
		}
		return bad(whole+rest/n, total)
	}
	if total := firstInt(n, end, decided); total <= end {
		return total - n, true
	}
	return 0, false
}
