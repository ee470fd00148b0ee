package sarif

import (
	"bytes"
	"encoding/json"
	"math"
	"net/url"
	"strings"
	"testing"

	library "github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"assay"
	"assay/internal/report"
	"assay/internal/report/reporttest"
)

func write(t *testing.T, d *report.Document) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := Write(&file, d); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// TestSchema has the library read every field, and validate what it read against the
// standard's schema.
func TestSchema(t *testing.T) {
	for name, d := range reporttest.All() {
		text := write(t, d)
		if !bytes.Equal(text, write(t, d)) {
			t.Errorf("%s: written twice it is not the same", name)
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(new(library.Report)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		read, err := library.FromBytes(text)
		if err != nil {
			t.Fatal(name, err)
		}
		if err := read.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	spoilt := strings.Replace(string(write(t, reporttest.Digits())), `"kind": "fail"`, `"kind": "failed"`, 1)
	if read, err := library.FromString(spoilt); err == nil && read.Validate() == nil {
		t.Error("the validator finds nothing wrong with a kind that there is not")
	}
}

func TestOutcomes(t *testing.T) {
	d := reporttest.Digits()
	var log sarifLog
	if err := json.Unmarshal(write(t, d), &log); err != nil {
		t.Fatal(err)
	}
	r := log.Runs[0]
	if len(r.Results) != 4 || len(r.Tool.Driver.Rules) != 3 {
		t.Fatalf("%d results and %d rules for 4 decisions on 3 goals", len(r.Results), len(r.Tool.Driver.Rules))
	}
	want := []struct{ kind, level, uri, related string }{
		{"pass", "none", "examples/digits/assay.yaml", "examples/digits/hardened.onnx"},
		{"fail", "error", "examples/digits/assay.yaml", "examples/digits/undefended.onnx"},
		{"fail", "error", "examples/digits/assay.yaml", "examples/digits/hardened.onnx"},
		{"fail", "warning", "examples/digits/assay.yaml", ""},
	}
	for i, w := range want {
		got := r.Results[i]
		if got.Kind != w.kind || got.Level != w.level || got.Locations[0].PhysicalLocation.ArtifactLocation.URI != w.uri {
			t.Errorf("result %d is %s, %s at %v", i, got.Kind, got.Level, got.Locations)
		}
		if related := got.RelatedLocations; (len(related) == 1) != (w.related != "") || len(related) == 1 && related[0].PhysicalLocation.ArtifactLocation.URI != w.related {
			t.Errorf("result %d is related to %v, not to %q", i, related, w.related)
		}
		if got.RuleID != r.Tool.Driver.Rules[got.RuleIndex].ID {
			t.Errorf("result %d points at another rule", i)
		}
		if !strings.Contains(got.Message.Text, "limit at most 15 %") {
			t.Errorf("result %d does not say the limit: %s", i, got.Message.Text)
		}
	}
	for _, o := range assay.Outcomes() {
		if k := kinds[o]; k[0] == "" || (k[0] != "fail") != (k[1] == "none") {
			t.Errorf("outcome %s is %v", o, k)
		}
	}
	if !r.Invocations[0].ExecutionSuccessful {
		t.Error("the run is not successful")
	}
}

func TestFingerprintsStay(t *testing.T) {
	one, other := reporttest.Digits(), reporttest.Digits()
	other.Run, other.Decisions[0].Reason, other.Decisions[0].ID = "another", "Another.", "another"
	other.Matrix = nil
	of := func(d *report.Document) map[string]string {
		var log sarifLog
		if err := json.Unmarshal(write(t, d), &log); err != nil {
			t.Fatal(err)
		}
		return log.Runs[0].Results[0].PartialFingerprints
	}
	if a, b := of(one)["goalAndSolution/v1"], of(other)["goalAndSolution/v1"]; a != b || a == "" {
		t.Errorf("the same goal and solution have the fingerprints %q and %q", a, b)
	}
}

func TestVoid(t *testing.T) {
	var log sarifLog
	if err := json.Unmarshal(write(t, reporttest.Void()), &log); err != nil {
		t.Fatal(err)
	}
	i := log.Runs[0].Invocations[0]
	if i.ExecutionSuccessful || len(i.ToolExecutionNotifications) != 1 {
		t.Errorf("void evidence is not told: %+v", i)
	}
}

func TestHostile(t *testing.T) {
	d := reporttest.Hostile()
	d.Decisions[0].Reason = "See [the evidence](https://example.org/)."
	text := write(t, d)
	var log sarifLog
	if err := json.Unmarshal(text, &log); err != nil {
		t.Fatal(err)
	}
	for _, b := range text {
		if b < ' ' && b != '\n' || b == '<' {
			t.Fatalf("the byte %#x stands as it is", b)
		}
	}
	if strings.Contains(log.Runs[0].Results[0].Message.Text, "[the evidence](") {
		t.Error("a link slipped into a message")
	}
	for _, a := range log.Runs[0].Artifacts {
		if u, err := url.Parse(a.Location.URI); err != nil || u.Scheme != "" || u.Host != "" {
			t.Errorf("%q is no relative reference (%v)", a.Location.URI, err)
		}
	}
	d.Decisions[0].Limit = math.NaN()
	if err := Write(new(bytes.Buffer), d); err == nil {
		t.Error("NaN was written")
	}
}
