// Package safetensors scans safetensors files by the rules of their specification. It
// reads the header alone, whatever the size of the file.
package safetensors

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math/bits"
	"slices"
	"strings"

	"assay/internal/scan"
	"assay/internal/scan/secret"
)

// Scanner scans safetensors files (huggingface/safetensors, "Format" of its README).
type Scanner struct{}

// Describe names the format and its rules.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "safetensors", Title: "Safetensors", Rules: append([]scan.Rule{
		{ID: "safetensors-header", Title: "The header breaks the specification"},
		{ID: "safetensors-duplicate", Title: "A key is in the header twice"},
		{ID: "safetensors-extent", Title: "A tensor's bytes are not where and as many as they must be"},
		{ID: "safetensors-unknown", Title: "The header has something that the specification does not know"},
	}, secret.Rules("safetensors")...)}
}

const (
	maxHeader  = 100_000_000 // bytes, by the specification
	maxTensors = 1 << 20
	maxKey     = 1 << 20 // bytes of a name or a metadata value
)

// Match reports a header's length and opening brace.
func (Scanner) Match(p scan.Probe) bool {
	if len(p.Head) < 10 || p.Head[8] != '{' {
		return false
	}
	next := bytes.TrimLeft(p.Head[9:], " \t\r\n")
	n := binary.LittleEndian.Uint64(p.Head)
	return n < 1<<40 && len(next) > 0 && (next[0] == '"' || next[0] == '}')
}

// Scan checks the header against the specification and the file's size.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	r.AccountsForAll()
	content, err := f.Reader(ctx)
	if err != nil {
		return err
	}
	defer content.Close()
	h := &header{file: f, report: r, seed: maphash.MakeSeed(), seen: map[uint64]bool{}}
	length, size, err := h.read(ctx, content)
	if err != nil || size < 0 {
		return err
	}
	h.extents(size - 8 - length)
	return nil
}

// header is a file's header while it is read.
type header struct {
	file    *scan.File
	report  *scan.Report
	in      *json.Decoder
	seed    maphash.Seed
	seen    map[uint64]bool // hashes of keys, so that a header of many fits into memory
	tensors []extent
}

// extent is where a tensor's bytes are, from the end of the header.
type extent struct{ from, to int64 }

func (h *header) find(rule, node, format string, args ...any) {
	h.report.Add(scan.Finding{Rule: rule, Severity: scan.Medium, Place: h.file.Place(h.offset(), node), Message: fmt.Sprintf(format, args...),
		Remedy: "Do not load it; get the file again from its source, or write it anew with the safetensors library."})
}

func (h *header) offset() int64 {
	if h.in == nil {
		return 0
	}
	return 8 + h.in.InputOffset()
}

var (
	errHeader  = errors.New("its header is no JSON object as the specification describes it")
	errUnknown = errors.New("what follows a field that is not known is not read")
)

// read gives the header's length and the file's size, -1 where it makes no sense to go on.
func (h *header) read(ctx context.Context, content io.Reader) (length, size int64, err error) {
	var prefix [8]byte
	if _, err := io.ReadFull(content, prefix[:]); err != nil {
		return 0, -1, err
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	if n > maxHeader {
		h.find("safetensors-header", "", "Its header says that it has %d bytes, and the specification allows %d.", n, maxHeader)
		return 0, -1, nil
	}
	limited := &io.LimitedReader{R: content, N: int64(n)}
	buffered := bufio.NewReaderSize(&guard{r: limited}, 64<<10)
	h.in = json.NewDecoder(buffered)
	h.in.UseNumber()
	if err := h.object("", h.member); err != nil {
		if ctx.Err() != nil {
			return 0, -1, ctx.Err()
		}
		if errors.Is(err, errUnknown) {
			return 0, -1, nil // told already
		}
		h.find("safetensors-header", "", "Its header cannot be read: %v.", err)
		return 0, -1, nil
	}
	if rest, err := io.ReadAll(io.MultiReader(h.in.Buffered(), buffered)); err != nil || len(bytes.Trim(rest, " ")) > 0 || limited.N > 0 {
		h.find("safetensors-header", "", "Something other than spaces follows the object of its header, or it is cut short.")
		return 0, -1, nil
	}
	if size = h.file.Size(); size < 0 { // unpacked content: its size is known at its end
		rest, err := io.Copy(io.Discard, content)
		if err != nil {
			return 0, -1, err
		}
		size = 8 + int64(n) + rest
	}
	return int64(n), size, nil
}

// guard ends reading where one string of the header is longer than is read at once, and
// at control characters, which no writer leaves there.
type guard struct {
	r      io.Reader
	string int // bytes since the last quote
}

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	if i := bytes.LastIndexByte(p[:n], '"'); i >= 0 {
		g.string = n - i
	} else if g.string += n; g.string > maxKey {
		return 0, fmt.Errorf("it has a text, number or space of more than %d bytes", maxKey)
	}
	return n, err
}

// object reads an object and calls member for the value of each key.
func (h *header) object(path string, member func(key string) error) error {
	if t, err := h.in.Token(); err != nil || t != json.Delim('{') {
		return cmp.Or(err, errHeader)
	}
	for h.in.More() {
		t, err := h.in.Token()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok {
			return errHeader
		}
		full := path + "\x00" + key
		if sum := maphash.String(h.seed, full); path == "" || strings.HasPrefix(path, "__metadata__") {
			if h.seen[sum] {
				h.find("safetensors-duplicate", key, "The key %q is in its header twice: readers differ in which of the two they take.", key)
			}
			h.seen[sum] = true
		}
		if err := member(key); err != nil {
			return err
		}
	}
	_, err := h.in.Token()
	return err
}

func (h *header) member(key string) error {
	if key == "__metadata__" {
		return h.object(key, h.metadata)
	}
	if len(h.tensors) >= maxTensors {
		return fmt.Errorf("it has more than %d tensors", maxTensors)
	}
	t := &tensor{name: key}
	if err := h.object(key+"/", func(field string) error { return h.field(t, field) }); err != nil {
		return fmt.Errorf("tensor %q: %w", key, err)
	}
	h.tensor(t)
	return nil
}

func (h *header) metadata(key string) error {
	t, err := h.in.Token()
	value, ok := t.(string)
	if err != nil || !ok {
		return cmp.Or(err, fmt.Errorf("the metadata of key %q are no text", key))
	}
	for _, found := range secret.Findings("safetensors", fmt.Sprintf("The value of %.200q", key), value) {
		found.Place = h.file.Place(h.offset(), key)
		h.report.Add(found)
	}
	return nil
}

// tensor is an entry of the header.
type tensor struct {
	name     string
	dtype    string
	shape    []int64
	offsets  []int64
	fields   map[string]bool
	hasShape bool
}

func (h *header) field(t *tensor, field string) (err error) {
	if t.fields[field] {
		h.find("safetensors-duplicate", t.name, "Tensor %q states its %s twice: readers differ in which of the two they take.", t.name, field)
	}
	if t.fields == nil {
		t.fields = map[string]bool{}
	}
	t.fields[field] = true
	switch field {
	case "dtype":
		token, err := h.in.Token()
		if err != nil {
			return err
		}
		var text bool
		if t.dtype, text = token.(string); !text {
			return errHeader
		}
		return nil
	case "shape":
		t.hasShape = true
		t.shape, err = h.integers(32)
		return err
	case "data_offsets":
		t.offsets, err = h.integers(2)
		return err
	}
	h.report.Undecided("safetensors-unknown", h.file.Place(h.offset(), t.name), fmt.Sprintf("Tensor %q has a field %q, which the specification does not know.", t.name, field), "Write it anew with the safetensors library.")
	return errUnknown
}

// integers reads an array of at most so many non-negative integers.
func (h *header) integers(most int) ([]int64, error) {
	if t, err := h.in.Token(); err != nil || t != json.Delim('[') {
		return nil, cmp.Or(err, errHeader)
	}
	var out []int64
	for h.in.More() {
		t, err := h.in.Token()
		if err != nil {
			return nil, err
		}
		number, _ := t.(json.Number)
		n, err := number.Int64()
		if err != nil || n < 0 || len(out) == most || strings.ContainsAny(number.String(), "-.eE") {
			return nil, fmt.Errorf("%v is not one of at most %d non-negative integers", t, most)
		}
		out = append(out, n)
	}
	_, err := h.in.Token()
	return out, err
}

// dtypes are the bits of one element, of the types of safetensors 0.6.
var dtypes = map[string]uint64{
	"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
	"I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64,
	"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}

func (h *header) tensor(t *tensor) {
	width, known := dtypes[t.dtype]
	if !known || !t.hasShape || len(t.offsets) != 2 {
		if t.dtype != "" && !known {
			h.report.Undecided("safetensors-unknown", h.file.Place(h.offset(), t.name), fmt.Sprintf("Tensor %q is of type %q, which is not known.", t.name, t.dtype), "Write it anew with a known type.")
			if len(t.offsets) == 2 && t.offsets[0] <= t.offsets[1] {
				h.tensors = append(h.tensors, extent{t.offsets[0], t.offsets[1]})
			}
			return
		}
		h.find("safetensors-header", t.name, "Tensor %q has no dtype, shape or pair of data_offsets.", t.name)
		return
	}
	total := width
	for _, n := range t.shape {
		high, low := bits.Mul64(total, uint64(n))
		if high != 0 {
			h.find("safetensors-extent", t.name, "Tensor %q has a shape of more elements than can be counted.", t.name)
			return
		}
		total = low
	}
	from, to := t.offsets[0], t.offsets[1]
	if total%8 != 0 || from > to || uint64(to-from) != total/8 {
		h.find("safetensors-extent", t.name, "Tensor %q has %d bytes from offset %d to %d, where its type and shape need %d.", t.name, to-from, from, to, total/8)
	}
	h.tensors = append(h.tensors, extent{from, to})
}

// extents checks that the tensors fill the file without gap or overlap.
func (h *header) extents(size int64) {
	slices.SortFunc(h.tensors, func(a, b extent) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	at := int64(0)
	for _, t := range h.tensors {
		if t.from != at {
			what := "bytes that belong to no tensor"
			if t.from < at {
				what = "bytes that belong to two tensors"
			}
			h.find("safetensors-extent", "", "At offset %d there are %s.", min(at, t.from), what)
			return
		}
		at = t.to
	}
	if at != size {
		h.find("safetensors-extent", "", "Its tensors take %d bytes after the header, and there are %d.", at, size)
	}
}
