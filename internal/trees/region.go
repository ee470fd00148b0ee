package trees

import (
	"math"
	"slices"

	"assay/internal/method"
)

// interval is the float32 numbers from low to high, both among them.
type interval struct{ low, high float32 }

// empty reports whether no number is in the interval.
func (i interval) empty() bool { return !(i.low <= i.high) }

func (i interval) has(v float32) bool { return i.low <= v && v <= i.high }

func (i interval) and(j interval) interval { return interval{max(i.low, j.low), min(i.high, j.high)} }

var whole = interval{-math.MaxFloat32, math.MaxFloat32}

// intervals gives those numbers of which a node's condition holds, or does not. They are exact: a comparison in
// float32 splits its numbers between two neighbours.
func (n *node) intervals(holds bool) []interval {
	v := n.value
	below, above := float32(math.Inf(-1)), float32(math.Inf(1))
	upTo, from := interval{below, v}, interval{v, above}
	under, over := interval{below, math.Nextafter32(v, below)}, interval{math.Nextafter32(v, above), above}
	if v == above {
		over = interval{1, 0}
	}
	if v == below {
		under = interval{1, 0}
	}
	if v != v && n.mode != member { // nothing compares with it
		if holds == (n.mode == neq) {
			return []interval{whole}
		}
		return nil
	}
	switch m := n.mode; {
	case m == leq && holds, m == gt && !holds:
		return []interval{upTo}
	case m == lt && holds, m == gte && !holds:
		return []interval{under}
	case m == gte && holds, m == lt && !holds:
		return []interval{from}
	case m == gt && holds, m == leq && !holds:
		return []interval{over}
	case m == eq && holds, m == neq && !holds:
		return []interval{{v, v}}
	case m != member:
		return []interval{under, over}
	}
	return n.memberIntervals(holds)
}

func (n *node) memberIntervals(holds bool) (out []interval) {
	low := float32(math.Inf(-1))
	for _, v := range n.members {
		if holds {
			out = append(out, interval{v, v})
			continue
		}
		out = append(out, interval{low, math.Nextafter32(v, float32(math.Inf(-1)))})
		low = math.Nextafter32(v, float32(math.Inf(1)))
	}
	if !holds {
		out = append(out, interval{low, float32(math.Inf(1))})
	}
	return out
}

// bound is that a number is in an interval.
type bound struct {
	feature int32
	interval
}

// region is where an attacker may take one unit, and the box of it that is being looked at: an interval for
// each number. Whatever is asked of it is exact but for the relations of numbers, which only what is found must satisfy.
type region struct {
	space   *method.Space
	box     []interval
	grouped []bool // numbers of groups
	used    []int32
}

func newRegion(s *method.Space, used []int32) *region {
	r := &region{space: s, box: make([]interval, len(s.Clean)), grouped: make([]bool, len(s.Clean)), used: used}
	for _, g := range s.Domain.Groups {
		for i := g.Start; i < g.End; i++ {
			r.grouped[i] = true
		}
	}
	for i := range r.box {
		r.box[i] = whole
	}
	for _, i := range used {
		if !r.grouped[i] {
			low, high := s.Limits(int(i))
			r.box[i] = interval{low, high}
		}
	}
	return r
}

// nearest gives the value of a number, of no group, that is next to clean within its interval.
func (r *region) nearest(i int32, at interval) (float32, bool) {
	clean := r.space.Clean[i]
	if at.has(clean) {
		return clean, true
	}
	v, d := at.low, r.space.Domain
	if at.high < clean {
		v = at.high
	}
	if d.Integer != nil && d.Integer[i] {
		if v > clean {
			v = float32(math.Ceil(float64(v)))
		} else {
			v = float32(math.Floor(float64(v)))
		}
	}
	return v, at.has(v)
}

// change is an interval that was narrowed, as it was.
type change struct {
	feature int32
	was     interval
}

// narrow takes bounds into account, and reports whether each number by itself can still be somewhere. What was is
// added to the changes, to be put back.
func (r *region) narrow(bounds []bound, changes []change) ([]change, bool) {
	for _, b := range bounds {
		was := r.box[b.feature]
		now := was.and(b.interval)
		if now == was {
			continue
		}
		changes = append(changes, change{b.feature, was})
		r.box[b.feature] = now
		if !r.somewhere(b.feature, now) {
			return changes, false
		}
	}
	return changes, true
}

// somewhere reports whether a number can be in an interval.
func (r *region) somewhere(i int32, at interval) bool {
	if r.grouped[i] {
		return at.has(0) || at.has(1) || at.has(r.space.Clean[i])
	}
	_, ok := r.nearest(i, at)
	return ok
}

// restore puts back what was narrowed.
func (r *region) restore(changes []change) {
	for _, c := range slices.Backward(changes) {
		r.box[c.feature] = c.was
	}
}

// fits reports whether bounds leave each number somewhere to be.
func (r *region) fits(bounds []bound) bool {
	for _, b := range bounds {
		if at := r.box[b.feature].and(b.interval); at.empty() || !r.somewhere(b.feature, at) {
			return false
		}
	}
	return true
}

// point gives the row of the box that is nearest to clean by every measure at once: each number by
// itself is as near as it can be, and each group changes only if it must. It reports whether it is within the
// budget; if it is not, nothing in the box is.
func (r *region) point(x []float32) bool {
	s := r.space
	copy(x, s.Clean)
	for _, i := range r.used {
		if r.grouped[i] {
			continue
		}
		v, ok := r.nearest(i, r.box[i])
		if !ok {
			return false
		}
		x[i] = v
	}
	changed := 0
	for _, g := range s.Domain.Groups {
		if r.stays(g) {
			continue
		}
		best := r.category(g)
		if changed++; best < 0 {
			return false
		}
		clear(x[g.Start:g.End])
		x[best] = 1
	}
	if s.Norm != method.Cost && changed > s.Groups {
		return false
	}
	return s.Distance(x) <= s.Eps
}

// stays reports whether a group can be as it is.
func (r *region) stays(g method.Group) bool {
	for i := g.Start; i < g.End; i++ {
		if !r.box[i].has(r.space.Clean[i]) {
			return false
		}
	}
	return true
}

// category gives the cheapest category that a group can change to, -1 for none.
func (r *region) category(g method.Group) int {
	d, best := r.space.Domain, -1
	for i := g.Start; i < g.End; i++ {
		if d.Fixed != nil && d.Fixed[i] {
			return -1
		}
	}
	zero, last := 0, -1 // numbers that cannot be 0, and the last of them
	for i := g.Start; i < g.End; i++ {
		if !r.box[i].has(0) {
			zero, last = zero+1, i
		}
	}
	for i := g.Start; i < g.End; i++ {
		if !r.box[i].has(1) || zero > 1 || zero == 1 && last != i {
			continue
		}
		if best < 0 || d.Cost != nil && d.Cost[i] < d.Cost[best] {
			best = i
		}
	}
	return best
}

// satisfy moves a row of the box so that relations hold, where that is easily done: each number of one that is
// violated goes to that end of its interval at which it adds least. It reports whether the row is in the space.
func (r *region) satisfy(x []float32) bool {
	s := r.space
	for range 1 + len(s.Domain.Relations) {
		for _, rel := range s.Domain.Relations {
			if rel.Holds(x) || !rel.Holds(s.Clean) {
				continue
			}
			for k, i := range rel.Of {
				if r.grouped[i] || rel.Holds(x) {
					continue
				}
				low, high := s.Limits(i)
				x[i] = r.lowest(i, interval{low, high}.and(r.box[i]), rel.Weights[k], x)
			}
		}
	}
	return s.Contains(x) == nil
}

// lowest gives the end of an interval at which a number adds least to a relation, or clean where it must stay whole.
func (r *region) lowest(i int, at interval, weight float64, x []float32) float32 {
	v := at.low
	if weight < 0 {
		v = at.high
	}
	if d := r.space.Domain; d.Integer != nil && d.Integer[i] {
		if weight < 0 {
			v = float32(math.Floor(float64(v)))
		} else {
			v = float32(math.Ceil(float64(v)))
		}
	}
	if !at.has(v) {
		return x[i]
	}
	return v
}
