package criteria

import (
	"fmt"
	"slices"
	"strings"

	"assay"
)

// Decide says what a criterion makes of observations.
//
// The validity gate comes first: where a check failed, or one that the criterion asks
// for is missing, the outcome is Invalid, whatever was observed. Else it is Adequate
// where the criterion and every one of its costs are shown to be met, each by an exact
// one-sided bound at its confidence; Inadequate where one of them is shown not to be;
// and Undecided otherwise, with the number of further units that would decide.
//
// A fixed plan decides once, on its first N observations. A sequential plan decides at
// the first observation at which its test does, and what comes after that is not looked
// at. Checks may be more than the criterion asks for; costs are found by their metric.
func Decide(c Criterion, o Observations, checks []Check, costs []CostObservations) Decision {
	d := Decision{
		Outcome: assay.Undecided, Metric: c.Metric, Relation: c.Relation, Limit: c.Limit, Confidence: c.Confidence,
		P: 1, Valid: append([]Check{}, checks...),
	}
	if err := c.Validate(); err != nil {
		d.Outcome, d.Reason = assay.Invalid, fmt.Sprintf("The criterion cannot be used: %v.", err)
		return d
	}
	v := c.question().judge(o)
	d.Estimate, d.Lower, d.Upper, d.N = v.estimate, v.lower, v.upper, v.n
	verdicts := []verdict{v}
	for _, cost := range c.Costs {
		q := cost.question(c.Confidence)
		w := q.judgeCost(costs)
		verdicts = append(verdicts, w)
		d.Costs = append(d.Costs, CostDecision{
			Metric: cost.Metric, Relation: cost.Relation, Outcome: w.outcome, Estimate: w.estimate, Lower: w.lower, Upper: w.upper,
			Limit: cost.Limit, Confidence: q.confidence, N: w.n, Reason: w.reason,
		})
	}
	if reason := gate(c, checks); reason != "" {
		d.Outcome, d.Reason = assay.Invalid, reason
		return d
	}
	d.join(c, verdicts)
	return d
}

// gate says why the test does not count, and nothing where it does.
func gate(c Criterion, checks []Check) string {
	var faults []string
	for _, check := range checks {
		if !check.Passed {
			fault := fmt.Sprintf("the check %s failed", check.Name)
			if check.Detail != "" {
				fault += " (" + strings.TrimSuffix(check.Detail, ".") + ")"
			}
			faults = append(faults, fault)
		}
	}
	for _, name := range c.Checks {
		if !slices.ContainsFunc(checks, func(k Check) bool { return k.Name == name }) {
			faults = append(faults, fmt.Sprintf("the check %s was not made", name))
		}
	}
	if len(faults) == 0 {
		return ""
	}
	return "The test could have missed a failure, so it decides nothing: " + strings.Join(faults, "; ") + "."
}

// join makes one decision of the verdicts on the criterion, which is the first, and on its costs.
func (d *Decision) join(c Criterion, verdicts []verdict) {
	var bad, open []int
	smallest, largest := 1.0, 0.0
	for i, v := range verdicts {
		switch v.outcome {
		case assay.Inadequate:
			bad = append(bad, i)
			smallest = min(smallest, v.p)
		case assay.Undecided:
			open = append(open, i)
			d.Needed = max(d.Needed, v.needed)
		}
		largest = max(largest, v.p)
	}
	switch {
	case len(bad) > 0:
		// Any one of so many bounds could be wrong (Bonferroni).
		d.Outcome, d.P, d.Needed = assay.Inadequate, min(1, smallest*float64(len(verdicts))), 0
	case len(open) > 0:
		d.Outcome, d.P = assay.Undecided, largest
	default:
		// All must hold, so a wrong decision needs the weakest of them to be wrong.
		d.Outcome, d.P = assay.Adequate, largest
	}
	d.Reason = verdicts[0].reason
	decisive := bad
	if len(bad) == 0 {
		decisive = open
	}
	for _, i := range decisive {
		if i > 0 {
			d.Reason = strings.TrimSuffix(d.Reason, ".") + "; at the cost " + c.Costs[i-1].Metric + " it is " + string(verdicts[i].outcome) + ": " + verdicts[i].reason
		}
	}
}

// judgeCost finds the observations of a cost and judges them.
func (q question) judgeCost(costs []CostObservations) verdict {
	i := slices.IndexFunc(costs, func(o CostObservations) bool { return o.Metric == q.metric.Name })
	if i < 0 {
		return undecided("the cost was not observed")
	}
	o := costs[i].Observations
	q.sampling.N = max(len(o.Outcomes), len(o.Values))
	return q.judge(o)
}
