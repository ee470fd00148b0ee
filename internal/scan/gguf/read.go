package gguf

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"assay/internal/scan"
)

// header is a file's header while it is read. The first error stays, and nothing is read
// after it.
type header struct {
	file      *scan.File
	report    *scan.Report
	in        *bufio.Reader
	order     binary.ByteOrder
	at        int64 // bytes that were read
	left      int64 // bytes that the file has, -1 where that is not known
	err       error
	alignment int64
	unknown   bool // a tensor's extent is not known
	names     int  // bytes of names that were kept
	tensors   []extent
}

// extent is where a tensor's bytes are, from the start of all tensors.
type extent struct {
	from, to int64
	name     string
}

func (h *header) find(rule, node, format string, args ...any) {
	h.report.Add(scan.Finding{Rule: rule, Severity: scan.Medium, Place: h.file.Place(h.at, node), Message: fmt.Sprintf(format, args...),
		Remedy: "Do not load it; get the file again from its source, or convert the model anew."})
}

func (h *header) fail(format string, args ...any) {
	if h.err == nil {
		h.err = fmt.Errorf(format, args...)
	}
}

// fits reports whether n bytes are left, and makes it an error if not.
func (h *header) fits(n int64) bool {
	if h.err == nil && (n < 0 || h.left >= 0 && n > h.left-h.at) {
		h.fail("%d bytes are to follow byte %d, where the file ends at %d", n, h.at, h.left)
	}
	return h.err == nil
}

func (h *header) bytes(n int64) []byte {
	if !h.fits(n) {
		return make([]byte, min(max(n, 0), 8))
	}
	b := make([]byte, n)
	got, err := io.ReadFull(h.in, b)
	if h.at += int64(got); err != nil {
		h.err = fmt.Errorf("it ends at byte %d: %w", h.at, err)
	}
	return b
}

func (h *header) skip(n int64) {
	if !h.fits(n) {
		return
	}
	got, err := io.CopyN(io.Discard, h.in, n)
	if h.at += got; err != nil {
		h.err = fmt.Errorf("it ends at byte %d: %w", h.at, err)
	}
}

func (h *header) u32() uint32 { return h.order.Uint32(h.bytes(4)) }
func (h *header) u64() uint64 { return h.order.Uint64(h.bytes(8)) }

// text reads a text of at most so many bytes.
func (h *header) text(most uint64) string {
	n := h.u64()
	if n > most {
		h.fail("a text has %d bytes, and at most %d are read", n, most)
	}
	if h.err != nil {
		return ""
	}
	return string(h.bytes(int64(n)))
}

// name reads a key or a tensor's name. Names are kept, so that all of them are bounded.
func (h *header) name() string {
	s := h.text(maxName)
	if h.names += len(s) + 64; h.names > maxNames {
		h.fail("its names have more than %d bytes", maxNames)
	}
	return s
}

func discard(ctx context.Context, r io.Reader) (int64, error) {
	n, err := io.Copy(io.Discard, r)
	if ctx.Err() != nil {
		return n, ctx.Err()
	}
	return n, err
}

// valueType is the type of a metadata value.
type valueType uint32

const (
	typeUint32 valueType = 4
	typeBool   valueType = 7
	typeString valueType = 8
	typeArray  valueType = 9
)

// widths are the bytes of values whose bits may be anything.
var widths = map[valueType]int64{0: 1, 1: 1, 2: 2, 3: 2, typeUint32: 4, 5: 4, 6: 4, 10: 8, 11: 8, 12: 8}

// blocks are the elements and bytes of a block of each tensor type (ggml.h, ggml_type;
// ggml-common.h). Types that were withdrawn have none.
var blocks = [...]struct{ elements, bytes uint64 }{
	0: {1, 4}, 1: {1, 2}, 2: {32, 18}, 3: {32, 20}, 6: {32, 22}, 7: {32, 24}, 8: {32, 34}, 9: {32, 36},
	10: {256, 84}, 11: {256, 110}, 12: {256, 144}, 13: {256, 176}, 14: {256, 210}, 15: {256, 292},
	16: {256, 66}, 17: {256, 74}, 18: {256, 98}, 19: {256, 50}, 20: {32, 18}, 21: {256, 110}, 22: {256, 82}, 23: {256, 136},
	24: {1, 1}, 25: {1, 2}, 26: {1, 4}, 27: {1, 8}, 28: {1, 8}, 29: {256, 56}, 30: {1, 2},
	34: {256, 54}, 35: {256, 66}, 39: {32, 17},
}

// bytesOf gives the bytes of a tensor, or false where they cannot be counted or its rows
// are no whole blocks.
func bytesOf(kind uint32, shape []uint64) (int64, bool) {
	if kind >= uint32(len(blocks)) || blocks[kind].bytes == 0 {
		return 0, false
	}
	b := blocks[kind]
	n := uint64(1)
	for _, d := range shape {
		high, low := bits.Mul64(n, d)
		if high != 0 {
			return 0, false
		}
		n = low
	}
	if len(shape) > 0 && shape[0]%b.elements != 0 {
		return 0, false
	}
	high, total := bits.Mul64(n/b.elements, b.bytes)
	return int64(total), high == 0 && total < 1<<60
}
