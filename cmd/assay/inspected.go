package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"assay/internal/dataset"
	"assay/internal/method/poisoning"
)

// inspected is the result of an inspection, as printed.
type inspected struct {
	Data       string         `json:"data"`
	Records    int            `json:"records"`
	Clean      int            `json:"clean"` // records known to be clean
	Calibrated bool           `json:"calibrated"`
	Planted    *bool          `json:"planted"` // null where nothing can be decided
	P          *float64       `json:"p"`       // of the test that the records are like the clean ones
	FPR        float64        `json:"fpr"`
	Alpha      float64        `json:"alpha"`
	Suspected  int            `json:"suspected"`
	Detectors  []detectorLine `json:"detectors"`
	Patterns   []patternLine  `json:"patterns"`
	Suspects   []suspectLine  `json:"suspects"`            // the most suspicious first: as many as --top says
	Reference  *driftLine     `json:"reference,omitempty"` // how the data differ from it
	Sources    []sourceLine   `json:"sources,omitempty"`   // the one with the most suspicious records first
	Note       string         `json:"note,omitempty"`
}

type detectorLine struct {
	Name string   `json:"name"`
	P    *float64 `json:"p"` // of the same test by this detector alone
}

// patternLine is values that records of one class share: a trigger, as far as it was found.
type patternLine struct {
	Class   string   `json:"class"`
	Values  []string `json:"values"`
	Records int      `json:"records"`
	Others  int      `json:"others"` // records of other classes that have the same
}

// suspectLine is a record with what speaks against it.
type suspectLine struct {
	Number     int64        `json:"number"` // in the data, from 1
	Label      string       `json:"label"`
	Likely     string       `json:"likely"` // the most probable class, by a model that did not see the record
	Prob       float64      `json:"probability"`
	P          float64      `json:"p"`
	Suspected  bool         `json:"suspected"`
	By         []reasonLine `json:"by"` // detectors for which p is at most the false positive rate, the smallest first
	Neighbours []neighbour  `json:"neighbours"`
	record     int
}

type reasonLine struct {
	Detector string  `json:"detector"`
	P        float64 `json:"p"`
}

// neighbour is one of the records that a model sees as most alike.
type neighbour struct {
	Number int64  `json:"number"`
	Label  string `json:"label"`
	Clean  bool   `json:"clean"` // its number is that in the clean data
}

// listedPatterns is how many patterns are shown.
const listedPatterns = 3

func (f *inspectFlags) inspected(d *dataset.Dataset, clean int, found *inspection) *inspected {
	out := &inspected{
		Data: f.data.path, Records: d.Len() - clean, Clean: clean, Calibrated: found.ranking.Calibrated, FPR: f.fpr, Alpha: f.alpha,
		Detectors: []detectorLine{}, Patterns: []patternLine{}, Suspects: []suspectLine{},
	}
	for k, name := range found.detectors {
		line := detectorLine{Name: name}
		if out.Calibrated {
			line.P = &found.ranking.By[k]
		}
		out.Detectors = append(out.Detectors, line)
	}
	if out.Calibrated {
		out.Planted, out.P = &found.ranking.Planted, &found.ranking.P
	} else {
		out.Note = "without --clean nothing is decided: p is a record's rank over the number of records"
	}
	if needed := (poisoning.Calibration{FPR: f.fpr}).Needed(); out.Calibrated && clean < needed {
		out.Note = fmt.Sprintf("no record can be suspected at a false positive rate of %g with %d clean records: give at least %d, or a higher --fpr", f.fpr, clean, needed)
	}
	names := d.Schema.Label.Classes
	for _, p := range found.patterns[:min(f.shownPatterns(found), len(found.patterns))] {
		line := patternLine{Class: names[p.Class], Records: len(p.Records), Others: p.Others}
		for k, column := range p.Columns {
			line.Values = append(line.Values, fmt.Sprintf("%s from %.4g to %.4g", columnName(d.Schema, column), p.Low[k], p.High[k]))
		}
		out.Patterns = append(out.Patterns, line)
	}
	for k, s := range found.ranking.Suspects {
		if s.Suspected {
			out.Suspected++
		}
		if k < f.top {
			line := found.suspect(d, s, f.fpr)
			line.Neighbours = found.neighboursOf(d, s.Record, out.Records)
			out.Suspects = append(out.Suspects, line)
		}
	}
	return out
}

// shownPatterns is how many patterns say something: none where such are in clean records as well.
func (f *inspectFlags) shownPatterns(found *inspection) int {
	at := slices.Index(found.detectors, poisoning.TriggerPattern{}.Describe().Name)
	if found.ranking.Calibrated && found.ranking.By[at]*float64(len(found.detectors)) > f.alpha {
		return 0
	}
	return listedPatterns
}

// columnName says which number of a record is meant: a feature, or a place of an array.
func columnName(s *dataset.Schema, column int) string {
	if shape := s.RecordShape(); len(shape) == 3 {
		area := shape[1] * shape[2]
		return fmt.Sprintf("channel %d, row %d, column %d", column/area+1, column%area/shape[2]+1, column%shape[2]+1)
	}
	if len(s.Features) == s.Width() {
		return s.Features[column].Name
	}
	return fmt.Sprintf("number %d", column+1)
}

// suspect is a record's line, but for its neighbours.
func (found *inspection) suspect(d *dataset.Dataset, s poisoning.Suspect, fpr float64) suspectLine {
	names, p := d.Schema.Label.Classes, found.records.Probabilities.Row(s.Record)
	likely := slices.Index(p, slices.Max(p))
	out := suspectLine{
		Number: d.Number[s.Record], Label: names[d.Y[s.Record]], Likely: names[likely], Prob: float64(p[likely]),
		P: s.P, Suspected: s.Suspected, By: []reasonLine{}, Neighbours: []neighbour{}, record: s.Record,
	}
	for k, p := range s.By {
		if p <= fpr {
			out.By = append(out.By, reasonLine{found.detectors[k], p})
		}
	}
	slices.SortStableFunc(out.By, func(a, b reasonLine) int { return cmp.Compare(a.P, b.P) })
	return out
}

func (found *inspection) neighboursOf(d *dataset.Dataset, i, records int) []neighbour {
	out := []neighbour{}
	near, _ := found.nearest.Of(i)
	for _, j := range near[:min(5, len(near))] {
		out = append(out, neighbour{d.Number[j], d.Schema.Label.Classes[d.Y[j]], int(j) >= records})
	}
	return out
}

// sentence says what speaks against a record.
func (s suspectLine) sentence() string {
	var by []string
	for _, r := range s.By {
		by = append(by, r.Detector)
	}
	text := "by all detectors together"
	if len(by) > 0 {
		text = "by " + strings.Join(by, ", ")
	}
	if s.Likely != s.Label {
		text += fmt.Sprintf("; labelled %s, and %s is more likely (%.2f)", s.Label, s.Likely, s.Prob)
	}
	return text
}

// inspected prints the result of an inspection.
func (u *ui) inspected(o *inspected) {
	u.row("data", "%s: %d records, and %d known to be clean", o.Data, o.Records, o.Clean)
	switch {
	case !o.Calibrated:
		u.row("decision", "undecided")
	case *o.Planted:
		u.row("decision", "records are planted, with p = %.2g by all detectors together", *o.P)
		for _, d := range o.Detectors {
			if *d.P*float64(len(o.Detectors)) <= o.Alpha {
				u.row("", "by %s", d.Name)
			}
		}
	default:
		u.row("decision", "no sign of planted records, with p = %.2g", *o.P)
	}
	u.row("suspected", "%d records at a false positive rate of %s", o.Suspected, percent(o.FPR))
	if o.Note != "" {
		u.row("note", "%s", o.Note)
	}
	u.drift(o)
	for _, p := range o.Patterns {
		u.row("shared", "%d records of class %s and %d others: %s", p.Records, p.Class, p.Others, strings.Join(p.Values, "; "))
	}
	for _, s := range o.Suspects {
		mark := ""
		if !s.Suspected {
			mark = " (not suspected)"
		}
		u.row(fmt.Sprintf("record %d", s.Number), "p = %.3g%s, %s", s.P, mark, s.sentence())
	}
}
