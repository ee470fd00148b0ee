// Package jinja judges Jinja templates, such as the chat templates of language models, by
// what they call. A program that renders one outside a sandbox runs whatever Python it
// reaches (CVE-2024-34359); to run anything, a template must call something. So calls are
// allowed by name, and every other call, and every way to make a name another thing, is told.
package jinja

import (
	"fmt"
	"strings"
)

// Problem is something in a template that is not known to be harmless.
type Problem struct {
	Offset  int    // in bytes
	Message string // a sentence
	Attack  bool   // it serves nothing but to leave the template's bounds
}

// functions are what a template may call by name: Jinja's own without lipsum, and those
// that the transformers library gives to chat templates.
var functions = set("range dict namespace cycler joiner raise_exception strftime_now caller super")

// methods are those of texts, lists and mappings that change or reach nothing else.
var methods = set("append capitalize copy count endswith extend find get index insert items join keys lower lstrip pop " +
	"partition replace rfind rpartition rsplit rstrip setdefault split splitlines startswith strip title update upper values isdigit isalpha isspace strftime next current reset")

// filters and tests are Jinja's without attr, which gives any attribute by a computed name.
var filters = set("abs batch capitalize center count d default dictsort e escape filesizeformat first float forceescape format groupby indent int items join " +
	"last length list lower map max min pprint random reject rejectattr replace reverse round safe select selectattr slice sort string striptags sum title tojson " +
	"trim truncate unique upper urlencode urlize wordcount wordwrap xmlattr from_json")

// statements are Jinja's without those that load other templates.
var statements = set("for endfor if elif else endif set endset macro endmacro call endcall filter endfilter raw endraw block endblock generation endgeneration break continue with endwith autoescape endautoescape do")

func set(words string) map[string]bool {
	out := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		out[w] = true
	}
	return out
}

// MaxTemplate is how many bytes of a template are judged.
const MaxTemplate = 1 << 20

// Judge gives what in a template is not known to be harmless, nothing for a harmless one.
func Judge(template string) []Problem {
	if len(template) > MaxTemplate {
		return []Problem{{0, fmt.Sprintf("It is longer than the %d bytes that are judged.", MaxTemplate), false}}
	}
	j := &judge{macros: map[string]bool{}, assigned: map[string]bool{}}
	blocks, problem := split(template)
	for _, b := range blocks {
		j.declare(b)
	}
	for _, b := range blocks {
		j.block(b)
	}
	if problem != nil {
		j.problems = append(j.problems, *problem)
	}
	return j.problems
}

type judge struct {
	macros   map[string]bool // names of macros
	assigned map[string]bool // names that the template gives another meaning
	problems []Problem
}

func (j *judge) tell(t token, attack bool, format string, args ...any) {
	if len(j.problems) < 20 {
		j.problems = append(j.problems, Problem{t.at, fmt.Sprintf(format, args...), attack})
	}
}

// declare notes the names that a block gives a meaning.
func (j *judge) declare(b block) {
	if len(b.tokens) < 2 || !b.statement {
		return
	}
	switch b.tokens[0].text {
	case "macro":
		j.macros[b.tokens[1].text] = true
	case "set", "for", "with", "call":
		for i, t := range b.tokens[1:] {
			if t.kind == name && t.text != "in" {
				j.assigned[t.text] = true
			}
			assigns := b.tokens[0].text == "set" && t.text == "=" || b.tokens[0].text == "for" && t.text == "in"
			if assigns && i > 0 {
				break
			}
		}
	}
}

// block judges one block of code.
func (j *judge) block(b block) {
	tokens := b.tokens
	if b.statement && len(tokens) > 0 && !statements[tokens[0].text] {
		j.tell(tokens[0], false, "It has the statement %q, which is not known to be harmless.", tokens[0].text)
	}
	for i, t := range tokens {
		previous, next := token{}, token{}
		if i > 0 {
			previous = tokens[i-1]
		}
		if i == 1 && b.statement && previous.text == "macro" {
			continue // its name stands before its parameters, and is not called
		}
		if i+1 < len(tokens) {
			next = tokens[i+1]
		}
		switch {
		case i > 1 && previous.text == "(" && tokens[i-2].text == "map" && t.text != "attribute" && (t.kind != text || !filters[t.text]):
			j.tell(t, t.text == "attr", "It maps by the filter %q, which is not known to be harmless.", clip(t.text))
		case t.kind == text:
			j.text(t)
		case t.kind == name && strings.HasPrefix(t.text, "_") && previous.text == ".":
			j.tell(t, strings.HasPrefix(t.text, "__"), "It reads the attribute %q, one of Python's own.", t.text)
		case t.kind == name && previous.text == "|":
			if !filters[t.text] {
				j.tell(t, t.text == "attr", "It uses the filter %q, which is not known to be harmless.", t.text)
			}
		case next.text == "(" && !(b.statement && i == 0):
			j.call(t, previous)
		}
	}
}

// text judges a text in code, of which names of attributes could be made.
func (j *judge) text(t token) {
	switch {
	case strings.Contains(t.text, "__"):
		j.tell(t, true, "It has the text %q in its code, as names that are Python's own have.", clip(t.text))
	case strings.Contains(t.text, `\x`) || strings.Contains(t.text, `\u`) || strings.Contains(t.text, `\N`):
		// A character by its number is harmless, unless a name is hidden by it.
		if strings.Contains(t.text, `\x5f`) || strings.Contains(t.text, `\x5F`) || strings.Contains(t.text, `\u005f`) || strings.Contains(t.text, `\u005F`) || strings.Contains(t.text, `\N{`) {
			j.tell(t, true, "It hides characters of the text %q.", clip(t.text))
		}
	}
}

func clip(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return s
}

// operators stand before a parenthesis that groups.
var operators = set("( [ { , : = == != < > <= >= + - * / // % ** ~ and or not in is if else elif set return do for with call")

// call judges what stands before an opening parenthesis.
func (j *judge) call(t, previous token) {
	switch {
	case t.kind == name && previous.text == ".":
		if !methods[t.text] {
			j.tell(t, false, "It calls the method %q, which is not known to be harmless.", t.text)
		}
	case operators[t.text]:
	case t.kind == name && previous.text == "is": // a test with an argument
	case t.kind == name && j.macros[t.text] && !j.assigned[t.text]:
	case t.kind == name && functions[t.text]:
		if j.assigned[t.text] {
			j.tell(t, true, "It gives %q another meaning and calls it.", t.text)
		}
	case t.kind == name:
		j.tell(t, false, "It calls %q, which is not known to be harmless.", t.text)
	default:
		j.tell(t, true, "It calls the result of an expression.")
	}
}
