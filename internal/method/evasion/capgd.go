package evasion

import (
	"context"
	"slices"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
)

// CAPGD is constrained adaptive PGD, for tables (Simonetto et al. 2024, arXiv:2406.00775, section 4): Auto-PGD with a repair
// after each step, by which the numbers of a violated relation move along rather than back, from the clean input first and
// then from starts drawn at random.
//
// Departures: the relations here are inequalities, to which the repair projects, and along which the slope goes where they
// bind; so no penalty for violations is part of the loss. Besides, those of APGD.
type CAPGD struct {
	Steps    int        // of each search, at least 1
	Restarts int        // searches, at least 1
	Loss     model.Loss // cross-entropy or margin
}

// Describe tells what the method is.
func (m CAPGD) Describe() method.Description {
	name := "capgd-" + string(m.Loss)
	if m.Loss == model.CrossEntropy {
		name = "capgd-ce"
	}
	return method.Description{
		Name: name, Access: assay.Gradients, Iterative: true,
		Settings:  []method.Setting{{Name: "steps", Value: float64(m.Steps)}, {Name: "restarts", Value: float64(m.Restarts)}},
		Reference: "Simonetto et al. 2024 (arXiv:2406.00775), section 4",
	}
}

// Perturb searches until it has found an adversarial example or made all searches.
func (m CAPGD) Perturb(ctx context.Context, u method.Unit) error {
	for i := range m.Restarts {
		x := slices.Clone(u.Clean())
		if i > 0 {
			u.Space().Random(u.Rand(), x)
		}
		a := &ascent{unit: u, loss: m.Loss, x: x, constrained: true}
		if err := a.climb(ctx, m.Steps); err != nil || u.Found() {
			return err
		}
	}
	return nil
}

// CAA is the constrained adaptive attack (Simonetto et al. 2024, section 5): CAPGD by two losses and, on what that leaves, a
// search that needs no gradients. Theirs is the evolutionary MOEVA (Simonetto et al. 2022, arXiv:2112.01156); ours
// is Beam.
func CAA(steps, restarts, queries, width int) []method.Method {
	return []method.Method{
		CAPGD{Steps: steps, Restarts: restarts, Loss: model.CrossEntropy},
		CAPGD{Steps: steps, Restarts: restarts, Loss: model.Margin},
		Beam{Queries: queries, Width: width},
	}
}
