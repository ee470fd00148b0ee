// Package flatbuffer reads the tables of flatbuffers in place: of what is in a file, only
// what is asked for is read, and nothing outside it.
package flatbuffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Buffer reads a flatbuffer that is a part of some content. The first error stays, and
// nothing is read after it. Offsets are those in the buffer.
type Buffer struct {
	at   io.ReaderAt
	size int64
	read int
	err  error
}

// Open gives a buffer of some bytes of content.
func Open(at io.ReaderAt, size int64) *Buffer { return &Buffer{at: at, size: size} }

// Err is what is wrong with the buffer as far as it was read.
func (b *Buffer) Err() error { return b.err }

// Root gives the offset of the root table.
func (b *Buffer) Root() int64 { return b.table(int64(b.u32(0))) }

const (
	maxVector = 100_000
	maxReads  = 5_000_000
	maxName   = 64 << 10
)

var errBounds = errors.New("an offset leads out of the file")

func (b *Buffer) bytes(offset, n int64) []byte {
	out := make([]byte, n)
	if b.read++; b.err == nil && (offset < 0 || offset > b.size-n) {
		b.err = errBounds
	}
	if b.read > maxReads {
		b.err = errors.New("it has too many tables")
	}
	if b.err == nil {
		if got, err := b.at.ReadAt(out, offset); int64(got) < n {
			b.err = err
		}
	}
	return out
}

func (b *Buffer) u32(offset int64) uint32 { return binary.LittleEndian.Uint32(b.bytes(offset, 4)) }

// table checks that a table's field list is where it says.
func (b *Buffer) table(offset int64) int64 {
	b.vtable(offset)
	return offset
}

func (b *Buffer) vtable(table int64) (at, length int64) {
	at = table - int64(int32(b.u32(table)))
	return at, int64(binary.LittleEndian.Uint16(b.bytes(at, 2)))
}

// Field gives where a table's field is, 0 where it has none.
func (b *Buffer) Field(table int64, number int) int64 {
	at, length := b.vtable(table)
	entry := int64(4 + 2*number)
	if b.err != nil || entry+2 > length {
		return 0
	}
	offset := int64(binary.LittleEndian.Uint16(b.bytes(at+entry, 2)))
	if offset == 0 {
		return 0
	}
	return table + offset
}

// Vector gives the offset of the first element and the number of elements.
func (b *Buffer) Vector(table int64, number int) (at, n int64) {
	f := b.Field(table, number)
	if f == 0 {
		return 0, 0
	}
	at = f + int64(b.u32(f))
	return at + 4, int64(b.u32(at))
}

// Tables gives the offsets of the tables in a list, of which there are at most 100,000.
func (b *Buffer) Tables(table int64, number int) []int64 {
	at, n := b.Vector(table, number)
	if n > maxVector {
		b.fail(fmt.Errorf("a list has %d elements", n))
	}
	var out []int64
	for i := int64(0); i < n && b.err == nil; i++ {
		p := at + 4*i
		out = append(out, b.table(p+int64(b.u32(p))))
	}
	return out
}

// Scalar gives a number of some bytes, 0 where the table has none.
func (b *Buffer) Scalar(table int64, number int, width int64) int64 {
	f := b.Field(table, number)
	if f == 0 || b.err != nil {
		return 0
	}
	v := make([]byte, 8)
	copy(v, b.bytes(f, width))
	return int64(binary.LittleEndian.Uint64(v))
}

// Text gives a text of at most 64 KiB, empty where the table has none.
func (b *Buffer) Text(table int64, number int) string {
	at, n := b.Vector(table, number)
	if n > maxName {
		b.fail(fmt.Errorf("a text has %d bytes", n))
	}
	if n == 0 || b.err != nil {
		return ""
	}
	return string(b.bytes(at, n))
}

// Table gives the offset of the table that a field refers to, 0 where there is none.
func (b *Buffer) Table(table int64, number int) int64 {
	f := b.Field(table, number)
	if f == 0 || b.err != nil {
		return 0
	}
	return b.table(f + int64(b.u32(f)))
}

// Texts gives a list of texts.
func (b *Buffer) Texts(table int64, number int) []string {
	at, n := b.Vector(table, number)
	if n > maxVector {
		b.fail(fmt.Errorf("a list has %d elements", n))
	}
	var out []string
	for i := int64(0); i < n && b.err == nil; i++ {
		p := at + 4*i
		text := p + int64(b.u32(p))
		length := int64(b.u32(text))
		if length > maxName {
			b.fail(fmt.Errorf("a text has %d bytes", length))
			break
		}
		out = append(out, string(b.bytes(text+4, length)))
	}
	return out
}

// Extent checks that a list of elements of some bytes is within the buffer, and gives its
// number of elements.
func (b *Buffer) Extent(table int64, number int, width int64) int64 {
	at, n := b.Vector(table, number)
	if b.err == nil && n > 0 && at+n*width > b.size {
		b.err = errBounds
	}
	return n
}

// Fail notes that something outside the buffer's tables leads out of the file.
func (b *Buffer) Fail() { b.fail(errBounds) }

func (b *Buffer) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}
