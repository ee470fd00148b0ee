// Package junit writes the report's decisions as JUnit XML, which CI servers show. A
// goal is a test suite and a decision a test case.
package junit

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"assay"
	"assay/internal/report"
)

type suites struct {
	XMLName xml.Name `xml:"testsuites"`
	Name    string   `xml:"name,attr"`
	counts
	Suites []*suite `xml:"testsuite"`
}

type counts struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Skipped  int `xml:"skipped,attr"`
}

type suite struct {
	Name string `xml:"name,attr"`
	counts
	Timestamp string     `xml:"timestamp,attr"`
	Cases     []testcase `xml:"testcase"`
}

type testcase struct {
	Name      string  `xml:"name,attr"`
	Classname string  `xml:"classname,attr"`
	Failure   *result `xml:"failure"`
	Error     *result `xml:"error"`
	Skipped   *result `xml:"skipped"`
	Output    string  `xml:"system-out,omitempty"`
}

type result struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// Write writes a document as JUnit XML: inadequate is a failure, invalid an error,
// undecided and not applicable are skipped. Void evidence is an error of its own.
// The same document gives the same bytes, and nothing is written of one in which Check
// finds something wrong.
func Write(w io.Writer, d *report.Document) error {
	if err := d.Check(); err != nil {
		return err
	}
	d = d.Map(report.Printable)
	all := &suites{Name: d.System.Name}
	byGoal := map[string]*suite{}
	names := map[string]bool{}
	for _, e := range d.Decisions {
		s := byGoal[e.Goal]
		if s == nil {
			s = all.add(d, e.Title)
			byGoal[e.Goal] = s
		}
		name := e.Solution
		if names[e.Goal+"\x00"+name] {
			name += " (" + e.ID + ")" // servers take cases of one name for one case
		}
		names[e.Goal+"\x00"+name] = true
		all.put(s, caseOf(d, e, name))
	}
	if len(d.Void) > 0 {
		text := strings.Join(d.Void, "\n")
		all.put(all.add(d, "Evidence"), testcase{Name: "The evidence holds", Classname: "evidence", Error: &result{Message: d.Result(), Type: "void", Text: text}})
	}
	text, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("the report cannot be written as JUnit XML: %w", err)
	}
	_, err = w.Write([]byte(xml.Header + string(text) + "\n"))
	return err
}

func (all *suites) add(d *report.Document, name string) *suite {
	s := &suite{Name: name, Timestamp: d.Created.UTC().Format("2006-01-02T15:04:05")}
	all.Suites = append(all.Suites, s)
	return s
}

// put adds a case to a suite, and counts it there and in all.
func (all *suites) put(s *suite, c testcase) {
	s.Cases = append(s.Cases, c)
	for _, n := range []*counts{&all.counts, &s.counts} {
		n.Tests++
		switch {
		case c.Failure != nil:
			n.Failures++
		case c.Error != nil:
			n.Errors++
		case c.Skipped != nil:
			n.Skipped++
		}
	}
}

func caseOf(d *report.Document, e report.Decision, name string) testcase {
	c := testcase{Name: name, Classname: e.Goal}
	lines := append([]string{e.Text, d.Sentence(e)}, d.Details(e)...)
	if t := d.TestOf(e.Test); t != nil && t.Rerun != "" {
		lines = append(lines, "repeat: "+t.Rerun)
	}
	r := &result{Message: d.Sentence(e), Type: string(e.Outcome), Text: strings.Join(lines, "\n")}
	switch e.Outcome {
	case assay.Adequate:
		c.Output = r.Text
	case assay.Inadequate:
		c.Failure = r
	case assay.Invalid:
		c.Error = r
	default:
		r.Type = "" // skipped has none
		c.Skipped = r
	}
	return c
}
