package robustness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"assay"
	"assay/internal/assess"
	"assay/internal/criteria"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/stat"
)

// unawareControl is the control that attacks in ignorance of the solution: what was found on the model without it is tried
// on the model with it (the zero-knowledge adversary of Carlini and Wagner 2017, arXiv:1705.07263, section 2.3).
const unawareControl = "unaware"

// unaware is what that control recorded.
type unaware struct {
	Model  string  `json:"model"`  // without the solution
	Right  []int64 `json:"right"`  // units that the model with it gets right, ascending
	Broken []int64 `json:"broken"` // those of them that an example of the model without it breaks too, ascending
}

// unaware makes the control on the first units of the order.
func (t *Tester) unaware(ctx context.Context, test *assess.Test, order []int) (json.RawMessage, error) {
	base := *test
	base.Model, base.Without = test.Without, ""
	from, plain, release, err := t.acquire(ctx, &base)
	if err != nil {
		return nil, err
	}
	defer release()
	to, whole, release, err := t.acquire(ctx, test)
	if err != nil {
		return nil, err
	}
	defer release()
	units := order[:min(controlUnits, len(order))]
	found, err := from.battery.ObserveStrongest(ctx, plain, from.rows.Inputs(from.records.Dataset, units), from.options(test))
	if err != nil {
		return nil, fmt.Errorf("on %s: %w", test.Without, err)
	}
	record := unaware{Model: test.Without, Right: []int64{}, Broken: []int64{}}
	for i, in := range to.rows.Inputs(to.records.Dataset, units) {
		replay := evasion.Replay{}
		for _, m := range found[i].Methods {
			if m.Success {
				replay.Rows = append(replay.Rows, to.rows.Row(from.rows.Record(m.Example)))
			}
		}
		a := to.battery.Attacker
		a.Access = assay.Labels
		results, err := method.Run(ctx, whole, a, []method.Method{replay}, []method.Input{in}, to.options(test))
		if err != nil {
			return nil, err
		}
		if r := results[0]; r.Correct {
			record.Right = append(record.Right, r.Index)
			if !r.Robust {
				record.Broken = append(record.Broken, r.Index)
			}
		}
	}
	slices.Sort(record.Right)
	slices.Sort(record.Broken)
	return json.Marshal(record)
}

// comparison is how an attack that knows of a solution did beside others, on units that the system gets right.
type comparison struct {
	model                       string
	units, aware, unaware, only int // only: broken by the unaware attack alone
}

func compared(test *assess.Test, e *evasion.Evidence, controls map[string]json.RawMessage) (*comparison, error) {
	text, ok := controls[unawareControl]
	if !ok {
		return nil, errors.New("the attack in ignorance of the solution was not recorded")
	}
	var record unaware
	if err := json.Unmarshal(text, &record); err != nil {
		return nil, fmt.Errorf("the record of the control %s is damaged: %w", unawareControl, err)
	}
	c := &comparison{model: test.Without}
	for _, r := range e.Units {
		if _, right := slices.BinarySearch(record.Right, r.Index); !right || !r.Correct {
			continue
		}
		_, broken := slices.BinarySearch(record.Broken, r.Index)
		c.units++
		switch {
		case !r.Robust:
			c.aware++
		case broken:
			c.only++
		}
		if broken {
			c.unaware++
		}
	}
	return c, nil
}

// missed is the part of units that an attack may miss which one that knows less breaks.
const missed = 0.02

// check holds that knowing of the solution is no disadvantage: else the attack on the whole system was too weak (Tramèr et al.
// 2020, arXiv:2002.08347, section 3).
func (c *comparison) check() criteria.Check {
	lower, err := stat.BinomialLower(c.only, c.units, 0.95)
	return criteria.Check{Name: "aware-beats-unaware", Passed: err == nil && c.units > 0 && lower <= missed, Detail: fmt.Sprintf(
		"of %d units, the attack on the whole system broke %d, examples found on %s broke %d; %d more only these did", c.units, c.aware, c.model, c.unaware, c.only)}
}

var _ assess.Explainer = (*Tester)(nil)

// Explain says of a solution that attacks break whether it withstands those that do not know of it.
func (t *Tester) Explain(test *assess.Test, c criteria.Criterion, observed []assess.Observation, controls map[string]json.RawMessage) (string, error) {
	if test.Without == "" || c.Metric != "attack-success-rate" {
		return "", nil
	}
	e, _, err := recorded(observed, controls)
	if err != nil {
		return "", err
	}
	with, err := compared(test, e, controls)
	if err != nil {
		return "", err
	}
	if broken, n := e.Broken(); float64(broken) <= c.Limit*float64(n) {
		return "", nil // it is inadequate for another reason
	}
	text := ""
	if exact, surrogate, n := e.Followed(); surrogate > exact && n > 0 {
		text += fmt.Sprintf(" Following its gradients as they are breaks %s, and following them through the steps that have none %s.", share(exact, n), share(surrogate, n))
	}
	if with.units > 0 && with.aware > with.unaware {
		text += fmt.Sprintf(" Attacks that do not know of the solution, made on %s, break %s; those that do break %s", with.model, share(with.unaware, with.units), share(with.aware, with.units))
		if float64(with.unaware) <= c.Limit*float64(with.units) && float64(with.aware) > c.Limit*float64(with.units) {
			text += ": it holds against the former alone"
		}
		text += "."
	}
	return text, nil
}

func share(k, n int) string {
	return fmt.Sprintf("%d of %d units (%.0f %%)", k, n, 100*float64(k)/float64(n))
}
