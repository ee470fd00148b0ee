// Package scantest is what tests of scanners share.
package scantest

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"assay/internal/scan"
	"assay/internal/scan/corpus"
)

// Scan scans content with the scanners given and no others.
func Scan(t testing.TB, data []byte, scanners ...scan.Scanner) scan.Result {
	t.Helper()
	r := &scan.Runner{Scanners: scanners}
	result, err := r.Content(context.Background(), "test", bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// Rules gives the rules of the findings of a result, each once, sorted.
func Rules(r scan.Result) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, f.Rule)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Expect scans content and fails where its status, or a rule that must be among those of
// its findings, is another. An empty rule stands for none.
func Expect(t testing.TB, name string, data []byte, status scan.Status, rule string, scanners ...scan.Scanner) {
	t.Helper()
	result := Scan(t, data, scanners...)
	if result.Status != status || rule != "" && !slices.Contains(Rules(result), rule) {
		t.Errorf("%s: status %s by %q, want %s by %q", name, result.Status, result.Findings, status, rule)
	}
}

// Fuzz has content scanned and fails where the scan does not end, panics, or says clean
// of what it found something in. The seeds are whole files, which are also cut short.
func Fuzz(f *testing.F, seeds [][]byte, scanners ...scan.Scanner) {
	if len(seeds) == 0 {
		f.Fatal("there are no seeds")
	}
	for _, s := range seeds {
		f.Add(s)
		f.Add(s[:len(s)/2])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &scan.Runner{Scanners: scanners, Limits: scan.Limits{Unpacked: 4 << 20, Entries: 1000, Memory: 1 << 20, Ratio: 1}}
		result, err := r.Content(t.Context(), "fuzz", bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range result.Findings {
			if bytes.Contains([]byte(f.Message), []byte("please report this")) {
				t.Fatal(f.Message)
			}
		}
		if (result.Status == scan.Clean || result.Status == scan.NotAModel) && len(result.Findings) > 0 {
			t.Fatalf("it is %s with findings %v", result.Status, result.Findings)
		}
	})
}

// Cases runs the cases that the scanners decide by themselves, and fails where there are none.
func Cases(t *testing.T, cases []corpus.Case, scanners ...scan.Scanner) {
	t.Helper()
	run := 0
	for _, c := range cases {
		if !c.Payload {
			Expect(t, c.Name, c.Data, c.Want, c.Rule, scanners...)
			run++
		}
	}
	if run == 0 {
		t.Fatal("there are no cases")
	}
}
