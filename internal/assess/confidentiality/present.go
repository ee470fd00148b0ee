package confidentiality

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"assay/internal/assess"
	"assay/internal/method/membership"
	"assay/internal/report"
)

// curveConfidence is that of what is reported of all attacks together.
const curveConfidence = 0.95

// exposed is how many members a report calls by name.
const exposed = 10

// Present describes a test: what each attack achieves, the curve of the one that decides, and the members that are most exposed.
func (t *Tester) Present(_ context.Context, test *assess.Test, observed []assess.Observation, controls map[string]json.RawMessage) (*report.Test, error) {
	r, err := recorded(controls)
	if err != nil {
		return nil, err
	}
	by, err := counted(observed)
	if err != nil {
		return nil, err
	}
	out := &report.Test{N: len(observed), Attacker: []report.Fact{
		{Name: "has", Value: "records, and asks the model about them"},
		{Name: "wants to know", Value: "which of them the model was trained on"},
		{Name: "false alarms", Value: "of " + percent(r.FPR) + " of the records that it was not trained on"},
		{Name: "decided on", Value: r.Chosen + ", which is the strongest on records apart"},
	}}
	for i := range r.Results {
		out.Methods = append(out.Methods, method(&r.Results[i], by, len(observed), test))
	}
	if p := curves(r); len(p.Curves) > 0 {
		out.Plots = []report.Plot{p}
	}
	out.Notes = r.notes()
	return out, nil
}

func method(m *membership.Result, by map[string]int, n int, test *assess.Test) report.Method {
	out := report.Method{Name: m.Attack, Reference: m.Reference, Successes: by[m.Attack], N: n}
	if i := slices.IndexFunc(test.Outline.Methods, func(planned report.Method) bool { return planned.Name == m.Attack }); i >= 0 {
		out.Settings = slices.Clone(test.Outline.Methods[i].Settings)
	}
	for _, at := range m.At {
		out.Settings = append(out.Settings, report.Fact{Name: "TPR at " + percent(at.FPR), Value: interval(at.TPR)})
	}
	out.Settings = append(out.Settings, report.Fact{Name: "balanced accuracy", Value: interval(m.Balanced)})
	return out
}

// curves are those of the attack that decides, of the loss, which everybody can try, and of guessing.
func curves(r *record) report.Plot {
	p := report.Plot{Title: "members recognised", Budget: "false positive rate", Scale: report.Logarithmic, Joint: true, At: &r.FPR,
		Note: "Both axes are logarithmic, as the few that are recognised without false alarms are the harm."}
	var guessing report.Curve
	for _, name := range slices.Compact([]string{r.Chosen, "loss"}) {
		i := slices.IndexFunc(r.Results, func(m membership.Result) bool { return m.Attack == name })
		if i < 0 {
			continue
		}
		c, n := report.Curve{Name: name, Confidence: curveConfidence}, r.Results[i].Members
		guessing = report.Curve{Name: "guessing"}
		everybody := membership.AtFPR{FPR: 1, TPR: membership.Rate{Estimate: 1, Lower: 1, Upper: 1}} // whom a threshold of nothing recognises
		for _, at := range append(slices.Clone(r.Results[i].Curve), everybody) {
			c.Points = append(c.Points, report.Point{Budget: at.FPR, Rate: at.TPR.Estimate, Lower: at.TPR.Lower, Upper: at.TPR.Upper,
				Successes: int(math.Round(at.TPR.Estimate * float64(n))), N: n})
			guessing.Points = append(guessing.Points, report.Point{Budget: at.FPR, Rate: at.FPR, Lower: at.FPR, Upper: at.FPR})
		}
		p.Curves = append(p.Curves, c)
	}
	if len(p.Curves) > 0 {
		p.Curves = append(p.Curves, guessing)
	}
	return p
}

// notes name the class and the members that the attack which decides is surest of.
func (r *record) notes() (notes []string) {
	for i := range r.Results {
		if w := r.Results[i].Worst; r.Results[i].Attack == r.Chosen && w != nil {
			notes = append(notes, fmt.Sprintf("worst class: of %d members of the class %s, %s recognises %s at %s false positives", w.Members, r.Worst, r.Chosen, interval(w.TPR), percent(w.FPR)))
		}
	}
	for _, e := range r.Exposed {
		notes = append(notes, fmt.Sprintf("exposed: record %d, %s; %s of the other records score as high", e.Record, e.Class, percent(e.FPR)))
	}
	return notes
}

func interval(r membership.Rate) string {
	return fmt.Sprintf("%s (%s to %s)", percent(r.Estimate), percent(r.Lower), percent(r.Upper))
}

func percent(v float64) string { return fmt.Sprintf("%.3g %%", 100*v) }
