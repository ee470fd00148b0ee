package strict

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

type colour string

type inner struct {
	Depth float64 `yaml:"depth" check:"above=0 below=1"`
}

type shelf struct {
	Label  string     `yaml:"label" check:"required name"`
	Colour colour     `yaml:"colour"`
	Count  int        `yaml:"count" check:"min=1 max=9"`
	Weight *float64   `yaml:"weight"`
	Pair   [2]float64 `yaml:"pair"`
	Open   bool       `yaml:"open"`
	Id     uint8      `yaml:"id"`
	Notes  []string   `yaml:"notes"`
	inner  `yaml:",inline"`
}

var colours = Sets{reflect.TypeFor[colour](): {"red", "green"}}

// TestMistakes gives files that are wrong, and everything that is to be said of them.
func TestMistakes(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"right":            {"label: a\ncolour: red\ncount: 3\nweight: -1.5e3\npair: [0, .5]\nopen: True\nid: 7\nnotes: [x]\ndepth: 0.5\n", ""},
		"unknown field":    {"label: a\ncuont: 3\n", `f:2:1: cuont: there is no such field: did you mean count? There are label, colour, count, weight, pair, open, id, notes, depth`},
		"far from any":     {"label: a\nxyz: 3\n", `f:2:1: xyz: there is no such field: use label, colour, count, weight, pair, open, id, notes, depth`},
		"missing":          {"count: 3\n", `f:1:1: label: is missing, and must be given`},
		"twice":            {"label: a\nlabel: b\n", `f:2:1: label: is there twice: leave one out`},
		"of the set":       {"label: a\ncolour: gren\n", `f:2:9: colour: "gren" is none of the known names: did you mean green? There are red, green`},
		"below":            {"label: a\ncount: 0\n", `f:2:8: count: is 0, and must be at least 1`},
		"exclusive":        {"label: a\ndepth: 1\n", `f:2:8: depth: is 1, and must be below 1`},
		"not whole":        {"label: a\ncount: 2.5\n", `f:2:8: count: is the number 2.5 where a whole number of at most 9007199254740991 must be`},
		"too large":        {"label: a\nid: 256\n", `f:2:5: id: is the number 256 where a whole number from 0 to 9007199254740991 must be`},
		"octal":            {"label: a\nid: 012\n", `f:2:5: id: is the number 012, which is read as octal, hexadecimal or binary: write a decimal number`},
		"overflow":         {"label: a\nweight: 1e400\n", `f:2:9: weight: is the text "1e400" where a number must be`},
		"number for text":  {"label: a\nnotes: [1]\n", `f:2:9: notes[0]: is the number 1 where a text must be: put it in quotes if it is meant as one`},
		"length":           {"label: a\npair: [1]\n", `f:2:7: pair: has 1 elements, and must have 2`},
		"alias":            {"label: &x a\nnotes: [*x]\n", `f:2:9: notes[0]: is an alias, and these are not followed: write the value out`},
		"merge":            {"label: a\n<<: {count: 3}\n", `f:2:1: <key>: is no name of a field: use label, colour, count, weight, pair, open, id, notes, depth`},
		"name":             {"label: a b\n", `f:1:8: label: "a b" is no name: use up to 64 letters, digits, dots, dashes and underscores, a letter or digit first`},
		"control":          {"label: a\nnotes: [\"\\e[31m\"]\n", `f:2:9: notes[0]: has a control character: take it out`},
		"no group":         {"- a\n", `f:1:1: is a list where a group of fields must be`},
		"two documents":    {"label: a\n---\nlabel: b\n", `f: is not valid YAML: expected single document, found multiple`},
		"nothing":          {"", `f: is not valid YAML: no documents in stream`},
		"a comment":        {"# nothing\n", `f: is not valid YAML`},
		"no YAML":          {"label: [a\n", `f:2:1: is not valid YAML: did not find expected ',' or ']'`},
		"two, in order":    {"colour: blue\nlabel: 1\n", "f:1:9: colour: \"blue\" is none of the known names: use red, green\nf:2:8: label: is the number 1 where a text must be: put it in quotes if it is meant as one"},
		"YAML 1.1 boolean": {"label: a\nopen: yes\n", `f:2:7: open: is the text "yes": use true or false`},
	} {
		var s shelf
		err := Decode("f", []byte(c.text), &s, colours).Err()
		if c.want == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%s: got\n%v\nwant\n%s", name, err, c.want)
		}
	}
}

// TestBounds fails when a hostile file costs more than it should, or tells too much.
func TestBounds(t *testing.T) {
	many := ""
	for i := range 1000 {
		many += fmt.Sprintf("x%d: 1\n", i)
	}
	var e *Error
	if err := Decode("f", []byte(many), &shelf{}, colours).Err(); !errors.As(err, &e) || len(e.Mistakes) != MaxMistakes || e.More < 900 {
		t.Errorf("1000 mistakes: %v", err)
	}
	laughs := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'z'; c++ {
		laughs += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 9), ","))
	}
	for name, text := range map[string]string{
		"aliases": laughs, "deep": "label: " + strings.Repeat("[", 5000), "deep and closed": "label: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "large": strings.Repeat("#", MaxBytes+1),
		"long list": "notes: [" + strings.Repeat("a,", maxElements+1) + "]", "binary": "\x00\x01\x02", "invalid UTF-8": "label: \xff\xfe",
	} {
		err := Decode("f", []byte(text), &shelf{}, colours).Err()
		if err == nil || len(err.Error()) > 1<<14 {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

// TestJSON holds what programs get to read.
func TestJSON(t *testing.T) {
	err := Decode("f", []byte("label: 1\n"), &shelf{}, colours).Err()
	got, _ := json.Marshal(err)
	if want := `{"mistakes":[{"file":"f","line":1,"column":8,"path":"label","message":"is the number 1 where a text must be: put it in quotes if it is meant as one"}]}`; string(got) != want {
		t.Errorf("got %s", got)
	}
}

func TestWhere(t *testing.T) {
	d := Decode("f", []byte("label: a\nnotes:\n  - x\n  - y\n"), &shelf{}, colours)
	for path, want := range map[string]Position{
		"label": {"f", 1, 8}, "notes[1]": {"f", 4, 5}, "notes[1].more": {"f", 4, 5}, "notes[7]": {"f", 3, 3}, "count": {"f", 1, 1}, "": {"f", 1, 1},
	} {
		if got := d.Where(path); got != want {
			t.Errorf("%q is at %v, want %v", path, got, want)
		}
	}
	d.Fail("notes[1]", "is not good enough: write another")
	d.Fail("notes[1]", "is noted once")
	d.Fail("notes", "is noted where it was noticed first")
	if err := d.Err(); err.Error() != "f:4:5: notes[1]: is not good enough: write another" {
		t.Error(err)
	}
	if d.Fresh().Err() != nil {
		t.Error("a fresh document has mistakes")
	}
}

// TestSchema compares with a schema written by hand.
func TestSchema(t *testing.T) {
	got, err := json.Marshal(Schema(reflect.TypeFor[struct {
		Shelf  *shelf   `yaml:"shelf" check:"required"`
		Counts []uint16 `yaml:"counts" check:"max=5"`
	}](), colours, func(_ reflect.Type, field string) string { return map[string]string{"Label": "What is on it."}[field] }))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"$defs":{"shelf":{"additionalProperties":false,"minProperties":1,"properties":{` +
		`"colour":{"enum":["red","green"]},` +
		`"count":{"maximum":9,"minimum":1,"type":"integer"},` +
		`"depth":{"exclusiveMaximum":1,"exclusiveMinimum":0,"type":"number"},` +
		`"id":{"maximum":9007199254740991,"minimum":0,"type":"integer"},` +
		`"label":{"description":"What is on it.","pattern":"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$","type":"string"},` +
		`"notes":{"items":{"pattern":"\\S","type":"string"},"minItems":1,"type":"array"},` +
		`"open":{"type":"boolean"},` +
		`"pair":{"items":{"type":"number"},"maxItems":2,"minItems":2,"type":"array"},` +
		`"weight":{"type":"number"}},"required":["label"],"type":"object"}},` +
		`"$schema":"https://json-schema.org/draft/2020-12/schema","additionalProperties":false,"minProperties":1,"properties":{` +
		`"counts":{"items":{"maximum":5,"minimum":0,"type":"integer"},"minItems":1,"type":"array"},"shelf":{"$ref":"#/$defs/shelf"}},"required":["shelf"],"type":"object"}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// FuzzDecode looks for files that make the decoder panic, hang, or say nothing of use.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{"label: a\ncolour: red\n", "label: [", "{label: &a b, notes: [*a]}", "? [a]\n: b\n", "label: !!binary aGk=\n", "- - -\n", "label: 'a'\r\npair: [.nan, 0x1]\n", "a: *a", "<<: {}"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var s shelf
		err := Decode("f", text, &s, colours).Err()
		var e *Error
		switch {
		case err == nil:
			if s.Label == "" {
				t.Error("a field that must be given is empty")
			}
		case !errors.As(err, &e) || len(e.Mistakes) == 0 || len(e.Mistakes) > MaxMistakes:
			t.Errorf("the error is %v", err)
		}
	})
}
