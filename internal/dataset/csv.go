package dataset

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxLine bounds one record of a text file, in bytes.
const maxLine = 16 << 20

// csvFormat is a table of values separated by a comma, tab, semicolon or bar, with
// quoted fields as in RFC 4180, with or without a header line.
type csvFormat struct {
	input   input
	comma   rune
	columns []string
	header  bool
}

func openCSV(ctx context.Context, src input, s *Schema) (format, error) {
	r, closer, err := src.text(ctx)
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	sample, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return nil, err
	}
	end := bytes.LastIndexByte(sample, '\n')
	if len(sample) == 1<<20 {
		if end < 0 {
			return nil, errors.New("is no table: its first line is longer than 1 MB")
		}
		sample = sample[:end] // without the line that was cut
	}
	f := &csvFormat{input: src}
	records := f.separate(sample)
	if len(records) == 0 {
		return nil, errors.New("is no table: its first line cannot be read as values separated by commas, tabs, semicolons or bars")
	}
	first := records[0]
	if len(first) > maxColumns {
		return nil, fmt.Errorf("has %d columns, more than %d", len(first), maxColumns)
	}
	switch {
	case len(s.ColumnNames) > 0:
		f.columns, f.header = s.ColumnNames, slices.Equal(first, s.ColumnNames)
	case namesColumns(first, s) || isHeader(first, records[1:]):
		f.columns, f.header = first, true
	default:
		for i := range first {
			f.columns = append(f.columns, fmt.Sprintf("column%d", i+1))
		}
	}
	if len(f.columns) != len(first) {
		return nil, fmt.Errorf("has %d columns where the schema names %d", len(first), len(f.columns))
	}
	if name, twice := repeated(f.columns); twice {
		return nil, fmt.Errorf("has two columns named %s: rename one", quote(name))
	}
	return f, nil
}

// separate finds the separator under which the sample's records agree best, and gives the records.
func (f *csvFormat) separate(sample []byte) [][]string {
	var best [][]string
	chosen, most := ',', 0.0
	for _, comma := range ",\t;|" {
		f.comma = comma
		r := f.reader(bytes.NewReader(sample))
		var records [][]string
		agree := 0
		for len(records) < 100 {
			fields, err := r.Read()
			if err != nil {
				break
			}
			records = append(records, trimmed(slices.Clone(fields)))
			if len(fields) == len(records[0]) {
				agree++
			}
		}
		if len(records) == 0 {
			continue
		}
		// More columns are better, but only if the records have the same number of them.
		score := float64(agree) / float64(len(records)) * float64(min(len(records[0]), 2))
		if score > most {
			best, chosen, most = records, comma, score
		}
	}
	f.comma = chosen
	return best
}

// namesColumns reports whether the line holds the name of each feature and of the label of a schema.
func namesColumns(line []string, s *Schema) bool {
	names := featureNames(s.Features)
	if len(s.Shape) > 0 {
		names = nil // its name is no column's
	}
	if s.Label.Name != "" {
		names = append(names, s.Label.Name)
	}
	return len(names) > 0 && missingFrom(line, names) == ""
}

// isHeader judges by the columns' values: names are different and not empty, and
// stand above numbers, or do not occur again below.
func isHeader(first []string, rest [][]string) bool {
	if _, twice := repeated(first); twice || slices.Contains(first, "") {
		return false
	}
	anyNumber := false
	again := false
	for i, name := range first {
		if _, ok := (cell{text: name}).float(); ok {
			anyNumber = true
			continue
		}
		numbers, values := 0, 0
		for _, r := range rest {
			if i >= len(r) || (cell{text: r[i]}).missing() {
				continue
			}
			values++
			if _, ok := (cell{text: r[i]}).float(); ok {
				numbers++
			}
			again = again || r[i] == name
		}
		if values > 0 && numbers >= 9*(values-numbers) && numbers > 0 {
			return true
		}
	}
	return !anyNumber && !again && len(rest) > 0
}

func trimmed(fields []string) []string {
	for i, f := range fields {
		fields[i] = strings.TrimSpace(f)
	}
	return fields
}

func (f *csvFormat) reader(r io.Reader) *csv.Reader {
	c := csv.NewReader(r)
	c.Comma = f.comma
	c.FieldsPerRecord = -1
	c.ReuseRecord = true
	c.TrimLeadingSpace = f.comma != '\t' // else an empty field at a tab would vanish
	return c
}

func (f *csvFormat) files() ([]string, error) { return []string{f.input.path}, nil }

func (f *csvFormat) layout() layout { return layout{columns: f.columns} }

func (f *csvFormat) records(ctx context.Context, visit func(*record) error) error {
	text, closer, err := f.input.text(ctx)
	if err != nil {
		return err
	}
	defer closer.Close()
	bounded := &lineReader{r: text, left: maxLine}
	r := f.reader(bounded)
	rec := record{file: f.input.path, cells: make([]cell, len(f.columns))}
	header := f.header
	for {
		bounded.left = maxLine
		fields, err := r.Read()
		var syntax *csv.ParseError
		switch {
		case err == io.EOF:
			return nil
		case errors.As(err, &syntax):
			rec.row++
			rec.line = int64(syntax.StartLine)
			rec.bad = rec.fail("", "correct the quotes: a quote inside a quoted field is doubled", "the line cannot be read (%v)", syntax.Err)
		case err != nil:
			return err
		case header:
			header = false
			continue
		default:
			rec.row++
			line, _ := r.FieldPos(0)
			rec.line = int64(line)
			rec.bad = f.fill(&rec, fields)
		}
		if err := visit(&rec); err != nil {
			return err
		}
	}
}

func (f *csvFormat) fill(rec *record, fields []string) *RowError {
	if len(fields) != len(f.columns) {
		return rec.fail("", "correct the line", "has %d values where there are %d columns", len(fields), len(f.columns))
	}
	for i, text := range fields {
		rec.cells[i].text = strings.TrimSpace(text)
	}
	return nil
}

// lineReader fails when too much is read for one record, such as after a quote that never ends.
type lineReader struct {
	r    io.Reader
	left int
}

func (l *lineReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("a record is longer than %d MB: look for a quote that is not closed", maxLine>>20)
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
