package convert

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Limits of what a pickle makes in memory. Long bytes stay in the file.
const (
	maxObjects = 1 << 22
	maxText    = 256 << 20 // of all texts together
	longBytes  = 4 << 10   // from here on bytes are not read but noted
)

// What a pickle can make, beside nil, bool, int64, *big.Int, float64 and string.
type (
	list    struct{ items []any }
	tuple   []any
	dict    struct{ keys, values []any }
	global  string // module.name
	content struct {
		at     io.ReaderAt
		offset int64
		size   int64
	}
	mark struct{}
)

// machine runs the opcodes of a pickle (CPython's Lib/pickletools.py). It imports and calls nothing: names
// are values, and what calls would give is made by build functions of known names alone.
type machine struct {
	source  io.ReaderAt
	in      *bufio.Reader
	at      int64 // of the next byte
	op      byte
	opAt    int64
	end     int64
	stack   []any
	memo    map[uint64]any
	objects int
	text    int64
	loader  loader
}

// loader gives meaning to what a pickle refers to and would call.
type loader interface {
	persistent(id any) (any, error)
	call(name global, args tuple) (any, error)
	state(of any, state any) (any, error)
}

func newMachine(source io.ReaderAt, offset, size int64, l loader) *machine {
	return &machine{source: source, in: bufio.NewReaderSize(io.NewSectionReader(source, offset, size-offset), 64<<10), at: offset, end: size, loader: l}
}

// run runs one stream to its STOP. An error names the byte and the opcode.
func (m *machine) run() (any, error) {
	m.stack, m.memo = m.stack[:0], map[uint64]any{}
	for {
		m.opAt = m.at
		op, err := m.byte()
		if err != nil {
			return nil, m.wrong(err)
		}
		m.op = op
		if op == '.' {
			v, err := m.pop()
			if err != nil {
				return nil, m.wrong(err)
			}
			return v, nil
		}
		if err := m.step(op); err != nil {
			return nil, m.wrong(err)
		}
	}
}

func (m *machine) wrong(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the pickle ends before its STOP")
	}
	return fmt.Errorf("at byte %d (opcode %q): %w", m.opAt, m.op, err)
}

func (m *machine) byte() (byte, error) {
	b, err := m.in.ReadByte()
	if err == nil {
		m.at++
	}
	return b, err
}

// take reads n bytes, which are few or text.
func (m *machine) take(n uint64) ([]byte, error) {
	if n > uint64(m.end-m.at) {
		return nil, io.ErrUnexpectedEOF
	}
	if m.text += int64(n); m.text > maxText {
		return nil, fmt.Errorf("its texts are longer than %d bytes together", maxText)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(m.in, b)
	m.at += int64(n)
	return b, err
}

func (m *machine) line() (string, error) {
	var b []byte
	for {
		c, err := m.byte()
		if err != nil {
			return "", err
		}
		if c == '\n' {
			return string(b), nil
		}
		if b = append(b, c); len(b) > longBytes {
			return "", fmt.Errorf("a line is longer than %d bytes", longBytes)
		}
	}
}

// length reads a number of so many bytes, little-endian.
func (m *machine) length(bytes uint64) (uint64, error) {
	b, err := m.take(bytes)
	var wide [8]byte
	copy(wide[:], b)
	return binary.LittleEndian.Uint64(wide[:]), err
}

// bytes reads bytes, or where they are many notes where they are.
func (m *machine) bytes(n uint64) (any, error) {
	if n > uint64(m.end-m.at) {
		return nil, io.ErrUnexpectedEOF
	}
	if n < longBytes {
		b, err := m.take(n)
		return content{bytes.NewReader(b), 0, int64(n)}, err
	}
	c := content{m.source, m.at, int64(n)}
	m.at += int64(n)
	m.in.Reset(io.NewSectionReader(m.source, m.at, m.end-m.at))
	return c, nil
}

func (m *machine) push(v any) error {
	if m.objects++; m.objects > maxObjects {
		return fmt.Errorf("it makes more than %d objects", maxObjects)
	}
	m.stack = append(m.stack, v)
	return nil
}

func (m *machine) pop() (any, error) {
	n := len(m.stack) - 1
	if n < 0 {
		return nil, errors.New("the stack is empty")
	}
	v := m.stack[n]
	m.stack = m.stack[:n]
	if _, ok := v.(mark); ok {
		return nil, errors.New("there is a mark where an object should be")
	}
	return v, nil
}

func (m *machine) popMark() ([]any, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(mark); ok {
			items := append([]any(nil), m.stack[i+1:]...)
			m.stack = m.stack[:i]
			return items, nil
		}
	}
	return nil, errors.New("there is no mark")
}

// sizes are how many bytes the argument of an opcode has, or the length before it.
var sizes = map[byte]uint64{'K': 1, 'M': 2, 'J': 4, 'h': 1, 'j': 4, 'q': 1, 'r': 4, '\x80': 1, '\x95': 8, '\x8a': 1, '\x8b': 4,
	'X': 4, '\x8c': 1, '\x8d': 8, 'T': 4, 'U': 1, 'B': 4, 'C': 1, '\x8e': 8, '\x96': 8}

func (m *machine) step(op byte) error {
	if n, ok := sizes[op]; ok {
		v, err := m.length(n)
		if err != nil {
			return err
		}
		return m.sized(op, v)
	}
	switch op {
	case '(':
		return m.push(mark{})
	case 'N':
		return m.push(nil)
	case '\x88', '\x89':
		return m.push(op == '\x88')
	case 'G':
		b, err := m.take(8)
		if err != nil {
			return err
		}
		return m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case 'I', 'L', 'F', 'S', 'V', 'p', 'g', 'c':
		return m.textual(op)
	case ')', ']', '}', '\x8f':
		return m.push(map[byte]func() any{')': func() any { return tuple{} }, ']': func() any { return &list{} }, '}': func() any { return &dict{} }, '\x8f': func() any { return &list{} }}[op]())
	case '\x85', '\x86', '\x87':
		n := int(op-'\x85') + 1
		if len(m.stack) < n {
			return errors.New("the stack is empty")
		}
		items := append(tuple(nil), m.stack[len(m.stack)-n:]...)
		m.stack = m.stack[:len(m.stack)-n]
		return m.push(items)
	case 't', 'l', 'd':
		items, err := m.popMark()
		if err != nil {
			return err
		}
		switch op {
		case 't':
			return m.push(tuple(items))
		case 'l':
			return m.push(&list{items})
		}
		d := &dict{}
		if err := d.set(items); err != nil {
			return err
		}
		return m.push(d)
	case 'a', 'e', 's', 'u', '\x90':
		return m.fill(op)
	case '0', '1', '2', '\x94':
		return m.shuffle(op)
	case 'Q', 'R', 'b', '\x81', '\x93':
		return m.resolve(op)
	}
	return fmt.Errorf("byte 0x%02x is no opcode that a file of tensors needs", op)
}

// sized are opcodes with an argument of fixed size, or with a length before it.
func (m *machine) sized(op byte, v uint64) error {
	switch op {
	case 'K', 'M':
		return m.push(int64(v))
	case 'J':
		return m.push(int64(int32(v)))
	case '\x80':
		if v > 5 {
			return fmt.Errorf("it is of protocol %d, which no Python knows", v)
		}
		return nil
	case '\x95': // FRAME
		return nil
	case 'q', 'r':
		return m.put(v)
	case 'h', 'j':
		return m.get(v)
	case '\x8a', '\x8b':
		if v > 1<<10 {
			return fmt.Errorf("a number of %d bytes", v)
		}
		b, err := m.take(v)
		if err != nil {
			return err
		}
		return m.push(long(b))
	case 'X', '\x8c', '\x8d':
		b, err := m.take(v)
		if err != nil {
			return err
		}
		return m.push(string(b))
	}
	v2, err := m.bytes(v)
	if err != nil {
		return err
	}
	if c, ok := v2.(content); ok && (op == 'T' || op == 'U') && c.size < longBytes { // texts of Python 2
		b := make([]byte, c.size)
		if _, err := c.at.ReadAt(b, c.offset); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return m.push(string(b))
	}
	return m.push(v2)
}

// long reads a number in two's complement, little-endian.
func long(b []byte) any {
	if len(b) <= 8 {
		var wide [8]byte
		if len(b) > 0 && b[len(b)-1] >= 0x80 {
			wide = [8]byte{255, 255, 255, 255, 255, 255, 255, 255}
		}
		copy(wide[:], b)
		return int64(binary.LittleEndian.Uint64(wide[:]))
	}
	reversed := make([]byte, len(b))
	for i, c := range b {
		reversed[len(b)-1-i] = c
	}
	n := new(big.Int).SetBytes(reversed)
	if b[len(b)-1] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}

// textual are opcodes of protocol 0, a line each.
func (m *machine) textual(op byte) error {
	line, err := m.line()
	if err != nil {
		return err
	}
	switch op {
	case 'c':
		name, err := m.line()
		if err != nil {
			return err
		}
		return m.push(global(line + "." + name))
	case 'p', 'g':
		i, err := strconv.ParseUint(line, 10, 64)
		if err != nil {
			return err
		}
		if op == 'p' {
			return m.put(i)
		}
		return m.get(i)
	case 'I', 'L':
		if line == "00" || line == "01" {
			return m.push(line == "01")
		}
		i, err := strconv.ParseInt(strings.TrimSuffix(line, "L"), 10, 64)
		if err != nil {
			return err
		}
		return m.push(i)
	case 'F':
		f, err := strconv.ParseFloat(line, 64)
		if err != nil {
			return err
		}
		return m.push(f)
	case 'S':
		if len(line) < 2 || line[0] != line[len(line)-1] || strings.Contains(line, `\`) {
			return errors.New("a text in quotes with escapes")
		}
		return m.push(line[1 : len(line)-1])
	}
	if strings.Contains(line, `\`) {
		return errors.New("a text with escapes")
	}
	return m.push(line)
}

func (m *machine) put(i uint64) error {
	if len(m.stack) == 0 {
		return errors.New("the stack is empty")
	}
	m.memo[i] = m.stack[len(m.stack)-1]
	return nil
}

func (m *machine) get(i uint64) error {
	v, ok := m.memo[i]
	if !ok {
		return fmt.Errorf("the memo has no entry %d", i)
	}
	return m.push(v)
}

func (m *machine) shuffle(op byte) (err error) {
	switch op {
	case '0':
		_, err = m.pop()
	case '1':
		_, err = m.popMark()
	case '2':
		var v any
		if v, err = m.pop(); err == nil {
			m.stack = append(m.stack, v)
			err = m.push(v)
		}
	default: // MEMOIZE
		err = m.put(uint64(len(m.memo)))
	}
	return err
}

func (d *dict) set(items []any) error {
	if len(items)%2 != 0 {
		return errors.New("a key has no value")
	}
	for i := 0; i < len(items); i += 2 {
		d.keys, d.values = append(d.keys, items[i]), append(d.values, items[i+1])
	}
	return nil
}

// fill adds items to a list or dict.
func (m *machine) fill(op byte) error {
	var items []any
	var err error
	switch op {
	case 'e', 'u', '\x90':
		items, err = m.popMark()
	default:
		n := map[byte]int{'a': 1, 's': 2}[op]
		if len(m.stack) < n {
			return errors.New("the stack is empty")
		}
		items = append([]any(nil), m.stack[len(m.stack)-n:]...)
		m.stack = m.stack[:len(m.stack)-n]
	}
	if err != nil {
		return err
	}
	if len(m.stack) == 0 {
		return errors.New("the stack is empty")
	}
	switch to := m.stack[len(m.stack)-1].(type) {
	case *list:
		to.items = append(to.items, items...)
	case *dict:
		return to.set(items)
	default:
		return fmt.Errorf("it adds items to %s", describe(to))
	}
	return nil
}

// resolve are the opcodes that would import and call.
func (m *machine) resolve(op byte) error {
	last, err := m.pop()
	if err != nil {
		return err
	}
	if op == 'Q' {
		v, err := m.loader.persistent(last)
		if err != nil {
			return err
		}
		return m.push(v)
	}
	before, err := m.pop()
	if err != nil {
		return err
	}
	var v any
	switch op {
	case '\x93':
		module, ok1 := before.(string)
		name, ok2 := last.(string)
		if !ok1 || !ok2 {
			return errors.New("it imports something by a name that is no text")
		}
		v = global(module + "." + name)
	case 'b':
		v, err = m.loader.state(before, last)
	default:
		name, ok := before.(global)
		args, ok2 := last.(tuple)
		if !ok || !ok2 {
			return fmt.Errorf("it calls %s", describe(before))
		}
		v, err = m.loader.call(name, args)
	}
	if err != nil {
		return err
	}
	return m.push(v)
}

// describe says what a value is, for errors.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool, int64, float64, *big.Int:
		return fmt.Sprintf("the number %v", v)
	case string:
		return fmt.Sprintf("the text %.40q", v)
	case *list:
		return "a list"
	case tuple:
		return "a tuple"
	case *dict:
		return "a dict"
	case global:
		return "the object " + string(v)
	case content:
		return fmt.Sprintf("%d bytes", v.size)
	case *tensor:
		return "a tensor"
	}
	return fmt.Sprintf("an object of PyTorch's or NumPy's (%T)", v)
}
