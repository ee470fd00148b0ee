package criteria

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"assay"
)

// number writes a value of a metric for people: a share in percent.
func (m Metric) number(v float64, digits int) string {
	switch m.Kind {
	case Count:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case Quantile:
		return strconv.FormatFloat(v, 'g', max(3, digits+2), 64) + " " + m.Unit
	case Difference:
		return strconv.FormatFloat(100*v, 'f', digits, 64) + " percentage points"
	}
	return strconv.FormatFloat(100*v, 'f', digits, 64) + " %"
}

// beside writes a bound beside its limit, with as many digits as it takes to see on
// which side it is.
func (m Metric) beside(v, limit float64) string {
	digits := 1
	for ; digits < 8 && v != limit; digits++ {
		if m.number(v, digits) != m.number(limit, digits) {
			break
		}
	}
	return m.number(v, digits)
}

// limit writes a limit as it was given.
func (m Metric) limit(v float64) string {
	switch m.Kind {
	case Count:
		return m.number(v, 0)
	case Quantile:
		return trim(v) + " " + m.Unit
	case Difference:
		return trim(100*v) + " percentage points"
	}
	return trim(100*v) + " %"
}

func trim(v float64) string {
	return strconv.FormatFloat(math.Round(v*1e9)/1e9, 'f', -1, 64)
}

// confidenceText rounds down: more is never claimed than there is.
func confidenceText(confidence float64) string {
	text := trim(100 * confidence)
	if len(text) > len("99.999") {
		text = trim(math.Floor(1e4*confidence) / 100)
	}
	return text + " % confidence"
}

// side says in words on which side of its limit a metric is.
func side(r assay.Relation, good bool) string {
	switch {
	case good && r == assay.AtMost:
		return "within the limit of"
	case good:
		return "not below the limit of"
	case r == assay.AtMost:
		return "above the limit of"
	}
	return "below the limit of"
}

// observed begins a sentence: what was seen.
func (m Metric) observed(s sample) string {
	estimate := m.number(s.estimate(), 1)
	if p, ok := s.(proportion); ok {
		return fmt.Sprintf("%s %d of %d %s (%s)", m.event, p.events, p.n, m.units, estimate)
	}
	return fmt.Sprintf("The %s was %s over %d %s", m.noun, estimate, s.size(), m.units)
}

// sentence says what a verdict rests on.
func (q question) sentence(v verdict, s sample) string {
	m := q.metric
	seen := m.observed(s)
	confidence := confidenceText(q.confidence)
	limit := m.limit(q.limit)
	upper, lower := "", ""
	if v.upper != nil {
		upper = m.beside(*v.upper, q.limit)
	}
	if v.lower != nil {
		lower = m.beside(*v.lower, q.limit)
	}
	atMost := q.relation == assay.AtMost
	switch {
	case v.outcome == assay.Undecided:
		between := "cannot be bounded"
		switch {
		case v.lower != nil && v.upper != nil:
			between = "is between " + lower + " and " + upper
		case v.lower != nil:
			between = "is at least " + lower
		case v.upper != nil:
			between = "is at most " + upper
		}
		return fmt.Sprintf("%s; with %s each way the %s %s, which leaves the limit of %s open; %s.", seen, confidence, m.noun, between, limit, q.more(v))
	case (v.outcome == assay.Adequate) == atMost:
		return fmt.Sprintf("%s; with %s the %s is at most %s, %s %s.", seen, confidence, m.noun, upper, side(q.relation, atMost), limit)
	}
	return fmt.Sprintf("%s; with %s the %s is at least %s, %s %s.", seen, confidence, m.noun, lower, side(q.relation, !atMost), limit)
}

// more says what would decide.
func (q question) more(v verdict) string {
	switch {
	case v.needed == 0:
		return "what was observed lies too near the limit for any feasible number to decide"
	case q.sampling.Rule == Sequential:
		return fmt.Sprintf("about %d more %s would decide if what was observed stays", v.needed, q.metric.units)
	}
	return fmt.Sprintf("a plan made anew, of %d %s, would decide if what was observed stays", v.n+v.needed, q.metric.units)
}

// String says in words what the criterion asks for, without its costs and checks.
func (c Criterion) String() string {
	m, ok := metricNamed(c.Metric)
	if !ok {
		return c.Metric
	}
	return fmt.Sprintf("%s %s %s, with %s", c.Metric, relationText(c.Relation), m.limit(c.Limit), confidenceText(c.Confidence))
}

// String says in words what the cost may be.
func (c Cost) String() string {
	m, ok := metricNamed(c.Metric)
	if !ok {
		return c.Metric
	}
	return fmt.Sprintf("%s %s %s", c.Metric, relationText(c.Relation), m.limit(c.Limit))
}

func relationText(r assay.Relation) string { return strings.ReplaceAll(string(r), "-", " ") }
