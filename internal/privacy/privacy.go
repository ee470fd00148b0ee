// Package privacy accounts for differential privacy: which (ε, δ) a training by DP-SGD
// has, proven before it runs. It is arithmetic alone.
//
// Two trainings are neighbours where one has one record more (add or remove), and batches are
// drawn by Poisson sampling: each record is in each batch with the same probability, by itself. A training
// that shuffles and walks through its records has no such proof (Chua et al. 2024, arXiv:2403.17673).
package privacy

import (
	"errors"
	"fmt"
	"math"
)

// Mechanism is DP-SGD (Abadi et al. 2016, arXiv:1607.00133, Algorithm 1): each step adds the
// gradients of a Poisson sample, each clipped to a norm C, and noise of deviation NoiseMultiplier·C.
type Mechanism struct {
	SampleRate      float64 `json:"sample-rate"`      // the chance of a record to be in a batch; above 0, at most 1
	NoiseMultiplier float64 `json:"noise-multiplier"` // above 0
	Steps           int     `json:"steps"`            // at least 1
}

// The limits of what is computed. Beyond them nobody trains, and numbers lose their precision.
const (
	leastNoise = 0.2
	mostNoise  = 1e4
	leastRate  = 1e-9
	mostSteps  = 1e9
)

func (m Mechanism) validate() error {
	switch {
	case !(m.SampleRate >= leastRate && m.SampleRate <= 1):
		return fmt.Errorf("a sample rate of %g: give the share of records in a batch, from %g to 1", m.SampleRate, leastRate)
	case !(m.NoiseMultiplier >= leastNoise && m.NoiseMultiplier <= mostNoise):
		return fmt.Errorf("a noise multiplier of %g: give from %g to %g", m.NoiseMultiplier, leastNoise, mostNoise)
	case m.Steps < 1 || m.Steps > mostSteps:
		return fmt.Errorf("%d steps: give from 1 to %g", m.Steps, mostSteps)
	}
	return nil
}

func validateDelta(delta float64) error {
	if !(delta >= 1e-15 && delta < 1) {
		return fmt.Errorf("a delta of %g: give from 1e-15 to less than 1, and far less than 1 divided by the number of records", delta)
	}
	return nil
}

// NoiseFor gives the least noise multiplier, to a part in 10,000, with which a training of steps at a
// sample rate is (epsilon, delta)-private.
func NoiseFor(sampleRate float64, steps int, epsilon, delta float64) (float64, error) {
	if !(epsilon > 0 && epsilon < 1e3) {
		return 0, fmt.Errorf("an epsilon of %g: give from above 0 to 1000", epsilon)
	}
	private := func(noise float64) (bool, error) {
		got, err := Epsilon(Mechanism{sampleRate, noise, steps}, delta)
		return got <= epsilon, err
	}
	low, high := leastNoise, 1.0
	for {
		ok, err := private(high)
		if err != nil {
			return 0, err
		}
		if ok {
			break
		}
		if low, high = high, 2*high; high > mostNoise {
			return 0, errors.New("no noise up to a multiplier of 10,000 makes it that private: ask for less, or for fewer steps")
		}
	}
	for high-low > 1e-4*high {
		middle := math.Sqrt(low * high)
		ok, err := private(middle)
		if err != nil {
			return 0, err
		}
		if ok {
			high = middle
		} else {
			low = middle
		}
	}
	return high, nil
}
