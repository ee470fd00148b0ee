package evasion

import (
	"cmp"
	"context"
	"slices"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
)

// APGD is Auto-PGD (Croce and Hein 2020, arXiv:2003.01690, section 3, Algorithm 1): projected gradient ascent with
// momentum, whose step begins at 2·eps and is halved, and the search taken back to its best point, where
// too few steps went up or the best point stayed the same. It has no step size to be chosen.
//
// In L1 it is the search of Croce and Hein (2021, arXiv:2103.01208, Algorithm 1): see apgdl1.go.
//
// With EOT each gradient is the mean of so many, so that a model that draws at random is attacked on average (expectation over
// transformation: Athalye et al. 2018, arXiv:1802.00420, section 4.2), as in AutoAttack's version for such models.
//
// With Targets it searches towards each of the classes that are ahead of the others at the clean input,
// one after the other (section 4.2 of the paper: nine of them).
//
// Departures: it stops at the first adversarial example. The start is drawn as Space.Random does, in L2 from the
// ball and not from its surface. Whole numbers and categories take each step without momentum, which rounding
// would undo. A loss that needs more classes than there are gives way to the margin that it is made from: the ratio's
// denominator says nothing there.
type APGD struct {
	Steps    int        // of each search, at least 1
	Restarts int        // searches, at least 1; of each target
	Loss     model.Loss // cross-entropy, margin or DLR, and targeted ones where there are targets
	Targets  int        // classes to aim at, at most; 0 for none
	EOT      int        // gradients of which the mean is followed; 0 for 1
}

// The constants of Algorithm 1.
const (
	momentum = 0.75 // α: how much of a step is the gradient's, the rest being that of the step before
	upward   = 0.75 // ρ: the part of steps that must go up
)

// Describe tells what the method is.
func (m APGD) Describe() method.Description {
	d := method.Description{
		Name: "apgd-" + string(m.Loss), Access: assay.Gradients, Iterative: true,
		Settings:  []method.Setting{{Name: "steps", Value: float64(m.Steps)}, {Name: "restarts", Value: float64(m.Restarts)}},
		Reference: "Croce and Hein 2020 (arXiv:2003.01690), Algorithm 1",
		Norms:     []method.Norm{method.Linf, method.L2, method.L1},
	}
	switch m.Loss {
	case model.CrossEntropy:
		d.Name = "apgd-ce"
	case model.TargetedDLR:
		d.Name = "apgd-t"
	}
	if m.Targets > 0 {
		d.Settings = append(d.Settings, method.Setting{Name: "targets", Value: float64(m.Targets)})
	}
	if m.EOT > 1 {
		d.Name += "-eot"
		d.Settings = append(d.Settings, method.Setting{Name: "eot", Value: float64(m.EOT)})
	}
	return d
}

// Perturb searches until it has found an adversarial example or made all searches.
func (m APGD) Perturb(ctx context.Context, u method.Unit) error {
	targets := []int{0} // which an untargeted loss disregards
	if m.Targets > 0 {
		var err error
		if targets, err = others(ctx, u, m.Targets); err != nil {
			return err
		}
	}
	for _, target := range targets {
		for range m.Restarts {
			a := &ascent{unit: u, loss: m.loss(u.Classes()), target: target, eot: max(m.EOT, 1), x: make([]float32, len(u.Clean()))}
			u.Space().Random(u.Rand(), a.x)
			search := a.climb
			if u.Space().Norm == method.L1 {
				search = a.climbSparsely
			}
			if err := search(ctx, m.Steps); err != nil || u.Found() {
				return err
			}
		}
	}
	return nil
}

// loss is the method's where there are enough classes for it.
func (m APGD) loss(classes int) model.Loss {
	switch {
	case m.Loss == model.DLR && classes < 3:
		return model.Margin
	case m.Loss == model.TargetedDLR && classes < 4:
		return model.TargetedMargin
	}
	return m.Loss
}

// others gives the classes other than the label that are ahead at the clean input, at most n.
func others(ctx context.Context, u method.Unit, n int) ([]int, error) {
	scores, err := u.Scores(ctx, u.Clean())
	if err != nil {
		return nil, err
	}
	var classes []int
	for k := range scores {
		if k != u.Label() {
			classes = append(classes, k)
		}
	}
	slices.SortStableFunc(classes, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	return classes[:min(n, len(classes))], nil
}

// ascent is one search.
type ascent struct {
	unit   method.Unit
	loss   model.Loss
	target int
	eot    int

	x, previous []float32
	now         method.Gradient // at x
	best        []float32       // the point of the greatest loss
	bestAt      method.Gradient

	constrained bool // relations are kept as CAPGD keeps them
}

// climb searches from x, by so many steps.
func (a *ascent) climb(ctx context.Context, steps int) (err error) {
	if a.now, err = a.gradient(ctx); err != nil {
		return err
	}
	a.previous, a.best, a.bestAt = a.x, a.x, a.now
	size, next, s := 2*a.unit.Space().Eps, 0, schedule(steps)
	last, lastBest, halved, up := 0, a.now.Loss, false, 0
	for k := 1; k <= steps && !a.unit.Found(); k++ {
		before := a.now.Loss
		if err := a.step(ctx, size); err != nil {
			return err
		}
		if a.now.Loss > before {
			up++
		}
		if next == len(s) || k < s[next] {
			continue
		}
		stuck := !halved && !(a.bestAt.Loss > lastBest)
		if halved = stuck || float64(up) < upward*float64(k-last); halved {
			size /= 2
			a.x, a.now = a.best, a.bestAt
		}
		next, last, lastBest, up = next+1, k, a.bestAt.Loss, 0
	}
	return nil
}

// schedule gives the steps after which the search is looked at: after 22 % of all, and then at intervals
// that are each shorter by 3 % of all, until they are 6 % (section 3.1 of the paper).
func schedule(steps int) (at []int) {
	for share, interval := 22, 22; share <= 100; share += interval {
		at = append(at, (share*steps+99)/100)
		interval = max(interval-3, 6)
	}
	return at
}

// step goes one step on (the third and fourth line of the loop in Algorithm 1).
func (a *ascent) step(ctx context.Context, size float64) (err error) {
	s := a.unit.Space()
	z, slope, settle := slices.Clone(a.x), finite(a.now.Slope), s.Project
	if a.constrained {
		settle = s.Repair
		slope = slices.Clone(slope)
		s.Tangent(z, slope)
	}
	s.Move(z, slope, size)
	settle(z)
	whole := func(j int) bool { return s.Domain.Integer != nil && s.Domain.Integer[j] }
	x := make([]float32, len(z))
	for j, v := range z {
		x[j] = v
		if at := float64(a.x[j]); !whole(j) {
			x[j] = float32(at + momentum*(float64(v)-at) + (1-momentum)*(at-float64(a.previous[j])))
		}
	}
	for _, g := range s.Domain.Groups {
		copy(x[g.Start:g.End], z[g.Start:g.End])
	}
	settle(x)
	a.previous, a.x = a.x, x
	if a.now, err = a.gradient(ctx); err == nil && a.now.Loss > a.bestAt.Loss {
		a.best, a.bestAt = a.x, a.now
	}
	return err
}

// gradient is the mean of those at x.
func (a *ascent) gradient(ctx context.Context) (method.Gradient, error) {
	g, err := a.unit.Gradient(ctx, a.loss, a.target, a.x)
	part := 1 / float32(a.eot)
	for draw := 1; draw < a.eot && err == nil && !a.unit.Found(); draw++ {
		next, failed := a.unit.Gradient(ctx, a.loss, a.target, a.x)
		if err = failed; err != nil {
			break
		}
		g.Loss += next.Loss
		for j, v := range next.Slope {
			g.Slope[j] += v
		}
	}
	if a.eot > 1 {
		g.Loss *= part
		for j := range g.Slope {
			g.Slope[j] *= part
		}
	}
	return g, err
}
