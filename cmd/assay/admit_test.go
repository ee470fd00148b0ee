package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"assay/internal/model/ort"
	"assay/onnx"
)

// TestAdmission: a model in which the scan finds something is opened by no command, unless its
// user says why; then the report has the reason.
func TestAdmission(t *testing.T) {
	if library("../..") == "" {
		t.Skip("no ONNX Runtime library")
	}
	t.Setenv(ort.LibraryVariable, library("../.."))
	dir := t.TempDir()
	m, err := onnx.Open("../../examples/diagnosis/models/undefended.onnx")
	if err != nil {
		t.Fatal(err)
	}
	m.Metadata = map[string]string{"note": "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7vF3\n-----END RSA PRIVATE KEY-----"}
	if err := m.Save(filepath.Join(dir, "m.onnx")); err != nil {
		t.Fatal(err)
	}
	test, err := os.ReadFile("../../examples/diagnosis/test.csv")
	if err != nil {
		t.Fatal(err)
	}
	description := `version: 1
system: {name: t, stage: verification, modality: tabular, risk: medium}
models:
  - {name: m, file: m.onnx}
data:
  - {name: test, file: test.csv}
solutions:
  - {name: s, cells: [model-poisoning/prevent], model: m}
goals:
  - {goal: model-poisoning-prevent, solution: s, data: test}
`
	for name, text := range map[string]string{"test.csv": string(test), "assay.yaml": description} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	model, data := filepath.Join(dir, "m.onnx"), filepath.Join(dir, "test.csv")
	label := []string{"--label", "diagnosis"}
	for _, c := range [][]string{
		{"plan", dir}, {"assess", dir, "--key", filepath.Join(dir, "key.pem")},
		append([]string{"attack", "--model", model, "--data", data, "--method", "noise", "--draws", "1", "--n", "3", "--eps", "0.1"}, label...),
		append([]string{"gradient", "--model", model, "--data", data}, label...),
		append([]string{"train", "--arch", model, "--data", data, "--epochs", "1", "--out", filepath.Join(dir, "out.onnx")}, label...),
	} {
		var out, err bytes.Buffer
		if code := Run(t.Context(), c, Streams{Out: &out, Err: &err}); code != exitUsage || !strings.Contains(err.String(), "m.onnx is not opened: the scan finds onnx-secret") {
			t.Errorf("%s: exit code %d, %s", c[0], code, &err)
		}
		err.Reset()
		code := Run(t.Context(), append(c, "--allow-unsafe-model", "the key is a test's"), Streams{Out: &out, Err: &err})
		if code == exitInternal || strings.Contains(err.String(), "is not opened") || !strings.Contains(err.String(), "because: the key is a test's") {
			t.Errorf("%s, allowed: exit code %d, %s", c[0], code, &err)
		}
	}
	reports, err := filepath.Glob(filepath.Join(dir, "runs", "*", "report.json"))
	if err != nil || len(reports) != 1 {
		t.Fatalf("%v, %v", reports, err)
	}
	if text, err := os.ReadFile(reports[0]); err != nil || !bytes.Contains(text, []byte("the key is a test's")) || !bytes.Contains(text, []byte("scan of the model m: onnx-secret")) {
		t.Errorf("the report does not say that the model was opened all the same: %v", err)
	}
}
