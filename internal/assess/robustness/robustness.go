// Package robustness tests goals of evasion: it makes targets of a system's models
// and data, has the battery of attacks observe their units, and tells readers what it saw.
package robustness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"assay"
	"assay/internal/assess"
	"assay/internal/criteria"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/report"
	"assay/internal/system"
)

// Tester tests evasion. It implements assess.Tester. Close frees the models that it opened.
type Tester struct {
	system  *system.System // nil where only records are judged
	library string

	tests cache[*prepared]
	data  map[string]*records // by name and the schema they were read by, while a test is made ready
}

var _ assess.Tester = (*Tester)(nil)

// New makes a tester of a system's models. Library is the ONNX Runtime library; see ort.Load.
func New(s *system.System, library string) *Tester {
	return &Tester{system: s, library: library, data: map[string]*records{}}
}

// Close frees the models.
func (t *Tester) Close() { t.tests.close() }

// detail is what is recorded of a unit beside its outcomes: all that the checks and
// the report need, and the example itself, so that whoever has the model can try it.
type detail struct {
	Truth   int           `json:"truth"`
	Result  method.Result `json:"result"`
	Method  string        `json:"method,omitempty"`  // that found the example
	Example []byte        `json:"example,omitempty"` // the nearest: float32, little-endian, in the model's layout
	Text    string        `json:"text,omitempty"`    // the nearest, of texts
}

// Observe attacks units with the whole battery.
func (t *Tester) Observe(ctx context.Context, test *assess.Test, units []int) ([]assess.Observation, error) {
	p, target, release, err := t.acquire(ctx, test)
	if err != nil {
		return nil, err
	}
	defer release()
	if slices.ContainsFunc(units, func(u int) bool { return u < 0 || u >= p.records.Len() }) {
		return nil, fmt.Errorf("%s has %d records, and the units %v are not all among them: the plan is about other data", test.Data, p.records.Len(), units)
	}
	inputs := p.rows.Inputs(p.records.Dataset, units)
	results, err := p.battery.Observe(ctx, target, inputs, p.options(test))
	if err != nil {
		return nil, err
	}
	observed := make([]assess.Observation, len(units))
	for i, r := range results {
		d := detail{Truth: inputs[i].Label, Result: r}
		if best := nearest(r); best != nil {
			d.Method, d.Example = best.Method, encode(best.Example)
		}
		if observed[i], err = d.observation(); err != nil {
			return nil, err
		}
	}
	return observed, nil
}

// observation records a result. The attack-success-rate is about units that the model
// gets right untouched, the robust accuracy about all.
func (d detail) observation() (assess.Observation, error) {
	r := d.Result
	o := assess.Observation{Unit: int(r.Index), Outcomes: map[string]bool{"robust-accuracy": r.Robust}}
	if r.Correct {
		o.Outcomes["attack-success-rate"] = !r.Robust
	}
	text, err := json.Marshal(d)
	o.Detail = text
	return o, err
}

// nearest gives the method that found the nearest example, the first where several did.
func nearest(r method.Result) *method.MethodResult {
	var best *method.MethodResult
	for i := range r.Methods {
		if m := &r.Methods[i]; m.Success && (best == nil || m.Distance < best.Distance) {
			best = m
		}
	}
	return best
}

// batteryControl is the control that is the battery's own.
const batteryControl = "battery"

// controlUnits is how many units the controls attack again, at other eps and efforts.
const controlUnits = 64

// Controls names the controls.
func (t *Tester) Controls(test *assess.Test) []string {
	names := []string{batteryControl}
	if test.Without != "" {
		names = append(names, unawareControl)
	}
	if test.Attacker.Access == assay.Gradients || method.Norm(test.Attacker.Norm) == method.L2 {
		names = append(names, certifiedControl)
	}
	return names
}

// Control runs a control on the first units of the order.
func (t *Tester) Control(ctx context.Context, test *assess.Test, name string, order []int) (json.RawMessage, error) {
	switch name {
	case unawareControl:
		return t.unaware(ctx, test, order)
	case certifiedControl:
		return t.certify(ctx, test, order)
	}
	p, target, release, err := t.acquire(ctx, test)
	if err != nil {
		return nil, err
	}
	defer release()
	inputs := p.rows.Inputs(p.records.Dataset, order[:min(controlUnits, len(order))])
	c, err := p.battery.Controls(ctx, target, inputs, p.options(test))
	if err != nil {
		return nil, err
	}
	return json.Marshal(p.battery.Evidence(target, nil, c))
}

// recorded joins what was recorded of the controls and of the units.
func recorded(observed []assess.Observation, controls map[string]json.RawMessage) (*evasion.Evidence, []detail, error) {
	text, ok := controls[batteryControl]
	if !ok {
		return nil, nil, errors.New("the controls were not recorded")
	}
	e := &evasion.Evidence{}
	if err := json.Unmarshal(text, e); err != nil {
		return nil, nil, fmt.Errorf("the record of the controls is damaged: %w", err)
	}
	details := make([]detail, len(observed))
	for i, o := range observed {
		if err := json.Unmarshal(o.Detail, &details[i]); err != nil {
			return nil, nil, fmt.Errorf("the record of unit %d is damaged: %w", o.Unit, err)
		}
		e.Units = append(e.Units, details[i].Result)
	}
	return e, details, nil
}

// Checks judges whether the battery could have found what it did not find.
func (t *Tester) Checks(test *assess.Test, observed []assess.Observation, controls map[string]json.RawMessage) ([]criteria.Check, error) {
	e, _, err := recorded(observed, controls)
	if err != nil {
		return nil, err
	}
	checks := e.Checks()
	if test.Without != "" {
		c, err := compared(test, e, controls)
		if err != nil {
			return nil, err
		}
		checks = append(checks, c.check())
	}
	if c, err := certificatesOf(controls); err != nil {
		return nil, err
	} else if c != nil {
		checks = append(checks, c.check(e))
	}
	return checks, nil
}

// Clean tells which units the model gets right untouched.
func (t *Tester) Clean(ctx context.Context, test *assess.Test, units []int) ([]bool, error) {
	p, target, release, err := t.acquire(ctx, test)
	if err != nil {
		return nil, err
	}
	defer release()
	a := p.battery.Attacker
	results, err := method.Run(ctx, target, a, nil, p.rows.Inputs(p.records.Dataset, units), p.options(test))
	if err != nil {
		return nil, err
	}
	right := make([]bool, len(results))
	for i, r := range results {
		right[i] = r.Correct
	}
	return right, nil
}

// timed is how many rows a time is measured on.
const timed = 32

// Outline opens the model and the data, and tells what attacking one unit takes.
func (t *Tester) Outline(ctx context.Context, test *assess.Test) (*assess.Outline, error) {
	p, target, release, err := t.acquire(ctx, test)
	if err != nil {
		return nil, err
	}
	defer release()
	o := &assess.Outline{Records: p.records.Len(), Queries: p.battery.Most(target), Remarks: slices.Clone(p.remarks)}
	if p.remote {
		o.Shard = 1 // what was asked about a unit was paid for, and is kept
	}
	for _, m := range p.battery.Methods(target) {
		o.Methods = append(o.Methods, methodOf(m.Describe()))
	}
	o.Seconds, err = p.seconds(ctx, target)
	return o, err
}

func methodOf(d method.Description) report.Method {
	facts := []report.Fact{}
	for _, s := range d.Settings {
		facts = append(facts, report.Fact{Name: s.Name, Value: fmt.Sprintf("%g", s.Value)})
	}
	return report.Method{Name: d.Name, Reference: d.Reference, Settings: facts}
}

// seconds estimates the time that a unit takes which nothing breaks: of the battery's
// queries, by the time of some.
func (p *prepared) seconds(ctx context.Context, target method.Target) (float64, error) {
	if p.remote {
		return 0, nil // asking only to know how long it takes would cost queries
	}
	size := target.Model.Describe().RowSize()
	rows, scores := make([]float64, timed*size), make([]float64, timed*len(target.Model.Describe().Classes))
	for i := range timed {
		row := p.rows.Row(p.records.Record(i % p.records.Len()))
		for k, v := range row {
			rows[i*size+k] = float64(v)
		}
	}
	started := time.Now()
	if err := target.Model.Predict(ctx, rows, scores); err != nil {
		return 0, err
	}
	const gradientCost = 3 // of a query that is a gradient; most are not
	perQuery := time.Since(started).Seconds() / timed
	if p.battery.Attacker.Access == assay.Gradients {
		perQuery *= gradientCost
	}
	return perQuery * float64(p.battery.Most(target)), nil
}
