package criteria

import (
	"fmt"
	"strings"

	"assay"
	"assay/internal/stat"
)

// Plan is what a criterion's sampling comes to, before anything is observed.
type Plan struct {
	Rule     Rule       `json:"rule"`
	N        int        `json:"n"`                  // the most units that are observed; 0 for all of a census
	Least    int        `json:"least"`              // units that could decide for the solution if not one were bad
	Expected float64    `json:"expected,omitempty"` // units, at the assumed value
	Power    float64    `json:"power,omitempty"`    // chance to decide for the solution, at the assumed value
	Assumed  float64    `json:"assumed,omitempty"`
	Costs    []CostPlan `json:"costs,omitempty"`

	units string
}

// CostPlan is how many units it takes at least to show that a cost is within its limit:
// with fewer no test could. Of a Difference, with few changes both ways, it takes more.
type CostPlan struct {
	Metric string `json:"metric"`
	Least  int    `json:"least"` // with no loss, or not one event on the wrong side
}

// Plan says what to expect of the criterion's sampling. It is an error where the plan
// could never decide for a solution, however good that is, or has not the power that
// it names; the error says how many units it takes. Expected and Power are exact, at the
// assumed value of the metric; where the criterion names none, that is half-way from the
// limit to the best value.
func (c Criterion) Plan() (Plan, error) {
	if err := c.Validate(); err != nil {
		return Plan{}, err
	}
	q := c.question()
	p := Plan{Rule: c.Sampling.Rule, N: c.Sampling.N, units: q.metric.units}
	for _, cost := range c.Costs {
		least, err := cost.question(c.Confidence).least()
		if err != nil {
			return Plan{}, fmt.Errorf("cost %s: %w", cost.Metric, err)
		}
		p.Costs = append(p.Costs, CostPlan{cost.Metric, least})
	}
	if p.Rule == Census {
		p.Least = p.N
		return p, nil
	}
	var err error
	if p.Least, err = q.least(); err != nil {
		return Plan{}, err
	}
	if p.Least > p.N {
		return Plan{}, fmt.Errorf("the plan of %d %s could never decide for a solution, even if not one were bad: %s takes n of at least %d", p.N, p.units, c, p.Least)
	}
	if q.metric.Kind != Proportion {
		p.Expected = float64(p.N)
		return p, nil
	}
	p.Assumed = q.assumed()
	if p.Expected, p.Power, err = q.expect(p.N); err != nil {
		return Plan{}, err
	}
	if p.Power < c.Sampling.Power {
		return Plan{}, fmt.Errorf("the plan of %d %s has a power of %s where %s is wanted, if the value is %s: %s",
			p.N, p.units, percent(p.Power), percent(c.Sampling.Power), q.metric.limit(p.Assumed), q.enough())
	}
	return p, nil
}

// assumed gives the value that a plan hopes for.
func (q question) assumed() float64 {
	switch {
	case q.sampling.Assumed != 0:
		return q.sampling.Assumed
	case q.relation == assay.AtMost:
		return q.limit / 2
	}
	return (1 + q.limit) / 2
}

// least gives how many units it takes to decide for a solution if not one is bad.
func (q question) least() (int, error) {
	decides := func(n int) bool { return q.outcomeOf(q.best(n).bounds(q.confidence)) == assay.Adequate }
	if q.sampling.Rule == Sequential {
		s, err := q.test(0)
		if err != nil {
			return 0, err
		}
		for n := 1; n <= maxSequential; n++ {
			if s.Observe(q.relation == assay.AtLeast) == stat.Good {
				return n, nil
			}
		}
		return 0, fmt.Errorf("a limit of %s takes more than the %d units of a sequential plan: use rule: %s", q.metric.limit(q.limit), maxSequential, Fixed)
	}
	most := maxUnits
	switch q.metric.Kind {
	case Difference:
		// If only the first could have its event, it would be a proportion: no bound does better.
		return stat.ZeroFailureN(q.limit, q.confidence)
	case Mean:
		most = 1 << 14 // its bounds take time
	}
	for high := 1; high <= most; high *= 2 {
		if !decides(high) {
			continue
		}
		low := high / 2
		for high-low > 1 {
			if middle := (low + high) / 2; decides(middle) {
				high = middle
			} else {
				low = middle
			}
		}
		return high, nil
	}
	return 0, fmt.Errorf("no feasible sample can show a limit of %s", q.metric.limit(q.limit))
}

// best gives the best sample of n units that there could be.
func (q question) best(n int) sample {
	switch {
	case q.metric.Kind == Mean:
		return mean{make([]float64, n)}
	case q.metric.Kind == Quantile:
		return quantile{[]float64{0}, n}
	case q.relation == assay.AtLeast:
		return proportion{n, n}
	}
	return proportion{0, n}
}

// expect gives the expected number of units and the power of a plan of n.
func (q question) expect(n int) (expected, power float64, err error) {
	if q.sampling.Rule == Fixed {
		power, err = stat.Power(n, q.limit, q.confidence, q.assumed(), q.relation == assay.AtMost)
		return float64(n), power, err
	}
	s, err := q.test(n)
	if err != nil {
		return 0, 0, err
	}
	c, err := s.Characteristics(q.assumed())
	return c.MeanN, c.Good, err
}

// enough says how many units have the power wanted.
func (q question) enough() string {
	fewer := "; or assume a better value, or want less"
	if q.sampling.Rule == Fixed {
		n, _, err := stat.FixedN(q.limit, q.confidence, q.sampling.Power, q.assumed(), q.relation == assay.AtMost)
		if err != nil {
			return "no feasible number has it" + fewer
		}
		return fmt.Sprintf("it takes n of %d", n) + fewer
	}
	low, high := q.sampling.N, q.sampling.N
	for {
		high = min(2*high, maxSequential)
		if _, power, err := q.expect(high); err == nil && power >= q.sampling.Power {
			break
		}
		if high == maxSequential {
			return fmt.Sprintf("not even n of %d has it", high) + fewer
		}
		low = high
	}
	for high-low > max(1, high/100) {
		middle := (low + high) / 2
		if _, power, err := q.expect(middle); err == nil && power >= q.sampling.Power {
			high = middle
		} else {
			low = middle
		}
	}
	return fmt.Sprintf("it takes n of %d", high) + fewer
}

// String says in words what the plan comes to.
func (p Plan) String() string {
	switch {
	case p.Rule == Census:
		return "all " + p.units + " that there are"
	case p.Power == 0:
		return fmt.Sprintf("%d %s", p.N, p.units)
	}
	text := fmt.Sprintf("%d %s", p.N, p.units)
	if p.Rule == Sequential {
		text = fmt.Sprintf("one by one, at most %d %s; %.0f are expected", p.N, p.units, p.Expected)
	}
	return text + fmt.Sprintf(", with a chance of %s to decide for the solution, if the value is %s", percent(p.Power), strings.TrimSpace(trim(100*p.Assumed)+" %"))
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }
