package dataset

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// RowError says what is wrong with one record of a dataset, where, and what to do.
type RowError struct {
	File    string // the file that holds the record
	Row     int64  // the record's number, from 1; a header line does not count
	Line    int64  // in a text file, from 1; else 0
	Column  string // empty where the whole record is meant
	Problem string // such as `"abc" is not a number`
	Remedy  string // such as "correct it"
}

func (e *RowError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, " line %d", e.Line)
	} else {
		fmt.Fprintf(&b, " record %d", e.Row)
	}
	if e.Column != "" {
		fmt.Fprintf(&b, ", column %q", e.Column)
	}
	fmt.Fprintf(&b, ": %s", e.Problem)
	if e.Remedy != "" {
		fmt.Fprintf(&b, "; %s", e.Remedy)
	}
	return b.String()
}

// format is a file or folder that can be read as often as wanted.
type format interface {
	layout() layout
	// records gives every record to visit, which must not keep it, and ends at
	// visit's first error. A record that cannot be read has its bad set.
	records(ctx context.Context, visit func(*record) error) error
	// files lists what the format is read from.
	files() ([]string, error)
}

// layout is what a format's records hold: cells of named columns, or an array
// of values and a label.
type layout struct {
	columns     []string          // of a table
	unsupported map[string]string // why a column cannot be read, by name
	shape       []int             // of one array as stored; nil for a table
	pixels      bool              // the values are whole numbers from 0 to 255
	label       string            // the name of the label; empty where the format knows of none
	classes     []string          // where the format knows them
	rows        int64             // how many records the format claims to have, or 0
}

// record is one record as its format holds it.
type record struct {
	file   string
	row    int64
	line   int64
	cells  []cell    // of a table
	values []float32 // of an array
	label  cell      // beside an array
	bad    *RowError
}

func (r *record) fail(column, remedy, problem string, args ...any) *RowError {
	return &RowError{File: r.file, Row: r.row, Line: r.line, Column: column,
		Problem: fmt.Sprintf(problem, args...), Remedy: remedy}
}

// cell is one value of a table: a text, or a number where the format has numbers.
type cell struct {
	text   string
	number float64
	typed  bool // the value is number
}

func numberCell(v float64) cell { return cell{number: v, typed: true} }

func (c cell) empty() bool { return !c.typed && c.text == "" }

// missing reports whether the cell says that there is no number.
func (c cell) missing() bool {
	if c.typed || len(c.text) > 4 {
		return false
	}
	switch strings.ToLower(c.text) {
	case "", "?", "na", "n/a", "nan", "null", "none":
		return true
	}
	return false
}

// float gives the cell as a finite number.
func (c cell) float() (float64, bool) {
	v := c.number
	if !c.typed {
		// ParseFloat also reads names and hexadecimal numbers, which no table means.
		if c.text == "" || strings.ContainsAny(c.text, "xX_") {
			return 0, false
		}
		var err error
		if v, err = strconv.ParseFloat(c.text, 64); err != nil {
			return 0, false
		}
	}
	return v, !math.IsNaN(v) && !math.IsInf(v, 0)
}

func (c cell) String() string {
	if c.typed {
		return formatNumber(c.number)
	}
	return c.text
}

// formatNumber writes whole numbers without a point or exponent, so that 1, 1.0 and 1e0 are one class.
func formatNumber(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// quote shows a text of the data in an error, cut to a readable length.
func quote(s string) string {
	const limit = 40
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "…"
	}
	return strconv.Quote(s)
}
