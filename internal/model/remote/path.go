package remote

import (
	"fmt"
	"strconv"
	"strings"
)

// path leads through JSON: members of objects, elements of arrays, and with a star all
// elements of an array.
type path []step

type step struct {
	kind  stepKind
	name  string // of a member
	index int    // of an element
}

type stepKind int

const (
	member   stepKind = iota
	optional          // a member if the value is an object, else the value itself
	element
	all
)

func (s step) String() string {
	switch s.kind {
	case element:
		return "[" + strconv.Itoa(s.index) + "]"
	case all:
		return "[*]"
	}
	if strings.ContainsAny(s.name, `.[]"`) || s.name == "" {
		return "[" + strconv.Quote(s.name) + "]"
	}
	return "." + s.name
}

const maxSteps = 16

// parsePath reads a path: names with dots between them, [3] for an element counted
// from 0, [*] for all, ["a name"] for a member of any name. A $ for the whole document
// may come first. Examples: outputs[0].scores, predictions[*].label, $[*]["P(1)"].
func parsePath(text string) (path, error) {
	if strings.TrimSpace(text) == "" {
		return nil, fmt.Errorf("the path to the scores is missing, such as predictions[*].scores; $ is the whole answer")
	}
	rest, first := strings.TrimPrefix(text, "$"), !strings.HasPrefix(text, "$")
	var p path
	for rest != "" {
		s, after, err := parseStep(rest, first)
		if err != nil {
			return nil, fmt.Errorf("%w, at %q in %q", err, rest, text)
		}
		if len(p) == maxSteps {
			return nil, fmt.Errorf("%q has more than %d steps", text, maxSteps)
		}
		p, rest, first = append(p, s), after, false
	}
	return p, nil
}

func parseStep(text string, first bool) (s step, rest string, err error) {
	switch {
	case strings.HasPrefix(text, `["`):
		quoted, err := strconv.QuotedPrefix(text[1:])
		if err != nil || !strings.HasPrefix(text[1+len(quoted):], "]") {
			return s, "", fmt.Errorf(`a quoted name must end with "]`)
		}
		name, err := strconv.Unquote(quoted)
		return step{name: name}, text[len(quoted)+2:], err
	case strings.HasPrefix(text, "["):
		inner, rest, ok := strings.Cut(text[1:], "]")
		if !ok {
			return s, "", fmt.Errorf("a bracket is not closed")
		}
		if inner == "*" {
			return step{kind: all}, rest, nil
		}
		i, err := strconv.ParseUint(inner, 10, 31)
		if err != nil {
			return s, "", fmt.Errorf(`a bracket holds a number from 0, a star or a "name"`)
		}
		return step{kind: element, index: int(i)}, rest, nil
	case strings.HasPrefix(text, "."):
		text = text[1:]
	case !first:
		return s, "", fmt.Errorf("a dot or a bracket must come next")
	}
	end := strings.IndexAny(text, ".[")
	if end < 0 {
		end = len(text)
	}
	if name := text[:end]; name != "" && !strings.ContainsAny(name, `]*" `) {
		return step{name: name}, text[end:], nil
	}
	return s, "", fmt.Errorf(`a name is missing; names with other signs are written ["so"]`)
}
