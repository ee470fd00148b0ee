package assess

import (
	"errors"
	"fmt"
	"slices"

	"assay"
	"assay/internal/criteria"
	"assay/internal/evidence"
	"assay/internal/report"
)

// Plan says what a run observes and decides. It is written into the run folder, and
// holds all that is needed to judge and report without the system at hand.
type Plan struct {
	Schema    string            `json:"schema"`
	System    report.System     `json:"system"`
	Seed      uint64            `json:"seed"`
	Decisions []PlannedDecision `json:"decisions"`
	Tests     []*Test           `json:"tests"`
	Cells     []report.Cell     `json:"cells"` // decisions aside
	Catalogue report.Catalogue  `json:"catalogue"`
}

const planSchema = "assay-plan/1"

// PlannedDecision is a decision that a run is to come to.
type PlannedDecision struct {
	ID        string             `json:"id"`
	Goal      string             `json:"goal"`
	Title     string             `json:"title"`
	Text      string             `json:"text"`
	Cell      assay.Cell         `json:"cell"`
	Solution  string             `json:"solution"`
	Kind      assay.Kind         `json:"kind"`
	Metric    string             `json:"metric"`             // that decides the goal
	Untested  string             `json:"untested,omitempty"` // why there is no test; nothing below is set then
	Criterion criteria.Criterion `json:"criterion,omitzero"`
	Attacker  Attacker           `json:"attacker,omitzero"`
	Data      string             `json:"data"`
	Plan      string             `json:"plan"`               // what the sampling comes to, in words
	Digest    string             `json:"digest"`             // of criterion, attacker and data: what is locked
	Test      string             `json:"test"`               // id
	Baseline  string             `json:"baseline,omitempty"` // id of the test of the system without the solution
	Articles  []string           `json:"articles,omitempty"`
	Mappings  []report.ID        `json:"mappings,omitempty"`
}

// Units is the most units that a test observes: those of the plans that rest on it, and some more for
// units that do not count, or all records.
func (p *Plan) Units(t *Test) int {
	most := 0
	for _, d := range p.Decisions {
		switch {
		case d.Test != t.ID && d.Baseline != t.ID:
		case d.Criterion.Sampling.Rule == criteria.Census:
			most = t.Outline.Records
		default:
			most = max(most, d.Criterion.Sampling.N)
		}
	}
	return min(parts(most, t.shardSize())*t.shardSize(), t.Outline.Records)
}

// lockDigest is what must not change once observations are made.
func (d *PlannedDecision) lockDigest() string {
	return evidence.DigestOf(struct {
		Criterion criteria.Criterion `json:"criterion"`
		Attacker  Attacker           `json:"attacker"`
		Data      string             `json:"data"`
	}{d.Criterion, d.Attacker, d.Data})
}

// test finds a test by its id.
func (p *Plan) test(id string) *Test {
	i := slices.IndexFunc(p.Tests, func(t *Test) bool { return t.ID == id })
	if i < 0 {
		return nil
	}
	return p.Tests[i]
}

// maxRecords bounds what a plan from elsewhere claims, as an order is made of it.
const maxRecords = 1 << 28

// whole reports what keeps a plan that was read from being used.
func (p *Plan) whole() error {
	for _, t := range p.Tests {
		if t == nil || t.Outline == nil || t.Outline.Records < 0 || t.Outline.Records > maxRecords || t.Outline.Shard < 0 || t.Outline.Shard > shardSize {
			return errors.New("a test has no outline")
		}
	}
	for _, d := range p.Decisions {
		for _, id := range []string{d.Test, d.Baseline} {
			if id != "" && p.test(id) == nil {
				return fmt.Errorf("%s rests on a test %q that it does not have", d.ID, id)
			}
		}
	}
	return nil
}

// primary gives the tests that decisions rest on directly, in the order of the plan.
func (p *Plan) primary() []*Test {
	return slices.DeleteFunc(slices.Clone(p.Tests), func(t *Test) bool {
		return !slices.ContainsFunc(p.Decisions, func(d PlannedDecision) bool { return d.Test == t.ID })
	})
}
