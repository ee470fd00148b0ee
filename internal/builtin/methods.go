// Package builtin is the list of what Assay has, to be read in one place.
package builtin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/model"
	"assay/internal/trees"
)

// Settings are what the methods can be told, each of which some take. A zero stands for
// the usual value.
type Settings struct {
	Steps    int        // of a search
	Step     float64    // its size, as a part of eps
	Restarts int        // searches
	Loss     model.Loss // that gradients are followed of
	Queries  int        // of a search without gradients
	Draws    int        // at random
	Searches int        // one after the other, each of so many steps, for the nearest
	Work     int        // pairs of boxes of leaves
	Beam     int        // rows that a search goes on from

	Trees   *trees.Ensemble // of the model, nil where it has none
	NoTrees error           // why

	Norm method.Norm

	Surrogates []model.Differentiable // whose gradients are followed in place of the model's
}

// Method is a method by name.
type Method struct {
	Name    string
	Summary string
	Takes   []string // of the settings, by their flags
	Trees   bool     // it is for ensembles of decision trees alone
	Usual   Settings // where they are not those of all methods
	New     func(Settings) []method.Method
}

// one is a method that is no ensemble.
func one(m method.Method) []method.Method { return []method.Method{m} }

// Methods gives all methods, from the weakest to the strongest of each access.
func Methods() []Method {
	auto := Settings{Steps: 100, Restarts: 1}
	return append([]Method{
		{Name: "noise", Summary: "random draws, which learn nothing: what others must be better than", Takes: []string{"draws"},
			New: func(s Settings) []method.Method { return one(evasion.Noise{Draws: s.Draws}) }},
		{Name: "hopskipjump", Summary: "follows the boundary by decisions alone", Takes: []string{"queries"},
			New: func(s Settings) []method.Method { return one(evasion.HopSkipJump{Queries: s.Queries, Draws: 100}) }},
		{Name: "transfer", Summary: "adversarial examples of surrogates, by their gradients", Takes: []string{"steps", "restarts"}, Usual: Settings{Restarts: 4},
			New: func(s Settings) []method.Method {
				return one(evasion.Transfer{Surrogates: s.Surrogates, Steps: s.Steps, Restarts: s.Restarts})
			}},
		{Name: "square", Summary: "random search by scores", Takes: []string{"queries"},
			New: func(s Settings) []method.Method {
				return one(evasion.Square{Queries: s.Queries, Share: 0.8})
			}},
		{Name: "fgsm", Summary: "one step along the gradient",
			New: func(Settings) []method.Method { return one(evasion.FGSM{}) }},
		{Name: "pgd", Summary: "many steps along the gradient, from several starts", Takes: []string{"steps", "step-size", "restarts", "loss"},
			New: func(s Settings) []method.Method {
				return one(evasion.PGD{Steps: s.Steps, Step: s.Step, Restarts: s.Restarts, Loss: s.Loss})
			}},
		{Name: "apgd-ce", Summary: "Auto-PGD, which sets its own steps, on cross-entropy", Takes: []string{"steps", "restarts"}, Usual: auto,
			New: func(s Settings) []method.Method {
				return one(evasion.APGD{Steps: s.Steps, Restarts: s.Restarts, Loss: model.CrossEntropy})
			}},
		{Name: "apgd-dlr", Summary: "Auto-PGD on the difference of logits ratio", Takes: []string{"steps", "restarts"}, Usual: auto,
			New: func(s Settings) []method.Method {
				return one(evasion.APGD{Steps: s.Steps, Restarts: s.Restarts, Loss: model.DLR})
			}},
		{Name: "apgd-t", Summary: "Auto-PGD towards each of nine other classes", Takes: []string{"steps", "restarts"}, Usual: auto,
			New: func(s Settings) []method.Method {
				return one(evasion.APGD{Steps: s.Steps, Restarts: s.Restarts, Loss: model.TargetedDLR, Targets: 9})
			}},
		{Name: "fab-t", Summary: "the nearest adversarial example, towards each of nine other classes", Takes: []string{"steps"}, Usual: auto,
			New: func(s Settings) []method.Method {
				return one(evasion.FAB{Steps: s.Steps, Targets: 9, Nearest: true})
			}},
		{Name: "autoattack", Summary: "AutoAttack's standard version: apgd-ce, apgd-t, fab-t and square, until one succeeds",
			New: func(s Settings) []method.Method { return evasion.AutoAttack(s.Norm) }},
		{Name: "apgd-ce-eot", Summary: "apgd-ce on the mean of twenty gradients, of models that draw at random", Takes: []string{"steps", "restarts"}, Usual: auto,
			New: func(s Settings) []method.Method {
				return one(evasion.APGD{Steps: s.Steps, Restarts: s.Restarts, Loss: model.CrossEntropy, EOT: 20})
			}},
		{Name: "apgd-dlr-eot", Summary: "apgd-dlr on the mean of twenty gradients", Takes: []string{"steps", "restarts"}, Usual: auto,
			New: func(s Settings) []method.Method {
				return one(evasion.APGD{Steps: s.Steps, Restarts: s.Restarts, Loss: model.DLR, EOT: 20})
			}},
		{Name: "autoattack-rand", Summary: "AutoAttack's version for models that draw at random: apgd-ce-eot and apgd-dlr-eot, until one succeeds",
			New: func(Settings) []method.Method { return evasion.AutoAttackRandom() }},
	}, slices.Concat(tabular(), further())...)
}

// Find makes a method by its name, or the methods of an ensemble, which run in order on what is left
// unbroken. Given names the settings that are not to be the usual ones.
func Find(name string, s Settings, given []string) ([]method.Method, error) {
	var names []string
	for _, m := range Methods() {
		if names = append(names, m.Name); m.Name != name {
			continue
		}
		for _, flag := range given {
			if !slices.Contains(m.Takes, flag) {
				return nil, fmt.Errorf("%s has no %s to be set: %s", name, flag, takes(m))
			}
		}
		if m.Trees && s.NoTrees != nil {
			return nil, fmt.Errorf("%s is for models of decision trees: %w", name, s.NoTrees)
		}
		if err := s.complete(m.Usual); err != nil {
			return nil, err
		}
		return m.New(s), nil
	}
	return nil, fmt.Errorf("there is no method %q: use one of %s", name, strings.Join(names, ", "))
}

func takes(m Method) string {
	if len(m.Takes) == 0 {
		return "it has no settings"
	}
	return "it takes " + strings.Join(m.Takes, ", ")
}

// complete checks the settings and fills in the usual ones.
func (s *Settings) complete(usual Settings) error {
	for _, v := range []struct {
		value       *int
		usual, most int
		what        string
	}{
		{&s.Steps, cmp.Or(usual.Steps, 40), 1e6, "steps"}, {&s.Restarts, cmp.Or(usual.Restarts, 2), 1e6, "restarts"},
		{&s.Queries, cmp.Or(usual.Queries, 5000), 1e9, "queries"}, {&s.Draws, cmp.Or(usual.Draws, 1000), 1e9, "draws"},
		{&s.Searches, cmp.Or(usual.Searches, 10), 100, "searches"},
		{&s.Work, 2e6, 1e12, "pairs of boxes of work"}, {&s.Beam, 10, 1e4, "rows of a beam"},
	} {
		if *v.value == 0 {
			*v.value = v.usual
		}
		if *v.value < 1 || *v.value > v.most {
			return fmt.Errorf("%d %s: give from 1 to %d", *v.value, v.what, v.most)
		}
	}
	if s.Step == 0 {
		s.Step = min(2.5/float64(s.Steps), 1)
	}
	if !(s.Step > 0 && s.Step <= 2) {
		return fmt.Errorf("a step size of %v: give a part of eps, above 0 and at most 2", s.Step)
	}
	losses := []model.Loss{model.CrossEntropy, model.Margin, model.DLR}
	if s.Loss == "" {
		s.Loss = model.CrossEntropy
	}
	if !slices.Contains(losses, s.Loss) {
		return fmt.Errorf("there is no loss %q: use one of %q", s.Loss, losses)
	}
	return nil
}
