package rdata

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// input reads numbers and texts in one of the forms. The first error stays, and nothing is
// read after it.
type input struct {
	in   *bufio.Reader
	form form
	at   int64 // bytes that were read
	err  error
}

const (
	maxWord = 64      // bytes of a number in ASCII
	maxText = 1 << 20 // bytes of a text that are kept
)

var errEnd = errors.New("it ends within an object")

func (i *input) fail(format string, args ...any) {
	if i.err == nil {
		i.err = fmt.Errorf(format, args...)
	}
}

func (i *input) ended(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errEnd
	}
	if i.err == nil {
		i.err = err
	}
}

func (i *input) skip(n int64) {
	if n < 0 {
		i.fail("a length is %d", n)
	}
	if i.err != nil {
		return
	}
	got, err := io.CopyN(io.Discard, i.in, n)
	i.at += got
	if err != nil {
		i.ended(err)
	}
}

func (i *input) read(b []byte) {
	if i.err != nil {
		return
	}
	n, err := io.ReadFull(i.in, b)
	i.at += int64(n)
	if err != nil {
		i.ended(err)
	}
}

// word reads what stands between white space in the form ASCII.
func (i *input) word() string {
	var out []byte
	for i.err == nil {
		c, err := i.in.ReadByte()
		if err != nil {
			i.ended(err)
			break
		}
		i.at++
		if c == ' ' || c == '\n' || c == '\r' || c == '\t' {
			if len(out) > 0 {
				return string(out)
			}
			continue
		}
		if out = append(out, c); len(out) > maxWord {
			i.fail("a number has more than %d characters", maxWord)
		}
	}
	return ""
}

// integer reads a number of 32 bits. R's missing value is the smallest there is.
func (i *input) integer() int32 {
	var b [4]byte
	switch i.form {
	case xdr:
		i.read(b[:])
		return int32(binary.BigEndian.Uint32(b[:]))
	case native:
		i.read(b[:])
		return int32(binary.LittleEndian.Uint32(b[:]))
	}
	w := i.word()
	if w == "NA" {
		return math.MinInt32
	}
	n, err := strconv.ParseInt(w, 10, 32)
	if err != nil {
		i.fail("%q stands where a number must be", w)
	}
	return int32(n)
}

// length reads the length of a vector, of 32 bits or behind -1 of 64.
func (i *input) length() int64 {
	n := int64(i.integer())
	if n == -1 {
		high, low := uint32(i.integer()), uint32(i.integer())
		n = int64(high)<<32 | int64(low)
	}
	if n < 0 || n > 1<<48 {
		i.fail("a length is %d", n)
		return 0
	}
	return n
}

// numbers goes over numbers of some bytes each, which in ASCII are words.
func (i *input) numbers(n, width, words int64) {
	if i.form != ascii {
		i.skip(n * width)
		return
	}
	for range n * words {
		if i.word(); i.err != nil {
			return
		}
	}
}

// text reads a text of some bytes, which in ASCII is escaped as in C.
func (i *input) text(n int64) string {
	if n < 0 || n > 1<<31 {
		i.fail("a text has %d bytes", n)
	}
	if i.err != nil {
		return ""
	}
	if n > maxText && i.form != ascii {
		i.skip(n)
		return ""
	}
	if i.form != ascii {
		b := make([]byte, n)
		i.read(b)
		return string(b)
	}
	var out []byte
	for k := range n {
		c := i.character(k == 0)
		if i.err != nil {
			return ""
		}
		if len(out) < maxText {
			out = append(out, c)
		}
	}
	return string(out)
}

func (i *input) byte() byte {
	var b [1]byte
	i.read(b[:])
	return b[0]
}

func (i *input) character(first bool) byte {
	c := i.byte()
	for first && (c == ' ' || c == '\n' || c == '\r' || c == '\t') && i.err == nil {
		c = i.byte()
	}
	if c != '\\' || i.err != nil {
		return c
	}
	c = i.byte()
	if c < '0' || c > '7' {
		if plain, ok := map[byte]byte{'n': '\n', 't': '\t', 'v': '\v', 'b': '\b', 'r': '\r', 'f': '\f', 'a': '\a'}[c]; ok {
			return plain
		}
		return c
	}
	value := c - '0'
	for range 2 {
		next, err := i.in.Peek(1)
		if err != nil || next[0] < '0' || next[0] > '7' {
			break
		}
		value = value*8 + i.byte() - '0'
	}
	return value
}
