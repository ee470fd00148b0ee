package pickle

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
)

// What each group of opcodes does to the stack; machine.run says which are which.

func (m *machine) number(op byte) error {
	if op == 'M' {
		b, err := m.in.take(2)
		if err == nil {
			m.push(make1(integer, uint64(binary.LittleEndian.Uint16(b))))
		}
		return err
	}
	b, err := m.in.take(4)
	if err == nil {
		m.push(whole(int64(int32(binary.LittleEndian.Uint32(b)))))
	}
	return err
}

// torchMagic is the number that PyTorch's legacy files begin with (torch/serialization.py,
// MAGIC_NUMBER), little-endian.
const torchMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"

func (m *machine) long(op byte) error {
	width := 1
	if op == '\x8b' {
		width = 4
	}
	n, err := m.length(width)
	if err != nil || n > 10 {
		m.push(make1(constant, 0))
		if err == nil {
			err = m.in.skip(n)
		}
		return err
	}
	b, err := m.in.take(int(n))
	switch {
	case err != nil:
	case string(b) == torchMagic:
		m.push(make1(magic, 0))
	case n > 8:
		m.push(make1(constant, 0))
	default:
		var number int64
		for i := len(b) - 1; i >= 0; i-- {
			number = number<<8 | int64(b[i])
		}
		if n > 0 && n < 8 && b[n-1] >= 0x80 {
			number -= 1 << (8 * n)
		}
		m.push(whole(number))
	}
	return err
}

func (m *machine) length(width int) (int64, error) {
	b, err := m.in.take(width)
	if err != nil {
		return 0, err
	}
	switch width {
	case 1:
		return int64(b[0]), nil
	case 4:
		return int64(binary.LittleEndian.Uint32(b)), nil
	}
	n := int64(binary.LittleEndian.Uint64(b))
	if n < 0 {
		return 0, fault("a length is larger than any file")
	}
	return n, nil
}

func (m *machine) literal(op byte) error {
	width, k := 4, text
	switch op {
	case '\x8c', 'U': // SHORT_BINUNICODE, SHORT_BINSTRING
		width = 1
	case 'C': // SHORT_BINBYTES
		width, k = 1, blob
	case 'B': // BINBYTES
		k = blob
	case '\x8d': // BINUNICODE8
		width = 8
	case '\x8e', '\x96': // BINBYTES8, BYTEARRAY8
		width, k = 8, blob
	}
	n, err := m.length(width)
	if err != nil {
		return err
	}
	if op == 'T' && n > 1<<31-1 { // BINSTRING has a signed length
		return fault("a length is negative")
	}
	if k == blob && n > maxText {
		m.push(m.heap.add(node{kind: large, at: m.in.offset(), args: value(n)}))
		return m.in.skip(n)
	}
	v, err := m.in.keep(k, n)
	m.push(v)
	return err
}

func (m *machine) recall(op byte) error {
	width := 1
	if op == 'j' || op == 'r' {
		width = 4
	}
	i, err := m.length(width)
	if err != nil {
		return err
	}
	if op == 'h' || op == 'j' {
		return m.get(uint64(i))
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	return m.put(uint64(i), v)
}

func (m *machine) fillIn(op byte) error {
	var items []value
	var one [2]value
	var err error
	switch op {
	case 'a': // APPEND
		one[0], err = m.pop()
		items = one[:1]
	case 's': // SETITEM
		if one[1], err = m.pop(); err == nil {
			one[0], err = m.pop()
		}
		items = one[:]
	default:
		items, err = m.popMark()
	}
	if err != nil {
		return err
	}
	target, err := m.top()
	if err != nil {
		return err
	}
	if (op == 'u') && len(items)%2 != 0 {
		return fault("SETITEMS has a key without a value")
	}
	m.extend(target, items, names[op])
	return nil
}

func (m *machine) build(op byte) error {
	var items []value
	var err error
	k, n := tuple, 0
	switch op {
	case ']':
		k = list
	case '}':
		k = dict
	case '\x8f':
		k = set
	case '\x85', '\x86', '\x87':
		if n = int(op - '\x84'); len(m.stack)-n < m.floor() {
			return errUnderflow
		}
		items = m.stack[len(m.stack)-n:]
		m.stack = m.stack[:len(m.stack)-n]
	case 't', 'l', 'd', '\x91':
		k = map[byte]kind{'t': tuple, 'l': list, 'd': dict, '\x91': set}[op]
		items, err = m.popMark()
	}
	if err != nil {
		return err
	}
	most := mostItems
	if k == set {
		most = mostSets
	}
	v := m.container(k, items, most)
	m.push(v)
	return nil
}

func (m *machine) shuffle(op byte) error {
	switch op {
	case '0': // POP takes a mark where there is nothing above it
		if n := len(m.marks); n > 0 && len(m.stack) == int(m.marks[n-1]) {
			m.marks = m.marks[:n-1]
			return nil
		}
		_, err := m.pop()
		return err
	case '1':
		_, err := m.popMark()
		return err
	}
	v, err := m.top()
	if err == nil {
		m.push(v)
	}
	return err
}

func (m *machine) textual(op byte) error {
	at := m.in.offset()
	line, length, err := m.in.line()
	if err != nil {
		return err
	}
	if op == 'S' || op == 'V' {
		if length > maxText || int64(len(line)) != length {
			m.push(make1(opaque, 0))
			return nil
		}
		k := quoted
		if op == 'V' {
			k = escaped
		}
		m.push(m.in.note(k, line, at))
		return nil
	}
	// To C, which reads these numbers, a text ends at a zero.
	digits, _, _ := strings.Cut(string(line), "\x00")
	s := strings.TrimSpace(digits)
	switch op {
	case 'p', 'g':
		i, err := strconv.ParseUint(strings.TrimPrefix(strings.ReplaceAll(s, "_", ""), "+"), 10, 63)
		if err != nil {
			return fault("%s is no number of a memo entry", shown(s, 20))
		}
		if op == 'g' {
			return m.get(i)
		}
		v, err := m.top()
		if err != nil {
			return err
		}
		return m.put(i, v)
	default: // numbers: Python takes some forms that Go does not, so only what is no number to either is a fault
		n, err := strconv.ParseInt(strings.TrimSuffix(s, "L"), 0, 64)
		switch {
		case op == 'I' && s == "":
			m.push(whole(0))
		case op != 'F' && err == nil && s != "00" && s != "01":
			m.push(whole(n))
		case strings.Trim(s, "0123456789abcdefABCDEFxXoOinyINYtT_+-.L") == "":
			m.push(make1(constant, 0))
		default:
			return fault("%s is no number", shown(s, 20))
		}
	}
	return nil
}

// names are those of opcodes that findings speak of.
var names = map[byte]string{
	'R': "REDUCE", 'b': "BUILD", 'o': "OBJ", '\x81': "NEWOBJ", '\x92': "NEWOBJ_EX", 'i': "INST", 'c': "GLOBAL",
	'\x93': "STACK_GLOBAL", '\x82': "EXT1", '\x83': "EXT2", '\x84': "EXT4", 'P': "PERSID", 'Q': "BINPERSID",
	'a': "APPEND", 'e': "APPENDS", 's': "SETITEM", 'u': "SETITEMS", '\x90': "ADDITEMS",
}

func (m *machine) resolve(op byte) error {
	switch op {
	case 'c':
		module, name, err := m.twoLines()
		if err != nil {
			return err
		}
		m.push(m.judge.global(module, name, names[op]))
	case '\x93':
		name, err := m.pop()
		if err != nil {
			return err
		}
		module, err := m.pop()
		if err != nil {
			return err
		}
		m.push(m.judge.globalOf(module, name))
	case '\x82', '\x83', '\x84':
		b, err := m.in.take(1 << (op - '\x82'))
		if err != nil {
			return err
		}
		code := uint32(0)
		for i := len(b) - 1; i >= 0; i-- {
			code = code<<8 | uint32(b[i])
		}
		m.push(m.judge.extension(code, names[op]))
	case 'P':
		line, err := m.in.asciiLine()
		if errors.Is(err, errLong) {
			m.judge.acted = true // a loader reads on, and nobody knows to what
		}
		if err != nil {
			return err
		}
		m.push(m.judge.persistentText(string(line)))
	case 'Q':
		id, err := m.pop()
		if err != nil {
			return err
		}
		m.push(m.judge.persistentID(id))
	}
	return nil
}

// twoLines reads the module and name of GLOBAL and INST.
func (m *machine) twoLines() (string, string, error) {
	line, _, err := m.in.line()
	if err != nil {
		return "", "", err
	}
	module := string(line)
	line, _, err = m.in.line()
	return module, string(line), err
}

func (m *machine) call(op byte) error {
	m.calls++
	switch op {
	case 'i': // INST: arguments above the mark, the class in the stream
		module, name, err := m.twoLines()
		if err != nil {
			return err
		}
		items, err := m.popMark()
		if err != nil {
			return err
		}
		args := m.container(tuple, items, mostItems)
		m.push(m.judge.call(m.judge.global(module, name, "INST"), args, "INST"))
	case 'o': // OBJ: the class and arguments above the mark
		items, err := m.popMark()
		if err != nil {
			return err
		}
		if len(items) == 0 {
			return errUnderflow
		}
		callee := items[0]
		args := m.container(tuple, items[1:], mostItems)
		m.push(m.judge.call(callee, args, "OBJ"))
	case 'R', '\x81':
		args, err := m.pop()
		if err != nil {
			return err
		}
		callee, err := m.pop()
		if err != nil {
			return err
		}
		m.push(m.judge.call(callee, args, names[op]))
	case '\x92':
		keywords, err := m.pop()
		if err != nil {
			return err
		}
		args, err := m.pop()
		if err != nil {
			return err
		}
		callee, err := m.pop()
		if err != nil {
			return err
		}
		m.push(m.judge.callWith(callee, args, keywords, names[op]))
	case 'b':
		state, err := m.pop()
		if err != nil {
			return err
		}
		target, err := m.top()
		if err != nil {
			return err
		}
		return m.judge.build(target, state)
	}
	return nil
}
