package dataset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Texts are records of one text each.
type Texts struct {
	Texts  []string
	Labels []string // each text's class by name
	Number []int64  // each record's number in its source, from 1
}

// Limits of what is read as texts.
const (
	maxTextBytes = 1 << 20 // of one text
	maxTextsSize = 1 << 30 // of all
)

// LoadTexts reads the columns of a table (CSV, TSV, Parquet or JSON Lines) that hold texts and their classes. Other
// columns do not count.
func LoadTexts(ctx context.Context, path, column, label string) (*Texts, error) {
	f, err := recognise(ctx, path, &Options{Schema: &Schema{}})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	l := f.layout()
	at, of := slices.Index(l.columns, column), slices.Index(l.columns, label)
	switch {
	case l.shape != nil:
		return nil, fmt.Errorf("%s holds arrays, and texts are read from tables: CSV, TSV, Parquet or JSON Lines", path)
	case at < 0:
		return nil, fmt.Errorf("%s has no column %s for the texts; there are %q", path, quote(column), l.columns)
	case of < 0:
		return nil, fmt.Errorf("%s has no column %s for the label; there are %q", path, quote(label), l.columns)
	}
	out, size := &Texts{}, 0
	err = f.records(ctx, func(r *record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.bad != nil {
			return r.bad
		}
		text, class := r.cells[at].String(), r.cells[of]
		switch {
		case class.empty():
			return r.fail(label, "give the record a label, or leave it out", "has no label")
		case !utf8.ValidString(text):
			return r.fail(column, "save the file in UTF-8", invalidText)
		case len(text) > maxTextBytes:
			return r.fail(column, "cut it", "is longer than %d kB", maxTextBytes>>10)
		}
		if size += len(text); size > maxTextsSize {
			return errors.New("the texts are more than 1 GB together: give fewer")
		}
		out.Texts, out.Labels, out.Number = append(out.Texts, text), append(out.Labels, class.String()), append(out.Number, r.row)
		return nil
	})
	if err != nil {
		var row *RowError
		if errors.As(err, &row) {
			return nil, err
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(out.Texts) == 0 {
		return nil, fmt.Errorf("%s has no records", path)
	}
	return out, nil
}
