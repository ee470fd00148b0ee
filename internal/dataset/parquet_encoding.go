package dataset

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

// Encodings of values (Encodings.md of the specification).
const (
	encodingPlain           = 0
	encodingPlainDictionary = 2
	encodingRLE             = 3
	encodingDelta           = 5
	encodingDeltaLength     = 6
	encodingDeltaBytes      = 7
	encodingDictionary      = 8
	encodingStreamSplit     = 9
)

// decoder reads values as they are asked for: a run that claims 2^31 values costs nothing until it is read.
func (c *columnReader) decoder(encoding int64, data []byte) (values, error) {
	integers := c.leaf.kind == parquetInt32 || c.leaf.kind == parquetInt64
	switch {
	case encoding == encodingPlain:
		return &plainValues{leaf: c.leaf, data: data}, nil
	case encoding == encodingDictionary || encoding == encodingPlainDictionary:
		if len(data) == 0 { // no value is there
			return &plainValues{leaf: c.leaf}, nil
		}
		if data[0] > 32 {
			return nil, fmt.Errorf("%w: indices have %d bits", errPage, data[0])
		}
		return &dictionaryValues{c.dictionary, runs{data: data[1:], width: int(data[0])}}, nil
	case encoding == encodingRLE && c.leaf.kind == parquetBoolean:
		data, _, err := prefixed(data)
		return &booleanRuns{runs{data: data, width: 1}}, err
	case encoding == encodingDelta && integers:
		d, err := newDeltas(data)
		return &deltaValues{c.leaf, d}, err
	case encoding == encodingDeltaLength && c.leaf.kind == parquetBytes:
		return newDeltaTexts(data)
	case encoding == encodingDeltaBytes && c.leaf.kind == parquetBytes:
		return newPrefixTexts(data)
	case encoding == encodingStreamSplit && c.leaf.size > 0:
		return &splitValues{leaf: c.leaf, data: data, n: len(data) / c.leaf.size}, nil
	}
	return nil, fmt.Errorf("it is in the encoding %d, which is not supported for its type: write it with the usual encodings (plain or dictionary)", encoding)
}

// plainValues reads the encoding PLAIN.
type plainValues struct {
	leaf *leaf
	data []byte
	bit  int // of booleans
}

func (p *plainValues) next() (cell, error) {
	switch {
	case p.leaf.kind == parquetBoolean:
		if p.bit/8 >= len(p.data) {
			return cell{}, errShort
		}
		v := p.data[p.bit/8]>>(p.bit%8)&1 == 1
		p.bit++
		return truth(v), nil
	case p.leaf.kind == parquetBytes:
		text, rest, err := prefixed(p.data)
		p.data = rest
		return cell{text: string(text)}, err
	case len(p.data) < p.leaf.size:
		return cell{}, errShort
	}
	v := p.leaf.number(p.data)
	p.data = p.data[p.leaf.size:]
	return v, nil
}

var errShort = fmt.Errorf("%w: one holds fewer values than it claims", errPage)

func truth(v bool) cell {
	if v {
		return cell{text: "true"}
	}
	return cell{text: "false"}
}

// number reads a value of a fixed size.
func (l *leaf) number(b []byte) cell {
	switch l.kind {
	case parquetInt32:
		return l.integer(int64(int32(binary.LittleEndian.Uint32(b))))
	case parquetInt64:
		return l.integer(int64(binary.LittleEndian.Uint64(b)))
	case parquetFloat:
		return numberCell(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
	case parquetDouble:
		return numberCell(math.Float64frombits(binary.LittleEndian.Uint64(b)))
	}
	return numberCell(half(binary.LittleEndian.Uint16(b)))
}

func (l *leaf) integer(v int64) cell {
	f := float64(v)
	switch {
	case l.unsigned && l.kind == parquetInt32:
		f = float64(uint32(v))
	case l.unsigned:
		f = float64(uint64(v))
	}
	if l.scale > 0 {
		f /= math.Pow10(l.scale)
	}
	return numberCell(f)
}

// runs reads the hybrid of run lengths and bit packing.
type runs struct {
	data   []byte
	width  int // bits of a value
	left   int // values of the current run
	packed bool
	value  uint32 // of a run of equal values
	bit    int    // of a packed run: where the next value begins in data
}

func bitsFor(v uint32) int { return bits.Len32(v) }

func (r *runs) next() (uint32, error) {
	for r.left == 0 {
		if err := r.run(); err != nil {
			return 0, err
		}
	}
	r.left--
	if !r.packed {
		return r.value, nil
	}
	v, err := unpackBits(r.data, r.bit, r.width)
	r.bit += r.width
	return uint32(v), err
}

// run reads the head of the next run.
func (r *runs) run() error {
	r.data = r.data[min((r.bit+7)/8, len(r.data)):]
	r.bit = 0
	head, n := binary.Uvarint(r.data)
	if n <= 0 || head>>1 > math.MaxInt32 {
		return errShort
	}
	r.data = r.data[n:]
	if r.packed = head&1 == 1; r.packed {
		r.left = 8 * int(head>>1)
		return nil
	}
	r.left = int(head >> 1)
	size := (r.width + 7) / 8
	if len(r.data) < size {
		return errShort
	}
	var b [4]byte
	copy(b[:], r.data[:size])
	r.value = binary.LittleEndian.Uint32(b[:])
	r.data = r.data[size:]
	return nil
}

// unpackBits reads width bits at a bit offset, the least significant first.
func unpackBits(data []byte, bit, width int) (uint64, error) {
	if bit+width > 8*len(data) {
		return 0, errShort
	}
	var v uint64
	for got := 0; got < width; {
		at := bit + got
		n := min(8-at%8, width-got)
		v |= uint64(data[at/8]>>(at%8)&(1<<n-1)) << got
		got += n
	}
	return v, nil
}

type dictionaryValues struct {
	dictionary []cell
	indices    runs
}

func (d *dictionaryValues) next() (cell, error) {
	i, err := d.indices.next()
	if err != nil {
		return cell{}, err
	}
	if int64(i) >= int64(len(d.dictionary)) {
		return cell{}, fmt.Errorf("%w: the value %d is beyond the dictionary's %d", errPage, i, len(d.dictionary))
	}
	return d.dictionary[i], nil
}

type booleanRuns struct{ runs runs }

func (b *booleanRuns) next() (cell, error) {
	v, err := b.runs.next()
	return truth(v == 1), err
}

// deltas reads the encoding DELTA_BINARY_PACKED: a first value, then blocks of
// differences, each of miniblocks with a width of their own.
type deltas struct {
	data      []byte
	miniblock int // values of a miniblock
	count     int // miniblocks of a block
	left      int // values
	value     int64
	least     int64  // of the block's differences
	widths    []byte // of the block's miniblocks that are left
	inBlock   int    // values left in the miniblock
	width     int
	bit       int
	first     bool
}

func newDeltas(data []byte) (*deltas, error) {
	d := &deltas{data: data, first: true}
	var head [3]uint64
	for i := range head {
		var n int
		if head[i], n = binary.Uvarint(d.data); n <= 0 || head[i] > math.MaxInt32 {
			return nil, errShort
		}
		d.data = d.data[n:]
	}
	var n int
	if d.value, n = binary.Varint(d.data); n <= 0 {
		return nil, errShort
	}
	d.data = d.data[n:]
	block, count := int(head[0]), int(head[1])
	if block == 0 || count == 0 || block%128 != 0 || block%count != 0 || (block/count)%32 != 0 || block > 1<<20 {
		return nil, fmt.Errorf("%w: a block of %d values has %d miniblocks", errPage, block, count)
	}
	d.miniblock, d.count, d.left = block/count, count, int(head[2])
	return d, nil
}

func (d *deltas) next() (int64, error) {
	if d.left == 0 {
		return 0, errShort
	}
	d.left--
	if d.first {
		d.first = false
		return d.value, nil
	}
	if d.inBlock == 0 {
		if err := d.advance(); err != nil {
			return 0, err
		}
	}
	v, err := unpackBits(d.data, d.bit, d.width)
	d.bit += d.width
	d.inBlock--
	d.value += d.least + int64(v)
	return d.value, err
}

// advance goes to the next miniblock.
func (d *deltas) advance() error {
	d.data = d.data[min(d.miniblock*d.width/8, len(d.data)):]
	d.bit = 0
	if len(d.widths) == 0 {
		least, n := binary.Varint(d.data)
		if n <= 0 || len(d.data) < n+d.count {
			return errShort
		}
		d.least, d.widths, d.data = least, d.data[n:n+d.count], d.data[n+d.count:]
	}
	d.width, d.widths = int(d.widths[0]), d.widths[1:]
	d.inBlock = d.miniblock
	if d.width > 64 {
		return errPage
	}
	return nil
}

// end reads all values, and gives the data behind them.
func (d *deltas) end() ([]byte, error) {
	for d.left > 0 {
		if _, err := d.next(); err != nil {
			return nil, err
		}
	}
	if d.miniblock*d.width/8 > len(d.data) {
		return nil, errShort
	}
	return d.data[d.miniblock*d.width/8:], nil
}

type deltaValues struct {
	leaf   *leaf
	deltas *deltas
}

func (d *deltaValues) next() (cell, error) {
	v, err := d.deltas.next()
	if d.leaf.kind == parquetInt32 {
		v = int64(int32(v)) // differences of 32-bit numbers wrap around
	}
	return d.leaf.integer(v), err
}

// deltaTexts reads the encoding DELTA_LENGTH_BYTE_ARRAY: all lengths, then all texts.
type deltaTexts struct {
	lengths *deltas
	data    []byte
}

func newDeltaTexts(data []byte) (*deltaTexts, error) {
	lengths, err := newDeltas(data)
	if err != nil {
		return nil, err
	}
	pass := *lengths
	data, err = pass.end()
	return &deltaTexts{lengths, data}, err
}

func (d *deltaTexts) next() (cell, error) {
	n, err := d.lengths.next()
	if err != nil {
		return cell{}, err
	}
	if n < 0 || n > int64(len(d.data)) {
		return cell{}, errShort
	}
	text := string(d.data[:n])
	d.data = d.data[n:]
	return cell{text: text}, nil
}

// prefixTexts reads the encoding DELTA_BYTE_ARRAY: how much each text shares with the
// one before it, and the rest of each.
type prefixTexts struct {
	shared *deltas
	rest   *deltaTexts
	last   string
	total  int // bytes of all texts so far
}

func newPrefixTexts(data []byte) (values, error) {
	shared, err := newDeltas(data)
	if err != nil {
		return nil, err
	}
	pass := *shared
	if data, err = pass.end(); err != nil {
		return nil, err
	}
	rest, err := newDeltaTexts(data)
	return &prefixTexts{shared: shared, rest: rest}, err
}

func (p *prefixTexts) next() (cell, error) {
	n, err := p.shared.next()
	if err != nil {
		return cell{}, err
	}
	rest, err := p.rest.next()
	if err != nil {
		return cell{}, err
	}
	if n < 0 || n > int64(len(p.last)) {
		return cell{}, errShort
	}
	p.last = p.last[:n] + rest.text
	if p.total += len(p.last); p.total > maxPage { // a few bytes can repeat a long text without end
		return cell{}, fmt.Errorf("%w: the texts of one are longer than %d MB", errPage, maxPage>>20)
	}
	return cell{text: p.last}, nil
}

// splitValues reads the encoding BYTE_STREAM_SPLIT: the first bytes of all values, then the second.
type splitValues struct {
	leaf  *leaf
	data  []byte
	n, at int
}

func (s *splitValues) next() (cell, error) {
	if s.at == s.n {
		return cell{}, errShort
	}
	var b [8]byte
	for j := range s.leaf.size {
		b[j] = s.data[j*s.n+s.at]
	}
	s.at++
	return s.leaf.number(b[:]), nil
}
