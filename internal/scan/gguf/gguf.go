// Package gguf scans GGUF files: their metadata and tensor infos within bounds, and the
// chat templates in them, which are code. The tensors' content is not read.
package gguf

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"assay/internal/scan"
	"assay/internal/scan/jinja"
	"assay/internal/scan/secret"
)

// Scanner scans GGUF files (ggml-org/ggml, docs/gguf.md), versions 2 and 3.
type Scanner struct{}

// Describe names the format and its rules.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "gguf", Title: "GGUF", Rules: append([]scan.Rule{
		{ID: "gguf-header", Title: "A count, length or type in the file is not possible"},
		{ID: "gguf-duplicate", Title: "A key or tensor is in the file twice"},
		{ID: "gguf-extent", Title: "A tensor's bytes are not where and as many as they must be"},
		{ID: "gguf-template", Title: "The chat template reaches beyond what a chat needs"},
		{ID: "gguf-unknown", Title: "The file has something that is not known"},
	}, secret.Rules("gguf")...)}
}

// Match reports the first four bytes.
func (Scanner) Match(p scan.Probe) bool { return bytes.HasPrefix(p.Head, []byte("GGUF")) }

// Scan reads the header and compares it with the file's size.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	r.AccountsForAll()
	content, err := f.Reader(ctx)
	if err != nil {
		return err
	}
	defer content.Close()
	h := &header{file: f, report: r, in: bufio.NewReaderSize(content, 64<<10), order: binary.LittleEndian, alignment: 32, left: f.Size()}
	if err := h.read(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		h.find("gguf-header", "", "Its header cannot be read: %v.", err)
		return nil
	}
	return h.extents(ctx)
}

const (
	maxPairs   = 1 << 16
	maxTensors = 1 << 18
	maxText    = 4 << 20 // bytes of a text that is looked into
	maxName    = 1 << 16
	maxNames   = 24 << 20
)

func (h *header) read() error {
	h.skip(4)
	version := h.u32()
	if version&0xffff == 0 && version != 0 { // written on a machine of the other order
		h.order, version = binary.BigEndian, version>>24
	}
	if version != 2 && version != 3 {
		return fmt.Errorf("it is of version %d, and 2 and 3 are known", version)
	}
	tensors, pairs := h.u64(), h.u64()
	if tensors > maxTensors || pairs > maxPairs {
		return fmt.Errorf("it says that it has %d tensors and %d metadata, and at most %d and %d are read", tensors, pairs, maxTensors, maxPairs)
	}
	seen := map[string]bool{}
	for range pairs {
		key := h.name()
		if h.err != nil {
			return h.err
		}
		if seen[key] {
			h.find("gguf-duplicate", key, "The key %q is in its metadata twice: readers differ in which of the two they take.", key)
		}
		seen[key] = true
		h.value(key, valueType(h.u32()), 0)
		if h.err != nil {
			return fmt.Errorf("metadata %q: %w", key, h.err)
		}
	}
	clear(seen)
	for range tensors {
		h.tensor(seen)
		if h.err != nil {
			return h.err
		}
	}
	return nil
}

// value reads a value and judges a text.
func (h *header) value(key string, t valueType, depth int) {
	size, fixed := widths[t]
	switch {
	case h.err != nil:
	case t == typeBool:
		if b := h.bytes(1); h.err == nil && b[0] > 1 {
			h.fail("a truth value is %d", b[0])
		}
	case t == typeUint32 && key == "general.alignment":
		h.alignment = int64(h.u32())
		if h.alignment == 0 || h.alignment > 1<<20 || h.alignment&(h.alignment-1) != 0 {
			h.fail("an alignment of %d is no power of two", h.alignment)
		}
	case fixed:
		h.skip(size)
	case t == typeString:
		h.judge(key, h.text(maxText))
	case t == typeArray:
		h.array(key, depth)
	default:
		h.fail("a value is of type %d, which is not known", t)
	}
}

func (h *header) array(key string, depth int) {
	element, n := valueType(h.u32()), h.u64()
	size, fixed := widths[element]
	switch {
	case h.err != nil:
	case depth > 3:
		h.fail("arrays are nested more than 4 deep")
	case n > 1<<40:
		h.fail("an array has %d elements", n)
	case fixed:
		h.skip(size * int64(n))
	case element == typeArray && n > 1<<20:
		h.fail("an array has %d arrays", n)
	default:
		for range n {
			if h.value(key, element, depth+1); h.err != nil {
				return
			}
		}
	}
}

// judge looks into a text: a chat template is code, and any text may hold what should not be passed on.
func (h *header) judge(key, text string) {
	if h.err != nil {
		return
	}
	if key == "tokenizer.chat_template" || len(key) > 23 && key[:24] == "tokenizer.chat_template." {
		for _, p := range jinja.Judge(text) {
			f := scan.Finding{Rule: "gguf-template", Severity: scan.Unknown, Place: h.file.Place(h.at-int64(len(text))+int64(p.Offset), key),
				Message: "Its chat template is a program. " + p.Message + " Rendered outside a sandbox, it could run anything.",
				Remedy:  "Replace the chat template by that of the model's maker, and render it in Jinja's ImmutableSandboxedEnvironment."}
			if p.Attack {
				f.Severity = scan.Critical
			}
			h.report.Add(f)
		}
	}
	for _, found := range secret.Findings("gguf", fmt.Sprintf("The value of %.200q", key), text) {
		if found.Severity == scan.Low && strings.HasPrefix(key, "tokenizer.ggml.") {
			continue // words of the language, which are nobody's
		}
		found.Place = h.file.Place(h.at-int64(len(text))+found.Place.Offset, key)
		h.report.Add(found)
	}
}

// tensor reads a tensor's info.
func (h *header) tensor(seen map[string]bool) {
	name := h.name()
	dims := h.u32()
	if dims > 8 {
		h.fail("tensor %q has %d dimensions", name, dims)
	}
	var shape []uint64
	for range dims {
		shape = append(shape, h.u64())
		if h.err != nil {
			return
		}
	}
	kind, offset := h.u32(), h.u64()
	if h.err != nil {
		return
	}
	if seen[name] {
		h.find("gguf-duplicate", name, "Tensor %q is in the file twice.", name)
	}
	seen[name] = true
	size, ok := bytesOf(kind, shape)
	switch {
	case kind >= uint32(len(blocks)) || blocks[kind].bytes == 0:
		h.report.Undecided("gguf-unknown", h.file.Place(h.at, name), fmt.Sprintf("Tensor %q is of type %d, which is not known, so that its bytes cannot be counted.", name, kind), "Convert the model anew with a known quantisation.")
		h.unknown = true
	case !ok || offset > 1<<60:
		h.find("gguf-extent", name, "Tensor %q of shape %v at offset %d is not possible: readers that multiply without a check write beyond their memory.", name, shape, offset)
		h.unknown = true
	case offset%uint64(h.alignment) != 0:
		h.find("gguf-extent", name, "Tensor %q is at offset %d, no multiple of the alignment %d.", name, offset, h.alignment)
	default:
		h.tensors = append(h.tensors, extent{int64(offset), int64(offset) + size, name})
	}
}

// extents checks that the tensors fill the rest of the file, but for the alignment.
func (h *header) extents(ctx context.Context) error {
	start := h.aligned(h.at)
	size := h.file.Size()
	if size < 0 {
		n, err := discard(ctx, h.in)
		if err != nil {
			return err
		}
		size = h.at + n
	}
	if h.unknown {
		return nil
	}
	slices.SortFunc(h.tensors, func(a, b extent) int { return cmp.Compare(a.from, b.from) })
	at := int64(0)
	for _, t := range h.tensors {
		if t.from != h.aligned(at) {
			what := "bytes that belong to no tensor"
			if t.from < at {
				what = "bytes that belong to two tensors"
			}
			h.find("gguf-extent", t.name, "Before tensor %q, at offset %d, there are %s.", t.name, t.from, what)
			return nil
		}
		at = t.to
	}
	if end := start + at; len(h.tensors) > 0 && end != size && start+h.aligned(at) != size || len(h.tensors) == 0 && size != h.at && size != start {
		h.find("gguf-extent", "", "Its tensors end at byte %d, and the file at byte %d.", end, size)
	}
	return nil
}

func (h *header) aligned(n int64) int64 { return (n + h.alignment - 1) / h.alignment * h.alignment }
