package assess

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"assay"
	"assay/internal/criteria"
	"assay/internal/evidence"
	"assay/internal/report"
)

// Judge comes to the decisions of a plan from what a run folder holds, and from
// nothing else. Void are decisions whose evidence does not count, with the reason.
func (e *Engine) Judge(run *evidence.Run, p *Plan, void map[string]string) ([]report.Decision, error) {
	judged := make([]criteria.Decision, len(p.Decisions))
	ablations := make([]*report.Change, len(p.Decisions))
	failed := make([]error, len(p.Decisions))
	family := 0.0          // the confidence of the run: the least that a criterion asks for
	var all sync.WaitGroup // exact bounds of differences take seconds
	for i := range p.Decisions {
		d := &p.Decisions[i]
		if d.Test == "" {
			judged[i] = criteria.Decision{Outcome: assay.Undecided, Metric: d.Metric, Relation: assay.AtMost, P: 1, Reason: "Nothing is decided: " + d.Untested + "."}
			continue
		}
		if family == 0 || d.Criterion.Confidence < family {
			family = d.Criterion.Confidence
		}
		all.Go(func() {
			_, failed[i] = guard(func() (_ any, err error) {
				if judged[i], ablations[i], err = e.judge(run, p, d, void[d.ID]); err != nil {
					err = fmt.Errorf("%s: %w", d.ID, err)
				}
				return nil, err
			})
		})
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	if family > 0 {
		judged = criteria.Family(judged, family)
	}
	out := make([]report.Decision, len(judged))
	for i, d := range p.Decisions {
		out[i] = report.Decision{
			ID: d.ID, Goal: d.Goal, Title: d.Title, Text: d.Text, Vulnerability: d.Cell.Vulnerability, Function: d.Cell.Function,
			Solution: d.Solution, Kind: d.Kind, Decision: judged[i], Test: d.Test, Ablation: ablations[i], Articles: d.Articles, Mappings: d.Mappings,
		}
		if out[i].Valid == nil {
			out[i].Valid = []criteria.Check{}
		}
		if d.Test != "" {
			out[i].Sampling = &d.Criterion.Sampling
		}
	}
	return out, nil
}

// lockedCheck is the check that a criterion is the one that was fixed beforehand.
const lockedCheck = "criterion-locked"

func (e *Engine) judge(run *evidence.Run, p *Plan, d *PlannedDecision, void string) (decided criteria.Decision, ablation *report.Change, err error) {
	t := p.test(d.Test)
	if t == nil {
		return decided, nil, fmt.Errorf("the plan has no test %s: the run folder is damaged", d.Test)
	}
	with, err := observed(run, t)
	if err != nil {
		return decided, nil, err
	}
	controls, err := e.controlled(run, t)
	if err != nil {
		return decided, nil, err
	}
	checks, err := e.Testers[t.Vulnerability].Checks(t, with, controls)
	if err != nil {
		return decided, nil, err
	}
	locked := criteria.Check{Name: lockedCheck, Passed: void == "", Detail: void}
	if void == "" {
		locked.Detail = "the criterion is the one that was fixed before the first observation"
	}
	costs, err := e.costs(run, p, d)
	if err != nil {
		return decided, nil, err
	}
	seen := criteria.Observations{}
	for _, o := range with {
		if event, counts := o.Outcomes[d.Criterion.Metric]; counts {
			seen.Outcomes = append(seen.Outcomes, event)
		}
	}
	decided = criteria.Decide(p.criterion(d), seen, append([]criteria.Check{locked}, checks...), costs)
	if x, ok := e.Testers[t.Vulnerability].(Explainer); ok && decided.Outcome == assay.Inadequate {
		more, err := x.Explain(t, d.Criterion, with, controls)
		if err != nil {
			return decided, nil, err
		}
		decided.Reason += more
	}
	if void != "" {
		decided.Reason = fmt.Sprintf("The evidence is void: %s.", void)
	}
	if d.Baseline != "" {
		ablation, err = e.ablation(run, p, d, with)
	}
	return decided, ablation, err
}

// tester gives what makes a test of a run, which another version of the program may have made.
func (e *Engine) tester(t *Test) (Tester, error) {
	if tester := e.Testers[t.Vulnerability]; tester != nil {
		return tester, nil
	}
	return nil, fmt.Errorf("this program has no tests for %s: the run was made by another version", t.Vulnerability)
}

// controlled reads the controls of a test that this program can judge.
func (e *Engine) controlled(run *evidence.Run, t *Test) (map[string]json.RawMessage, error) {
	tester, err := e.tester(t)
	if err != nil {
		return nil, err
	}
	return controlled(run, tester, t)
}

// costs reads what was observed of a decision's costs: whether the model with the solution, and
// that without, are right about untouched records.
func (e *Engine) costs(run *evidence.Run, p *Plan, d *PlannedDecision) ([]criteria.CostObservations, error) {
	var all []criteria.CostObservations
	for _, cost := range d.Criterion.Costs {
		o := criteria.CostObservations{Metric: cost.Metric}
		if err := run.Get(cleanFile(d.Test), &o.Outcomes); err != nil {
			return nil, err
		}
		if cost.Metric == lossMetric {
			if err := run.Get(cleanFile(d.Baseline), &o.Without); err != nil {
				return nil, err
			}
		}
		all = append(all, o)
	}
	return all, nil
}

// ablationMetric is what systems with and without a solution are compared by where it was observed: it counts for
// every unit, whichever of the models gets it right untouched. Where it was not, the criterion's is.
const ablationMetric = "robust-accuracy"

// ablation compares the systems with and without the solution on the same units.
func (e *Engine) ablation(run *evidence.Run, p *Plan, d *PlannedDecision, with []Observation) (*report.Change, error) {
	without, err := observed(run, p.test(d.Baseline))
	if err != nil {
		return nil, err
	}
	metric := d.Criterion.Metric
	if slices.ContainsFunc(with, func(o Observation) bool { _, counts := o.Outcomes[ablationMetric]; return counts }) {
		metric = ablationMetric
	}
	base := map[int]bool{}
	for _, o := range without {
		if event, counts := o.Outcomes[metric]; counts {
			base[o.Unit] = event
		}
	}
	var before, after []bool
	for _, o := range with {
		event, counts := o.Outcomes[metric]
		if was, both := base[o.Unit]; counts && both {
			before, after = append(before, was), append(after, event)
		}
	}
	if len(before) == 0 {
		return nil, nil
	}
	c, err := criteria.Compare(metric, before, after, d.Criterion.Confidence)
	if err != nil {
		return nil, err
	}
	change := report.Change(c)
	return &change, nil
}

// present describes every test for readers, and records that.
func (e *Engine) presented(run *evidence.Run, p *Plan) ([]report.Test, error) {
	var tests []report.Test
	for _, t := range p.primary() {
		var described report.Test
		if err := run.Get(presentFile(t.ID), &described); err != nil {
			return nil, err
		}
		tests = append(tests, described)
	}
	return tests, nil
}

// Document is the report of a run, from what its folder holds.
func (e *Engine) Document(run *evidence.Run, p *Plan, decisions []report.Decision, void map[string]string) (*report.Document, error) {
	tests, err := e.presented(run, p)
	if err != nil {
		return nil, err
	}
	var times Log
	if err := run.Get(logFile, &times); err != nil {
		return nil, err
	}
	m := run.Manifest()
	d := &report.Document{
		Schema: report.Version, Run: m.Run, Created: times.Finished, System: p.System, Decisions: decisions, Tests: tests, Catalogue: p.Catalogue,
		Program: report.Program{Version: m.Program.Version, Runtime: m.Program.Runtime, Go: m.Program.Go, System: m.Program.System},
		Matrix:  decidedCells(p.Cells, decisions), Statements: statements(),
		Reproduce: []string{"assay verify RUN", "assay rerun RUN", "assay assess"},
	}
	var lock Lock
	if err := run.Get(lockFile, &lock); err != nil {
		return nil, err
	}
	d.Locked = lock.latest()
	for _, c := range lock.Replaced {
		d.Statements = append(d.Statements, report.Statement{Title: "A criterion was replaced", Text: fmt.Sprintf(
			"The criterion of %s was first locked on %s and replaced later: what was observed for it before is void, and may have been seen when the present one was chosen.", c.Decision, c.Time.Format(time.DateOnly))})
	}
	for _, in := range m.Inputs {
		d.Inputs = append(d.Inputs, report.Input(in))
	}
	for _, planned := range p.Decisions {
		if reason := void[planned.ID]; reason != "" {
			d.Void = append(d.Void, planned.ID+": "+reason)
		}
	}
	return d, nil
}

// latest tells when the criteria were fixed: the last of them.
func (l *Lock) latest() *report.Lock {
	locked := &report.Lock{SHA256: evidence.DigestOf(l)}
	for _, c := range l.Criteria {
		if c.Time.After(locked.Time) {
			locked.Time = c.Time
		}
	}
	return locked
}

func decidedCells(cells []report.Cell, decisions []report.Decision) []report.Cell {
	out := make([]report.Cell, len(cells))
	for i, c := range cells {
		for _, d := range decisions {
			if c.Cell == (assay.Cell{Vulnerability: d.Vulnerability, Function: d.Function}) {
				c.State, c.Decisions = report.Decided, append(c.Decisions, d.ID)
			}
		}
		out[i] = c
	}
	return out
}

func statements() []report.Statement {
	return []report.Statement{
		{Title: "No presumption of conformity", Text: "This report is evidence about the tests that it describes. It does not claim conformity with the EU AI Act, nor a presumption of it."},
		{Title: "What an attack does not find", Text: "A decision holds against the methods, the attacker and the data named here. Stronger methods may come; the validity checks say why these could have found a failure."},
	}
}

// compact brings a record into the form in which it is compared.
func compact(text json.RawMessage) string {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return string(text)
	}
	out, err := json.Marshal(v)
	if err != nil {
		return string(text)
	}
	return string(out)
}
