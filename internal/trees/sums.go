package trees

import (
	"math"
	"slices"
)

// start is the sums of no trees.
func (e *Ensemble) start() []float64 {
	out := make([]float64, e.targets)
	for k := range out {
		switch e.by {
		case smallest:
			out[k] = math.Inf(1)
		case largest:
			out[k] = math.Inf(-1)
		}
	}
	return out
}

// join gives the sums of two groups of trees together.
func (e *Ensemble) join(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for k := range out {
		switch e.by {
		case smallest:
			out[k] = min(a[k], b[k])
		case largest:
			out[k] = max(a[k], b[k])
		default:
			out[k] = a[k] + b[k]
		}
	}
	return out
}

// sums are those of a row, in float64.
func (e *Ensemble) sums(x []float32) []float64 {
	total, one := e.start(), make([]float64, e.targets)
	for _, t := range e.trees {
		copy(one, e.start())
		for _, w := range t[t.leafOf(x)].weights {
			one[w.target] = float64(w.value)
			if e.by == average {
				one[w.target] /= float64(len(e.trees))
			}
		}
		total = e.join(total, one)
	}
	return final(total)
}

// final is sums of all trees: 0 where no leaf has contributed.
func final(sums []float64) []float64 {
	out := slices.Clone(sums)
	for k, v := range out {
		if math.IsInf(v, 0) {
			out[k] = 0
		}
	}
	return out
}
