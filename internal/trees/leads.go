package trees

import "math"

// lead is by how much one class is ahead of the label, as the sums tell: a linear function of them. Where it is
// above the margin that class is ahead whatever rounding does, and where it is below the margin's opposite the label is.
type lead struct {
	plus, minus int // the targets whose sums count for the rival and for the label; -1 for none
	constant    float64
	margin      float64 // infinite where the sums alone do not tell
}

func (l *lead) of(sums []float64) float64 {
	v := l.constant
	if l.plus >= 0 {
		v += sums[l.plus]
	}
	if l.minus >= 0 {
		v -= sums[l.minus]
	}
	return v
}

// leads gives the leads of the other classes over a label.
//
// The margin is that of rounding and of what becomes of the sums. A sum of n numbers in float32, in whatever order, is
// off by at most (n−1)·u/(1−(n−1)·u) of the sum of their magnitudes, u being 2⁻²⁴ (Higham 2002, Accuracy and Stability of
// Numerical Algorithms, section 4.2); base value and division add two roundings. Transforms keep the order of sums that
// are further apart than what their own rounding can make equal, or else tell nothing.
func (e *Ensemble) leads(label int) []lead {
	single, threshold, tolerance := e.meaning()
	bounds := e.rounding()
	if single >= 0 {
		l := lead{plus: single, minus: -1, constant: -threshold, margin: bounds[single] + tolerance}
		if label == 1 {
			l = lead{plus: -1, minus: single, constant: threshold, margin: l.margin}
		}
		return []lead{l}
	}
	var out []lead
	for k := range e.targets {
		if k != label {
			out = append(out, lead{plus: k, minus: label, constant: e.baseOf(k) - e.baseOf(label), margin: bounds[k] + bounds[label] + tolerance})
		}
	}
	return out
}

// baseOf is what is added to a target's sum, of several that are compared.
func (e *Ensemble) baseOf(k int) float64 {
	if len(e.base) != e.targets {
		if e.classifier && len(e.base) == 1 && k == 0 {
			return float64(e.base[0])
		}
		return 0
	}
	return float64(e.base[k])
}

// meaning tells by which sum alone the second of two classes wins, and above what; or -1 where sums are
// compared with each other. The tolerance is how far sums must be apart for what is made of them to be.
func (e *Ensemble) meaning() (single int, threshold, tolerance float64) {
	vague := math.Inf(1)
	if e.targets == 1 {
		if e.post == probit {
			return 0, 0, vague
		}
		base := e.baseOf(0)
		if e.after == "Sigmoid" {
			return 0, -base, 1e-4
		}
		return 0, -base, 1e-30
	}
	if e.post == probit || e.post == softmaxZero {
		return -1, 0, vague
	}
	if !e.classifier || e.targets > 2 {
		return -1, 0, e.tolerance()
	}
	first, second, dense := e.weighs()
	switch {
	case !dense: // which case the runtime takes depends on the leaves
		return -1, 0, vague
	case len(e.base) == 2 && !second:
		return -1, 0, vague // only one of the two base values counts
	case len(e.base) == 2 && !first:
		return -1, 0, vague // no sum counts
	case len(e.base) == 2:
		return 0, -float64(e.base[1]), 1e-5 + e.tolerance()
	case second && !first && len(e.base) == 1:
		return -1, 0, vague // its base value does not count
	case second:
		return -1, 0, e.tolerance()
	case e.post == logistic:
		return 0, -e.baseOf(0), 2e-6
	case e.allPositive:
		return 0, 0.5 - e.baseOf(0), 2e-6
	}
	return 0, -e.baseOf(0), 1e-30
}

// weighs tells which of two classes the leaves weigh, and whether all of them do alike.
func (e *Ensemble) weighs() (first, second, alike bool) {
	alike = true
	started := false
	for _, t := range e.trees {
		for i := range t {
			if t[i].mode != leaf {
				continue
			}
			var has [2]bool
			for _, w := range t[i].weights {
				has[w.target] = true
			}
			if !started {
				first, second, started = has[0], has[1], true
			}
			alike = alike && has == [2]bool{first, second}
		}
	}
	return first, second, alike && (first || second)
}

// tolerance is how far sums of several classes must be apart so that their transforms are too.
func (e *Ensemble) tolerance() float64 {
	switch {
	case e.post == softmax || e.after == "Softmax":
		return 1e-5
	case e.post != logistic:
		return 1e-30
	}
	// The slope of the logistic function is at least exp(-s)/4 within s of 0, and its values are 2⁻²³ apart.
	largest := 0.0
	for k, s := range e.magnitudes() {
		largest = max(largest, s+math.Abs(e.baseOf(k)))
	}
	if largest > 12 {
		return math.Inf(1)
	}
	return 4e-6 * math.Exp(largest)
}

// magnitudes is the largest that each target's sum can be.
func (e *Ensemble) magnitudes() []float64 {
	out := make([]float64, e.targets)
	most := make([]float64, e.targets)
	for _, t := range e.trees {
		clear(most)
		for i := range t {
			for _, w := range t[i].weights {
				most[w.target] = max(most[w.target], math.Abs(float64(w.value)))
			}
		}
		for k, m := range most {
			switch e.by {
			case sum:
				out[k] += m
			case average:
				out[k] += m / float64(len(e.trees))
			default:
				out[k] = max(out[k], m)
			}
		}
	}
	return out
}

// rounding bounds by how much each target's sum, with its base value, can be off.
func (e *Ensemble) rounding() []float64 {
	out := e.magnitudes()
	for k := range out {
		base := 0.0
		for _, b := range e.base {
			base = max(base, math.Abs(float64(b)))
		}
		n := float64(len(e.trees)) + 4
		if e.by == smallest || e.by == largest {
			n = 4
		}
		u := 0x1p-24
		out[k] = 1.01*n*u/(1-n*u)*(out[k]+base) + n*0x1p-125
	}
	return out
}
