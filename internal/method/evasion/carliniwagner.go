package evasion

import (
	"context"
	"math"
	"slices"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
)

// CarliniWagner looks for the nearest adversarial example in L2 (Carlini and Wagner 2017, arXiv:1608.04644, section VI-A):
// it minimises ‖δ‖² + c·max(Z(x)_label - max Z(x)_other, 0) by Adam over w, where x = tanh(w) fills the limits of
// each number, and finds the least c that succeeds by a binary search. The constants are those of the authors' program.
//
// Departures: lengths are in parts of the usual width of the domain, as the paper's images have the width 1. Numbers
// without limits are moved as they are. Whole numbers are rounded before the model is asked, and take the slope found there;
// categories stay as they are.
type CarliniWagner struct {
	Steps    int // of Adam for each constant, at least 1; 10,000 in the authors' program, which ends when they lead no further
	Searches int // constants that are tried, at least 1; 9 there
}

// Describe tells what the method is.
func (m CarliniWagner) Describe() method.Description {
	return method.Description{
		Name: "cw", Access: assay.Gradients, Iterative: true, Minimal: true, Norms: []method.Norm{method.L2},
		Settings:  []method.Setting{{Name: "steps", Value: float64(m.Steps)}, {Name: "searches", Value: float64(m.Searches)}},
		Reference: "Carlini and Wagner 2017 (arXiv:1608.04644), section VI-A",
	}
}

// Perturb makes all its searches.
func (m CarliniWagner) Perturb(ctx context.Context, u method.Unit) error {
	c, s := newConstant(), newTanhSearch(u)
	for range m.Searches {
		found, err := s.descend(ctx, c.value, m.Steps)
		if err != nil {
			return err
		}
		c.next(found)
	}
	return nil
}

// constant is the search for the least constant that succeeds: ten times as large until one does, and then by halves.
type constant struct{ value, low, high float64 }

func newConstant() *constant { return &constant{value: 1e-3, high: math.Inf(1)} }

func (c *constant) next(found bool) {
	if found {
		c.high = min(c.high, c.value)
	} else {
		c.low = max(c.low, c.value)
	}
	if c.value = (c.low + c.high) / 2; math.IsInf(c.high, 1) {
		c.value = c.low * 10
	}
}

// tanhSearch is the search of one unit. Its slices have one entry for each number that may change.
type tanhSearch struct {
	unit        method.Unit
	wide        method.Space // the unit's without a limit to the perturbation
	free        []int
	unitLength  float64 // what counts as 1, in the domain's scale
	middle      []float64
	half        []float64 // of the width; infinite where there are no limits
	start, w    []float64
	first, sqrs []float64 // Adam's means of the slope and of its square
}

func newTanhSearch(u method.Unit) *tanhSearch {
	s := &tanhSearch{unit: u, wide: *u.Space()}
	s.wide.Eps = math.Inf(1)
	s.free, _ = changeable(&s.wide)
	s.unitLength = usualWidth(&s.wide, s.free)
	d, clean := s.wide.Domain, u.Clean()
	n := len(s.free)
	s.middle, s.half, s.start = make([]float64, n), make([]float64, n), make([]float64, n)
	for i, j := range s.free {
		low, high := float64(min(d.Low[j], clean[j])), float64(max(d.High[j], clean[j]))
		s.middle[i], s.half[i] = low/2+high/2, high/2-low/2
		if math.IsInf(s.half[i], 0) {
			s.middle[i], s.half[i] = float64(clean[j]), math.Inf(1)
			continue
		}
		s.start[i] = math.Atanh((float64(clean[j]) - s.middle[i]) / s.half[i] * 0.999999) // as in the authors' program
	}
	return s
}

// rounded rounds what is to be whole to the nearest, and brings the row into the space.
func rounded(s *method.Space, x []float32) {
	for j, whole := range s.Domain.Integer {
		if whole && x[j] != s.Clean[j] {
			x[j] = float32(math.Round(float64(x[j])))
		}
	}
	s.Project(x)
}

// usualWidth is the median width of some numbers' limits in the domain's scale, 1 where most have no limits.
func usualWidth(s *method.Space, free []int) float64 {
	var widths []float64
	for _, j := range free {
		widths = append(widths, (float64(s.Domain.High[j])-float64(s.Domain.Low[j]))/float64(s.Domain.Scale[j]))
	}
	slices.Sort(widths)
	if len(widths) == 0 || math.IsInf(widths[len(widths)/2], 0) {
		return 1
	}
	return widths[len(widths)/2]
}

// The constants of Adam (Kingma and Ba 2015), with the step of the authors' program.
const (
	adamStep  = 0.01
	adamMean  = 0.9
	adamSqrs  = 0.999
	adamLeast = 1e-8
)

// descend minimises for one constant, from the clean input, and tells whether it met an adversarial example.
func (s *tanhSearch) descend(ctx context.Context, c float64, steps int) (found bool, err error) {
	s.w = slices.Clone(s.start)
	s.first, s.sqrs = make([]float64, len(s.w)), make([]float64, len(s.w))
	before := math.Inf(1)
	for k := 1; k <= steps; k++ {
		x, rate := s.point()
		g, err := s.unit.Gradient(ctx, model.Margin, 0, x)
		if err != nil {
			return found, err
		}
		found = found || g.Loss > 0
		loss := s.step(k, c, x, rate, g)
		if k%max(steps/10, 1) == 0 {
			if loss > before*0.9999 {
				break
			}
			before = loss
		}
	}
	return found, nil
}

// point is the row at w, and by how much each number moves with its w.
func (s *tanhSearch) point() (x []float32, rate []float64) {
	x, rate = slices.Clone(s.unit.Clean()), make([]float64, len(s.w))
	for i, j := range s.free {
		if math.IsInf(s.half[i], 0) {
			rate[i] = s.unitLength * float64(s.wide.Domain.Scale[j])
			x[j] = float32(s.middle[i] + rate[i]*s.w[i])
			continue
		}
		t := math.Tanh(s.w[i])
		x[j], rate[i] = float32(s.middle[i]+s.half[i]*t), s.half[i]*(1-t*t)
	}
	rounded(&s.wide, x)
	return x, rate
}

// step is the k-th of Adam, and gives the loss at x.
func (s *tanhSearch) step(k int, c float64, x []float32, rate []float64, g method.Gradient) float64 {
	sum := 0.0
	for i, j := range s.free {
		unit := s.unitLength * float64(s.wide.Domain.Scale[j])
		moved := (float64(x[j]) - float64(s.wide.Clean[j])) / unit
		slope := 2 * moved / unit
		if g.Loss < 0 {
			slope -= c * float64(g.Slope[j])
		}
		slope *= rate[i]
		sum += moved * moved
		s.first[i] = adamMean*s.first[i] + (1-adamMean)*slope
		s.sqrs[i] = adamSqrs*s.sqrs[i] + (1-adamSqrs)*slope*slope
		mean, sqr := s.first[i]/(1-math.Pow(adamMean, float64(k))), s.sqrs[i]/(1-math.Pow(adamSqrs, float64(k)))
		s.w[i] -= adamStep * mean / (math.Sqrt(sqr) + adamLeast)
	}
	return sum + c*max(-float64(g.Loss), 0)
}
