package method

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// shrinkSum brings a row whose numbers are within their limits into the L1 ball: the nearest point, in the domain's
// scale, to a row that was wanted before limits cut it off (Croce and Hein 2021, arXiv:2103.01208, Proposition 2.1).
// That shrinks each number's perturbation by the same λ, to no less than nothing, and cuts it off at
// its limit afterwards. Cut off before, numbers at their limits would give up what they could keep.
func (s *Space) shrinkSum(x, wanted []float32) {
	if s.Distance(x) <= s.Eps {
		return
	}
	size, most := make([]float64, len(x)), make([]float64, len(x))
	s.Domain.plain(func(i int) {
		if x[i] != s.Clean[i] {
			low, high := s.ends(i)
			size[i] = math.Abs(s.offset(i, bounded(wanted[i])))
			most[i] = math.Abs(s.offset(i, min(max(wanted[i], low), high)))
		}
	})
	by := threshold(size, most, s.Eps)
	original, factor := slices.Clone(x), 1.0
	for range 64 { // rounding may leave the sum just above
		s.Domain.plain(func(i int) {
			if x[i] = original[i]; x[i] == s.Clean[i] {
				return
			}
			to := min(max(size[i]-by, 0), most[i]) * factor
			if offset := s.offset(i, original[i]); to < math.Abs(offset) {
				x[i] = s.whole(i, s.at(i, math.Copysign(to, offset)))
			}
		})
		if s.Distance(x) <= s.Eps {
			return
		}
		factor *= 1 - 1e-9
	}
	s.Domain.plain(func(i int) { x[i] = s.Clean[i] })
}

// bounded is a number within what float32 can say.
func bounded(v float32) float32 { return min(max(v, -math.MaxFloat32), math.MaxFloat32) }

// threshold is the λ at which the sum of min(max(size-λ, 0), most) is eps, where at 0 it is above. The sum is linear
// between the points at which a number begins to shrink and at which it is gone.
func threshold(size, most []float64, eps float64) float64 {
	type bend struct {
		at     float64
		slopes int // by how many more numbers shrink from here on
	}
	var bends []bend
	sum, slopes, last := 0.0, 0, 0.0
	for i, v := range size {
		if cut := min(v, most[i]); cut > 0 {
			sum += cut
			bends = append(bends, bend{v - cut, 1}, bend{v, -1})
		}
	}
	slices.SortFunc(bends, func(a, b bend) int { return cmp.Compare(a.at, b.at) })
	for _, b := range bends {
		next := sum - float64(slopes)*(b.at-last)
		if next <= eps && slopes > 0 {
			return last + (sum-eps)/float64(slopes)
		}
		sum, last, slopes = next, b.at, slopes+b.slopes
	}
	return last
}

// keepPixels puts a row whose numbers are within their limits back to clean but for the Eps pixels that bring it nearest to a row
// that was wanted before limits cut it off (Croce and Hein 2019, arXiv:1909.05040, section 3.2),
// in parts of what each number can move.
func (s *Space) keepPixels(x, wanted []float32) {
	n := s.changed(x)
	if float64(n) <= s.Eps {
		return
	}
	gains, order := make([]float64, len(x)), make([]int, 0, n)
	known := make([]bool, len(x))
	s.Domain.plain(func(i int) {
		if x[i] == s.Clean[i] {
			return
		}
		p, is, width := s.Domain.Pixel(i), s.offset(i, x[i]), s.width(i)
		gains[p] += is / width * (2*s.offset(i, bounded(wanted[i])) - is) / width // the squared distance less that of what is kept
		if !known[p] {
			known[p], order = true, append(order, p)
		}
	})
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(gains[b], gains[a]) })
	for _, p := range order[:int(s.Eps)] {
		known[p] = false
	}
	s.Domain.plain(func(i int) {
		if known[s.Domain.Pixel(i)] {
			x[i] = s.Clean[i]
		}
	})
}

// sparsity is the least part of the numbers that a step in L1 moves.
const sparsity = 0.01

// stepSlide is a step in L1: of the numbers that are not at the limit that they would move beyond, the hundredth of all that is
// steepest moves (Tramèr and Boneh 2019, arXiv:1904.13000, section 4.1), and more where these have no room for its size.
func (s *Space) stepSlide(x, slope []float32, size float64) {
	in, n, room := slices.Clone(slope), 0, 0.0
	s.Domain.plain(func(i int) {
		if low, high := s.ends(i); slope[i] > 0 && x[i] >= high || slope[i] < 0 && x[i] <= low {
			in[i] = 0
		}
	})
	for _, i := range s.steepest(in) {
		if float64(n) >= sparsity*float64(len(x)) && room >= size {
			break
		}
		limit, high := s.ends(i)
		if slope[i] > 0 {
			limit = high
		}
		n, room = n+1, room+math.Abs((float64(limit)-float64(x[i]))/float64(s.Domain.Scale[i]))
	}
	s.moveSparse(x, in, size, float64(n)/float64(len(x)))
}

// steepest gives the numbers that have a slope, in units of the scale, the steepest first.
func (s *Space) steepest(slope []float32) (order []int) {
	steepness := make([]float64, len(slope))
	s.Domain.plain(func(i int) {
		if steepness[i] = math.Abs(s.scaled(i, slope)); steepness[i] > 0 {
			order = append(order, i)
		}
	})
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(steepness[b], steepness[a]) })
	return order
}

// StepSparse moves a row up a slope by size in L1, in the domain's scale, shared equally among the given part of the
// numbers that is steepest, at least one (Croce and Hein 2021, arXiv:2103.01208, section 3.3). Then it
// projects. A whole number moves by at least 1. Groups step as in Step.
func (s *Space) StepSparse(x, slope []float32, size, part float64) {
	s.moveSparse(x, slope, size, part)
	s.Project(x)
}

// moveSparse is the same without the projection.
func (s *Space) moveSparse(x, slope []float32, size, part float64) {
	s.stepGroups(x, slope)
	steep := s.steepest(slope)
	n := min(max(int(math.Round(part*float64(len(x)))), 1), len(steep))
	for _, i := range steep[:n] {
		s.move(x, i, math.Copysign(size/float64(n), float64(slope[i])))
	}
}

// move moves number i by an offset in its scale, a whole one by at least 1.
func (s *Space) move(x []float32, i int, offset float64) {
	by := offset * float64(s.Domain.Scale[i])
	if s.Domain.integer(i) {
		by = math.Copysign(math.Ceil(math.Abs(by)), by)
	}
	x[i] = bounded(float32(min(max(float64(x[i])+by, -math.MaxFloat32), math.MaxFloat32)))
}

// stepShares moves a row up a slope in L0, by as much as size numbers can move in all, each by its share of the
// slope (PGD_0 of Croce and Hein 2019, arXiv:1909.05040, section 3.2).
func (s *Space) stepShares(x, slope []float32, size float64) {
	s.stepGroups(x, slope)
	sum := 0.0
	s.Domain.plain(func(i int) { sum += math.Abs(s.scaled(i, slope)) * s.width(i) })
	if sum > 0 {
		s.Domain.plain(func(i int) {
			if g := s.scaled(i, slope); g != 0 {
				s.move(x, i, size*s.width(i)*(g*s.width(i)/sum))
			}
		})
	}
}

// width is how far number i can move, in its scale; 1 where there is no end, or nowhere to go.
func (s *Space) width(i int) float64 {
	width := (float64(s.Domain.High[i]) - float64(s.Domain.Low[i])) / float64(s.Domain.Scale[i])
	if math.IsInf(width, 0) || width == 0 {
		return 1
	}
	return width
}

// randomInSum draws a point of the L1 ball: signs, and parts of Eps that are uniform among those whose sum is at most 1.
func (s *Space) randomInSum(r *rand.Rand, x []float32) {
	parts := make([]float64, len(x))
	total := r.ExpFloat64() // what is left of Eps
	s.Domain.plain(func(i int) {
		if !s.Domain.fixed(i) {
			parts[i] = r.ExpFloat64()
			total += parts[i]
		}
	})
	s.Domain.plain(func(i int) {
		if s.Domain.fixed(i) {
			return
		}
		by := float64(2*r.IntN(2)-1) * s.Eps * parts[i] / total * float64(s.Domain.Scale[i])
		if s.Domain.integer(i) {
			by = math.Round(by)
		}
		x[i] = float32(min(max(float64(s.Clean[i])+by, -math.MaxFloat32), math.MaxFloat32))
	})
}

// randomPixels draws Eps of the pixels that can change, and their numbers from their limits.
func (s *Space) randomPixels(r *rand.Rand, x []float32) {
	of := make([][]int, len(x))
	var pixels []int
	s.Domain.plain(func(i int) {
		if s.Domain.fixed(i) || !(s.Domain.Low[i] < s.Domain.High[i]) {
			return
		}
		p := s.Domain.Pixel(i)
		if of[p] == nil {
			pixels = append(pixels, p)
		}
		of[p] = append(of[p], i)
	})
	for _, k := range r.Perm(len(pixels))[:min(len(pixels), int(min(s.Eps, math.MaxInt32)))] {
		for _, i := range of[pixels[k]] {
			x[i] = s.randomBetween(r, i)
		}
	}
}
