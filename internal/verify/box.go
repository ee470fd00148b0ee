package verify

import (
	"math"

	"assay/internal/vnnlib"
)

// box is a part of a case's inputs of which it is not decided yet. It is made of float32
// and rounded outwards: it holds what it stands for.
type box struct {
	of           int // the case
	lower, upper []float32
	least        float64 // a bound of what is missing to a proof, at most 0; the lowest are looked at first
	share        float64 // of the property's inputs
	order        int     // of two that are alike otherwise the one made first comes first
}

// boxes is a heap.
type boxes []*box

func (h boxes) Len() int { return len(h) }
func (h boxes) Less(i, j int) bool {
	if h[i].least != h[j].least {
		return h[i].least < h[j].least
	}
	return h[i].order < h[j].order
}
func (h boxes) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *boxes) Push(x any)   { *h = append(*h, x.(*box)) }
func (h *boxes) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return x
}

// whole is the box of a case.
func whole(of int, c vnnlib.Case, share float64) *box {
	b := &box{of: of, lower: make([]float32, len(c.Lower)), upper: make([]float32, len(c.Lower)), least: math.Inf(-1), share: share}
	for i := range c.Lower {
		b.lower[i], b.upper[i] = floor32(c.Lower[i]), ceil32(c.Upper[i])
	}
	return b
}

// floor32 is the greatest float32 that is not above x, ceil32 the least not below.
func floor32(x float64) float32 {
	f := float32(x)
	if float64(f) > x {
		f = math.Nextafter32(f, float32(math.Inf(-1)))
	}
	return f
}

func ceil32(x float64) float32 { return -floor32(-x) }

// halves divides a box where the score of a number times its width is greatest, and
// reports whether there is a float32 between.
func (b *box) halves(score []float64) (low, high *box, ok bool) {
	at, best, middle := -1, -1.0, float32(0)
	for i := range b.lower {
		width := float64(b.upper[i]) - float64(b.lower[i])
		m := float32(float64(b.lower[i]) + width/2)
		if !(b.lower[i] < m && m < b.upper[i]) {
			continue
		}
		// Where nothing is known of the score, or it is 0, the widest is divided.
		s := score[i] * width
		if !(s >= 0) || math.IsInf(s, 0) {
			s = 0
		}
		if s > best || s == best && width > float64(b.upper[at])-float64(b.lower[at]) {
			at, best, middle = i, s, m
		}
	}
	if at < 0 {
		return nil, nil, false
	}
	low, high = b.copied(), b.copied()
	low.upper[at], high.lower[at] = middle, middle
	low.share, high.share = b.share/2, b.share/2
	return low, high, true
}

func (b *box) copied() *box {
	c := *b
	c.lower, c.upper = append([]float32(nil), b.lower...), append([]float32(nil), b.upper...)
	return &c
}

// line is a linear function that something is not below on a box: low at its least, and
// from there on by its slopes.
type line struct {
	low    float64
	slopes []float32
}

// clip takes away from a box inside of another what a line, of the outer one, keeps above
// a limit; it reports whether anything stays. What is taken away is as proved as what has no
// number of a line's below the limit (as Zhou et al. 2025, arXiv:2512.11087, clip domains).
func (b *box) clip(outer *box, l line, limit float64) bool {
	spare, room := limit-l.low, 0.0 // what the line may rise by
	for j, s := range l.slopes {
		s := float64(s)
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return true
		}
		room += math.Abs(s) * (math.Abs(float64(outer.lower[j])) + math.Abs(float64(outer.upper[j])))
		spare -= rise(s, float64(outer.lower[j]), float64(outer.upper[j]), float64(b.lower[j]), float64(b.upper[j]))
	}
	if math.IsNaN(spare) || math.IsInf(spare, 0) {
		return true
	}
	// More than the rounding of what is computed here in float64.
	spare += (room + math.Abs(l.low) + math.Abs(limit)) * float64(len(l.slopes)+8) * 0x1p-50
	if spare < 0 {
		return false
	}
	for j, s := range l.slopes {
		s := float64(s)
		if s == 0 {
			continue
		}
		reach := spare / math.Abs(s) * (1 + 0x1p-40)
		if s > 0 {
			b.upper[j] = min(b.upper[j], ceil32(float64(b.lower[j])+reach+math.Abs(float64(b.lower[j]))*0x1p-50))
		} else {
			b.lower[j] = max(b.lower[j], floor32(float64(b.upper[j])-reach-math.Abs(float64(b.upper[j]))*0x1p-50))
		}
	}
	return true
}

// rise is by how much the least of s x is greater on [low, high] than on [from, to].
func rise(s, from, to, low, high float64) float64 {
	if s >= 0 {
		return s * (low - from)
	}
	return s * (high - to)
}

// hull widens a box to hold another.
func (b *box) hull(o *box) {
	for i := range b.lower {
		b.lower[i], b.upper[i] = min(b.lower[i], o.lower[i]), max(b.upper[i], o.upper[i])
	}
}
