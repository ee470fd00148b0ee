package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"assay/internal/dataset"
	"assay/internal/gate"
	"assay/internal/method/poisoning"
)

// driftLine is how some records differ from others.
type driftLine struct {
	Records int         `json:"records"`
	Others  int         `json:"others"`  // that they are compared with
	Drifted *bool       `json:"drifted"` // null where there are too few to be compared
	MMD     float64     `json:"mmd"`
	P       float64     `json:"p"`       // of MMD
	Columns []driftedBy `json:"columns"` // that differ, the most first
}

// driftedBy is a column that differs.
type driftedBy struct {
	Column string  `json:"column"`
	P      float64 `json:"p"` // of Kolmogorov and Smirnov's test, adjusted by Holm
}

// sourceLine is what is known of the records of one source.
type sourceLine struct {
	Source     string `json:"source"`
	Suspicious int    `json:"suspicious"` // records whose p is at most the false positive rate
	driftLine
}

// mostSources is how many are compared, as each takes a test by permutation.
const mostSources = 100

// drift compares the data with the reference, and each source with the others, where that is asked for. Clean records are no part of it.
func (f *inspectFlags) drift(ctx context.Context, d *dataset.Dataset, found *inspection, out *inspected) error {
	if f.reference != "" {
		known := dataFlags{path: f.reference, bad: f.data.bad}
		reference, err := known.read(ctx, d.Schema, true)
		if err != nil {
			return fmt.Errorf("--reference: %w", err)
		}
		line := driftLine{Records: out.Records, Others: reference.Len(), P: 1, Columns: []driftedBy{}}
		if min(line.Records, line.Others) >= poisoning.LeastCompared {
			width := d.Schema.Width()
			own := poisoning.Matrix{Width: width, Data: d.X[:out.Records*width]}
			differ, err := f.driftTest(1).Compare(ctx, own, poisoning.Matrix{Width: width, Data: reference.X}, f.draws(2))
			if err != nil {
				return fmt.Errorf("--reference: %w", err)
			}
			line.tell(differ, d.Schema, f.alpha)
		}
		out.Reference = &line
	}
	if f.data.drop == "" {
		return nil
	}
	own := &dataset.Dataset{Schema: d.Schema, Number: d.Number[:out.Records]}
	sources, err := gate.Sources(ctx, f.data.path, f.data.drop, own)
	if err != nil {
		return err
	}
	out.Sources, err = f.sources(ctx, d, sources, found)
	return err
}

// sources compares each source with all others, the one with the most suspicious records first.
func (f *inspectFlags) sources(ctx context.Context, d *dataset.Dataset, sources []string, found *inspection) ([]sourceLine, error) {
	count, suspicious := map[string]int{}, map[string]int{}
	for _, name := range sources {
		count[name]++
	}
	for _, s := range found.ranking.Suspects {
		if s.P <= f.fpr {
			suspicious[sources[s.Record]]++
		}
	}
	if len(count) < 2 || len(count) > mostSources {
		return nil, fmt.Errorf("the column %q names %d sources, and from two to %d are compared: is it that of the sources?", f.data.drop, len(count), mostSources)
	}
	width := d.Schema.Width()
	all := poisoning.Matrix{Width: width, Data: d.X[:len(sources)*width]}
	differ, err := f.driftTest(len(count)).Sources(ctx, all, sources, f.draws(3))
	if err != nil {
		return nil, err
	}
	var out []sourceLine
	for _, name := range slices.Sorted(maps.Keys(count)) {
		line := driftLine{Records: count[name], Others: len(sources) - count[name], P: 1, Columns: []driftedBy{}}
		if one := differ[name]; one != nil {
			line.tell(one, d.Schema, f.alpha/float64(len(count)))
		}
		out = append(out, sourceLine{name, suspicious[name], line})
	}
	slices.SortStableFunc(out, func(a, b sourceLine) int { return cmp.Compare(b.Suspicious, a.Suspicious) })
	return out, nil
}

// driftTest is one of several tests that share the error. With fewer permutations than 2 over its part no p-value could count.
func (f *inspectFlags) driftTest(of int) poisoning.DriftTest {
	return poisoning.DriftTest{Alpha: f.alpha, Permutations: max(500, int(math.Ceil(4*float64(of)/f.alpha)))}
}

// draws are random numbers of their own for each purpose.
func (f *inspectFlags) draws(purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(f.options.Seed, purpose<<32))
}

// tell notes what a test at an error found.
func (l *driftLine) tell(found *poisoning.Drift, s *dataset.Schema, alpha float64) {
	l.Drifted, l.MMD, l.P = &found.Drifted, found.MMD, found.P
	for j, p := range found.Columns {
		if p <= alpha/2 {
			l.Columns = append(l.Columns, driftedBy{columnName(s, j), p})
		}
	}
	slices.SortStableFunc(l.Columns, func(a, b driftedBy) int { return cmp.Compare(a.P, b.P) })
}

// String says how the records differ.
func (l driftLine) String() string {
	switch {
	case l.Drifted == nil:
		return fmt.Sprintf("%d and %d records are too few to be compared: %d are needed", l.Records, l.Others, poisoning.LeastCompared)
	case !*l.Drifted:
		return fmt.Sprintf("no sign of a difference (MMD has p %.2g)", l.P)
	case len(l.Columns) == 0:
		return fmt.Sprintf("they differ by MMD of all columns (p %.2g), and by no column alone", l.P)
	}
	const shown = 5
	var names []string
	for _, c := range l.Columns[:min(shown, len(l.Columns))] {
		names = append(names, fmt.Sprintf("%s (p %.2g)", c.Column, c.P))
	}
	more := ""
	if n := len(l.Columns) - shown; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("they differ, MMD has p %.2g; by %s%s", l.P, strings.Join(names, ", "), more)
}

// drift prints how the data differ from the reference, and the sources from each other.
func (u *ui) drift(o *inspected) {
	if o.Reference != nil {
		u.row("reference", "%d records: %s", o.Reference.Others, o.Reference)
	}
	for _, s := range o.Sources {
		u.row("source", "%s: %d suspicious of %d records; from the others: %s", s.Source, s.Suspicious, s.Records, s.driftLine)
	}
}
