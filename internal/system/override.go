package system

import (
	"fmt"
	"slices"

	"assay/internal/criteria"
)

// Change is something of the catalogue that a description replaces.
type Change struct {
	Field    string // of the goal in the description, such as criterion.limit
	From, To string
}

// Apply replaces in the catalogue's criterion what the description replaces, and tells
// what that changes. It does not change base.
func (c *Criterion) Apply(base criteria.Criterion) (criteria.Criterion, []Change) {
	if c == nil {
		return base, nil
	}
	var changes []Change
	replace(&changes, "criterion.limit", &base.Limit, c.Limit)
	replace(&changes, "criterion.confidence", &base.Confidence, c.Confidence)
	if s := c.Sampling; s != nil {
		replace(&changes, "criterion.sampling.rule", &base.Sampling.Rule, s.Rule)
		if base.Sampling.Rule == criteria.Census {
			base.Sampling = criteria.Sampling{Rule: criteria.Census} // it takes every unit there is
		}
		replace(&changes, "criterion.sampling.n", &base.Sampling.N, s.N)
		replace(&changes, "criterion.sampling.power", &base.Sampling.Power, s.Power)
		replace(&changes, "criterion.sampling.assumed", &base.Sampling.Assumed, s.Assumed)
	}
	base.Costs, base.Checks = slices.Clone(base.Costs), slices.Clone(base.Checks)
	for i, cost := range c.Costs {
		field, by := fmt.Sprintf("criterion.costs[%d]", i), criteria.Cost(cost)
		at := slices.IndexFunc(base.Costs, func(known criteria.Cost) bool { return known.Metric == cost.Metric })
		if at < 0 {
			base.Costs = append(base.Costs, by)
			changes = append(changes, Change{field, "none", costText(by)})
			continue
		}
		if base.Costs[at] != by {
			changes = append(changes, Change{field, costText(base.Costs[at]), costText(by)})
			base.Costs[at] = by
		}
	}
	for i, check := range c.Checks {
		if !slices.Contains(base.Checks, check) {
			base.Checks = append(base.Checks, check)
			changes = append(changes, Change{fmt.Sprintf("criterion.checks[%d]", i), "not asked for", check})
		}
	}
	return base, changes
}

func replace[T comparable](changes *[]Change, field string, value, by *T) {
	if by == nil || *by == *value {
		return
	}
	*changes = append(*changes, Change{field, fmt.Sprint(*value), fmt.Sprint(*by)})
	*value = *by
}

func costText(c criteria.Cost) string {
	text := fmt.Sprintf("%s %s %v", c.Metric, c.Relation, c.Limit)
	if c.Confidence != 0 {
		text += fmt.Sprintf(" at confidence %v", c.Confidence)
	}
	return text
}
