package robustness

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"assay"
	"assay/internal/assess"
	"assay/internal/criteria"
	"assay/internal/method/substitution"
	"assay/internal/method/substitution/battery"
	"assay/internal/report"
	"assay/internal/system"
)

// Texts tests evasion of classifiers of texts. It implements assess.Tester. Close frees the models that it opened.
type Texts struct {
	system  *system.System // nil where only records are judged
	library string

	tests cache[*preparedTexts]
}

var _ assess.Tester = (*Texts)(nil)

// NewTexts makes a tester of a system's models of texts. Library is the ONNX Runtime library; see ort.Load.
func NewTexts(s *system.System, library string) *Texts {
	return &Texts{system: s, library: library}
}

// Close frees the models.
func (t *Texts) Close() { t.tests.close() }

func (t *Texts) prepare(ctx context.Context, test *assess.Test) (*preparedTexts, error) {
	return t.tests.get(test, func() (*preparedTexts, error) { return t.newPrepared(ctx, test) })
}

// Outline opens the model and the data, and tells what attacking one text takes.
func (t *Texts) Outline(ctx context.Context, test *assess.Test) (*assess.Outline, error) {
	p, err := t.prepare(ctx, test)
	if err != nil {
		return nil, err
	}
	o := &assess.Outline{Records: len(p.texts.Texts), Queries: p.battery.Most(), Remarks: slices.Clone(p.remarks)}
	for _, d := range p.battery.Describe() {
		o.Methods = append(o.Methods, methodOf(d))
	}
	sample := p.texts.Texts[:min(timed, len(p.texts.Texts))]
	started := time.Now()
	if err := p.target.Model.Predict(ctx, sample, make([]float64, len(sample)*len(p.classes))); err != nil {
		return nil, err
	}
	o.Seconds = time.Since(started).Seconds() / float64(len(sample)) * float64(p.battery.Most())
	return o, nil
}

// Observe attacks units with the whole battery.
func (t *Texts) Observe(ctx context.Context, test *assess.Test, units []int) ([]assess.Observation, error) {
	p, err := t.prepare(ctx, test)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(units, func(u int) bool { return u < 0 || u >= len(p.labels) }) {
		return nil, fmt.Errorf("%s has %d texts, and the units %v are not all among them: the plan is about other data", test.Data, len(p.labels), units)
	}
	results, err := p.battery.Observe(ctx, p.target, p.inputs(units), test.Seed)
	if err != nil {
		return nil, err
	}
	observed := make([]assess.Observation, len(units))
	for i, r := range results {
		d := detail{Truth: p.labels[r.Index], Result: battery.ResultOf(r)}
		if best := nearest(d.Result); best != nil {
			k := slices.IndexFunc(r.Methods, func(m substitution.MethodResult) bool { return m.Method == best.Method })
			d.Method, d.Text = best.Method, r.Methods[k].Example
		}
		if observed[i], err = d.observation(); err != nil {
			return nil, err
		}
	}
	return observed, nil
}

// textControlUnits is how many units the controls attack again: fewer than of rows, as texts take longer.
const textControlUnits = 40

// Controls names the control.
func (t *Texts) Controls(*assess.Test) []string { return []string{batteryControl} }

// Control runs the control on the first units of the order.
func (t *Texts) Control(ctx context.Context, test *assess.Test, _ string, order []int) (json.RawMessage, error) {
	p, err := t.prepare(ctx, test)
	if err != nil {
		return nil, err
	}
	c, err := p.battery.Controls(ctx, p.target, p.inputs(order[:min(textControlUnits, len(order))]), test.Seed)
	if err != nil {
		return nil, err
	}
	return json.Marshal(p.battery.Evidence(c))
}

// Checks judges whether the battery could have found what it did not find.
func (t *Texts) Checks(_ *assess.Test, observed []assess.Observation, controls map[string]json.RawMessage) ([]criteria.Check, error) {
	e, _, err := recorded(observed, controls)
	if err != nil {
		return nil, err
	}
	return e.Checks(), nil
}

// Clean tells which units the model gets right untouched.
func (t *Texts) Clean(ctx context.Context, test *assess.Test, units []int) ([]bool, error) {
	p, err := t.prepare(ctx, test)
	if err != nil {
		return nil, err
	}
	results, err := substitution.Run(ctx, p.target, p.battery.Attacker, nil, p.inputs(units), substitution.Options{Seed: test.Seed, Workers: 1})
	if err != nil {
		return nil, err
	}
	right := make([]bool, len(results))
	for i, r := range results {
		right[i] = r.Correct
	}
	return right, nil
}

// Present describes a test: methods and how they fared, success by the share of words, and examples.
func (t *Texts) Present(ctx context.Context, test *assess.Test, observed []assess.Observation, controls map[string]json.RawMessage) (*report.Test, error) {
	p, err := t.prepare(ctx, test)
	if err != nil {
		return nil, err
	}
	e, details, err := recorded(observed, controls)
	if err != nil {
		return nil, err
	}
	r := tally(test, details)
	r.Attacker = append([]report.Fact{
		{Name: "sees", Value: string(assay.Scores)},
		{Name: "words that may change", Value: fmt.Sprintf("%g of each text's", test.Attacker.Eps)},
	}, queriesFact(test.Attacker))
	if c := e.Controls; c != nil && len(c.Curve) > 0 {
		without := *c
		without.Curve = c.Curve[:len(c.Curve)-1] // the last is of another attacker, for a check
		e.Controls = &without
	}
	if r.Plots, err = plots(test, budgetText{"share of the words that may change", textControlUnits}, e.Controls, nil, details); err != nil {
		return nil, err
	}
	if r.Broken, err = broken(p.texts.Number, details); err != nil {
		return nil, err
	}
	r.Examples, err = p.examples(details)
	return r, err
}

// examples shows the adversarial texts that changed least, by the words that are others.
func (p *preparedTexts) examples(details []detail) ([]report.Example, error) {
	var shown []report.Example
	for _, d := range leastChanged(details, func(d detail) bool { return d.Text != "" }) {
		e, err := exampleOf(d, p.texts.Number, p.classes)
		if err != nil {
			return nil, err
		}
		was, is := substitution.Split(p.texts.Texts[d.Result.Index]).Words, substitution.Split(d.Text).Words
		if len(was) != len(is) {
			return nil, misfit(d)
		}
		for i := range was {
			if was[i] != is[i] {
				e.Changes = append(e.Changes, report.Feature{Name: fmt.Sprintf("word %d", i+1), From: was[i], To: is[i]})
			}
		}
		shown = append(shown, e)
	}
	return shown, nil
}
