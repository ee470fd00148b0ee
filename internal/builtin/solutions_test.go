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
			want, ok := map[string]assay.Vulnerability{"dpa": assay.DataPoisoning, "gce": assay.DataPoisoning, "sisa": assay.DataPoisoning, "labels": assay.Confidentiality, "rounding": assay.Confidentiality,
				"topk": assay.Confidentiality, "noise": assay.Confidentiality}[s.Name]
			if !ok {
				want = assay.Evasion
			}
			if c.Vulnerability != want {
				t.Errorf("%s is for %s", s.Name, c)
			}
		}
	}
	if len(seen) < 8 {
		t.Errorf("%d solutions", len(seen))
	}
}
