package evidence

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// PutRecords writes records as compressed JSON Lines, one a line. The same records
// give the same bytes.
func PutRecords[T any](r *Run, name string, records []T) error {
	var b bytes.Buffer
	z := gzip.NewWriter(&b) // its header holds no time
	e := json.NewEncoder(z)
	for i := range records {
		if err := e.Encode(records[i]); err != nil {
			return fmt.Errorf("%s, record %d: %w", name, i+1, err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return r.Write(name, b.Bytes())
}

// Records reads what PutRecords wrote.
func Records[T any](r *Run, name string) ([]T, error) {
	packed, err := r.Read(name)
	if err != nil {
		return nil, err
	}
	records, err := decodeRecords[T](packed)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", r.path(name), err)
	}
	return records, nil
}

func decodeRecords[T any](packed []byte) ([]T, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: z, N: maxFile + 1}
	d := json.NewDecoder(bufio.NewReader(limited))
	d.DisallowUnknownFields()
	var records []T
	for {
		var record T
		err := d.Decode(&record)
		if limited.N == 0 {
			return nil, fmt.Errorf("it unpacks to more than %d bytes", maxFile)
		}
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", len(records)+1, err)
		}
		records = append(records, record)
	}
}
