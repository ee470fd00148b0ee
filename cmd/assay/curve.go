package main

import (
	"math"
	"slices"

	"assay/internal/builtin"
	"assay/internal/method"
)

// curvePoint is the robust accuracy at an eps.
type curvePoint struct {
	Eps            float64 `json:"eps"`
	RobustAccuracy float64 `json:"robust_accuracy"`
}

// curveParts is how many equal parts of eps a curve has a point at the end of.
const curveParts = 20

// curve gives the robust accuracy at parts of eps, from the distances at which units are broken: infinite for those that are
// not, below 0 for those that the model gets wrong as they are.
func curve(distances []float64, eps float64) []curvePoint {
	out := make([]curvePoint, curveParts+1)
	for i := range out {
		out[i].Eps = eps * float64(i) / curveParts
		robust := 0
		for _, d := range distances {
			if d > out[i].Eps {
				robust++
			}
		}
		out[i].RobustAccuracy = float64(robust) / float64(len(distances))
	}
	return out
}

// addNearest adds to a report how far the nearest adversarial examples are, where all methods look for them.
func (r *attackReport) addNearest(methods []method.Method, results []method.Result) {
	for _, m := range methods {
		if !m.Describe().Minimal {
			return
		}
	}
	distances := make([]float64, len(results))
	for i, unit := range results {
		distances[i] = math.Inf(1)
		if !unit.Correct {
			distances[i] = -1
		}
		for _, m := range unit.Methods {
			if m.Nearest > 0 {
				r.Units[i].Nearest = &m.Nearest
				distances[i] = min(distances[i], m.Nearest)
			}
		}
	}
	r.Curve = curve(distances, r.Eps)
}

// medianNearest is the median over the units that the model gets right, infinite where most have none.
func (r *attackReport) medianNearest() float64 {
	var distances []float64
	for _, unit := range r.Units {
		switch {
		case unit.Nearest != nil:
			distances = append(distances, *unit.Nearest)
		case unit.Correct:
			distances = append(distances, math.Inf(1))
		}
	}
	if len(distances) == 0 {
		return math.Inf(1)
	}
	slices.Sort(distances)
	return distances[len(distances)/2]
}

// hold fixes what the attacker is held to: the norm asked for, the method's own, or its transformations.
func (f *attackFlags) hold(chosen []method.Method) error {
	norm, family, err := builtin.Budget(chosen[0], method.Norm(f.norm))
	if err != nil {
		return usagef("%v", err)
	}
	f.norm, f.family = string(norm), family
	return nil
}

// budget names what eps is of.
func (f *attackFlags) budget() method.Norm {
	if f.family != nil {
		return method.Norm(f.family.Name())
	}
	return method.Norm(f.norm)
}

// lessons is how many records, at most, methods learn from that do so before they attack.
const lessons = 1000

// divide gives the records to attack, and those to learn from where a method learns: then at most half of all are attacked.
func divide(order []int, n int, methods []method.Method) (attacked, learnt []int) {
	n = min(n, len(order))
	if slices.ContainsFunc(methods, func(m method.Method) bool { _, ok := m.(method.Learner); return ok }) {
		n = min(n, max(len(order)/2, 1))
		learnt = slices.Clone(order[n:min(n+lessons, len(order))])
	}
	attacked = slices.Clone(order[:n])
	slices.Sort(attacked)
	return attacked, learnt
}
