// Package criteria decides: a criterion and observations in, a decision out. A
// criterion is data, fixed before the first observation. The package is pure: it
// reads no files, no clock and no randomness.
package criteria

import "assay"

// Criterion says when a solution adequately achieves a goal.
type Criterion struct {
	Metric     string         `yaml:"metric" json:"metric"` // what is observed, such as "attack-success-rate"
	Relation   assay.Relation `yaml:"relation" json:"relation"`
	Limit      float64        `yaml:"limit" json:"limit"`
	Confidence float64        `yaml:"confidence" json:"confidence"` // of each one-sided bound
	Sampling   Sampling       `yaml:"sampling" json:"sampling"`
	Costs      []Cost         `yaml:"costs,omitempty" json:"costs,omitempty"`
	Checks     []string       `yaml:"checks,omitempty" json:"checks,omitempty"` // which must be there and pass
}

// Sampling says how many units are observed.
type Sampling struct {
	Rule    Rule    `yaml:"rule" json:"rule"`
	N       int     `yaml:"n" json:"n"`                                 // of a fixed plan, or the most of a sequential one
	Power   float64 `yaml:"power,omitempty" json:"power,omitempty"`     // wanted, at the assumed value
	Assumed float64 `yaml:"assumed,omitempty" json:"assumed,omitempty"` // value of the metric that the plan hopes for
}

// Rule is a rule of sampling.
type Rule string

// The rules of sampling.
const (
	Fixed      Rule = "fixed"      // all N units, then one decision
	Sequential Rule = "sequential" // unit by unit, until it is decided or N are spent; anytime-valid
	Census     Rule = "census"     // every unit there is: the estimate is the value, no error of sampling
)

// Cost is a limit to what a solution may cost, such as clean accuracy lost.
type Cost struct {
	Metric     string         `yaml:"metric" json:"metric"`
	Relation   assay.Relation `yaml:"relation" json:"relation"`
	Limit      float64        `yaml:"limit" json:"limit"`
	Confidence float64        `yaml:"confidence,omitempty" json:"confidence,omitempty"` // the criterion's where it is 0
}

// Check is one validity check and its evidence.
type Check struct {
	Name   string `json:"check"`
	Passed bool   `json:"passed"`
	Detail string `json:"detail"`
}

// Decision is what a criterion says of observations.
type Decision struct {
	Outcome    assay.Outcome  `json:"outcome"`
	Metric     string         `json:"metric"`
	Relation   assay.Relation `json:"relation"`
	Estimate   *float64       `json:"estimate"` // nil without observations
	Lower      *float64       `json:"lower"`
	Upper      *float64       `json:"upper"`
	Limit      float64        `json:"limit"`
	Confidence float64        `json:"confidence"`
	N          int            `json:"n"`
	Needed     int            `json:"needed"` // more observations that would decide, if the rate stays
	P          float64        `json:"p"`      // of the wrong decision most nearly made, for the family error
	Reason     string         `json:"reason"` // one sentence
	Valid      []Check        `json:"valid"`
	Costs      []CostDecision `json:"costs,omitempty"`
}

// CostDecision is the decision on one cost.
type CostDecision struct {
	Metric     string         `json:"metric"`
	Relation   assay.Relation `json:"relation"`
	Outcome    assay.Outcome  `json:"outcome"`
	Estimate   *float64       `json:"estimate"`
	Lower      *float64       `json:"lower"`
	Upper      *float64       `json:"upper"`
	Limit      float64        `json:"limit"`
	Confidence float64        `json:"confidence"`
	N          int            `json:"n"`
	Reason     string         `json:"reason"`
}
