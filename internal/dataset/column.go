package dataset

import (
	"fmt"
	"math"
	"strconv"
)

// Column describes one number of an encoded record.
type Column struct {
	Feature   int     // index into Schema.Features
	Category  int     // index into the feature's Categories; -1 unless it is a column of a one-hot group
	Type      Type    // of the feature; a Categorical's column is 0 or 1, and one of its group is 1
	Min, Max  float32 // the feature's limits, or the range observed, in the data's own units
	Immutable bool
	Monotone  Monotone
	Cost      *float64 // nil where none is stated
}

// Group is the columns Start ≤ i < End of a categorical feature, of which exactly one is 1.
type Group struct{ Feature, Start, End int }

// Width is how many numbers encode one record.
func (s *Schema) Width() int {
	if len(s.Shape) > 0 {
		n, _ := elements(s.Shape)
		return n
	}
	width := 0
	for i := range s.Features {
		width += s.Features[i].width()
	}
	return width
}

func (f *Feature) width() int {
	if f.Type == Categorical {
		return len(f.Categories)
	}
	return 1
}

// RecordShape is the shape of one encoded record: Shape, or for a table its width.
func (s *Schema) RecordShape() []int {
	if len(s.Shape) > 0 {
		return s.Shape
	}
	return []int{s.Width()}
}

// Columns describes every number of an encoded record, in order.
func (s *Schema) Columns() []Column {
	columns := make([]Column, 0, s.Width())
	if len(s.Shape) > 0 && len(s.Features) > 0 {
		for range s.Width() {
			columns = append(columns, s.Features[0].column(0, -1))
		}
		return columns
	}
	for i := range s.Features {
		f := &s.Features[i]
		if f.Type != Categorical {
			columns = append(columns, f.column(i, -1))
			continue
		}
		for c := range f.Categories {
			columns = append(columns, f.column(i, c))
		}
	}
	return columns
}

func (f *Feature) column(feature, category int) Column {
	lower, upper := 0.0, 1.0
	if f.Type == Real || f.Type == Integer {
		lower, upper = f.bounds()
	}
	return Column{Feature: feature, Category: category, Type: f.Type,
		Min: float32(lower), Max: float32(upper), Immutable: f.Immutable, Monotone: f.Monotone, Cost: f.Cost}
}

// Groups gives the one-hot groups in order.
func (s *Schema) Groups() []Group {
	var groups []Group
	start := 0
	for i := range s.Features {
		width := s.Features[i].width()
		if s.Features[i].Type == Categorical {
			groups = append(groups, Group{i, start, start + width})
		}
		start += width
	}
	return groups
}

// Decode turns an encoded record back into the user's own units: one text for each
// feature (for each element, where the schema has a Shape). A one-hot group gives
// the category of its largest number, a boolean the value that is nearer, an integer is rounded.
func (s *Schema) Decode(record []float32) ([]string, error) {
	if len(record) != s.Width() {
		return nil, fmt.Errorf("the record has %d numbers, the schema's records have %d", len(record), s.Width())
	}
	var out []string
	for i := 0; i < len(record); {
		f := &s.Features[0]
		if len(s.Shape) == 0 {
			f = &s.Features[len(out)]
		}
		n := f.width()
		out = append(out, f.decode(record[i:i+n]))
		i += n
	}
	return out, nil
}

func (f *Feature) decode(values []float32) string {
	switch f.Type {
	case Categorical:
		best := 0
		for i, v := range values {
			if v > values[best] {
				best = i
			}
		}
		return f.Categories[best]
	case Boolean:
		if values[0] >= 0.5 {
			return f.Categories[1]
		}
		return f.Categories[0]
	case Integer:
		return formatNumber(math.Round(float64(values[0])))
	}
	return strconv.FormatFloat(float64(values[0]), 'g', -1, 32)
}
