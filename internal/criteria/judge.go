package criteria

import (
	"fmt"
	"math"
	"sort"

	"assay"
)

// question asks on which side of a limit a metric is.
type question struct {
	metric     Metric
	relation   assay.Relation
	limit      float64
	confidence float64
	sampling   Sampling
}

// question gives a valid criterion's own question.
func (c Criterion) question() question {
	m, _ := metricNamed(c.Metric)
	return question{m, c.Relation, c.Limit, c.Confidence, c.Sampling}
}

// question gives a valid cost's question.
func (c Cost) question(confidence float64) question {
	m, _ := metricNamed(c.Metric)
	if c.Confidence != 0 {
		confidence = c.Confidence
	}
	return question{m, c.Relation, c.Limit, confidence, Sampling{Rule: Fixed}}
}

// verdict answers a question.
type verdict struct {
	outcome                assay.Outcome
	estimate, lower, upper *float64
	n                      int
	needed                 int     // more units that would decide, 0 for none that could
	p                      float64 // chance of so much evidence for the outcome at the limit; of either outcome when undecided
	reason                 string
}

func undecided(why string) verdict {
	return verdict{outcome: assay.Undecided, p: 1, reason: "Nothing is decided: " + why + "."}
}

// judge answers by the rule of sampling.
func (q question) judge(o Observations) verdict {
	switch {
	case o.Problem != "":
		return undecided(o.Problem)
	case q.sampling.Rule == Census:
		return q.census(o)
	case q.sampling.Rule == Sequential:
		return q.sequential(o)
	}
	return q.fixed(o)
}

// outcomeOf says what bounds decide.
func (q question) outcomeOf(lower, upper *float64) assay.Outcome {
	good, bad := upper, lower // the bounds that show either
	if q.relation == assay.AtLeast {
		good, bad = lower, upper
	}
	switch {
	case good != nil && q.relation.Holds(*good, q.limit):
		return assay.Adequate
	case bad != nil && !q.relation.Holds(*bad, q.limit):
		return assay.Inadequate
	}
	return assay.Undecided
}

// fixed decides once, when all units of the plan were observed. A plan that stopped
// before, for whatever reason, may have stopped because of what it saw.
func (q question) fixed(o Observations) verdict {
	s, err := q.sampleOf(o, q.sampling.N)
	if err != nil {
		return undecided(err.Error())
	}
	n := s.size()
	if n == 0 {
		return undecided("nothing was observed")
	}
	if n < q.sampling.N {
		v := undecided(fmt.Sprintf("the plan asked for %d %s, %d were observed, and a plan of a fixed size decides when it is complete",
			q.sampling.N, q.metric.units, n))
		v.estimate, v.n, v.needed = ptr(s.estimate()), n, q.sampling.N-n
		return v
	}
	v := verdict{n: n, estimate: ptr(s.estimate())}
	v.lower, v.upper = s.bounds(q.confidence)
	v.outcome = q.outcomeOf(v.lower, v.upper)
	v.p = q.chance(s, v.outcome)
	if v.outcome == assay.Undecided {
		v.needed = q.further(s, v)
	}
	v.reason = q.sentence(v, s)
	return v
}

// chance gives the chance, at the limit, of evidence as strong as a sample's for an
// outcome: 1 less the greatest confidence at which the sample would have that outcome.
// Bounds that are inverted tests make it an exact p-value. Where bounds are costly it is
// only known to be at most 1 less the confidence, and that is what it is taken for.
func (q question) chance(s sample, outcome assay.Outcome) float64 {
	if _, quick := s.(grower); !quick {
		if outcome == assay.Undecided {
			return 1
		}
		return 1 - q.confidence
	}
	shown := func(p float64) bool {
		got := q.outcomeOf(s.bounds(1 - p))
		return got == outcome || outcome == assay.Undecided && got != assay.Undecided
	}
	low, high := math.Log(1e-12), math.Log(0.5) // of p; bounds at less than even confidence say nothing
	switch {
	case !shown(0.5):
		return 1
	case shown(1e-12):
		return 1e-12
	}
	for range 24 {
		if middle := (low + high) / 2; shown(math.Exp(middle)) {
			high = middle
		} else {
			low = middle
		}
	}
	if outcome == assay.Undecided {
		return math.Exp(high)
	}
	return min(math.Exp(high), 1-q.confidence)
}

// further gives how many more units would decide if what was observed stays, 0 where
// no feasible number would.
func (q question) further(s sample, v verdict) int {
	n := s.size()
	g, ok := s.(grower)
	if !ok {
		return q.shrunk(v)
	}
	decides := func(n int) bool { return q.outcomeOf(g.grown(n).bounds(q.confidence)) != assay.Undecided }
	high := 2 * n
	for ; !decides(high); high *= 2 {
		if high > maxUnits/2 {
			return 0
		}
	}
	low := high / 2
	// Bounds move by steps with whole events, so this finds one such number and perhaps not the least.
	return low + 1 + sort.Search(high-low-1, func(i int) bool { return decides(low + 1 + i) }) - n
}

// shrunk is further for samples that are costly to bound: the distance of a bound from
// the estimate shrinks about as the root of n grows.
func (q question) shrunk(v verdict) int {
	bound, gap := v.upper, q.limit-*v.estimate
	if gap < 0 {
		bound = v.lower
	}
	if bound == nil || gap == 0 {
		return 0
	}
	ratio := (*bound - *v.estimate) / gap
	if needed := math.Ceil(float64(v.n) * (ratio*ratio - 1)); needed <= maxUnits {
		return max(1, int(needed))
	}
	return 0
}

// census decides without error of sampling: everything there is was looked at.
func (q question) census(o Observations) verdict {
	if q.metric.Kind == Count {
		if !o.Counted || o.Found < 0 {
			return undecided("nothing was counted")
		}
		return q.exact(float64(o.Found), o.Population, fmt.Sprintf("The %s is %d", q.metric.noun, o.Found))
	}
	everything := max(o.Population, q.sampling.N, len(o.Outcomes), len(o.Values))
	s, err := q.sampleOf(o, everything)
	if err != nil {
		return undecided(err.Error())
	}
	n := s.size()
	switch {
	case n == 0:
		return undecided("nothing was observed")
	case n < everything:
		v := undecided(fmt.Sprintf("%d of %d %s were observed, and a census takes all", n, everything, q.metric.units))
		v.estimate, v.n, v.needed = ptr(s.estimate()), n, everything-n
		return v
	}
	return q.exact(s.estimate(), n, q.metric.observed(s)+", all that there are")
}

// exact decides on a value that is known.
func (q question) exact(value float64, n int, seen string) verdict {
	v := verdict{outcome: assay.Inadequate, estimate: &value, lower: &value, upper: &value, n: n}
	good := q.relation.Holds(value, q.limit)
	if good {
		v.outcome = assay.Adequate
	}
	v.reason = fmt.Sprintf("%s: %s %s.", seen, side(q.relation, good), q.metric.limit(q.limit))
	return v
}
