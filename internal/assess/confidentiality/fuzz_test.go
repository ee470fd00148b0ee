package confidentiality

import (
	"encoding/json"
	"testing"

	"assay/internal/assess"
	"assay/internal/criteria"
	"assay/internal/method/membership"
)

// FuzzRecords judges and shows records from elsewhere: there must be an error or a result, never a panic.
func FuzzRecords(f *testing.F) {
	unit, err := json.Marshal(detail{Record: 7, By: []string{"lira"}})
	if err != nil {
		f.Fatal(err)
	}
	whole, err := json.Marshal(record{FPR: 0.01, Chosen: "lira", Alarms: 6, Others: 600, Worst: "no", Checks: []criteria.Check{{Name: "same-distribution", Passed: true}}, Exposed: []exposure{{Record: 7}},
		Results: []membership.Result{{Attack: "lira", Members: 30, Worst: &membership.Subgroup{}, Curve: []membership.AtFPR{{FPR: 0.01}}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(unit, whole)
	f.Add([]byte("null"), []byte("null"))
	f.Add([]byte(`{"by":["lira","lira"]}`), []byte(`{"chosen":"lira","alarms":3,"others":1,"results":[null,{"attack":"loss","members":-1,"curve":[{"fpr":0}]}]}`))
	f.Fuzz(func(t *testing.T, unit, whole []byte) {
		seen := make([]assess.Observation, 30)
		for i := range seen {
			seen[i] = assess.Observation{Unit: i, Detail: unit}
		}
		tester, test := New(nil, ""), &assess.Test{Metric: onePercent, Outline: &assess.Outline{}}
		controls := map[string]json.RawMessage{controlName: whole}
		if checks, err := tester.Checks(test, seen, controls); err == nil && len(checks) < 2 {
			t.Errorf("only %d checks", len(checks))
		}
		if shown, err := tester.Present(t.Context(), test, seen, controls); err == nil && shown.N != len(seen) {
			t.Errorf("%d units are shown", shown.N)
		}
	})
}
