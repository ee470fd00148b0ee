// Command reportschema writes the JSON Schema of the report, docs/report.schema.json,
// to the file named. It is made of the types, and its descriptions of their comments.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"assay"
	"assay/internal/criteria"
	"assay/internal/report"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: reportschema FILE")
		os.Exit(2)
	}
	text, err := schema()
	if err == nil {
		err = os.WriteFile(os.Args[1], text, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// schema renders the schema of report.Document.
func schema() ([]byte, error) {
	s, err := jsonschema.For[report.Document](&jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[assay.Vulnerability](): oneOf(assay.Vulnerabilities()),
		reflect.TypeFor[assay.Function]():      oneOf(assay.Functions()),
		reflect.TypeFor[assay.Outcome]():       oneOf(assay.Outcomes()),
		reflect.TypeFor[assay.Relation]():      oneOf(assay.Relations()),
		reflect.TypeFor[assay.Modality]():      oneOf(assay.Modalities()),
		reflect.TypeFor[assay.Level]():         oneOf(assay.Levels()),
		reflect.TypeFor[assay.Stage]():         oneOf(assay.Stages()),
		reflect.TypeFor[assay.Kind]():          oneOf(assay.Kinds()),
		reflect.TypeFor[assay.Cell]():          oneOf(assay.Cells()),
		reflect.TypeFor[report.CellState]():    oneOf(report.CellStates()),
		reflect.TypeFor[criteria.Rule]():       oneOf([]criteria.Rule{criteria.Fixed, criteria.Sequential, criteria.Census}),
		reflect.TypeFor[time.Time]():           {Type: "string", Format: "date-time"},
		reflect.TypeFor[[]byte]():              {Type: "string", ContentEncoding: "base64"},
	}})
	if err != nil {
		return nil, err
	}
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "Report of an assessment, " + report.Version
	s.Properties["schema"].Const = jsonschema.Ptr[any](report.Version)
	said, err := comments()
	if err != nil {
		return nil, err
	}
	finish(s, reflect.TypeFor[report.Document](), said)
	text, err := json.MarshalIndent(s, "", "  ")
	return append(text, '\n'), err
}

// oneOf is the schema of a closed set.
func oneOf[T any](all []T) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, name := range all {
		s.Enum = append(s.Enum, fmt.Sprint(name))
	}
	return s
}

// finish adds the comments to a type's schema, and takes away null where Write never
// writes it: lists are empty, and what is optional is absent.
func finish(s *jsonschema.Schema, t reflect.Type, said map[string]string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if slices.Contains(s.Types, "array") {
		s.Type, s.Types = "array", nil
	}
	switch {
	case s.Items != nil:
		finish(s.Items, t.Elem(), said)
	case s.Properties != nil:
		if s.Description == "" {
			s.Description = said[name(t)]
		}
		for _, f := range reflect.VisibleFields(t) {
			key := jsonName(f)
			p := s.Properties[key]
			if f.Anonymous || p == nil {
				continue
			}
			owner := t
			if len(f.Index) > 1 {
				owner = t.FieldByIndex(f.Index[:len(f.Index)-1]).Type
			}
			if !slices.Contains(s.Required, key) && len(p.Types) > 0 {
				p.Type, p.Types = p.Types[len(p.Types)-1], nil
			}
			p.Description = said[name(owner)+"."+f.Name]
			finish(p, f.Type, said)
		}
	}
}
