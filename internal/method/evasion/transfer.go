package evasion

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
)

// Transfer looks for adversarial examples of surrogates, whose gradients the attacker has, and asks the target about
// them alone: it needs no more than labels. It is the momentum iterative method (Dong et al. 2018, arXiv:1710.06081,
// Algorithm 1), against all surrogates together where there are several (section 3.3). A search is made for
// cross-entropy and one for the margin, each from the input and from starts drawn at random.
//
// Departures: surrogates are joined in their normalised gradients, not their logits, as they may be of any kind;
// steps have the size 2.5·eps/Steps, which reaches every end from every start; and the target is asked on
// the way as well as at its end, since what the surrogates are surest of is not what transfers best.
//
// Queries of the target that went into the surrogates are not among a unit's.
type Transfer struct {
	Surrogates []model.Differentiable // of rows and classes as the target's
	Steps      int                    // of each search, at least 1
	Restarts   int                    // starts of each search, at least 1
}

const (
	decay = 1.0 // μ: how much of the earlier gradients stays (Dong et al. 2018, section 4.1)
	asks  = 4   // how often on the way, at even intervals, the target is asked
)

// Describe tells what the method is.
func (m Transfer) Describe() method.Description {
	d := method.Description{
		Name: "transfer", Access: assay.Labels,
		Settings:  []method.Setting{{Name: "steps", Value: float64(m.Steps)}, {Name: "restarts", Value: float64(m.Restarts)}},
		Reference: "Dong et al. 2018 (arXiv:1710.06081), Algorithm 1, on surrogates (Papernot et al. 2017, arXiv:1602.02697)",
	}
	if len(m.Surrogates) > 0 {
		d.Settings = append(d.Settings, method.Setting{Name: "surrogates", Value: float64(len(m.Surrogates))})
	}
	return d
}

// Perturb searches until it has found an adversarial example or made all searches.
func (m Transfer) Perturb(ctx context.Context, u method.Unit) error {
	if len(m.Surrogates) == 0 {
		return errors.New("a transfer needs a surrogate")
	}
	for _, loss := range []model.Loss{model.CrossEntropy, model.Margin} {
		if err := m.climb(ctx, u, loss); err != nil || u.Found() {
			return err
		}
	}
	return nil
}

// climb is one search from all starts side by side.
func (m Transfer) climb(ctx context.Context, u method.Unit, loss model.Loss) error {
	width := len(u.Clean())
	rows := slices.Clone(u.Clean())
	for range m.Restarts - 1 {
		x := make([]float32, width)
		u.Space().Random(u.Rand(), x)
		rows = append(rows, x...)
	}
	velocity := make([]float32, len(rows))
	for k := 1; k <= m.Steps; k++ {
		for i := range velocity {
			velocity[i] *= decay
		}
		for _, s := range m.Surrogates {
			if err := addSlopes(ctx, u, s, loss, rows, velocity); err != nil {
				return err
			}
		}
		for i := 0; i < len(rows); i += width {
			u.Space().Step(rows[i:i+width], velocity[i:i+width], 2.5/float64(m.Steps)*u.Space().Eps)
		}
		if k*asks/m.Steps == (k-1)*asks/m.Steps {
			continue
		}
		if _, err := u.Labels(ctx, rows); err != nil || u.Found() {
			return err
		}
	}
	return nil
}

// addSlopes adds a surrogate's gradients at rows, each of length 1 in L1 in the domain's scale.
func addSlopes(ctx context.Context, u method.Unit, s model.Differentiable, loss model.Loss, rows, to []float32) error {
	width, classes := len(u.Clean()), u.Classes()
	together := max(s.Batch(), 1) * width
	for start := 0; start < len(rows); start += together {
		part := rows[start:min(start+together, len(rows))]
		n := len(part) / width
		labels, losses := make([]int32, n), make([]float32, n)
		for i := range labels {
			labels[i] = int32(u.Label())
		}
		slope := make([]float32, len(part))
		if err := s.Gradient(ctx, loss, part, labels, nil, make([]float32, n*classes), losses, slope); err != nil {
			return fmt.Errorf("the surrogate's gradient: %w", err)
		}
		for i := range n {
			addUnit(u.Space().Domain, finite(slope[i*width:(i+1)*width]), to[start+i*width:])
		}
	}
	return nil
}

// addUnit adds a slope, divided by its length in L1 where it has one.
func addUnit(d *method.Domain, slope, to []float32) {
	length := 0.0
	for j, g := range slope {
		length += math.Abs(float64(g) * float64(d.Scale[j]))
	}
	if length == 0 || math.IsInf(length, 0) {
		return
	}
	for j, g := range slope {
		to[j] += float32(float64(g) / length)
	}
}
