// Package strict reads YAML that people write, and says of everything that is wrong
// with it where it is and what would be right: an unknown field with the nearest known
// one, a wrong type, a number out of range, a name that is none of its set. One
// declaration, a Go type with the tags yaml and check, is what files are read by and
// what the JSON Schema for editors is made from.
//
// Files are hostile until shown otherwise: the size is limited, aliases are refused
// (with them a small file can stand for a huge one), and nothing of a type that the
// target does not name is built.
package strict

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"

	"assay"
)

// Limits of what is read, far above what people write.
const (
	MaxBytes    = 1 << 20   // of a file
	maxElements = 1 << 16   // of a list
	maxWhole    = 1<<53 - 1 // a whole number that JSON keeps
)

// Decode reads one YAML document into a pointer to a struct. Fields that are not in the
// file stay as they are. The document is there even where mistakes are, which its Err
// gives, so that a caller can look for more.
func Decode(file string, data []byte, into any, sets Sets) *Document {
	d := &decoder{Document: &Document{file: file, places: map[string]Position{}}, sets: sets}
	if len(data) > MaxBytes {
		d.Fail("", "is larger than %d kB, which no file of this kind needs", MaxBytes>>10)
		return d.Document
	}
	var root yaml.Node
	if err := yaml.Load(data, &root); err != nil {
		d.syntax(err)
		return d.Document
	}
	n := &root
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	d.value(n, reflect.ValueOf(into).Elem(), "", rules{})
	return d.Document
}

type decoder struct {
	*Document
	sets Sets
}

// syntax notes that the file is no YAML.
func (d *decoder) syntax(err error) {
	at, message := Position{File: d.file}, err.Error()
	var e *yaml.LoadError
	if errors.As(err, &e) {
		at.Line, at.Column = e.Mark.Line, e.Mark.Column
		message = e.Message
	}
	message = strings.TrimPrefix(message, "yaml: ")
	d.failAt(at, "", "is not valid YAML: %s", short(message, 200))
}

func (d *decoder) at(n *yaml.Node) Position { return Position{d.file, n.Line, n.Column} }

// value reads a node into a value. What is wrong is noted, and the value left as it is.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string, r rules) {
	d.places[path] = d.at(n)
	switch {
	case n.Kind == yaml.AliasNode:
		d.Fail(path, "is an alias, and these are not followed: write the value out")
		return
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		d.Fail(path, "has no value: give one, or leave the field out")
		return
	case v.Kind() == reflect.Pointer:
		inner := reflect.New(v.Type().Elem())
		d.value(n, inner.Elem(), path, r)
		v.Set(inner)
		return
	}
	if names, ok := d.sets[v.Type()]; ok || readsText(v.Type()) {
		d.word(n, v, path, names)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if text, group, ok := forms(v.Type()); ok {
			if n.Kind == yaml.ScalarNode {
				d.value(n, v.FieldByIndex(text.Index), path, r)
			} else {
				d.value(n, v.FieldByIndex(group.Index), path, r)
			}
			return
		}
		d.group(n, v, path)
	case reflect.Slice, reflect.Array:
		d.list(n, v, path, r)
	case reflect.String:
		if text, ok := d.text(n, path); ok {
			if r.name && !isName.MatchString(text) {
				d.Fail(path, "%s is no name: use up to 64 letters, digits, dots, dashes and underscores, a letter or digit first", quote(text))
			}
			v.SetString(text)
		}
	case reflect.Bool:
		if n.ShortTag() != "!!bool" {
			d.Fail(path, "is %s: use true or false", describe(n))
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	default:
		d.number(n, v, path, r)
	}
}

// word reads a name of a set, or a text that its type reads itself.
func (d *decoder) word(n *yaml.Node, v reflect.Value, path string, names []string) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!timestamp" && names == nil {
		n.Tag = "!!str" // a date that is not in quotes is the text that it looks like
	}
	text, ok := d.text(n, path)
	if !ok {
		return
	}
	if names != nil && !slices.Contains(names, text) {
		d.Unknown(path, text, "is none of the known names", names)
		return
	}
	if !readsText(v.Type()) {
		v.SetString(text)
		return
	}
	err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	if err == nil {
		return
	}
	at := d.at(n)
	var within interface{ Offset() int }
	if errors.As(err, &within) && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
		at.Column += within.Offset()
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			at.Column++
		}
	}
	d.failAt(at, path, "%s", short(err.Error(), 400))
}

// Unknown notes that a text is none of the names that it should be one of.
func (d *Document) Unknown(path, text, problem string, names []string) {
	if d.Full() {
		d.more++
		return
	}
	d.Fail(path, "%s %s%s", quote(text), problem, hint(text, names))
}

// hint tells the nearest name, and which there are if they are few.
func hint(text string, names []string) string {
	nearest, out := assay.Nearest(text, names), ""
	if nearest != "" {
		out = fmt.Sprintf(": did you mean %s?", nearest)
	}
	const few, many = 10, 32
	switch n := len(names); {
	case n > 0 && n <= many && nearest == "":
		out = ": use " + short(strings.Join(names, ", "), 600)
	case n > 0 && n <= few:
		out += " There are " + short(strings.Join(names, ", "), 600)
	}
	return out
}

// text reads a text that is not empty.
func (d *decoder) text(n *yaml.Node, path string) (string, bool) {
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() != "!!str":
		d.Fail(path, "is %s where a text must be: put it in quotes if it is meant as one", describe(n))
	case n.Kind != yaml.ScalarNode:
		d.Fail(path, "is %s where a text must be", describe(n))
	case strings.TrimSpace(n.Value) == "":
		d.Fail(path, "is empty: give a value, or leave the field out")
	case strings.ContainsFunc(n.Value, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
		d.Fail(path, "has a control character: take it out")
	default:
		return n.Value, true
	}
	return "", false
}

// leadingZero finds numbers that mean something else to YAML 1.1, to 1.2 and to people.
var leadingZero = regexp.MustCompile(`^[+-]?0[0-9xXoObB_]`)

// number reads a decimal number into a value of a kind of numbers.
func (d *decoder) number(n *yaml.Node, v reflect.Value, path string, r rules) {
	tag := n.ShortTag()
	if n.Kind != yaml.ScalarNode || tag != "!!int" && tag != "!!float" {
		d.Fail(path, "is %s where a number must be", describe(n))
		return
	}
	problem := ""
	switch {
	case leadingZero.MatchString(n.Value):
		problem = fmt.Sprintf("is %s, which is read as octal, hexadecimal or binary: write a decimal number", describe(n))
	case v.CanFloat():
		f, err := strconv.ParseFloat(n.Value, 64)
		if problem = r.wrong(f); err != nil {
			problem = fmt.Sprintf("is %s, and must be a finite decimal number", describe(n))
		}
		v.SetFloat(f)
	case v.CanInt():
		i, err := strconv.ParseInt(n.Value, 10, v.Type().Bits())
		if problem = r.wrong(float64(i)); err != nil || i > maxWhole || i < -maxWhole {
			problem = fmt.Sprintf("is %s where a whole number of at most %d must be", describe(n), maxWhole)
		}
		v.SetInt(i)
	case v.CanUint():
		u, err := strconv.ParseUint(n.Value, 10, v.Type().Bits())
		if problem = r.wrong(float64(u)); err != nil || u > maxWhole {
			problem = fmt.Sprintf("is %s where a whole number from 0 to %d must be", describe(n), maxWhole)
		}
		v.SetUint(u)
	default:
		panic(fmt.Sprintf("a value of type %s cannot be read", v.Type()))
	}
	if problem != "" {
		d.Fail(path, "%s", problem)
		v.SetZero()
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string, r rules) {
	switch {
	case n.Kind != yaml.SequenceNode:
		d.Fail(path, "is %s where a list must be: begin each element with a dash", describe(n))
		return
	case len(n.Content) == 0:
		d.Fail(path, "is an empty list: give an element, or leave the field out")
		return
	case len(n.Content) > maxElements:
		d.Fail(path, "has %d elements, more than %d", len(n.Content), maxElements)
		return
	case v.Kind() == reflect.Array && len(n.Content) != v.Len():
		d.Fail(path, "has %d elements, and must have %d", len(n.Content), v.Len())
		return
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	}
	for i, element := range n.Content {
		d.value(element, v.Index(i), fmt.Sprintf("%s[%d]", path, i), r)
	}
}

// group reads a mapping into a struct.
func (d *decoder) group(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.Fail(path, "is %s where a group of fields must be", describe(n))
		return
	}
	if len(n.Content) == 0 {
		d.Fail(path, "is an empty group: give a field, or leave it out")
		return
	}
	known := fields(v.Type())
	names := make([]string, len(known))
	for i, f := range known {
		names[i] = f.name
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := slices.Index(names, key.Value)
		switch {
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge":
			d.failAt(d.at(key), join(path, "<key>"), "is no name of a field: use %s", strings.Join(names, ", "))
		case seen[key.Value]:
			d.failAt(d.at(key), join(path, short(key.Value, 40)), "is there twice: leave one out")
		case at < 0:
			if d.Full() {
				d.more++
				break
			}
			d.failAt(d.at(key), join(path, short(key.Value, 40)), "there is no such field%s", hint(key.Value, names))
		default:
			d.value(n.Content[i+1], v.FieldByIndex(known[at].index), join(path, key.Value), known[at].rules)
		}
		seen[key.Value] = true
	}
	for _, f := range known {
		if f.rules.required && !seen[f.name] {
			d.failAt(d.at(n), join(path, f.name), "is missing, and must be given")
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// describe says what a node is, in words.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a group of fields"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!str":
		return "the text " + quote(n.Value)
	case n.ShortTag() == "!!int", n.ShortTag() == "!!float":
		return "the number " + short(n.Value, 40)
	}
	return short(n.Value, 40)
}

func quote(text string) string { return strconv.Quote(short(text, 60)) }

// short cuts a text to at most n bytes and an ellipsis.
func short(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}
