package pickle

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Limits of one stream. A stream beyond them ends with an error, and is undecided.
const (
	maxStack   = 1 << 21
	maxMemo    = 1 << 21
	maxSparse  = 1 << 16 // entries of the memo far beyond its end
	maxGlobals = 1 << 16
	smallSize  = 1 << 18 // values that are held before others are waited for
)

// machine interprets a stream as Python's unpickler would, on abstract values. What the
// stream would import and call goes to the judge, in the order in which it would happen.
type machine struct {
	ctx     context.Context
	in      *input
	judge   *judge
	heap    heap
	stack   []value
	marks   []int32
	memo    []value // 0 where nothing is: no memo holds an unknown value without a kind
	sparse  map[uint64]value
	memoed  int
	claim   func() // called once, when much memory is needed
	proto   int
	started int64 // offset of the stream
	at      int64 // offset of the opcode
	calls   int
	depth   int   // how many streams it is within
	trial   *bool // of a trial: whether it came to something
}

// vacant is an entry of the memo that was never set.
const vacant = ^value(0)

func newMachine(ctx context.Context, in *input, j *judge) *machine {
	m := &machine{ctx: ctx, in: in, judge: j, claim: func() {}}
	m.heap.next = collectFrom
	j.m = m
	return m
}

// reset makes the machine ready for the next stream.
func (m *machine) reset() {
	m.stack, m.marks, m.memo, m.sparse, m.memoed = m.stack[:0], m.marks[:0], m.memo[:0], nil, 0
	m.heap = heap{next: collectFrom}
	m.proto, m.started, m.calls = 0, m.in.offset(), 0
}

// broken is an error at which the unpickler would stop.
type broken struct{ message string }

func (e *broken) Error() string { return e.message }

func fault(format string, args ...any) error { return &broken{fmt.Sprintf(format, args...)} }

var (
	errUnderflow = &broken{"an opcode needs an object that the stack does not have"}
	errMark      = &broken{"an opcode needs a mark that the stack does not have"}
	errLarge     = errors.New("it makes more objects at a time than a scan holds in memory")
)

func (m *machine) push(v value) { m.stack = append(m.stack, v) }

// floor is where the stack begins above the last mark.
func (m *machine) floor() int {
	if n := len(m.marks); n > 0 {
		return int(m.marks[n-1])
	}
	return 0
}

func (m *machine) pop() (value, error) {
	n := len(m.stack) - 1
	if n < m.floor() {
		return 0, errUnderflow
	}
	v := m.stack[n]
	m.stack = m.stack[:n]
	return v, nil
}

func (m *machine) top() (value, error) {
	if n := len(m.stack) - 1; n >= m.floor() {
		return m.stack[n], nil
	}
	return 0, errUnderflow
}

// popMark gives what is above the last mark, which stays there until the next push.
func (m *machine) popMark() ([]value, error) {
	n := len(m.marks)
	if n == 0 {
		return nil, errMark
	}
	from := m.marks[n-1]
	items := m.stack[from:]
	m.stack, m.marks = m.stack[:from], m.marks[:n-1]
	return items, nil
}

func (m *machine) put(i uint64, v value) error {
	if i < uint64(len(m.memo)) {
		if m.memo[i] == vacant {
			m.memoed++
		}
		m.memo[i] = v
		return nil
	}
	if i > uint64(2*len(m.memo)+1024) {
		if m.sparse == nil {
			m.sparse = map[uint64]value{}
		}
		if _, ok := m.sparse[i]; !ok {
			m.memoed++
		}
		if m.sparse[i] = v; len(m.sparse) > maxSparse {
			return errLarge
		}
		return nil
	}
	if i >= maxMemo {
		return errLarge
	}
	for uint64(len(m.memo)) < i {
		m.memo = append(m.memo, vacant)
		if v, ok := m.sparse[uint64(len(m.memo)-1)]; ok {
			m.memo[len(m.memo)-1] = v
		}
	}
	m.memo = append(m.memo, v)
	if _, ok := m.sparse[i]; !ok {
		m.memoed++
	}
	return nil
}

func (m *machine) get(i uint64) error {
	var v value
	ok := true
	if i < uint64(len(m.memo)) {
		v = m.memo[i]
	} else {
		v, ok = m.sparse[i]
	}
	if !ok || v == vacant {
		return fault("the memo has no entry %d", i)
	}
	m.push(v)
	return nil
}

// container makes a node with items of the stack, which it takes over.
func (m *machine) container(k kind, items []value, most int) value {
	n := node{kind: k, at: m.at}
	for i, v := range items {
		if v.kind() == global {
			m.judge.handed(v)
		}
		if k == tuple && (v.kind() == dict || v.kind() == tuple) && m.heap.node(v).flags&dunderKey != 0 || k == dict && i%2 == 0 && v&dunder != 0 {
			n.flags |= dunderKey
		}
	}
	m.heap.keep(&n, items, most)
	return m.heap.add(n)
}

const (
	mostItems = 16 // kept of a tuple, list or dict
	mostSets  = 4  // kept of a set
)

// extend adds items to an object.
func (m *machine) extend(target value, items []value, op string) {
	switch target.kind() {
	case list, dict, set:
		n := m.heap.node(target)
		for i, v := range items {
			if v&dunder != 0 && i%2 == 0 && target.kind() == dict {
				n.flags |= dunderKey
			}
			if v.kind() == global {
				m.judge.handed(v)
			}
		}
		m.heap.keep(n, items, mostItems)
	default:
		for _, v := range items {
			if v.kind() == global {
				m.judge.handed(v)
			}
		}
		m.judge.extend(target, op)
	}
}

// room collects where there are many objects, and ends the stream where there are too many.
func (m *machine) room() error {
	if err := m.ctx.Err(); err != nil {
		return err
	}
	if len(m.stack) > maxStack || len(m.memo) > maxMemo || len(m.marks) > maxStack {
		return errLarge
	}
	if len(m.stack)+len(m.memo)+m.heap.held() > smallSize {
		m.claim()
	}
	if m.heap.held() <= m.heap.next {
		return nil
	}
	var far []value
	var keys []uint64
	for k, v := range m.sparse {
		keys, far = append(keys, k), append(far, v)
	}
	// Vacant entries have no payload of a node: they are of no kind that has.
	ok := m.heap.collect(m.stack, m.memo, far, m.judge.roots())
	for i, k := range keys {
		m.sparse[k] = far[i]
	}
	if !ok {
		return errLarge
	}
	return nil
}

// run interprets one stream to its STOP and gives what it makes.
func (m *machine) run() (value, error) {
	m.reset()
	for steps := 0; ; steps++ {
		if steps&4095 == 0 {
			if err := m.room(); err != nil {
				return 0, err
			}
		}
		in := m.in
		// The longest argument of fixed size is 8 bytes; with less than that before the
		// end, take tells.
		if len(in.buf)-in.pos < 16 && !in.end {
			in.fill(16)
		}
		m.at = in.base + int64(in.pos)
		if in.pos >= len(in.buf) {
			return 0, in.short()
		}
		op := in.buf[in.pos]
		in.pos++
		var err error
		switch op {
		case 'K': // BININT1
			if in.pos >= len(in.buf) {
				return 0, in.short()
			}
			m.push(make1(integer, uint64(in.buf[in.pos])))
			in.pos++
		case 'J', 'M': // BININT, BININT2
			err = m.number(op)
		case 'G': // BINFLOAT
			if _, err = in.take(8); err == nil {
				m.push(make1(constant, 0))
			}
		case 'N': // NONE
			m.push(make1(none, 0))
		case '\x88', '\x89': // NEWTRUE, NEWFALSE
			m.push(make1(constant, 0))
		case '\x94': // MEMOIZE
			var v value
			if v, err = m.top(); err == nil {
				err = m.put(uint64(m.memoed), v)
			}
		case 'h', 'q', 'j', 'r': // BINGET, BINPUT, LONG_BINGET, LONG_BINPUT
			err = m.recall(op)
		case '\x8c', 'X', 'U', 'C', 'T', 'B', '\x8d', '\x8e', '\x96': // texts and bytes
			err = m.literal(op)
		case '(': // MARK
			m.marks = append(m.marks, int32(len(m.stack)))
		case '.': // STOP
			return m.pop()
		case 'a', 'e', 's', 'u', '\x90': // APPEND, APPENDS, SETITEM, SETITEMS, ADDITEMS
			err = m.fillIn(op)
		case ')', ']', '}', '\x8f', '\x85', '\x86', '\x87', 't', 'l', 'd', '\x91': // containers
			err = m.build(op)
		case '0', '1', '2': // POP, POP_MARK, DUP
			err = m.shuffle(op)
		case 'R', 'b', 'o', '\x81', '\x92', 'i': // REDUCE, BUILD, OBJ, NEWOBJ, NEWOBJ_EX, INST
			err = m.call(op)
		case 'c', '\x93', '\x82', '\x83', '\x84', 'P', 'Q': // GLOBAL, STACK_GLOBAL, EXT1-4, PERSID, BINPERSID
			err = m.resolve(op)
		case 'I', 'L', 'F', 'S', 'V', 'p', 'g': // those of protocol 0, a line each
			err = m.textual(op)
		case '\x8a', '\x8b': // LONG1, LONG4
			err = m.long(op)
		case '\x80': // PROTO
			var b []byte
			if b, err = in.take(1); err == nil {
				if m.proto = int(b[0]); m.proto > 5 {
					err = fault("it is of protocol %d, which no Python knows", m.proto)
				}
			}
		case '\x95': // FRAME: only a hint how much to read at once
			_, err = in.take(8)
		case '\x97': // NEXT_BUFFER
			m.push(make1(opaque, 0))
		case '\x98': // READONLY_BUFFER
			_, err = m.top()
		default:
			err = fault("byte 0x%02x is no opcode", op)
		}
		if err != nil {
			return 0, err
		}
	}
}

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
	s := strings.TrimSpace(string(line))
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
		line, _, err := m.in.line()
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
