package stat

import (
	"fmt"
	"math"
)

// MeanSequence bounds the mean of numbers between 0 and 1 at all times, as
// ProportionSequence does a rate: the lower and the upper bound each hold with
// their confidence at all times together.
//
// It is the hedged capital process with predictable plug-in bets of Waudby-Smith
// and Ramdas (2023, Journal of the Royal Statistical Society B, 86, 1-27;
// arXiv:2010.09686, theorem 3 and equations 24 to 26), taken apart into its two
// sides: each bets with log(1/α) in place of log(2/α) and excludes a mean at a
// capital of 1/α. Bets are cut at c = 1/2. Means are excluded on a fixed grid that is as fine
// as standard deviations near 0 and 1 ask for, and bounds are rounded outward to it.
type MeanSequence struct {
	alpha   float64
	n       int
	sum     float64
	squares float64 // the sum of squared distances from the mean as known at the time
	above   []float64
	below   []float64 // capitals that bet on a mean above and below each point of the grid
	low     int       // of the points, that before which and that after which all
	high    int       // are excluded
}

// meanCells is what the grid of means divides 0 to 1 into.
const meanCells = 1024

// meanAt is a point of the grid: the steps are π/1024 standard deviations of a coin.
func meanAt(i int) float64 {
	s := math.Sin(math.Pi / 2 * float64(i) / meanCells)
	return s * s
}

// NewMeanSequence begins with the bounds 0 and 1.
func NewMeanSequence(confidence float64) (*MeanSequence, error) {
	if err := checkConfidence(confidence); err != nil {
		return nil, err
	}
	s := &MeanSequence{
		alpha: 1 - confidence,
		above: make([]float64, meanCells+1),
		below: make([]float64, meanCells+1),
		high:  meanCells,
	}
	for i := range s.above {
		s.above[i], s.below[i] = 1, 1
	}
	return s, nil
}

// Observe takes one more number. One that is not between 0 and 1 is an error, and
// leaves everything as it was.
func (s *MeanSequence) Observe(value float64) error {
	if !(value >= 0 && value <= 1) {
		return fmt.Errorf("observation %d is %v: it must be between 0 and 1", s.n+1, value)
	}
	s.n++
	t := float64(s.n)
	variance := (0.25 + s.squares) / t // of what came before: a bet knows no more
	bet := math.Sqrt(2 * math.Log(1/s.alpha) / (variance * t * math.Log(t+1)))
	s.raise(value, bet)
	s.lower(value, bet)
	s.sum += value
	distance := value - (0.5+s.sum)/(t+1)
	s.squares += distance * distance
	return nil
}

// raise moves the lower bound up. The capital falls as the point rises, so that what is
// excluded is all below some point. Every capital is kept up, as any may exclude later.
func (s *MeanSequence) raise(value, bet float64) {
	for i := s.low; i <= meanCells; i++ {
		m := meanAt(i)
		stake := bet
		if m > 0 {
			stake = math.Min(bet, 0.5/m)
		}
		s.above[i] *= 1 + stake*(value-m)
		if s.above[i] >= 1/s.alpha {
			s.low = i
		}
	}
}

func (s *MeanSequence) lower(value, bet float64) {
	for i := s.high; i >= 0; i-- {
		m := meanAt(i)
		stake := bet
		if m < 1 {
			stake = math.Min(bet, 0.5/(1-m))
		}
		s.below[i] *= 1 - stake*(value-m)
		if s.below[i] >= 1/s.alpha {
			s.high = i
		}
	}
}

// Interval gives the bounds so far, each one-sided. A lower bound above the upper means
// what it does for ProportionSequence.
func (s *MeanSequence) Interval() Interval {
	return Interval{meanAt(s.low), meanAt(s.high)}
}
