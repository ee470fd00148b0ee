package builtin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"assay/internal/method/substitution"
)

// TextMethod is a method for classifiers of texts by name. Of the settings it takes queries or draws.
type TextMethod struct {
	Name    string
	Summary string
	Takes   []string
	New     func(Settings) []substitution.Method
}

// The usual effort of searches of texts.
const (
	textQueries = 5000
	textDraws   = 500
)

// TextMethods gives all methods for texts, from the weakest to the strongest of each access.
func TextMethods() []TextMethod {
	one := func(m substitution.Method) []substitution.Method { return []substitution.Method{m} }
	beam := func(s Settings) substitution.Method { return substitution.Beam{Width: 8, Queries: s.Queries} }
	genetic := func(s Settings) substitution.Method {
		return substitution.Genetic{Population: 60, Generations: 20, Queries: s.Queries}
	}
	return []TextMethod{
		{Name: "word-noise", Summary: "random draws, by labels alone: what others must be better than", Takes: []string{"draws"},
			New: func(s Settings) []substitution.Method { return one(substitution.Noise{Draws: s.Draws}) }},
		{Name: "textfooler", Summary: "the most important words first", New: func(Settings) []substitution.Method { return one(substitution.TextFooler{}) }},
		{Name: "pwws", Summary: "the words that gain most, weighted by their saliency", New: func(Settings) []substitution.Method { return one(substitution.PWWS{}) }},
		{Name: "genetic", Summary: "a population of texts", Takes: []string{"queries"}, New: func(s Settings) []substitution.Method { return one(genetic(s)) }},
		{Name: "beam", Summary: "all replacements, the best kept", Takes: []string{"queries"}, New: func(s Settings) []substitution.Method { return one(beam(s)) }},
		{Name: "words", Summary: "textfooler, pwws, beam and genetic, until one succeeds", Takes: []string{"queries"},
			New: func(s Settings) []substitution.Method {
				return []substitution.Method{substitution.TextFooler{}, substitution.PWWS{}, beam(s), genetic(s)}
			}},
	}
}

// TextMethodNames are the names of all methods for texts.
func TextMethodNames() (names []string) {
	for _, m := range TextMethods() {
		names = append(names, m.Name)
	}
	return names
}

// FindText makes a method for texts by its name, or the methods of an ensemble. Given names the settings that are not to be the
// usual ones.
func FindText(name string, s Settings, given []string) ([]substitution.Method, error) {
	i := slices.IndexFunc(TextMethods(), func(m TextMethod) bool { return m.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no method %q for texts: use one of %s", name, strings.Join(TextMethodNames(), ", "))
	}
	m := TextMethods()[i]
	for _, flag := range given {
		if !slices.Contains(m.Takes, flag) {
			return nil, fmt.Errorf("%s has no %s to be set: %s", name, flag, takes(Method{Takes: m.Takes}))
		}
	}
	s.Queries, s.Draws = cmp.Or(s.Queries, textQueries), cmp.Or(s.Draws, textDraws)
	if s.Queries < 1 || s.Queries > 1e9 || s.Draws < 1 || s.Draws > 1e9 {
		return nil, fmt.Errorf("%d queries and %d draws: give from 1 to 1000000000", s.Queries, s.Draws)
	}
	return m.New(s), nil
}
