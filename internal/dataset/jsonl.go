package dataset

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// jsonlFormat is a table of one JSON object a line. Objects and arrays within it
// give columns with a path as name, such as "address.city" or "pixels.0". The
// first record names the columns; a later record may leave some out (they are empty).
type jsonlFormat struct {
	input   input
	columns []string
}

const maxJSONDepth = 16

func openJSONL(ctx context.Context, src input) (format, error) {
	f := &jsonlFormat{input: src}
	err := f.lines(ctx, func(line []byte, _ int64) error {
		err := flatten(line, func(path string, _ cell) error {
			if len(f.columns) == maxColumns {
				return fmt.Errorf("it has more than %d columns", maxColumns)
			}
			f.columns = append(f.columns, path)
			return nil
		})
		if err != nil {
			return fmt.Errorf("the first record names the columns, but %w", err)
		}
		return errStop
	})
	if err != nil && !errors.Is(err, errStop) {
		return nil, err
	}
	if name, twice := repeated(f.columns); twice {
		return nil, fmt.Errorf("the first record has %s twice", quote(name))
	}
	return f, nil
}

func (f *jsonlFormat) files() ([]string, error) { return []string{f.input.path}, nil }

func (f *jsonlFormat) layout() layout { return layout{columns: f.columns} }

// lines visits every line that is not blank.
func (f *jsonlFormat) lines(ctx context.Context, visit func(line []byte, number int64) error) error {
	text, closer, err := f.input.text(ctx)
	if err != nil {
		return err
	}
	defer closer.Close()
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, maxLine)
	for number := int64(1); lines.Scan(); number++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if err := visit(line, number); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("a line is longer than %d MB", maxLine>>20)
	}
	return lines.Err()
}

func (f *jsonlFormat) records(ctx context.Context, visit func(*record) error) error {
	position := index[int](f.columns)
	rec := record{file: f.input.path, cells: make([]cell, len(f.columns))}
	set := make([]bool, len(f.columns))
	return f.lines(ctx, func(line []byte, number int64) error {
		rec.row++
		rec.line, rec.bad = number, nil
		clear(rec.cells)
		clear(set)
		err := flatten(line, func(path string, c cell) error {
			at, ok := position[path]
			switch {
			case !ok:
				return fmt.Errorf("it has %s, which the first record does not have", quote(path))
			case set[at]:
				return fmt.Errorf("it has %s twice", quote(path))
			}
			rec.cells[at], set[at] = c, true
			return nil
		})
		if err != nil {
			rec.bad = rec.fail("", "write one JSON object a line, with the columns of the first", "the record cannot be read: %v", err)
		}
		return visit(&rec)
	})
}

// flatten visits every value of a JSON object that is no object or array, with its path.
func flatten(line []byte, visit func(path string, c cell) error) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	first, err := d.Token()
	if err == nil && first != json.Delim('{') {
		err = errors.New("it is not an object")
	}
	if err == nil {
		err = flattenInto(d, "", true, 0, visit)
	}
	if err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the object")
	}
	return nil
}

func flattenInto(d *json.Decoder, prefix string, object bool, depth int, visit func(string, cell) error) error {
	if depth == maxJSONDepth {
		return fmt.Errorf("it is nested more than %d deep", maxJSONDepth)
	}
	for i := 0; d.More(); i++ {
		key := strconv.Itoa(i)
		if object {
			t, err := d.Token()
			if err != nil {
				return err
			}
			key = t.(string) // the decoder lets nothing else be a key
		}
		if err := flattenValue(d, prefix+key, depth, visit); err != nil {
			return err
		}
	}
	_, err := d.Token() // the closing bracket
	return err
}

func flattenValue(d *json.Decoder, path string, depth int, visit func(string, cell) error) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	switch t := t.(type) {
	case json.Delim:
		return flattenInto(d, path+".", t == '{', depth+1, visit)
	case json.Number:
		v, err := t.Float64()
		if err != nil {
			return fmt.Errorf("%s is beyond the range of numbers", quote(t.String()))
		}
		return visit(path, numberCell(v))
	case string:
		return visit(path, cell{text: t})
	case bool:
		return visit(path, cell{text: strconv.FormatBool(t)})
	}
	return visit(path, cell{}) // null
}
