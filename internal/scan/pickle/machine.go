package pickle

import (
	"context"
	"errors"
	"fmt"
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
		if k == dict && i%2 == 0 && v&stored != 0 {
			n.flags |= storedKey
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
			if v&stored != 0 && i%2 == 0 && target.kind() == dict {
				n.flags |= storedKey
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
