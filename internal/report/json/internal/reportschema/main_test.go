package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"assay/internal/report/json"
	"assay/internal/report/reporttest"
)

const published = "../../../../../docs/report.schema.json"

func TestSchemaIsFresh(t *testing.T) {
	got, err := os.ReadFile(published)
	if err != nil {
		t.Fatal(err)
	}
	want, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/report.schema.json is stale: run go generate ./internal/report/json")
	}
	if n := bytes.Count(got, []byte(`"description": "`)); n < 60 {
		t.Errorf("%d descriptions: the comments were not found", n)
	}
}

// TestDocuments holds written reports against the published schema, by a validator
// that did not make it.
func TestDocuments(t *testing.T) {
	s, err := jsonschema.NewCompiler().Compile(published)
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range reporttest.All() {
		var file bytes.Buffer
		if err := json.Write(&file, d); err != nil {
			t.Fatal(err)
		}
		text := file.String()
		if err := validate(s, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for what, spoilt := range map[string]string{
			"another schema":     strings.Replace(text, `"assay-report/1"`, `"assay-report/2"`, 1),
			"an unknown field":   strings.Replace(text, `"run":`, `"more": 1, "run":`, 1),
			"a missing field":    strings.Replace(text, `"run":`, `"extra":`, 1),
			"a null list":        strings.Replace(text, `"tests": [`, `"tests": null, "statements": [`, 1),
			"an unknown state":   strings.Replace(text, `"state": "`, `"state": "half-`, 1),
			"an unknown stage":   strings.Replace(text, `"stage": "`, `"stage": "pre-`, 1),
			"a number as string": strings.Replace(text, `"cell": "data-poisoning/prevent"`, `"cell": 1`, 1),
		} {
			if err := validate(s, spoilt); err == nil {
				t.Errorf("%s: %s is valid", name, what)
			}
		}
	}
}

func validate(s *jsonschema.Schema, text string) error {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(value)
}
