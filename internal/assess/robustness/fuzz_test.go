package robustness

import (
	"encoding/json"
	"testing"

	"assay"
	"assay/internal/assess"
	"assay/internal/criteria"
	"assay/internal/method"
	"assay/internal/method/evasion"
)

// FuzzChecks judges records from elsewhere: there must be an error or the checks, never a panic.
func FuzzChecks(f *testing.F) {
	unit := detail{Truth: 1, Method: "pgd", Example: []byte{0, 0, 0, 0}, Result: method.Result{Index: 3, Correct: true, Robust: true,
		Methods: []method.MethodResult{{Method: "pgd", Queries: 7}, {Method: "fgsm", Queries: 1, Success: true, Distance: 0.1}}}}
	record, err := json.Marshal(unit)
	if err != nil {
		f.Fatal(err)
	}
	control, err := json.Marshal(&evasion.Evidence{Access: assay.Gradients, Norm: method.Linf, Eps: 0.1,
		Methods: []method.Description{{Name: "fgsm", Access: assay.Gradients}, {Name: "pgd", Access: assay.Gradients, Iterative: true}}, Controls: &evasion.Controls{Units: 30}})
	if err != nil {
		f.Fatal(err)
	}
	without := []byte(`{"model":"undefended","right":[1,3],"broken":[3]}`)
	f.Add(record, control, without)
	f.Add([]byte("null"), []byte("null"), []byte("null"))
	f.Add([]byte(`{"result":{"methods":[null]}}`), []byte(`{"controls":{"curve":[{},{}],"units":-1}}`), []byte(`{"right":[3,1,-1],"broken":null}`))
	f.Add(record, []byte(`{"eps":1e300,"methods":[{"name":"pgd","iterative":true}],"controls":{"units":30,"known":{},"curve":[{"eps":1,"broken":[1,2,2,1]}]}}`), without)
	f.Fuzz(func(t *testing.T, record, control, without []byte) {
		seen := make([]assess.Observation, 30)
		for i := range seen {
			seen[i] = assess.Observation{Unit: i, Detail: record}
		}
		tester, test := New(nil, ""), &assess.Test{Without: "undefended"}
		controls := map[string]json.RawMessage{batteryControl: control, unawareControl: without}
		checks, err := tester.Checks(test, seen, controls)
		if err == nil && len(checks) < 4 {
			t.Errorf("only %d checks", len(checks))
		}
		text, err := tester.Explain(test, criteria.Criterion{Metric: "attack-success-rate", Limit: 0.1}, seen, controls)
		if err != nil && text != "" {
			t.Errorf("beside the error %v there is %q", err, text)
		}
	})
}
