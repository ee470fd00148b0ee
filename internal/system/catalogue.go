package system

import (
	"fmt"
	"maps"
	"slices"

	"assay"
)

// Catalogue is what names of a description can stand for. An empty list leaves its
// names unchecked.
type Catalogue struct {
	Goals     map[string]assay.Cell // by id
	Ratings   map[string][]string   // by factor, such as expertise
	Attackers []string
	Metrics   []string
	Checks    []string
}

// Check looks for names that are not in the catalogue, and for goals that are not
// about what their solution does. The error is as that of Decode.
func (s *System) Check(known Catalogue) error {
	c := &checker{Document: s.document.Fresh(), system: s}
	r := s.Circumstances.Attacker
	for factor, rating := range map[string]string{"elapsed-time": r.ElapsedTime, "expertise": r.Expertise,
		"knowledge": r.Knowledge, "opportunity": r.Opportunity, "equipment": r.Equipment} {
		c.known("circumstances.attacker."+factor, "rating", rating, known.Ratings[factor])
	}
	solutions := index(s.Solutions, solutionName)
	for i := range s.Goals {
		g := &s.Goals[i]
		c.knownGoal(g, solutions[g.Solution], known)
	}
	if err := c.Err(); err != nil {
		return assay.WithCode(assay.CodeInput, err)
	}
	return nil
}

func (c *checker) known(path, what, name string, names []string) {
	if name != "" && len(names) > 0 && !slices.Contains(names, name) {
		c.Unknown(path, name, "is no "+what+" of the catalogue", names)
	}
}

func (c *checker) knownGoal(g *Goal, t *Solution, known Catalogue) {
	cell, ok := known.Goals[g.Goal]
	switch {
	case len(known.Goals) == 0:
	case !ok:
		c.known(g.At+".goal", "goal", g.Goal, slices.Sorted(maps.Keys(known.Goals)))
	case !slices.Contains(t.Cells, cell):
		c.Fail(g.At+".goal", "is about %s, which is none of the cells of the solution %s", cell, t.Name)
	}
	if g.Attacker != nil {
		c.known(g.At+".attacker.profile", "attacker", g.Attacker.Profile, known.Attackers)
	}
	if g.Criterion == nil {
		return
	}
	for i, cost := range g.Criterion.Costs {
		c.known(fmt.Sprintf("%s.criterion.costs[%d].metric", g.At, i), "metric", cost.Metric, known.Metrics)
	}
	for i, check := range g.Criterion.Checks {
		c.known(fmt.Sprintf("%s.criterion.checks[%d]", g.At, i), "check", check, known.Checks)
	}
}
