package strict

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Describe gives the description of a field of a struct, by its name in Go; empty for none.
type Describe func(t reflect.Type, field string) string

// Schema gives the JSON Schema (draft 2020-12) of what Decode takes for a type, but for
// what only the types' own readers of text know. Encoded as JSON it is
// the same at every call.
func Schema(t reflect.Type, sets Sets, describe Describe) map[string]any {
	s := &schema{sets: sets, describe: describe, definitions: map[string]any{}, named: map[string]reflect.Type{}}
	root := maps.Clone(s.group(t))
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$defs"] = s.definitions
	return root
}

type schema struct {
	sets        Sets
	describe    Describe
	definitions map[string]any
	named       map[string]reflect.Type
}

func (s *schema) group(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, f := range fields(t) {
		p := s.value(f.typ, f.rules)
		if text := s.describe(f.owner, f.in); text != "" {
			p["description"] = text
		}
		properties[f.name] = p
		if f.rules.required {
			required = append(required, f.name)
		}
	}
	out := map[string]any{"type": "object", "additionalProperties": false, "minProperties": 1, "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

func (s *schema) value(t reflect.Type, r rules) map[string]any {
	if t.Kind() == reflect.Pointer {
		return s.value(t.Elem(), r)
	}
	if names, ok := s.sets[t]; ok {
		return map[string]any{"enum": slices.Clone(names)}
	}
	if readsText(t) {
		out := map[string]any{"type": "string", "pattern": `\S`}
		if p, ok := reflect.Zero(t).Interface().(patterned); ok {
			out["pattern"] = p.Pattern()
		}
		return out
	}
	switch t.Kind() {
	case reflect.Struct:
		if text, group, ok := forms(t); ok {
			return map[string]any{"oneOf": []any{s.value(text.Type, r), s.value(group.Type, r)}}
		}
		return s.reference(t)
	case reflect.Slice:
		return map[string]any{"type": "array", "minItems": 1, "items": s.value(t.Elem(), r)}
	case reflect.Array:
		return map[string]any{"type": "array", "minItems": t.Len(), "maxItems": t.Len(), "items": s.value(t.Elem(), r)}
	case reflect.String:
		if r.name {
			return map[string]any{"type": "string", "pattern": namePattern}
		}
		return map[string]any{"type": "string", "pattern": `\S`}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	}
	return number(t, r)
}

// reference defines a struct once, under its name. Two of one name are a fault of the program.
func (s *schema) reference(t reflect.Type) map[string]any {
	name := t.Name()
	switch known := s.named[name]; known {
	case t:
	case nil:
		s.named[name] = t // before its fields: a type within itself ends here
		s.definitions[name] = s.group(t)
	default:
		panic(fmt.Sprintf("%s and %s have one name", known, t))
	}
	return map[string]any{"$ref": "#/$defs/" + name}
}

func number(t reflect.Type, r rules) map[string]any {
	out := map[string]any{"type": "number"}
	if v := reflect.Zero(t); !v.CanFloat() {
		out["type"], out["minimum"], out["maximum"] = "integer", -maxWhole, maxWhole
		if v.CanUint() {
			out["minimum"] = 0
		}
	}
	for key, limit := range map[string]*float64{"minimum": r.min, "maximum": r.max, "exclusiveMinimum": r.above, "exclusiveMaximum": r.below} {
		if limit != nil {
			out[key] = *limit
		}
	}
	return out
}
