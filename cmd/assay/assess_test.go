package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"assay/internal/report"
	"assay/onnx"
)

// TestAssess is what is promised of one command: the decisions with the promised members, and
// the same bytes on any number of workers and in any folder.
func TestAssess(t *testing.T) {
	c := newClinic(t, clinicSystem)
	d := c.assess("--workers", "1")
	for _, want := range []string{clinicStandard + " inadequate", clinicTraining + " adequate"} {
		id, outcome, _ := strings.Cut(want, " ")
		if got, reason := d.outcome(t, id); got != outcome {
			t.Errorf("%s is %s: %s", id, got, reason)
		}
	}
	for _, decision := range d.Decisions {
		for _, name := range []string{"goal", "vulnerability", "function", "solution", "outcome", "metric", "estimate", "lower", "upper", "limit", "confidence", "n", "needed", "reason", "valid"} {
			if _, ok := decision[name]; !ok {
				t.Errorf("%s has no %s", decision["id"], name)
			}
		}
		checks := decision["valid"].([]any)
		if len(checks) < 13 {
			t.Errorf("%s: only %d checks", decision["id"], len(checks))
		}
		for _, check := range checks {
			if names := slices.Sorted(maps.Keys(check.(map[string]any))); !slices.Equal(names, []string{"check", "detail", "passed"}) {
				t.Errorf("a check has %v", names)
			}
		}
	}
	if _, err := os.Stat(d.Report); err != nil || d.Folder != c.path("runs/"+d.Run) {
		t.Errorf("%+v, %v", d, err)
	}
	want := contents(t, d.Folder)
	other := c.again()
	again := other.assess("--workers", "2")
	identical(t, "two workers in another folder", contents(t, again.Folder), want)
	c.assess("--workers", "2") // of a finished run
	identical(t, "the same command again", contents(t, d.Folder), want)
}

// TestKilled kills the program at several moments, and gives the same command again.
func TestKilled(t *testing.T) {
	c := newClinic(t, clinicSystem)
	started := c.start("assess", c.folder, "--workers", "2") // not in this process: the run names the program
	_ = started.Wait()
	want := contents(t, c.path("runs"))
	kills := 0
	for _, shards := range []int{1, 4} {
		killed := c.again()
		cmd := killed.start("assess", killed.folder, "--workers", "1")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = cmd.Wait() // killed, or with the exit code of its decisions
		}()
		for running := true; running; {
			select {
			case <-ended:
				running = false
			case <-time.After(time.Millisecond):
				if found, _ := filepath.Glob(killed.path("runs/*/observations/*/*.gz")); len(found) >= shards {
					_ = cmd.Process.Kill() // it may have ended just now
					<-ended
					running = false
				}
			}
		}
		if signed, _ := filepath.Glob(killed.path("runs/*/attestation.json")); len(signed) == 0 {
			kills++
		}
		again := killed.start("assess", killed.folder, "--workers", "2")
		_ = again.Wait()
		identical(t, "killed and started again", contents(t, killed.path("runs")), want)
	}
	if kills == 0 {
		t.Error("it was never killed before its end")
	}
}

// changed gives what verify says of a run in JSON.
type verifiedRun struct {
	Files    int
	Trusted  bool
	Problems []struct{ File, Detail string }
	Void     map[string]string
}

func (c *clinic) verify(run string) (int, verifiedRun) {
	c.t.Helper()
	exit, out, errs := c.do("verify", run, "--format", "json")
	var v verifiedRun
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		c.t.Fatalf("exit %d, %v: %s%s", exit, err, out, errs)
	}
	return exit, v
}

// TestChangedRun changes a byte in each file of a run: verify names the file, and report refuses.
func TestChangedRun(t *testing.T) {
	c := newClinic(t, clinicSystem)
	run := c.assess().Folder
	if exit, v := c.verify(run); exit != exitOK || !v.Trusted || len(v.Problems)+len(v.Void) != 0 || v.Files < 20 {
		t.Fatalf("exit %d, %+v", exit, v)
	}
	whole := contents(t, run)
	kinds := map[string]bool{}
	for name, content := range whole {
		kind := filepath.Dir(filepath.Dir(name)) + filepath.Ext(name)
		if strings.Contains(name, "/") && kinds[kind] {
			continue // one of each kind
		}
		kinds[kind] = true
		for _, at := range []int{0, len(content) / 2, len(content) - 1} {
			changed := []byte(content)
			changed[at] ^= 4
			path := filepath.Join(run, filepath.FromSlash(name))
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			exit, v := c.verify(run)
			if exit != exitFailed || !slices.ContainsFunc(v.Problems, func(p struct{ File, Detail string }) bool { return p.File == name }) {
				t.Errorf("byte %d of %s: exit %d, %+v", at, name, exit, v.Problems)
			}
			if exit, out, errs := c.do("report", run); exit != exitUsage || out != "" || !strings.Contains(errs, "was changed") {
				t.Errorf("byte %d of %s: report exits with %d: %s", at, name, exit, errs)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(kinds) < 6 {
		t.Errorf("only %d kinds of files: %v", len(kinds), kinds)
	}
	if err := os.Remove(filepath.Join(run, "plan.json")); err != nil {
		t.Fatal(err)
	}
	if exit, v := c.verify(run); exit != exitFailed || len(v.Problems) != 1 || v.Problems[0].File != "plan.json" {
		t.Errorf("without its plan: exit %d, %+v", exit, v)
	}
}

// TestEditedCriterion: the evidence is void, and verify, report and the next assessment say so.
func TestEditedCriterion(t *testing.T) {
	c := newClinic(t, clinicSystem)
	run := c.assess().Folder
	c.replace("assay.yaml", "limit: 0.2, sampling: {rule: fixed, n: 90, assumed: 0.05}}\n  - goal", "limit: 0.25, sampling: {rule: fixed, n: 90, assumed: 0.05}}\n  - goal")
	exit, v := c.verify(run)
	if exit != exitUndecided || len(v.Problems) != 0 || len(v.Void) != 1 || !strings.Contains(v.Void[clinicStandard], "was edited after the run (the limit was 0.2 and is 0.25)") {
		t.Errorf("exit %d, %+v", exit, v)
	}
	exit, out, errs := c.do("report", run, "--format", "json")
	var doc report.Document
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err)
	}
	if exit != exitUndecided || !strings.Contains(errs, "void") || len(doc.Void) != 1 || doc.Decisions[0].Outcome != "invalid" || !strings.HasPrefix(doc.Decisions[0].Reason, "The evidence is void") || doc.Decisions[1].Outcome != "adequate" {
		t.Errorf("exit %d, %s, %+v", exit, errs, doc.Void)
	}
	if exit, page, _ := c.do("report", run); exit != exitUndecided || !strings.Contains(page, "void") {
		t.Errorf("the page does not say it, exit %d", exit)
	}
	again := c.assess()
	if again.Folder == run {
		t.Error("another criterion has the same run")
	}
	if _, _, errs := c.do("assess", c.folder); strings.Contains(errs, "locked on") {
		t.Errorf("the new criterion is not locked: %s", errs)
	}
	text, err := os.ReadFile(filepath.Join(again.Folder, "report.html"))
	if err != nil || !strings.Contains(string(text), "A criterion was replaced") {
		t.Errorf("the report does not tell of the former criterion: %v", err)
	}
}

// TestTestsThatCannotFail: what could have found nothing is never adequate.
func TestTestsThatCannotFail(t *testing.T) {
	const attacker = "attacker: {access: gradients}"
	for name, c := range map[string]struct {
		change func(c *clinic)
		want   []string // outcomes
		reason string
	}{
		"eps 0": {func(c *clinic) {
			c.write("assay.yaml", strings.ReplaceAll(clinicSystem, attacker, "attacker: {access: gradients, eps: 0}"))
		}, []string{"invalid"}, "nothing may change"},
		"three records": {func(c *clinic) {
			count := 0 // the first three are of one class
			c.lines(func(string) bool { count++; return count <= 3 })
		}, []string{"invalid", "undecided"}, ""},
		"an attack that may change nothing": {func(c *clinic) {
			schema := strings.ReplaceAll(contents(t, c.folder)["schema.yaml"], ", immutable: true", "")
			c.write("schema.yaml", strings.ReplaceAll(schema, "{name:", "{immutable: true, name:"))
		}, []string{"invalid"}, ""},
		"an attack that may ask once": {func(c *clinic) {
			c.write("assay.yaml", strings.ReplaceAll(clinicSystem, attacker, "attacker: {access: labels, queries: 1}"))
		}, []string{"invalid"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			system := newClinic(t, clinicSystem)
			c.change(system)
			d := system.assess()
			for _, id := range []string{clinicStandard, clinicTraining} {
				if got, reason := d.outcome(t, id); !slices.Contains(c.want, got) || !strings.Contains(reason, c.reason) {
					t.Errorf("%s is %s: %s", id, got, reason)
				}
			}
		})
	}
}

// TestMaskedGradients: a layer that rounds or saturates before an undefended model makes gradients
// vanish, and nothing better. The attack goes through it.
func TestMaskedGradients(t *testing.T) {
	for name, mask := range map[string]func(b *onnx.Builder, input string) string{
		"rounding": func(b *onnx.Builder, input string) string {
			size := b.Number(onnx.Float32, 0.1)
			return b.Op("Mul", nil, b.Op("Round", nil, b.Op("Div", nil, input, size)), size)
		},
		"saturating": func(b *onnx.Builder, input string) string {
			// The input as it is, by way of a sigmoid that is flat wherever there are data.
			flat := b.Op("Sigmoid", nil, b.Op("Mul", nil, b.Op("Add", nil, input, b.Number(onnx.Float32, 1)), b.Number(onnx.Float32, 1e6)))
			return b.Op("Mul", nil, b.Op("Floor", nil, b.Op("Mul", nil, input, b.Number(onnx.Float32, 256))), b.Op("Div", nil, flat, b.Number(onnx.Float32, 256)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClinic(t, strings.ReplaceAll(clinicSystem, "file: hardened.onnx", "file: masked.onnx"))
			m, err := onnx.Open(c.path("undefended.onnx"))
			if err != nil {
				t.Fatal(err)
			}
			input := m.Graph.FreeInputs()[0].Name
			readers := slices.Clone(m.Graph.Nodes)
			masked := mask(onnx.Extend(m.Graph), input)
			for _, n := range readers {
				for i, name := range n.Inputs {
					if name == input {
						n.Inputs[i] = masked
					}
				}
			}
			if err := m.Sort(); err != nil {
				t.Fatal(err)
			}
			if err := m.Save(c.path("masked.onnx")); err != nil {
				t.Fatal(err)
			}
			if got, reason := c.assess().outcome(t, clinicTraining); got != "inadequate" || !strings.Contains(reason, "following them through the steps that have none") {
				t.Errorf("%s: %s", got, reason)
			}
		})
	}
}
