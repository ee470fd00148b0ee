package report

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"assay"
	"assay/internal/criteria"
)

// Check says what is wrong with a document, so that renderers need not ask: numbers
// must be finite (JSON has no others, and nothing can be drawn of them), names of
// closed sets known, ids unique, and every reference to one must lead somewhere.
func (d *Document) Check() error {
	var wrong []error
	add := func(format string, a ...any) { wrong = append(wrong, fmt.Errorf(format, a...)) }
	if d.Schema != Version {
		add("the schema is %q: this program writes and reads %q", d.Schema, Version)
	}
	walk("", reflect.ValueOf(d).Elem(), func(path string, v reflect.Value) {
		if v.CanFloat() && (math.IsNaN(v.Float()) || math.IsInf(v.Float(), 0)) {
			add("%s is %v: it must be a finite number, or absent", path, v.Float())
		}
		if text := known(v); text != "" {
			add("%s: %s", path, text)
		}
	})
	tests, decisions := map[string]bool{}, map[string]bool{}
	for i, t := range d.Tests {
		if t.ID == "" || tests[t.ID] {
			add("tests[%d].id is %q: an id is unique and not empty", i, t.ID)
		}
		tests[t.ID] = true
	}
	for i, e := range d.Decisions {
		if e.ID == "" || decisions[e.ID] {
			add("decisions[%d].id is %q: an id is unique and not empty", i, e.ID)
		}
		decisions[e.ID] = true
		if e.Goal == "" {
			add("decisions[%d].goal is empty: a decision is on a goal", i)
		}
		if e.Test != "" && !tests[e.Test] {
			add("decisions[%d].test is %q: there is no such test", i, e.Test)
		}
	}
	for i, c := range d.Matrix {
		for _, id := range c.Decisions {
			if !decisions[id] {
				add("matrix[%d].decisions has %q: there is no such decision", i, id)
			}
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("the report cannot be written or read: %w", errors.Join(wrong...))
	}
	return nil
}

// known says what is wrong with the name of a closed set.
func known(v reflect.Value) string {
	if !v.CanInterface() {
		return ""
	}
	switch name := v.Interface().(type) {
	case assay.Outcome:
		return member("outcome", name, assay.Outcomes())
	case assay.Relation:
		return member("relation", name, assay.Relations())
	case CellState:
		return member("state", name, CellStates())
	case assay.Vulnerability:
		return member("vulnerability", name, assay.Vulnerabilities())
	case assay.Function:
		return member("function", name, assay.Functions())
	case assay.Modality:
		return member("modality", name, assay.Modalities())
	case assay.Level:
		return member("level", name, assay.Levels())
	case assay.Stage:
		return member("stage", name, assay.Stages())
	case assay.Kind:
		return member("kind", name, assay.Kinds())
	case Scale:
		return member("scale", name, []Scale{"", Logarithmic})
	case criteria.Rule:
		return member("rule of sampling", name, []criteria.Rule{criteria.Fixed, criteria.Sequential, criteria.Census})
	}
	return ""
}

func member[T ~string](set string, name T, all []T) string {
	if slices.Contains(all, name) {
		return ""
	}
	return fmt.Sprintf("%q is no %s", name, set)
}

// walk visits every value within v, and names it as JSON does.
func walk(path string, v reflect.Value, visit func(path string, v reflect.Value)) {
	visit(path, v)
	if v.Type() == reflect.TypeFor[time.Time]() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			walk(path, v.Elem(), visit)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			walk(fmt.Sprintf("%s[%d]", path, i), v.Index(i), visit)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name == "" {
				name = field.Name
			}
			inner := strings.TrimPrefix(path+"."+name, ".")
			if field.Anonymous {
				inner = path
			}
			walk(inner, v.Field(i), visit)
		}
	}
}
