package robustness

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"assay/internal/assess"
	"assay/internal/method"
	"assay/internal/model"
	"assay/internal/report"
)

// curveConfidence is that of the intervals in the curve, each for itself.
const curveConfidence = 0.95

// Present describes a test: methods and how they fared, success by eps, and examples.
func (t *Tester) Present(ctx context.Context, test *assess.Test, observed []assess.Observation, controls map[string]json.RawMessage) (*report.Test, error) {
	p, err := t.prepare(ctx, test)
	if err != nil {
		return nil, err
	}
	e, details, err := recorded(observed, controls)
	if err != nil {
		return nil, err
	}
	proven, err := certificatesOf(controls)
	if err != nil {
		return nil, err
	}
	r := tally(test, details)
	r.Attacker = facts(test.Attacker)
	budget := budgetText{fmt.Sprintf("eps, %s (%s)", unitText(test.Attacker.Unit), test.Attacker.Norm), controlUnits}
	if r.Plots, err = plots(test, budget, e.Controls, proven, details); err != nil {
		return nil, err
	}
	if r.Broken, err = broken(p.records.Number, details); err != nil {
		return nil, err
	}
	r.Examples, err = p.examples(details)
	return r, err
}

// tally counts how methods fared.
func tally(test *assess.Test, details []detail) *report.Test {
	r := &report.Test{Methods: slices.Clone(test.Outline.Methods), N: len(details)}
	for i := range r.Methods {
		m := &r.Methods[i]
		m.Successes, m.N, m.Queries = 0, 0, 0
		for _, d := range details {
			for _, found := range d.Result.Methods {
				if found.Method == m.Name {
					m.N++
					m.Queries += int64(found.Queries)
					if found.Success {
						m.Successes++
					}
				}
			}
		}
		r.Queries += m.Queries
	}
	for _, d := range details {
		if d.Result.Correct {
			r.Correct++
		}
	}
	return r
}

func unitText(unit string) string {
	switch method.Scaling(unit) {
	case method.ByRange:
		return "as a share of each feature's range"
	case method.Deviation:
		return "in standard deviations of each feature"
	}
	return "in the data's own units"
}

func facts(a assess.Attacker) []report.Fact {
	list := []report.Fact{
		{Name: "sees", Value: string(a.Access)}, {Name: "norm", Value: a.Norm},
		{Name: "eps", Value: fmt.Sprintf("%g, %s", a.Eps, unitText(a.Unit))},
	}
	if a.Groups > 0 {
		list = append(list, report.Fact{Name: "categorical features that may change", Value: fmt.Sprint(a.Groups)})
	}
	return append(list, queriesFact(a))
}

func queriesFact(a assess.Attacker) report.Fact {
	queries := "any number"
	if a.Queries > 0 {
		queries = fmt.Sprintf("%d for each unit and method", a.Queries)
	}
	return report.Fact{Name: "queries", Value: queries}
}

// shownExamples is how many examples a report shows, the nearest first.
const shownExamples = 6

// examples shows the adversarial examples that changed least.
func (p *prepared) examples(details []detail) ([]report.Example, error) {
	var shown []report.Example
	for _, d := range leastChanged(details, func(d detail) bool { return d.Example != nil }) {
		e, err := exampleOf(d, p.records.Number, p.description.Classes)
		if err != nil {
			return nil, err
		}
		if len(d.Example) != 4*len(p.domain.Low) {
			return nil, misfit(d)
		}
		clean, changed := p.records.Record(int(d.Result.Index)), p.rows.Record(decode(d.Example))
		if err := p.show(&e, clean, changed); err != nil {
			return nil, err
		}
		shown = append(shown, e)
	}
	return shown, nil
}

// leastChanged gives those that are shown.
func leastChanged(details []detail, has func(detail) bool) []detail {
	found := slices.DeleteFunc(slices.Clone(details), func(d detail) bool { return !has(d) })
	slices.SortStableFunc(found, func(a, b detail) int { return cmp.Compare(distance(a), distance(b)) })
	return found[:min(shownExamples, len(found))]
}

// exampleOf is what all examples tell. Numbers are those of the records in their source.
func exampleOf(d detail, numbers []int64, classes []string) (e report.Example, err error) {
	unit := d.Result.Index
	if unit < 0 || unit >= int64(len(numbers)) || max(d.Truth, d.Result.Answer) >= len(classes) || min(d.Truth, d.Result.Answer) < 0 {
		return e, misfit(d)
	}
	e = report.Example{Unit: numbers[unit], Method: d.Method, Distance: distance(d), Truth: classes[d.Truth], Answer: classes[d.Result.Answer]}
	for _, m := range d.Result.Methods {
		if m.Method == d.Method {
			e.Queries = int64(m.Queries)
		}
	}
	return e, nil
}

func misfit(d detail) error {
	return fmt.Errorf("the record of unit %d does not fit the data: the run folder is damaged", d.Result.Index)
}

func distance(d detail) float64 {
	for _, m := range d.Result.Methods {
		if m.Method == d.Method {
			return m.Distance
		}
	}
	return math.Inf(1)
}

// show adds pictures where the records are images, else what changed in the user's own units.
func (p *prepared) show(e *report.Example, clean, changed []float32) (err error) {
	shape := p.records.Schema.RecordShape()
	if len(shape) == 3 && (shape[0] == 1 || shape[0] == 3) && max(shape[1], shape[2]) <= report.MaxSide &&
		(p.description.Layout == model.NCHW || p.description.Layout == model.NHWC) {
		low, high := slices.Min(p.domain.Low), slices.Max(p.domain.High)
		e.Image, err = report.NewPictures(clean, changed, shape[0], shape[1], shape[2], float64(low), float64(high))
		return err
	}
	e.Changes, err = p.changes(clean, changed)
	return err
}

// changes lists the features that changed, the largest change first, by the domain's scale.
func (p *prepared) changes(clean, changed []float32) ([]report.Feature, error) {
	schema := p.records.Schema
	was, err := schema.Decode(clean)
	if err != nil {
		return nil, err
	}
	is, err := schema.Decode(changed)
	if err != nil {
		return nil, err
	}
	size := make([]float64, len(was))
	for i, c := range schema.Columns() {
		at := c.Feature
		if len(schema.Features) != len(was) { // of an array, each number is a feature
			at = i
		}
		size[at] = max(size[at], math.Abs(float64(changed[i])-float64(clean[i]))/float64(p.domain.Scale[i]))
	}
	var list []int
	for i := range was {
		if was[i] != is[i] {
			list = append(list, i)
		}
	}
	slices.SortStableFunc(list, func(a, b int) int { return cmp.Compare(size[b], size[a]) })
	var out []report.Feature
	for _, i := range list {
		name := fmt.Sprintf("number %d", i+1)
		if len(schema.Features) == len(was) {
			name = schema.Features[i].Name
		}
		out = append(out, report.Feature{Name: name, From: was[i], To: is[i]})
	}
	return out, nil
}
