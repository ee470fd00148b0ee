package system

import (
	"context"
	"path/filepath"
	"testing"

	"assay/internal/catalog"
	"assay/internal/dataset"
	"assay/onnx"
)

// TestExamples opens the examples' descriptions: what they name is there, their goals can be
// decided with the data there are, and the data keep their own relations.
func TestExamples(t *testing.T) {
	paths, err := filepath.Glob("../../examples/*/assay.yaml")
	if err != nil || len(paths) < 2 {
		t.Fatalf("found %q, %v", paths, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			s, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := range s.Models {
				if _, err := onnx.Open(s.Path(s.Models[i].File)); err != nil {
					t.Error(err)
				}
			}
			records := map[string]int{}
			for i := range s.Data {
				records[s.Data[i].Name] = countExample(t, s, &s.Data[i])
			}
			if len(s.Goals) < 2 || len(s.Risks) == 0 || len(s.Exclusions) == 0 {
				t.Errorf("it has %d goals, %d risks and %d exclusions", len(s.Goals), len(s.Risks), len(s.Exclusions))
			}
			for i := range s.Goals {
				g := &s.Goals[i]
				base, _, err := catalog.Default().Criterion(g.Goal, s.About.Modality, s.About.Risk)
				if err != nil {
					t.Fatal(err)
				}
				c, _ := g.Criterion.Apply(base)
				plan, err := c.Plan()
				if err != nil {
					t.Errorf("%s: %v", g.Solution, err)
				}
				if plan.N > records[g.Data] {
					t.Errorf("%s: the plan observes %d of %d records", g.Solution, plan.N, records[g.Data])
				}
			}
		})
	}
}

// countExample reads data and counts their records, each of which must keep the relations.
func countExample(t *testing.T, s *System, d *Data) int {
	t.Helper()
	data, err := dataset.Load(context.Background(), s.Path(d.File), s.Options(d))
	if err != nil {
		t.Fatal(err)
	}
	if data.Y == nil || data.Len() == 0 {
		t.Fatalf("%s has %d records, without labels", d.Name, data.Len())
	}
	for _, r := range d.Relations {
		of, weights, err := r.On(data.Schema)
		if err != nil {
			t.Fatal(err)
		}
		for i := range data.Len() {
			sum := 0.0
			for k, at := range of {
				sum += weights[k] * float64(data.Record(i)[at])
			}
			if sum > r.Bound {
				t.Errorf("record %d does not keep %s", i+1, r.Text)
			}
		}
	}
	return data.Len()
}
