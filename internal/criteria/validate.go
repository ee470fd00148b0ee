package criteria

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"assay"
)

// maxUnits is the most units that a plan can ask for: far beyond what is ever run, and
// few enough that bounds stay exact and planning quick.
const maxUnits = 10_000_000

// maxSequential is the most of a sequential plan, whose planning looks at every number of
// units with every number of events.
const maxSequential = 10_000

// Validate reports what in the criterion is not as it must be. Whether its plan could
// decide at all is for Plan to say.
func (c Criterion) Validate() error {
	m, err := checkLimit(c.Metric, c.Relation, c.Limit)
	if err != nil {
		return err
	}
	if err := checkConfidence(c.Confidence); err != nil {
		return err
	}
	if err := c.Sampling.validate(m, c); err != nil {
		return fmt.Errorf("sampling: %w", err)
	}
	seen := map[string]bool{}
	for _, cost := range c.Costs {
		m, err := checkLimit(cost.Metric, cost.Relation, cost.Limit)
		if err != nil {
			return fmt.Errorf("cost: %w", err)
		}
		if m.Kind == Count {
			return fmt.Errorf("cost: %s is a count, which has no place among the costs", m.Name)
		}
		if cost.Confidence != 0 {
			if err := checkConfidence(cost.Confidence); err != nil {
				return fmt.Errorf("cost %s: %w", cost.Metric, err)
			}
		}
		if seen[cost.Metric] || cost.Metric == c.Metric {
			return fmt.Errorf("the metric %s is limited twice", cost.Metric)
		}
		seen[cost.Metric] = true
	}
	for i, name := range c.Checks {
		if !checkKnown(name) {
			return fmt.Errorf("there is no check %q: use %s", name, checkNames())
		}
		if slices.Contains(c.Checks[:i], name) {
			return fmt.Errorf("the check %q is listed twice", name)
		}
	}
	return nil
}

// checkLimit reports a limit that makes no sense for its metric.
func checkLimit(name string, relation assay.Relation, limit float64) (Metric, error) {
	m, ok := metricNamed(name)
	if !ok {
		return m, fmt.Errorf("there is no metric %q: use %s", name, metricNames())
	}
	if relation != m.Relation {
		return m, fmt.Errorf("%s is limited %q: write relation: %s", name, relation, m.Relation)
	}
	highest := 1.0
	if m.Kind == Quantile || m.Kind == Count {
		highest = math.MaxFloat32
	}
	if !(limit >= 0 && limit <= highest) { // false for NaN as well
		if highest == 1 {
			return m, fmt.Errorf("the limit of %s is %v: it is a share, from 0 to 1", name, limit)
		}
		return m, fmt.Errorf("the limit of %s is %v: it is a finite number, not below 0", name, limit)
	}
	return m, nil
}

func checkConfidence(confidence float64) error {
	if !(confidence >= 0.5 && confidence <= 1-1e-9) {
		return fmt.Errorf("the confidence is %v: it is a number from 0.5 to below 1, such as 0.95", confidence)
	}
	return nil
}

func (s Sampling) validate(m Metric, c Criterion) error {
	switch s.Rule {
	case Fixed, Census:
	case Sequential:
		if m.Kind != Proportion {
			return fmt.Errorf("%s has no sequential plan, which is for proportions: use rule: %s", m.Name, Fixed)
		}
	default:
		return fmt.Errorf("there is no rule %q: use %s, %s or %s", s.Rule, Fixed, Sequential, Census)
	}
	most := maxUnits
	if s.Rule == Sequential {
		most = maxSequential
	}
	least := 1
	if s.Rule == Census {
		least = 0 // all there are
	}
	if s.N < least || s.N > most {
		return fmt.Errorf("n is %d: a %s plan has %d to %d units", s.N, s.Rule, least, most)
	}
	if m.Kind == Count && s.Rule != Census {
		return fmt.Errorf("%s is a count, not an estimate: use rule: %s", m.Name, Census)
	}
	if m.Kind == Difference {
		return fmt.Errorf("%s is a cost of a solution, not what its goal is decided by", m.Name)
	}
	if s.Rule == Census || m.Kind != Proportion {
		if s.Power != 0 || s.Assumed != 0 {
			return errors.New("power and assumed are for samples of proportions")
		}
		return nil
	}
	if c.Limit <= 0 || c.Limit >= 1 {
		return fmt.Errorf("no sample can decide on a limit of %v: use one between 0 and 1, or rule: %s", c.Limit, Census)
	}
	if s.Power != 0 && !(s.Power > 0 && s.Power < 1) {
		return fmt.Errorf("the power is %v: it is a number between 0 and 1, such as 0.8", s.Power)
	}
	if s.Assumed != 0 && !(s.Assumed > 0 && s.Assumed <= 1 && s.Assumed != c.Limit && c.Relation.Holds(s.Assumed, c.Limit)) {
		return fmt.Errorf("the assumed value is %v: it must lie on the good side of the limit of %v", s.Assumed, c.Limit)
	}
	return nil
}

// Digest identifies the criterion: the SHA-256, in hexadecimal digits, of its JSON form,
// whose fields have a fixed order. Criteria that differ in anything differ in it.
func (c Criterion) Digest() string {
	data, err := json.Marshal(c)
	if err != nil { // NaN or infinite, which Validate refuses
		data = fmt.Appendf(nil, "%#v", c)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
