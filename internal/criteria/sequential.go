package criteria

import (
	"fmt"
	"math"

	"assay"
	"assay/internal/stat"
)

// Monitor tells, unit by unit, when a plan needs no more observations. It decides as
// Decide does on the same observations in the same order.
type Monitor struct {
	question   question
	sequential *stat.Sequential // nil for plans that are not
	n, events  int
}

// NewMonitor begins a plan of a metric whose units have an event or not.
func NewMonitor(c Criterion) (*Monitor, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m := &Monitor{question: c.question()}
	if m.question.metric.Kind != Proportion {
		return nil, fmt.Errorf("%s is no proportion of units, which is what is watched unit by unit", c.Metric)
	}
	if c.Sampling.Rule == Sequential {
		s, err := m.question.test(c.Sampling.N)
		if err != nil {
			return nil, err
		}
		m.sequential = s
	}
	return m, nil
}

// Observe takes whether the event happened on the next unit, and reports whether the
// plan is done: decided, or all its units observed. What is observed after that
// changes nothing. A census without a number of units is never done.
func (m *Monitor) Observe(event bool) (done bool) {
	if m.Done() {
		return true
	}
	m.n++
	if event {
		m.events++
	}
	if m.sequential != nil {
		m.sequential.Observe(event)
	}
	return m.Done()
}

// Done reports whether the plan needs no more observations.
func (m *Monitor) Done() bool {
	if m.sequential != nil {
		return m.sequential.Decision() != stat.Continue
	}
	return m.question.sampling.N > 0 && m.n >= m.question.sampling.N
}

// Outcome is what the criterion alone, without checks and costs, comes to so far.
func (m *Monitor) Outcome() assay.Outcome {
	switch {
	case m.sequential != nil:
		return outcomeOfTest[m.sequential.Decision()]
	case !m.Done():
		return assay.Undecided
	}
	return m.question.outcomeOf(proportion{m.events, m.n}.bounds(m.question.confidence))
}

// outcomeOfTest gives the outcomes of the decisions of a test.
var outcomeOfTest = map[stat.Decision]assay.Outcome{
	stat.Good: assay.Adequate, stat.Bad: assay.Inadequate, stat.Continue: assay.Undecided, stat.Exhausted: assay.Undecided,
}

// N is how many observations counted.
func (m *Monitor) N() int { return m.n }

// test gives the sequential test of a question.
func (q question) test(horizon int) (*stat.Sequential, error) {
	return stat.NewSequential(q.limit, q.confidence, q.relation == assay.AtMost, horizon)
}

// sequential decides at the first observation at which the test does. What is observed
// afterwards is not looked at.
func (q question) sequential(o Observations) verdict {
	s, err := q.test(q.sampling.N)
	if err != nil {
		return undecided(err.Error())
	}
	if len(o.Outcomes) == 0 {
		return undecided("nothing was observed")
	}
	for _, event := range o.Outcomes {
		if s.Observe(event) != stat.Continue {
			break
		}
	}
	seen := o.Outcomes[:s.N()]
	sample := proportion{tally(seen), len(seen)}
	v := verdict{outcome: outcomeOfTest[s.Decision()], n: sample.n, estimate: ptr(sample.estimate()), p: 1}
	if v.outcome == assay.Undecided {
		v.needed = q.furtherOf(seen)
	} else {
		v.p = 1 - q.confidence // its stake has grown to 1/p (Ville 1939)
	}
	v.lower, v.upper = q.always(seen)
	v.reason = q.sentence(v, sample)
	return v
}

// furtherOf gives how many more units would decide a plan without end, if the share
// stays, and 0 where none would.
func (q question) furtherOf(seen []bool) int {
	s, err := q.test(0)
	if err != nil {
		return 0
	}
	for _, event := range seen {
		s.Observe(event)
	}
	more, ok := s.Needed()
	if !ok || len(seen)+more > maxUnits {
		return 0
	}
	return more
}

// finest is how fine the bounds of a sequential plan are, which are rounded outward.
const finest = 1e-6

// always gives bounds that hold at all times: the rates that the same test, with each as
// its limit, has excluded by now, on its one side and on its other. nil is for none.
func (q question) always(seen []bool) (lower, upper *float64) {
	above, below := stat.Good, stat.Bad // the sides that exclude rates above and below
	if q.relation == assay.AtLeast {
		above, below = stat.Bad, stat.Good
	}
	return q.nearest(seen, finest, below), q.nearest(seen, 1-finest, above)
}

// nearest gives the excluded rate that is nearest to the observed one, on the way to end.
// What lies beyond an excluded rate is excluded too. The limit is asked first, so that
// the bound is on that side of it on which the test itself has decided.
func (q question) nearest(seen []bool, end float64, side stat.Decision) *float64 {
	excluded := func(rate float64) bool {
		at := q
		at.limit = rate
		s, err := at.test(len(seen))
		if err != nil {
			return false
		}
		for _, event := range seen {
			s.Observe(event)
		}
		return s.Decision() == side
	}
	open := float64(tally(seen)) / float64(len(seen))
	switch between := (q.limit-open)*(q.limit-end) < 0; {
	case between && excluded(q.limit):
		end = q.limit
	case (end-open)*(end-0.5) <= 0 || !excluded(end):
		return nil // the observed rate is itself at the end, or nothing is excluded
	}
	for math.Abs(end-open) > finest {
		if middle := (open + end) / 2; excluded(middle) {
			end = middle
		} else {
			open = middle
		}
	}
	return &end
}
