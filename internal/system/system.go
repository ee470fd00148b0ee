// Package system reads assay.yaml, in which the owner of an AI system describes it:
// what it is and in which circumstances it runs, its models and data, what could go
// wrong, which solutions are to prevent that, and which goals they are held to. A
// description is refused unless all of it makes sense by itself; what needs the
// models, the data or the catalogue to be open is for those who open them, who find the
// line to name by Where.
package system

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"assay"
	"assay/internal/strict"
)

//go:generate go run ./jsonschema

// FileName is what the file is called, unless its user says otherwise.
const FileName = "assay.yaml"

// System is an AI system as its owner describes it.
type System struct {
	// Version is the version of this format: 1.
	Version int `yaml:"version" check:"required min=1 max=1"`
	// About tells what the system is.
	About About `yaml:"system" check:"required"`
	// Circumstances are where the system runs and who may attack it.
	Circumstances Circumstances `yaml:"circumstances"`
	// Risks are what could go wrong, from the owner's assessment of risks.
	Risks []Risk `yaml:"risks"`
	// Models are the models of the system, and what they are compared with.
	Models []Model `yaml:"models"`
	// Data are the data that models are tested on, and those they were made from.
	Data []Data `yaml:"data"`
	// Endpoints are models behind a network interface.
	Endpoints []Endpoint `yaml:"endpoints"`
	// Solutions are the measures that are to achieve goals.
	Solutions []Solution `yaml:"solutions"`
	// Goals are what is decided: whether a solution achieves a goal of the catalogue.
	Goals []Goal `yaml:"goals"`
	// Exclusions are the cells of the matrix that are left out, for a reason that somebody approved.
	Exclusions []Exclusion `yaml:"exclusions"`
	// Records are documents that show what the organization does.
	Records []Record `yaml:"records"`
	// Catalogues are files of the user's own that add to the catalogue or replace parts of it.
	Catalogues []string `yaml:"catalogues"`
	// Seed fixes everything that is drawn at random.
	Seed uint64 `yaml:"seed"`

	folder   string
	document *strict.Document
}

// Open reads a description, as Decode does.
func Open(path string) (*System, error) {
	data, err := read(path, strict.MaxBytes+1)
	if err != nil {
		return nil, assay.WithCode(assay.CodeInput, err)
	}
	return Decode(data, path)
}

func read(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there: write one with assay init, or name another file", path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// Decode reads a description from the content of the file at path, to whose folder
// the paths in it are relative. Files that it names must be there. An error is of
// the code assay.CodeInput and holds a *strict.Error with all mistakes.
func Decode(data []byte, path string) (*System, error) {
	s := &System{folder: filepath.Dir(path)}
	s.document = strict.Decode(path, data, s, Sets())
	s.complete()
	if err := s.check(); err != nil {
		return nil, assay.WithCode(assay.CodeInput, err)
	}
	if err := s.document.Err(); err != nil {
		return nil, assay.WithCode(assay.CodeInput, err)
	}
	return s, nil
}

// complete fills in what was left out, and where each part is.
func (s *System) complete() {
	for i := range s.Models {
		s.Models[i].At = fmt.Sprintf("models[%d]", i)
	}
	for i := range s.Endpoints {
		s.Endpoints[i].At = fmt.Sprintf("endpoints[%d]", i)
	}
	for i := range s.Data {
		d := &s.Data[i]
		d.At, d.Role = fmt.Sprintf("data[%d]", i), cmp.Or(d.Role, Test)
	}
	for i := range s.Solutions {
		t := &s.Solutions[i]
		t.At, t.Kind = fmt.Sprintf("solutions[%d]", i), cmp.Or(t.Kind, assay.Technical)
	}
	for i := range s.Goals {
		s.Goals[i].At = fmt.Sprintf("goals[%d]", i)
	}
}

// Case is one thing to decide: whether a solution achieves a goal.
type Case struct {
	Goal     *Goal
	Solution *Solution
	Model    *Model // nil for an organizational solution
	Without  *Model // nil where there is nothing to compare with
	Data     *Data  // nil where none are named
}

// Cases gives what is to be decided, in the order of the goals.
func (s *System) Cases() []Case {
	models, solutions, data := index(s.Models, modelName), index(s.Solutions, solutionName), index(s.Data, dataName)
	cases := make([]Case, len(s.Goals))
	for i := range s.Goals {
		g := &s.Goals[i]
		t := solutions[g.Solution]
		cases[i] = Case{g, t, models[t.Model], models[t.Without], data[g.Data]}
	}
	return cases
}

// Endpoint gives the endpoint of a model, nil where it is a file.
func (s *System) Endpoint(m *Model) *Endpoint {
	return index(s.Endpoints, endpointName)[m.Endpoint]
}

// Where gives the place of a field in the file, such as models[0].file, or of what it
// would be in.
func (s *System) Where(path string) strict.Position { return s.document.Where(path) }

// Mistake makes an error of what was found to be wrong with a field only later, such
// as a model that does not fit the data.
func (s *System) Mistake(path, format string, args ...any) error {
	m := strict.Mistake{Position: s.Where(path), Path: path, Message: fmt.Sprintf(format, args...)}
	return assay.WithCode(assay.CodeInput, &strict.Error{Mistakes: []strict.Mistake{m}})
}
