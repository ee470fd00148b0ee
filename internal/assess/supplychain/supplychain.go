// Package supplychain tests goals of model poisoning on its way in: that every artefact in use
// is verified (prevent), and that the scanner finds what is planted (detect). Nothing that it reads
// is loaded or executed.
package supplychain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"assay"
	"assay/internal/assess"
	"assay/internal/criteria"
	"assay/internal/report"
	"assay/internal/scan"
	"assay/internal/system"
)

// Tester tests model poisoning. It implements assess.Tester.
type Tester struct {
	system   *system.System // nil where only records are judged
	scanners []scan.Scanner
	now      func() time.Time

	mu     sync.Mutex
	loaded map[string][]*artefact // by model and data
	states map[string]*verified   // by the artefact's field
}

var _ assess.Tester = (*Tester)(nil)

// New makes a tester of a system's files. Now is when certificates must be valid.
func New(s *system.System, scanners []scan.Scanner, now func() time.Time) *Tester {
	return &Tester{system: s, scanners: scanners, now: now, loaded: map[string][]*artefact{}, states: map[string]*verified{}}
}

// trial is how one of the functions is tested.
type trial interface {
	// units is how many there are.
	units(ctx context.Context) (int, error)
	observe(ctx context.Context, unit int) (assess.Observation, error)
	// control makes the runs that show whether a failure could have been found.
	control(ctx context.Context, test *assess.Test, order []int) (any, error)
}

const controlName = "controls"

func (t *Tester) trial(test *assess.Test) (trial, error) {
	a, err := t.artefacts(test)
	if err != nil {
		return nil, err
	}
	switch test.Function {
	case assay.Prevent:
		return &verification{t, a}, nil
	case assay.Detect:
		return &detection{t, a}, nil
	}
	return nil, fmt.Errorf("no method of Assay tests the function %q of model poisoning", test.Function)
}

// Outline tells how many units there are.
func (t *Tester) Outline(ctx context.Context, test *assess.Test) (*assess.Outline, error) {
	tr, err := t.trial(test)
	if err != nil {
		return nil, err
	}
	n, err := tr.units(ctx)
	if err != nil {
		return nil, err
	}
	return &assess.Outline{Records: n, Methods: []report.Method{methodOf(test)}}, nil
}

func methodOf(test *assess.Test) report.Method {
	if test.Function == assay.Prevent {
		return report.Method{Name: "signature verification", Reference: "OpenSSF Model Signing 1.0, section 8"}
	}
	return report.Method{Name: "static scan", Reference: "assay scan, of cases planted into copies of the artefacts"}
}

// Observe observes units.
func (t *Tester) Observe(ctx context.Context, test *assess.Test, units []int) ([]assess.Observation, error) {
	tr, err := t.trial(test)
	if err != nil {
		return nil, err
	}
	n, err := tr.units(ctx)
	if err != nil {
		return nil, err
	}
	observed := make([]assess.Observation, len(units))
	for i, u := range units {
		if u < 0 || u >= n {
			return nil, fmt.Errorf("there are %d units, and the unit %d is none of them: the plan is about other files", n, u)
		}
		if observed[i], err = tr.observe(ctx, u); err != nil {
			return nil, err
		}
	}
	return observed, nil
}

// Controls names the one control.
func (t *Tester) Controls(*assess.Test) []string { return []string{controlName} }

// Control makes the control.
func (t *Tester) Control(ctx context.Context, test *assess.Test, _ string, order []int) (json.RawMessage, error) {
	tr, err := t.trial(test)
	if err != nil {
		return nil, err
	}
	found, err := tr.control(ctx, test, order)
	if err != nil {
		return nil, err
	}
	return json.Marshal(found)
}

// Checks judges from records whether the test could have found a failure.
func (t *Tester) Checks(test *assess.Test, _ []assess.Observation, controls map[string]json.RawMessage) ([]criteria.Check, error) {
	text, ok := controls[controlName]
	if !ok {
		return nil, errors.New("the controls were not recorded")
	}
	if test.Function == assay.Prevent {
		return checked[tampering](text)
	}
	return checked[planting](text)
}

// evidence is a record of controls.
type evidence interface{ checks() []criteria.Check }

func checked[E evidence](text json.RawMessage) ([]criteria.Check, error) {
	var e E
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("the record of the controls is damaged: %w", err)
	}
	return e.checks(), nil
}

// Clean has nothing to tell: no criterion of these goals limits a cost in accuracy.
func (t *Tester) Clean(_ context.Context, test *assess.Test, _ []int) ([]bool, error) {
	return nil, fmt.Errorf("%s: verifying and scanning files costs no accuracy, so there is nothing to measure: leave the costs out of the criterion", test.Title)
}

// detail is what is recorded of a unit beside its outcome.
type detail struct {
	File    string   `json:"file"`
	Case    string   `json:"case,omitempty"`    // of the planted
	Way     string   `json:"way,omitempty"`     // in which it was
	Status  string   `json:"status,omitempty"`  // of the scan
	Rules   []string `json:"rules,omitempty"`   // that it reported
	Signer  string   `json:"signer,omitempty"`  // of the verified
	Problem string   `json:"problem,omitempty"` // of what is not
}

func observation(unit int, metric string, event bool, d detail) (assess.Observation, error) {
	text, err := json.Marshal(d)
	return assess.Observation{Unit: unit, Outcomes: map[string]bool{metric: event}, Detail: text}, err
}

// shownNotes is how many units a report calls by name.
const shownNotes = 20

// Present describes a test: how many units came out as they should, and which did not.
func (t *Tester) Present(_ context.Context, test *assess.Test, observed []assess.Observation, _ map[string]json.RawMessage) (*report.Test, error) {
	m := methodOf(test)
	m.N = len(observed)
	r := &report.Test{Attacker: []report.Fact{{Name: "can", Value: "change files before they are loaded"}}, N: len(observed)}
	for _, o := range observed {
		var d detail
		if err := json.Unmarshal(o.Detail, &d); err != nil {
			return nil, fmt.Errorf("the record of unit %d is damaged: %w", o.Unit, err)
		}
		for _, good := range o.Outcomes {
			if good {
				m.Successes++
			}
			if !good || test.Function == assay.Prevent {
				r.Notes = append(r.Notes, note(d))
			}
		}
	}
	slices.Sort(r.Notes)
	if more := len(r.Notes) - shownNotes; more > 0 {
		r.Notes = append(r.Notes[:shownNotes], fmt.Sprintf("and %d more", more))
	}
	r.Methods = []report.Method{m}
	return r, nil
}

func note(d detail) string {
	switch {
	case d.Case != "":
		return fmt.Sprintf("%s with %s %s: the scan says %s", d.File, d.Case, d.Way, d.Status)
	case d.Problem != "":
		return fmt.Sprintf("%s is not verified: %s", d.File, d.Problem)
	}
	return fmt.Sprintf("%s is verified, signed by %s", d.File, d.Signer)
}
