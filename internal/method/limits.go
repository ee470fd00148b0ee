package method

import (
	"math"
	"slices"
)

// Limits gives the least and the greatest value of number i, of no group, that Contains allows while all other
// numbers stay: to the last bit, but for whole numbers and relations. Every value between them is allowed too.
func (s *Space) Limits(i int) (low, high float32) {
	clean := s.Clean[i]
	low, high = s.ends(i)
	x := slices.Clone(s.Clean)
	reaches := func(v float32) bool {
		x[i] = v
		return s.Distance(x) <= s.Eps
	}
	return furthest(clean, low, reaches), furthest(clean, high, reaches)
}

// furthest gives the value furthest from one number on the way to another that something holds of which
// holds up to there. Float32 numbers of one sign are in the order of their bits, so that 32 steps suffice.
func furthest(from, to float32, holds func(v float32) bool) float32 {
	if holds(to) {
		return to
	}
	a, b := order(from), order(to)
	for a+1 < b || b+1 < a {
		if middle := (a + b) / 2; holds(value(middle)) {
			a = middle
		} else {
			b = middle
		}
	}
	return value(a)
}

// order is the place of a number among all float32; value gives the number of a place.
func order(v float32) int64 {
	bits := int64(math.Float32bits(v))
	if bits >= 1<<31 {
		return 1<<31 - bits
	}
	return bits
}

func value(place int64) float32 {
	if place < 0 {
		return math.Float32frombits(uint32(1<<31 - place))
	}
	return math.Float32frombits(uint32(place))
}
