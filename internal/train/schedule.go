package train

import (
	"fmt"
	"math"
)

// Schedule is how the learning rate changes over a training.
type Schedule struct {
	Kind   ScheduleKind
	Warmup float64   // the part of the training, 0 to 1, in which the rate rises from 0 (OneCycle: to its top; 0 is 0.3)
	Drops  []float64 // for StepDown: after which parts of the training the rate drops; nil is at 1/2 and 3/4
	Factor float64   // for StepDown: what is left of the rate at each drop; 0 is 0.1
}

// ScheduleKind is the form of a schedule.
type ScheduleKind string

// The forms of schedules.
const (
	Constant ScheduleKind = "constant"
	// StepDown multiplies the rate by Factor at each of Drops.
	StepDown ScheduleKind = "step"
	// Cosine falls to 0 along half a cosine: Loshchilov and Hutter (2016,
	// arXiv:1608.03983, equation 5) without restarts.
	Cosine ScheduleKind = "cosine"
	// OneCycle rises from 1/25 of the rate and falls to 1/10000 of that, both along
	// half a cosine: Smith and Topin (2017, arXiv:1708.07120) in the form of fastai,
	// with the momentum kept.
	OneCycle ScheduleKind = "one-cycle"
)

func (s Schedule) check() error {
	switch s.Kind {
	case "", Constant, StepDown, Cosine, OneCycle:
	default:
		return fmt.Errorf("there is no schedule %q: use %s, %s, %s or %s", s.Kind, Constant, StepDown, Cosine, OneCycle)
	}
	if !(s.Warmup >= 0 && s.Warmup < 1) {
		return fmt.Errorf("a warm-up over %v of the training is not between 0 and 1", s.Warmup)
	}
	if !(s.Factor >= 0 && s.Factor <= 1) {
		return fmt.Errorf("a rate cannot drop to %v of itself: give 0 to 1", s.Factor)
	}
	return nil
}

// At is what the rate is multiplied by at a step, the first being 0, of so many.
func (s Schedule) At(step, steps int) float64 {
	done := float64(step) / float64(max(steps, 1))
	warmup := s.Warmup
	if s.Kind == OneCycle {
		if warmup == 0 {
			warmup = 0.3
		}
		const start, end = 1.0 / 25, 1.0 / 25e4
		if done < warmup {
			return between(start, 1, done/warmup)
		}
		return between(1, end, (done-warmup)/(1-warmup))
	}
	if done < warmup {
		// So that the first step is not lost, it is counted as done.
		return min((float64(step)+1)/(warmup*float64(steps)), 1)
	}
	switch s.Kind {
	case StepDown:
		return s.stepped(done)
	case Cosine:
		return between(1, 0, (done-warmup)/(1-warmup))
	}
	return 1
}

func (s Schedule) stepped(done float64) float64 {
	drops, factor := s.Drops, s.Factor
	if drops == nil {
		drops = []float64{0.5, 0.75}
	}
	if factor == 0 {
		factor = 0.1
	}
	rate := 1.0
	for _, at := range drops {
		if done >= at {
			rate *= factor
		}
	}
	return rate
}

// between goes from one number to another along half a cosine.
func between(from, to, part float64) float64 {
	return to + (from-to)*(1+math.Cos(math.Pi*min(part, 1)))/2
}
