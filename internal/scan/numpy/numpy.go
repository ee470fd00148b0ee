// Package numpy scans NumPy's arrays. Arrays of objects hold a pickle, which is handed
// over; those of numbers are as long as their header says.
package numpy

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"regexp"
	"strconv"
	"strings"

	"assay/internal/scan"
)

// Scanner scans npy files (numpy.lib.format, versions 1 to 3). Files of several arrays,
// npz, are zip archives of them.
type Scanner struct{}

// Describe names the format and its rules.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "numpy", Title: "NumPy array", Rules: []scan.Rule{
		{ID: "numpy-header", Title: "The header is not as NumPy writes it"},
		{ID: "numpy-extent", Title: "The array is cut short"},
		{ID: "numpy-type", Title: "The array's type is not known"},
	}}
}

const (
	magic     = "\x93NUMPY"
	maxHeader = 1 << 20
)

// Match reports the first six bytes.
func (Scanner) Match(p scan.Probe) bool { return bytes.HasPrefix(p.Head, []byte(magic)) }

// Scan reads the header and accounts for the numbers, or hands over the pickle.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	content, err := f.Reader(ctx)
	if err != nil {
		return err
	}
	defer content.Close()
	head, start, err := header(content)
	if err != nil {
		return err
	}
	find := func(rule, message string) {
		r.AccountsForAll()
		r.Add(scan.Finding{Rule: rule, Severity: scan.Medium, Place: f.Place(0, ""), Message: message, Remedy: "Get the file again from its source, or save the array anew."})
	}
	a, ok := parse(head)
	if !ok {
		find("numpy-header", "Its header is no literal of the three keys that NumPy writes: older versions of NumPy would evaluate it.")
		return nil
	}
	width, object, known := a.width()
	if !known {
		r.AccountsForAll()
		r.Undecided("numpy-type", f.Place(0, ""), fmt.Sprintf("Its type is %.200q, which is not known.", a.descr), "Save the array with a plain type.")
		return nil
	}
	if object {
		r.AccountsForAll() // the pickle's scanner looks after what follows the pickle
		return r.Entry(ctx, f.Section("objects", start, 1<<62))
	}
	size, ok := a.size(width)
	if !ok {
		find("numpy-extent", fmt.Sprintf("Its shape %v has more elements than can be counted.", a.shape))
		return nil
	}
	if have := f.Size(); have >= 0 && have-start < size {
		find("numpy-extent", fmt.Sprintf("Its header needs %d bytes and %d follow.", size, have-start))
		return nil
	}
	r.Accounts(0, start+size)
	if f.Size() >= 0 {
		return nil
	}
	n, err := io.CopyN(io.Discard, content, size)
	if err == io.EOF {
		find("numpy-extent", fmt.Sprintf("Its header needs %d bytes and %d follow.", size, n))
		return nil
	}
	return err
}

// header reads the header's text and gives the offset after it.
func header(r io.Reader) (string, int64, error) {
	b := make([]byte, 12)
	if _, err := io.ReadFull(r, b[:10]); err != nil {
		return "", 0, err
	}
	length, start := int64(binary.LittleEndian.Uint16(b[8:])), int64(10)
	if b[6] == 2 || b[6] == 3 {
		if _, err := io.ReadFull(r, b[10:]); err != nil {
			return "", 0, err
		}
		length, start = int64(binary.LittleEndian.Uint32(b[8:])), 12
	} else if b[6] != 1 {
		return "", 0, fmt.Errorf("its version %d.%d is not known", b[6], b[7])
	}
	if length > maxHeader {
		return "", 0, fmt.Errorf("its header has %d bytes, and at most %d are read", length, maxHeader)
	}
	head := make([]byte, length)
	_, err := io.ReadFull(r, head)
	return string(head), start + length, err
}

// array is what a header says.
type array struct {
	descr string
	shape []uint64
}

// The header is a Python literal that NumPy writes in one way; a reader that takes any
// other expression is what older versions had.
var headerShape = regexp.MustCompile(`^\s*\{\s*'descr'\s*:\s*(.+?)\s*,\s*'fortran_order'\s*:\s*(?:True|False)\s*,\s*'shape'\s*:\s*\(([0-9L, ]*)\)\s*,?\s*\}\s*$`)

func parse(head string) (array, bool) {
	m := headerShape.FindStringSubmatch(head)
	if m == nil {
		return array{}, false
	}
	a := array{descr: m[1]}
	for dim := range strings.SplitSeq(m[2], ",") {
		if dim = strings.TrimSuffix(strings.TrimSpace(dim), "L"); dim == "" {
			continue
		}
		n, err := strconv.ParseUint(dim, 10, 63)
		if err != nil || len(a.shape) == 64 {
			return array{}, false
		}
		a.shape = append(a.shape, n)
	}
	return a, true
}

var (
	plainType = regexp.MustCompile(`^'([<>|=]?)([?biufcSUVmMO])([0-9]*)(?:\[[0-9]*[A-Za-zμ]+\])?'$`)
	fieldType = regexp.MustCompile(`^\(\s*(?:'(?:[^'\\]|\\.)*'|\(\s*'[^'\\]*'\s*,\s*'[^'\\]*'\s*\))\s*,\s*('[^'\\]*')\s*(?:,\s*\(([0-9, ]*)\)\s*)?\)\s*,?\s*`)
)

// width gives the bytes of an element, or that it is an object.
func (a array) width() (bytes uint64, object, known bool) {
	if w, object, ok := plain(a.descr); ok {
		return w, object, true
	}
	if len(a.descr) < 3 || a.descr[0] != '[' || a.descr[len(a.descr)-1] != ']' {
		return 0, false, false
	}
	rest := a.descr[1 : len(a.descr)-1]
	total, objects := uint64(0), false
	for rest = strings.TrimSpace(rest); rest != ""; {
		m := fieldType.FindStringSubmatch(rest)
		if m == nil {
			return 0, false, false
		}
		w, object, ok := plain(m[1])
		if !ok {
			return 0, false, false
		}
		for dim := range strings.SplitSeq(m[2], ",") {
			if dim = strings.TrimSpace(dim); dim != "" {
				n, err := strconv.ParseUint(dim, 10, 24)
				if err != nil || w > 1<<32 {
					return 0, false, false
				}
				w *= n
			}
		}
		objects = objects || object
		total += w
		rest = rest[len(m[0]):]
	}
	return total, objects, true
}

func plain(descr string) (bytes uint64, object, ok bool) {
	m := plainType.FindStringSubmatch(descr)
	if m == nil {
		return 0, false, false
	}
	if m[2] == "O" {
		return 8, true, true
	}
	n, err := strconv.ParseUint(m[3], 10, 31)
	if m[2] == "?" && m[3] == "" {
		n, err = 1, nil
	}
	if m[2] == "U" {
		n *= 4
	}
	return n, false, err == nil
}

func (a array) size(width uint64) (int64, bool) {
	n := width
	for _, d := range a.shape {
		high, low := bits.Mul64(n, d)
		if high != 0 {
			return 0, false
		}
		n = low
	}
	return int64(n), n < 1<<60
}
