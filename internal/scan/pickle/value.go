package pickle

// value is an abstract value: what is known of a Python object without making it. It is
// one word, so that streams of many millions of objects fit into little memory: the kind
// in bits 56 to 61, below it what the kind says.
type value uint64

type kind uint8

const (
	unknown  kind = iota // any object
	none                 // None
	constant             // a bool, float, or a number that is not needed
	integer              // payload: the number, 48 bits, two's complement
	magic                // the number that PyTorch's legacy files begin with
	text                 // payload: where the text is, see input.text
	quoted               // text as STRING has it, with quotes and escapes
	escaped              // text as UNICODE has it, with escapes
	blob                 // bytes; payload: as of text
	opaque               // text or bytes that are not kept
	list                 // payload of these: index of a node
	tuple
	dict
	set
	object     // what a call gave
	large      // bytes too long for a blob
	persistent // what the loader makes of an id
	global     // payload: index in globals
)

const (
	payloadBits = 56
	payloadMask = 1<<payloadBits - 1
	dunder      = value(1) << 62 // of texts: it begins with two underscores, or may
	stored      = value(1) << 63 // of texts: it is a name under which an estimator keeps records that it was trained on
)

func make1(k kind, payload uint64) value { return value(k)<<payloadBits | value(payload&payloadMask) }

func (v value) kind() kind      { return kind(v>>payloadBits) & 0x3f }
func (v value) payload() uint64 { return uint64(v) & payloadMask }
func (v value) isNode() bool    { k := v.kind(); return k >= list && k <= persistent }
func (v value) isText() bool    { k := v.kind(); return k >= text && k <= escaped }

// whole makes an integer, as far as it is small.
func whole(n int64) value {
	if n < -1<<47 || n >= 1<<47 {
		return make1(constant, 0)
	}
	return make1(integer, uint64(n)&(1<<48-1))
}

func (v value) int() (int64, bool) {
	return int64(v.payload()<<16) >> 16, v.kind() == integer
}

// node is an object with others in it. Of many items the first are kept: what is done with
// an object depends on few, and all were judged when they were made.
type node struct {
	callee value  // of an object: what was called
	args   value  // of an object: with what; of persistent: its id; of large: how many bytes
	at     int64  // where it was made
	first  uint32 // of its items
	count  uint32 // how many items there are
	kept   uint16 // how many are kept
	room   uint16 // how many may be
	flags  uint8
	kind   kind
}

const (
	dunderKey uint8 = 1 << iota // of a dict, or a tuple with one: a key begins with two underscores
	built                       // of an object: a state was set
	unsafe                      // of an object: it is not known to be harmless
	storedKey                   // of a dict: a key is a name of stored records
)

// store is a slice in parts that never move, so that it grows without a copy of it all.
type store[T any] struct {
	parts [][]T
	n     int
}

const part = 1 << 13

func (s *store[T]) at(i uint64) *T { return &s.parts[i/part][i%part] }

// grow adds n elements in a row, at most a part, and gives the index of the first.
func (s *store[T]) grow(n int) int {
	if s.n%part+n > part {
		s.n += part - s.n%part
	}
	if s.n/part >= len(s.parts) {
		s.parts = append(s.parts, make([]T, part))
	}
	s.n += n
	return s.n - n
}

func (s *store[T]) slice(first, n int) []T {
	if n == 0 {
		return nil
	}
	return s.parts[first/part][first%part : first%part+n]
}

// heap holds the nodes and their items. Those that nothing refers to any more are
// removed when there are many.
type heap struct {
	nodes store[node]
	items store[value]
	next  int // how many nodes and items there may be before the next collection
}

const (
	collectFrom = 1 << 17
	maxHeld     = 5 << 20 // nodes and items: 2^20 lists within each other are 3·2^20
)

func (h *heap) add(n node) value {
	i := h.nodes.grow(1)
	*h.nodes.at(uint64(i)) = n
	return make1(n.kind, uint64(i))
}

func (h *heap) held() int { return h.nodes.n + h.items.n }

func (h *heap) node(v value) *node { return h.nodes.at(v.payload()) }

// keep adds items to a node, as many as there is room for.
func (h *heap) keep(n *node, items []value, most int) {
	if n.room == 0 && len(items) > 0 {
		least := 2
		if n.kind == tuple {
			least = 1
		}
		n.room = uint16(min(max(len(items), least), most))
		n.first = uint32(h.items.grow(int(n.room)))
	}
	room := h.items.slice(int(n.first), int(n.room))
	if take := len(items) - int(n.room-n.kept); take > 0 && int(n.room) < min(most, len(items)+int(n.kept)) {
		wider := uint16(min(most, max(2*int(n.room), len(items)+int(n.kept))))
		first := h.items.grow(int(wider))
		copy(h.items.slice(first, int(wider)), room[:n.kept])
		n.first, n.room = uint32(first), wider
		room = h.items.slice(first, int(wider))
	}
	n.kept += uint16(copy(room[n.kept:], items))
	n.count += uint32(len(items))
}

func (h *heap) kept(v value) []value {
	n := h.node(v)
	return h.items.slice(int(n.first), int(n.kept))
}

// collect removes what cannot be reached from the roots, which it rewrites. It reports
// whether what is left is within the limits.
func (h *heap) collect(roots ...[]value) bool {
	old := *h
	*h = heap{}
	moved := make([]uint32, old.nodes.n) // 1 + the new index
	move := func(v value) value {
		if !v.isNode() {
			return v
		}
		i := v.payload()
		if moved[i] == 0 {
			moved[i] = uint32(h.add(*old.node(v)).payload()) + 1
		}
		return v&^payloadMask | value(moved[i]-1)
	}
	done := 0 // nodes that were moved, and whose items were too
	for _, root := range roots {
		for i, v := range root {
			root[i] = move(v)
		}
	}
	for ; done < h.nodes.n; done++ {
		n := h.nodes.at(uint64(done))
		items := old.items.slice(int(n.first), int(n.kept))
		if n.room > 0 {
			n.first = uint32(h.items.grow(int(n.room)))
		}
		to := h.items.slice(int(n.first), int(n.room))
		for i, v := range items {
			to[i] = move(v)
		}
		callee, args := n.callee, n.args
		if n.kind != large {
			args = move(args)
		}
		n.callee, n.args = move(callee), args
	}
	h.next = min(h.held()+max(collectFrom, h.held()/2), maxHeld)
	return h.held() <= maxHeld/4*3
}
