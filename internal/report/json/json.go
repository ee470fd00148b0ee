// Package json writes and reads the report for programs, after the schema in
// docs/report.schema.json.
package json

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

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
	text, err := json.MarshalIndent(full(reflect.ValueOf(d)).Interface(), "", "  ")
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

// full copies a value, with an empty list for every nil one, and texts that are UTF-8.
func full(v reflect.Value) reflect.Value {
	switch {
	case v.Kind() == reflect.String:
		c := reflect.New(v.Type()).Elem()
		c.SetString(strings.ToValidUTF8(v.String(), "\ufffd"))
		return c
	case v.Kind() == reflect.Pointer && !v.IsNil():
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(full(v.Elem()))
		return c
	case v.Kind() == reflect.Slice:
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			c.Index(i).Set(full(v.Index(i)))
		}
		return c
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		c := reflect.New(v.Type()).Elem()
		for i := range v.NumField() {
			c.Field(i).Set(full(v.Field(i)))
		}
		return c
	}
	return v
}
