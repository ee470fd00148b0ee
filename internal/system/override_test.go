package system

import (
	"reflect"
	"testing"

	"assay"
	"assay/internal/criteria"
)

func TestApply(t *testing.T) {
	base := criteria.Criterion{
		Metric: "attack-success-rate", Relation: assay.AtMost, Limit: 0.1, Confidence: 0.95,
		Sampling: criteria.Sampling{Rule: criteria.Sequential, N: 500, Power: 0.8, Assumed: 0.05},
		Costs:    []criteria.Cost{{Metric: "clean-accuracy-loss", Relation: assay.AtMost, Limit: 0.05}},
		Checks:   []string{"positive-control"},
	}
	before := base
	before.Costs, before.Checks = append([]criteria.Cost{}, base.Costs...), append([]string{}, base.Checks...)
	limit, n, census := 0.2, 400, criteria.Census
	got, changes := (&Criterion{
		Limit: &limit, Confidence: &base.Confidence, Sampling: &Sampling{N: &n},
		Costs:  []Cost{{"clean-accuracy-loss", assay.AtMost, 0.03, 0.9}, {"latency-p95", assay.AtMost, 2, 0}},
		Checks: []string{"positive-control", "converged"},
	}).Apply(base)
	want := criteria.Criterion{
		Metric: "attack-success-rate", Relation: assay.AtMost, Limit: 0.2, Confidence: 0.95,
		Sampling: criteria.Sampling{Rule: criteria.Sequential, N: 400, Power: 0.8, Assumed: 0.05},
		Costs:    []criteria.Cost{{Metric: "clean-accuracy-loss", Relation: assay.AtMost, Limit: 0.03, Confidence: 0.9}, {Metric: "latency-p95", Relation: assay.AtMost, Limit: 2}},
		Checks:   []string{"positive-control", "converged"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if told := []Change{
		{"criterion.limit", "0.1", "0.2"}, {"criterion.sampling.n", "500", "400"},
		{"criterion.costs[0]", "clean-accuracy-loss at-most 0.05", "clean-accuracy-loss at-most 0.03 at confidence 0.9"},
		{"criterion.costs[1]", "none", "latency-p95 at-most 2"}, {"criterion.checks[1]", "not asked for", "converged"},
	}; !reflect.DeepEqual(changes, told) {
		t.Errorf("the changes are %+v", changes)
	}
	if !reflect.DeepEqual(base, before) {
		t.Errorf("the base became %+v", base)
	}
	if got, changes := (*Criterion)(nil).Apply(base); !reflect.DeepEqual(got, base) || changes != nil {
		t.Errorf("nothing replaced: %+v, %+v", got, changes)
	}
	got, changes = (&Criterion{Sampling: &Sampling{Rule: &census}}).Apply(base)
	if got.Sampling != (criteria.Sampling{Rule: criteria.Census}) || len(changes) != 1 {
		t.Errorf("a census: %+v, %+v", got.Sampling, changes)
	}
}
