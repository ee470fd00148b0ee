package criteria

import "fmt"

// Comparison is a proportion without and with a solution, on the same units.
type Comparison struct {
	Metric     string  `json:"metric"`
	Without    float64 `json:"without"`
	With       float64 `json:"with"`
	Difference float64 `json:"difference"` // with less without
	Lower      float64 `json:"lower"`      // one-sided bounds of the difference, each at the confidence
	Upper      float64 `json:"upper"`
	Confidence float64 `json:"confidence"`
	N          int     `json:"n"`
}

// Compare gives what a solution changes (ablation): the outcomes of a proportion on the
// same units, in the same order, without it and with it. The bounds are exact for pairs.
func Compare(metric string, without, with []bool, confidence float64) (Comparison, error) {
	m, ok := metricNamed(metric)
	if !ok || m.Kind != Proportion {
		return Comparison{}, fmt.Errorf("%q is no metric that is a proportion of units, so it cannot be compared", metric)
	}
	if err := checkConfidence(confidence); err != nil {
		return Comparison{}, err
	}
	if len(without) != len(with) || len(with) == 0 {
		return Comparison{}, fmt.Errorf("%d units were observed without the solution and %d with it: a comparison takes the same units, one at least", len(without), len(with))
	}
	onlyWith, onlyWithout := 0, 0
	for i := range with {
		switch {
		case with[i] && !without[i]:
			onlyWith++
		case without[i] && !with[i]:
			onlyWithout++
		}
	}
	n := len(with)
	c := Comparison{Metric: metric, Confidence: confidence, N: n}
	c.Without, c.With = float64(tally(without))/float64(n), float64(tally(with))/float64(n)
	c.Difference = float64(onlyWith-onlyWithout) / float64(n)
	bounds, err := pairedBounds(onlyWith, onlyWithout, n, confidence)
	c.Lower, c.Upper = bounds.Lower, bounds.Upper
	return c, err
}
