package evasion

import (
	"context"
	"slices"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
)

// PGD is projected gradient descent (Madry et al. 2018, arXiv:1706.06083, section 2.1; L2
// in its appendix C): Steps steps of Step·eps up the gradient of a loss, each followed by a
// projection, Restarts times over.
//
// Departures: the first start is the clean input, as in the basic iterative method (Kurakin
// et al. 2017, arXiv:1607.02533, section 2.2), so that one search is never misled by
// its start; the others are drawn from the space. It stops at the first adversarial
// example. Numbers of the slope that are not finite count as 0.
// A loss that needs more classes than there are gives way to the margin.
type PGD struct {
	Steps    int        // of each search, at least 1
	Step     float64    // their size, as a part of eps: 2.5/Steps can reach every end from every start
	Restarts int        // searches, at least 1
	Loss     model.Loss // none that is targeted
}

// Describe tells what the method is.
func (m PGD) Describe() method.Description {
	name := "pgd"
	if m.Loss != model.CrossEntropy {
		name += "-" + string(m.Loss)
	}
	return method.Description{
		Name: name, Access: assay.Gradients, Iterative: true,
		Settings: []method.Setting{
			{Name: "steps", Value: float64(m.Steps)}, {Name: "step", Value: m.Step}, {Name: "restarts", Value: float64(m.Restarts)},
		},
		Reference: "Madry et al. 2018 (arXiv:1706.06083), section 2.1",
	}
}

// Perturb searches until it has found an adversarial example or made all searches.
func (m PGD) Perturb(ctx context.Context, u method.Unit) error {
	x := slices.Clone(u.Clean())
	for i := 0; i < m.Restarts && !u.Found(); i++ {
		if i > 0 {
			u.Space().Random(u.Rand(), x)
		}
		if err := m.climb(ctx, u, x); err != nil {
			return err
		}
	}
	return nil
}

// climb is one search.
func (m PGD) climb(ctx context.Context, u method.Unit, x []float32) error {
	for range m.Steps {
		g, err := u.Gradient(ctx, fitting(m.Loss, u.Classes()), 0, x)
		if err != nil || u.Found() {
			return err
		}
		u.Space().Step(x, finite(g.Slope), m.Step*u.Space().Eps)
	}
	_, err := u.Labels(ctx, x)
	return err
}

// finite is a slope with 0 for what is not finite.
func finite(slope []float32) []float32 {
	for i, v := range slope {
		if v-v != 0 {
			slope[i] = 0
		}
	}
	return slope
}
