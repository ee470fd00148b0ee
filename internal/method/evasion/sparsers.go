package evasion

import (
	"cmp"
	"context"
	"slices"

	"assay"
	"assay/internal/method"
)

// SparseRS is the random search in L0 of Croce et al. (2022, arXiv:2006.12834, Algorithm 1 and section 4): Eps pixels have values at the ends of
// their limits, and a part of them, which shrinks, is exchanged for others with values drawn anew, where that lowers the margin.
// It needs scores alone. A pixel is all its channels; of records it is one number.
//
// Departures: numbers without limits move by the span of those that have them, or by 1 in the domain's scale; categories stay as they are.
type SparseRS struct {
	Queries int     // at most; 10,000 in the paper
	Share   float64 // of the pixels that are exchanged first, α in the paper: 0.3
}

// Describe tells what the method is.
func (m SparseRS) Describe() method.Description {
	return method.Description{
		Name: "sparse-rs", Access: assay.Scores, Iterative: true, Norms: []method.Norm{method.L0},
		Settings:  []method.Setting{{Name: "queries", Value: float64(m.Queries)}, {Name: "share", Value: m.Share}},
		Reference: "Croce et al. 2022 (arXiv:2006.12834), Algorithm 1",
	}
}

// Perturb searches until it has found an adversarial example or asked all queries.
func (m SparseRS) Perturb(ctx context.Context, u method.Unit) error {
	s := newSparse(u)
	k := min(int(min(u.Space().Eps, float64(len(s.pixels)))), len(s.pixels))
	if k == 0 {
		return nil
	}
	order := u.Rand().Perm(len(s.pixels))
	in, out := order[:k], order[k:] // places in pixels
	best := slices.Clone(u.Clean())
	for _, p := range in {
		s.colour(best, p)
	}
	margin, err := labelMargin(ctx, u, best)
	for i := 1; i < m.Queries && err == nil && !u.Found(); i++ {
		n := max(int(m.Share/exchanged(i, m.Queries)*float64(k)), 1)
		x, freshIn, freshOut := s.exchange(best, in, out, n)
		var now float64
		if now, err = labelMargin(ctx, u, x); err == nil && now < margin {
			best, margin, in, out = x, now, freshIn, freshOut
		}
	}
	return err
}

// exchanged is by what the share is divided at one query of some (section 4 of the paper, for 10,000 queries).
func exchanged(query, queries int) float64 {
	at := query * 10000 / queries
	for _, until := range []struct {
		query int
		by    float64
	}{{0, 1}, {50, 2}, {200, 4}, {500, 5}, {1000, 6}, {2000, 8}, {4000, 10}, {6000, 12}, {8000, 15}} {
		if at <= until.query {
			return until.by
		}
	}
	return 20
}

// sparse makes the proposals of one unit.
type sparse struct {
	unit      method.Unit
	pixels    [][]int // the numbers of each that may change
	low, high []float32
}

func newSparse(u method.Unit) *sparse {
	d, clean := u.Space().Domain, u.Clean()
	s := &sparse{unit: u, low: slices.Clone(d.Low), high: slices.Clone(d.High)}
	free, _ := changeable(u.Space())
	of := map[int]int{} // places in pixels
	width := float32(usualWidth(u.Space(), free))
	for _, j := range free {
		pixel := d.Pixel(j)
		at, known := of[pixel]
		if !known {
			at = len(s.pixels)
			of[pixel], s.pixels = at, append(s.pixels, nil)
		}
		s.pixels[at] = append(s.pixels[at], j)
		if low, high := s.low[j], s.high[j]; low-low != 0 || high-high != 0 {
			by := cmp.Or(width, 1) * d.Scale[j]
			s.low[j], s.high[j] = max(low, clean[j]-by), min(high, clean[j]+by)
		}
	}
	return s
}

// colour puts each number of a pixel at one of its ends.
func (s *sparse) colour(x []float32, pixel int) {
	for _, j := range s.pixels[pixel] {
		x[j] = s.low[j]
		if s.unit.Rand().IntN(2) == 1 {
			x[j] = s.high[j]
		}
	}
}

// exchange puts n of the pixels that are changed back and changes n others; where all are changed, it changes n of them anew.
func (s *sparse) exchange(from []float32, in, out []int, n int) (x []float32, freshIn, freshOut []int) {
	x, freshIn, freshOut = slices.Clone(from), slices.Clone(in), slices.Clone(out)
	r := s.unit.Rand()
	leave := r.Perm(len(in))[:min(n, len(in))]
	if len(out) == 0 {
		for _, i := range leave {
			s.colour(x, in[i])
		}
		return x, freshIn, freshOut
	}
	enter := r.Perm(len(out))[:min(len(leave), len(out))]
	for k, o := range enter {
		i := leave[k]
		for _, j := range s.pixels[in[i]] {
			x[j] = s.unit.Clean()[j]
		}
		s.colour(x, out[o])
		freshIn[i], freshOut[o] = out[o], in[i]
	}
	return x, freshIn, freshOut
}
