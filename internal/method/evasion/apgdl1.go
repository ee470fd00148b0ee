package evasion

import (
	"context"
	"math"
	"slices"

	"assay/internal/method"
)

// The constants of Auto-PGD in L1 (Croce and Hein 2021, arXiv:2103.01208, section 3.3 and appendix A, and the authors' program).
const (
	shorter  = 1.5  // by which a step shrinks, and by which fewer numbers move than the best point has changed
	shortest = 10   // by how much at most a step shrinks
	fewer    = 0.95 // of the changed numbers: below it the search goes on from its best point, in full steps
	looks    = 0.04 // of a stage's steps, after each of which the search is looked at
)

// climbSparsely searches in L1: each step moves the steepest numbers alone, the fewer the sparser the best point is. It begins
// within three times eps, goes on within two and ends within eps, each stage from the best point of the one before,
// projected (section 3.4): in the small ball gradients alone rarely lead from one face to another.
//
// The start is normal noise, projected, of the deviation of a number's whole range.
func (a *ascent) climbSparsely(ctx context.Context, steps int) error {
	s := a.unit.Space()
	free, _ := changeable(s)
	for _, j := range free {
		width := float64(s.Domain.High[j]) - float64(s.Domain.Low[j])
		if math.IsInf(width, 0) {
			width = float64(s.Domain.Scale[j])
		}
		a.x[j] = float32(min(max(float64(s.Clean[j])+width*a.unit.Rand().NormFloat64(), -math.MaxFloat32), math.MaxFloat32))
	}
	early := 3 * steps / 10
	for _, stage := range []struct {
		times float64
		steps int
	}{{3, early}, {2, early}, {1, steps - 2*early}} {
		if stage.steps == 0 {
			continue
		}
		within := *s
		within.Eps = stage.times * s.Eps
		within.Project(a.x)
		if err := a.stage(ctx, &within, stage.steps); err != nil || a.unit.Found() {
			return err
		}
		a.x = a.best
	}
	return nil
}

// stage is the search within one eps, from x.
func (a *ascent) stage(ctx context.Context, s *method.Space, steps int) (err error) {
	if a.now, err = a.gradient(ctx); err != nil {
		return err
	}
	a.best, a.bestAt = a.x, a.now
	n := float64(len(a.x))
	changed := differing(a.x, s.Clean)
	size, part, every := s.Eps, changed/n/shorter, max(int(looks*float64(steps)), 1)
	for k := 1; k <= steps && !a.unit.Found(); k++ {
		x := slices.Clone(a.x)
		s.StepSparse(x, finite(a.now.Slope), size, math.Ceil(part*n)/n)
		a.x = x
		if a.now, err = a.gradient(ctx); err != nil {
			return err
		}
		if a.now.Loss > a.bestAt.Loss {
			a.best, a.bestAt = a.x, a.now
		}
		if k%every != 0 {
			continue
		}
		now := differing(a.best, s.Clean)
		if now < fewer*changed {
			size, a.x, a.now = s.Eps, a.best, a.bestAt
		} else {
			size = max(size/shorter, s.Eps/shortest)
		}
		part, changed = now/n/shorter, now
	}
	return nil
}

// differing counts the numbers in which two rows differ.
func differing(a, b []float32) (n float64) {
	for j, v := range a {
		if v != b[j] {
			n++
		}
	}
	return n
}
