package evasion

import (
	"context"
	"math"
	"slices"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
)

// EAD looks for the nearest adversarial example in L1, by an elastic net (Chen et al. 2018, arXiv:1709.04114, Algorithm 1): it
// minimises c·max(Z(x)_label - max Z(x)_other, 0) + ‖δ‖² + β‖δ‖₁ by iterative shrinkage and thresholding with momentum (FISTA), and finds the
// least c that succeeds by a binary search. The constants are those of the authors' program. Its rule for the example that counts is by
// the elastic net's length (EN); the harness besides remembers the nearest in L1 of all.
//
// Departures: lengths are in parts of the usual width of the domain, as the paper's images have the width 1. Whole numbers are
// rounded before the model is asked, and take the slope found there; categories stay as they are.
type EAD struct {
	Steps    int     // for each constant, at least 1; 1000 in the authors' program
	Searches int     // constants that are tried, at least 1; 9 there
	Beta     float64 // β, above 0: 0.001 there
}

// eadStep is the first step; the k-th of n is √(1-k/n) times as long.
const eadStep = 0.01

// Describe tells what the method is.
func (m EAD) Describe() method.Description {
	return method.Description{
		Name: "ead", Access: assay.Gradients, Iterative: true, Minimal: true, Norms: []method.Norm{method.L1},
		Settings: []method.Setting{
			{Name: "steps", Value: float64(m.Steps)}, {Name: "searches", Value: float64(m.Searches)}, {Name: "beta", Value: m.Beta},
		},
		Reference: "Chen et al. 2018 (arXiv:1709.04114), Algorithm 1",
	}
}

// Perturb makes all its searches.
func (m EAD) Perturb(ctx context.Context, u method.Unit) error {
	c, s := newConstant(), newElasticNet(u, m.Beta)
	for range m.Searches {
		found, err := s.descend(ctx, c.value, m.Steps)
		if err != nil {
			return err
		}
		c.next(found)
	}
	return nil
}

// elasticNet is the search of one unit. Perturbations have one entry for each number that may change, in units of the usual width.
type elasticNet struct {
	unit      method.Unit
	wide      method.Space // the unit's without a limit to the perturbation
	free      []int
	beta      float64
	size      []float64 // what a perturbation of 1 is, in the data's own units
	low, high []float64 // limits of perturbations
}

func newElasticNet(u method.Unit, beta float64) *elasticNet {
	s := &elasticNet{unit: u, wide: *u.Space(), beta: beta}
	s.wide.Eps = math.Inf(1)
	s.free, _ = changeable(&s.wide)
	width, d := usualWidth(&s.wide, s.free), s.wide.Domain
	for _, j := range s.free {
		size, clean := width*float64(d.Scale[j]), u.Clean()[j]
		s.size = append(s.size, size)
		s.low = append(s.low, (float64(min(d.Low[j], clean))-float64(clean))/size)
		s.high = append(s.high, (float64(max(d.High[j], clean))-float64(clean))/size)
	}
	return s
}

// descend minimises for one constant, from the clean input, and tells whether it met an adversarial example.
func (s *elasticNet) descend(ctx context.Context, c float64, steps int) (found bool, err error) {
	at, ahead := make([]float64, len(s.free)), make([]float64, len(s.free)) // x and y of the algorithm
	for k := range steps {
		g, err := s.unit.Gradient(ctx, model.Margin, 0, s.row(ahead))
		if err != nil {
			return found, err
		}
		step := eadStep * math.Sqrt(1-float64(k)/float64(steps))
		next := s.shrunk(ahead, g, c, step)
		momentum := float64(k) / float64(k+3)
		for i, v := range next {
			ahead[i] = v + momentum*(v-at[i])
		}
		at = next
		margin, err := labelMargin(ctx, s.unit, s.row(at))
		if err != nil {
			return found, err
		}
		found = found || margin < 0
	}
	return found, nil
}

// shrunk goes a step down the slope and shrinks each number's perturbation by β, to no less than nothing (equation 5).
func (s *elasticNet) shrunk(from []float64, g method.Gradient, c, step float64) []float64 {
	out := slices.Clone(from)
	for i, j := range s.free {
		slope := 2 * from[i]
		if g.Loss < 0 {
			slope -= c * float64(g.Slope[j]) * s.size[i]
		}
		to := from[i] - step*slope
		out[i] = min(max(math.Copysign(max(math.Abs(to)-s.beta, 0), to), s.low[i]), s.high[i])
	}
	return out
}

// row is the input with a perturbation, within the domain.
func (s *elasticNet) row(perturbation []float64) []float32 {
	x := slices.Clone(s.unit.Clean())
	for i, j := range s.free {
		x[j] = float32(float64(x[j]) + perturbation[i]*s.size[i])
	}
	rounded(&s.wide, x)
	return x
}
