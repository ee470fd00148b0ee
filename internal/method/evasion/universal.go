package evasion

import (
	"context"
	"errors"
	"slices"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
)

// Universal adds one perturbation to every input, which it has learnt from others (Moosavi-Dezfooli et al. 2017, arXiv:1610.08401),
// by ascending the mean of the cross-entropy, cut off where an input is lost, over batches (Shafahi et al. 2020,
// arXiv:1811.11304, Algorithm 2 and equation 5): an attacker needs no more than to play it back.
//
// Departures: a step is the steepest in the norm and shrinks to nothing (signs in Linf, as in Mummadi et al. 2019, arXiv:1812.03705),
// where that paper takes the gradient as it is. Categories stay as they are.
type Universal struct {
	Steps int // of learning, at least 1
	Batch int // inputs of each step, at least 1

	learnt []float64 // by number, in units of its scale
}

const (
	universalStep = 0.2 // the first step, as a part of eps
	lossMost      = 9.0 // β of equation 5: an input whose loss is more pulls no further
)

// errUnlearnt says that a method was not taught.
var errUnlearnt = errors.New("it has to learn before it attacks")

// Describe tells what the method is.
func (m Universal) Describe() method.Description {
	return method.Description{
		Name: "universal", Access: assay.Gradients, Iterative: true, Norms: []method.Norm{method.Linf, method.L2, method.L1},
		Settings:  []method.Setting{{Name: "steps", Value: float64(m.Steps)}, {Name: "batch", Value: float64(m.Batch)}},
		Reference: "Shafahi et al. 2020 (arXiv:1811.11304), Algorithm 2",
	}
}

// Learn finds the perturbation.
func (m Universal) Learn(ctx context.Context, l *method.Lesson) (method.Method, error) {
	// The perturbation is a row around nothing, in a domain without limits.
	n := len(l.Domain.Low)
	d := &method.Domain{Low: make([]float32, n), High: make([]float32, n), Scale: l.Domain.Scale, Fixed: make([]bool, n)}
	for j := range n {
		d.Low[j], d.High[j] = -unlimited, unlimited
	}
	copy(d.Fixed, l.Domain.Fixed)
	for _, g := range l.Domain.Groups {
		for j := g.Start; j < g.End; j++ {
			d.Fixed[j] = true
		}
	}
	around := &method.Space{Domain: d, Norm: l.Attacker.Norm, Eps: l.Attacker.Eps, Clean: make([]float32, n)}
	delta := make([]float32, n)
	around.Random(l.Rand, delta)
	for k := range m.Steps {
		slope, err := m.slope(ctx, l, delta)
		if err != nil {
			return nil, err
		}
		around.Step(delta, slope, universalStep*(1-float64(k)/float64(m.Steps))*around.Eps)
	}
	m.learnt = make([]float64, n)
	for j, v := range delta {
		m.learnt[j] = float64(v)
	}
	return m, nil
}

// unlimited is beyond what any perturbation is, and such that float32 can tell it from infinity.
const unlimited = 1e30

// slope is the mean over a batch of inputs drawn.
func (m Universal) slope(ctx context.Context, l *method.Lesson, delta []float32) ([]float32, error) {
	var rows [][]float32
	var labels []int
	for range min(m.Batch, len(l.Inputs)) {
		in := l.Inputs[l.Rand.IntN(len(l.Inputs))]
		x := slices.Clone(in.X)
		for j, v := range delta {
			x[j] += v
		}
		l.Space(in.X).Project(x)
		rows, labels = append(rows, x), append(labels, in.Label)
	}
	gradients, err := l.Gradients(ctx, model.CrossEntropy, 0, rows, labels)
	mean := make([]float32, len(delta))
	for _, g := range gradients {
		if !(g.Loss < lossMost) {
			continue
		}
		for j, v := range g.Slope {
			mean[j] += v / float32(len(gradients))
		}
	}
	return mean, err
}

// Perturb adds the perturbation.
func (m Universal) Perturb(ctx context.Context, u method.Unit) error {
	if m.learnt == nil {
		return errUnlearnt
	}
	x := slices.Clone(u.Clean())
	for j, v := range m.learnt {
		x[j] += float32(v)
	}
	u.Space().Project(x)
	_, err := u.Labels(ctx, x)
	return err
}
