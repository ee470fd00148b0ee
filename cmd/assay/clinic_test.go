package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"assay/internal/model/ort"
)

// clinicSystem is a small system of real models: one that is good enough, and one that is not.
const clinicSystem = `version: 1
system: {name: clinic, stage: verification, modality: tabular, risk: medium}
models:
  - {name: undefended, file: undefended.onnx, classes: [benign, malignant]}
  - {name: hardened, file: hardened.onnx, classes: [benign, malignant]}
data:
  - {name: test, file: test.csv, label: diagnosis, schema: schema.yaml}
solutions:
  - {name: standard, cells: [evasion/prevent], model: undefended}
  - {name: training, cells: [evasion/prevent], model: hardened, without: undefended}
goals:
  - goal: evasion-prevent
    solution: standard
    data: test
    reason: few records
    attacker: {access: gradients}
    criterion: {limit: 0.2, sampling: {rule: fixed, n: 90, assumed: 0.05}}
  - goal: evasion-prevent
    solution: training
    data: test
    reason: few records
    attacker: {access: gradients}
    criterion: {limit: 0.2, sampling: {rule: fixed, n: 90, assumed: 0.05}}
`

const (
	clinicStandard = "evasion-prevent.standard"
	clinicTraining = "evasion-prevent.training"
)

// clinic is a folder with a system.
type clinic struct {
	t      *testing.T
	folder string
	keys   string // the user's configuration folder
}

func newClinic(t *testing.T, description string) *clinic {
	t.Helper()
	t.Setenv(ort.LibraryVariable, library(filepath.Join("..", "..")))
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	c := &clinic{t: t, folder: filepath.Join(t.TempDir(), "clinic"), keys: t.TempDir()}
	t.Setenv("XDG_CONFIG_HOME", c.keys)
	from := filepath.Join("..", "..", "examples", "diagnosis")
	for _, name := range []string{"models/undefended.onnx", "models/hardened.onnx", "schema.yaml", "test.csv"} {
		content, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		c.write(filepath.Base(name), string(content))
	}
	c.write("assay.yaml", description)
	return c
}

// again is the same system in another folder, without its runs.
func (c *clinic) again() *clinic {
	c.t.Helper()
	other := &clinic{t: c.t, folder: filepath.Join(c.t.TempDir(), "clinic"), keys: c.keys}
	for name, content := range contents(c.t, c.folder) {
		if !strings.HasPrefix(name, "runs/") && name != "assay.lock" {
			other.write(name, content)
		}
	}
	return other
}

func (c *clinic) path(name string) string { return filepath.Join(c.folder, filepath.FromSlash(name)) }

func (c *clinic) write(name, content string) {
	c.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(c.path(name)), 0o755), os.WriteFile(c.path(name), []byte(content), 0o600)); err != nil {
		c.t.Fatal(err)
	}
}

// replace changes a text of a file that must be there.
func (c *clinic) replace(name, from, to string) {
	c.t.Helper()
	content, err := os.ReadFile(c.path(name))
	if err != nil || !strings.Contains(string(content), from) {
		c.t.Fatalf("%s has no %q: %v", name, from, err)
	}
	c.write(name, strings.Replace(string(content), from, to, 1))
}

// do runs a command, within this process.
func (c *clinic) do(args ...string) (exit int, out, errs string) {
	c.t.Helper()
	var stdout, stderr bytes.Buffer
	exit = Run(context.Background(), args, Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	return exit, stdout.String(), stderr.String()
}

// decided is the JSON of assess, as its readers know it.
type decided struct {
	Run       string
	Folder    string
	Report    string
	Decisions []map[string]any
}

// outcome gives the outcome of a decision, and the reason.
func (d decided) outcome(t *testing.T, id string) (outcome, reason string) {
	t.Helper()
	i := slices.IndexFunc(d.Decisions, func(d map[string]any) bool { return d["id"] == id })
	if i < 0 {
		t.Fatalf("there is no decision %s", id)
	}
	return d.Decisions[i]["outcome"].(string), d.Decisions[i]["reason"].(string)
}

// assess assesses the system, which must come to decisions.
func (c *clinic) assess(args ...string) decided {
	c.t.Helper()
	exit, out, errs := c.do(append([]string{"assess", c.folder, "--format", "json"}, args...)...)
	var d decided
	if err := json.Unmarshal([]byte(out), &d); err != nil || exit > exitUndecided {
		c.t.Fatalf("exit %d, %v: %s", exit, err, errs)
	}
	return d
}

// start starts the program in a process of its own.
func (c *clinic) start(args ...string) *exec.Cmd {
	c.t.Helper()
	cmd := exec.Command("assay", args...) // testscript.Main put it there
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	return cmd
}

// contents gives the files in a folder.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(folder, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(p)
		rel, _ := filepath.Rel(folder, p)
		all[filepath.ToSlash(rel)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// identical fails where two folders differ in a file.
func identical(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if len(want) < 20 {
		t.Fatalf("%s: only %d files to compare", what, len(want))
	}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: %s differs", what, name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d files, and not %d", what, len(got), len(want))
	}
}
