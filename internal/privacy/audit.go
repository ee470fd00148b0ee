package privacy

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// AuditEpsilon gives an ε that a training does not have, with a confidence: a lower bound on its
// true ε at δ, from one run (Steinke, Nasr and Jagielski 2023, arXiv:2305.08846, Theorem 5.2 and
// appendix D). Each of so many canaries was put into the training data or left out by a fair coin
// of its own; an attacker who saw what the training gave guessed the coins of some, and was
// correct about so many of them. It is 0 where they prove nothing.
func AuditEpsilon(canaries, guesses, correct int, delta, confidence float64) (float64, error) {
	switch {
	case canaries < 1 || guesses < 0 || guesses > canaries || correct < 0 || correct > guesses:
		return 0, fmt.Errorf("%d canaries, %d guesses of which %d are correct: no more can be guessed than there are, nor be correct than were guessed", canaries, guesses, correct)
	case !(delta >= 0 && delta < 1):
		return 0, fmt.Errorf("a delta of %g: give from 0 to less than 1", delta)
	case !(confidence > 0 && confidence < 1):
		return 0, fmt.Errorf("a confidence of %g: give between 0 and 1", confidence)
	}
	refuted := func(epsilon float64) bool {
		return auditP(canaries, guesses, correct, epsilon, delta) <= 1-confidence
	}
	if !refuted(0) {
		return 0, nil
	}
	low, high := 0.0, 1.0
	for refuted(high) {
		if low, high = high, 2*high; high > 1024 {
			return low, nil
		}
	}
	for high-low > 1e-9*max(high, 1) {
		if middle := (low + high) / 2; refuted(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low, nil
}

// auditP bounds the chance that an (ε, δ)-private training lets so many guesses be correct.
func auditP(canaries, guesses, correct int, epsilon, delta float64) float64 {
	b := distuv.Binomial{N: float64(guesses), P: 1 / (1 + math.Exp(-epsilon))}
	atLeast := 1.0 // the chance of so many correct guesses where δ is 0
	if correct > 0 {
		atLeast = b.Survival(float64(correct) - 1)
	}
	if delta == 0 {
		return min(atLeast, 1)
	}
	// With δ, i more than were by chance may be: at the cost that is worst over i.
	worst, sum := 0.0, 0.0
	for i := 1; i <= correct; i++ {
		sum += b.Prob(float64(correct - i))
		worst = max(worst, sum/float64(i))
	}
	return min(atLeast+2*float64(canaries)*delta*worst, 1)
}
