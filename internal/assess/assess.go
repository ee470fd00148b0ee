// Package assess is the engine: from a system to a plan, from a plan to
// observations in a run folder, from observations to decisions, and from all of
// them to a report. It knows the methods through the port Tester alone.
package assess

import (
	"context"
	"encoding/json"

	"assay"
	"assay/internal/criteria"
	"assay/internal/report"
)

// Tester tests goals of one vulnerability. Implementations are safe for concurrent use, and give the
// same for the same test and units, whatever ran before or beside.
type Tester interface {
	// Outline tells what a test would do, without doing it: it opens the model and the
	// data, and finds out whether they fit.
	Outline(ctx context.Context, t *Test) (*Outline, error)

	// Observe tests units, which are indices of the data's records. It gives one
	// observation for each, in their order.
	Observe(ctx context.Context, t *Test, units []int) ([]Observation, error)

	// Controls names the runs that show whether the test could have found a failure; Control makes one
	// of them, on units of its own choice out of order, the records in the order in which they are tested.
	Controls(t *Test) []string
	Control(ctx context.Context, t *Test, name string, order []int) (json.RawMessage, error)

	// Checks judges from what was recorded alone whether the test is valid.
	Checks(t *Test, observed []Observation, controls map[string]json.RawMessage) ([]criteria.Check, error)

	// Clean tells for each unit whether the model is right about it as it is. Where the model was trained on the units, which says
	// nothing of its accuracy, it tells that of the data's records instead.
	Clean(ctx context.Context, t *Test, units []int) ([]bool, error)

	// Present describes the test for readers: curves and examples. The engine fills in the rest.
	Present(ctx context.Context, t *Test, observed []Observation, controls map[string]json.RawMessage) (*report.Test, error)
}

// Explainer is a Tester that has more to say of a solution that is inadequate: what a reader must know to understand why. It
// gives sentences, each with a space before it, from what was recorded alone.
type Explainer interface {
	Explain(t *Test, c criteria.Criterion, observed []Observation, controls map[string]json.RawMessage) (string, error)
}

// Test is what is observed for goals: one model, on one set of data, under attack
// by one attacker. It names models and data as assay.yaml does.
type Test struct {
	ID            string              `json:"id"` // a digest of the rest
	Vulnerability assay.Vulnerability `json:"vulnerability"`
	Function      assay.Function      `json:"function,omitempty"` // where it decides what is observed: of tests in which no inputs are changed
	Metric        string              `json:"metric,omitempty"`   // likewise
	Title         string              `json:"title"`
	Model         string              `json:"model"`
	Solution      string              `json:"solution,omitempty"` // where what it does is observed, rather than its model
	Without       string              `json:"without,omitempty"`  // the model without the solution, where the test is of one
	Twin          bool                `json:"twin,omitempty"`     // it is of the system that the solution was not applied to, which the tester makes itself
	Data          string              `json:"data"`
	Attacker      Attacker            `json:"attacker"`
	Seed          uint64              `json:"seed"`
	Outline       *Outline            `json:"outline"`
}

// Attacker is who tests reckon with.
type Attacker struct {
	Access  assay.Access `json:"access,omitempty"` // with all else empty where files are changed, and no inputs
	Norm    string       `json:"norm"`
	Eps     float64      `json:"eps"`
	Unit    string       `json:"unit"`              // of eps: raw, range or std; share of a text's words
	Groups  int          `json:"groups,omitempty"`  // how many categorical features may change
	Queries int          `json:"queries,omitempty"` // per unit and method; 0 for no limit
	Poison  *Poison      `json:"poison,omitempty"`  // into training data; with all else empty
}

// Poison is what is planted into training data.
type Poison struct {
	Families []string `json:"families"` // by the names of assay plant
	Share    float64  `json:"share"`    // planted records as a part of all, of each family by itself
}

// Outline is what a test takes.
type Outline struct {
	Records int             `json:"records"`         // in the data
	Shard   int             `json:"shard,omitempty"` // units that are lost together if a run breaks off, where each costs much; 0 for the usual number
	Methods []report.Method `json:"methods"`         // with their settings
	Queries int             `json:"queries"`         // at most, for one unit, over all methods; 0 where that has no limit
	Seconds float64         `json:"-"`               // for one unit, roughly; a measurement, so no part of the plan
	Remarks []string        `json:"remarks,omitempty"`
}

// Observation is what a test saw of one unit. Outcomes has an entry for each
// metric that the unit counts for: whether the event that the metric counts happened.
type Observation struct {
	Unit     int             `json:"unit"`
	Outcomes map[string]bool `json:"outcomes"`
	Detail   json.RawMessage `json:"detail,omitempty"`
}
