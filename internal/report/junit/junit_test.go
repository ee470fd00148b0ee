package junit

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"assay"
	"assay/internal/report"
	"assay/internal/report/reporttest"
)

func write(t *testing.T, d *report.Document) string {
	t.Helper()
	var file bytes.Buffer
	if err := Write(&file, d); err != nil {
		t.Fatal(err)
	}
	return file.String()
}

func TestDigits(t *testing.T) {
	text := write(t, reporttest.Digits())
	for _, want := range []string{
		`<testsuites name="Meter reading, digit recognition" tests="4" failures="1" errors="1" skipped="1">`,
		`<testsuite name="Small changes of an image do not change the reading" tests="2" failures="1" errors="0" skipped="0" timestamp="2026-11-23T14:05:00">`,
		`<testcase name="No measure (baseline)" classname="evasion-prevent">`,
		`<failure message="inadequate: At least 56.0 % of images`,
		`type="inadequate"`, `<error message="invalid: The test could not`, `<skipped message="undecided: 24 images`,
		`check white box beats black box failed: Square succeeds on 61 images`,
		`cost latency, 99th percentile adequate: 1.84 ms (1.79 to 1.91 ms), limit at most 5 ms, n = 2000`,
		`repeat: assay rerun runs/b41c0d6f2e97 --test evasion-undefended`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
	if text != write(t, reporttest.Digits()) {
		t.Error("written twice it is not the same")
	}
}

// TestRead reads every document again and counts.
func TestRead(t *testing.T) {
	for name, d := range reporttest.All() {
		text := write(t, d)
		if !utf8.ValidString(text) {
			t.Errorf("%s: no UTF-8", name)
		}
		decoder := xml.NewDecoder(strings.NewReader(text)) // refuses characters that XML lacks
		elements := map[string]int{}
		for {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if start, ok := token.(xml.StartElement); ok {
				elements[start.Name.Local]++
			}
		}
		void := min(len(d.Void), 1)
		want := map[string]int{
			"testsuites": 1, "testcase": len(d.Decisions) + void, "failure": d.Count(assay.Inadequate), "error": d.Count(assay.Invalid) + void,
			"skipped": d.Count(assay.Undecided) + d.Count(assay.NotApplicable), "system-out": d.Count(assay.Adequate),
		}
		for element, n := range want {
			if elements[element] != n {
				t.Errorf("%s: %d elements %s, want %d", name, elements[element], element, n)
			}
			delete(elements, element)
		}
		delete(elements, "testsuite")
		if len(elements) > 0 {
			t.Errorf("%s: elements that must not be there: %v", name, elements)
		}
	}
}

func TestCasesOfOneName(t *testing.T) {
	d := reporttest.Digits()
	d.Decisions[1].Solution = d.Decisions[0].Solution
	if text := write(t, d); !strings.Contains(text, "(evasion-prevent-undefended)") {
		t.Error("two cases have one name")
	}
}

func TestNaN(t *testing.T) {
	d := reporttest.Digits()
	d.Decisions[0].Costs[0].Limit = math.NaN()
	var file bytes.Buffer
	if err := Write(&file, d); err == nil || file.Len() > 0 {
		t.Error("NaN was written")
	}
}
