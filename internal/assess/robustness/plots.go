package robustness

import (
	"cmp"
	"fmt"
	"slices"

	"assay/internal/assess"
	"assay/internal/method/evasion"
	"assay/internal/report"
	"assay/internal/stat"
)

// count is k of n units at an eps.
type count struct {
	eps  float64
	k, n int
}

// budgetText is what curves are drawn over, and on how many of the units the controls are made.
type budgetText struct {
	name  string
	units int
}

// plots gives the attack success rate of the units that the model gets right, and the robust accuracy
// of all, by eps: of the controls' units by the strongest methods, of all units by all. Beside the latter is what is
// proven of the controls' units, where something is.
func plots(test *assess.Test, over budgetText, c *evasion.Controls, proven *certified, details []detail) ([]report.Plot, error) {
	at := test.Attacker.Eps
	var broken, robust []count // of the controls' units
	if c != nil {
		units := min(over.units, test.Outline.Records)
		robust = append(robust, count{0, c.Units, units})
		for _, p := range c.Curve {
			if plotted(p.Eps, at) {
				broken = append(broken, count{p.Eps, len(p.Broken), p.Units})
				robust = append(robust, count{p.Eps, p.Units - len(p.Broken), units})
			}
		}
	}
	correct, fell := 0, 0
	for _, d := range details {
		if d.Result.Correct {
			correct++
			if !d.Result.Robust {
				fell++
			}
		}
	}
	const strongest, all = "strongest", "all methods"
	success := report.Plot{Title: "attack success rate", Metric: "attack-success-rate"}
	accuracy := report.Plot{Title: "robust accuracy", Metric: "robust-accuracy", Note: "It is what no attack has broken, so the truth is at most that."}
	for _, add := range []struct {
		plot   *report.Plot
		name   string
		counts []count
	}{
		{&success, strongest, broken}, {&success, all, []count{{at, fell, correct}}},
		{&accuracy, strongest, robust}, {&accuracy, all, []count{{0, correct, len(details)}, {at, correct - fell, len(details)}}},
	} {
		curve, err := newCurve(add.name, add.counts)
		if err != nil {
			return nil, err
		}
		if len(curve.Points) > 0 {
			add.plot.Curves = append(add.plot.Curves, curve)
		}
	}
	if proven != nil && len(robust) > 0 {
		budgets := make([]float64, len(robust))
		for i, p := range robust {
			budgets[i] = p.eps
		}
		curve, err := proven.curve(budgets)
		if err != nil {
			return nil, err
		}
		accuracy.Curves = append(accuracy.Curves, curve)
		accuracy.Note = "The truth is between what is certified and what no attack has broken."
	}
	out := slices.DeleteFunc([]report.Plot{success, accuracy}, func(p report.Plot) bool { return len(p.Curves) == 0 })
	for i := range out {
		out[i].Budget, out[i].At = over.name, &at
	}
	return out, nil
}

// drawn is by what factor of the attacker's eps curves are drawn at most.
const drawn = 8

// plotted reports whether an eps is near enough the attacker's to be drawn beside it: that
// of the whole domain is for a check, not for a curve.
func plotted(eps, at float64) bool { return eps <= drawn*at }

// newCurve gives the rates of counts with their intervals. Counts of no units are left out.
func newCurve(name string, counts []count) (report.Curve, error) {
	c := report.Curve{Name: name, Confidence: curveConfidence}
	for _, p := range counts {
		if p.n == 0 {
			continue
		}
		bounds, err := stat.ClopperPearson(p.k, p.n, curveConfidence)
		if err != nil {
			return c, err
		}
		c.Points = append(c.Points, report.Point{Budget: p.eps, Rate: float64(p.k) / float64(p.n), Lower: bounds.Lower, Upper: bounds.Upper, Successes: p.k, N: p.n})
	}
	return c, nil
}

// broken lists the units that methods broke, and which did: that which took the least first.
func broken(numbers []int64, details []detail) ([]report.Broken, error) {
	var list []report.Broken
	for _, d := range details {
		unit := report.Broken{Distance: distance(d)}
		for _, m := range d.Result.Methods {
			if m.Success {
				unit.Methods = append(unit.Methods, m.Method)
			}
		}
		if len(unit.Methods) == 0 {
			continue
		}
		index := int(d.Result.Index)
		if index < 0 || index >= len(numbers) {
			return nil, fmt.Errorf("unit %d is not in the data: the run folder is damaged", index)
		}
		unit.Unit = numbers[index]
		list = append(list, unit)
	}
	slices.SortStableFunc(list, func(a, b report.Broken) int {
		return cmp.Or(cmp.Compare(a.Distance, b.Distance), -cmp.Compare(len(a.Methods), len(b.Methods)))
	})
	return list, nil
}
