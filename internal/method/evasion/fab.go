package evasion

import (
	"cmp"
	"context"
	"math"
	"slices"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
)

// FAB is the fast adaptive boundary attack (Croce and Hein 2020, arXiv:1907.02044, Algorithm 1), targeted as in
// AutoAttack (arXiv:2003.01690, section 5): it looks for the nearest adversarial example. Each step goes to the
// boundary with one other class as it is to first order, within the domain, from a mixture of the point that
// it has reached and the clean input; from each adversarial example it turns back towards the clean input.
//
// Departures: the first and only start for each class is the clean input. The final search interpolates the margin
// three times, as in the paper, but goes a hundredth of the rest beyond the root, so that it ends on the adversarial
// side; and three times it takes the point of the linearised boundary that is nearest to the clean input, since where numbers are at
// their limits that does not lie on the way back. Categories stay as they are, and whole numbers are rounded after each
// step, which it does not foresee.
type FAB struct {
	Steps   int  // towards each class, at least 1
	Targets int  // classes, at most, those ahead of others at the clean input first
	Nearest bool // search on after an adversarial example within eps, for the nearest
}

// The constants of the paper's experiments, and of the final search.
const (
	mixing    = 0.1  // α_max: how much of a step may start from the clean input
	overshoot = 1.05 // η: how far beyond the boundary a step goes
	turnback  = 0.9  // β: how far from the clean input the search goes on after an adversarial example

	beyondRoot  = 0.01 // of what is left, in the final search
	beyondPlane = 1e-4 // of the change, at its end
)

// Describe tells what the method is.
func (m FAB) Describe() method.Description {
	return method.Description{
		Name: "fab-t", Access: assay.Gradients, Iterative: true, Minimal: m.Nearest,
		Settings:  []method.Setting{{Name: "steps", Value: float64(m.Steps)}, {Name: "targets", Value: float64(m.Targets)}},
		Reference: "Croce and Hein 2020 (arXiv:1907.02044), Algorithm 1",
		Norms:     []method.Norm{method.Linf, method.L2, method.L1},
	}
}

// Perturb searches towards each class.
func (m FAB) Perturb(ctx context.Context, u method.Unit) error {
	b := newBoundarySearch(u, m.Nearest)
	targets, err := others(ctx, u, m.Targets)
	if err != nil {
		return err
	}
	for _, target := range targets {
		if err := b.toward(ctx, target, m.Steps); err != nil || b.done() {
			return err
		}
	}
	return b.finish(ctx)
}

// boundarySearch looks for the nearest adversarial example of one unit.
type boundarySearch struct {
	unit     method.Unit
	wide     method.Space // the unit's without a limit to the perturbation
	free     []int        // the numbers that may change
	nearest  bool
	best     []float32 // adversarial; nil before one is found
	margin   float64   // of the label at best
	distance float64   // of best
}

func newBoundarySearch(u method.Unit, nearest bool) *boundarySearch {
	b := &boundarySearch{unit: u, wide: *u.Space(), nearest: nearest}
	b.wide.Eps = math.Inf(1)
	b.free, _ = changeable(&b.wide)
	return b
}

func (b *boundarySearch) done() bool { return b.unit.Found() && !b.nearest }

// toward searches for the boundary with one class.
func (b *boundarySearch) toward(ctx context.Context, target, steps int) error {
	clean := b.unit.Clean()
	x := slices.Clone(clean)
	for range steps {
		g, err := b.unit.Gradient(ctx, model.TargetedMargin, target, x)
		if err != nil || b.done() {
			return err
		}
		x = b.step(x, g)
		margin, err := b.try(ctx, x)
		if err != nil || b.done() {
			return err
		}
		if margin < 0 {
			x = b.between(clean, x, turnback)
		}
	}
	return nil
}

// between gives the point at a share of the way from one to another, whole numbers rounded.
func (b *boundarySearch) between(from, to []float32, share float64) []float32 {
	x := make([]float32, len(from))
	for j, v := range from {
		x[j] = float32((1-share)*float64(v) + share*float64(to[j]))
	}
	b.wide.Project(x)
	return x
}

// step goes from a point beyond the boundary as the gradient there has it.
func (b *boundarySearch) step(x []float32, g method.Gradient) []float32 {
	own, fresh := b.changes(x, g)
	share := mixing
	if both := b.length(own) + b.length(fresh); both > 0 {
		share = min(b.length(own)/both, mixing)
	}
	change := make([]float64, len(b.free))
	for i, j := range b.free {
		back := (float64(b.unit.Clean()[j]) - float64(x[j])) / float64(b.wide.Domain.Scale[j])
		change[i] = share*back + overshoot*((1-share)*own[i]+share*fresh[i])
	}
	return b.moved(x, change)
}

// changes gives the least changes of a point and of the clean input that lead to the boundary as the gradient at the
// point has it.
func (b *boundarySearch) changes(x []float32, g method.Gradient) (own, fresh []float64) {
	clean, slope, back := b.unit.Clean(), make([]float64, len(b.free)), 0.0
	for i, j := range b.free {
		slope[i] = float64(g.Slope[j]) * float64(b.wide.Domain.Scale[j])
		back += float64(g.Slope[j]) * (float64(clean[j]) - float64(x[j]))
	}
	needed := -float64(g.Loss)
	return b.reach(x, slope, needed), b.reach(clean, slope, needed-back)
}

// moved gives a point with a change added, within the domain.
func (b *boundarySearch) moved(from []float32, change []float64) []float32 {
	x := slices.Clone(from)
	for i, j := range b.free {
		to := float64(from[j]) + change[i]*float64(b.wide.Domain.Scale[j])
		x[j] = float32(min(max(to, -math.MaxFloat32), math.MaxFloat32))
	}
	b.wide.Project(x)
	return x
}

// reach gives the least change of a point, in units of the scale, that the slope has gain what is needed.
func (b *boundarySearch) reach(x []float32, slope []float64, needed float64) []float64 {
	d, clean := b.wide.Domain, b.unit.Clean()
	low, high := make([]float64, len(b.free)), make([]float64, len(b.free))
	for i, j := range b.free {
		at, scale := float64(x[j]), float64(d.Scale[j])
		low[i] = (float64(min(d.Low[j], clean[j])) - at) / scale
		high[i] = (float64(max(d.High[j], clean[j])) - at) / scale
	}
	return leastGaining(b.wide.Norm, slope, low, high, needed)
}

// length measures a change in the norm.
func (b *boundarySearch) length(change []float64) float64 {
	switch b.wide.Norm {
	case method.L2:
		return math.Sqrt(square(change, nil))
	case method.L1:
		return sum(change, nil)
	}
	largest := 0.0
	for _, v := range change {
		largest = max(largest, math.Abs(v))
	}
	return largest
}

// try asks for the margin of a point, below 0 where it is adversarial, and keeps the nearest that is.
func (b *boundarySearch) try(ctx context.Context, x []float32) (margin float64, err error) {
	if margin, err = labelMargin(ctx, b.unit, x); err != nil || !(margin < 0) {
		return margin, err
	}
	if distance := b.wide.Distance(x); b.best == nil || distance < b.distance {
		b.best, b.margin, b.distance = x, margin, distance
	}
	return margin, nil
}

// finish searches between the clean input and the nearest adversarial example, where the margin is 0, and then where the
// boundary is nearest to the clean input as the gradient at that example has it.
func (b *boundarySearch) finish(ctx context.Context) error {
	if b.best == nil {
		return nil
	}
	if err := b.interpolate(ctx); err != nil {
		return err
	}
	for range 3 {
		g, err := b.unit.Gradient(ctx, model.Margin, 0, b.best)
		if err != nil || b.done() {
			return err
		}
		_, change := b.changes(b.best, g)
		for i := range change {
			change[i] *= 1 + beyondPlane
		}
		if _, err := b.try(ctx, b.moved(b.unit.Clean(), change)); err != nil {
			return err
		}
	}
	return nil
}

func (b *boundarySearch) interpolate(ctx context.Context) error {
	inside := b.unit.Clean()
	margin, err := labelMargin(ctx, b.unit, inside)
	for range 3 {
		if err != nil || b.done() || !(margin > 0) {
			return err
		}
		share := margin / (margin - b.margin)
		x := b.between(inside, b.best, share+beyondRoot*(1-share))
		at, failed := b.try(ctx, x)
		if err = failed; !(at < 0) {
			inside, margin = x, at
		}
	}
	return err
}

// leastGaining gives the shortest vector in a norm, between limits on both sides of 0, whose product with a slope
// is what is needed; the one that comes nearest to it where none does (arXiv:1907.02044, section 2).
//
// By the Karush-Kuhn-Tucker conditions each number is that of the unlimited solution for a multiplier, cut
// off at its limit: the multiplier itself in Linf, in L2 times the slope. What is gained
// is concave in the multiplier and made of straight pieces, so that Newton's method from 0 ends at the multiplier sought
// without passing it, where the paper sorts the pieces. In L1 the numbers go to their limits one after the other, the
// steepest first.
func leastGaining(norm method.Norm, slope, low, high []float64, needed float64) []float64 {
	sign := math.Copysign(1, needed)
	needed = math.Abs(needed)
	rate, limit := make([]float64, len(slope)), make([]float64, len(slope))
	for j, v := range slope {
		rate[j] = 1
		if norm == method.L2 {
			rate[j] = math.Abs(v)
		}
		if limit[j] = high[j]; v*sign < 0 {
			limit[j] = -low[j]
		}
	}
	if norm == method.L1 {
		return steepestGaining(slope, limit, needed, sign)
	}
	multiplier := 0.0
	for range 100 { // Newton needs few: each passes the end of a piece
		missing, steepness := needed, 0.0
		for j, v := range slope {
			missing -= math.Abs(v) * min(multiplier*rate[j], limit[j])
			if multiplier*rate[j] < limit[j] {
				steepness += math.Abs(v) * rate[j]
			}
		}
		further := multiplier + missing/steepness
		if !(further > multiplier) || math.IsInf(further, 1) {
			if missing > 0 && steepness == 0 {
				multiplier = math.MaxFloat64 // all that there is
			}
			break
		}
		multiplier = further
	}
	out := make([]float64, len(slope))
	for j, v := range slope {
		if v != 0 {
			out[j] = math.Copysign(max(min(multiplier*rate[j], limit[j]), 0), v*sign)
		}
	}
	return out
}

// steepestGaining is leastGaining in L1.
func steepestGaining(slope, limit []float64, needed, sign float64) []float64 {
	order, out := make([]int, len(slope)), make([]float64, len(slope))
	for j := range order {
		order[j] = j
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(math.Abs(slope[b]), math.Abs(slope[a])) })
	for _, j := range order {
		v := math.Abs(slope[j])
		if v == 0 || !(needed > 0) {
			break
		}
		by := max(min(needed/v, limit[j]), 0)
		out[j] = math.Copysign(by, slope[j]*sign)
		needed -= by * v
	}
	return out
}
