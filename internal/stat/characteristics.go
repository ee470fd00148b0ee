package stat

import (
	"errors"
	"math"
)

// Characteristics are what a sequential plan does at one true rate.
type Characteristics struct {
	Good, Bad, Undecided float64 // the probabilities of how it ends
	MeanN                float64 // the expected number of observations
}

// Characteristics are computed exactly, by carrying the probability of each count
// from one observation to the next up to the horizon, which there must be.
func (s *Sequential) Characteristics(rate float64) (Characteristics, error) {
	if !(rate >= 0 && rate <= 1) {
		return Characteristics{}, errors.New("a rate must be between 0 and 1")
	}
	if s.horizon == 0 || s.horizon > 100_000 {
		return Characteristics{}, errors.New("what a plan does is computed for a horizon of 1 to 100000 observations")
	}
	p := rate
	if !s.upper {
		p = 1 - rate
	}
	var c Characteristics
	good, bad := -1, 1 // the largest count that is good, the smallest that is bad
	alive := []float64{1}
	from := 0 // the count of alive[0]
	for n := 1; n <= s.horizon && len(alive) > 0; n++ {
		for _, mass := range alive {
			c.MeanN += mass
		}
		alive = append(alive, 0)
		for i := len(alive) - 1; i >= 0; i-- {
			stays := alive[i] * (1 - p)
			if i > 0 {
				stays += alive[i-1] * p
			}
			alive[i] = stays
		}
		for good+1 <= n && s.good(good+1, n) {
			good++
		}
		for bad <= n && !s.bad(bad, n) {
			bad++
		}
		for len(alive) > 0 && (from <= good || alive[0] == 0) {
			c.Good += alive[0]
			alive, from = alive[1:], from+1
		}
		for last := len(alive) - 1; last >= 0 && from+last >= bad; last-- {
			c.Bad += alive[last]
			alive = alive[:last]
		}
	}
	for _, mass := range alive {
		c.Undecided += mass
	}
	return c, nil
}

// WaldBound is a lower bound of the expected number of observations at the rate
// assumed of any test, sequential or not, that declares the rate to be on the right
// side of the limit with a probability of at most alpha at the limit and of at least power
// at the assumed rate (Wald and Wolfowitz 1948, Annals of Mathematical Statistics 19, 326-339).
func WaldBound(limit, assumed, alpha, power float64) (float64, error) {
	if err := errors.Join(checkLimit("a limit", limit), checkLimit("an assumed rate", assumed),
		checkLimit("an error rate", alpha), checkLimit("a power", power)); err != nil {
		return 0, err
	}
	if assumed == limit {
		return 0, errors.New("the assumed rate is the limit: no number of observations tells them apart")
	}
	if power <= alpha {
		return 0, nil
	}
	return divergence(power, alpha) / divergence(assumed, limit), nil
}

// divergence is Kullback and Leibler's of a coin of the rate q from one of the rate p.
func divergence(q, p float64) float64 {
	d := 0.0
	if q > 0 {
		d += q * math.Log(q/p)
	}
	if q < 1 {
		d += (1 - q) * (math.Log1p(-q) - math.Log1p(-p))
	}
	return d
}
