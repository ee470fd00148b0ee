// Package poisoning tests goals of data poisoning: that an inspection of training data finds what is planted into a
// copy of them (detect). The user's own data are read, and never written over.
package poisoning

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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

	mu     sync.Mutex // trials are made one at a time: each trains on all processors
	trials map[string]*trial
}

var _ assess.Tester = (*Tester)(nil)

// New makes a tester of a system's training data, with the library of ONNX Runtime.
func New(s *system.System, library string, find Find) *Tester {
	return &Tester{system: s, library: library, find: find, trials: map[string]*trial{}}
}

const detectionRate = "detection-rate"

// plantings is how often each family is planted, each time in other records and towards another class: what
// one planting happens to make easy or hard is not taken for the rate.
const plantings = 4

// trial is the test of an inspection: data, and what is planted into them.
type trial struct {
	inspector
	families []plant.Planter
	share    float64
	seed     uint64
	results  map[int]*result // of plantings
}

// trial prepares a test, once.
func (t *Tester) trial(ctx context.Context, test *assess.Test) (*trial, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.trials[test.ID]; known != nil {
		return known, nil
	}
	found, err := t.newTrial(ctx, test)
	if err == nil {
		t.trials[test.ID] = found
	}
	return found, err
}

func (t *Tester) newTrial(ctx context.Context, test *assess.Test) (*trial, error) {
	solution, clean := t.system.Solution(test.Solution), t.system.Dataset(test.Data)
	if solution == nil || clean == nil || test.Attacker.Poison == nil {
		return nil, fmt.Errorf("the description has no solution %q or no data %q, or nothing is planted", test.Solution, test.Data)
	}
	if test.Function != assay.Detect {
		return nil, t.system.Mistake(solution.At, "no method of Assay tests the function %q of data poisoning", test.Function)
	}
	settings := solution.Inspection
	if settings == nil {
		return nil, t.system.Mistake(solution.At, "it says nothing of how planted records are found: add inspection, with the training data")
	}
	out := &trial{share: test.Attacker.Poison.Share, seed: test.Seed, results: map[int]*result{}}
	for _, name := range test.Attacker.Poison.Families {
		p, err := t.find(name)
		if err != nil {
			return nil, t.system.Mistake(solution.At, "%v", err)
		}
		out.families = append(out.families, p)
	}
	training, err := t.load(ctx, t.system.Dataset(settings.Data), nil)
	if err != nil {
		return nil, err
	}
	known, err := t.load(ctx, clean, training.Schema)
	if err != nil {
		return nil, err
	}
	out.inspector, err = newInspector(settings, training, known, t.library)
	if err != nil {
		return nil, t.system.Mistake(solution.At+".inspection", "%v", err)
	}
	if _, err := out.plant(ctx, 0); err != nil {
		return nil, t.system.Mistake(solution.At, "%v", err)
	}
	return out, nil
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

// plant makes a planting: of the families in turn, each in records and towards a class of its own.
func (t *trial) plant(ctx context.Context, k int) (*plant.Planted, error) {
	family := t.families[k%len(t.families)]
	o := plant.Options{Rate: t.share, Target: (k/len(t.families) + int(t.seed%64)) % t.classes(), Seed: t.seed<<8 + uint64(k)}
	p, err := family.Plant(ctx, t.training, o)
	if err != nil {
		return nil, fmt.Errorf("planting %s: %w", family.Describe().Name, err)
	}
	if p.Count() != t.each() || p.Count() == 0 {
		return nil, fmt.Errorf("%s planted %d records where %d were to be", family.Describe().Name, p.Count(), t.each())
	}
	return p, nil
}

// each is how many records one planting has, by the rounding of plant.Options.
func (t *trial) each() int { return int(t.share*float64(t.training.Len()) + 0.5) }

func (t *trial) units() int { return t.each() * len(t.families) * plantings }

// Outline tells how many records are planted in all.
func (t *Tester) Outline(ctx context.Context, test *assess.Test) (*assess.Outline, error) {
	tr, err := t.trial(ctx, test)
	if err != nil {
		return nil, err
	}
	o := &assess.Outline{Records: tr.units(), Methods: tr.methods()}
	if needed := tr.needed(); tr.clean.Len() < needed {
		o.Remarks = append(o.Remarks, fmt.Sprintf("%s has %d records, and at a false positive rate of %g it takes %d for any record to be suspected", test.Data, tr.clean.Len(), tr.fpr, needed))
	}
	return o, nil
}

// methods are the families with the inspection's settings, under which it was tested.
func (t *trial) methods() []report.Method {
	settings := []report.Fact{
		{Name: "share", Value: fmt.Sprintf("%d of %d records", t.each(), t.training.Len())}, {Name: "plantings", Value: fmt.Sprint(plantings)},
		{Name: "detectors", Value: strings.Join(t.names, ", ")}, {Name: "false positive rate", Value: fmt.Sprint(t.fpr)},
		{Name: "network", Value: fmt.Sprintf("%s, %d epochs", t.network, t.epochs)},
	}
	var out []report.Method
	for _, f := range t.families {
		out = append(out, report.Method{Name: f.Describe().Name, Reference: f.Describe().Reference, Settings: settings})
	}
	return out
}

// detail is what is recorded of a planted record beside whether it was found.
type detail struct {
	Family   string  `json:"family"`
	Planting int     `json:"planting"`
	Record   int64   `json:"record"` // its number in the training data
	P        float64 `json:"p"`      // by all detectors together
}

// Observe tells of planted records whether they were suspected.
func (t *Tester) Observe(ctx context.Context, test *assess.Test, units []int) ([]assess.Observation, error) {
	tr, err := t.trial(ctx, test)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	observed := make([]assess.Observation, len(units))
	for i, u := range units {
		if u < 0 || u >= tr.units() {
			return nil, fmt.Errorf("there are %d units, and the unit %d is none of them: the plan is about other data", tr.units(), u)
		}
		k := u / tr.each()
		r, err := tr.result(ctx, k)
		if err != nil {
			return nil, err
		}
		found := r.planted[u%tr.each()]
		text, err := json.Marshal(detail{tr.families[k%len(tr.families)].Describe().Name, k, found.number, found.p})
		if err != nil {
			return nil, err
		}
		observed[i] = assess.Observation{Unit: u, Outcomes: map[string]bool{detectionRate: found.suspected}, Detail: text}
	}
	return observed, nil
}

// result inspects a planting, once.
func (t *trial) result(ctx context.Context, k int) (*result, error) {
	if known := t.results[k]; known != nil {
		return known, nil
	}
	p, err := t.plant(ctx, k)
	if err != nil {
		return nil, err
	}
	r, err := t.inspect(ctx, p.Dataset, p.Which, t.seed+uint64(k), t.names)
	if err == nil {
		t.results[k] = r
	}
	return r, err
}

// Controls names the one control.
func (t *Tester) Controls(*assess.Test) []string { return []string{controlName} }

// Clean has nothing to tell: what an inspection costs are false alarms, which its control counts.
func (t *Tester) Clean(_ context.Context, test *assess.Test, _ []int) ([]bool, error) {
	return nil, fmt.Errorf("%s: an inspection changes no model, so it costs no accuracy: leave the costs out of the criterion", test.Title)
}

// Present describes a test: what was found of each family.
func (t *Tester) Present(_ context.Context, test *assess.Test, observed []assess.Observation, controls map[string]json.RawMessage) (*report.Test, error) {
	poison := test.Attacker.Poison
	if poison == nil || test.Outline == nil {
		return nil, errors.New("the record of the plan is damaged: nothing is planted")
	}
	r := &report.Test{N: len(observed), Methods: slices.Clone(test.Outline.Methods), Attacker: []report.Fact{
		{Name: "plants", Value: strings.Join(poison.Families, ", ")}, {Name: "share", Value: fmt.Sprintf("%g %% of the training data, of each family by itself", 100*poison.Share)},
	}}
	for _, o := range observed {
		var d detail
		if err := json.Unmarshal(o.Detail, &d); err != nil {
			return nil, fmt.Errorf("the record of unit %d is damaged: %w", o.Unit, err)
		}
		for i := range r.Methods {
			if m := &r.Methods[i]; m.Name == d.Family {
				if m.N++; o.Outcomes[detectionRate] {
					m.Successes++
				}
			}
		}
	}
	c, err := controlled(controls)
	if err != nil {
		return nil, err
	}
	r.Notes = append(c.notes(), fmt.Sprintf("The bounds are about records planted so in these data. Records of one of the %d plantings have their trigger in common, so they are found, or not, together more often than by chance.", plantings*len(poison.Families)))
	return r, nil
}

// Checks judges from records whether the test could have found a failure.
func (t *Tester) Checks(_ *assess.Test, observed []assess.Observation, controls map[string]json.RawMessage) ([]criteria.Check, error) {
	c, err := controlled(controls)
	if err != nil {
		return nil, err
	}
	return c.checks(len(observed)), nil
}
