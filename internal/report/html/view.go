package html

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html/template"
	"image/png"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"assay"
	"assay/internal/criteria"
	"assay/internal/report"
)

// sheet is a document with what the template shows of it, ready to be written out.
type sheet struct {
	*report.Document
	Policy    string
	Style     template.HTML // verbatim, since the policy holds its digest
	Outcomes  []assay.Outcome
	Tally     []tally
	Goals     []goal
	Evidence  []*decision
	Tests     []test // that no decision rests on
	Functions []assay.Function
	Rows      []row
	Excuses   []report.Cell
}

// tally is how many decisions have an outcome.
type tally struct {
	Outcome assay.Outcome
	N       int
}

// goal is a goal with the decisions on it.
type goal struct {
	Title, Text   string
	Vulnerability assay.Vulnerability
	Function      assay.Function
	Decisions     []*decision
}

// decision is a decision under the number by which the page speaks of it.
type decision struct {
	report.Decision
	Number   int
	Anchor   string
	Metric   report.Metric
	Value    string // the estimate with its bounds
	Limit    string
	Interval interval
	Costs    []cost
	Ablation *ablation
	Mappings []mapping
	Test     *test     // its evidence, where this is the first decision that rests on it
	See      *decision // the first one, otherwise
	Rerun    string
}

// cost is a decision on a cost.
type cost struct {
	criteria.CostDecision
	Title    string
	Value    string
	Limit    string
	Interval interval
}

// ablation is what a solution changes, written out.
type ablation struct{ Metric, Without, With, Difference, Lower, Upper, Confidence, N string }

// mapping is an id in another catalogue; Link is empty where it has none that is safe.
type mapping struct {
	report.ID
	Link string
}

// test is a test with its plot and pictures.
type test struct {
	report.Test
	Plots    []*plot
	Broken   *broken
	Examples []example
}

// example is an adversarial example; its pictures are there where all three are PNG files.
type example struct {
	report.Example
	Size     string
	Pictures []picture
	Factor   string
}

type picture struct {
	Caption       string
	Source        template.URL
	Width, Height int
}

// row is a row of the matrix.
type row struct {
	Vulnerability assay.Vulnerability
	Cells         []cell
}

// cell is a cell of the matrix, its decisions by outcome.
type cell struct {
	report.Cell
	Outcomes []group
}

type group struct {
	Outcome   assay.Outcome
	Decisions []*decision
}

func newSheet(d *report.Document) *sheet {
	p := &sheet{
		Document: d, Policy: policy(), Style: template.HTML("<style>" + style + "</style>"),
		Outcomes: assay.Outcomes(), Functions: assay.Functions(),
	}
	for _, o := range assay.Outcomes() {
		if n := d.Count(o); n > 0 {
			p.Tally = append(p.Tally, tally{o, n})
		}
	}
	first := map[string]*decision{} // to rest on a test
	anchors := map[string]bool{}
	for i := range d.Decisions {
		e := newDecision(d, i, anchors)
		p.Evidence = append(p.Evidence, e)
		p.place(e)
		if id := e.Decision.Test; id != "" {
			e.Rerun = d.TestOf(id).Rerun
			if e.See = first[id]; e.See == nil {
				first[id] = e
				e.Test = newTest(d, d.TestOf(id), fmt.Sprint("plot-", e.Number))
			}
		}
	}
	for i, t := range d.Tests {
		if first[t.ID] == nil {
			p.Tests = append(p.Tests, *newTest(d, &d.Tests[i], fmt.Sprint("other-", i+1)))
		}
	}
	p.matrix()
	return p
}

// place puts a decision to its goal.
func (p *sheet) place(e *decision) {
	for i := range p.Goals {
		g := &p.Goals[i]
		if g.Decisions[0].Goal == e.Goal {
			g.Decisions = append(g.Decisions, e)
			return
		}
	}
	p.Goals = append(p.Goals, goal{e.Title, e.Text, e.Vulnerability, e.Function, []*decision{e}})
}

// plainID is what an id must be to stand in a link as it is.
var plainID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

func newDecision(d *report.Document, i int, anchors map[string]bool) *decision {
	from := d.Decisions[i]
	m := d.MetricOf(from.Decision.Metric)
	e := &decision{
		Decision: from, Number: i + 1, Anchor: "decision-" + from.ID, Metric: m,
		Value: m.FormatInterval(from.Estimate, from.Lower, from.Upper, from.Limit),
		Limit: m.FormatLimit(from.Relation, from.Limit),
	}
	if !plainID.MatchString(from.ID) || anchors[e.Anchor] {
		e.Anchor = fmt.Sprint("decision-number-", e.Number)
	}
	anchors[e.Anchor] = true
	e.Interval = newInterval(fmt.Sprint("interval-", e.Number), m, from.Relation, from.Outcome, from.Estimate, from.Lower, from.Upper, from.Limit)
	for k, c := range from.Costs {
		m := d.MetricOf(c.Metric)
		e.Costs = append(e.Costs, cost{
			c, m.Title, m.FormatInterval(c.Estimate, c.Lower, c.Upper, c.Limit), m.FormatLimit(c.Relation, c.Limit),
			newInterval(fmt.Sprintf("cost-%d-%d", e.Number, k+1), m, c.Relation, c.Outcome, c.Estimate, c.Lower, c.Upper, c.Limit),
		})
	}
	if a := from.Ablation; a != nil {
		m := d.MetricOf(a.Metric)
		e.Ablation = &ablation{
			m.Title, m.Format(a.Without), m.Format(a.With), m.FormatChange(a.Difference), m.FormatChange(a.Lower), m.FormatChange(a.Upper),
			report.Percent(a.Confidence), count(a.N),
		}
	}
	for _, id := range from.Mappings {
		e.Mappings = append(e.Mappings, mapping{id, safe(id.URL)})
	}
	return e
}

// safe gives an address that may be a link: one of https that has a host and no credentials.
func safe(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return ""
	}
	return u.String()
}

// matrix lays out the cells in the Act's order, whatever the document's is.
func (p *sheet) matrix() {
	cells := map[assay.Cell]report.Cell{}
	for _, c := range p.Matrix {
		cells[c.Cell] = c
	}
	for _, c := range p.Matrix {
		if c.State == report.Excused {
			p.Excuses = append(p.Excuses, c)
		}
	}
	for _, v := range assay.Vulnerabilities() {
		r := row{Vulnerability: v}
		for _, f := range assay.Functions() {
			c, ok := cells[assay.Cell{Vulnerability: v, Function: f}]
			if !ok {
				c.State = report.Open
			}
			r.Cells = append(r.Cells, cell{c, p.byOutcome(c.Decisions)})
		}
		p.Rows = append(p.Rows, r)
	}
}

func (p *sheet) byOutcome(ids []string) []group {
	wanted := map[string]bool{}
	for _, id := range ids {
		wanted[id] = true
	}
	var groups []group
	for _, o := range assay.Outcomes() {
		g := group{Outcome: o}
		for _, e := range p.Evidence {
			if wanted[e.ID] && e.Outcome == o {
				g.Decisions = append(g.Decisions, e)
			}
		}
		if len(g.Decisions) > 0 {
			groups = append(groups, g)
		}
	}
	return groups
}

func newTest(d *report.Document, from *report.Test, id string) *test {
	t := &test{Test: *from, Broken: newBroken(from, "broken-"+id)}
	for i, drawing := range from.Plots {
		if p := newPlot(d, from.ID, drawing, fmt.Sprintf("%s-%d", id, i+1)); p != nil {
			t.Plots = append(t.Plots, p)
		}
	}
	for _, e := range from.Examples {
		t.Examples = append(t.Examples, newExample(e))
	}
	return t
}

func newExample(e report.Example) example {
	x := example{Example: e}
	if e.Image == nil {
		return x
	}
	for _, file := range []struct {
		caption string
		content []byte
	}{{"as it was", e.Image.Clean}, {"changed", e.Image.Adversarial}, {"difference", e.Image.Difference}} {
		size, err := png.DecodeConfig(bytes.NewReader(file.content))
		if err != nil || size.Width < 1 || size.Height < 1 {
			return example{Example: e}
		}
		scale := max(1, 112/max(size.Width, size.Height)) // whole, so that every pixel is as large as the next
		x.Pictures = append(x.Pictures, picture{
			file.caption, template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(file.content)),
			size.Width * scale, size.Height * scale,
		})
		x.Size = fmt.Sprintf("%d×%d", size.Width, size.Height)
	}
	x.Factor = strconv.FormatFloat(e.Image.Amplification, 'g', 3, 64)
	return x
}

// count writes a whole number, of any type, with its thousands apart.
func count(n any) string {
	text := fmt.Sprint(n)
	var out strings.Builder
	for i, r := range text {
		if i > 0 && text[i-1] != '-' && (len(text)-i)%3 == 0 && len(text) > 4 {
			out.WriteByte(',')
		}
		out.WriteRune(r)
	}
	return out.String()
}

// number writes a number with four digits at most.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
