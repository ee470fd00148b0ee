package html

import (
	"fmt"
	"slices"
	"strings"

	"assay/internal/report"
)

// listed is how many broken units the page lists; all are in the document.
const listed = 50

// broken shows which method broke which unit: a strip for each method in which every
// unit has its place, and a table of the first units.
type broken struct {
	ID, Title, Text string
	Height          string
	Left, Right     string
	Strips          []strip
	Rows            []brokenRow
	Rest            int // units that the table leaves out
}

// strip is the units that one method broke, drawn as bars.
type strip struct {
	Label, Path, Count string
	Base, TextY        string
}

type brokenRow struct {
	Unit     int64
	Distance string
	By       string // the methods
}

// The drawing of strips.
const (
	stripLeft   = 170
	stripRight  = 650 // what is right of it are the counts
	stripHeight = 14
	stripPitch  = 20
)

// newBroken gives nil where nothing was broken. Only methods that the test lists are shown.
func newBroken(t *report.Test, id string) *broken {
	var names []string
	for _, m := range t.Methods {
		if slices.ContainsFunc(t.Broken, func(u report.Broken) bool { return slices.Contains(u.Methods, m.Name) }) {
			names = append(names, m.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	b := &broken{
		ID: id, Title: "Which method broke which unit", Height: coordinate(float64(stripPitch*len(names) + 22)),
		Left: coordinate(stripLeft), Right: coordinate(stripRight), Rest: max(0, len(t.Broken)-listed),
	}
	var text strings.Builder
	width := float64(stripRight-stripLeft) / float64(len(t.Broken))
	for i, name := range names {
		var path strings.Builder
		n, foot := 0, float64(stripPitch*i+stripHeight)
		for k := 0; k < len(t.Broken); k++ {
			from := k
			for k < len(t.Broken) && slices.Contains(t.Broken[k].Methods, name) {
				k++
			}
			if n += k - from; k > from { // neighbours are one bar
				fmt.Fprintf(&path, "M%s %sv-%dH%sv%dz", coordinate(stripLeft+width*float64(from)), coordinate(foot), stripHeight, coordinate(stripLeft+width*float64(k)), stripHeight)
			}
		}
		b.Strips = append(b.Strips, strip{cut(name, 22), path.String(), count(n), coordinate(foot), coordinate(foot - 3)})
		fmt.Fprintf(&text, "%s broke %d. ", name, n)
	}
	b.Text = fmt.Sprintf("Of %d units that some method broke, ordered from the one that took the least: %s", len(t.Broken), text.String())
	for _, u := range t.Broken[:len(t.Broken)-b.Rest] {
		b.Rows = append(b.Rows, brokenRow{u.Unit, number(u.Distance), strings.Join(u.Methods, ", ")})
	}
	return b
}
