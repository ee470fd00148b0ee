package evasion

import (
	"math"
	"slices"

	"assay/internal/method"
)

// window is what one sign changes: numbers in the same order as their bumps, and for L2
// the numbers whose length they take.
type window struct {
	first, second []int
	bumps         []float64
}

func (w *window) has(j int) bool { return slices.Contains(w.first, j) }

// windows draws the part of a row that a proposal changes, a share of it.
func (s *squares) windows(share float64) []window {
	r := s.unit.Rand()
	if s.image == nil {
		return s.features(share)
	}
	g := s.image
	side := int(math.Round(math.Sqrt(share * float64(g.Height*g.Width))))
	if s.space.Norm != method.Linf {
		side = max(side, 3) | 1 // odd, and at least 3, as in the authors' program
	}
	side = min(max(side, 1), g.Height, g.Width)
	y, x := r.IntN(g.Height-side+1), r.IntN(g.Width-side+1)
	y2, x2 := r.IntN(g.Height-side+1), r.IntN(g.Width-side+1)
	bumps := s.bumps(side)
	out := make([]window, g.Channels)
	for c := range out {
		for i := range side * side {
			out[c].first = append(out[c].first, g.At(c, y+i/side, x+i%side))
			out[c].second = append(out[c].second, g.At(c, y2+i/side, x2+i%side))
		}
		out[c].bumps = bumps
	}
	return out
}

// features draws features of a record: for Linf each is a window of its own, for L2 and L1 one
// set takes the length of another.
func (s *squares) features(share float64) []window {
	if len(s.free) == 0 {
		return nil
	}
	n := min(max(int(math.Round(share*float64(len(s.free)))), 1), len(s.free))
	draw := func() []int {
		set := make([]int, n)
		for i, k := range s.unit.Rand().Perm(len(s.free))[:n] {
			set[i] = s.free[k]
		}
		return set
	}
	if s.space.Norm != method.Linf {
		w := window{first: draw(), second: draw(), bumps: make([]float64, n)}
		for i := range w.bumps {
			w.bumps[i] = s.sign()
		}
		length := s.length(w.bumps, nil)
		for i := range w.bumps {
			w.bumps[i] /= length
		}
		return []window{w}
	}
	var out []window
	for _, j := range draw() {
		out = append(out, window{first: []int{j}})
	}
	return out
}

// changeGroups gives a row with the same numbers, and some one-hot groups in another category.
func (s *squares) changeGroups(from []float32, share float64) []float32 {
	if len(s.group) == 0 || s.space.Groups == 0 {
		return from
	}
	r, x := s.unit.Rand(), slices.Clone(from)
	for range max(int(math.Round(share*float64(min(s.space.Groups, len(s.group))))), 1) {
		g := s.space.Domain.Groups[s.group[r.IntN(len(s.group))]]
		clear(x[g.Start:g.End])
		x[g.Start+r.IntN(g.End-g.Start)] = 1
	}
	return x
}

// bumps are the values of a square of a perturbation in L2 or L1, of length 1: one half positive, the other
// negative, each largest in its middle (equation 2 of the paper), standing or lying.
func (s *squares) bumps(side int) []float64 {
	out := make([]float64, side*side)
	half := max(side/2, 1)
	for i, part := range [][2]int{{0, half}, {half, side}} {
		bump(out, part[0], part[1], side, float64(1-2*i), s.space.Norm)
	}
	length := s.length(out, nil)
	lying := s.unit.Rand().IntN(2) == 0
	turned := make([]float64, len(out))
	for i, v := range out {
		to := i
		if lying {
			to = i%side*side + i/side
		}
		turned[to] = v / length
	}
	return turned
}

// bump fills the lines from one to another of a square: Σ 1/(k+1)² over growing rectangles around the middle, in
// L1 the fourth power.
func bump(out []float64, from, to, side int, sign float64, norm method.Norm) {
	height := to - from
	middle := max(height/2+1, side/2+1)
	for k := range middle {
		top, left := height/2-k, side/2-k
		for y := max(top, 0); y < min(top+2*k+1, height); y++ {
			for x := max(left, 0); x < min(left+2*k+1, side); x++ {
				by := sign / float64((k+1)*(k+1))
				if norm == method.L1 {
					by /= float64((k + 1) * (k + 1))
				}
				out[(from+y)*side+x] += by
			}
		}
	}
}

func (s *squares) sign() float64 { return float64(2*s.unit.Rand().IntN(2) - 1) }

// length is that of a perturbation in L2 or L1, of the numbers named or of all.
func (s *squares) length(v []float64, of []int) float64 {
	if s.space.Norm == method.L1 {
		return sum(v, of)
	}
	return math.Sqrt(square(v, of))
}

// sum is that of sizes, of the numbers named or of all.
func sum(v []float64, of []int) (sum float64) {
	if of == nil {
		for _, x := range v {
			sum += math.Abs(x)
		}
		return sum
	}
	for _, j := range of {
		sum += math.Abs(v[j])
	}
	return sum
}

// square is the sum of squares, of the numbers named or of all.
func square(v []float64, of []int) (sum float64) {
	if of == nil {
		for _, x := range v {
			sum += x * x
		}
		return sum
	}
	for _, j := range of {
		sum += v[j] * v[j]
	}
	return sum
}

// changeable gives the numbers of a space that an attacker may change freely, and the
// one-hot groups that he may.
func changeable(s *method.Space) (free, groups []int) {
	d := s.Domain
	in := make([]bool, len(s.Clean))
	for i, g := range d.Groups {
		fixed := false
		for j := g.Start; j < g.End; j++ {
			in[j] = true
			fixed = fixed || d.Fixed != nil && d.Fixed[j]
		}
		if !fixed {
			groups = append(groups, i)
		}
	}
	for j := range s.Clean {
		if !in[j] && (d.Fixed == nil || !d.Fixed[j]) && d.Low[j] < d.High[j] {
			free = append(free, j)
		}
	}
	return free, groups
}
