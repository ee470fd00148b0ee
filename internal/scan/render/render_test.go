package render

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	library "github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"assay/internal/scan"
)

func report() *Report {
	found := scan.Finding{Rule: "a-rule", Severity: scan.Critical, Place: scan.Place{File: "dir/a b.pkl", Offset: 7, Node: "REDUCE"}, Message: "It \x1b[31mcalls.", Remedy: "Leave it.", Trace: []string{"call", "  x"}}
	open := scan.Finding{Rule: "b-rule", Severity: scan.Unknown, Place: scan.Place{File: "z", Entry: "in!side"}, Message: "It is odd.", Remedy: "Look."}
	return New([]scan.Result{
		{Path: "dir/a b.pkl", Format: "pickle", Status: scan.Found, Findings: []scan.Finding{found}},
		{Path: "z", Format: "unknown", Status: scan.Undecided, Findings: []scan.Finding{open}},
		{Path: "t", Format: "text", Status: scan.NotAModel, Findings: []scan.Finding{}},
	}, []scan.Ignored{{Finding: found, Reason: "known", Expires: "2030-01-01"}}, nil)
}

// TestJSON holds the form that programs read.
func TestJSON(t *testing.T) {
	var out bytes.Buffer
	if err := JSON(&out, report()); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	file := got["files"].([]any)[0].(map[string]any)
	finding := file["findings"].([]any)[0].(map[string]any)
	for name, keys := range map[string]struct {
		in   map[string]any
		want string
	}{
		"report": {got, "files summary"}, "file": {file, "path format status findings"}, "finding": {finding, "rule severity place message remedy"},
	} {
		for key := range strings.FieldsSeq(keys.want) {
			if _, ok := keys.in[key]; !ok {
				t.Errorf("the %s has no %s", name, key)
			}
		}
		if len(keys.in) != len(strings.Fields(keys.want)) {
			t.Errorf("the %s has other fields: %v", name, keys.in)
		}
	}
}

// TestText holds that the file's own words cannot steer a terminal.
func TestText(t *testing.T) {
	var out bytes.Buffer
	if err := Text(&out, report()); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.ContainsRune(s, '\x1b') || !strings.Contains(s, "a-rule at byte 7, REDUCE") || !strings.Contains(s, "3 files: 0 clean, 1 with findings, 1 undecided, 1 no models") {
		t.Errorf("got\n%s", s)
	}
}

// TestSARIF has a library validate what is written against the standard's schema.
func TestSARIF(t *testing.T) {
	var out bytes.Buffer
	if err := SARIF(&out, report(), Rules(nil)); err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(out.Bytes()))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(new(library.Report)); err != nil {
		t.Error(err)
	}
	read, err := library.FromBytes(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := read.Validate(); err != nil {
		t.Error(err)
	}
}
