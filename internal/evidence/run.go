// Package evidence keeps what a run found: a folder of records, a manifest of all
// that they rest on, and a signature over both. Files appear whole or not at all,
// so a run that was killed goes on where it stood, and apart from the log of times
// the same run leaves the same bytes. A folder that comes from elsewhere is hostile: what is read from
// it is bounded.
package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Schema is the version of the folder's layout.
const Schema = "assay-run/1"

// The files that every run has.
const (
	ManifestFile    = "manifest.json"
	AttestationFile = "attestation.json"
)

// partial is the end of a file's name while it is written.
const partial = ".partial"

// Manifest names what a run rests on. Run is a digest of the other fields, so runs
// with the same name are the same run.
type Manifest struct {
	Schema  string  `json:"schema"`
	Run     string  `json:"run"`
	Program Program `json:"program"`

	Description string  `json:"description"` // SHA-256 of what the system's description says
	Inputs      []Input `json:"inputs"`      // the files that it names
	Seed        uint64  `json:"seed"`
	Plan        string  `json:"plan"` // SHA-256 of the plan
}

// Program is the program that made the run, and the library that ran its models.
type Program struct {
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	Go      string `json:"go"`
	System  string `json:"system"` // such as linux/amd64
	Runtime string `json:"runtime"`
	Library string `json:"library_sha256"`
}

// Input is a file that the run read.
type Input struct {
	Role   string `json:"role"` // such as "model hardened"
	Path   string `json:"path"` // as it is written in assay.yaml
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Name computes what the run is called: a digest of the manifest's other fields.
func (m Manifest) Name() string {
	m.Run, m.Schema = "", Schema
	return DigestOf(m)[:16]
}

// DigestOf is the SHA-256, in hexadecimal, of a value's JSON.
func DigestOf(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("evidence: %T cannot be written as JSON: %v", v, err)) // a fault of the program: such types are never marshalled
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Run is a run folder.
type Run struct {
	dir      string
	manifest Manifest
}

// Create begins a run in a folder, or goes on with it where the folder holds a
// part of the same run. Another run's folder is not touched: that is an
// *OtherRunError. The manifest's Schema and Run are filled in.
func Create(dir string, m Manifest) (*Run, error) {
	m.Schema = Schema
	m.Run = m.Name()
	r := &Run{dir: dir, manifest: m}
	var there Manifest
	switch err := r.Get(ManifestFile, &there); {
	case err == nil && there.Run != m.Run:
		return nil, &OtherRunError{Dir: dir, There: there, Wanted: m}
	case err == nil:
		return r, r.clean()
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if names, err := os.ReadDir(dir); err == nil && len(names) > 0 && !onlyPartial(names) {
		return nil, fmt.Errorf("%s holds other files and no run: name an empty or new folder", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("the run folder: %w", err)
	}
	return r, errors.Join(r.clean(), r.Put(ManifestFile, m))
}

func onlyPartial(entries []os.DirEntry) bool {
	return !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return !strings.HasSuffix(e.Name(), partial) })
}

// OtherRunError says that a folder holds another run than the one that was to go on in it.
type OtherRunError struct {
	Dir           string
	There, Wanted Manifest
}

func (e *OtherRunError) Error() string {
	return fmt.Sprintf("%s holds the run %s, and this would be the run %s, because %s: name another folder, or go back to what that run was made from",
		e.Dir, e.There.Run, e.Wanted.Run, difference(e.There, e.Wanted))
}

// difference tells in what two manifests differ.
func difference(a, b Manifest) string {
	switch {
	case a.Schema != b.Schema:
		return "its layout has another version"
	case a.Program != b.Program:
		return "the program or its runtime is another one"
	case a.Seed != b.Seed:
		return fmt.Sprintf("the seed was %d and is %d", a.Seed, b.Seed)
	}
	for _, was := range a.Inputs {
		i := slices.IndexFunc(b.Inputs, func(in Input) bool { return in.Role == was.Role })
		if i < 0 {
			return fmt.Sprintf("%s is not used any more", was.Role)
		}
		if b.Inputs[i] != was {
			return fmt.Sprintf("the %s (%s) has changed", was.Role, was.Path)
		}
	}
	if len(a.Inputs) != len(b.Inputs) {
		return "more files are used"
	}
	return "what it is to do has changed"
}

// Open opens a run folder to read it, or to add to it.
func Open(dir string) (*Run, error) {
	r := &Run{dir: dir}
	if err := r.Get(ManifestFile, &r.manifest); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is not a run folder: it has no %s", dir, ManifestFile)
		}
		return nil, err
	}
	if r.manifest.Schema != Schema {
		return nil, fmt.Errorf("%s has the layout %q, and this program reads %q", dir, r.manifest.Schema, Schema)
	}
	return r, nil
}

// Dir is the run's folder.
func (r *Run) Dir() string { return r.dir }

// Manifest is what the run rests on.
func (r *Run) Manifest() Manifest { return r.manifest }

// clean removes what a killed process left half written.
func (r *Run) clean() error {
	return r.walk(func(name string) error {
		if strings.HasSuffix(name, partial) {
			return os.Remove(r.path(name))
		}
		return nil
	})
}

// Has reports whether the run has a file.
func (r *Run) Has(name string) bool {
	info, err := os.Lstat(r.path(name))
	return err == nil && info.Mode().IsRegular()
}

// Remove removes a file of the run, if it is there.
func (r *Run) Remove(name string) error {
	if err := os.Remove(r.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Names gives the files below a folder of the run ("" for all), sorted.
func (r *Run) Names(under string) (names []string, err error) {
	err = r.walk(func(name string) error {
		if under == "" || strings.HasPrefix(name, under+"/") {
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

// maxFiles bounds the files of a run folder that are looked at.
const maxFiles = 1 << 20

func (r *Run) walk(each func(name string) error) error {
	count := 0
	return filepath.WalkDir(r.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if count++; count > maxFiles {
			return fmt.Errorf("%s has more than %d files: this is no run folder", r.dir, maxFiles)
		}
		rel, err := filepath.Rel(r.dir, p)
		if err != nil {
			return err
		}
		return each(filepath.ToSlash(rel))
	})
}

// path is where a file of the run is. Names come from the program itself, and are
// held to the folder all the same.
func (r *Run) path(name string) string {
	return filepath.Join(r.dir, filepath.FromSlash(path.Clean("/"+name)))
}

// Put writes a value as JSON that people can read.
func (r *Run) Put(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return r.Write(name, append(text, '\n'))
}

// Get reads a value that Put wrote. A missing file is fs.ErrNotExist.
func (r *Run) Get(name string, v any) error {
	text, err := r.Read(name)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%s is damaged: %w", r.path(name), err)
	}
	return nil
}

// maxFile bounds what is read of a file, and of what it unpacks to.
const maxFile = 1 << 30

// Read reads a file of the run.
func (r *Run) Read(name string) ([]byte, error) {
	info, err := os.Lstat(r.path(name))
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", r.path(name))
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes: no file of a run is that large", r.path(name), info.Size())
	}
	f, err := os.Open(r.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// Write writes a file of the run: it is there whole or not at all, also when the
// machine stops.
func (r *Run) Write(name string, content []byte) (err error) {
	to := r.path(name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("the run folder: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".*"+partial)
	if err != nil {
		return fmt.Errorf("the run folder: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("writing %s: %w", to, err)
	}
	if err = os.Rename(f.Name(), to); err != nil {
		return fmt.Errorf("writing %s: %w", to, err)
	}
	return nil
}
