package evasion

import (
	"context"
	"errors"
	"math"
	"slices"

	"assay"
	"assay/internal/method"
)

// RayS looks for the direction in {-1, 1}ⁿ along which the boundary is nearest in Linf, by decisions alone (Chen and Gu 2020,
// arXiv:2006.12792, Algorithms 1 to 3): it turns the signs of ever smaller blocks of numbers, and
// where the other class is still met at the least radius known, a binary search finds how much nearer it is.
//
// Departures: whole numbers move by whole steps, and categories stay as they are. It ends within the space, as the authors' program does.
type RayS struct {
	Queries int // at most; 10,000 in much of the paper's comparison
}

// rayTolerance is how exactly a radius is found, in parts of the usual width; the authors' for images.
const rayTolerance = 1e-3

// Describe tells what the method is.
func (m RayS) Describe() method.Description {
	return method.Description{
		Name: "rays", Access: assay.Labels, Iterative: true, Minimal: true, Norms: []method.Norm{method.Linf},
		Settings:  []method.Setting{{Name: "queries", Value: float64(m.Queries)}},
		Reference: "Chen and Gu 2020 (arXiv:2006.12792), Algorithm 3",
	}
}

// Perturb searches until it has found an adversarial example or asked all queries.
func (m RayS) Perturb(ctx context.Context, u method.Unit) error {
	s := newRays(u, m.Queries)
	if len(s.free) == 0 {
		return nil
	}
	for level := 0; ; level++ {
		blocks := len(s.free)
		if level < 30 {
			blocks = min(1<<level, len(s.free))
		}
		size := (len(s.free) + blocks - 1) / blocks
		for start := 0; start < len(s.free); start += size {
			err := s.turn(ctx, start, min(start+size, len(s.free)))
			if errors.Is(err, errEnough) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}
}

// rays is the search of one unit.
type rays struct {
	unit      method.Unit
	wide      method.Space
	free      []int
	signs     []float64 // of free
	radius    float64   // the least at which another class was met along signs
	most      float64   // beyond which nothing changes
	tolerance float64
	left      int
}

func newRays(u method.Unit, queries int) *rays {
	s := &rays{unit: u, wide: *u.Space(), left: queries, radius: math.Inf(1)}
	s.wide.Eps = math.Inf(1)
	s.free, _ = changeable(&s.wide)
	s.signs = make([]float64, len(s.free))
	width := usualWidth(&s.wide, s.free)
	s.tolerance = rayTolerance * width
	for i, j := range s.free {
		s.signs[i] = 1
		d := s.wide.Domain
		end := (float64(d.High[j]) - float64(d.Low[j])) / float64(d.Scale[j])
		if math.IsInf(end, 0) {
			end = max(width, 1) * 1e3
		}
		s.most = max(s.most, end)
	}
	return s
}

// turn tries the signs with those of a block turned.
func (s *rays) turn(ctx context.Context, start, end int) error {
	signs := slices.Clone(s.signs)
	for i := start; i < end; i++ {
		signs[i] = -signs[i]
	}
	high := min(s.radius, s.most)
	met, err := s.ask(ctx, signs, high)
	if err != nil || !met {
		return err
	}
	low := 0.0
	for high-low > s.tolerance {
		middle := (low + high) / 2
		if met, err = s.ask(ctx, signs, middle); err != nil {
			return err
		}
		if met {
			high = middle
		} else {
			low = middle
		}
	}
	if high < s.radius {
		s.signs, s.radius = signs, high
	}
	return nil
}

// ask tells whether the model sees another class at a radius along some signs, within the domain's limits.
func (s *rays) ask(ctx context.Context, signs []float64, radius float64) (bool, error) {
	if s.left--; s.left < 0 || s.unit.Found() {
		return false, errEnough
	}
	x := slices.Clone(s.unit.Clean())
	for i, j := range s.free {
		to := float64(x[j]) + signs[i]*radius*float64(s.wide.Domain.Scale[j])
		x[j] = float32(min(max(to, -math.MaxFloat32), math.MaxFloat32))
	}
	s.wide.Project(x)
	labels, err := s.unit.Labels(ctx, x)
	if err != nil {
		return false, err
	}
	if s.unit.Found() {
		return false, errEnough
	}
	return labels[0] >= 0 && labels[0] != s.unit.Label(), nil
}
