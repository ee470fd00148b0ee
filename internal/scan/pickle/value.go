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
	args   value  // of an object: with what; of persistent: its id
	at     int64  // where it was made
	length int64  // of large: how many bytes
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
)

// heap holds the nodes and their items. Those that nothing refers to any more are
// removed when there are many.
type heap struct {
	nodes []node
	items []value
	next  int // how many nodes there may be before the next collection
}

const (
	collectFrom = 1 << 17
	maxNodes    = 1 << 21 // 2^20 nested lists and as many others
	maxItems    = 1 << 23
)

func (h *heap) add(n node) value {
	h.nodes = append(h.nodes, n)
	return make1(n.kind, uint64(len(h.nodes)-1))
}

func (h *heap) node(v value) *node { return &h.nodes[v.payload()] }

// keep adds items to a node, as many as there is room for.
func (h *heap) keep(n *node, items []value, most int) {
	if n.room == 0 && len(items) > 0 {
		n.room = uint16(min(max(len(items), 4), most))
		n.first = uint32(len(h.items))
		h.items = append(h.items, make([]value, n.room)...)
	}
	take := min(len(items), int(n.room-n.kept))
	copy(h.items[int(n.first)+int(n.kept):], items[:take])
	n.kept += uint16(take)
	n.count += uint32(len(items))
}

func (h *heap) kept(v value) []value {
	n := h.node(v)
	return h.items[n.first : int(n.first)+int(n.kept)]
}

// collect removes what cannot be reached from the roots, which it rewrites. It reports
// whether what is left is within the limits.
func (h *heap) collect(roots ...[]value) bool {
	moved := make([]uint32, len(h.nodes)) // 1 + the new index
	var nodes []node
	var items []value
	var pending []uint32
	move := func(v value) value {
		if !v.isNode() {
			return v
		}
		i := v.payload()
		if moved[i] == 0 {
			nodes = append(nodes, h.nodes[i])
			moved[i] = uint32(len(nodes))
			pending = append(pending, moved[i]-1)
		}
		return v&^payloadMask | value(moved[i]-1)
	}
	for _, root := range roots {
		for i, v := range root {
			root[i] = move(v)
		}
		for len(pending) > 0 {
			i := pending[len(pending)-1]
			pending = pending[:len(pending)-1]
			n := nodes[i]
			old := h.items[n.first : int(n.first)+int(n.kept)]
			n.first = uint32(len(items))
			items = append(items, make([]value, n.room)...)
			for j, v := range old {
				items[int(n.first)+j] = move(v)
			}
			n.callee, n.args = move(n.callee), move(n.args)
			nodes[i] = n
		}
	}
	h.nodes, h.items = nodes, items
	h.next = max(collectFrom, 2*len(nodes))
	return len(nodes) <= maxNodes && len(items) <= maxItems
}
