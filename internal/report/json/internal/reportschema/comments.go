package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// comments reads what the sources say of the types in a report and of their fields,
// by name: "report.Test" and "report.Test.Model".
func comments() (map[string]string, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	said := map[string]string{}
	for _, folder := range []string{"internal/report", "internal/criteria"} {
		files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("there are no sources in %s", folder)
		}
		for _, path := range files {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err != nil {
				return nil, err
			}
			collect(file, said)
		}
	}
	return said, nil
}

func collect(file *ast.File, said map[string]string) {
	for _, declaration := range file.Decls {
		types, ok := declaration.(*ast.GenDecl)
		if !ok || types.Tok != token.TYPE {
			continue
		}
		for _, spec := range types.Specs {
			t := spec.(*ast.TypeSpec)
			name := file.Name.Name + "." + t.Name.Name
			said[name] = text(types.Doc)
			fields, ok := t.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range fields.Fields.List {
				for _, n := range f.Names {
					said[name+"."+n.Name] = strings.TrimSpace(text(f.Doc) + " " + text(f.Comment))
				}
			}
		}
	}
}

func text(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

// name is how comments are found by type.
func name(t reflect.Type) string { return t.String() }

func jsonName(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return key
}

// moduleRoot is the folder of go.mod, from which this program or its test runs somewhere below.
func moduleRoot() (string, error) {
	at, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		up := filepath.Dir(at)
		if up == at {
			return "", errors.New("no go.mod above this folder: run it within the repository")
		}
		at = up
	}
}
