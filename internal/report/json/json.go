// Package json writes and reads the report for programs, after the schema in
// docs/report.schema.json.
package json

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"assay/internal/report"
)

//go:generate go run ./internal/reportschema ../../../docs/report.schema.json

// maxBytes bounds what is read: a thousand times what large reports have.
const maxBytes = 1 << 30

// Write writes a document as JSON, indented, with its fields in the order of the
// types. The same document gives the same bytes; lists that are nil are written as
// empty ones, so that only numbers that were not observed are null. Nothing is written of a
// document in which Check finds something wrong.
func Write(w io.Writer, d *report.Document) error {
	if err := d.Check(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(d.Map(report.ValidUTF8), "", "  ")
	if err != nil {
		return fmt.Errorf("the report cannot be written as JSON: %w", err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// Read reads what Write has written. A field that it does not know is an error, as
// is anything in which Check finds something wrong.
func Read(r io.Reader) (*report.Document, error) {
	limited := &io.LimitedReader{R: r, N: maxBytes}
	decoder := json.NewDecoder(limited)
	decoder.DisallowUnknownFields()
	d := &report.Document{}
	if err := decoder.Decode(d); err != nil {
		if limited.N == 0 {
			return nil, fmt.Errorf("the report has more than %d bytes", maxBytes)
		}
		return nil, fmt.Errorf("the file is no report of schema %s: at byte %d: %w", report.Version, decoder.InputOffset(), err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the file is no report: something follows the document at byte %d", decoder.InputOffset())
	}
	return d, d.Check()
}
