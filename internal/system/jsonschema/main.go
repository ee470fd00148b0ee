// Command jsonschema writes docs/assay.schema.json, the JSON Schema of assay.yaml for
// editors. What a field must be comes from the Go types that read the file, and its
// description from the comment there.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"assay/internal/strict"
	"assay/internal/system"
)

// file is where the schema is, from the repository's root.
const file = "docs/assay.schema.json"

func main() {
	root := "../.." // of internal/system, where go generate runs
	schema, err := generate(root)
	if err == nil {
		err = os.WriteFile(filepath.Join(root, file), schema, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// generate makes the schema from the source in the repository at root.
func generate(root string) ([]byte, error) {
	c := &comments{root: root, packages: map[string]map[string]string{}}
	schema := strict.Schema(reflect.TypeFor[system.System](), system.Sets(), c.describe)
	schema["title"] = "assay.yaml"
	schema["description"] = "An AI system under assessment, as its owner describes it."
	if c.err != nil {
		return nil, c.err
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(schema)
	return out.Bytes(), err
}

// comments reads the comments of structs' fields.
type comments struct {
	root     string
	packages map[string]map[string]string // by path, of each type.field
	err      error
}

func (c *comments) describe(t reflect.Type, field string) string {
	path := t.PkgPath()
	if _, ok := c.packages[path]; !ok {
		c.packages[path] = map[string]string{}
		if err := c.read(path); err != nil && c.err == nil {
			c.err = err
		}
	}
	text := c.packages[path][t.Name()+"."+field]
	if rest, ok := strings.CutPrefix(text, field+" "); ok { // readers know it by its name in the file
		f, _ := t.FieldByName(field)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		text = name + " " + rest
	}
	return text
}

func (c *comments) read(path string) error {
	_, folder, _ := strings.Cut(path, "/") // without the module's name
	sources, err := filepath.Glob(filepath.Join(c.root, folder, "*.go"))
	if err != nil || len(sources) == 0 {
		return fmt.Errorf("no source of %s: %w", path, err)
	}
	for _, source := range sources {
		f, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if s, ok := spec.Type.(*ast.StructType); ok {
					c.fields(path, spec.Name.Name, s)
				}
			}
			return true
		})
	}
	return nil
}

func (c *comments) fields(path, name string, s *ast.StructType) {
	for _, f := range s.Fields.List {
		text := f.Doc.Text()
		if text == "" {
			text = f.Comment.Text()
		}
		for _, field := range f.Names {
			c.packages[path][name+"."+field.Name] = strings.Join(strings.Fields(text), " ")
		}
	}
}
