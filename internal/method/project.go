package method

import (
	"cmp"
	"math"
	"slices"
)

// Project moves a row into the space, if it is outside: a row inside stays as it is.
// Limits and the norm's ball cut off what is beyond: in L2 by shrinking the whole
// perturbation, in L1 by shrinking each number's by the same, which gives the nearest point of
// ball and limits together, and in L0 by keeping the pixels that matter most, of a patch the square that holds most; whole numbers are rounded towards the clean input; of the one-hot
// groups, those keep their largest category whose lead over the clean one is largest.
// Then the perturbation of numbers in a violated relation shrinks until it holds. What
// is not a number becomes the clean one.
//
// Everything but the choice of categories moves a number towards the clean one, and
// each constraint alone allows every point on that way: so the result is inside,
// whatever the constraints. It need not be the nearest point that is.
func (s *Space) Project(x []float32) {
	s.projectGroups(x)
	s.confine(x)
	s.repair(x)
}

// confine brings the numbers into limits and the norm's ball.
func (s *Space) confine(x []float32) {
	wanted := x // before limits cut it off, which is what L1 and L0 go by
	if s.Norm == L1 || s.Norm == L0 {
		wanted = slices.Clone(x)
	}
	s.clipAll(x)
	switch s.Norm {
	case L2:
		s.shrinkToBall(x)
	case Cost:
		s.shrinkToCost(x)
	case L1:
		s.shrinkSum(x, wanted)
	case L0:
		s.keepPixels(x, wanted)
	case Patch:
		s.keepPatch(x)
	}
}

// clip brings number i between its limits, and for Linf within Eps.
func (s *Space) clip(i int, v float32) float32 {
	if math.IsNaN(float64(v)) || !finite(s.Clean[i]) {
		return s.Clean[i]
	}
	low, high := s.ends(i)
	v = min(max(v, low), high)
	if s.Norm == Linf {
		if by := s.offset(i, v); by > s.Eps || by < -s.Eps {
			v = s.at(i, math.Copysign(s.Eps, by))
		}
	}
	return s.whole(i, v)
}

// box is between what numbers clip brings each of a row's.
type box struct {
	norm      Norm
	eps       float64
	clean     []float32
	low, high []float32
}

// box finds the limits once for all rows of the space: attacks clip more often than they do anything else of their own.
func (s *Space) box() *box {
	b := s.known
	if b != nil && b.norm == s.Norm && b.eps == s.Eps && len(b.clean) == len(s.Clean) && (len(b.clean) == 0 || &b.clean[0] == &s.Clean[0]) {
		return b
	}
	n := len(s.Clean)
	b = &box{s.Norm, s.Eps, s.Clean, make([]float32, n), make([]float32, n)}
	for i := range n {
		b.low[i], b.high[i] = s.clip(i, -math.MaxFloat32), s.clip(i, math.MaxFloat32)
	}
	s.known = b
	return b
}

// clipAll does for all numbers what clip does for one.
func (s *Space) clipAll(x []float32) {
	b, d := s.box(), s.Domain
	d.spans(func(from, to int) {
		low, high := b.low[from:to], b.high[from:to]
		for i, v := range x[from:to] {
			if v != v {
				v = s.Clean[from+i]
			}
			x[from+i] = min(max(v, low[i]), high[i])
		}
		if d.Integer == nil {
			return
		}
		for i := from; i < to; i++ {
			x[i] = s.whole(i, x[i])
		}
	})
}

// ends gives the limits of number i whatever the norm: finite, and the clean number is within them.
func (s *Space) ends(i int) (low, high float32) {
	d, clean := s.Domain, s.Clean[i]
	if d.fixed(i) {
		return clean, clean
	}
	low, high = bounded(min(d.Low[i], clean)), bounded(max(d.High[i], clean))
	switch d.monotone(i) {
	case Up:
		low = clean
	case Down:
		high = clean
	}
	return low, high
}

// at gives number i at an offset from clean in its scale, or so near that float32
// does not put it further away.
func (s *Space) at(i int, offset float64) float32 {
	clean, scale := float64(s.Clean[i]), float64(s.Domain.Scale[i])
	near := func(offset float64) float32 {
		return float32(min(max(clean+offset*scale, -math.MaxFloat32), math.MaxFloat32))
	}
	within := func(v float32) bool { return !(math.Abs(s.offset(i, v)) > math.Abs(offset)) }
	v := near(offset)
	if within(v) {
		return v
	}
	if v = math.Nextafter32(v, s.Clean[i]); within(v) {
		return v
	}
	// Where the number is small beside the clean one, it is float64 that cannot tell its neighbours apart.
	for less := 0x1p-52; less < 1; less *= 2 {
		if v = near(offset * (1 - less)); within(v) {
			return v
		}
	}
	return s.Clean[i]
}

// whole rounds number i towards clean, if it is to be a whole number.
func (s *Space) whole(i int, v float32) float32 {
	clean := s.Clean[i]
	if !s.Domain.integer(i) || v == clean {
		return v
	}
	if v > clean {
		return max(float32(math.Floor(float64(v))), clean)
	}
	return min(float32(math.Ceil(float64(v))), clean)
}

// shrinkToBall shrinks the perturbation to at most Eps in L2.
func (s *Space) shrinkToBall(x []float32) {
	size := s.Distance(x)
	if size <= s.Eps {
		return
	}
	original := slices.Clone(x)
	factor := s.Eps / size
	for range 64 { // the sum's own rounding may leave it just above
		s.Domain.plain(func(i int) { x[i] = s.shrunk(i, original[i], factor) })
		if s.Distance(x) <= s.Eps {
			return
		}
		factor *= 1 - 1e-9
	}
	s.Domain.plain(func(i int) { x[i] = s.Clean[i] })
}

// shrunk gives number i with its perturbation multiplied by a factor below 1.
func (s *Space) shrunk(i int, v float32, factor float64) float32 {
	if v == s.Clean[i] {
		return v
	}
	return s.whole(i, s.at(i, s.offset(i, v)*factor))
}

// change is a group that is to take another category than the clean input.
type change struct {
	group    Group
	category int     // the number that becomes 1
	gain     float64 // what speaks for it
}

// projectGroups makes every group one-hot, at most Groups of them other than clean.
func (s *Space) projectGroups(x []float32) {
	var changes []change
	for _, g := range s.Domain.Groups {
		best, clean := largest(x, g), s.Clean[g.Start:g.End]
		if slices.Equal(x[g.Start:g.End], clean) || s.Clean[best] == 1 && oneHot(clean) {
			continue
		}
		lead := float64(x[best])
		if oneHot(clean) {
			if lead -= float64(x[largest(s.Clean, g)]); lead == 0 {
				continue // a tie with the clean category
			}
		}
		changes = append(changes, change{g, best, lead})
	}
	s.choose(x, changes)
}

// oneHot reports whether one of a group's numbers is 1 and the others are 0.
func oneHot(group []float32) bool {
	ones := 0
	for _, v := range group {
		switch v {
		case 1:
			ones++
		case 0:
		default:
			return false
		}
	}
	return ones == 1
}

// choose makes the changes that most speaks for, as far as they are allowed, and
// puts all other groups back.
func (s *Space) choose(x []float32, changes []change) {
	for _, g := range s.Domain.Groups {
		copy(x[g.Start:g.End], s.Clean[g.Start:g.End])
	}
	changes = slices.DeleteFunc(changes, func(c change) bool { return s.Domain.fixedGroup(c.group) })
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(b.gain, a.gain) })
	for _, c := range s.allowed(changes) {
		clear(x[c.group.Start:c.group.End])
		x[c.category] = 1
	}
}

// largest gives the place of a group's largest number, the first of equals.
func largest(x []float32, g Group) int {
	best := g.Start
	for i := g.Start; i < g.End; i++ {
		if x[i] > x[best] || math.IsNaN(float64(x[best])) {
			best = i
		}
	}
	return best
}

// repairs is how often the relations are gone through before what still violates
// one is put back to clean.
const repairs = 8

// repair makes the relations hold that hold for the clean input.
func (s *Space) repair(x []float32) {
	for range repairs {
		violated := false
		for _, r := range s.Domain.Relations {
			if !r.Holds(x) && r.Holds(s.Clean) {
				violated = true
				s.shrinkRelation(r, x)
			}
		}
		if !violated {
			return
		}
	}
	// Each time at least one relation gets nothing but clean numbers, for good.
	for again := true; again; {
		again = false
		for _, r := range s.Domain.Relations {
			if !r.Holds(x) && r.Holds(s.Clean) {
				again = true
				s.restore(r, x)
			}
		}
	}
}

// shrinkRelation shrinks the perturbation of a relation's numbers by as little as makes it
// hold. Groups cannot shrink: where they violate it, all goes back to clean.
func (s *Space) shrinkRelation(r Relation, x []float32) {
	original := make([]float32, len(r.Of))
	part := 0.0 // of the sum, in proportion to the factor
	for k, at := range r.Of {
		original[k] = x[at]
		if _, grouped := s.groupOf(at); !grouped {
			part += r.Weights[k] * (float64(x[at]) - float64(s.Clean[at]))
		}
	}
	over, _ := r.over(x)
	exact := 1 - over/part
	for _, factor := range []float64{exact, exact * (1 - 1e-6), exact * 0.99, exact * 0.9, exact / 2, 0} {
		if !(part > 0 && factor >= 0 && factor < 1) {
			continue
		}
		for k, at := range r.Of {
			if _, grouped := s.groupOf(at); !grouped {
				x[at] = s.shrunk(at, original[k], factor)
			}
		}
		if r.Holds(x) {
			return
		}
	}
	s.restore(r, x)
}

// restore puts all numbers of a relation back to clean, with the groups they are in.
func (s *Space) restore(r Relation, x []float32) {
	for _, at := range r.Of {
		x[at] = s.Clean[at]
		if g, ok := s.groupOf(at); ok {
			copy(x[g.Start:g.End], s.Clean[g.Start:g.End])
		}
	}
}

// groupOf gives the group that a number is in.
func (s *Space) groupOf(i int) (Group, bool) {
	groups := s.Domain.Groups
	k, _ := slices.BinarySearchFunc(groups, i, func(g Group, i int) int { return cmp.Compare(g.End, i+1) })
	if k < len(groups) && groups[k].Start <= i {
		return groups[k], true
	}
	return Group{}, false
}
