package system

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v4"

	"assay"
	"assay/internal/strict"
)

const complete = "testdata/complete/assay.yaml"

// descriptions use every field together: of rows, of texts and of training data.
var descriptions = []string{complete, "testdata/texts/assay.yaml", "testdata/training/assay.yaml"}

// mutation is a description of which one place is wrong.
type mutation struct {
	file       string // that was right
	path, kind string
	text       []byte
	at         []strict.Position // where the mistake may be: at the value, or what is in it
}

// Texts that mean nothing to Assay, so that any other will do.
var freeText = regexp.MustCompile(`^system\.(name|provider|description|intended-use|contact)$|annex-iii\[|\.(harm|owner|reason|approved-by|training|licence|supplier|identity|scores|description|missing)$` +
	`|classes\[|\.columns\[|\.drop\[|categories\[|detector\.output$|\.sources\.column$|\.allowed\[\d+\]\.name$|^data\[\d+\]\.(text|label)$|^endpoints.*\.(model|version|signature|input|output|request|prefix|environment)$`)

// Texts of which the schema knows no more than that they are texts.
var readElsewhere = regexp.MustCompile(`relations\[|\.timeout$|\.retry\.`)

// Numbers that may be as large as they like.
var unlimited = regexp.MustCompile(`\.rate\.|endpoints.*\.range`)

// Numbers that may be negative.
var signed = regexp.MustCompile(`\.range\[0\]$|\.min$|\.threshold$`)

var mutations = sync.OnceValue(func() (all []mutation) {
	for _, file := range descriptions {
		text, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		for _, m := range mutate(text) {
			m.file = file
			all = append(all, m)
		}
	}
	return all
})

// mutate makes every place of a description wrong in every way that applies to it.
func mutate(text []byte) []mutation {
	var root yaml.Node
	if err := yaml.Load(text, &root); err != nil {
		panic(err)
	}
	var out []mutation
	try := func(path, kind string, n *yaml.Node, wrong yaml.Node) {
		right := *n
		*n = wrong
		out = append(out, write(&root, path, kind))
		*n = right
	}
	tries := map[string]map[string]string{}
	walk(root.Content[0], "", func(path string, n *yaml.Node) { tries[path] = wrongs(path, n) }) // while nodes have their tags: writing takes them away
	walk(root.Content[0], "", func(path string, n *yaml.Node) {
		for kind, wrong := range tries[path] {
			try(path, kind, n, parse(wrong))
		}
		if n.Kind != yaml.MappingNode {
			return
		}
		right := n.Content
		n.Content = append(slices.Clone(right), scalar("nonsense"), scalar("nonsense"))
		m := write(&root, path, "unknown field")
		m.at = m.at[len(m.at)-1:]
		out = append(out, m)
		n.Content = append(slices.Clone(right), right[0], right[1])
		m = write(&root, path, "a field twice")
		m.at = m.at[len(m.at)-1:]
		out = append(out, m)
		for i := 0; i < len(right); i += 2 {
			if required(path, right[i].Value) {
				n.Content = slices.Delete(slices.Clone(right), i, i+2)
				m := write(&root, path, "without "+right[i].Value)
				out = append(out, m)
			}
		}
		n.Content = right
	})
	return out
}

// wrongs gives values that are wrong at a place.
func wrongs(path string, n *yaml.Node) map[string]string {
	out := map[string]string{"empty list": "[]", "empty group": "{}", "null": "~", "NaN": ".nan", "infinite": "-.inf", "empty": `""`, "true": "true"}
	if n.Kind != yaml.MappingNode && !strings.HasSuffix(path, ".schema") {
		out["group"] = "{nonsense: 1}"
	}
	if n.Kind != yaml.SequenceNode {
		out["list"] = "[[1]]"
	}
	if !signed.MatchString(path) {
		out["negative"] = "-1"
	}
	number := n.Kind == yaml.ScalarNode && (n.ShortTag() == "!!int" || n.ShortTag() == "!!float")
	if number {
		if !unlimited.MatchString(path) {
			out["huge"] = "1e300"
		}
		out["text"] = `"1"`
	}
	if !freeText.MatchString(path) && !(n.Kind == yaml.ScalarNode && strings.HasPrefix(path, "data[0].schema") && strings.HasSuffix(path, ".name")) {
		out["no such name"] = `"no such thing?"`
	}
	if n.ShortTag() == "!!bool" {
		delete(out, "true")
	}
	return out
}

// required tells the fields without which a description says nothing of use.
func required(path, field string) bool {
	fields := map[string]string{
		"": "version system", "system": "name stage modality risk", "risks": "id vulnerability level harm", "models": "name file endpoint", "endpoints": "name protocol url", "data": "name file", "models.signature": "file key roots", "models.detector": "file threshold fpr calibration", "models.recipe": "data", "data.signature": "file key roots",
		"solutions": "name cells", "goals": "goal solution data reason", "exclusions": "cell reason approved-by date",
		"records": "name file cells owner date", "goals.criterion.costs": "metric relation limit",
	}
	path = regexp.MustCompile(`\[\d+\]`).ReplaceAllString(path, "")
	return slices.Contains(strings.Fields(fields[path]), field)
}

func walk(n *yaml.Node, path string, visit func(string, *yaml.Node)) {
	visit(path, n)
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			walk(n.Content[i+1], strings.TrimPrefix(path+"."+n.Content[i].Value, "."), visit)
		}
	case yaml.SequenceNode:
		for i, e := range n.Content {
			walk(e, path+"["+strconv.Itoa(i)+"]", visit)
		}
	}
}

func scalar(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

func parse(text string) yaml.Node {
	var n yaml.Node
	if err := yaml.Load([]byte(text), &n); err != nil {
		panic(err)
	}
	return *n.Content[0]
}

// write writes a description, and finds where the place at a path has come to be.
func write(root *yaml.Node, path, kind string) mutation {
	text, err := yaml.Dump(root)
	if err != nil {
		panic(err)
	}
	m := mutation{path: path, kind: kind, text: text}
	written := parse(string(text))
	walk(&written, "", func(p string, n *yaml.Node) {
		if strings.HasPrefix(path, "endpoints") && strings.HasPrefix(path, p+"[") && n.Kind == yaml.SequenceNode {
			m.at = append(m.at, strict.Position{Line: n.Line, Column: n.Column}) // the endpoint's own checks are of whole lists
		}
		if p != path {
			return
		}
		m.at = append(m.at, strict.Position{Line: n.Line, Column: n.Column})
		if n.Value == "no such thing?" {
			m.at = append(m.at, strict.Position{Line: n.Line, Column: n.Column + len("'no ")}) // of a relation
		}
		for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
			m.at = append(m.at, strict.Position{Line: n.Content[i].Line, Column: n.Content[i].Column})
		}
	})
	if len(m.at) == 0 {
		panic(path + " is not in the mutated text")
	}
	return m
}

// TestMutations makes each field wrong in each way: there must be a sentence with the
// line and column of that place.
func TestMutations(t *testing.T) {
	t.Parallel()
	tried := map[string]int{}
	for _, m := range mutations() {
		tried[m.kind]++
		_, err := Decode(m.text, m.file)
		var wrong *strict.Error
		if !errors.As(err, &wrong) || assay.CodeOf(err) != assay.CodeInput {
			t.Errorf("%s, %s: the error is %v", m.path, m.kind, err)
			continue
		}
		found := slices.ContainsFunc(wrong.Mistakes, func(w strict.Mistake) bool {
			return w.File == m.file && len(w.Message) > 10 && slices.Contains(m.at, strict.Position{Line: w.Line, Column: w.Column})
		})
		if !found {
			t.Errorf("%s, %s: no mistake is at %v:\n%v", m.path, m.kind, m.at, err)
		}
	}
	t.Logf("%d mutations: %v", len(mutations()), tried)
	if len(mutations()) < 1000 || len(tried) < 15 {
		t.Errorf("only %d mutations of %d kinds", len(mutations()), len(tried))
	}
}

// TestEveryField fails when a field is not in the complete description, so that its
// mutations are not tried.
func TestEveryField(t *testing.T) {
	there := map[string]bool{}
	for _, file := range descriptions {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		root := parse(string(text))
		walk(&root, "", func(path string, _ *yaml.Node) {
			there[regexp.MustCompile(`\[\d+\]`).ReplaceAllString(path, "")] = true
		})
	}
	var schema map[string]any
	if err := json.Unmarshal(published(t), &schema); err != nil {
		t.Fatal(err)
	}
	definitions := schema["$defs"].(map[string]any)
	fields := 0
	var visit func(path string, s map[string]any)
	visit = func(path string, s map[string]any) {
		if reference, ok := s["$ref"].(string); ok {
			s = definitions[filepath.Base(reference)].(map[string]any)
		}
		if items, ok := s["items"].(map[string]any); ok {
			visit(path, items)
		}
		alternatives, _ := s["oneOf"].([]any)
		for _, one := range alternatives {
			visit(path, one.(map[string]any))
		}
		properties, _ := s["properties"].(map[string]any)
		for name, property := range properties {
			fields++
			field := strings.TrimPrefix(path+"."+name, ".")
			if !there[field] {
				t.Errorf("the complete description has no %s", field)
			}
			if _, ok := property.(map[string]any)["description"]; !ok && !strings.Contains(field, "schema") && !strings.Contains(field, "endpoints") {
				t.Errorf("%s has no description", field)
			}
			visit(field, property.(map[string]any))
		}
	}
	visit("", schema)
	t.Logf("%d fields", fields)
	if fields < 100 {
		t.Errorf("only %d fields", fields)
	}
}

func published(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "assay.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestSchemaAgrees compares what the JSON Schema and the decoder say of the structure.
// What only the readers of texts know, such as a relation's syntax, is beyond the schema.
func TestSchemaAgrees(t *testing.T) {
	t.Parallel()
	var s jsonschema.Schema
	if err := json.Unmarshal(published(t), &s); err != nil {
		t.Fatal(err)
	}
	schema, err := s.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Clone(mutations())
	examples, err := filepath.Glob(filepath.Join("..", "..", "examples", "*", FileName))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(slices.Clone(descriptions), examples...) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, mutation{path: path, text: text})
	}
	accepted, refused := 0, 0
	for _, m := range all {
		if m.kind == "NaN" || m.kind == "infinite" || m.kind == "a field twice" || readElsewhere.MatchString(m.path) && m.kind == "no such name" {
			continue // JSON knows no such numbers and fields
		}
		n := parse(string(m.text))
		wrong := schema.Validate(value(t, &n))
		mistakes := strict.Decode(complete, m.text, &System{}, Sets()).Err()
		if (wrong == nil) != (mistakes == nil) {
			t.Errorf("%s, %s: the schema says %v, the decoder %v", m.path, m.kind, wrong, mistakes)
		}
		if mistakes == nil {
			accepted++
		} else {
			refused++
		}
	}
	t.Logf("%d accepted, %d refused", accepted, refused)
	if accepted < 10 || refused < 500 {
		t.Errorf("only %d accepted and %d refused", accepted, refused)
	}
}

// value gives a YAML value as JSON has it. A date is text there.
func value(t *testing.T, n *yaml.Node) any {
	t.Helper()
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			out[n.Content[i].Value] = value(t, n.Content[i+1])
		}
		return out
	case yaml.SequenceNode:
		out := []any{}
		for _, e := range n.Content {
			out = append(out, value(t, e))
		}
		return out
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		v, err := strconv.ParseFloat(n.Value, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	case "!!bool":
		return n.Value == "true"
	case "!!null":
		return nil
	}
	return fmt.Sprint(n.Value)
}
