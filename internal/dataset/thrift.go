package dataset

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// thriftReader reads Thrift's compact protocol, in which Parquet writes its
// metadata. A list is no longer than the bytes that are left, so what it keeps is in
// proportion to what was read; parquet-go allocates as many elements as a list claims.
type thriftReader struct {
	r     *bufio.Reader
	left  int64 // bytes that may be read
	depth int
}

// Types of the compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

const maxThriftDepth = 32

var errThrift = errors.New("its metadata are damaged")

func newThriftReader(r io.Reader, limit int64) *thriftReader {
	return &thriftReader{r: bufio.NewReaderSize(io.LimitReader(r, limit), 1<<12), left: limit}
}

// ReadByte makes the reader an io.ByteReader.
func (t *thriftReader) ReadByte() (byte, error) {
	if t.left--; t.left < 0 {
		return 0, errThrift
	}
	b, err := t.r.ReadByte()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errThrift, err)
	}
	return b, nil
}

func (t *thriftReader) unsigned() (uint64, error) {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := t.ReadByte()
		if err != nil {
			return 0, err
		}
		if v |= uint64(b&0x7f) << shift; b < 0x80 {
			return v, nil
		}
	}
	return 0, errThrift
}

func (t *thriftReader) integer() (int64, error) {
	v, err := t.unsigned()
	return int64(v>>1) ^ -int64(v&1), err
}

// length reads the length of what takes at least one byte each.
func (t *thriftReader) length() (int64, error) {
	n, err := t.unsigned()
	if err == nil && n > uint64(t.left) {
		err = errThrift
	}
	return int64(n), err
}

func (t *thriftReader) text() (string, error) {
	n, err := t.length()
	if err != nil {
		return "", err
	}
	data := make([]byte, n)
	t.left -= n
	if _, err := io.ReadFull(t.r, data); err != nil {
		return "", fmt.Errorf("%w: %w", errThrift, err)
	}
	return string(data), nil
}

// fields visits the fields of a struct. The visitor reads the field's value, or skips it.
func (t *thriftReader) fields(visit func(id int16, kind byte) error) error {
	if t.depth++; t.depth > maxThriftDepth {
		return errThrift
	}
	defer func() { t.depth-- }()
	id := int16(0)
	for {
		b, err := t.ReadByte()
		if err != nil {
			return err
		}
		if b == 0 {
			return nil
		}
		if delta := int16(b >> 4); delta != 0 {
			id += delta
		} else {
			v, err := t.integer()
			if err != nil {
				return err
			}
			id = int16(v)
		}
		if err := visit(id, b&0xf); err != nil {
			return err
		}
	}
}

// list visits the elements of a list.
func (t *thriftReader) list(visit func(kind byte) error) error {
	if t.depth++; t.depth > maxThriftDepth {
		return errThrift
	}
	defer func() { t.depth-- }()
	b, err := t.ReadByte()
	if err != nil {
		return err
	}
	n := int64(b >> 4)
	if n == 15 {
		if n, err = t.length(); err != nil {
			return err
		}
	}
	for range n {
		if err := visit(b & 0xf); err != nil {
			return err
		}
	}
	return nil
}

func (t *thriftReader) skip(kind byte) error {
	switch kind {
	case thriftTrue, thriftFalse: // a field's value is in its type
		return nil
	case thriftByte:
		_, err := t.ReadByte()
		return err
	case thriftI16, thriftI32, thriftI64:
		_, err := t.unsigned()
		return err
	case thriftDouble:
		return t.discard(8)
	case thriftBinary:
		n, err := t.length()
		if err != nil {
			return err
		}
		return t.discard(n)
	case thriftList, thriftSet:
		return t.list(t.skipElement)
	case thriftMap:
		return t.skipMap()
	case thriftStruct:
		return t.fields(func(_ int16, kind byte) error { return t.skip(kind) })
	}
	return errThrift
}

// skipElement skips an element of a list, where a boolean takes a byte.
func (t *thriftReader) skipElement(kind byte) error {
	if kind == thriftTrue || kind == thriftFalse {
		kind = thriftByte
	}
	return t.skip(kind)
}

func (t *thriftReader) skipMap() error {
	if t.depth++; t.depth > maxThriftDepth {
		return errThrift
	}
	defer func() { t.depth-- }()
	n, err := t.length()
	if err != nil || n == 0 {
		return err
	}
	kinds, err := t.ReadByte()
	for range n {
		if err == nil {
			err = t.skipElement(kinds >> 4)
		}
		if err == nil {
			err = t.skipElement(kinds & 0xf)
		}
		if err != nil {
			return err
		}
	}
	return err
}

func (t *thriftReader) discard(n int64) error {
	t.left -= n
	if t.left < 0 {
		return errThrift
	}
	if _, err := io.CopyN(io.Discard, t.r, n); err != nil {
		return fmt.Errorf("%w: %w", errThrift, err)
	}
	return nil
}

// integers gives a visitor of fields that stores integers and skips the rest.
func (t *thriftReader) integers(into map[int16]*int64) func(int16, byte) error {
	return func(id int16, kind byte) error {
		v, ok := into[id]
		if !ok || kind != thriftI16 && kind != thriftI32 && kind != thriftI64 && kind != thriftByte {
			return t.skip(kind)
		}
		if kind == thriftByte {
			b, err := t.ReadByte()
			*v = int64(int8(b))
			return err
		}
		var err error
		*v, err = t.integer()
		return err
	}
}
