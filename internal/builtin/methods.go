// Package builtin is the list of what Assay has, to be read in one place.
package builtin

import (
	"fmt"
	"slices"
	"strings"

	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/model"
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

	Shape  []int64 // of one row of the model
	Layout model.Layout
}

// Method is a method by name.
type Method struct {
	Name    string
	Summary string
	Takes   []string // of the settings, by their flags
	New     func(Settings) method.Method
}

// Methods gives all methods, from the weakest to the strongest of each access.
func Methods() []Method {
	return []Method{
		{"noise", "random draws, which learn nothing: what others must be better than", []string{"draws"},
			func(s Settings) method.Method { return evasion.Noise{Draws: s.Draws} }},
		{"hopskipjump", "follows the boundary by decisions alone", []string{"queries"},
			func(s Settings) method.Method { return evasion.HopSkipJump{Queries: s.Queries, Draws: 100} }},
		{"square", "random search by scores", []string{"queries"},
			func(s Settings) method.Method {
				return evasion.Square{Queries: s.Queries, Share: 0.8, Shape: s.Shape, Layout: s.Layout}
			}},
		{"fgsm", "one step along the gradient", nil,
			func(Settings) method.Method { return evasion.FGSM{} }},
		{"pgd", "many steps along the gradient, from several starts", []string{"steps", "step-size", "restarts", "loss"},
			func(s Settings) method.Method {
				return evasion.PGD{Steps: s.Steps, Step: s.Step, Restarts: s.Restarts, Loss: s.Loss}
			}},
	}
}

// Find makes a method by its name. Given names the settings that are not to be the usual ones.
func Find(name string, s Settings, given []string) (method.Method, error) {
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
		if err := s.complete(); err != nil {
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
func (s *Settings) complete() error {
	for _, v := range []struct {
		value       *int
		usual, most int
		what        string
	}{
		{&s.Steps, 40, 1e6, "steps"}, {&s.Restarts, 2, 1e6, "restarts"},
		{&s.Queries, 5000, 1e9, "queries"}, {&s.Draws, 1000, 1e9, "draws"},
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
