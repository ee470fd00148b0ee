package bom

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"assay/internal/evidence"
	"assay/internal/system"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

func take(t *testing.T, now time.Time) *Inventory {
	t.Helper()
	s, err := system.Open("../../examples/digits/assay.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s.Data = append(s.Data, system.Data{At: "data[1]", Name: "trained on", File: "digits.csv.gz", Role: system.Training, Licence: "CC-BY-4.0"})
	inv, err := Take(s, evidence.DigestFile, "assay", "1.2.3", now)
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func written(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestSameBytes(t *testing.T) {
	a, b, later := take(t, noon), take(t, noon), take(t, noon.Add(time.Hour))
	for name, of := range map[string]func(*Inventory) func(io.Writer) error{
		"CycloneDX": func(i *Inventory) func(io.Writer) error { return i.CycloneDX },
		"SPDX":      func(i *Inventory) func(io.Writer) error { return i.SPDX },
	} {
		if written(t, of(a)) != written(t, of(b)) {
			t.Errorf("%s: the same system and time gave other bytes", name)
		}
		if written(t, of(a)) == written(t, of(later)) {
			t.Errorf("%s: an hour later it gave the same bytes", name)
		}
	}
}

// TestCycloneDX holds a BOM against the schema that the library has in its module.
func TestCycloneDX(t *testing.T) {
	text := written(t, take(t, noon).CycloneDX)
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	for _, name := range []string{"bom-1.6.schema.json", "spdx.schema.json", "jsf-0.82.schemax.json"} {
		addSchema(t, c, filepath.Join(strings.TrimSpace(string(dir)), "schema", name), "http://cyclonedx.org/schema/"+strings.Replace(name, "schemax", "schema", 1))
	}
	schema, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	hold(t, schema, text)
	if err := schema.Validate(value(t, strings.Replace(text, "machine-learning-model", "no-such-type", 1))); err == nil {
		t.Error("the schema refuses nothing")
	}
	var b struct {
		Components []struct {
			Type, Name string
			Hashes     []struct{ Content string }
			Licenses   []struct{ Expression string }
			ModelCard  struct {
				ModelParameters struct {
					ModelArchitecture string
					Datasets          []struct{ Ref string }
				}
			}
			ExternalReferences []struct{ URL string }
		}
	}
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		t.Fatal(err)
	}
	if len(b.Components) != 5 {
		t.Fatalf("%d components", len(b.Components))
	}
	m := b.Components[1]
	_, sum, err := evidence.DigestFile("../../examples/digits/models/hardened.onnx")
	if err != nil || m.Name != "hardened" || m.Hashes[0].Content != sum || m.Licenses[0].Expression != "CC-BY-4.0" || m.ModelCard.ModelParameters.Datasets[0].Ref != "data-trained on" ||
		!strings.Contains(m.ModelCard.ModelParameters.ModelArchitecture, "3 Conv") || m.ExternalReferences[0].URL != "models/hardened.onnx.sig" {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestSPDX looks at what the specification demands of a document, and holds it against the published schema
// where that is at hand: https://spdx.org/schema/3.0.1/spdx-json-schema.json.
func TestSPDX(t *testing.T) {
	text := written(t, take(t, noon).SPDX)
	var d struct {
		Graph []map[string]any `json:"@graph"`
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	ids, kinds := map[string]bool{creation: true}, map[string]int{}
	for _, o := range d.Graph {
		kinds[o["type"].(string)]++
		if id, ok := o["spdxId"].(string); ok {
			if ids[id] {
				t.Errorf("%s is there twice", id)
			}
			ids[id] = true
		}
	}
	for kind, n := range map[string]int{"CreationInfo": 1, "SpdxDocument": 1, "ai_AIPackage": 3, "dataset_DatasetPackage": 2, "software_Package": 1, "Tool": 1, "simplelicensing_LicenseExpression": 1, "Organization": 2} {
		if kinds[kind] != n {
			t.Errorf("%d of %s, not %d", kinds[kind], kind, n)
		}
	}
	relations := map[string]int{}
	for _, o := range d.Graph {
		if o["type"] != "Relationship" {
			continue
		}
		relations[o["relationshipType"].(string)]++
		for _, id := range append(o["to"].([]any), o["from"]) {
			if !ids[id.(string)] {
				t.Errorf("%v leads nowhere", id)
			}
		}
	}
	if relations["trainedOn"] != 3 || relations["testedOn"] != 3 || relations["contains"] != 1 || relations["hasDeclaredLicense"] != 3 {
		t.Errorf("%v", relations)
	}
	path := os.Getenv("ASSAY_SPDX_SCHEMA")
	if path == "" {
		t.Log("ASSAY_SPDX_SCHEMA names no copy of the published schema, so the document is not held against it")
		return
	}
	c := jsonschema.NewCompiler()
	addSchema(t, c, path, "spdx.json")
	schema, err := c.Compile("spdx.json")
	if err != nil {
		t.Fatal(err)
	}
	hold(t, schema, text)
	if err := schema.Validate(value(t, strings.Replace(text, `"trainedOn"`, `"likes"`, 1))); err == nil {
		t.Error("the schema refuses nothing")
	}
}

func addSchema(t *testing.T, c *jsonschema.Compiler, path, address string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lookahead := strings.NewReplacer(`^(?!_:).+:.+`, `^([^_]|_[^:]).*:.+`) // which Go's expressions do not have
	if err := c.AddResource(address, value(t, lookahead.Replace(string(text)))); err != nil {
		t.Fatal(err)
	}
}

func value(t *testing.T, text string) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func hold(t *testing.T, schema *jsonschema.Schema, text string) {
	t.Helper()
	if err := schema.Validate(value(t, text)); err != nil {
		t.Errorf("%v", err)
	}
}
