package dataset

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
)

// CopyLines writes the records of the given numbers, which ascend, as their lines are in the
// source: with its quotes, separators and columns, below its header line if it has one. Only
// CSV and TSV have lines; the schema is the one by which the dataset was read.
func CopyLines(ctx context.Context, path string, s *Schema, numbers []int64, w io.Writer) error {
	f, err := recognise(ctx, path, &Options{Schema: s, Unlabelled: true})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	table, ok := f.(*csvFormat)
	if !ok {
		return fmt.Errorf("%s is no CSV or TSV file, so it has no lines to copy: split it yourself, and give the parts as --data and --test-data", path)
	}
	if err := table.copyLines(ctx, numbers, w); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (f *csvFormat) copyLines(ctx context.Context, numbers []int64, w io.Writer) error {
	text, closer, err := f.input.text(ctx)
	if err != nil {
		return err
	}
	defer closer.Close()
	var ahead bytes.Buffer // what the reader has read and this has not
	bounded := &lineReader{r: text, left: maxLine}
	r := f.reader(io.TeeReader(bounded, &ahead))
	row, at := int64(0), int64(0)
	if f.header {
		row--
	}
	for row < 0 || len(numbers) > 0 {
		bounded.left = maxLine
		_, err := r.Read()
		if err == io.EOF {
			break
		}
		var syntax *csv.ParseError
		if err != nil && !errors.As(err, &syntax) {
			return err
		}
		line := ahead.Next(int(r.InputOffset() - at))
		at = r.InputOffset()
		row++
		if row > 0 && row != numbers[0] {
			continue
		}
		if row > 0 {
			numbers = numbers[1:]
		}
		// Empty lines before a record were read with it; the last may lack its end.
		if _, err := w.Write(append(slices.Clone(bytes.Trim(line, "\r\n")), '\n')); err != nil {
			return err
		}
	}
	if len(numbers) > 0 {
		return fmt.Errorf("has no record %d any more: it changed while it was read", numbers[0])
	}
	return nil
}
