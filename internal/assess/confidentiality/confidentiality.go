// Package confidentiality tests goals of confidentiality: how many of the records that a model was trained on an attacker
// recognises as such by the model's answers (membership inference), at a rate of false alarms that is fixed.
//
// The units are the members that no threshold was chosen on. The attack that decides is the one that is strongest on the
// rest, the calibration, and its threshold is the lowest there at which the rate of false alarms is not exceeded. So what is observed of units is a sample
// of yes and no, whose bounds are exact. That the threshold means what it says is a matter of checks.
package confidentiality

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"assay/internal/assess"
	"assay/internal/criteria"
	"assay/internal/method/membership"
	"assay/internal/report"
	"assay/internal/stat"
	"assay/internal/system"
)

// The metrics that are observed.
const (
	onePercent = "membership-tpr-at-one-percent"
	perMille   = "membership-tpr-at-one-per-mille"
)

// rates are the false positive rates of the metrics.
var rates = map[string]float64{onePercent: 0.01, perMille: 0.001}

// cache is the folder, beside the description, that keeps models like those under test: a run that was
// interrupted goes on from there, and others use them again.
const cache = "shadows"

// Tester tests confidentiality. It implements assess.Tester. Close frees the models that it opened.
type Tester struct {
	system  *system.System // nil where only records are judged
	library string

	mu       sync.Mutex
	subjects map[string]*subject // by model, data and metric
}

var _ assess.Tester = (*Tester)(nil)

// New makes a tester of a system's models. Library is the ONNX Runtime library; see ort.Load.
func New(s *system.System, library string) *Tester {
	return &Tester{system: s, library: library, subjects: map[string]*subject{}}
}

// Close frees the models.
func (t *Tester) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.subjects {
		s.close()
	}
	t.subjects = map[string]*subject{}
}

// Outline opens the model and the data, and tells which attacks will be made.
func (t *Tester) Outline(ctx context.Context, test *assess.Test) (*assess.Outline, error) {
	s, err := t.subject(ctx, test)
	if err != nil {
		return nil, err
	}
	o := &assess.Outline{Records: s.count(), Queries: 1 + s.options.Augment.Queries, Remarks: slices.Clone(s.remarks)}
	for _, a := range s.options.Attacks {
		m := report.Method{Name: a.Name, Reference: a.Reference}
		if a.Shadows {
			m.Settings = []report.Fact{{Name: "shadow models", Value: fmt.Sprint(s.options.Shadows.Count)}}
		}
		o.Methods = append(o.Methods, m)
	}
	return o, nil
}

// detail is what is recorded of a member beside the outcome.
type detail struct {
	Record int64    `json:"record"` // its number in the training data
	By     []string `json:"by"`     // the attacks that recognise it
}

// attack gives what the attacks of a test found, which the first call makes.
func (t *Tester) attack(ctx context.Context, test *assess.Test) (*subject, *attacked, error) {
	s, err := t.subject(ctx, test)
	if err != nil {
		return nil, nil, err
	}
	a, err := s.attack(ctx)
	return s, a, err
}

// Observe tells which members are recognised.
func (t *Tester) Observe(ctx context.Context, test *assess.Test, units []int) ([]assess.Observation, error) {
	s, a, err := t.attack(ctx, test)
	if err != nil {
		return nil, err
	}
	members := a.units(s.population)
	observed := make([]assess.Observation, len(units))
	for k, u := range units {
		if u < 0 || u >= len(members) {
			return nil, fmt.Errorf("there are %d members to measure on, and the unit %d is none of them: the plan is about other data", len(members), u)
		}
		d := detail{Record: s.members.Number[members[u]], By: []string{}}
		for i, r := range a.results {
			if a.found[i][members[u]] {
				d.By = append(d.By, r.Attack)
			}
		}
		text, err := json.Marshal(d)
		if err != nil {
			return nil, err
		}
		observed[k] = assess.Observation{Unit: u, Outcomes: map[string]bool{test.Metric: slices.Contains(d.By, a.chosen)}, Detail: text}
	}
	return observed, nil
}

// record is what is recorded of the attacks as a whole, and of the runs that show whether they could have failed.
type record struct {
	FPR     float64             `json:"fpr"`
	Chosen  string              `json:"chosen"`  // the attack that decides
	Alarms  int                 `json:"alarms"`  // records, of those that are not members and no threshold was chosen on, that it takes for members
	Others  int                 `json:"others"`  // of so many
	Checks  []criteria.Check    `json:"checks"`  // by package membership
	Results []membership.Result `json:"results"` // on all members that were measured on, and others
	Exposed []exposure          `json:"exposed"` // the members that the attack which decides is surest of
	Worst   string              `json:"worst"`   // the class whose members it recognises most often
}

// exposure is a member that an attack is surest of.
type exposure struct {
	Record int64   `json:"record"` // its number in the training data
	Class  string  `json:"class"`
	FPR    float64 `json:"fpr"` // the part of the others that score as high
}

const controlName = "membership"

// Controls names the one control.
func (t *Tester) Controls(*assess.Test) []string { return []string{controlName} }

// Control measures all attacks, and makes the runs in which something must be found and nothing may be.
func (t *Tester) Control(ctx context.Context, test *assess.Test, _ string, _ []int) (json.RawMessage, error) {
	s, a, err := t.attack(ctx, test)
	if err != nil {
		return nil, err
	}
	out := record{FPR: s.fpr, Chosen: a.chosen, Results: a.results, Exposed: []exposure{}}
	for i, r := range a.results {
		if r.Attack == a.chosen {
			out.describe(s, &r, a.found[i])
		}
	}
	if out.Checks, err = membership.Checks(ctx, s.victim, s.population, s.options, s.fpr); err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// describe tells of the attack that decides what there is beside its rates.
func (r *record) describe(s *subject, m *membership.Result, found []bool) {
	classes := s.members.Schema.Label.Classes
	for _, i := range m.Measured() {
		if !s.population.Member[i] {
			r.Others++
			if found[i] {
				r.Alarms++
			}
		}
	}
	for _, e := range m.Exposed {
		r.Exposed = append(r.Exposed, exposure{s.members.Number[e.Record], classes[e.Class], e.FPR})
	}
	if m.Worst != nil {
		r.Worst = classes[m.Worst.Class]
	}
}

func recorded(controls map[string]json.RawMessage) (*record, error) {
	text, ok := controls[controlName]
	if !ok {
		return nil, errors.New("the controls were not recorded")
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("the record of the controls is damaged: %w", err)
	}
	return &r, nil
}

// Checks judges from records whether the attacks could have found what they did not find.
func (t *Tester) Checks(_ *assess.Test, observed []assess.Observation, controls map[string]json.RawMessage) ([]criteria.Check, error) {
	r, err := recorded(controls)
	if err != nil {
		return nil, err
	}
	by, err := counted(observed)
	if err != nil {
		return nil, err
	}
	alarms, err := r.alarms()
	if err != nil {
		return nil, err
	}
	strongest, err := r.strongest(by, len(observed))
	if err != nil {
		return nil, err
	}
	return append(r.Checks, alarms, strongest), nil
}

// counted is how many units each attack recognises.
func counted(observed []assess.Observation) (map[string]int, error) {
	by := map[string]int{}
	for _, o := range observed {
		var d detail
		if err := json.Unmarshal(o.Detail, &d); err != nil {
			return nil, fmt.Errorf("the record of unit %d is damaged: %w", o.Unit, err)
		}
		for _, name := range d.By {
			by[name]++
		}
	}
	return by, nil
}

// checkConfidence is that of a check in which a sound test fails in no more than a part of 1 % of all runs.
const checkConfidence = 0.99

// alarms asks whether the threshold has about the rate of false alarms that it was chosen for.
func (r *record) alarms() (criteria.Check, error) {
	c := criteria.Check{Name: "false-positives-as-claimed"}
	lower, err := stat.BinomialLower(r.Alarms, r.Others, 1-(1-checkConfidence)/2)
	if err != nil {
		return c, err
	}
	upper, err := stat.BinomialUpper(r.Alarms, r.Others, 1-(1-checkConfidence)/2)
	if err != nil {
		return c, err
	}
	c.Passed = lower <= 2*r.FPR && upper >= r.FPR/2
	c.Detail = fmt.Sprintf("of %d records that are not members, on which no threshold was chosen, %s takes %d for members: a rate between %s and %s, and claimed is %s",
		r.Others, r.Chosen, r.Alarms, percent(lower), percent(upper), percent(r.FPR))
	return c, nil
}

// strongest asks whether another attack than the one that decides is shown to recognise more.
func (r *record) strongest(by map[string]int, n int) (criteria.Check, error) {
	c := criteria.Check{Name: "strongest-attack", Passed: n > 0, Detail: fmt.Sprintf("%s, which was chosen on other records, recognises %d of %d members", r.Chosen, by[r.Chosen], n)}
	if n == 0 {
		return c, nil
	}
	each := 1 - (1-checkConfidence)/float64(len(r.Results)+1)
	most, err := stat.BinomialUpper(by[r.Chosen], n, each)
	if err != nil {
		return c, err
	}
	for _, other := range r.Results {
		least, err := stat.BinomialLower(by[other.Attack], n, each)
		if err != nil {
			return c, err
		}
		if least > most {
			c.Passed = false
			c.Detail += fmt.Sprintf(", and %s recognises %d", other.Attack, by[other.Attack])
		}
	}
	return c, nil
}

// Clean tells which of the other records the model is right about: it was trained on the units.
func (t *Tester) Clean(ctx context.Context, test *assess.Test, _ []int) ([]bool, error) {
	s, err := t.subject(ctx, test)
	if err != nil {
		return nil, err
	}
	return s.right(ctx)
}
