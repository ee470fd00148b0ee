package dataset

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// encoder turns the records of one format into numbers, as a complete schema says.
type encoder struct {
	schema     *Schema
	width      int
	inputs     []int            // of a table: the cell of each feature (of each element, with a shape)
	names      []string         // of the columns of a table
	label      int              // of a table: the label's cell; -1 without labels, or beside an array
	labelled   bool             // records have a class
	categories []map[string]int // by feature
	classes    map[string]int32
	stored     []int // of arrays: the shape as stored where channels are last and must be turned, else nil
}

func newEncoder(s *Schema, l layout, unlabelled bool) (*encoder, error) {
	e := &encoder{schema: s, width: s.Width(), names: l.columns, label: -1, labelled: !unlabelled}
	for i := range s.Features {
		e.categories = append(e.categories, index[int](s.Features[i].Categories))
	}
	e.classes = index[int32](s.Label.Classes)
	if l.shape != nil {
		var err error
		e.stored, err = turned(l.shape, s.Shape)
		return e, err
	}
	var err error
	e.inputs, e.label, err = s.inputs(l, unlabelled)
	return e, err
}

func index[N int | int32](list []string) map[string]N {
	m := make(map[string]N, len(list))
	for i, s := range list {
		m[s] = N(i)
	}
	return m
}

// turned gives the stored shape where the schema wants its last dimension first.
func turned(stored, wanted []int) ([]int, error) {
	n, err := elements(stored)
	if err != nil {
		return nil, err
	}
	m, err := elements(wanted)
	if err != nil {
		return nil, err
	}
	if n != m || len(wanted) == 0 {
		return nil, fmt.Errorf("records are stored as arrays of shape %v, the schema has the shape %v", stored, wanted)
	}
	if len(stored) == 3 && !slices.Equal(stored, wanted) && slices.Equal(wanted, []int{stored[2], stored[0], stored[1]}) {
		return stored, nil
	}
	return nil, nil
}

// encode writes a record's numbers to x, which has the encoder's width, and gives its class.
func (e *encoder) encode(r *record, x []float32) (class int32, bad *RowError) {
	if r.bad != nil {
		return 0, r.bad
	}
	if r.cells == nil {
		if bad = e.array(r, x); bad != nil || !e.labelled {
			return 0, bad
		}
		return e.class(r, r.label)
	}
	at := 0
	for i, input := range e.inputs {
		feature := i
		if len(e.schema.Shape) > 0 {
			feature = 0
		}
		f := &e.schema.Features[feature]
		n := f.width()
		problem, remedy := f.encode(r.cells[input], e.categories[feature], x[at:at+n])
		if problem != "" {
			return 0, r.fail(e.names[input], remedy, "%s", problem)
		}
		at += n
	}
	if !e.labelled {
		return 0, nil
	}
	return e.class(r, r.cells[e.label])
}

func (e *encoder) array(r *record, x []float32) *RowError {
	if len(r.values) != e.width {
		return r.fail("", "", "has %d values where the schema has %d", len(r.values), e.width)
	}
	f := &e.schema.Features[0]
	for i, v := range r.values {
		if problem, remedy := f.check(float64(v)); problem != "" {
			return r.fail("", remedy, "value %d %s", i+1, problem)
		}
		x[i] = v + 0 // no negative zero
	}
	if e.stored == nil {
		return nil
	}
	height, width, channels := e.stored[0], e.stored[1], e.stored[2]
	for p := range height * width {
		for c := range channels {
			x[c*height*width+p] = r.values[p*channels+c] + 0
		}
	}
	return nil
}

func (e *encoder) class(r *record, c cell) (int32, *RowError) {
	name := e.schema.Label.Name
	if c.empty() {
		return 0, r.fail(name, "give the record a label, or leave it out", "has no label")
	}
	if class, ok := e.classes[c.text]; ok && !c.typed {
		return class, nil
	}
	if v, ok := c.float(); ok {
		if class, ok := e.classes[formatNumber(v)]; ok {
			return class, nil
		}
	}
	return 0, r.fail(name, "correct it, or add the class to the schema's label",
		"%s is none of the %d classes", quote(c.String()), len(e.classes))
}

const invalidText = "is not text in UTF-8"

// encode writes one cell to the feature's columns, or says what is wrong with it.
func (f *Feature) encode(c cell, categories map[string]int, x []float32) (problem, remedy string) {
	numeric := f.Type == Real || f.Type == Integer
	if c.empty() || numeric && c.missing() {
		if f.Missing == "" {
			return "is empty", "fill it, leave the record out, or say in the schema what a missing value stands for (missing)"
		}
		c = cell{text: f.Missing}
	}
	if numeric {
		v, ok := c.float()
		if !ok {
			return quote(c.String()) + " is not a finite number", "correct it, or declare the feature categorical in the schema"
		}
		x[0] = float32(v) + 0 // no negative zero
		return f.check(v)
	}
	text := c.String()
	k, ok := categories[text]
	if !ok {
		if v, number := c.float(); number {
			k, ok = categories[formatNumber(v)]
		}
	}
	switch {
	case !ok && !utf8.ValidString(text):
		return invalidText, "save the file in UTF-8"
	case !ok:
		return fmt.Sprintf("%s is none of the %d categories", quote(text), len(categories)), "correct it, or add the category to the schema"
	case f.Type == Boolean:
		x[0] = float32(k)
	default:
		clear(x)
		x[k] = 1
	}
	return "", ""
}

// check says what is wrong with a number as a value of the feature, if anything.
func (f *Feature) check(v float64) (problem, remedy string) {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "is not a finite number", "correct it, or leave the record out"
	case math.Abs(v) > math.MaxFloat32:
		return fmt.Sprintf("%v is beyond the range of 32-bit numbers", v), "use a larger unit"
	case f.Min != nil && v < *f.Min:
		return fmt.Sprintf("%v is below the minimum of %v", v, *f.Min), "correct it, or change the limit in the schema"
	case f.Max != nil && v > *f.Max:
		return fmt.Sprintf("%v is above the maximum of %v", v, *f.Max), "correct it, or change the limit in the schema"
	case f.Type == Integer && v != math.Trunc(v):
		return fmt.Sprintf("%v is not a whole number", v), "correct it, or declare the feature real in the schema"
	case f.Type == Integer && float64(float32(v)) != v:
		return fmt.Sprintf("%v is too large to be exact in 32 bits", v), "declare the feature real in the schema, or drop it"
	case f.Type == Boolean && v != 0 && v != 1:
		return fmt.Sprintf("%v is neither 0 nor 1", v), "correct it, or declare the feature's type in the schema"
	}
	return "", ""
}
