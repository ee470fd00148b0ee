package builtin_test

import (
	"testing"

	"assay"
	"assay/internal/builtin"
)

func TestSolutionsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range builtin.Solutions() {
		if s.Name == "" || seen[s.Name] || s.Summary == "" || s.Reference == "" || len(s.Cells) == 0 {
			t.Errorf("%+v", s)
		}
		seen[s.Name] = true
		for _, c := range s.Cells {
			if want := (map[bool]assay.Vulnerability{true: assay.DataPoisoning, false: assay.Evasion})[s.Name == "dpa" || s.Name == "sisa"]; c.Vulnerability != want {
				t.Errorf("%s is for %s", s.Name, c)
			}
		}
	}
	if len(seen) < 8 {
		t.Errorf("%d solutions", len(seen))
	}
}
