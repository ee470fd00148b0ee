package robustness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/internal/assess"
	"assay/internal/certificate"
	"assay/internal/criteria"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/report"
	"assay/internal/trees"
)

// certifiedControl is the control that has answers certified where that is possible, so that the report
// can show what provably holds beside what no attack broke, and each can contradict the other.
const certifiedControl = "certified"

// certifier certifies rows: a vote under noise does, and a search over the boxes of trees.
type certifier interface {
	Certify(ctx context.Context, rows []float64, labels []int) ([]certificate.Certificate, error)
}

// certified is what that control recorded.
type certified struct {
	None  string          `json:"none,omitempty"`  // why nothing is certified
	Scale float64         `json:"scale,omitempty"` // what an eps of 1 is at most, in the certificates' unit
	Units []certifiedUnit `json:"units,omitempty"`
}

type certifiedUnit struct {
	Index int64                   `json:"index"`
	Right bool                    `json:"right"` // the system gives its label, untouched
	Says  certificate.Certificate `json:"certificate"`
}

// certify makes the control on the first units of the order.
func (t *Tester) certify(ctx context.Context, test *assess.Test, order []int) (json.RawMessage, error) {
	p, target, release, err := t.acquire(ctx, test)
	if err != nil {
		return nil, err
	}
	defer release()
	by, scale := p.certifier(target, test)
	if by == nil || scale == 0 {
		return json.Marshal(certified{None: "nothing certifies the model's answers to what this attacker may change"})
	}
	inputs := p.rows.Inputs(p.records.Dataset, order[:min(controlUnits, len(order))])
	results, err := method.Run(ctx, target, p.battery.Attacker, nil, inputs, p.options(test))
	if err != nil {
		return nil, err
	}
	var rows []float64
	var labels []int
	for _, in := range inputs {
		for _, v := range in.X {
			rows = append(rows, float64(v))
		}
		labels = append(labels, in.Label)
	}
	list, err := by.Certify(ctx, rows, labels)
	if err != nil {
		return nil, fmt.Errorf("certifying: %w", err)
	}
	record := certified{Scale: scale}
	for i, c := range list {
		record.Units = append(record.Units, certifiedUnit{inputs[i].Index, results[i].Correct, c})
	}
	return json.Marshal(record)
}

// certifier gives what certifies a target's answers against an attacker, and what an eps of 1 is at most in its unit; nil where
// nothing does. A vote certifies in L2, of numbers; a search over the boxes of trees in the attacker's own space.
func (p *prepared) certifier(t method.Target, test *assess.Test) (certifier, float64) {
	if by, ok := t.Confirm.(certifier); ok {
		if p.battery.Attacker.Norm != method.L2 || len(p.domain.Groups) > 0 && test.Attacker.Groups > 0 {
			return nil, 0
		}
		return by, widest(p.domain)
	}
	for _, m := range p.battery.Trees {
		if exact, ok := m.(trees.Exact); ok {
			return &boxes{exact, method.Space{Domain: p.domain, Norm: p.battery.Attacker.Norm, Eps: test.Attacker.Eps, Groups: test.Attacker.Groups}}, 1
		}
	}
	return nil, 0
}

// boxes certifies the answers of trees, within a space around each row.
type boxes struct {
	exact trees.Exact
	space method.Space
}

// Certify looks for the nearest row of another class, first as far as curves are drawn, and where that is too much work nearer.
func (b *boxes) Certify(ctx context.Context, rows []float64, labels []int) ([]certificate.Certificate, error) {
	out := make([]certificate.Certificate, len(labels))
	size := len(b.space.Domain.Low)
	for i, label := range labels {
		out[i] = certificate.Certificate{
			Class: -1, Norm: string(b.space.Norm), Confidence: 1, Method: b.exact.Describe().Reference,
			Assumption: "the system answers by the sums of these trees, in 32-bit numbers",
		}
		s := b.space
		s.Clean = make([]float32, size)
		for k, v := range rows[i*size : (i+1)*size] {
			s.Clean[k] = float32(v)
		}
		if b.exact.Ensemble.Class(s.Clean) != label {
			continue
		}
		for s.Eps = drawn * b.space.Eps; s.Eps >= b.space.Eps/drawn; s.Eps /= 2 {
			r, err := trees.Verify(ctx, b.exact.Ensemble, &s, label, trees.Options{Work: b.exact.Work, Nearest: true})
			if err != nil {
				return nil, err
			}
			radius := 0.0
			switch {
			case r.Verdict == trees.Robust:
				radius = s.Eps
			case r.Minimal:
				radius = math.Nextafter(r.Distance, 0) // at that distance it is broken
			default:
				continue
			}
			if radius > 0 {
				out[i].Class, out[i].Correct, out[i].Radius = label, true, radius
			}
			break
		}
	}
	return out, nil
}

// widest gives the largest scale of a domain's numbers that can change: what is within eps of an input in the domain's scale is
// within eps times that in the model's own unit, in which certificates are.
func widest(d *method.Domain) (scale float64) {
	for i, s := range d.Scale {
		if d.Fixed == nil || !d.Fixed[i] {
			scale = max(scale, float64(s))
		}
	}
	return scale
}

// certificatesOf reads the control's record; nil where there is none, or nothing was certified.
func certificatesOf(controls map[string]json.RawMessage) (*certified, error) {
	text, ok := controls[certifiedControl]
	if !ok {
		return nil, nil
	}
	c := &certified{}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("the record of the control %s is damaged: %w", certifiedControl, err)
	}
	if c.None != "" {
		return nil, nil
	}
	if !(c.Scale > 0) || len(c.Units) == 0 {
		return nil, errors.New("the record of the control " + certifiedControl + " is damaged: it has no units, or no scale")
	}
	return c, nil
}

// eps gives how far a unit is certified to keep its label, in the attacker's unit; 0 where it is not.
func (c *certified) eps(u certifiedUnit) float64 {
	if !u.Right || !u.Says.Correct {
		return 0
	}
	return u.Says.Radius / c.Scale
}

// curve gives the certified accuracy at values of eps. A unit that the system gets wrong, or refuses, as it is counts as not certified.
func (c *certified) curve(budgets []float64) (report.Curve, error) {
	list := make([]certificate.Certificate, len(c.Units))
	for i, u := range c.Units {
		list[i] = u.Says
		list[i].Correct = u.Right && u.Says.Correct
		list[i].Radius /= c.Scale
	}
	out := report.Curve{Name: certifiedControl, Confidence: curveConfidence}
	points, err := certificate.Accuracy(list, budgets, curveConfidence)
	for _, p := range points {
		out.Points = append(out.Points, report.Point{Budget: p.Radius, Rate: p.Accuracy, Lower: p.Interval.Lower, Upper: p.Interval.Upper, Successes: p.Hits, N: p.N})
	}
	return out, err
}

// near is by which part of a radius an example may lie inside it for the rounding of 32-bit numbers alone.
const near = 1e-5

// check holds that nothing was broken within the radius for which it is certified not to be. Each certificate fails with a small
// probability, so that one contradiction in a great many units could be chance; but whichever of the two is wrong, the
// certificate or the example, a test in which they meet decides nothing.
func (c *certified) check(e *evasion.Evidence) criteria.Check {
	out := criteria.Check{Name: "certificates-hold"}
	held := 0
	for _, u := range c.Units {
		limit := c.eps(u)
		if limit == 0 {
			continue
		}
		held++
		if found, how := breaks(e, u.Index, limit*(1-near)); found {
			out.Detail = fmt.Sprintf("unit %d is certified up to eps %.4g with confidence %g, and %s: one of the two is wrong", u.Index, limit, u.Says.Confidence, how)
			return out
		}
	}
	out.Passed = true
	out.Detail = fmt.Sprintf("%d of %d units are certified, and no attack broke one of them within its radius", held, len(c.Units))
	return out
}

// breaks reports whether a unit was broken within an eps, and how, by what was recorded of units and of controls.
func breaks(e *evasion.Evidence, index int64, within float64) (bool, string) {
	for _, r := range e.Units {
		for _, m := range r.Methods {
			if r.Index == index && m.Success && m.Distance <= within {
				return true, fmt.Sprintf("%s broke it at %.4g", m.Method, m.Distance)
			}
		}
	}
	if e.Controls == nil {
		return false, ""
	}
	points := slices.Clone(e.Controls.Curve)
	if e.Controls.Doubled != nil {
		points = append(points, *e.Controls.Doubled)
	}
	for _, p := range points {
		if _, broken := slices.BinarySearch(p.Broken, index); broken && p.Eps <= within {
			return true, fmt.Sprintf("the strongest methods broke it within %.4g", p.Eps)
		}
	}
	return false, ""
}
