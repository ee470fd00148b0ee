package evasion

import (
	"context"
	"math"
	"slices"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
)

// DeepFool goes from the clean input to the nearest boundary with another class as it is to first order, again and again until
// it is beyond it (Moosavi-Dezfooli et al. 2016, arXiv:1511.04599, Algorithm 2; Linf in section 3.3).
//
// Departures: each step is the least within the domain's limits, of which the paper knows none. Where the end is
// adversarial, less of the overshoot is tried too, as it is no part of the distance that the paper reports. Whole numbers move as others
// do, and are rounded at the end, where more of the way is tried in case it falls short. Categories stay as they are.
type DeepFool struct {
	Steps   int // at least 1; 50 in the authors' program
	Targets int // classes that are looked at, of those ahead of others at the clean input; 9 there
}

// deepFoolBeyond is the overshoot η of section 3.1 of the paper.
const deepFoolBeyond = 0.02

// Describe tells what the method is.
func (m DeepFool) Describe() method.Description {
	return method.Description{
		Name: "deepfool", Access: assay.Gradients, Iterative: true, Minimal: true, Norms: []method.Norm{method.Linf, method.L2},
		Settings:  []method.Setting{{Name: "steps", Value: float64(m.Steps)}, {Name: "targets", Value: float64(m.Targets)}},
		Reference: "Moosavi-Dezfooli et al. 2016 (arXiv:1511.04599), Algorithm 2",
	}
}

// Perturb goes on until it is beyond the boundary.
func (m DeepFool) Perturb(ctx context.Context, u method.Unit) error {
	b := newBoundarySearch(u, true)
	targets, err := others(ctx, u, m.Targets)
	if err != nil {
		return err
	}
	relaxed := *b.wide.Domain
	relaxed.Integer = nil
	b.wide.Domain = &relaxed
	x := slices.Clone(u.Clean())
	for range m.Steps {
		change, err := m.least(ctx, b, x, targets)
		if err != nil {
			return err
		}
		x = b.moved(x, change)
		margin, err := b.try(ctx, b.between(u.Clean(), x, 1+deepFoolBeyond))
		if err != nil {
			return err
		}
		if margin < 0 {
			return m.end(ctx, b, x)
		}
	}
	return nil
}

// end asks about points beyond the boundary at x: with less of the overshoot, or with whole numbers and more of the way.
func (m DeepFool) end(ctx context.Context, b *boundarySearch, x []float32) error {
	d := b.unit.Space().Domain
	if d.Integer == nil || !slices.Contains(d.Integer, true) {
		for _, over := range []float64{deepFoolBeyond / 10, deepFoolBeyond / 100} {
			if margin, err := b.try(ctx, b.between(b.unit.Clean(), x, 1+over)); err != nil || !(margin < 0) {
				return err
			}
		}
		return nil
	}
	for _, more := range []float64{1, 1.25, 1.5, 2, 3, 4} {
		whole, space := b.between(b.unit.Clean(), x, more), b.wide
		space.Domain = d
		rounded(&space, whole)
		if margin, err := labelMargin(ctx, b.unit, whole); err != nil || margin < 0 {
			return err
		}
	}
	return nil
}

// least is the shortest change that leads to the boundary with any of some classes as the gradients at x have it.
func (m DeepFool) least(ctx context.Context, b *boundarySearch, x []float32, targets []int) ([]float64, error) {
	shortest, out := math.Inf(1), make([]float64, len(b.free))
	for _, target := range targets {
		g, err := b.unit.Gradient(ctx, model.TargetedMargin, target, x)
		if err != nil {
			return nil, err
		}
		slope, flat := make([]float64, len(b.free)), true
		for i, j := range b.free {
			slope[i] = float64(g.Slope[j]) * float64(b.wide.Domain.Scale[j])
			flat = flat && slope[i] == 0
		}
		if flat { // it leads nowhere
			continue
		}
		change := b.reach(x, slope, -float64(g.Loss))
		gained := 0.0
		for i, v := range change {
			gained += v * slope[i]
		}
		length := b.length(change)
		if short := gained < -float64(g.Loss)*(1-1e-6); short {
			length = math.MaxFloat64 // the limits end before that boundary
		}
		if length < shortest {
			shortest, out = length, change
		}
	}
	return out, nil
}
