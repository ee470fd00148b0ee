package coreml

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"assay/internal/scan"
)

// Weights scans the file beside a program in a package that holds its numbers
// (mlmodel/src/MILBlob/Blob/StorageFormat.hpp of coremltools).
type Weights struct{}

// Describe names the format and its rule.
func (Weights) Describe() scan.Description {
	return scan.Description{Name: "coreml-weights", Title: "Weights of a Core ML program", Rules: []scan.Rule{{ID: "coreml-extent", Title: "Numbers are not where and as many as the file says"}}}
}

// Of the storage: its records, all of 64 bytes, and the mark of each.
const (
	record   = 64
	sentinel = 0xDEADBEEF
	version  = 2
	maxBlobs = 1 << 20
)

var le = binary.LittleEndian

// Match reports the header and the mark of the first record.
func (Weights) Match(p scan.Probe) bool {
	h := p.Head
	return len(h) >= 2*record && le.Uint32(h) > 0 && le.Uint32(h[4:]) == version && zero(h[8:record]) && le.Uint32(h[record:]) == sentinel
}

func zero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// Scan reads the records and goes over the numbers.
func (Weights) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	at, size, err := f.Random(ctx)
	if err != nil {
		return err
	}
	b := make([]byte, record)
	if _, err := at.ReadAt(b, 0); err != nil {
		return err
	}
	count := le.Uint32(b)
	if count > maxBlobs {
		return fmt.Errorf("it says that it has %d parts", count)
	}
	r.Accounts(0, record)
	for next := int64(record); count > 0; count-- {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n, err := at.ReadAt(b, next); n < record {
			if err == io.EOF {
				extent(f, r, next, "It has %d parts more than there is room for.", count)
				return nil
			}
			return err
		}
		length, offset := le.Uint64(b[8:]), le.Uint64(b[16:])
		if le.Uint32(b) != sentinel || offset != uint64(next)+record || length > uint64(size) || offset > uint64(size)-length {
			extent(f, r, next, "The part at byte %d is said to have %d bytes at %d, which cannot be.", next, length, offset)
			return nil
		}
		end := int64(offset + length)
		r.Accounts(next, end)
		fill := make([]byte, (record-end%record)%record)
		if n, err := at.ReadAt(fill, end); err != nil && err != io.EOF {
			return err
		} else if zero(fill[:n]) {
			r.Accounts(end, end+int64(n))
		}
		next = end + int64(len(fill))
	}
	return nil
}

func extent(f *scan.File, r *scan.Report, offset int64, format string, args ...any) {
	r.AccountsForAll()
	r.Add(scan.Finding{Rule: "coreml-extent", Severity: scan.Medium, Place: f.Place(offset, ""), Message: fmt.Sprintf(format, args...), Remedy: "Get the file again from its source, or convert the model anew."})
}
