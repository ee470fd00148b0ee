package backdoor

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"assay/internal/method/poisoning/plant"
	"assay/onnx"
)

// TestSeeds measures the detectors over seeds, as the how-to reports it. It takes half an hour, and keeps what it has in a folder,
// so that it can go on there.
func TestSeeds(t *testing.T) {
	folder := os.Getenv("ASSAY_BACKDOOR_SEEDS")
	if folder == "" {
		t.Skip("ASSAY_BACKDOOR_SEEDS names a folder to measure in")
	}
	const n = 20
	training, clean := digits(t)
	for seed := range uint64(n) {
		for _, kind := range []string{"twin", "clean", "badnets", "blended"} {
			file := filepath.Join(folder, fmt.Sprintf("%s-%02d.json", kind, seed))
			if _, err := os.Stat(file); err == nil {
				continue
			}
			var m *onnx.Model
			var p *plant.Planted
			switch kind {
			case "twin":
				m = trained(t, training, 100+seed)
			case "clean":
				m = trained(t, training, seed)
			case "badnets":
				m, p = poisoned(t, plant.BadNets{}, 0.05, training, seed)
			case "blended":
				m, p = poisoned(t, plant.Blended{}, 0.05, training, seed)
			}
			s := subject(t, m, clean)
			out := measured{Kind: kind, Seed: seed, Findings: map[string]*Finding{}}
			if p != nil {
				su, err := plant.BackdoorSuccess(t.Context(), s.Model.Target.Model, p, clean, .95)
				if err != nil {
					t.Fatal(err)
				}
				out.Success = su.Rate
			}
			for _, d := range All() {
				out.Findings[d.Describe().Name] = found(t, d, s)
			}
			text, err := json.Marshal(out)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	judged(t, folder)
}

// judged counts, of the models in a folder, those that are found at 5 %.
func judged(t *testing.T, folder string) {
	t.Helper()
	kinds := map[string][]measured{}
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var m measured
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		kinds[m.Kind] = append(kinds[m.Kind], m)
	}
	var twins [][]*Finding
	for _, m := range kinds["twin"] {
		twins = append(twins, m.inOrder())
	}
	for _, kind := range []string{"clean", "badnets", "blended"} {
		found, published, by := 0, make([]int, len(All())), make([]int, len(All()))
		for _, m := range kinds[kind] {
			v, err := Judge(m.inOrder(), twins)
			if err != nil {
				t.Fatal(err)
			}
			if v.P <= 0.05 {
				found++
			}
			for k, d := range All() {
				if v.By[k] <= 0.05 {
					by[k]++
				}
				if limit := d.Describe().Published; limit > 0 && m.inOrder()[k].Statistic > limit {
					published[k]++
				}
			}
		}
		t.Logf("%s: %d of %d found; by each detector %d, at its published threshold %d", kind, found, len(kinds[kind]), by, published)
	}
}

func (m measured) inOrder() []*Finding {
	var out []*Finding
	for _, d := range All() {
		out = append(out, m.Findings[d.Describe().Name])
	}
	return out
}

// measured is what the detectors gave one model.
type measured struct {
	Kind     string
	Seed     uint64
	Success  float64 // of the backdoor
	Findings map[string]*Finding
}
