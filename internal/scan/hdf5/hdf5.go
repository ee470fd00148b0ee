// Package hdf5 scans HDF5 files, among them Keras's models: it walks the groups and datasets
// for what would be read from other files, and judges every JSON object in the file as
// Keras's description of layers. Both are needed for a file to be clean.
package hdf5

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"assay/internal/scan"
)

// Scanner scans HDF5 files (HDF5 File Format Specification 3.0). Of its structures it
// walks those that HDF5 writes unless told otherwise: superblock 0, object headers of
// version 1, groups as symbol tables. Files with others are undecided.
type Scanner struct{}

// Describe names the format and its rules.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "hdf5", Title: "HDF5, such as Keras's models", Rules: []scan.Rule{
		{ID: "hdf5-external", Title: "A dataset or link is in another file"},
		{ID: "hdf5-structure", Title: "The file has a structure that is not walked, or is damaged"},
		{ID: "json-limit", Title: "It has JSON beyond what is read, but not beyond what programs read"},
		{ID: "keras-lambda", Title: "A layer is code that the file brings"},
		{ID: "keras-module", Title: "A layer is anything from a Python module of the file's choice"},
		{ID: "keras-custom", Title: "A layer is of a class that is not Keras's own"},
		{ID: "keras-file", Title: "A layer reads a file of the machine"},
	}}
}

const signature = "\x89HDF\r\n\x1a\n"

// Match reports the signature at the start. Behind other content, where the library finds
// it too, the runner hands over the part from there on only if that is asked for.
func (Scanner) Match(p scan.Probe) bool { return bytes.HasPrefix(p.Head, []byte(signature)) }

// Scan walks the file and judges the JSON in it.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	at, size, err := f.Random(ctx)
	if err != nil {
		return err
	}
	w := &walk{at: at, size: size, file: f, report: r, seen: map[uint64]bool{}}
	end, err := w.superblock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		r.AccountsForAll()
		r.Undecided("hdf5-structure", f.Place(0, ""), fmt.Sprintf("Its structure is not understood, so that what it would read is not known: %v.", err), "Save the model anew as safetensors or ONNX, or by h5py without options.")
	default:
		r.Accounts(0, end)
	}
	return w.texts(ctx)
}

var le = binary.LittleEndian

const (
	maxObjects = 200_000
	maxBlock   = 1 << 20
	undefined  = 1<<64 - 1
)

// walk is a file while its objects are walked.
type walk struct {
	at     io.ReaderAt
	size   int64
	file   *scan.File
	report *scan.Report
	seen   map[uint64]bool // addresses of objects and nodes
}

var errCut = errors.New("an address or length is not within the file")

func (w *walk) read(address, n uint64) ([]byte, error) {
	if n > maxBlock || address > uint64(w.size) || n > uint64(w.size)-address {
		return nil, errCut
	}
	b := make([]byte, n)
	if got, err := w.at.ReadAt(b, int64(address)); got < len(b) {
		return nil, err
	}
	return b, nil
}

// superblock walks all, and gives where the file ends by its own word.
func (w *walk) superblock() (int64, error) {
	b, err := w.read(0, 96)
	if err != nil {
		return 0, err
	}
	if b[8] != 0 || b[13] != 8 || b[14] != 8 {
		return 0, fmt.Errorf("its superblock is of version %d with addresses of %d bytes, and 0 and 8 are walked", b[8], b[13])
	}
	base, end, driver, root := le.Uint64(b[24:]), le.Uint64(b[40:]), le.Uint64(b[48:]), le.Uint64(b[64:])
	if base != 0 || driver != undefined || end > uint64(w.size) {
		return 0, errors.New("it has an offset or a driver, or says that it is longer than it is")
	}
	return int64(end), w.objects(root)
}

// objects walks the object at an address and those below it.
func (w *walk) objects(root uint64) error {
	for queue := []uint64{root}; len(queue) > 0; {
		address := queue[0]
		queue = queue[1:]
		if w.seen[address] {
			continue
		}
		if w.seen[address] = true; len(w.seen) > maxObjects {
			return fmt.Errorf("it has more than %d objects", maxObjects)
		}
		head, err := w.read(address, 16)
		if err != nil {
			return err
		}
		if head[0] != 1 {
			return fmt.Errorf("the object at byte %d has a header of another version than 1", address)
		}
		below, err := w.messages(address+16, uint64(le.Uint32(head[8:])))
		if err != nil {
			return err
		}
		queue = append(queue, below...)
	}
	return nil
}

// Types of messages in object headers (section IV.A.2).
const (
	messageExternal     = 0x07
	messageContinuation = 0x10
	messageSymbols      = 0x11
)

// plain are messages that say of a dataset or group only what is in this file.
var plain = map[uint16]bool{0x00: true, 0x01: true, 0x03: true, 0x04: true, 0x05: true, 0x08: true, 0x0a: true, 0x0b: true, 0x0c: true, 0x0d: true, 0x0e: true, 0x12: true, 0x13: true, 0x16: true}

// messages reads a header's messages, and those of its continuations, and gives the
// addresses of the objects in the group that it may be.
func (w *walk) messages(address, length uint64) (below []uint64, err error) {
	blocks := [][2]uint64{{address, length}}
	for i := 0; i < len(blocks); i++ {
		if len(blocks) > 1000 {
			return nil, errors.New("an object's header has too many continuations")
		}
		b, err := w.read(blocks[i][0], blocks[i][1])
		if err != nil {
			return nil, err
		}
		for at := blocks[i][0]; len(b) >= 8; {
			kind, size := le.Uint16(b), int(le.Uint16(b[2:]))
			if len(b) < 8+size {
				return nil, errCut
			}
			body := b[8 : 8+size]
			switch {
			case kind == messageExternal:
				w.report.Add(scan.Finding{Rule: "hdf5-external", Severity: scan.High, Place: w.file.Place(int64(at), ""),
					Message: "A dataset's content is in other files, by their names: loading the model reads files of the machine into it.",
					Remedy:  "Do not load it; have the model saved anew in one file."})
			case b[4]&0x02 != 0:
				return nil, errors.New("a message is shared with other objects")
			case kind == messageContinuation && size >= 16:
				blocks = append(blocks, [2]uint64{le.Uint64(body), le.Uint64(body[8:])})
			case kind == messageSymbols && size >= 16:
				objects, err := w.group(le.Uint64(body), le.Uint64(body[8:]))
				if err != nil {
					return nil, err
				}
				below = append(below, objects...)
			case !plain[kind]:
				return nil, fmt.Errorf("an object has a message of type %#x", kind)
			}
			b, at = b[8+size:], at+uint64(8+size)
		}
	}
	return below, nil
}

// group walks the B-tree of a group (version 1) and gives the addresses of its objects.
func (w *walk) group(tree, heap uint64) (below []uint64, err error) {
	if head, err := w.read(heap, 32); err != nil || string(head[:4]) != "HEAP" {
		return nil, errors.Join(errors.New("a group has no names"), err)
	}
	for queue := []uint64{tree}; len(queue) > 0; {
		address := queue[0]
		queue = queue[1:]
		if w.seen[address] {
			return nil, errors.New("a group's nodes lead to each other in a circle")
		}
		if w.seen[address] = true; len(w.seen) > maxObjects {
			return nil, fmt.Errorf("it has more than %d objects", maxObjects)
		}
		head, err := w.read(address, 8)
		if err != nil {
			return nil, err
		}
		n := uint64(le.Uint16(head[6:]))
		switch string(head[:4]) {
		case "TREE":
			if head[4] != 0 {
				return nil, errors.New("a group's tree is none of a group")
			}
			b, err := w.read(address+24, n*16)
			if err != nil {
				return nil, err
			}
			for ; len(b) > 0; b = b[16:] {
				queue = append(queue, le.Uint64(b[8:]))
			}
		case "SNOD":
			b, err := w.read(address+8, n*40)
			if err != nil {
				return nil, err
			}
			for ; len(b) > 0; b = b[40:] {
				if cache := le.Uint32(b[16:]); cache > 2 {
					return nil, fmt.Errorf("a group has a link of type %d", cache)
				} else if cache < 2 {
					below = append(below, le.Uint64(b[8:]))
				}
			}
		default:
			return nil, fmt.Errorf("a group's node at byte %d is neither a tree nor symbols", address)
		}
	}
	return below, nil
}
