package formats

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"assay/internal/scan"
	"assay/internal/scan/corpus"
)

// Files of numbers are decided by the models that take from them, and these by the files.
func TestFolders(t *testing.T) {
	folders := corpus.Folders()
	if len(folders) == 0 {
		t.Fatal("there are no cases")
	}
	for _, f := range folders {
		root := t.TempDir()
		for name, data := range f.Files {
			path := filepath.Join(root, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		results, err := (&scan.Runner{Scanners: All()}).Paths(t.Context(), []string{root})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			name, err := filepath.Rel(root, r.Path)
			if err != nil {
				t.Fatal(err)
			}
			rule := f.Rules[filepath.ToSlash(name)]
			if want := f.Want[filepath.ToSlash(name)]; r.Status != want || rule != "" && !slices.ContainsFunc(r.Findings, func(f scan.Finding) bool { return f.Rule == rule }) {
				t.Errorf("%s: %s is %s by %q, want %s by %q", f.Name, name, r.Status, r.Findings, want, rule)
			}
		}
	}
}

// A model that is scanned by itself is held to what is beside it all the same.
func TestDataBeside(t *testing.T) {
	for _, f := range corpus.Folders() {
		if f.Name != "onnx/all" && f.Name != "onnx/too short" {
			continue
		}
		root := t.TempDir()
		for name, data := range f.Files {
			if err := os.WriteFile(filepath.Join(root, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		results, err := (&scan.Runner{Scanners: All()}).Paths(t.Context(), []string{filepath.Join(root, "m.onnx")})
		if err != nil {
			t.Fatal(err)
		}
		if len(results) != 1 || results[0].Status != f.Want["m.onnx"] {
			t.Errorf("%s: %+v", f.Name, results)
		}
	}
}
