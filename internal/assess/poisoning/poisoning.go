// Package poisoning tests goals of data poisoning: that an inspection of training data finds what is planted into a
// copy of them (detect), that no source of theirs exceeds its share and none of their records is a protected
// one (control), that so many poisoned records cannot change a model's answers (prevent), and that a backdoor is gone once what the
// inspection suspects is removed, and a network trained anew (resolve). The user's own data are read, and never written over.
package poisoning

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"assay"
	"assay/internal/assess"
	"assay/internal/criteria"
	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
	"assay/internal/report"
	"assay/internal/system"
)

// Find gives a planter by its name.
type Find func(name string) (plant.Planter, error)

// Tester tests data poisoning. It implements assess.Tester.
type Tester struct {
	system  *system.System // nil where only records are judged
	library string         // ONNX Runtime
	find    Find

	mu     sync.Mutex       // trials are made one at a time: each trains on all processors
	trials map[string]trial // by what they are of
}

var _ assess.Tester = (*Tester)(nil)

// New makes a tester of a system's training data, with the library of ONNX Runtime.
func New(s *system.System, library string, find Find) *Tester {
	return &Tester{system: s, library: library, find: find, trials: map[string]trial{}}
}

// trial is how one of the functions is tested.
type trial interface {
	outline(test *assess.Test) *assess.Outline
	// units is how many there are.
	units() int
	observe(ctx context.Context, unit int) (assess.Observation, error)
	// control makes the runs that show whether a failure could have been found.
	control(ctx context.Context) (any, error)
}

const controlName = "controls"

// prepare prepares a test, once; what was repaired and its twin are one trial. The caller holds the lock.
func (t *Tester) prepare(ctx context.Context, test *assess.Test) (trial, error) {
	both := assess.Test{Function: test.Function, Model: test.Model, Solution: test.Solution, Data: test.Data, Attacker: test.Attacker, Seed: test.Seed}
	text, err := json.Marshal(both)
	if err != nil {
		return nil, err
	}
	found := t.trials[string(text)]
	if found == nil {
		if found, err = t.newTrial(ctx, test); err != nil {
			return nil, err
		}
		t.trials[string(text)] = found
	}
	if r, ok := found.(*resolution); ok && test.Twin {
		return &twin{r}, nil
	}
	return found, nil
}

func (t *Tester) newTrial(ctx context.Context, test *assess.Test) (trial, error) {
	solution, data := t.system.Solution(test.Solution), t.system.Dataset(test.Data)
	if solution == nil || data == nil {
		return nil, fmt.Errorf("the description has no solution %q or no data %q", test.Solution, test.Data)
	}
	switch test.Function {
	case assay.Detect:
		return t.newDetection(ctx, test, solution, data)
	case assay.Control:
		return t.newCensus(ctx, solution, data)
	case assay.Prevent:
		return t.newVote(ctx, test, data)
	case assay.Resolve:
		return t.newResolution(ctx, test, solution, data)
	}
	return nil, t.system.Mistake(solution.At, "no method of Assay tests the function %q of data poisoning", test.Function)
}

func (t *Tester) load(ctx context.Context, d *system.Data, schema *dataset.Schema) (*dataset.Dataset, error) {
	o := t.system.Options(d)
	if schema != nil {
		o.Schema = schema
	}
	read, err := dataset.Load(ctx, t.system.Path(d.File), o)
	switch {
	case err != nil:
		return nil, t.system.Mistake(d.At, "%v", err)
	case read.Y == nil || len(read.Schema.Label.Classes) < 2:
		return nil, t.system.Mistake(d.At, "the data have no labels of two classes or more: name their column with label")
	}
	return read, nil
}

// Outline tells how many units there are.
func (t *Tester) Outline(ctx context.Context, test *assess.Test) (*assess.Outline, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr, err := t.prepare(ctx, test)
	if err != nil {
		return nil, err
	}
	return tr.outline(test), nil
}

// Observe observes units.
func (t *Tester) Observe(ctx context.Context, test *assess.Test, units []int) ([]assess.Observation, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr, err := t.prepare(ctx, test)
	if err != nil {
		return nil, err
	}
	observed := make([]assess.Observation, len(units))
	for i, u := range units {
		if u < 0 || u >= tr.units() {
			return nil, fmt.Errorf("there are %d units, and the unit %d is none of them: the plan is about other data", tr.units(), u)
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
func (t *Tester) Control(ctx context.Context, test *assess.Test, _ string, _ []int) (json.RawMessage, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr, err := t.prepare(ctx, test)
	if err != nil {
		return nil, err
	}
	found, err := tr.control(ctx)
	if err != nil {
		return nil, err
	}
	return json.Marshal(found)
}

// Clean tells whether what was repaired, or its twin, is right. Others have nothing to tell: what looks at training data changes no model, and
// certified answers are right ones.
func (t *Tester) Clean(ctx context.Context, test *assess.Test, units []int) ([]bool, error) {
	if test.Function != assay.Resolve {
		return nil, fmt.Errorf("%s: what it costs in accuracy is not measured beside it: leave the costs out of the criterion", test.Title)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	tr, err := t.prepare(ctx, test)
	if err != nil {
		return nil, err
	}
	m, ok := tr.(interface {
		untouched(ctx context.Context, units []int) ([]bool, error)
	})
	if !ok {
		return nil, fmt.Errorf("%s: the record of the plan is damaged", test.Title)
	}
	return m.untouched(ctx, units)
}

// Present describes a test.
func (t *Tester) Present(_ context.Context, test *assess.Test, observed []assess.Observation, controls map[string]json.RawMessage) (*report.Test, error) {
	switch test.Function {
	case assay.Control:
		return presentCensus(test, observed)
	case assay.Prevent:
		return presentVote(test, observed)
	case assay.Resolve:
		return presentResolution(test, observed, controls)
	}
	return presentDetection(test, observed, controls)
}

// Checks judges from records whether the test could have found a failure.
func (t *Tester) Checks(test *assess.Test, observed []assess.Observation, all map[string]json.RawMessage) ([]criteria.Check, error) {
	switch test.Function {
	case assay.Control:
		return checked[rehearsal](all)
	case assay.Prevent:
		return checked[canvass](all)
	case assay.Resolve:
		return checked[relapses](all)
	}
	c, err := controlled[controls](all)
	if err != nil {
		return nil, err
	}
	return c.checks(len(observed)), nil
}

// checked judges what a control recorded that needs nothing else.
func checked[T interface{ checks() []criteria.Check }](all map[string]json.RawMessage) ([]criteria.Check, error) {
	c, err := controlled[T](all)
	if err != nil {
		return nil, err
	}
	return c.checks(), nil
}

// controlled reads what a control recorded.
func controlled[T any](all map[string]json.RawMessage) (c T, err error) {
	text, ok := all[controlName]
	if !ok {
		return c, errors.New("the controls were not recorded")
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("the record of the controls is damaged: %w", err)
	}
	return c, nil
}
