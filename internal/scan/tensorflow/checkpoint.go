package tensorflow

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"assay/internal/scan"
)

// Checkpoint scans the index of a checkpoint (tensor_bundle.proto): a table of LevelDB's
// that says where in the files beside it each variable is. Those hold numbers alone.
type Checkpoint struct{}

// Describe names the format and its rules.
func (Checkpoint) Describe() scan.Description {
	return scan.Description{Name: "checkpoint", Title: "Index of a TensorFlow checkpoint", Rules: []scan.Rule{
		{ID: "checkpoint-structure", Title: "The table or an entry of it cannot be as it is"},
		{ID: "checkpoint-type", Title: "A variable is of a type that is not known to be numbers"},
	}}
}

// Of a table (table_format.md of LevelDB): its end, and what follows each block.
const (
	footerBytes = 48
	tableMagic  = "\x57\xfb\x80\x8b\x24\x75\x47\xdb"
	trailer     = 5
	maxBlock    = 16 << 20
	maxEntries  = 1 << 20
)

// Match reports the last eight bytes of a table whose first key is empty, as that of the header is.
func (Checkpoint) Match(p scan.Probe) bool {
	return strings.HasSuffix(string(p.Tail), tableMagic) && len(p.Tail) >= footerBytes && len(p.Head) > 3 && p.Head[0] == 0 && p.Head[1] == 0
}

var errTable = errors.New("the table is damaged")

type checkpoint struct {
	ctx     context.Context
	at      io.ReaderAt
	size    int64
	file    *scan.File
	report  *scan.Report
	shards  uint64
	entries int
}

// Scan reads the entries.
func (Checkpoint) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	r.AccountsForAll()
	at, size, err := f.Random(ctx)
	if err != nil {
		return err
	}
	c := &checkpoint{ctx: ctx, at: at, size: size, file: f, report: r}
	err = c.table()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.Add(scan.Finding{Rule: "checkpoint-structure", Severity: scan.Medium, Place: f.Place(0, ""), Message: fmt.Sprintf("It cannot be read: %v.", err), Remedy: "Get the file again from its source, or save the checkpoint anew."})
	}
	return nil
}

func (c *checkpoint) table() error {
	footer := make([]byte, footerBytes)
	if _, err := c.at.ReadAt(footer, c.size-footerBytes); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, n, ok := handle(footer)
	if !ok {
		return errTable
	}
	index, _, ok := handle(footer[n:])
	if !ok {
		return errTable
	}
	return c.block(index, func(_, value []byte) error {
		data, _, ok := handle(value)
		if !ok {
			return errTable
		}
		return c.block(data, c.entry)
	})
}

// span is where a block is.
type span struct{ offset, size uint64 }

func handle(b []byte) (out span, used int, ok bool) {
	offset, n := binary.Uvarint(b)
	if n <= 0 {
		return out, 0, false
	}
	size, m := binary.Uvarint(b[n:])
	return span{offset, size}, n + m, m > 0
}

// block calls f for each pair of a block.
func (c *checkpoint) block(s span, f func(key, value []byte) error) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if s.size > maxBlock || s.offset > uint64(c.size) || s.size+trailer > uint64(c.size)-s.offset || s.size < 4 {
		return fmt.Errorf("%w: a block of %d bytes is said to be at %d", errTable, s.size, s.offset)
	}
	b := make([]byte, s.size+trailer)
	if _, err := c.at.ReadAt(b, int64(s.offset)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if b[s.size] != 0 {
		return errors.New("a block is compressed, which TensorFlow does not do")
	}
	b = b[:s.size]
	restarts := uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))
	if restarts*4+4 > uint64(len(b)) {
		return errTable
	}
	b = b[:uint64(len(b))-4-restarts*4]
	var key []byte
	for len(b) > 0 {
		var numbers [3]uint64
		for i := range numbers {
			v, n := binary.Uvarint(b)
			if n <= 0 {
				return errTable
			}
			numbers[i], b = v, b[n:]
		}
		shared, own, length := numbers[0], numbers[1], numbers[2]
		if shared > uint64(len(key)) || own > uint64(len(b)) || length > uint64(len(b))-own {
			return errTable
		}
		key = append(key[:shared], b[:own]...)
		if c.entries++; c.entries > maxEntries {
			return fmt.Errorf("it has more than %d entries", maxEntries)
		}
		if err := f(key, b[own:own+length]); err != nil {
			return err
		}
		b = b[own+length:]
	}
	return nil
}

// numeric are the types whose content is numbers or texts (types.proto).
var numeric = map[uint64]bool{1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 8: true, 9: true, 10: true, 11: true, 12: true, 13: true, 14: true, 15: true, 16: true, 17: true, 18: true, 19: true, 22: true, 23: true, 24: true, 25: true, 29: true, 30: true}

// entry reads the header, under the empty key, or where a variable is.
func (c *checkpoint) entry(key, value []byte) error {
	fields := map[protowire.Number]uint64{}
	for b := value; len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errTable
		}
		used := protowire.ConsumeFieldValue(number, kind, b[n:])
		if used < 0 {
			return errTable
		}
		if kind == protowire.VarintType {
			fields[number], _ = protowire.ConsumeVarint(b[n:])
		}
		b = b[n+used:]
	}
	if len(key) == 0 {
		if c.shards = fields[1]; c.shards == 0 || c.shards > 100_000 {
			return fmt.Errorf("it is said to have %d files", c.shards)
		}
		return nil
	}
	kind, shard, offset, size := fields[1], fields[3], fields[4], fields[5]
	if shard >= c.shards || offset > 1<<60 || size > 1<<60 {
		return fmt.Errorf("%.200q is said to be in file %d of %d, %d bytes at %d", key, shard, c.shards, size, offset)
	}
	if !numeric[kind] {
		c.report.Undecided("checkpoint-type", c.file.Place(0, string(key)), fmt.Sprintf("%.200q is of type %d, whose content is no number.", key, kind), "Save the variables alone.")
	}
	base := strings.TrimSuffix(filepath.Base(c.file.Path), ".index")
	c.report.Refers(fmt.Sprintf("%s.data-%05d-of-%05d", base, shard, c.shards), string(key), int64(offset), int64(size))
	return nil
}
