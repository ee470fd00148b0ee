package scan

import (
	"testing"
	"time"
)

// FuzzReadIgnores looks for a file of ignores that makes the reader or their use panic, or
// that takes out a finding of another rule.
func FuzzReadIgnores(f *testing.F) {
	for _, s := range []string{
		"ignores:\n  - {rule: a, path: x/*.bin, reason: known, expires: 2027-01-01}\n", "ignores: []\n", "ignores:\n  - rule: a\n    path: '[a-'\n", "ignores: [1, {rule: b}]\n", "a: &a [*a]\n", "ignores:\n  - {rule: a, path: '', reason: r, expires: 9999-99-99}\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ignores, err := ReadIgnores("ignores.yaml", data, []string{"a", "b"})
		if err != nil {
			return
		}
		results := []Result{{Path: "x/y.bin", Status: Found, Findings: []Finding{{Rule: "a", Severity: High}, {Rule: "c", Severity: High}}}}
		ignored, stale := ignores.Apply(results, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		if len(results[0].Findings)+len(ignored) != 2 || results[0].Status != Found || len(stale) > len(ignores.Ignores) {
			t.Fatalf("%v, %v, %v", results, ignored, stale)
		}
	})
}
