package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Content is a dataset on disk as its files have it, of which no schema says what it means.
type Content struct {
	path   string
	format format
	layout layout
}

// Item is a record of a Content.
type Item struct {
	File   string // that holds it
	Number int64  // in the dataset, from 1
	Line   int64  // in a text file, from 1; else 0
	// Digest is the SHA-256 of all that the file says of the record: every cell of a table in the order of the
	// columns, as text or float64, or the values of an array as float32 with its label; each behind its length.
	// Spaces around a cell of a text file are no part of it, nor are the names of columns.
	Digest Digest
	Cell   string // of the column that was asked for
}

// OpenContent recognises a file or folder by its content. The file of labels beside one of arrays is as in Options.
func OpenContent(ctx context.Context, path, labelFile string) (*Content, error) {
	f, err := recognise(ctx, path, &Options{Schema: &Schema{}, LabelFile: labelFile})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Content{path, f, f.layout()}, nil
}

// Columns are the names of a table's columns in their order; nil for arrays.
func (c *Content) Columns() []string { return c.layout.columns }

// Files gives the files that the content is read from with their digests, in the order of their names.
func (c *Content) Files(ctx context.Context) ([]File, error) {
	paths, err := c.format.files()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	var out []File
	for _, path := range slices.Sorted(slices.Values(paths)) {
		file, err := hashFile(ctx, path)
		if err != nil {
			return nil, err
		}
		out = append(out, file)
	}
	return out, nil
}

// Records gives every record to visit, one after the other, and ends at visit's first error. Column is one of a table whose cell each
// item is to have, or empty. A record that cannot be read comes with what is wrong with it (a *RowError), and no digest.
func (c *Content) Records(ctx context.Context, column string, visit func(Item, error) error) error {
	at := slices.Index(c.layout.columns, column)
	if column != "" && at < 0 {
		return fmt.Errorf("%s has no column %s; there are %q", c.path, quote(column), c.layout.columns)
	}
	var text []byte
	err := c.format.records(ctx, func(r *record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		item := Item{File: r.file, Number: r.row, Line: r.line}
		if r.bad != nil {
			return visit(item, r.bad)
		}
		text = r.content(text[:0])
		item.Digest = sha256.Sum256(text)
		if at >= 0 {
			item.Cell = r.cells[at].String()
		}
		return visit(item, nil)
	})
	var row *RowError
	if err != nil && !errors.As(err, &row) {
		return fmt.Errorf("%s: %w", c.path, err)
	}
	return err
}

// content appends all that the record holds, such that no two records have the same.
func (r *record) content(text []byte) []byte {
	add := func(c cell) {
		if c.typed {
			text = binary.LittleEndian.AppendUint64(append(text, 'n'), math.Float64bits(c.number))
			return
		}
		text = binary.LittleEndian.AppendUint64(append(text, 't'), uint64(len(c.text)))
		text = append(text, c.text...)
	}
	text = binary.LittleEndian.AppendUint64(text, uint64(len(r.cells)))
	for _, c := range r.cells {
		add(c)
	}
	text = binary.LittleEndian.AppendUint64(text, uint64(len(r.values)))
	for _, v := range r.values {
		text = binary.LittleEndian.AppendUint32(text, math.Float32bits(v))
	}
	add(r.label)
	return text
}
