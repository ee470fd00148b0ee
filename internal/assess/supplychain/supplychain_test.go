package supplychain

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"assay"
	"assay/internal/assess"
	"assay/internal/criteria"
	"assay/internal/provenance"
	"assay/internal/scan/formats"
	"assay/internal/signing"
	"assay/internal/system"
	"assay/onnx"
)

// description of a model that was signed with its folder, and of data that were by themselves.
const description = `version: 1
system: {name: t, stage: verification, modality: tabular, risk: low}
models:
  - name: m
    file: models/m.onnx
    signature: {file: m.sig, key: key.pem, folder: models}
data:
  - {name: d, file: d.csv, label: y, signature: {file: d.csv.sig, key: key.pem}}
solutions:
  - {name: s, cells: [model-poisoning/prevent], model: m}
goals:
  - {goal: model-poisoning-prevent, solution: s, data: d}
`

// newSystem makes a system in a folder, with weights in a file beside the model.
func newSystem(t *testing.T, text string) (string, *Tester) {
	t.Helper()
	dir := t.TempDir()
	b := onnx.NewBuilder("m")
	x := b.Input("x", onnx.Float32, 512)
	b.Output(b.Op("Add", nil, x, b.Weight(onnx.NewTensor("w", make([]float32, 512), 512))), onnx.Float32, onnx.Fixed(512))
	key := signing.NewKey([32]byte{3})
	must := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	must(os.Mkdir(at("models"), 0o755), b.Model().SaveExternal(at("models/m.onnx")))
	must(os.WriteFile(at("d.csv"), []byte("a,y\n1,0\n"), 0o600), os.WriteFile(at("key.pem"), key.Public().PEM(), 0o600), os.WriteFile(at("assay.yaml"), []byte(text), 0o600))
	for path, sig := range map[string]string{"models": "m.sig", "d.csv": "d.csv.sig"} {
		bundle, _, err := provenance.Sign(t.Context(), at(path), at(sig), nil, provenance.Signer{Key: key}, provenance.Options{})
		must(err, os.WriteFile(at(sig), bundle, 0o600))
	}
	s, err := system.Open(at("assay.yaml"))
	must(err)
	return dir, New(s, formats.All(), time.Now)
}

func test(f assay.Function) *assess.Test {
	return &assess.Test{ID: "t", Vulnerability: assay.ModelPoisoning, Function: f, Model: "m", Data: "d"}
}

// outcomes gives what was observed of all units of a test, and its checks.
func outcomes(t *testing.T, tester *Tester, f assay.Function, metric string) (good int, details []detail, checks []criteria.Check) {
	t.Helper()
	o, err := tester.Outline(t.Context(), test(f))
	if err != nil {
		t.Fatal(err)
	}
	var units []int
	for i := range o.Records {
		units = append(units, i)
	}
	observed, err := tester.Observe(t.Context(), test(f), units)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range observed {
		var d detail
		if err := json.Unmarshal(one.Detail, &d); err != nil {
			t.Fatal(err)
		}
		details = append(details, d)
		if one.Outcomes[metric] {
			good++
		}
	}
	control, err := tester.Control(t.Context(), test(f), controlName, units)
	if err != nil {
		t.Fatal(err)
	}
	controls := map[string]json.RawMessage{controlName: control}
	if checks, err = tester.Checks(test(f), observed, controls); err != nil {
		t.Fatal(err)
	}
	shown, err := tester.Present(t.Context(), test(f), observed, controls)
	if err != nil || shown.N != len(units) || shown.Methods[0].Successes != good {
		t.Errorf("%+v, %v", shown, err)
	}
	return good, details, checks
}

func passed(t *testing.T, checks []criteria.Check) {
	t.Helper()
	if len(checks) != 2 {
		t.Fatalf("%v", checks)
	}
	for _, c := range checks {
		if !c.Passed {
			t.Errorf("%+v", c)
		}
	}
}

func TestVerification(t *testing.T) {
	put := func(name, content string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600) }
	}
	for name, c := range map[string]struct {
		text   string
		change func(dir string) error
		good   int
		want   string // a part of one of the problems
	}{
		"all":           {description, nil, 3, ""},
		"data":          {description, put("d.csv", "a,y\n1,1\n"), 2, "it was changed since it was signed"},
		"weights":       {description, weights, 1, "it was changed since it was signed"},
		"added":         {description, put("models/handler.py", "import os"), 1, "handler.py: it is not signed: it was added"},
		"signature":     {description, put("m.sig", "{}"), 1, "its signature (m.sig) does not count"},
		"no signature":  {strings.Replace(description, ", signature: {file: d.csv.sig, key: key.pem}", "", 1), nil, 2, "it is not signed"},
		"outside":       {strings.Replace(description, "file: d.csv.sig, key: key.pem", "file: m.sig, key: key.pem, folder: models", 1), nil, 2, "the signature says nothing of it"},
		"weights apart": {strings.Replace(description, ", folder: models", "", 1), nil, 1, "it is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, tester := newSystem(t, c.text)
			if c.change != nil {
				if err := c.change(dir); err != nil {
					t.Fatal(err)
				}
			}
			good, details, checks := outcomes(t, tester, assay.Prevent, conformity)
			passed(t, checks)
			problems := ""
			for _, d := range details {
				problems += d.File + ": " + d.Problem + "\n"
			}
			if good != c.good || len(details) != 3 || !strings.Contains(problems, c.want) {
				t.Errorf("%d of %d\n%s", good, len(details), problems)
			}
		})
	}
}

// weights changes the file beside the model.
func weights(dir string) error {
	all, err := filepath.Glob(filepath.Join(dir, "models", "*.data"))
	if err != nil {
		return err
	}
	return os.WriteFile(all[0], make([]byte, 4096+1), 0o600)
}

// TestControlsCanFail: a verifier that overlooks something, and a file in which something is found, do not pass.
func TestControlsCanFail(t *testing.T) {
	files := []provenance.File{{Name: "a", Size: 1, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("a")), nil }}}
	if n := len(changes(files)); n != 6 {
		t.Errorf("%d ways of tampering", n)
	}
	for name, e := range map[string]evidence{
		"overlooked": tampering{Files: 1, Cases: []change{{"renamed", "a", false}}}, "nothing tried": tampering{Files: 1},
		"blind": planting{Clean: []detail{{Status: "clean"}}, Blind: 1, Of: 2}, "nothing planted": planting{Clean: []detail{{Status: "clean"}}},
	} {
		if e.checks()[0].Passed {
			t.Errorf("%s: the positive control passed", name)
		}
	}
	for name, e := range map[string]evidence{
		"refused": tampering{Files: 1, Untouched: []string{"a: it was changed"}}, "no files": tampering{},
		"alarm": planting{Clean: []detail{{File: "a", Status: "finding", Rules: []string{"pickle-call"}}}}, "none clean": planting{},
	} {
		if e.checks()[1].Passed {
			t.Errorf("%s: the negative control passed", name)
		}
	}
}

func TestDetection(t *testing.T) {
	_, tester := newSystem(t, description)
	good, details, checks := outcomes(t, tester, assay.Detect, detectionRate)
	passed(t, checks)
	if len(details) < 600 || good != len(details) {
		t.Errorf("%d of %d", good, len(details))
	}
	tester.scanners = nil // a scanner that knows nothing misses everything, and the check of it says so
	if good, _, _ := outcomes(t, tester, assay.Detect, detectionRate); good != 0 {
		t.Errorf("without scanners %d cases are reported", good)
	}
}

// TestDetectionOfAPoisonedArtefact: where the system's own file is a finding, scanning proves nothing.
func TestDetectionOfAPoisonedArtefact(t *testing.T) {
	dir, tester := newSystem(t, description)
	if err := os.WriteFile(filepath.Join(dir, "d.csv"), []byte("cos\nsystem\n(S'id'\ntR."), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, checks := outcomes(t, tester, assay.Detect, detectionRate)
	if checks[1].Passed || !strings.Contains(checks[1].Detail, "d.csv (pickle-call") {
		t.Errorf("%+v", checks)
	}
}

func TestRefused(t *testing.T) {
	_, tester := newSystem(t, description)
	if _, err := tester.Outline(t.Context(), test(assay.Respond)); err == nil {
		t.Error("a function that nothing tests was planned")
	}
	if _, err := tester.Observe(t.Context(), test(assay.Prevent), []int{3}); err == nil || !strings.Contains(err.Error(), "3 units") {
		t.Error(err)
	}
	if _, err := tester.Clean(t.Context(), test(assay.Prevent), nil); err == nil {
		t.Error("a cost was measured")
	}
	if _, err := tester.Checks(test(assay.Prevent), nil, nil); err == nil {
		t.Error("controls that were not recorded were judged")
	}
}
