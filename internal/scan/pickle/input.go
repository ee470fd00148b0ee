package pickle

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// input is the stream that is interpreted, through a window. Texts are not copied where
// the content can be read again in place: a value says where its text is.
type input struct {
	at    io.ReaderAt // nil where it can be read only forwards
	r     io.Reader   // where at is nil
	size  int64       // -1 where it is not known
	base  int64       // offset of the window's first byte
	buf   []byte      // the window
	pos   int         // in it
	end   bool        // nothing comes after the window
	err   error       // what reading ended with, if not the end
	arena []byte      // texts, where at is nil
}

const (
	window   = 128 << 10
	maxText  = 1<<16 - 1
	maxArena = 8 << 20
)

var errEnd = errors.New("the stream ends early")

func newInput(at io.ReaderAt, r io.Reader, size int64) *input {
	return &input{at: at, r: r, size: size, buf: make([]byte, 0, window)}
}

func (in *input) offset() int64 { return in.base + int64(in.pos) }

// fill reads on, and reports whether n bytes are there from the position on.
func (in *input) fill(n int) bool {
	if n > window {
		return false
	}
	in.base += int64(in.pos)
	rest := copy(in.buf[:cap(in.buf)], in.buf[in.pos:])
	in.buf, in.pos = in.buf[:rest], 0
	for len(in.buf) < n && !in.end {
		free := in.buf[len(in.buf):cap(in.buf)]
		var got int
		var err error
		if in.at != nil {
			got, err = in.at.ReadAt(free, in.base+int64(len(in.buf)))
		} else {
			got, err = in.r.Read(free)
		}
		in.buf = in.buf[:len(in.buf)+got]
		if err != nil {
			in.end = true
			if !errors.Is(err, io.EOF) {
				in.err = err
			}
		}
	}
	return len(in.buf) >= n
}

// take gives the next n bytes, at most a window. They stay until the next call.
func (in *input) take(n int) ([]byte, error) {
	if len(in.buf)-in.pos < n && !in.fill(n) {
		return nil, in.short()
	}
	b := in.buf[in.pos : in.pos+n]
	in.pos += n
	return b, nil
}

func (in *input) short() error {
	if in.err != nil {
		return in.err
	}
	return errEnd
}

// skip goes over n bytes, without reading them where the content is in place.
func (in *input) skip(n int64) error {
	if n < 0 {
		return errors.New("a length is negative")
	}
	if rest := int64(len(in.buf) - in.pos); n <= rest {
		in.pos += int(n)
		return nil
	}
	if in.at != nil {
		if n > in.size-in.offset() {
			return in.short()
		}
		in.base, in.pos, in.buf, in.end = in.offset()+n, 0, in.buf[:0], false
		return nil
	}
	n -= int64(len(in.buf) - in.pos)
	in.pos = len(in.buf)
	for n > 0 {
		if !in.fill(1) {
			return in.short()
		}
		step := int(min(n, int64(len(in.buf))))
		in.pos, n = step, n-int64(step)
	}
	return nil
}

// line reads up to a newline, which is not part of it. Of a longer one than a window the
// first part is given.
func (in *input) line() (line []byte, length int64, err error) {
	if i := bytes.IndexByte(in.buf[in.pos:], '\n'); i >= 0 {
		line = in.buf[in.pos : in.pos+i]
		in.pos += i + 1
		return line, int64(i), nil
	}
	in.fill(window)
	i := bytes.IndexByte(in.buf[in.pos:], '\n')
	if i >= 0 {
		line = in.buf[in.pos : in.pos+i]
		in.pos += i + 1
		return line, int64(i), nil
	}
	if in.end {
		in.pos = len(in.buf)
		return nil, 0, in.short()
	}
	line = bytes.Clone(in.buf)
	for i < 0 {
		length += int64(len(in.buf) - in.pos)
		in.pos = len(in.buf)
		if !in.fill(1) {
			return nil, 0, in.short()
		}
		i = bytes.IndexByte(in.buf, '\n')
	}
	in.pos = i + 1
	return line, length + int64(i), nil
}

var (
	errLong  = fault("a persistent id has more than %d bytes", maxLong)
	errASCII = fault("a persistent id is no ASCII, as protocol 0 needs it")
)

const maxLong = 1 << 20

// asciiLine reads up to a newline, and no further than to what is no ASCII, as Python goes
// no further with a persistent id. Of a longer one than a window the first part is given.
func (in *input) asciiLine() ([]byte, error) {
	var line []byte
	for length := 0; ; {
		if in.pos == len(in.buf) && !in.fill(1) {
			return nil, in.short()
		}
		part := in.buf[in.pos:]
		i := bytes.IndexByte(part, '\n')
		if i >= 0 {
			part = part[:i]
		}
		if !ascii(part) {
			return nil, errASCII
		}
		line = append(line, part[:min(len(part), window-len(line))]...)
		in.pos += len(part)
		if i >= 0 {
			in.pos++
			return line, nil
		}
		if length += len(part); length > maxLong {
			return nil, errLong
		}
	}
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// keep makes a value of a text of n bytes that begins at the position, and goes over it.
func (in *input) keep(k kind, n int64) (value, error) {
	if n > maxText || n < 0 {
		return make1(opaque, 0), in.skip(n)
	}
	at := in.offset()
	b, err := in.take(int(n))
	if err != nil {
		return 0, err
	}
	return in.note(k, b, at), nil
}

// note makes a value of a text at an offset.
func (in *input) note(k kind, b []byte, at int64) value {
	var flag value
	if len(b) >= 2 && b[0] == '_' && b[1] == '_' || k != text && k != blob && (bytes.IndexByte(b, '\\') >= 0 || bytes.Contains(b, []byte("__"))) {
		flag = dunder
	}
	if keepsRecords(b) {
		flag |= stored
	}
	if in.at == nil {
		if len(in.arena)+len(b) > maxArena {
			return make1(opaque, 0) | flag
		}
		at = int64(len(in.arena))
		in.arena = append(in.arena, b...)
	}
	return make1(k, uint64(at)<<16|uint64(len(b))) | flag
}

// span is where the bytes of a value are in the content, where that is known.
func (in *input) span(v value) (offset, length int64) {
	return int64(v.payload() >> 16), int64(v.payload() & maxText)
}

// raw gives the bytes of a value of a text, nil if they are not there.
func (in *input) raw(v value) []byte {
	offset, length := in.span(v)
	if in.at == nil {
		return in.arena[offset : offset+length]
	}
	if from := offset - in.base; from >= 0 && from+length <= int64(len(in.buf)) {
		return in.buf[from : from+length]
	}
	b := make([]byte, length)
	if n, _ := in.at.ReadAt(b, offset); int64(n) < length {
		return nil
	}
	return b
}

// text gives the text of a value, as Python would have it.
func (in *input) text(v value) (string, bool) {
	if !v.isText() {
		return "", false
	}
	b := in.raw(v)
	if b == nil && v.payload()&maxText > 0 {
		return "", false
	}
	switch v.kind() {
	case escaped:
		return unescape(string(b), false), true
	case quoted:
		s := strings.TrimSpace(string(b))
		if len(s) >= 2 && (s[0] == '\'' || s[0] == '"') && s[len(s)-1] == s[0] {
			s = s[1 : len(s)-1]
		}
		return unescape(s, true), true
	}
	return string(b), true
}

// unescape reads the escapes of Python: only \u and \U in UNICODE (raw-unicode-escape),
// those of bytes literals in STRING.
func unescape(s string, all bool) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' || i+1 >= len(s) {
			out.WriteByte(s[i])
			i++
			continue
		}
		digits := map[byte]int{'u': 4, 'U': 8}[s[i+1]]
		if all {
			digits = map[byte]int{'x': 2}[s[i+1]]
		}
		if n, err := strconv.ParseUint(s[min(i+2, len(s)):min(i+2+digits, len(s))], 16, 32); digits > 0 && err == nil && i+2+digits <= len(s) {
			if all {
				out.WriteByte(byte(n))
			} else {
				out.WriteRune(rune(n))
			}
			i += 2 + digits
			continue
		}
		if !all {
			out.WriteByte(s[i])
			i++
			continue
		}
		if n := octal(s[i+1:]); n > 0 {
			c, _ := strconv.ParseUint(s[i+1:i+1+n], 8, 16)
			out.WriteByte(byte(c))
			i += 1 + n
			continue
		}
		if c, ok := map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', '\\': '\\', '\'': '\'', '"': '"', 'a': 7, 'b': 8, 'f': 12, 'v': 11}[s[i+1]]; ok {
			out.WriteByte(c)
		} else {
			out.WriteString(s[i : i+2])
		}
		i += 2
	}
	return out.String()
}

func octal(s string) int {
	n := 0
	for n < len(s) && n < 3 && s[n] >= '0' && s[n] <= '7' {
		n++
	}
	return n
}

// shown is a text fit to be printed, cut after so many bytes.
func shown(s string, most int) string {
	cut := ""
	if len(s) > most {
		for most > 0 && !utf8.RuneStart(s[most]) {
			most--
		}
		s, cut = s[:most], "…"
	}
	q := strconv.QuoteToGraphic(s)
	return q[:len(q)-1] + cut + `"`
}
