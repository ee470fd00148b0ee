package criteria

import (
	"fmt"
	"slices"
	"strings"

	"assay"
	"assay/internal/stat"
)

// Family gives the decisions of a run as they are when the run as a whole is to be
// wrong with a probability of at most 1 - confidence. The chance that one or more of
// the solutions called adequate are not is at most that, and so is the chance that one
// or more of those called inadequate are not (Holm 1979, once for each side). A
// decision that does not survive becomes Undecided, and its reason says so.
//
// Every decision counts as one of the family, also one that is undecided or invalid,
// since it could have gone otherwise; only those not applicable do not. A criterion with
// a sequential plan stops as soon as its own confidence is reached, so it seldom
// survives beside others unless Among raised that beforehand.
func Family(decisions []Decision, confidence float64) []Decision {
	decisions = slices.Clone(decisions)
	for _, outcome := range []assay.Outcome{assay.Adequate, assay.Inadequate} {
		var p []float64
		var of []int
		for i, d := range decisions {
			switch d.Outcome {
			case assay.NotApplicable:
				continue
			case outcome:
				p = append(p, d.P)
			default:
				p = append(p, 1)
			}
			of = append(of, i)
		}
		_, adjusted, err := stat.Holm(p, 1-confidence)
		for j, i := range of {
			if d := &decisions[i]; d.Outcome == outcome && (err != nil || adjusted[j] > 1-confidence+tolerance) {
				d.demote(len(p), confidence)
			}
		}
	}
	return decisions
}

// tolerance is what rounding may take from a probability that is exactly at its bound.
const tolerance = 1e-9

// demote makes a decision that stands alone, but not in its family, an undecided one.
func (d *Decision) demote(family int, confidence float64) {
	d.Reason = fmt.Sprintf("%s; alone this would be %s, but among the %d decisions of the run it is not certain enough for %s in all of them.",
		strings.TrimSuffix(d.Reason, "."), d.Outcome, family, confidenceText(confidence))
	d.Outcome = assay.Undecided
}

// Among gives the criterion as it must be for its decision to stand among so many of a
// run: with the error that it allows divided by their number (Bonferroni). Plans that
// are sequential need this before the first observation; for a fixed plan Family alone
// is enough, and asks less.
func (c Criterion) Among(family int) Criterion {
	if family > 1 {
		c.Confidence = 1 - (1-c.Confidence)/float64(family)
		c.Costs = slices.Clone(c.Costs)
		for i := range c.Costs {
			if cost := &c.Costs[i]; cost.Confidence != 0 {
				cost.Confidence = 1 - (1-cost.Confidence)/float64(family)
			}
		}
	}
	return c
}
