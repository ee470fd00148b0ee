package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"assay/internal/model/remote/remotetest"
)

// remoteSystem is a model behind an endpoint, about which nothing else is known.
func remoteSystem(endpoint string, budget int) string {
	return fmt.Sprintf(`version: 1
system: {name: clinic, stage: operation, modality: tabular, risk: medium}
models:
  - {name: served, endpoint: gateway}
endpoints:
  - name: gateway
    %s
    budget: %d
data:
  - {name: test, file: test.csv, label: diagnosis, schema: schema.yaml}
solutions:
  - {name: training, cells: [evasion/prevent], model: served}
goals:
  - goal: evasion-prevent
    solution: training
    data: test
    reason: each answer is paid for
    attacker: {access: gradients, queries: 30, eps: 0.05}
    criterion: {limit: 0.4, sampling: {rule: fixed, n: 40, assumed: 0.1}}
`, strings.ReplaceAll(endpoint, "\n", "\n    "), budget)
}

// served starts a server of the clinic's models in a process of its own.
func served(c *clinic) *remotetest.Process {
	return remotetest.Start(c.t, map[string]string{"hardened": c.path("hardened.onnx")}, "")
}

// TestRemote assesses a model behind an endpoint: methods without gradients alone, within the
// query budget; one that is spent ends the run with a sentence, and a greater one lets it go on.
func TestRemote(t *testing.T) {
	const plenty, few = 1000000, 2500
	c := newClinic(t, "")
	server := served(c)
	endpoint := "protocol: v2-rest\nurl: " + server.HTTP + "\nmodel: hardened\nscores: logits\nclasses: [benign, malignant]\nrange: [0, 5000]"
	c.write("assay.yaml", remoteSystem(endpoint, plenty))
	exit, out, errs := c.do("plan", c.folder, "--format", "json")
	if exit != exitOK {
		t.Fatalf("exit %d: %s", exit, errs)
	}
	var plan struct {
		Tests []struct {
			Outline struct {
				Methods []struct{ Name string }
				Remarks []string
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &plan); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range plan.Tests[0].Outline.Methods {
		names = append(names, m.Name)
	}
	if !slices.Equal(names, []string{"noise", "hopskipjump", "square"}) || !strings.Contains(strings.Join(plan.Tests[0].Outline.Remarks, " "), "behind an endpoint its gradients cannot be had") {
		t.Errorf("%+v", plan)
	}
	whole := c.assess()
	if len(whole.Decisions) != 1 {
		t.Fatalf("%+v", whole)
	}
	want := contents(t, whole.Folder)

	other := c.again()
	other.write("assay.yaml", remoteSystem(endpoint, few))
	before := server.Seen().Rows
	exit, out, errs = other.do("assess", other.folder, "--format", "json")
	if exit != exitUsage || !strings.Contains(out, `"code": "endpoint"`) || !strings.Contains(errs, "the query budget of 2500 rows has ") || !strings.Contains(errs, "raise budget") {
		t.Fatalf("exit %d: %s%s", exit, out, errs)
	}
	if rows := server.Seen().Rows - before; rows > few || rows < few/2 {
		t.Errorf("%d rows were asked about with a budget of %d", rows, few)
	}
	kept, _ := filepath.Glob(other.path("runs/*/observations/*/*.gz"))
	if len(kept) == 0 {
		t.Error("nothing that was paid for is left")
	}
	stamps := map[string]int64{}
	for _, name := range kept {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		stamps[name] = info.ModTime().UnixNano()
	}
	other.write("assay.yaml", remoteSystem(endpoint, plenty))
	again := other.assess()
	for name, at := range stamps {
		if info, err := os.Stat(name); err != nil || info.ModTime().UnixNano() != at {
			t.Errorf("%s was paid for twice (%v)", name, err)
		}
	}
	got := contents(t, again.Folder)
	for _, files := range []map[string]string{got, want} {
		for _, name := range []string{"assay.yaml", "attestation.json"} { // which hold the budget, and its digest
			delete(files, name)
		}
	}
	if len(want) < 12 || again.Run != whole.Run {
		t.Errorf("the run %s of %d files became the run %s", whole.Run, len(want), again.Run)
	}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("with a budget that was raised: %s differs", name)
		}
	}
	if exit, v := other.verify(again.Folder); exit != exitOK {
		t.Errorf("exit %d, %+v", exit, v)
	}
	if exit, _, errs := other.do("rerun", again.Folder, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"); exit != exitOK {
		t.Errorf("exit %d: %s", exit, errs)
	}
}

// TestRemoteLabels is about an endpoint that answers with the name of a class.
func TestRemoteLabels(t *testing.T) {
	c := newClinic(t, "")
	server := served(c)
	c.write("assay.yaml", remoteSystem("protocol: json\nurl: "+server.HTTP+`/score/hardened
shape: [30]
classes: ["0", "1"]
scores: labels
range: [0, 5000]
request: '{"rows": {{json .Rows}}}'
answer: results[*].label`, 1000000))
	exit, out, errs := c.do("plan", c.folder)
	if exit != exitOK || !strings.Contains(out, "noise, hopskipjump, rays\n") || !strings.Contains(out, "the model gives labels alone") {
		t.Errorf("exit %d: %s%s", exit, out, errs)
	}
	d := c.assess()
	if outcome, reason := d.outcome(t, clinicTraining); outcome == "" || reason == "" {
		t.Errorf("%+v", d)
	}
	if exit, v := c.verify(d.Folder); exit != exitOK {
		t.Errorf("exit %d, %+v", exit, v)
	}
}

// TestRemoteGone: an endpoint that does not answer is told, and is none of the description's mistakes.
func TestRemoteGone(t *testing.T) {
	c := newClinic(t, remoteSystem("protocol: v2-rest\nurl: http://127.0.0.1:1\nmodel: hardened\nretry: {attempts: 1}", 100))
	exit, out, errs := c.do("plan", c.folder, "--format", "json")
	if exit != exitUsage || !strings.Contains(out, `"code": "endpoint"`) || !strings.Contains(errs, "127.0.0.1:1") {
		t.Errorf("exit %d: %s%s", exit, out, errs)
	}
}
