package assess

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"assay"
	"assay/internal/catalog"
	"assay/internal/criteria"
	"assay/internal/evidence"
	"assay/internal/report"
	"assay/internal/system"
)

// Resolve says what is to be decided of a system: each of its goals with the
// catalogue's attacker and criterion, as far as the system's description does not replace them. It
// opens neither models nor data.
func (e *Engine) Resolve(s *system.System, c *catalog.Catalog) (*Plan, error) {
	if err := s.Check(known(c)); err != nil {
		return nil, err
	}
	p := &Plan{
		Schema: planSchema, Seed: s.Seed,
		System: report.System{Name: s.About.Name, Description: s.About.Description, Provider: s.About.Provider,
			Stage: s.About.Stage, Modality: s.About.Modality, Risk: s.About.Risk},
		Catalogue: report.Catalogue{Version: c.Version},
	}
	for _, o := range c.Overrides {
		for _, path := range s.Catalogues { // as the description names them, wherever it lies
			if at, ok := strings.CutPrefix(o.Where, s.Path(path)+":"); ok {
				o.Where = path + ":" + at
			}
		}
		p.Catalogue.Overrides = append(p.Catalogue.Overrides, report.Override(o))
	}
	r := &resolver{plan: p, system: s, catalog: c, testers: e.Testers}
	for _, part := range s.Cases() {
		if err := r.decision(part); err != nil {
			return nil, err
		}
	}
	if len(p.Decisions) == 0 {
		return nil, s.Mistake("goals", "there is no goal, so nothing would be decided: name goals (assay catalog lists them) and the solutions that are to achieve them")
	}
	p.Cells = matrix(s)
	return p, nil
}

// known lists the catalogue's names for the check of a description.
func known(c *catalog.Catalog) system.Catalogue {
	k := system.Catalogue{Goals: map[string]assay.Cell{}, Ratings: map[string][]string{}}
	for _, g := range c.Goals {
		k.Goals[g.ID] = g.Cell
	}
	for _, f := range c.Potential.Factors {
		for _, l := range f.Levels {
			k.Ratings[f.ID] = append(k.Ratings[f.ID], l.ID)
		}
	}
	for _, a := range c.Attackers {
		k.Attackers = append(k.Attackers, a.ID)
	}
	for _, m := range criteria.Metrics() {
		k.Metrics = append(k.Metrics, m.Name)
	}
	for _, check := range criteria.CheckKinds() {
		k.Checks = append(k.Checks, check.Name)
	}
	return k
}

type resolver struct {
	plan    *Plan
	system  *system.System
	catalog *catalog.Catalog
	testers map[assay.Vulnerability]Tester
}

// where gives the place of a field as it is the same wherever the description lies.
func (r *resolver) where(path string) string {
	at := r.system.Where(path)
	at.File = filepath.Base(at.File)
	return at.String()
}

// decision plans the decision on one solution and goal.
func (r *resolver) decision(part system.Case) error {
	goal, err := r.catalog.Goal(part.Goal.Goal)
	if err != nil {
		return r.system.Mistake(part.Goal.At+".goal", "%v", err)
	}
	d := PlannedDecision{
		ID: goal.ID + "." + part.Solution.Name, Goal: goal.ID, Title: goal.Title, Text: goal.Statement, Cell: goal.Cell,
		Solution: part.Solution.Name, Kind: part.Solution.Kind, Metric: goal.Metric,
	}
	if slices.ContainsFunc(r.plan.Decisions, func(other PlannedDecision) bool { return other.ID == d.ID }) {
		return r.system.Mistake(part.Goal.At, "the solution %s is held to the goal %s twice: leave one out", d.Solution, d.Goal)
	}
	for _, id := range r.catalog.IDs(goal) {
		d.Mappings = append(d.Mappings, report.ID(id))
		if strings.Contains(id.Catalogue, "AI Act") {
			d.Articles = append(d.Articles, "AI Act "+id.ID)
		}
	}
	base, attacker, err := r.catalog.Criterion(goal.ID, r.system.About.Modality, r.system.About.Risk)
	switch {
	case part.Model == nil:
		d.Untested = "no method of Assay tests an organizational solution by itself"
	case err != nil:
		d.Untested = err.Error()
	case r.testers[goal.Cell.Vulnerability] == nil:
		d.Untested = fmt.Sprintf("no method of Assay tests goals of %s", goal.Cell.Vulnerability)
	}
	if d.Untested == "" {
		if err := r.test(&d, part, base, &attacker); err != nil {
			return err
		}
	}
	d.Digest = d.lockDigest()
	r.plan.Decisions = append(r.plan.Decisions, d)
	return nil
}

// test plans the test that a decision rests on, and that of the system without the solution.
func (r *resolver) test(d *PlannedDecision, part system.Case, base criteria.Criterion, attacker *catalog.Attacker) error {
	g := part.Goal
	if part.Data == nil {
		return r.system.Mistake(g.At, "it names no data to test on: add data: with a name from data")
	}
	var changes []system.Change
	d.Data = part.Data.Name
	d.Criterion, changes = g.Criterion.Apply(base)
	r.override(g, changes)
	if part.Without == nil && d.Cell != twinned {
		r.withoutComparison(d, g)
	}
	for _, cost := range d.Criterion.Costs {
		if cost.Metric != lossMetric && cost.Metric != cleanMetric {
			return r.system.Mistake(g.At+".criterion.costs", "no method measures the cost %s for %s: use %s or %s", cost.Metric, d.Goal, lossMetric, cleanMetric)
		}
	}
	if err := d.Criterion.Validate(); err != nil {
		return r.system.Mistake(g.At+".criterion", "%v", err)
	}
	var err error
	if d.Attacker, err = r.attacker(g, d.Cell, attacker); err != nil {
		return err
	}
	without := ""
	if part.Without != nil && part.Without.Name != part.Model.Name {
		without = part.Without.Name
	}
	d.Test = r.addTest(d, part.Model.Name, without)
	switch {
	case d.Cell == twinned:
		t := *r.plan.test(d.Test)
		t.Twin, t.Title = true, t.Title+", not repaired"
		d.Baseline = r.add(&t)
	case part.Without != nil && d.Cell.Vulnerability != assay.DataPoisoning: // there, training data are looked at, and no model
		d.Baseline = r.addTest(d, part.Without.Name, "")
	}
	return nil
}

// twinned is the cell whose tests make the system without the solution themselves: a twin that is poisoned, and not repaired.
var twinned = assay.Cell{Vulnerability: assay.DataPoisoning, Function: assay.Resolve}

// The costs that tests of a model can observe.
const (
	lossMetric  = "clean-accuracy-loss"
	cleanMetric = "clean-accuracy"
)

// withoutComparison takes out costs that compare with the system without the solution, where
// there is none, and says so.
func (r *resolver) withoutComparison(d *PlannedDecision, g *system.Goal) {
	d.Criterion.Costs = slices.DeleteFunc(slices.Clone(d.Criterion.Costs), func(c criteria.Cost) bool {
		if c.Metric != lossMetric {
			return false
		}
		r.plan.Catalogue.Overrides = append(r.plan.Catalogue.Overrides, report.Override{
			What: fmt.Sprintf("%s for %s: cost %s", d.Goal, d.Solution, c.Metric), From: fmt.Sprintf("%s %g", c.Relation, c.Limit), To: "left out",
			Reason: "No model without the solution is named, so there is nothing to compare with.", Where: r.where(g.At),
		})
		return true
	})
}

func (r *resolver) override(g *system.Goal, changes []system.Change) {
	for _, c := range changes {
		r.plan.Catalogue.Overrides = append(r.plan.Catalogue.Overrides, report.Override{
			What: fmt.Sprintf("%s for %s: %s", g.Goal, g.Solution, c.Field), From: c.From, To: c.To,
			Reason: g.Reason, Where: r.where(g.At + "." + c.Field),
		})
	}
}

// attacker gives the attacker of a goal: the catalogue's, with what the description replaces.
func (r *resolver) attacker(g *system.Goal, cell assay.Cell, base *catalog.Attacker) (Attacker, error) {
	own := g.Attacker
	if cell.Vulnerability != assay.DataPoisoning && own != nil && own.Poison != nil {
		return Attacker{}, r.system.Mistake(g.At+".attacker.poison", "%s is not about training data, into which poison is planted: leave it out", g.Goal)
	}
	if base.ID == "" { // files are changed, and no inputs: there is nothing to bound
		if own != nil {
			return Attacker{}, r.system.Mistake(g.At+".attacker", "%s reckons with whoever can change files, which has no bounds: leave it out", g.Goal)
		}
		return Attacker{}, nil
	}
	if own != nil && own.Profile != "" {
		profile, err := r.catalog.Attacker(own.Profile)
		if err != nil {
			return Attacker{}, r.system.Mistake(g.At+".attacker.profile", "%v", err)
		}
		if profile.ID != base.ID {
			r.override(g, []system.Change{{Field: "attacker.profile", From: base.ID, To: profile.ID}})
		}
		base = profile
	}
	if cell.Vulnerability == assay.DataPoisoning {
		return r.poisoner(g, base)
	}
	a := Attacker{Access: base.Access, Unit: string(system.Share), Queries: base.Queries}
	if within := base.Within(r.system.About.Modality); len(within) > 0 {
		a.Norm, a.Eps = within[0].Norm, within[0].Eps
	}
	if a.Norm == string(system.Words) {
		a.Unit = "share"
	}
	if own == nil {
		return a, nil
	}
	if own.Norm != nil && string(*own.Norm) != a.Norm && own.Eps == nil {
		return a, r.system.Mistake(g.At+".attacker.norm", "eps means something else in another norm: add eps")
	}
	if own.Unit != nil && string(*own.Unit) != a.Unit && own.Eps == nil {
		return a, r.system.Mistake(g.At+".attacker.unit", "eps means something else in another unit: add eps")
	}
	var changes []system.Change
	change(&changes, "access", &a.Access, own.Access)
	if own.Norm != nil {
		norm := string(*own.Norm)
		change(&changes, "norm", &a.Norm, &norm)
	}
	change(&changes, "eps", &a.Eps, own.Eps)
	if own.Unit != nil {
		unit := string(*own.Unit)
		change(&changes, "unit", &a.Unit, &unit)
	}
	change(&changes, "groups", &a.Groups, own.Groups)
	if own.Queries != nil {
		queries := int(min(*own.Queries, 1<<30))
		change(&changes, "queries", &a.Queries, &queries)
	}
	r.override(g, changes)
	return a, nil
}

// poisoner gives the attacker of a goal about training data: what is planted, and how much of it.
func (r *resolver) poisoner(g *system.Goal, base *catalog.Attacker) (Attacker, error) {
	poison := &Poison{}
	if p := base.Plants(r.system.About.Modality); p != nil {
		*poison = Poison{Families: slices.Clone(p.Families), Share: p.Share}
	}
	if own := g.Attacker; own != nil {
		if own.Access != nil || own.Norm != nil || own.Eps != nil || own.Unit != nil || own.Groups != nil || own.Queries != nil {
			return Attacker{}, r.system.Mistake(g.At+".attacker", "%s reckons with poison in training data, and not with changed inputs: give poison and a profile alone", g.Goal)
		}
		if by := own.Poison; by != nil {
			var changes []system.Change
			if by.Families != nil && !slices.Equal(by.Families, poison.Families) {
				changes = append(changes, system.Change{Field: "attacker.poison.families", From: strings.Join(poison.Families, ", "), To: strings.Join(by.Families, ", ")})
				poison.Families = by.Families
			}
			change(&changes, "poison.share", &poison.Share, by.Share)
			r.override(g, changes)
		}
	}
	if len(poison.Families) == 0 || poison.Share == 0 {
		return Attacker{}, r.system.Mistake(g.At, "the catalogue's attacker plants nothing into %s data: say under attacker what is planted", r.system.About.Modality)
	}
	return Attacker{Poison: poison}, nil
}

func change[T comparable](changes *[]system.Change, field string, value, by *T) {
	if by == nil || *by == *value {
		return
	}
	*changes = append(*changes, system.Change{Field: "attacker." + field, From: fmt.Sprint(*value), To: fmt.Sprint(*by)})
	*value = *by
}

// addTest gives the id of the test of a model that a decision needs, which others may share.
func (r *resolver) addTest(d *PlannedDecision, model, without string) string {
	t := &Test{Vulnerability: d.Cell.Vulnerability, Model: model, Without: without, Data: d.Data, Attacker: d.Attacker, Seed: r.system.Seed}
	t.Title = fmt.Sprintf("%s on %s, %s up to %g", model, d.Data, d.Attacker.Norm, d.Attacker.Eps)
	if d.Attacker == (Attacker{}) {
		t.Function, t.Metric = d.Cell.Function, d.Criterion.Metric
		t.Title = fmt.Sprintf("%s and %s, %s: %s", model, d.Data, d.Cell.Vulnerability, d.Cell.Function)
	}
	if d.Cell.Vulnerability == assay.DataPoisoning {
		t.Function, t.Solution = d.Cell.Function, d.Solution
		t.Title = fmt.Sprintf("%s on %s, %s", d.Solution, d.Data, d.Cell.Function)
	}
	if p := d.Attacker.Poison; p != nil {
		t.Title = fmt.Sprintf("%s on %s, %g %% of the training data planted", d.Solution, d.Data, 100*p.Share)
	}
	return r.add(t)
}

// add gives the id of a test, which is in the plan once.
func (r *resolver) add(t *Test) string {
	untitled := *t
	untitled.Title, untitled.ID = "", ""
	t.ID = evidence.DigestOf(untitled)[:12]
	if r.plan.test(t.ID) == nil {
		r.plan.Tests = append(r.plan.Tests, t)
	}
	return t.ID
}

// matrix gives the 25 cells as far as the description alone tells.
func matrix(s *system.System) []report.Cell {
	cells := make([]report.Cell, 0, 25)
	for _, cell := range assay.Cells() {
		c := report.Cell{Cell: cell, State: report.Open}
		for _, solution := range s.Solutions {
			if slices.Contains(solution.Cells, cell) {
				c.State, c.Solutions = report.Covered, append(c.Solutions, solution.Name)
			}
		}
		for _, e := range s.Exclusions {
			if e.Cell == cell {
				c.State, c.Reason, c.By, c.Date = report.Excused, e.Reason, e.ApprovedBy, e.Date.String()
			}
		}
		cells = append(cells, c)
	}
	return cells
}

// Outline completes a plan by opening its models and data, and refuses a criterion whose plan could
// never decide. Data with too few records for the plan are remarked upon.
func (e *Engine) Outline(ctx context.Context, s *system.System, p *Plan) (err error) {
	for _, t := range p.Tests {
		if t.Outline, err = e.Testers[t.Vulnerability].Outline(ctx, t); err != nil {
			return err
		}
	}
	goals := s.Cases()
	for i := range p.Decisions {
		d := &p.Decisions[i]
		if d.Test == "" {
			continue
		}
		at := goals[i].Goal.At + ".criterion"
		plan, err := p.criterion(d).Plan()
		if err != nil {
			return s.Mistake(at, "%v", err)
		}
		if text := lacking(plan, d, p.test(d.Test).Outline.Records); text != "" {
			t := p.test(d.Test)
			t.Outline.Remarks = append(t.Outline.Remarks, text)
		}
		d.Plan = plan.String()
	}
	return nil
}

// lacking says what data are too few for. It is no error: what there is is observed, and the
// decision says itself that it is undecided, or invalid, and how many more it takes.
func lacking(plan criteria.Plan, d *PlannedDecision, records int) string {
	fewest := max(plan.Least, 1)
	if d.Criterion.Sampling.Rule == criteria.Fixed {
		fewest = plan.N
	}
	for _, cost := range plan.Costs {
		fewest = max(fewest, cost.Least)
	}
	if records >= fewest {
		return ""
	}
	return fmt.Sprintf("%s gives %d units, and it takes at least %d to decide on %s: give more data", d.Data, records, fewest, d.ID)
}

// criterion is a decision's, with the error that it may make among the others of the plan. A
// sequential plan stops when its own confidence is reached, and a bound of a cost is within its limit at its
// own confidence and no more is known of it: both must know of the others beforehand. A fixed plan without costs need not.
func (p *Plan) criterion(d *PlannedDecision) criteria.Criterion {
	if d.Criterion.Sampling.Rule == criteria.Sequential || len(d.Criterion.Costs) > 0 {
		return d.Criterion.Among(p.tested())
	}
	return d.Criterion
}

// tested is how many decisions rest on tests.
func (p *Plan) tested() int {
	n := 0
	for _, d := range p.Decisions {
		if d.Test != "" {
			n++
		}
	}
	return n
}
