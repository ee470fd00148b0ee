// Package wire walks protobuf messages of any size in place: of what is in a file, only
// what is asked for is read.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// source is content with a window of it in memory.
type source struct {
	at     io.ReaderAt
	size   int64
	window []byte
	start  int64
}

const windowBytes = 64 << 10

// bytes gives up to n bytes at an offset, at most those of a window. They are good until
// the next call.
func (s *source) bytes(offset, n int64) ([]byte, error) {
	n = min(n, s.size-offset, windowBytes)
	if offset < s.start || offset+n > s.start+int64(len(s.window)) {
		if cap(s.window) == 0 {
			s.window = make([]byte, windowBytes)
		}
		s.window = s.window[:min(windowBytes, s.size-offset)]
		s.start = offset
		if got, err := s.at.ReadAt(s.window, offset); got < len(s.window) {
			s.window = s.window[:0]
			return nil, fmt.Errorf("it could not be read at byte %d: %w", offset, err)
		}
	}
	return s.window[offset-s.start:][:n], nil
}

// Message is a message, or any field that holds bytes.
type Message struct {
	source   *source
	from, to int64
	depth    int
}

// Open gives the message that all of some content is.
func Open(at io.ReaderAt, size int64) Message {
	return Message{source: &source{at: at, size: size}, to: size}
}

// Len is how many bytes there are.
func (m Message) Len() int64 { return m.to - m.from }

// Offset is where the message begins in the content.
func (m Message) Offset() int64 { return m.from }

// Field is a field of a message.
type Field struct {
	Number int
	Type   protowire.Type
	Value  uint64  // of a number
	Body   Message // of bytes, a text or a message
	Offset int64   // of its tag
}

const maxDepth = 100

// ErrDamaged says that content is no protobuf message.
var ErrDamaged = errors.New("it is cut short or damaged")

// errType says that a number stands where bytes must be.
var errType = fmt.Errorf("%w: a field is of another type than its number says", ErrDamaged)

// Fields calls f for each field in order, up to the first error. Groups, which no format
// of models has, are an error.
func (m Message) Fields(f func(Field) error) error {
	if m.source == nil {
		return errType
	}
	if m.depth > maxDepth {
		return fmt.Errorf("messages are nested more than %d deep", maxDepth)
	}
	for at := m.from; at < m.to; {
		b, err := m.source.bytes(at, min(m.to-at, 2*binary.MaxVarintLen64))
		if err != nil {
			return err
		}
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w at byte %d", ErrDamaged, at)
		}
		field := Field{Number: int(number), Type: kind, Offset: at}
		used := 0
		switch kind {
		case protowire.VarintType:
			field.Value, used = protowire.ConsumeVarint(b[n:])
		case protowire.Fixed32Type:
			var v uint32
			v, used = protowire.ConsumeFixed32(b[n:])
			field.Value = uint64(v)
		case protowire.Fixed64Type:
			field.Value, used = protowire.ConsumeFixed64(b[n:])
		case protowire.BytesType:
			var length uint64
			length, used = protowire.ConsumeVarint(b[n:])
			if used < 0 || length > uint64(m.to-at-int64(n+used)) {
				return fmt.Errorf("%w at byte %d", ErrDamaged, at)
			}
			body := at + int64(n+used)
			field.Body = Message{source: m.source, from: body, to: body + int64(length), depth: m.depth + 1}
			at = body + int64(length) - int64(n+used)
		default:
			used = -1
		}
		if used < 0 {
			return fmt.Errorf("%w at byte %d", ErrDamaged, at)
		}
		at += int64(n + used)
		if err := f(field); err != nil {
			return err
		}
	}
	return nil
}

// MaxText is how many bytes of a text are read.
const MaxText = 32 << 10

// Text gives a field's bytes, an error where they are more than MaxText.
func (m Message) Text() (string, error) {
	if m.source == nil {
		return "", errType
	}
	if m.Len() > MaxText {
		return "", fmt.Errorf("a name or text at byte %d has %d bytes, and at most %d are read", m.from, m.Len(), MaxText)
	}
	b, err := m.source.bytes(m.from, m.Len())
	return string(b), err
}

// Head gives up to n of a field's first bytes.
func (m Message) Head(n int64) (string, error) {
	if m.source == nil {
		return "", errType
	}
	b, err := m.source.bytes(m.from, min(n, m.Len()))
	return string(b), err
}
