package confidentiality

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"assay"
	"assay/internal/assess"
	"assay/internal/criteria"
	"assay/internal/dataset"
	"assay/internal/method/membership"
	"assay/internal/method/target"
	"assay/internal/report"
	"assay/internal/system"
	"assay/internal/train"
	"assay/internal/train/network"
)

const description = `version: 1
system: {name: n, stage: verification, modality: tabular, risk: low}
models: [{name: m, file: m.onnx%s}]
data: [{name: train, file: train.csv, label: y, role: training}, {name: held, file: held.csv, label: y}]
`

// The recipe is that by which the model was trained.
const recipe = ", recipe: {data: train, widths: [64], epochs: 60, rate: 0.003, decay: 0, shadows: 4}"

// table writes records whose class is that of a sum, but for one in four, which is drawn.
func table(t *testing.T, path string, n int, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 5))
	var text strings.Builder
	text.WriteString("a,b,c,d,e,f,y\n")
	for range n {
		sum := 0.0
		for range 6 {
			x := rng.NormFloat64()
			sum += x
			fmt.Fprintf(&text, "%.4f,", x)
		}
		class := sum > 0
		if rng.IntN(4) == 0 {
			class = rng.IntN(2) == 0
		}
		fmt.Fprintln(&text, map[bool]string{true: "yes", false: "no"}[class])
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// newTester gives a tester of a model that learnt 200 records by heart, and the test of it.
func newTester(t *testing.T, recipe string) (string, *Tester, *assess.Test) {
	t.Helper()
	dir := t.TempDir()
	table(t, filepath.Join(dir, "train.csv"), 200, 1)
	table(t, filepath.Join(dir, "held.csv"), 1210, 2)
	d, err := dataset.Load(t.Context(), filepath.Join(dir, "train.csv"), dataset.Options{Label: "y"})
	if err != nil {
		t.Fatal(err)
	}
	records := &train.Data{X: d.X, Classes: d.Y, Shape: []int{6}}
	m, err := train.Standardize(network.MLP(6, []int{64}, 2, 9), records)
	if err != nil {
		t.Fatal(err)
	}
	r, err := train.Run(t.Context(), m, records, train.Options{Epochs: 60, Seed: 9, Optimizer: train.Optimizer{Method: train.AdamW, Rate: 0.003}, Schedule: train.Schedule{Kind: train.OneCycle}})
	if err != nil {
		t.Fatal(err)
	}
	if err := target.WriteSchema(r.Model, d.Schema); err != nil {
		t.Fatal(err)
	}
	if err := r.Model.Save(filepath.Join(dir, "m.onnx")); err != nil {
		t.Fatal(err)
	}
	tester := open(t, dir, recipe)
	return dir, tester, &assess.Test{Vulnerability: assay.Confidentiality, Function: assay.Prevent, Metric: onePercent, Title: "test", Model: "m", Data: "held", Seed: 3}
}

// open gives a tester of the system in a folder, as a program does that is started.
func open(t *testing.T, dir, recipe string) *Tester {
	t.Helper()
	path := filepath.Join(dir, system.FileName)
	if err := os.WriteFile(path, fmt.Appendf(nil, description, recipe), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := system.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	tester := New(s, "")
	t.Cleanup(tester.Close)
	return tester
}

// observe makes a test, and gives what is recorded of it.
func observe(t *testing.T, tester *Tester, test *assess.Test) ([]assess.Observation, map[string]json.RawMessage) {
	t.Helper()
	var err error
	if test.Outline, err = tester.Outline(t.Context(), test); err != nil {
		t.Fatal(err)
	}
	units := make([]int, test.Outline.Records)
	for i := range units {
		units[i] = i
	}
	observed, err := tester.Observe(t.Context(), test, units)
	if err != nil {
		t.Fatal(err)
	}
	control, err := tester.Control(t.Context(), test, controlName, nil)
	if err != nil {
		t.Fatal(err)
	}
	return observed, map[string]json.RawMessage{controlName: control}
}

// TestWithoutARecipe makes the attacks that need no model like it, and a control on records that the model never saw.
func TestWithoutARecipe(t *testing.T) {
	_, tester, test := newTester(t, "")
	observed, controls := observe(t, tester, test)
	if len(observed) != 100 || len(test.Outline.Methods) != 3 || !strings.Contains(strings.Join(test.Outline.Remarks, " "), "give the model a recipe") {
		t.Errorf("%d observations, %+v", len(observed), test.Outline)
	}
	all(t, tester, test, observed, controls)
	right, err := tester.Clean(t.Context(), test, nil)
	if err != nil || len(right) != 1210 {
		t.Errorf("%d, %v", len(right), err)
	}
	if share := float64(len(slices.DeleteFunc(right, func(r bool) bool { return !r }))) / 1210; share < 0.6 || share > 0.875 {
		t.Errorf("the model is right about %.3f of records of which one in eight has a wrong class", share)
	}
}

// all asks for checks that pass, and are those that a criterion can ask for.
func all(t *testing.T, tester *Tester, test *assess.Test, observed []assess.Observation, controls map[string]json.RawMessage) {
	t.Helper()
	checks, err := tester.Checks(test, observed, controls)
	if err != nil || len(checks) != 6 {
		t.Fatal(checks, err)
	}
	for _, c := range checks {
		if !c.Passed || !slices.ContainsFunc(criteria.CheckKinds(), func(k criteria.CheckKind) bool { return k.Name == c.Name }) {
			t.Errorf("%+v", c)
		}
	}
}

// TestKilled: what was stopped while it trained goes on with the models that there were, and comes to the same bytes.
func TestKilled(t *testing.T) {
	dir, tester, test := newTester(t, recipe)
	wantObserved, wantControls := observe(t, tester, test)
	all(t, tester, test, wantObserved, wantControls)
	if err := os.RemoveAll(filepath.Join(dir, cache)); err != nil {
		t.Fatal(err)
	}

	killed := open(t, dir, recipe)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			if kept, _ := filepath.Glob(filepath.Join(dir, cache, "*.onnx")); len(kept) > 0 {
				stop()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, err := killed.Observe(ctx, test, []int{0})
	stop()
	kept, _ := filepath.Glob(filepath.Join(dir, cache, "*.onnx"))
	if len(kept) == 0 {
		t.Fatal("no model was kept")
	}
	t.Logf("stopped with %d models: %v", len(kept), err)

	observed, controls := observe(t, open(t, dir, recipe), test)
	if got, want := text(t, observed, controls), text(t, wantObserved, wantControls); got != want {
		t.Error("what went on came to something else")
	}
	shown, err := tester.Present(t.Context(), test, observed, controls)
	if err != nil || len(shown.Plots) != 1 || shown.Plots[0].Scale != report.Logarithmic || len(shown.Methods) != 9 || len(shown.Notes) != 1+exposed {
		t.Errorf("%+v, %v", shown, err)
	}
	document := report.Document{Schema: report.Version, System: report.System{Stage: assay.Stages()[0], Modality: assay.Tabular, Risk: assay.Low}, Tests: []report.Test{*shown}}
	document.Tests[0].ID = "t"
	if err := document.Check(); err != nil {
		t.Error(err)
	}
}

func text(t *testing.T, observed []assess.Observation, controls map[string]json.RawMessage) string {
	t.Helper()
	out, err := json.Marshal([]any{observed, controls})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestChecksCanFail: a threshold that is another than claimed, an attack that was overlooked, and nothing observed.
func TestChecksCanFail(t *testing.T) {
	found := func(n int, by ...string) (observed []assess.Observation) {
		for i := range n {
			text, err := json.Marshal(detail{By: by})
			if err != nil {
				t.Fatal(err)
			}
			observed = append(observed, assess.Observation{Unit: i, Detail: text})
		}
		return observed
	}
	sound := record{FPR: 0.01, Chosen: "lira", Alarms: 6, Others: 600, Results: []membership.Result{{Attack: "lira"}, {Attack: "loss"}}}
	for name, c := range map[string]struct {
		change   func(*record)
		observed []assess.Observation
		fails    string
	}{
		"sound":           {func(*record) {}, found(100, "lira"), ""},
		"too many alarms": {func(r *record) { r.Alarms = 30 }, found(100, "lira"), "false-positives-as-claimed"},
		"too few alarms":  {func(r *record) { r.Alarms, r.Others = 0, 2000 }, found(100, "lira"), "false-positives-as-claimed"},
		"overlooked":      {func(*record) {}, append(found(80), found(20, "loss")...), "strongest-attack"},
		"nothing":         {func(*record) {}, nil, "strongest-attack"},
	} {
		r := sound
		c.change(&r)
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		checks, err := New(nil, "").Checks(nil, c.observed, map[string]json.RawMessage{controlName: text})
		if err != nil {
			t.Fatal(name, err)
		}
		for _, check := range checks {
			if check.Passed == (check.Name == c.fails) {
				t.Errorf("%s: %+v", name, check)
			}
		}
	}
	for name, controls := range map[string]map[string]json.RawMessage{"none": nil, "damaged": {controlName: json.RawMessage("[]")}} {
		if _, err := New(nil, "").Checks(nil, found(1), controls); err == nil {
			t.Errorf("%s: controls were judged", name)
		}
	}
}

// TestRefused tells what cannot be tested, and where that is said.
func TestRefused(t *testing.T) {
	dir, tester, test := newTester(t, "")
	other := *test
	other.Function = assay.Detect
	if _, err := tester.Outline(t.Context(), &other); err == nil {
		t.Error("a function that nothing tests was planned")
	}
	if _, err := tester.Observe(t.Context(), test, []int{100}); err == nil || !strings.Contains(err.Error(), "100 members") {
		t.Error(err)
	}
	for name, c := range map[string]struct{ recipe, want string }{
		"a table for a CNN": {", recipe: {data: train, arch: cnn}", "models[0].recipe: cnn is for images"},
	} {
		if _, err := open(t, dir, c.recipe).Outline(t.Context(), test); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	table(t, filepath.Join(dir, "held.csv"), 1, 2)
	if _, err := open(t, dir, "").Outline(t.Context(), test); err == nil || !strings.Contains(err.Error(), "data[1].file: held.csv has 1 record") {
		t.Error(err)
	}
	table(t, filepath.Join(dir, "held.csv"), 300, 1)
	if _, err := open(t, dir, "").Outline(t.Context(), test); err == nil || !strings.Contains(err.Error(), "a record is a member or not") {
		t.Error(err)
	}
}
