// Package gate judges what is to enter a system that keeps learning, a batch of records or a model, against the last
// that was accepted. What it goes by is a state on disk: the policy, and what was accepted, by digest.
package gate

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"assay/internal/dataset"
)

// Version is that of the state's form.
const Version = 1

// maxState is far above what a schema and a policy take.
const maxState = 16 << 20

// Policy is what a batch or a model must keep to. It stays the same from one acceptance to the next.
type Policy struct {
	Drift      float64            `json:"drift"`      // the probability with which a batch like the accepted ones is refused for drift; 0 to 1
	Suspicious float64            `json:"suspicious"` // the largest part of a batch that may be suspicious; 0 to 1
	FPR        float64            `json:"fpr"`        // the part of clean records that is suspicious by chance; 0 to 1
	Column     string             `json:"source_column,omitempty"`
	Sources    map[string]float64 `json:"sources,omitempty"` // those that are allowed, with the largest part of a batch that each may give

	Accuracy   float64 `json:"accuracy"`   // of a model on the protected records: its lower bound is to be at least this
	Churn      float64 `json:"churn"`      // answers that differ from the last model's: the upper bound is to be at most this
	Confidence float64 `json:"confidence"` // of each of these bounds
}

// Validate reports what a policy cannot be.
func (p *Policy) Validate() error {
	for name, v := range map[string]float64{"drift": p.Drift, "FPR": p.FPR, "confidence": p.Confidence} {
		if !(v > 0 && v < 1) {
			return fmt.Errorf("a policy with %s %g: give a number above 0 and below 1", name, v)
		}
	}
	for name, v := range map[string]float64{"suspicious": p.Suspicious, "accuracy": p.Accuracy, "churn": p.Churn} {
		if !(v >= 0 && v <= 1) {
			return fmt.Errorf("a policy with %s %g: give a number from 0 to 1", name, v)
		}
	}
	if (p.Column == "") != (len(p.Sources) == 0) {
		return errors.New("a policy of sources needs both the column that names them and the sources that are allowed")
	}
	return checkLimits(p.Sources)
}

// Artefact is a file or folder that was accepted.
type Artefact struct {
	Path   string         `json:"path"`   // relative to the state's folder
	SHA256 dataset.Digest `json:"sha256"` // of a model its file's, of data that of the digests of its records in order
	Count  int            `json:"records,omitempty"`
}

// State is what was accepted last.
type State struct {
	Version    int             `json:"version"`
	Accepted   int             `json:"accepted"` // how many batches and models so far
	Policy     Policy          `json:"policy"`
	Schema     *dataset.Schema `json:"schema"`     // by which every batch is read
	Validation Artefact        `json:"validation"` // the protected records
	First      Artefact        `json:"first"`      // the batch at the beginning, so that many small steps are no way around
	Data       Artefact        `json:"data"`       // the last batch
	Model      *Artefact       `json:"model"`      // the last model; nil for none

	folder string
}

// Read reads a state. Files are hostile until shown otherwise: a field that is not known is an error.
func Read(path string) (*State, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return nil, err
	}
	s, err := Decode(text)
	if err != nil {
		return nil, fmt.Errorf("%s is no state of a gate: %w", path, err)
	}
	s.folder = filepath.Dir(path)
	return s, nil
}

// Decode reads a state's text.
func Decode(text []byte) (*State, error) {
	if len(text) > maxState {
		return nil, fmt.Errorf("it has more than %d bytes", maxState)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	s := &State{}
	if err := d.Decode(s); err != nil {
		return nil, err
	}
	switch {
	case s.Version != Version:
		return nil, fmt.Errorf("its version is %d, and this program reads %d", s.Version, Version)
	case s.Schema == nil || !s.Schema.Complete:
		return nil, errors.New("it has no complete schema")
	case s.Validation.Path == "" || s.Data.Path == "" || s.First.Path == "":
		return nil, errors.New("it does not say where the accepted data and the protected records are")
	}
	if err := s.Schema.Validate(); err != nil {
		return nil, err
	}
	return s, s.Policy.Validate()
}

// At says where the state is, or will be: its paths are relative to that folder.
func (s *State) At(path string) { s.folder = filepath.Dir(path) }

// Move makes the paths relative to the folder of another file.
func (s *State) Move(path string) error {
	from := *s
	s.At(path)
	artefacts := []*Artefact{&s.Validation, &s.First, &s.Data}
	if s.Model != nil {
		one := *s.Model
		s.Model = &one
		artefacts = append(artefacts, &one)
	}
	for _, a := range artefacts {
		var err error
		if a.Path, err = s.relative(from.Path(*a)); err != nil {
			return err
		}
	}
	return nil
}

// Path is where an artefact is.
func (s *State) Path(a Artefact) string {
	if filepath.IsAbs(a.Path) {
		return a.Path
	}
	return filepath.Join(s.folder, a.Path)
}

// Records names data by what they hold.
func (s *State) Records(path string, d *dataset.Dataset) (Artefact, error) {
	relative, err := s.relative(path)
	return Artefact{relative, Sum(d), d.Len()}, err
}

// File names a model by its file.
func (s *State) File(path string) (Artefact, error) {
	sum, err := fileSum(path)
	if err != nil {
		return Artefact{}, err
	}
	relative, err := s.relative(path)
	return Artefact{relative, sum, 0}, err
}

func (s *State) relative(path string) (string, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	folder, err := filepath.Abs(s.folder)
	if err != nil {
		return "", err
	}
	if short, err := filepath.Rel(folder, full); err == nil {
		return filepath.ToSlash(short), nil
	}
	return full, nil // on another volume
}

// Sum is the digest of the records' digests, in their order.
func Sum(d *dataset.Dataset) dataset.Digest {
	h := sha256.New()
	for i := range d.Len() {
		one := d.Digest(i)
		h.Write(one[:])
	}
	return dataset.Digest(h.Sum(nil))
}

func fileSum(path string) (dataset.Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return dataset.Digest{}, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return dataset.Digest{}, err
	}
	return dataset.Digest(h.Sum(nil)), nil
}

// Unchanged reports data that are not those that were accepted.
func (a Artefact) Unchanged(d *dataset.Dataset) error {
	if Sum(d) != a.SHA256 {
		return fmt.Errorf("%s is not what was accepted: its records were changed since", a.Path)
	}
	return nil
}

// UnchangedFile reports a file that is not the one that was accepted.
func (s *State) UnchangedFile(a Artefact) error {
	sum, err := fileSum(s.Path(a))
	if err == nil && sum != a.SHA256 {
		err = fmt.Errorf("%s is not what was accepted: the file was changed since", s.Path(a))
	}
	return err
}

// Encode writes the state.
func (s *State) Encode() ([]byte, error) {
	text, err := json.MarshalIndent(s, "", "  ")
	return append(text, '\n'), err
}
