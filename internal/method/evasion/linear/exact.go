package linear

import (
	"cmp"
	"math"
	"slices"

	"assay/internal/method"
)

// Relaxed is the domain without what has no closed form here: numbers need not be whole,
// one-hot groups stay as they are, and relations do not bind. The answers are exact for it.
func Relaxed(d *method.Domain) *method.Domain {
	fixed := make([]bool, len(d.Low))
	copy(fixed, d.Fixed)
	for _, g := range d.Groups {
		for i := g.Start; i < g.End; i++ {
			fixed[i] = true
		}
	}
	return &method.Domain{Low: d.Low, High: d.High, Scale: d.Scale, Fixed: fixed, Image: d.Image}
}

// Margin is the largest lead over a class that an attacker within a space can give to
// any other class, on a domain as Relaxed gives it. The unit can be broken exactly where
// it is above 0.
//
// A lead is linear in the row, so its largest value lies where the space ends. With
// Linf every number goes to the end of its own interval. With L2 the numbers are
// clip(v/λ, low, high) by the Karush-Kuhn-Tucker conditions, v being the weights in
// units of the scale and λ the multiplier at which the length is eps; it is found by bisection.
// With L1 the numbers of the largest weights go to the ends of their limits, one after the other, and with L0
// the pixels do that gain most.
func (c *Classifier) Margin(s *method.Space, class int) float64 {
	best := math.Inf(-1)
	for k := range c.Classes {
		if k != class {
			best = max(best, c.lead(s, class, k))
		}
	}
	return best
}

// Limit is the eps from which on a unit can be broken: infinite where it cannot within the
// eps of the space.
func (c *Classifier) Limit(s *method.Space, class int) float64 {
	scores, limit := c.Scores(s.Clean), math.Inf(1)
	for k := range c.Classes {
		if k == class {
			continue
		}
		whole := *s
		whole.Eps = math.Inf(1)
		if eps := c.move(&whole, class, k).limit(s.Norm, scores[class]-scores[k]); eps <= s.Eps {
			limit = min(limit, eps)
		}
	}
	return limit
}

// lead is the largest lead of class k over another.
func (c *Classifier) lead(s *method.Space, over, k int) float64 {
	scores, m := c.Scores(s.Clean), c.move(s, over, k)
	return scores[k] - scores[over] + m.within(s.Norm, s.Eps)
}

// move is how a perturbation changes the lead of class k over another, and its limits, those of the domain.
func (c *Classifier) move(s *method.Space, over, k int) *move {
	d := s.Domain
	m := &move{slope: make([]float64, c.Width), low: make([]float64, c.Width), high: make([]float64, c.Width)}
	for j := range m.slope {
		if d.Fixed != nil && d.Fixed[j] {
			continue
		}
		scale, x := float64(d.Scale[j]), float64(s.Clean[j])
		m.slope[j] = (c.weights(k)[j] - c.weights(over)[j]) * scale
		m.low[j] = min((float64(d.Low[j])-x)/scale, 0)
		m.high[j] = max((float64(d.High[j])-x)/scale, 0)
	}
	switch s.Norm {
	case method.L1:
		m.pieces = m.numbers()
	case method.L0:
		m.pieces = m.pixels(d)
	}
	return m
}

// move is a linear function of a perturbation within a box, in units of the scale.
type move struct {
	slope, low, high []float64
	pieces           []piece // of L1 and L0: those that gain most for their length first
}

// piece is a length that a perturbation can have, and what each 1 of it gains. In L0 it cannot have a part of it.
type piece struct{ length, rate float64 }

// numbers are the pieces of L1.
func (m *move) numbers() (pieces []piece) {
	order := make([]int, len(m.slope))
	for j := range order {
		order[j] = j
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(math.Abs(m.slope[b]), math.Abs(m.slope[a])) })
	for _, j := range order {
		u := m.high[j]
		if m.slope[j] < 0 {
			u = m.low[j]
		}
		if m.slope[j] != 0 && u != 0 {
			pieces = append(pieces, piece{math.Abs(u), math.Abs(m.slope[j])})
		}
	}
	return pieces
}

// pixels are the pieces of L0.
func (m *move) pixels(d *method.Domain) (pieces []piece) {
	gains := make([]float64, len(m.slope))
	for j, v := range m.slope {
		if v != 0 {
			gains[d.Pixel(j)] += max(v*m.high[j], v*m.low[j])
		}
	}
	slices.SortFunc(gains, func(a, b float64) int { return cmp.Compare(b, a) })
	for _, g := range gains {
		pieces = append(pieces, piece{1, g})
	}
	return pieces
}

// end gives the length of the best perturbation at a multiplier, and what it gains. At 0
// every number that matters is at its limit.
func (m *move) end(lambda float64) (length, gain float64) {
	square := 0.0
	for j, v := range m.slope {
		if v == 0 {
			continue
		}
		u := m.high[j]
		if v < 0 {
			u = m.low[j]
		}
		if lambda > 0 {
			u = min(max(v/lambda, m.low[j]), m.high[j])
		}
		square += u * u
		gain += u * v
	}
	return math.Sqrt(square), gain
}

// multiplier finds the one at which the length is eps, 0 where the box ends before the ball.
func (m *move) multiplier(eps float64) float64 {
	if length, _ := m.end(0); length <= eps || eps <= 0 {
		return 0
	}
	largest := 0.0
	for _, v := range m.slope {
		largest += v * v
	}
	low, high := 0.0, math.Sqrt(largest)/eps // there the length is at most eps
	for range 200 {
		mid := (low + high) / 2
		if length, _ := m.end(mid); length > eps {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// limit is the least length, in a norm, of a perturbation that gains more than what is needed.
func (m *move) limit(norm method.Norm, needed float64) float64 {
	if _, most := m.end(0); most <= needed {
		return math.Inf(1)
	}
	if needed < 0 {
		return 0
	}
	if norm == method.L2 {
		// Every multiplier gives the perturbation that gains most at its length.
		lambda := bisect(func(lambda float64) bool { _, gain := m.end(lambda); return gain <= needed })
		length, _ := m.end(lambda)
		return length
	}
	return bisect(func(eps float64) bool { return m.within(norm, eps) > needed })
}

// within is the most that can be gained by a perturbation of at most eps.
func (m *move) within(norm method.Norm, eps float64) (gain float64) {
	switch norm {
	case method.L2:
		_, gain = m.end(m.multiplier(eps))
	case method.Linf:
		for j, v := range m.slope {
			gain += max(v*min(m.high[j], eps), v*max(m.low[j], -eps))
		}
	default:
		for _, p := range m.pieces {
			length := min(p.length, eps)
			if length < p.length && norm == method.L0 || length == 0 {
				break
			}
			gain, eps = gain+p.rate*length, eps-length
		}
	}
	return gain
}

// bisect finds the least positive number of which something holds that holds from there on.
func bisect(holds func(float64) bool) float64 {
	low, high := 0.0, 1.0
	for !holds(high) && high < 1e300 {
		low, high = high, 2*high
	}
	for range 100 {
		if mid := (low + high) / 2; holds(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

// Median is the median of the finite limits, and false where there are none.
func Median(limits []float64) (float64, bool) {
	finite := slices.DeleteFunc(slices.Clone(limits), func(v float64) bool { return math.IsInf(v, 0) })
	if len(finite) == 0 {
		return 0, false
	}
	slices.Sort(finite)
	return finite[len(finite)/2], true
}
