package robustness

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"assay"
	"assay/internal/assess"
	"assay/internal/certificate"
	"assay/internal/criteria"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/model"
	"assay/internal/report"
	"assay/internal/solution/solutiontest"
	"assay/internal/system"
	"assay/internal/trees/treestest"
	"assay/onnx"
)

// described opens a system with the first so many of the example's digits, and the models that a text lists.
func described(t *testing.T, records int, models map[string]*onnx.Model, list string) *system.System {
	t.Helper()
	folder := t.TempDir()
	for name, m := range models {
		if err := m.Save(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile("../../../examples/digits/test.csv")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := os.ReadFile("../../../examples/digits/schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(data), "\n")
	for name, text := range map[string]string{
		"schema.yaml": string(schema), "test.csv": strings.Join(lines[:records+1], ""), "held.csv": lines[0] + strings.Join(lines[400:500], ""),
		system.FileName: "version: 1\nsystem: {name: digits, stage: operation, modality: image, risk: medium}\ndata:\n" +
			"  - {name: test, file: test.csv, schema: schema.yaml}\n  - {name: held, file: held.csv, schema: schema.yaml, role: reference}\nmodels:\n" + list,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := system.Open(filepath.Join(folder, system.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCertified certifies smoothed digits and attacks them: what is certified is a curve of its own under what no attack broke,
// and the two do not meet. A model that is not smoothed has no such curve.
func TestCertified(t *testing.T) {
	ctx := context.Background()
	vote := solutiontest.Open(t).Model
	d := model.Defence{Smoothing: &model.Smoothing{Sigma: 2, N0: 20, N: 60, Alpha: 0.001, Batch: 60}}
	if err := d.Write(vote); err != nil {
		t.Fatal(err)
	}
	tester := New(described(t, 24, map[string]*onnx.Model{"plain.onnx": solutiontest.Open(t).Model, "smoothed.onnx": vote},
		"  - {name: plain, file: plain.onnx}\n  - {name: smoothed, file: smoothed.onnx}\n"), "")
	defer tester.Close()
	test := &assess.Test{Model: "smoothed", Data: "test", Seed: 1, Attacker: assess.Attacker{Access: assay.Labels, Norm: "L2", Eps: 1, Unit: "raw", Queries: 15}}
	var err error
	if test.Outline, err = tester.Outline(ctx, test); err != nil {
		t.Fatal(err)
	}
	controls := map[string]json.RawMessage{}
	for _, name := range tester.Controls(test) {
		if controls[name], err = tester.Control(ctx, test, name, test.Order(test.Outline.Records)); err != nil {
			t.Fatal(err)
		}
	}
	seen, err := tester.Observe(ctx, test, test.Order(test.Outline.Records)[:8])
	if err != nil {
		t.Fatal(err)
	}
	checks, err := tester.Checks(test, seen, controls)
	if err != nil {
		t.Fatal(err)
	}
	if c := checks[slices.IndexFunc(checks, named("certificates-hold"))]; !c.Passed || !strings.Contains(c.Detail, "of 24 units are certified") {
		t.Errorf("%+v", c)
	}
	shown, err := tester.Present(ctx, test, seen, controls)
	if err != nil {
		t.Fatal(err)
	}
	attacked, certain := curveOf(t, shown, "strongest"), curveOf(t, shown, certifiedControl)
	if certain == nil || len(certain.Points) != len(attacked.Points) {
		t.Fatalf("beside %+v there is %+v", attacked, certain)
	}
	for i, p := range certain.Points {
		if a := attacked.Points[i]; p.Budget != a.Budget || p.N != a.N || p.Successes > a.Successes {
			t.Errorf("at eps %g %d of %d are certified, and at %g %d of %d withstand", p.Budget, p.Successes, p.N, a.Budget, a.Successes, a.N)
		}
	}
	if first, last := certain.Points[0].Successes, certain.Points[len(certain.Points)-1].Successes; first < 15 || last >= first {
		t.Errorf("%d of 24 are certified at all, and %d at the largest eps", first, last)
	}

	test.Model = "plain"
	none, err := tester.Control(ctx, test, certifiedControl, test.Order(test.Outline.Records))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := certificatesOf(map[string]json.RawMessage{certifiedControl: none}); err != nil || c != nil {
		t.Errorf("a model that votes on nothing has the certificates %+v (%v)", c, err)
	}
	test.Attacker.Norm = "Linf"
	if slices.Contains(tester.Controls(test), certifiedControl) {
		t.Error("certificates in L2 are compared with attacks in Linf")
	}
}

// TestCertifiedTrees: of a forest the certificates are exact in the attacker's own norm. A unit is certified at the attacker's eps
// exactly where the battery, of which one method is exact, does not break it.
func TestCertifiedTrees(t *testing.T) {
	ctx := context.Background()
	fit, table := solutiontest.Open(t).Fit, treestest.Table{}
	for i, label := range fit.Labels {
		table.Rows, table.Labels = append(table.Rows, fit.X[i*64:(i+1)*64]), append(table.Labels, label)
	}
	s := described(t, 30, map[string]*onnx.Model{"forest.onnx": treestest.Forest(table, 10, 5, 5, 1).Model()}, "  - {name: forest, file: forest.onnx}\n")
	tester := New(s, "")
	defer tester.Close()
	test := &assess.Test{Model: "forest", Data: "test", Seed: 1, Attacker: assess.Attacker{Access: assay.Gradients, Norm: "Linf", Eps: 1, Unit: "raw"}}
	if !slices.Contains(tester.Controls(test), certifiedControl) {
		t.Fatal("nothing is certified")
	}
	units := test.Order(30)
	text, err := tester.Control(ctx, test, certifiedControl, units)
	if err != nil {
		t.Fatal(err)
	}
	proven, err := certificatesOf(map[string]json.RawMessage{certifiedControl: text})
	if err != nil || proven == nil || len(proven.Units) != 30 {
		t.Fatalf("%s (%v)", text, err)
	}
	const n = 12
	seen, err := tester.Observe(ctx, test, units[:n])
	if err != nil {
		t.Fatal(err)
	}
	e, both := &evasion.Evidence{}, map[bool]int{}
	for i, o := range seen {
		var d detail
		if err := json.Unmarshal(o.Detail, &d); err != nil {
			t.Fatal(err)
		}
		e.Units = append(e.Units, d.Result)
		certain := proven.eps(proven.Units[i]) >= test.Attacker.Eps
		if d.Result.Correct {
			both[certain]++
		}
		if certain != d.Result.Robust {
			t.Errorf("unit %d is certified up to %g, and withstands %g: %v", o.Unit, proven.eps(proven.Units[i]), test.Attacker.Eps, d.Result.Robust)
		}
	}
	if both[true] == 0 || both[false] == 0 {
		t.Errorf("%v are certified, which shows one side alone", both)
	}
	if c := proven.check(e); !c.Passed {
		t.Error(c.Detail)
	}
	curve, err := proven.curve([]float64{0, 0.5, 1, 4, 8})
	if err != nil || curve.Points[0].Successes <= curve.Points[2].Successes || curve.Points[2].Successes <= curve.Points[4].Successes {
		t.Errorf("%+v (%v)", curve, err)
	}
}

func named(name string) func(criteria.Check) bool {
	return func(c criteria.Check) bool { return c.Name == name }
}

func curveOf(t *testing.T, of *report.Test, name string) *report.Curve {
	t.Helper()
	i := slices.IndexFunc(of.Plots, func(p report.Plot) bool { return p.Title == "robust accuracy" })
	if i < 0 {
		t.Fatalf("there is no robust accuracy in %+v", of.Plots)
	}
	for _, c := range of.Plots[i].Curves {
		if c.Name == name {
			return &c
		}
	}
	return nil
}

// TestContradiction plants certificates in records of attacks: one that an example lies within fails the check, and names the unit.
func TestContradiction(t *testing.T) {
	one := func(index int64, right bool, radius float64) certifiedUnit {
		return certifiedUnit{index, right, certificate.Certificate{Correct: true, Radius: radius, Norm: "L2", Confidence: 0.999}}
	}
	e := &evasion.Evidence{
		Units:    []method.Result{{Index: 7, Correct: true, Methods: []method.MethodResult{{Method: "cw", Success: true, Distance: 0.5}}}},
		Controls: &evasion.Controls{Curve: []evasion.Point{{Eps: 0.25, Broken: []int64{}}, {Eps: 1, Broken: []int64{7, 9}}}, Doubled: &evasion.Point{Eps: 1, Broken: []int64{7, 8, 9}}},
	}
	for name, c := range map[string]struct {
		unit certifiedUnit
		says string // empty where the two agree
	}{
		"an example lies within":          {one(7, true, 1.2), "unit 7 is certified up to eps 0.6 with confidence 0.999, and cw broke it at 0.5"},
		"it lies beyond":                  {one(7, true, 0.9), ""},
		"it was got wrong from the first": {one(7, false, 1.2), ""},
		"a control broke it":              {one(9, true, 2.1), "unit 9 is certified up to eps 1.05 with confidence 0.999, and the strongest methods broke it within 1:"},
		"twice the effort did":            {one(8, true, 2.1), "unit 8"},
		"nothing did":                     {one(1, true, 20), ""},
	} {
		got := (&certified{Scale: 2, Units: []certifiedUnit{c.unit}}).check(e)
		if got.Passed != (c.says == "") || !strings.Contains(got.Detail, c.says) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, text := range []string{`{`, `{}`, `{"scale":-1,"units":[{}]}`} {
		if _, err := certificatesOf(map[string]json.RawMessage{certifiedControl: json.RawMessage(text)}); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s is read (%v)", text, err)
		}
	}
}
