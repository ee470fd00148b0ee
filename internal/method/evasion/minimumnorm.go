package evasion

import (
	"context"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
)

// MinimumNorm looks for the least eps at which Auto-PGD breaks a unit, by a binary search between 0 and the attacker's
// eps. Where Auto-PGD fails at one eps it goes on with a larger, where it succeeds with less than the distance of what it found.
// At each it follows cross-entropy, and then the targeted difference of logits ratio, as AutoAttack does. So it gives success against the budget in one run (Carlini et al. 2019, arXiv:1902.06705, section 5.3: "plot the attack success rate
// against the budget"); each of its searches is that of APGD.
type MinimumNorm struct {
	Steps    int // of each search of Auto-PGD, at least 1
	Searches int // halvings, at least 1: the eps found is exact to eps/2^Searches, as far as Auto-PGD succeeds wherever that is possible
	Targets  int // classes that it aims at where cross-entropy alone leads nowhere, at most; 0 for none
}

// Describe tells what the method is.
func (m MinimumNorm) Describe() method.Description {
	return method.Description{
		Name: "min-norm", Access: assay.Gradients, Iterative: true, Minimal: true, Norms: APGD{}.Describe().Norms,
		Settings:  []method.Setting{{Name: "steps", Value: float64(m.Steps)}, {Name: "searches", Value: float64(m.Searches)}, {Name: "targets", Value: float64(m.Targets)}},
		Reference: "binary search over eps with Auto-PGD, Croce and Hein 2020 (arXiv:2003.01690), Algorithm 1",
	}
}

// Perturb makes all its searches.
func (m MinimumNorm) Perturb(ctx context.Context, u method.Unit) error {
	follow := []APGD{{Steps: m.Steps, Restarts: 1, Loss: model.CrossEntropy}}
	if m.Targets > 0 && u.Classes() > 2 {
		follow = append(follow, APGD{Steps: m.Steps, Restarts: 1, Loss: model.TargetedDLR, Targets: m.Targets})
	}
	low, high, eps := 0.0, u.Space().Eps, u.Space().Eps
	for range m.Searches + 1 {
		n := &narrowed{Unit: u, space: *u.Space()}
		n.space.Eps = eps
		for _, apgd := range follow {
			if err := apgd.Perturb(ctx, n); err != nil {
				return err
			}
			if n.Found() {
				break
			}
		}
		switch {
		case n.Found():
			high = u.Nearest()
		case eps == u.Space().Eps:
			return nil // not even with all that the attacker has
		default:
			low = eps
		}
		eps = (low + high) / 2
	}
	return nil
}

// narrowed is a unit with less eps.
type narrowed struct {
	method.Unit
	space method.Space
}

func (n *narrowed) Space() *method.Space { return &n.space }
func (n *narrowed) Found() bool          { return n.Nearest() <= n.space.Eps }
