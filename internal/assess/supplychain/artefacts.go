package supplychain

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"assay/internal/assess"
	"assay/internal/provenance"
	"assay/internal/system"
	"assay/onnx"
)

// artefact is a model or data with the files that are read of it.
type artefact struct {
	at        string            // the field of the description
	root      string            // what was signed, on this machine
	signature *system.Signature // nil for none
	files     []file
}

// file is one that is loaded.
type file struct {
	shown   string // as readers know it: relative to the description
	path    string // on this machine
	name    string // below the artefact's root; empty for the root of a folder
	outside bool   // it is not within the root
}

// artefacts gives what is loaded for a test: its model, its data.
func (t *Tester) artefacts(test *assess.Test) ([]*artefact, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := test.Model + "\x00" + test.Data
	if known := t.loaded[key]; known != nil {
		return known, nil
	}
	found, err := t.find(test)
	if err == nil {
		t.loaded[key] = found
	}
	return found, err
}

func (t *Tester) find(test *assess.Test) ([]*artefact, error) {
	mi := slices.IndexFunc(t.system.Models, func(m system.Model) bool { return m.Name == test.Model })
	di := slices.IndexFunc(t.system.Data, func(d system.Data) bool { return d.Name == test.Data })
	if mi < 0 || di < 0 {
		return nil, fmt.Errorf("the description has no model %q or no data %q", test.Model, test.Data)
	}
	m, d := &t.system.Models[mi], &t.system.Data[di]
	if m.File == "" {
		return nil, t.system.Mistake(m.At+".endpoint", "the model is behind an endpoint, so what is loaded there cannot be verified here: name its file")
	}
	beside, err := onnx.ExternalFiles(t.system.Path(m.File))
	if err != nil {
		return nil, t.system.Mistake(m.At+".file", "%s: %v", m.File, err)
	}
	names := []string{m.File}
	for _, name := range beside {
		names = append(names, path.Join(path.Dir(filepath.ToSlash(m.File)), name))
	}
	return []*artefact{
		t.artefact(m.At, m.Signature, names...),
		t.artefact(d.At, d.Signature, d.File, d.Labels),
	}, nil
}

func (t *Tester) artefact(at string, by *system.Signature, names ...string) *artefact {
	a := &artefact{at: at, signature: by, root: t.system.Path(names[0])}
	if by != nil && by.Folder != "" {
		a.root = t.system.Path(by.Folder)
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		f := file{shown: name, path: t.system.Path(name)}
		rel, err := filepath.Rel(a.root, f.path)
		switch {
		case err != nil || !filepath.IsLocal(rel):
			f.outside = true
		case rel != ".":
			f.name = filepath.ToSlash(rel)
		case !isFolder(f.path):
			f.name = filepath.Base(f.path)
		}
		a.files = append(a.files, f)
	}
	return a
}

// isFolder reports whether a path is a folder, rather than a link to one.
func isFolder(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// expand lists the files of folders, so that each file is a unit.
func (a *artefact) expand(ctx context.Context) ([]file, error) {
	var all []file
	for _, f := range a.files {
		if !isFolder(f.path) {
			all = append(all, f)
			continue
		}
		listed, problems, err := provenance.List(ctx, f.path, nil)
		if err != nil {
			return nil, err
		}
		for _, p := range problems { // of links, which are no less there
			listed = append(listed, provenance.File{Name: p.File})
		}
		slices.SortFunc(listed, func(a, b provenance.File) int { return strings.Compare(a.Name, b.Name) })
		for _, l := range listed {
			all = append(all, file{path.Join(f.shown, l.Name), filepath.Join(f.path, filepath.FromSlash(l.Name)), path.Join(f.name, l.Name), f.outside})
		}
	}
	return all, nil
}
