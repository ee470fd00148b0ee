package html

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"assay/internal/report"
)

// The drawing of curves, in units that are pixels at full size.
const (
	plotWidth  = 720
	plotLeft   = 52
	plotRight  = 530 // what is right of it are the curves' names
	plotTop    = 22
	plotHeight = 240 // of the axes, at least
	labelGap   = 17
)

// plot is a drawing of rates by budget.
type plot struct {
	ID, Title, Text    string
	Height             string
	X, Y               []tick
	Left, Right        string
	Top, Bottom, Below string
	Budget, Rates      string // what the axes are
	Note               string
	Curves             []line
	Limits             []limit
	At                 string // the budget that is decided on
	Tables             []table
	Banded             string // names of the curves whose interval is drawn
	Confidence         string
	Joint              bool
}

// line is a curve as steps: a rate holds from its budget on, until a larger one was tried.
type line struct {
	Name  string
	Style int // which dashes, from 0
	Path  string
	Band  string // its interval, where that is drawn
	Label string // its name, cut to fit
	LabelY,
	TextY string
	Leader string // from the curve's end to its name
}

type limit struct{ Y, LabelY, Label string }

// table holds the figures of some of the curves, a column for each.
type table struct {
	Names []string
	Rows  []entry
}

// columns is how many curves fit beside each other on paper.
const columns = 6

// entry is a row of a table: the figures at a budget.
type entry struct {
	Budget string
	Cells  []string
}

// styles is how many kinds of dashes the style sheet has.
const styles = 8

// newPlot draws a plot of the test with the id test, and gives nil where it has no curves.
func newPlot(d *report.Document, test string, from report.Plot, id string) *plot {
	var curves []report.Curve
	for _, c := range from.Curves {
		if len(c.Points) > 0 {
			c.Points = slices.SortedStableFunc(slices.Values(c.Points), func(a, b report.Point) int { return cmp.Compare(a.Budget, b.Budget) })
			curves = append(curves, c)
		}
	}
	if len(curves) == 0 {
		return nil
	}
	budgets := budgetsOf(curves)
	p := &plot{ID: id, Title: from.Title + " by budget", Rates: from.Title, Budget: from.Budget, Note: from.Note, Joint: from.Joint}
	if c := curves[0].Confidence; c > 0 {
		p.Confidence = report.Percent(c)
	}
	for some := range slices.Chunk(curves, columns) {
		p.Tables = append(p.Tables, tabulate(some, budgets))
	}
	if !drawable(budgets...) || from.Scale == report.Logarithmic && budgets[0] < leastLog {
		return p
	}
	x, y := axes(from.Scale, budgets, max(plotHeight, labelGap*len(curves)))
	p.X, p.Y = x.ticks(number), y.ticks(report.Percent)
	p.Left, p.Right, p.Top, p.Bottom = coordinate(plotLeft), coordinate(plotRight), coordinate(plotTop), coordinate(y.from)
	p.Below, p.Height = coordinate(y.from+17), coordinate(y.from+46)
	for i, c := range curves {
		p.Curves = append(p.Curves, line{
			Name: c.Name, Style: min(i, 1+(i-1)%(styles-1)), Label: cut(c.Name, 20),
			Path: steps(c.Points, x, y, func(q report.Point) float64 { return q.Rate }),
		})
	}
	p.bands(curves, x, y)
	p.label(curves, y)
	p.limits(d, test, from.Metric, y)
	if from.At != nil && drawable(*from.At) {
		p.At = x.at(*from.At)
	}
	p.Text = describe(curves, p.Limits)
	return p
}

// axes gives those of a plot of a height. Where they are logarithmic both begin at the same power of ten, so that a rate that is
// as large as its budget is on the diagonal.
func axes(scale report.Scale, budgets []float64, height int) (x, y axis) {
	first, last, bottom := budgets[0], budgets[len(budgets)-1], float64(plotTop+height)
	if scale == report.Logarithmic {
		x = newLogAxis(first, last, plotLeft, plotRight)
		return x, axis{x.low, 0, bottom, plotTop, 1, true}
	}
	x = newAxis(plotLeft, plotRight, 6, first, last+(last-first)/16) // room for the last step
	return x, axis{0, 1, bottom, plotTop, 0.25, false}
}

// bands draws the interval of the first curve, and that of a second where there are no more: several hide each other.
func (p *plot) bands(curves []report.Curve, x, y axis) {
	if len(curves) > 2 {
		curves = curves[:1]
	}
	for i, c := range curves {
		if len(c.Points) > 1 {
			p.Curves[i].Band = steps(c.Points, x, y, func(q report.Point) float64 { return q.Upper }) +
				backwards(c.Points, x, y, func(q report.Point) float64 { return q.Lower }) + "Z"
			p.Banded = strings.TrimPrefix(p.Banded+" and “"+c.Name+"”", " and ")
		}
	}
}

func budgetsOf(curves []report.Curve) []float64 {
	var all []float64
	for _, c := range curves {
		for _, q := range c.Points {
			all = append(all, q.Budget)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// steps draws points as steps, each rate up to the next budget and the last to the end. Between logarithmic axes it joins them by lines.
func steps(points []report.Point, x, y axis, value func(report.Point) float64) string {
	var path strings.Builder
	for i, q := range points {
		if i == 0 {
			fmt.Fprintf(&path, "M%s %s", x.at(q.Budget), y.at(value(q)))
			continue
		}
		if x.log {
			fmt.Fprintf(&path, "L%s %s", x.at(q.Budget), y.at(value(q)))
			continue
		}
		fmt.Fprintf(&path, "H%sV%s", x.at(q.Budget), y.at(value(q)))
	}
	if x.log {
		return path.String()
	}
	return path.String() + "H" + coordinate(x.to)
}

// backwards draws the same steps from the last point to the first.
func backwards(points []report.Point, x, y axis, value func(report.Point) float64) string {
	var path strings.Builder
	for _, q := range slices.Backward(points) {
		if x.log {
			fmt.Fprintf(&path, "L%s %s", x.at(q.Budget), y.at(value(q)))
			continue
		}
		fmt.Fprintf(&path, "V%sH%s", y.at(value(q)), x.at(q.Budget))
	}
	return path.String()
}

// label puts each curve's name at its end, and moves names apart that would overlap.
func (p *plot) label(curves []report.Curve, y axis) {
	order := make([]int, len(curves))
	places := make([]float64, len(curves))
	for i, c := range curves {
		order[i], places[i] = i, y.place(c.Points[len(c.Points)-1].Rate)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(places[a], places[b]) })
	moved := make([]float64, len(order)) // by place, from the top
	for k, i := range order {
		moved[k] = places[i]
		if k > 0 {
			moved[k] = max(moved[k], moved[k-1]+labelGap)
		}
	}
	for k := len(order) - 1; k >= 0; k-- { // what went below the axis comes up again
		moved[k] = min(moved[k], y.from-float64(labelGap*(len(order)-1-k)))
	}
	for k, i := range order {
		end := curves[i].Points[len(curves[i].Points)-1]
		l := &p.Curves[i]
		l.LabelY, l.TextY = coordinate(moved[k]), coordinate(moved[k]+4)
		l.Leader = fmt.Sprintf("M%d %sL%d %s", plotRight+4, y.at(end.Rate), plotRight+16, l.LabelY)
	}
}

// limits draws the limits of the decisions that rest on the test and are about the metric.
func (p *plot) limits(d *report.Document, test, metric string, y axis) {
	seen := map[string]bool{}
	for _, e := range d.Decisions {
		m := d.MetricOf(e.Decision.Metric)
		text := m.FormatLimit(e.Relation, e.Limit)
		if e.Test != test || e.Decision.Metric != metric || m.Unit != "" || seen[text] || !(e.Limit >= 0 && e.Limit <= 1) {
			continue
		}
		seen[text] = true
		p.Limits = append(p.Limits, limit{y.at(e.Limit), coordinate(y.place(e.Limit) - 5), "limit: " + text})
	}
}

// tabulate gives the figures of curves as a table.
func tabulate(curves []report.Curve, budgets []float64) table {
	var t table
	for _, c := range curves {
		t.Names = append(t.Names, c.Name)
	}
	for _, b := range budgets {
		row := entry{Budget: number(b)}
		for _, c := range curves {
			text := "–"
			for _, q := range c.Points {
				if q.Budget == b {
					m := report.Metric{}
					text = fmt.Sprintf("%s, %d/%d", m.FormatInterval(&q.Rate, &q.Lower, &q.Upper, q.Rate), q.Successes, q.N)
				}
			}
			row.Cells = append(row.Cells, text)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func describe(curves []report.Curve, limits []limit) string {
	var text strings.Builder
	for _, c := range curves {
		first, last := c.Points[0], c.Points[len(c.Points)-1]
		fmt.Fprintf(&text, "%s: from %s at %s to %s at %s. ", c.Name, report.Percent(first.Rate), number(first.Budget), report.Percent(last.Rate), number(last.Budget))
	}
	for _, l := range limits {
		fmt.Fprintf(&text, "The %s. ", l.Label)
	}
	text.WriteString("All figures are in the table below.")
	return text.String()
}

// cut numberens a text to so many letters.
func cut(text string, letters int) string {
	runes := []rune(text)
	if len(runes) <= letters {
		return text
	}
	return string(runes[:letters-1]) + "…"
}
