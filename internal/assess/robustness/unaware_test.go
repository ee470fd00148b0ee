package robustness

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"assay"
	"assay/internal/assess"
	"assay/internal/criteria"
	"assay/internal/method"
	"assay/internal/method/evasion"
)

// recordOf is what a test recorded of 60 units that the system gets right: the first so many are broken by the attack that
// knows of the solution, and those of a list by the one that does not.
func recordOf(t *testing.T, aware int, ignorant []int64) ([]assess.Observation, map[string]json.RawMessage) {
	t.Helper()
	written := func(v any) json.RawMessage {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	record := unaware{Model: "plain", Broken: ignorant}
	var seen []assess.Observation
	for i := range int64(60) {
		record.Right = append(record.Right, i)
		r := method.Result{Index: i, Correct: true, Robust: i >= int64(aware), Methods: []method.MethodResult{
			{Method: "apgd-ce"}, {Method: "apgd-ce-bpda", Success: i < int64(aware)},
		}}
		seen = append(seen, assess.Observation{Unit: int(i), Detail: written(detail{Result: r})})
	}
	e := &evasion.Evidence{Access: assay.Gradients, Norm: method.Linf, Eps: 1, Controls: &evasion.Controls{}, Methods: []method.Description{
		{Name: "apgd-ce", Access: assay.Gradients, Iterative: true}, {Name: "apgd-ce-bpda", Access: assay.Gradients, Iterative: true, Surrogate: true},
	}}
	return seen, map[string]json.RawMessage{batteryControl: written(e), unawareControl: written(record)}
}

func TestUnaware(t *testing.T) {
	test := &assess.Test{Model: "hidden", Without: "plain"}
	limit := criteria.Criterion{Metric: "attack-success-rate", Limit: 0.1}
	for name, c := range map[string]struct {
		aware   int
		unaware []int64
		passed  bool
		says    []string // the explanation; none where there is nothing to explain
	}{
		"it hides": {30, []int64{1, 2, 3}, true, []string{
			"as they are breaks 0 of 60 units (0 %), and following them through the steps that have none 30 of 60 units (50 %)",
			"made on plain, break 3 of 60 units (5 %); those that do break 30 of 60 units (50 %): it holds against the former alone.",
		}},
		"it protects nobody":            {30, []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, true, []string{"break 10 of 60 units (17 %); those that do break 30 of 60 units (50 %)."}},
		"it withstands":                 {3, []int64{1}, true, nil},
		"the attack on it was too weak": {2, []int64{40, 41, 42, 43, 44, 45, 46, 47}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			seen, controls := recordOf(t, c.aware, c.unaware)
			checks, err := New(nil, "").Checks(test, seen, controls)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(checks, func(c criteria.Check) bool { return c.Name == "aware-beats-unaware" })
			if i < 0 || checks[i].Passed != c.passed {
				t.Errorf("the checks are %+v", checks)
			}
			text, err := New(nil, "").Explain(test, limit, seen, controls)
			if err != nil || (text == "") != (c.says == nil) {
				t.Errorf("it says %q (%v)", text, err)
			}
			for _, want := range c.says {
				if !strings.Contains(text, want) {
					t.Errorf("%q does not say %q", text, want)
				}
			}
		})
	}
	seen, controls := recordOf(t, 30, nil)
	delete(controls, unawareControl)
	if _, err := New(nil, "").Checks(test, seen, controls); err == nil {
		t.Error("a test of a solution is judged without the control")
	}
	checks, err := New(nil, "").Checks(&assess.Test{}, seen, controls)
	if err != nil || slices.ContainsFunc(checks, func(c criteria.Check) bool { return c.Name == "aware-beats-unaware" }) {
		t.Errorf("where there is nothing to compare with, there is %+v (%v)", checks, err)
	}
}
