package strict

import (
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a file. Lines and columns count from 1; they are 0 where a
// place is the file as a whole.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Mistake is one thing that is wrong in a file.
type Mistake struct {
	Position
	Path    string `json:"path,omitempty"` // the field, such as models[0].file; empty for the file as a whole
	Message string `json:"message"`        // a sentence with the remedy
}

func (m Mistake) String() string {
	if m.Path == "" {
		return fmt.Sprintf("%s: %s", m.Position, m.Message)
	}
	return fmt.Sprintf("%s: %s: %s", m.Position, m.Path, m.Message)
}

// MaxMistakes is how many mistakes of a file are told; the others are counted.
const MaxMistakes = 20

// Error is everything that is wrong in a file, in the order of its lines.
type Error struct {
	Mistakes []Mistake `json:"mistakes"`
	More     int       `json:"more,omitempty"` // mistakes that are not told, of those looked for
}

func (e *Error) Error() string {
	lines := make([]string, len(e.Mistakes))
	for i, m := range e.Mistakes {
		lines[i] = m.String()
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and at least %d more mistakes", e.More))
	}
	return strings.Join(lines, "\n")
}

// Document is a file that was read: it knows the place of every field, and gathers
// what is wrong.
type Document struct {
	file     string
	places   map[string]Position
	mistakes []Mistake
	more     int
}

// Where gives the place of a field's value, such as models[0].file. A field that is
// not there has the place of what it would be in.
func (d *Document) Where(path string) Position {
	for {
		if p, ok := d.places[path]; ok {
			return p
		}
		if path == "" {
			return Position{File: d.file}
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// Fresh gives the same document without what is wrong, to look for something else.
func (d *Document) Fresh() *Document { return &Document{file: d.file, places: d.places} }

// Fail notes that a field is wrong, unless something else is wrong with it already.
func (d *Document) Fail(path, format string, args ...any) {
	d.failAt(d.Where(path), path, format, args...)
}

func (d *Document) failAt(at Position, path, format string, args ...any) {
	if d.broken(path) {
		return
	}
	if d.Full() {
		d.more++
		return
	}
	d.mistakes = append(d.mistakes, Mistake{at, path, fmt.Sprintf(format, args...)})
}

// Full reports whether so much is wrong that more will not be told: what costs time to
// find out about a mistake, such as the nearest name, is then left.
func (d *Document) Full() bool { return len(d.mistakes) >= MaxMistakes }

// broken reports whether a mistake is known of a field or of something in it.
func (d *Document) broken(path string) bool {
	return slices.ContainsFunc(d.mistakes, func(m Mistake) bool {
		rest, ok := strings.CutPrefix(m.Path, path)
		return ok && (rest == "" || path == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// Err gives what is wrong as an *Error, nil if nothing is.
func (d *Document) Err() error {
	if len(d.mistakes) == 0 {
		return nil
	}
	e := &Error{Mistakes: slices.Clone(d.mistakes), More: d.more}
	slices.SortStableFunc(e.Mistakes, func(a, b Mistake) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return e
}
