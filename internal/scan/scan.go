// Package scan decides of files, without executing anything in them, whether they are
// dangerous to load. It fails closed: what is known to be harmless is clean, what is known
// to be dangerous is a finding, and all else is undecided. A format is recognised by its
// content and never by a name, every byte must belong to something that was understood,
// and a file that could not be read in full is never clean.
//
// This package has the words and the Runner; each format is a Scanner in a package of its
// own below this one, and package formats lists them.
package scan

import (
	"context"
	"slices"
)

// Status is what a scan says of a file.
type Status string

// The statuses of files.
const (
	Clean     Status = "clean"       // every byte was understood, and all of it is harmless
	Found     Status = "finding"     // there is something dangerous in it
	Undecided Status = "undecided"   // it could not be read in full, or does something that is not known to be harmless
	NotAModel Status = "not-a-model" // plain text, a picture or empty: nothing that would be loaded as a model
)

// Statuses gives all statuses, the worst last.
func Statuses() []Status { return []Status{NotAModel, Clean, Undecided, Found} }

// Worse gives the worse of two statuses, of which an empty one is the best.
func (s Status) Worse(t Status) Status {
	if slices.Index(Statuses(), t) > slices.Index(Statuses(), s) {
		return t
	}
	return s
}

// Severity is how bad a finding is.
type Severity string

// The severities.
const (
	Critical Severity = "critical" // code of the file's choice runs when it is loaded
	High     Severity = "high"     // files or the network are reached, or code runs under some conditions
	Medium   Severity = "medium"   // it misleads tools or people, or exhausts the machine
	Low      Severity = "low"      // worth knowing
	Unknown  Severity = "unknown"  // it could not be decided, so the file is undecided
)

// Severities gives all severities, the worst first.
func Severities() []Severity { return []Severity{Critical, High, Medium, Low, Unknown} }

// Place is where something was found.
type Place struct {
	File   string `json:"file"`            // as it was given, or found in a folder that was
	Entry  string `json:"entry,omitempty"` // within containers, those within others parted by "!"
	Offset int64  `json:"offset"`          // of the byte in the file or entry, from 0
	Node   string `json:"node,omitempty"`  // the opcode, the node of a graph, the key
}

// Finding is something that was found at a place, or that kept the file from being decided.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Place    Place    `json:"place"`
	Message  string   `json:"message"` // what it is and what it would do
	Remedy   string   `json:"remedy"`  // what to do about it
	Trace    []string `json:"-"`       // how it comes about, a line each, for people; may be empty
}

// Result is what a scan says of one file.
type Result struct {
	Path     string    `json:"path"`
	Format   string    `json:"format"` // of the file itself; several are joined by "+"
	Status   Status    `json:"status"`
	Findings []Finding `json:"findings"` // by entry and offset

	beside map[string][]part // what it takes from files beside it, by their paths
}

// Description is what a scanner says of itself.
type Description struct {
	Name  string // of the format, as results have it: "pickle"
	Title string // for people: "Python pickle"
	Rules []Rule // all that it reports
	Last  bool   // it looks into content that no other scanner matches, and accounts for nothing where it finds nothing
}

// Rule is a kind of finding.
type Rule struct {
	ID    string // in lower case, with the format first: "pickle-call"
	Title string // a sentence without its full stop
}

// Probe is what a format is recognised by.
type Probe struct {
	Head []byte // the first HeadBytes, or all there are
	Tail []byte // the last TailBytes, or all there are; nil where the content can only be read from its start
	Size int64  // -1 where it is not known beforehand
}

// The sizes of a probe.
const (
	HeadBytes = 4 << 10
	TailBytes = 66 << 10 // a zip archive's end with its longest comment is within
)

// Scanner knows one format. It keeps no state between files and is called from several
// goroutines at once.
type Scanner interface {
	Describe() Description
	// Match reports whether content may be of the format. More than one scanner may match
	// the same content (a polyglot): then all of them scan it.
	Match(p Probe) bool
	// Scan reads content that matched and reports to r: findings, the parts of the content
	// that it accounts for, and entries if it is a container. An error says that the content
	// could not be read or understood to its end, and leaves it undecided; what was reported
	// before stays.
	Scan(ctx context.Context, f *File, r *Report) error
}
