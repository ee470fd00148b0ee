package method

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Step moves a row up a slope by size, in the domain's scale, and projects it: the
// steepest ascent in the norm. For Linf every number moves by size, for L2 all
// together do; for L1, L0 and Cost see stepSlide, stepShares and stepCost. A whole number moves by at least 1 where it moves at all, in L2 that
// with the longest step of those that Eps lets move. Groups take the categories of the greatest gain
// to first order (HotFlip: Ebrahimi et al. 2018, arXiv:1712.06751, section 3), as many of them as may change.
func (s *Space) Step(x, slope []float32, size float64) {
	s.Move(x, slope, size)
	s.Project(x)
}

// Move is a step without the projection.
func (s *Space) Move(x, slope []float32, size float64) {
	switch s.Norm {
	case L1:
		s.stepSlide(x, slope, size)
		return
	case L0:
		s.stepShares(x, slope, size)
		return
	case Cost:
		s.stepCost(x, slope, size)
		return
	}
	s.stepGroups(x, slope)
	d := s.Domain
	length, top := 0.0, -1
	if s.Norm == L2 {
		length, top = s.steepness(slope)
	}
	d.plain(func(i int) {
		g := s.scaled(i, slope)
		if g == 0 {
			return
		}
		by := math.Copysign(size, g)
		if s.Norm == L2 {
			by = size * (g / length)
		}
		by *= float64(d.Scale[i])
		if d.integer(i) {
			if s.Norm == Linf || i == top {
				by = math.Copysign(math.Ceil(math.Abs(by)), by)
			} else {
				by = math.Round(by)
			}
		}
		x[i] = float32(min(max(float64(x[i])+by, -math.MaxFloat32), math.MaxFloat32))
	})
}

// steepness is the length of the slope, and the whole number along which it is
// steepest of those that can move by 1 within Eps, or -1.
func (s *Space) steepness(slope []float32) (length float64, top int) {
	top = -1
	steepest, d := 0.0, s.Domain
	d.plain(func(i int) {
		g := s.scaled(i, slope)
		length += g * g
		if d.integer(i) && 1/float64(d.Scale[i]) <= s.Eps && math.Abs(g) > steepest {
			steepest, top = math.Abs(g), i
		}
	})
	return math.Sqrt(length), top
}

// scaled is the slope along number i in its scale, 0 where it cannot move or the
// slope is no number.
func (s *Space) scaled(i int, slope []float32) float64 {
	g := min(max(float64(slope[i]), -math.MaxFloat32), math.MaxFloat32)
	if s.Domain.fixed(i) || math.IsNaN(g) {
		return 0
	}
	return g * float64(s.Domain.Scale[i])
}

func (s *Space) stepGroups(x, slope []float32) {
	var changes []change
	for _, g := range s.Domain.Groups {
		best := largest(slope, g)
		gain := float64(slope[best])
		for i := g.Start; i < g.End; i++ {
			gain -= float64(slope[i]) * float64(s.Clean[i])
		}
		switch {
		case gain > 0:
			changes = append(changes, change{g, best, gain})
		case gain == 0 && slices.Min(slope[g.Start:g.End]) == slope[best]: // flat: it stays as it is
			if !slices.Equal(x[g.Start:g.End], s.Clean[g.Start:g.End]) {
				changes = append(changes, change{g, largest(x, g), 0})
			}
		}
	}
	s.choose(x, changes)
}

// Random draws a row uniformly from the norm's ball and the limits, of Cost from the limits alone, and projects it.
// Whole numbers are drawn among the whole ones. As many groups as may change, drawn
// from all, take a category drawn from theirs.
func (s *Space) Random(r *rand.Rand, x []float32) {
	copy(x, s.Clean)
	switch s.Norm {
	case Patch:
		s.randomPatch(r, x)
	case Linf, Cost:
		s.Domain.plain(func(i int) { x[i] = s.randomBetween(r, i) })
	case L2:
		s.randomInBall(r, x)
	case L1:
		s.randomInSum(r, x)
	case L0:
		s.randomPixels(r, x)
	}
	groups := s.Domain.Groups
	most := s.Groups
	if s.Norm == Cost { // any number of them, while they can be paid
		most = r.IntN(len(groups) + 1)
	}
	for _, k := range r.Perm(len(groups))[:min(len(groups), max(most, 0))] {
		g := groups[k]
		clear(x[g.Start:g.End])
		x[g.Start+r.IntN(g.End-g.Start)] = 1
	}
	s.Project(x)
}

// randomBetween draws number i from where it may be.
func (s *Space) randomBetween(r *rand.Rand, i int) float32 {
	low, high := float64(s.clip(i, -math.MaxFloat32)), float64(s.clip(i, math.MaxFloat32))
	if low == high {
		return float32(low)
	}
	if s.Domain.integer(i) {
		return float32(math.Floor(low + r.Float64()*(high-low+1)))
	}
	return float32(low + r.Float64()*(high-low))
}

// randomInBall draws a direction from the normal distribution and a radius whose
// n-th power is uniform.
func (s *Space) randomInBall(r *rand.Rand, x []float32) {
	d := s.Domain
	direction := make([]float64, len(x))
	length, free := 0.0, 0
	d.plain(func(i int) {
		if !d.fixed(i) {
			direction[i] = r.NormFloat64()
			length += direction[i] * direction[i]
			free++
		}
	})
	if free == 0 {
		return
	}
	radius := s.Eps * math.Pow(r.Float64(), 1/float64(free))
	d.plain(func(i int) {
		if d.fixed(i) {
			return
		}
		by := radius * direction[i] / math.Sqrt(length) * float64(d.Scale[i])
		if d.integer(i) {
			by = math.Round(by)
		}
		x[i] = float32(min(max(float64(s.Clean[i])+by, -math.MaxFloat32), math.MaxFloat32))
	})
}
