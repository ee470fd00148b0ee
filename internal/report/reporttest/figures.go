package reporttest

import (
	"math"

	"assay"
	"assay/internal/criteria"
	"assay/internal/report"
)

// confidence is that of each bound in the samples.
const confidence = 0.95

// bounds are Clopper and Pearson's for k of n, by bisection on the binomial tail.
func bounds(k, n int) (lower, upper float64) {
	if n == 0 {
		return 0, 1
	}
	lower, upper = 0, 1
	if k > 0 {
		lower = bisect(func(p float64) bool { return 1-below(k-1, n, p) > 1-confidence })
	}
	if k < n {
		upper = bisect(func(p float64) bool { return below(k, n, p) < 1-confidence })
	}
	return lower, upper
}

// below is the probability of at most k of n at rate p.
func below(k, n int, p float64) float64 {
	sum := 0.0
	all, _ := math.Lgamma(float64(n + 1))
	for i := range k + 1 {
		a, _ := math.Lgamma(float64(i + 1))
		b, _ := math.Lgamma(float64(n - i + 1))
		sum += math.Exp(all - a - b + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return sum
}

// bisect gives where a condition begins to hold between 0 and 1.
func bisect(holds func(float64) bool) float64 {
	low, high := 0.0, 1.0
	for range 60 {
		if middle := (low + high) / 2; holds(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// decision decides k of n against a limit, in the shape that criteria gives.
func decision(metric string, relation assay.Relation, limit float64, k, n int, reason string) criteria.Decision {
	d := criteria.Decision{
		Outcome: assay.Undecided, Metric: metric, Relation: relation, Limit: limit,
		Confidence: confidence, N: n, Reason: reason, Valid: []criteria.Check{},
	}
	if n == 0 {
		return d
	}
	estimate := float64(k) / float64(n)
	lower, upper := bounds(k, n)
	d.Estimate, d.Lower, d.Upper = &estimate, &lower, &upper
	switch {
	case relation.Holds(lower, limit) && relation.Holds(upper, limit):
		d.Outcome = assay.Adequate
	case !relation.Holds(lower, limit) && !relation.Holds(upper, limit):
		d.Outcome = assay.Inadequate
	}
	return d
}

// cost is the decision on k of n as a cost.
func cost(metric string, relation assay.Relation, limit float64, k, n int, reason string) criteria.CostDecision {
	d := decision(metric, relation, limit, k, n, reason)
	return criteria.CostDecision{
		Metric: metric, Relation: relation, Outcome: d.Outcome, Estimate: d.Estimate, Lower: d.Lower, Upper: d.Upper,
		Limit: limit, Confidence: confidence, N: n, Reason: reason,
	}
}

// curve is a success rate by budget.
func curve(name string, n int, budgets []float64, successes ...int) report.Curve {
	c := report.Curve{Name: name, Confidence: confidence, Points: []report.Point{}}
	for i, k := range successes {
		lower, upper := bounds(k, n)
		c.Points = append(c.Points, report.Point{
			Budget: budgets[i], Rate: float64(k) / float64(n), Lower: lower, Upper: upper, Successes: k, N: n,
		})
	}
	return c
}
