package command

import (
	"io"
	"strings"
	"sync"
	"unicode"
)

// How much of what a command printed goes into an error.
const (
	tailBytes = 8 << 10
	tailLines = 12
)

// tail keeps the last of what is written, however much that is.
type tail struct {
	to io.Writer // gets all of it; may be nil

	mu   sync.Mutex // two streams write at once
	last []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p[max(len(p)-tailBytes, 0):]...)
	t.last = append(t.last[:0], t.last[max(len(t.last)-tailBytes, 0):]...)
	return len(p), t.pass(p)
}

// pass hands on to whoever follows. It is no fault of the command's when nobody can.
func (t *tail) pass(p []byte) error {
	if t.to != nil {
		if _, err := t.to.Write(p); err != nil {
			t.to = nil
		}
	}
	return nil
}

// logOnly hands on without keeping: what a command prints on its output says nothing about why it failed.
type logOnly struct{ *tail }

func (l logOnly) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(p), l.pass(p)
}

// String gives the last lines, as the end of an error's sentence; empty where nothing was written. They
// come from a program that is not ours: what a terminal would obey is left out.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return '\n' // progress that was written over
		case r == '\n' || r == '\t' || unicode.IsPrint(r):
			return r
		}
		return -1
	}, strings.ToValidUTF8(string(t.last), ""))
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\n\t "); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return "; its last words:\n  " + strings.Join(lines[max(len(lines)-tailLines, 0):], "\n  ")
}
