package evasion

import (
	"cmp"
	"context"
	"math"
	"slices"

	"assay"
	"assay/internal/method"
)

// Square is the random search of Andriushchenko et al. (2020, arXiv:1912.00049, Algorithms
// 1 to 3): it changes a square of the image, or a part of a record's features, at random,
// and keeps the change where the margin of the label over the other classes shrinks.
// It needs scores and no gradients, so that a model that hides its gradients does not hide from it.
//
// In L1 it is that of Croce and Hein (2021, arXiv:2103.01208, section 4): bumps fall off faster, and each
// proposal is projected onto ball and limits.
//
// Departures: proposals are brought into the space, where some numbers may be fixed or whole.
// On records that are no images a square becomes a random set of features of the same
// share; each of them has its own sign, as an image's channel has, and a one-hot group in the set
// becomes another category. Every query is one row: the proposals
// of one unit depend on each other.
type Square struct {
	Queries int     // at most; 5000 in the paper's comparison
	Share   float64 // of the image that the first squares change, p in the paper: 0 to 1
	Shrink  int     // queries over which that part shrinks to its least; 0 for Queries
}

// Describe tells what the method is.
func (m Square) Describe() method.Description {
	return method.Description{
		Name: "square", Access: assay.Scores, Iterative: true,
		Settings: []method.Setting{
			{Name: "queries", Value: float64(m.Queries)}, {Name: "share", Value: m.Share},
			{Name: "shrink", Value: float64(m.shrink())},
		},
		Reference: "Andriushchenko et al. 2020 (arXiv:1912.00049), Algorithms 1 to 3",
		Norms:     []method.Norm{method.Linf, method.L2, method.L1},
	}
}

func (m Square) shrink() int { return cmp.Or(m.Shrink, m.Queries) }

// Perturb searches until it has found an adversarial example or asked all queries.
func (m Square) Perturb(ctx context.Context, u method.Unit) error {
	s := newSquares(u)
	best := s.start()
	margin, err := labelMargin(ctx, u, best)
	if err != nil {
		return err
	}
	for i := 1; i < m.Queries && !u.Found(); i++ {
		candidate := s.propose(best, m.Share*shareAt(i, m.shrink()))
		now, err := labelMargin(ctx, u, candidate)
		if err != nil {
			return err
		}
		if now < margin {
			best, margin = candidate, now
		}
	}
	return nil
}

// labelMargin is how far the label's score is ahead of the best other.
func labelMargin(ctx context.Context, u method.Unit, x []float32) (float64, error) {
	scores, err := u.Scores(ctx, x)
	if err != nil {
		return 0, err
	}
	return margin(scores, u.Label()), nil
}

// margin is how far a label is ahead of the best other class.
func margin(scores []float32, label int) float64 {
	other := math.Inf(-1)
	for k, s := range scores {
		if k != label {
			other = max(other, float64(s))
		}
	}
	return float64(scores[label]) - other
}

// shareAt is by what the share has shrunk at one query of some: halved at fixed parts of the search
// (section 4.1 of the paper: after 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000 of 10,000).
func shareAt(query, queries int) float64 {
	at, share := float64(query)*10000/float64(queries), 1.0
	for _, end := range []float64{10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000} {
		if at > end {
			share /= 2
		}
	}
	return share
}

// squares makes the proposals of one unit.
type squares struct {
	unit  method.Unit
	space *method.Space
	image *method.Image // nil for records
	free  []int         // of a record: the numbers that may change
	group []int         // the groups that may change
	eps   float64       // in units of the scale
}

func newSquares(u method.Unit) *squares {
	s := &squares{unit: u, space: u.Space(), image: u.Space().Domain.Image, eps: u.Space().Eps}
	s.free, s.group = changeable(s.space)
	if s.image != nil {
		s.free, s.group = nil, nil
	}
	return s
}

// start is the first point: stripes for Linf (Algorithm 2), tiles for L2 (section 3.4) and L1.
func (s *squares) start() []float32 {
	delta := make([]float64, len(s.space.Clean))
	switch {
	case s.image == nil:
		for _, j := range s.free {
			delta[j] = s.sign() * s.eps
		}
	case s.space.Norm == method.Linf:
		for c := range s.image.Channels {
			for x := range s.image.Width {
				sign := s.sign() * s.eps
				for y := range s.image.Height {
					delta[s.image.At(c, y, x)] = sign
				}
			}
		}
	default:
		side := max(min(s.image.Height, s.image.Width)/5, 1)
		for c := range s.image.Channels {
			for y := 0; y+side <= s.image.Height; y += side {
				for x := 0; x+side <= s.image.Width; x += side {
					sign := s.sign()
					for i, v := range s.bumps(side) {
						delta[s.image.At(c, y+i/side, x+i%side)] = sign * v
					}
				}
			}
		}
	}
	return s.point(delta, s.space.Clean)
}

// propose changes a part of a point.
func (s *squares) propose(from []float32, share float64) []float32 {
	delta := make([]float64, len(from))
	for j, x := range from {
		delta[j] = float64(x-s.space.Clean[j]) / float64(s.space.Domain.Scale[j])
	}
	if s.space.Norm == method.Linf {
		for _, w := range s.windows(share) {
			sign := s.sign()
			for _, j := range w.first {
				delta[j] = sign * s.eps // from -eps to eps, as 2·eps added and clipped
			}
		}
	} else {
		s.shift(delta, s.windows(share))
	}
	return s.point(delta, s.changeGroups(from, share))
}

// shift moves length from each second window to the first (Algorithm 3).
func (s *squares) shift(delta []float64, windows []window) {
	count := float64(len(windows))
	left := max(s.eps*s.eps-square(delta, nil), 0) / count
	if s.space.Norm == method.L1 {
		left = max(s.eps-sum(delta, nil), 0) / count
	}
	for _, w := range windows {
		either := slices.Clone(w.first)
		for _, j := range w.second {
			if !w.has(j) {
				either = append(either, j)
			}
		}
		to := math.Sqrt(left + square(delta, either))
		if s.space.Norm == method.L1 { // times the channels, as in the authors' program: the projection takes back what is too much
			to = (left + sum(delta, either)) * count
		}
		old, sign := s.length(delta, w.first)+1e-12, s.sign()
		fresh := make([]float64, len(w.first))
		for i, j := range w.first {
			fresh[i] = sign*w.bumps[i] + delta[j]/old
		}
		for _, j := range w.second {
			delta[j] = 0
		}
		to /= s.length(fresh, nil) + 1e-12
		for i, j := range w.first {
			delta[j] = fresh[i] * to
		}
	}
}

// point is a perturbation, in L2 at full length, as a row of the space; one-hot groups are taken from another row.
func (s *squares) point(delta []float64, groups []float32) []float32 {
	to := 1.0
	if s.space.Norm == method.L2 {
		to = s.eps / (s.length(delta, nil) + 1e-12)
	}
	x := make([]float32, len(delta))
	for j, c := range s.space.Clean {
		x[j] = c + float32(to*delta[j])*s.space.Domain.Scale[j]
	}
	for _, g := range s.space.Domain.Groups {
		copy(x[g.Start:g.End], groups[g.Start:g.End])
	}
	s.space.Project(x)
	return x
}
