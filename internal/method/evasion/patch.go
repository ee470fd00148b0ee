package evasion

import (
	"context"
	"math"
	"slices"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
)

// AdversarialPatch covers a square of an image by a pattern that works on any image and at any place (Brown et al. 2017,
// arXiv:1712.09665, equation 1): it learns, from other images, one for each of some classes, by raising the
// expectation of the class's log probability over images and places. It is a digital attack: the pattern is neither turned nor
// lit nor printed. Eps is the share of the image's area.
//
// Departures: where a model can refuse to answer, the lead of the class aimed at is raised in place of its log probability, which
// cannot tell it from a refusal. Steps are of signs, and shrink; the paper's optimiser is not stated. A unit meets each pattern at some places drawn
// for it, where the paper reports the share of places that succeed.
type AdversarialPatch struct {
	Steps   int // of learning each pattern, at least 1
	Batch   int // images of each step, at least 1
	Targets int // classes that there is a pattern for, at most
	Places  int // at which a unit meets each, at least 1

	patterns []pattern
}

// pattern is what covers an image, by channel, line and column.
type pattern struct {
	target, channels, side int
	values                 []float32
}

const (
	patchStep  = 0.1  // the first step, as a part of the values' width
	patchFloor = 0.05 // of the first, where the last ends
)

// Describe tells what the method is.
func (m AdversarialPatch) Describe() method.Description {
	return method.Description{
		Name: "patch", Access: assay.Gradients, Iterative: true, Norms: []method.Norm{method.Patch},
		Settings: []method.Setting{
			{Name: "steps", Value: float64(m.Steps)}, {Name: "batch", Value: float64(m.Batch)},
			{Name: "targets", Value: float64(m.Targets)}, {Name: "places", Value: float64(m.Places)},
		},
		Reference: "Brown et al. 2017 (arXiv:1712.09665), equation 1",
	}
}

// Learn finds the patterns.
func (m AdversarialPatch) Learn(ctx context.Context, l *method.Lesson) (method.Method, error) {
	g := l.Domain.Image
	side := min(l.Space(l.Inputs[0].X).PatchSide(), g.Height, g.Width)
	m.patterns = []pattern{}
	for target := range min(m.Targets, l.Classes) {
		if side == 0 {
			break
		}
		p, err := m.learn(ctx, l, target, side)
		if err != nil {
			return nil, err
		}
		m.patterns = append(m.patterns, p)
	}
	return m, nil
}

// learn finds the pattern of a class.
func (m AdversarialPatch) learn(ctx context.Context, l *method.Lesson, target, side int) (pattern, error) {
	g := l.Domain.Image
	p := pattern{target, g.Channels, side, make([]float32, g.Channels*side*side)}
	low, high := p.limits(l.Domain, l.Inputs[0].X)
	for i := range p.values {
		p.values[i] = low[i] + l.Rand.Float32()*(high[i]-low[i])
	}
	others := slices.DeleteFunc(slices.Clone(l.Inputs), func(in method.Input) bool { return in.Label == target })
	if len(others) == 0 {
		return p, nil
	}
	for k := range m.Steps {
		slope, err := m.slope(ctx, l, p, others)
		if err != nil {
			return p, err
		}
		part := patchStep * max(1-float64(k)/float64(m.Steps), patchFloor)
		for i, v := range slope {
			if v != 0 {
				by := float32(math.Copysign(part*float64(high[i]-low[i]), v))
				p.values[i] = min(max(p.values[i]+by, low[i]), high[i])
			}
		}
	}
	return p, nil
}

// limits are those of the values: the domain's at the upper left corner, as those of a channel are mostly the same everywhere.
func (p pattern) limits(d *method.Domain, clean []float32) (low, high []float32) {
	for i := range p.values {
		j := d.Image.At(i/(p.side*p.side), i/p.side%p.side, i%p.side)
		from, to := d.Low[j], d.High[j]
		if from-from != 0 || to-to != 0 { // without limits: around the values there are
			from, to = slices.Min(clean), slices.Max(clean)
		}
		low, high = append(low, from), append(high, to)
	}
	return low, high
}

// slope is that of the sum of the log probabilities of the class aimed at over a batch of images, each covered at a place drawn; or of its lead.
func (m AdversarialPatch) slope(ctx context.Context, l *method.Lesson, p pattern, others []method.Input) ([]float64, error) {
	g := l.Domain.Image
	var rows [][]float32
	var labels []int
	var places [][2]int
	for range m.Batch {
		in := others[l.Rand.IntN(len(others))]
		at := [2]int{l.Rand.IntN(g.Height - p.side + 1), l.Rand.IntN(g.Width - p.side + 1)}
		rows, labels, places = append(rows, p.cover(l.Space(in.X), at)), append(labels, in.Label), append(places, at)
	}
	loss, sign := model.TargetedMargin, 1.0
	if !l.Refuses {
		loss, sign, labels = model.CrossEntropy, -1, slices.Repeat([]int{p.target}, m.Batch)
	}
	gradients, err := l.Gradients(ctx, loss, p.target, rows, labels)
	sum := make([]float64, len(p.values))
	for k, gradient := range gradients {
		for i := range sum {
			sum[i] += sign * float64(gradient.Slope[p.place(g, i, places[k])])
		}
	}
	return sum, err
}

// place is that in a row of the pattern's value i, for a pattern whose upper left corner is at a place.
func (p pattern) place(g *method.Image, i int, at [2]int) int {
	return g.At(i/(p.side*p.side), at[0]+i/p.side%p.side, at[1]+i%p.side)
}

// cover puts the pattern on an image.
func (p pattern) cover(s *method.Space, at [2]int) []float32 {
	x := slices.Clone(s.Clean)
	for i, v := range p.values {
		x[p.place(s.Domain.Image, i, at)] = v
	}
	s.Project(x)
	return x
}

// Perturb tries each pattern at each place.
func (m AdversarialPatch) Perturb(ctx context.Context, u method.Unit) error {
	if m.patterns == nil {
		return errUnlearnt
	}
	g, r := u.Space().Domain.Image, u.Rand()
	for _, p := range m.patterns {
		if p.target == u.Label() {
			continue
		}
		for left := m.Places; left > 0 && !u.Found(); left -= together(len(u.Clean())) {
			var rows []float32
			for range min(left, together(len(u.Clean()))) {
				rows = append(rows, p.cover(u.Space(), [2]int{r.IntN(g.Height - p.side + 1), r.IntN(g.Width - p.side + 1)})...)
			}
			if _, err := u.Labels(ctx, rows); err != nil {
				return err
			}
		}
	}
	return nil
}
