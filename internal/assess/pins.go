package assess

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"assay"
	"assay/internal/evidence"
	"assay/internal/system"
)

// LockOf is the path of the lock that belongs to a description.
func LockOf(description string) string { return filepath.Join(filepath.Dir(description), lockName) }

// Pin notes the digests of a system's models and data, as they are, in place of former ones. It gives
// what is pinned otherwise than before.
func (l *Lock) Pin(s *system.System) (changed []evidence.Input, err error) {
	pinned, err := inputs(s, artefact)
	if err != nil {
		return nil, err
	}
	for _, in := range pinned {
		if !slices.Contains(l.Artefacts, in) {
			changed = append(changed, in)
		}
	}
	l.Artefacts = pinned
	return changed, nil
}

// artefact reports whether a file is of a model or of data, rather than about it.
func artefact(f system.File) bool {
	return (strings.HasPrefix(f.At, "models[") || strings.HasPrefix(f.At, "data[")) && !strings.Contains(f.At, ".signature.")
}

// CheckPins compares the models and data of a system with the digests that are pinned, before anything
// opens them. A lock without pins finds nothing.
func (l *Lock) CheckPins(s *system.System) (problems []evidence.Problem) {
	if len(l.Artefacts) == 0 {
		return nil
	}
	pinned := map[string]evidence.Input{}
	for _, in := range l.Artefacts {
		pinned[in.Role] = in
	}
	add := func(file, format string, args ...any) {
		problems = append(problems, evidence.Problem{File: file, Detail: fmt.Sprintf(format, args...)})
	}
	for _, f := range s.Files() {
		if !artefact(f) {
			continue
		}
		was, ok := pinned[f.Role]
		delete(pinned, f.Role)
		_, sum, err := Digest(s.Path(f.Path))
		switch {
		case !ok:
			add(f.Path, "the %s is not pinned: it was added", f.Role)
		case errors.Is(err, fs.ErrNotExist):
			add(f.Path, "the %s is missing", f.Role)
		case err != nil:
			add(f.Path, "the %s cannot be read: %v", f.Role, err)
		case was.Path != f.Path:
			add(f.Path, "the %s was %s when it was pinned", f.Role, was.Path)
		case was.SHA256 != sum:
			add(f.Path, "the %s is not the one that was pinned%s", f.Role, l.otherwise(sum))
		}
	}
	for _, in := range l.Artefacts {
		if _, left := pinned[in.Role]; left {
			add(in.Path, "the %s is pinned, and the description has it no more", in.Role)
		}
	}
	return problems
}

// otherwise tells as what else a digest is pinned.
func (l *Lock) otherwise(sum string) string {
	for _, in := range l.Artefacts {
		if in.SHA256 == sum {
			return fmt.Sprintf(": it is the %s (%s)", in.Role, in.Path)
		}
	}
	return ""
}

// RefuseOthers refuses a system whose models or data are not those that its lock pins.
func RefuseOthers(description string, s *system.System) error {
	l, err := OpenLock(LockOf(description))
	if err != nil {
		return assay.WithCode(assay.CodeInput, err)
	}
	var wrong []error
	for _, p := range l.CheckPins(s) {
		wrong = append(wrong, errors.New(p.String()))
	}
	if len(wrong) > 0 {
		return assay.WithCode(assay.CodeInput, fmt.Errorf("what %s pins is not what is there, so nothing is opened: restore it, or pin it anew with assay pin\n%w", lockName, errors.Join(wrong...)))
	}
	return nil
}
