// Package render writes what a scan found: a table for people, JSON, and SARIF 2.1.0.
package render

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"assay/internal/scan"
)

// Report is what a scan of several files found.
type Report struct {
	Files   []scan.Result `json:"files"`
	Summary Summary       `json:"summary"`
}

// Summary counts files by status, and tells what was ignored.
type Summary struct {
	Files     int            `json:"files"`
	Clean     int            `json:"clean"`
	Finding   int            `json:"finding"`
	Undecided int            `json:"undecided"`
	NotAModel int            `json:"not-a-model"`
	Ignored   []scan.Ignored `json:"ignored"`       // findings that an ignore took out
	Stale     []scan.Ignore  `json:"stale_ignores"` // ignores that have expired or apply to nothing
}

// New makes a report.
func New(results []scan.Result, ignored []scan.Ignored, stale []scan.Ignore) *Report {
	r := &Report{Files: results, Summary: Summary{Files: len(results), Ignored: ignored, Stale: stale}}
	for i := range results {
		switch results[i].Status {
		case scan.Clean:
			r.Summary.Clean++
		case scan.Found:
			r.Summary.Finding++
		case scan.NotAModel:
			r.Summary.NotAModel++
		default:
			r.Summary.Undecided++
		}
	}
	if r.Files == nil {
		r.Files = []scan.Result{}
	}
	if r.Summary.Ignored == nil {
		r.Summary.Ignored = []scan.Ignored{}
	}
	if r.Summary.Stale == nil {
		r.Summary.Stale = []scan.Ignore{}
	}
	return r
}

// JSON writes a report for programs.
func JSON(w io.Writer, r *Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Text writes a report for people: what is clean as a count, everything else file by file.
func Text(w io.Writer, r *Report) error {
	var out strings.Builder
	for _, f := range r.Files {
		if f.Status == scan.Clean || f.Status == scan.NotAModel {
			continue
		}
		fmt.Fprintf(&out, "%s: %s (%s)\n", printable(f.Path), f.Status, f.Format)
		for _, x := range f.Findings {
			text(&out, x)
		}
	}
	for _, x := range r.Summary.Ignored {
		fmt.Fprintf(&out, "ignored until %s: %s in %s%s\n    because: %s\n", x.Expires, x.Rule, printable(x.Place.File), entry(x.Place), printable(x.Reason))
	}
	for _, g := range r.Summary.Stale {
		fmt.Fprintf(&out, "an ignore that has expired or applies to nothing: %s in %s until %s\n", g.Rule, printable(g.Path), g.Expires)
	}
	s := r.Summary
	fmt.Fprintf(&out, "%d files: %d clean, %d with findings, %d undecided, %d no models\n", s.Files, s.Clean, s.Finding, s.Undecided, s.NotAModel)
	_, err := io.WriteString(w, out.String())
	return err
}

func text(out *strings.Builder, x scan.Finding) {
	severity := string(x.Severity)
	if x.Severity == scan.Unknown {
		severity = "undecided"
	}
	at := fmt.Sprintf("byte %d", x.Place.Offset)
	if x.Place.Node != "" {
		at += ", " + printable(x.Place.Node)
	}
	fmt.Fprintf(out, "  %-9s %s%s at %s\n    %s\n", severity, x.Rule, entry(x.Place), at, printable(x.Message))
	for _, line := range x.Trace {
		fmt.Fprintf(out, "      %s\n", printable(line))
	}
	fmt.Fprintf(out, "    Remedy: %s\n", printable(x.Remedy))
}

func entry(p scan.Place) string {
	if p.Entry == "" {
		return ""
	}
	return " in " + printable(p.Entry)
}

// printable takes out what would steer a terminal, for names are the file's own.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 {
			return '�'
		}
		return c
	}, s)
}

// Rules gives all rules that scanners report by, and those of the runner, by id.
func Rules(scanners []scan.Scanner) []scan.Rule {
	rules := []scan.Rule{
		{ID: "unreadable", Title: "It could not be read in full"},
		{ID: "unrecognised", Title: "It is of no format that is known"},
		{ID: "data-missing", Title: "A file that the model takes numbers from cannot be read"},
		{ID: "data-extent", Title: "A tensor is not within the file that the model takes it from"},
		{ID: "polyglot", Title: "It is of two formats at once"},
		{ID: "nesting", Title: "It holds more entries than are looked at"},
		{ID: "more-findings", Title: "There are more findings than are told"},
	}
	for _, s := range scanners {
		rules = append(rules, s.Describe().Rules...)
	}
	slices.SortFunc(rules, func(a, b scan.Rule) int { return strings.Compare(a.ID, b.ID) })
	return slices.CompactFunc(rules, func(a, b scan.Rule) bool { return a.ID == b.ID })
}
