package report

import (
	"fmt"
	"strings"

	"assay"
)

// CellStates gives all states of a cell, the furthest first.
func CellStates() []CellState { return []CellState{Decided, Covered, Excused, Open} }

// Count gives how many decisions have an outcome.
func (d *Document) Count(o assay.Outcome) int {
	n := 0
	for _, e := range d.Decisions {
		if e.Outcome == o {
			n++
		}
	}
	return n
}

// TestOf gives the test with an id, and nil where there is none.
func (d *Document) TestOf(id string) *Test {
	for i := range d.Tests {
		if d.Tests[i].ID == id {
			return &d.Tests[i]
		}
	}
	return nil
}

// InputOf gives the input with a role, and nil where there is none.
func (d *Document) InputOf(role string) *Input {
	for i := range d.Inputs {
		if d.Inputs[i].Role == role {
			return &d.Inputs[i]
		}
	}
	return nil
}

// Result says in one sentence what came out. It never says more than was decided:
// what is void, undecided or open is part of it.
func (d *Document) Result() string {
	if len(d.Void) > 0 {
		return "The evidence is void: no decision below may be relied on."
	}
	if len(d.Decisions) == 0 {
		return "Nothing has been decided."
	}
	open := 0
	for _, c := range d.Matrix {
		if c.State == Open {
			open++
		}
	}
	rest := "."
	if open > 0 {
		rest = fmt.Sprintf("; %d of %d combinations of vulnerability and function %s open.", open, len(d.Matrix), are(open))
	}
	n := len(d.Decisions)
	var parts []string
	for _, o := range assay.Outcomes() {
		k := d.Count(o)
		switch {
		case k == n && n == 1:
			return fmt.Sprintf("The one decision is %s%s", Words(string(o)), rest)
		case k == n:
			return fmt.Sprintf("All %d decisions are %s%s", n, Words(string(o)), rest)
		case k > 0:
			parts = append(parts, fmt.Sprintf("%d %s %s", k, are(k), Words(string(o))))
		}
	}
	last := len(parts) - 1
	return fmt.Sprintf("Of %d decisions, %s and %s%s", n, strings.Join(parts[:last], ", "), parts[last], rest)
}

// Sentence says what was decided and on which figures, for those who see no drawing.
func (d *Document) Sentence(e Decision) string {
	m := d.MetricOf(e.Decision.Metric)
	text := fmt.Sprintf("%s: %s %s: %s, limit %s, each bound at %s confidence, n = %d.", Words(string(e.Outcome)), e.Reason,
		m.Title, m.FormatInterval(e.Estimate, e.Lower, e.Upper, e.Limit), m.FormatLimit(e.Relation, e.Limit), Percent(e.Confidence), e.N)
	if e.Needed > 0 {
		text += fmt.Sprintf(" %d more observations would decide, if the rate stays.", e.Needed)
	}
	return text
}

// Details says, a line each, what the validity checks and the costs came to.
func (d *Document) Details(e Decision) []string {
	var lines []string
	for _, c := range e.Valid {
		result := "failed"
		if c.Passed {
			result = "passed"
		}
		lines = append(lines, fmt.Sprintf("check %s %s: %s", Words(c.Name), result, c.Detail))
	}
	for _, c := range e.Costs {
		m := d.MetricOf(c.Metric)
		lines = append(lines, fmt.Sprintf("cost %s %s: %s, limit %s, n = %d", m.Title, Words(string(c.Outcome)),
			m.FormatInterval(c.Estimate, c.Lower, c.Upper, c.Limit), m.FormatLimit(c.Relation, c.Limit), c.N))
	}
	return lines
}

func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
