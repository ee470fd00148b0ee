package method

import "slices"

// rounds is how often Repair goes through the constraints before Project settles what is left.
const rounds = 20

// Repair moves a row into the space, as Project does, but keeps more of its perturbation where a
// relation is violated: before the perturbation shrinks, the relation's numbers, those too that were not
// changed, go to the nearest point at which it holds, over and over with limits and norm (cyclic projections; Bregman
// 1965). So one number can be raised with another that it must not exceed. It is the repair operator of
// Simonetto et al. 2024 (arXiv:2406.00775, section 4) for relations that are inequalities.
func (s *Space) Repair(x []float32) {
	if len(s.Domain.Relations) == 0 {
		s.Project(x)
		return
	}
	s.projectGroups(x)
	for range rounds {
		s.confine(x)
		violated := false
		for _, r := range s.Domain.Relations {
			if !r.Holds(x) && r.Holds(s.Clean) {
				violated = true
				s.toRelation(r, x)
			}
		}
		if !violated {
			break
		}
	}
	s.Project(x)
}

// toRelation moves a relation's numbers to the nearest point, in their scale, at which it holds. Those
// that cannot go that way leave their part to the others.
func (s *Space) toRelation(r Relation, x []float32) {
	for range len(r.Of) {
		over, size := r.over(x)
		over += size * 0x1p-21 // so that rounding leaves it on the right side
		norm, at := 0.0, slices.Clone(x)
		free := func(k int) bool {
			i := r.Of[k]
			_, grouped := s.groupOf(i)
			return !grouped && !s.Domain.fixed(i) && r.Weights[k] != 0
		}
		step := func(by float64) {
			for k, i := range r.Of {
				if free(k) {
					scale := float64(s.Domain.Scale[i])
					x[i] = s.clip(i, float32(float64(at[i])-by*r.Weights[k]*scale*scale))
				}
			}
		}
		for k, i := range r.Of {
			scale := r.Weights[k] * float64(s.Domain.Scale[i])
			if free(k) && s.canLower(r, k, x) {
				norm += scale * scale
			}
		}
		if norm == 0 || over <= 0 {
			return
		}
		if step(over / norm); r.Holds(x) {
			return
		}
	}
}

// canLower reports whether number k of a relation can move so that the relation's sum gets smaller.
func (s *Space) canLower(r Relation, k int, x []float32) bool {
	i := r.Of[k]
	to := float32(-3e38)
	if r.Weights[k] < 0 {
		to = 3e38
	}
	return s.clip(i, to) != x[i]
}

// Tangent takes out of a slope what would leave relations that bind at a row, so that a step goes along them (Rosen
// 1960, gradient projection): where one number must not exceed another and both are equal, up with both.
func (s *Space) Tangent(x, slope []float32) {
	for range s.Domain.Relations {
		for _, r := range s.Domain.Relations {
			if over, size := r.over(x); over < -1e-5*size || !r.Holds(s.Clean) {
				continue
			}
			along, norm := 0.0, 0.0
			for k, i := range r.Of {
				if _, grouped := s.groupOf(i); !grouped && !s.Domain.fixed(i) {
					scale := float64(s.Domain.Scale[i])
					along += r.Weights[k] * float64(slope[i]) * scale * scale
					norm += r.Weights[k] * r.Weights[k] * scale * scale
				}
			}
			if !(along > 0 && norm > 0) {
				continue
			}
			for k, i := range r.Of {
				slope[i] -= float32(along / norm * r.Weights[k])
			}
		}
	}
}
