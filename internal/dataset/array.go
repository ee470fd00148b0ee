package dataset

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
)

// element is the type of an array's elements as stored.
type element struct {
	size   int
	float  func([]byte) float64
	text   func([]byte) string // of texts, which have no float
	pixels bool                // 8-bit unsigned
}

// array is an array in a file: where its elements begin, and how they are stored.
type array struct {
	name    string
	files   []string
	shape   []int // the first dimension is the records'
	element element
	fortran bool                                         // the first dimension varies fastest
	open    func(context.Context) (io.ReadCloser, error) // at the first element
}

// check judges what a header claims: available is how many bytes can follow it at most.
func (a *array) check(available func(int64) bool) error {
	if len(a.shape) == 0 {
		return errors.New("is a single value, not an array of records")
	}
	if a.shape[0] < 1 {
		return errors.New("has no records")
	}
	n, err := elements(a.shape[1:])
	if err != nil {
		return fmt.Errorf("claims records that are too large: %w", err)
	}
	bytes := int64(n) * int64(max(a.element.size, 1))
	if int64(a.shape[0]) > math.MaxInt64/bytes || !available(int64(a.shape[0])*bytes) {
		return fmt.Errorf("claims the shape %v, which is more than the file holds: it is cut short or damaged", a.shape)
	}
	return nil
}

// records visits the bytes of each record, in C order. They are used again.
func (a *array) records(ctx context.Context, maxBytes int64, visit func([]byte) error) error {
	r, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	if a.fortran && len(a.shape) > 1 {
		return a.turned(r, maxBytes, visit)
	}
	n, _ := elements(a.shape[1:])
	b := bufio.NewReaderSize(r, 1<<16)
	buffer := make([]byte, n*a.element.size)
	for i := range a.shape[0] {
		if _, err := io.ReadFull(b, buffer); err != nil {
			return a.short(i, err)
		}
		if err := visit(buffer); err != nil {
			return err
		}
	}
	return nil
}

func (a *array) short(i int, err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s ends in record %d of the %d it claims to have: it is cut short or damaged", a.name, i+1, a.shape[0])
	}
	return err
}

// turned reads the whole of an array in Fortran order, whose records are spread over all of it.
func (a *array) turned(r io.Reader, maxBytes int64, visit func([]byte) error) error {
	records, size := a.shape[0], a.element.size
	n, _ := elements(a.shape[1:])
	total := int64(records) * int64(n) * int64(size)
	if total > maxBytes {
		return fmt.Errorf("%s is stored in Fortran order and takes more than the %d bytes allowed: save it in C order", a.name, maxBytes)
	}
	var all bytes.Buffer // grows with what is there, not with what is claimed
	if got, err := io.Copy(&all, io.LimitReader(r, total)); err != nil {
		return err
	} else if got < total {
		return a.short(int(got/int64(n*size)), io.ErrUnexpectedEOF)
	}
	data := all.Bytes()
	buffer := make([]byte, n*size)
	// The element at indices (i, j, k…) stands at i + records·(j + shape[1]·(k + …)).
	offsets := make([]int, n)
	at := make([]int, len(a.shape))
	for e := range offsets {
		for d := len(a.shape) - 1; d > 0; d-- {
			offsets[e] = offsets[e]*a.shape[d] + at[d]
		}
		for d := len(a.shape) - 1; d > 0; d-- {
			if at[d]++; at[d] < a.shape[d] {
				break
			}
			at[d] = 0
		}
	}
	for i := range records {
		for e, o := range offsets {
			from := (i + records*o) * size
			copy(buffer[e*size:], data[from:from+size])
		}
		if err := visit(buffer); err != nil {
			return err
		}
	}
	return nil
}

func (a *array) cell(b []byte) cell {
	if a.element.text != nil {
		return cell{text: a.element.text(b)}
	}
	return numberCell(a.element.float(b))
}

// arrayFormat is records as arrays, with labels beside them or without. Arrays of
// one or two dimensions are tables.
type arrayFormat struct {
	features  *array
	labels    *array // nil where there are none
	labelName string
	columns   []string // of a table
	maxBytes  int64
}

func newArrayFormat(features, labels *array, o *Options) (*arrayFormat, error) {
	f := &arrayFormat{features: features, labels: labels, maxBytes: o.maxBytes()}
	if features.element.text != nil {
		return nil, fmt.Errorf("%s holds texts, which are no features: encode them as numbers", features.name)
	}
	if labels != nil {
		f.labelName = labels.name
		if n, _ := elements(labels.shape[1:]); n != 1 {
			return nil, fmt.Errorf("the labels %s have the shape %v: give one class for each record", labels.name, labels.shape)
		}
		if labels.shape[0] != features.shape[0] {
			return nil, fmt.Errorf("%s has %d records, but there are %d labels in %s", features.name, features.shape[0], labels.shape[0], labels.name)
		}
	}
	if len(features.shape) > 2 {
		return f, nil
	}
	n, _ := elements(features.shape[1:])
	if n > maxColumns {
		return nil, fmt.Errorf("%s has %d columns, more than %d", features.name, n, maxColumns)
	}
	for i := range n {
		f.columns = append(f.columns, fmt.Sprintf("x%d", i))
	}
	if labels != nil {
		if slices.Contains(f.columns, f.labelName) {
			f.labelName = "label"
		}
		f.columns = append(f.columns, f.labelName)
	}
	return f, nil
}

func (f *arrayFormat) files() ([]string, error) {
	files := f.features.files
	if f.labels != nil {
		files = append(slices.Clone(files), f.labels.files...)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

func (f *arrayFormat) layout() layout {
	l := layout{columns: f.columns, label: f.labelName, rows: int64(f.features.shape[0])}
	if f.columns == nil {
		l.shape, l.pixels = f.features.shape[1:], f.features.element.pixels
	}
	return l
}

func (f *arrayFormat) records(ctx context.Context, visit func(*record) error) error {
	labels, err := f.labelCells(ctx)
	if err != nil {
		return err
	}
	rec := record{file: f.features.files[0]}
	n, _ := elements(f.features.shape[1:])
	size := f.features.element.size
	if f.columns == nil {
		rec.values = make([]float32, n)
	} else {
		rec.cells = make([]cell, len(f.columns))
	}
	return f.features.records(ctx, f.maxBytes, func(b []byte) error {
		for i := range n {
			v := f.features.element.float(b[i*size : (i+1)*size])
			if rec.cells != nil {
				rec.cells[i] = numberCell(v)
			} else {
				rec.values[i] = float32(v)
			}
		}
		if labels != nil {
			rec.label = labels[rec.row]
			if rec.cells != nil {
				rec.cells[n] = rec.label
			}
		}
		rec.row++
		return visit(&rec)
	})
}

// labelCells reads all labels: a zip file's members cannot be read in step.
func (f *arrayFormat) labelCells(ctx context.Context) ([]cell, error) {
	if f.labels == nil {
		return nil, nil
	}
	var cells []cell
	err := f.labels.records(ctx, f.maxBytes, func(b []byte) error {
		if int64(len(cells))*64 > f.maxBytes {
			return fmt.Errorf("the labels %s take more than the %d bytes allowed", f.labels.name, f.maxBytes)
		}
		cells = append(cells, f.labels.cell(b))
		return nil
	})
	return cells, err
}

// number gives a reader of the numbers of a kind (b: boolean, i: signed, u: unsigned,
// f: floating) and size in bytes, or false.
func number(kind byte, size int, order binary.ByteOrder) (element, bool) {
	e := element{size: size}
	switch fmt.Sprintf("%c%d", kind, size) {
	case "b1":
		e.float = func(b []byte) float64 { return float64(min(b[0], 1)) }
	case "i1":
		e.float = func(b []byte) float64 { return float64(int8(b[0])) }
	case "i2":
		e.float = func(b []byte) float64 { return float64(int16(order.Uint16(b))) }
	case "i4":
		e.float = func(b []byte) float64 { return float64(int32(order.Uint32(b))) }
	case "i8":
		e.float = func(b []byte) float64 { return float64(int64(order.Uint64(b))) }
	case "u1":
		e.pixels = true
		e.float = func(b []byte) float64 { return float64(b[0]) }
	case "u2":
		e.float = func(b []byte) float64 { return float64(order.Uint16(b)) }
	case "u4":
		e.float = func(b []byte) float64 { return float64(order.Uint32(b)) }
	case "u8":
		e.float = func(b []byte) float64 { return float64(order.Uint64(b)) }
	case "f2":
		e.float = func(b []byte) float64 { return half(order.Uint16(b)) }
	case "f4":
		e.float = func(b []byte) float64 { return float64(math.Float32frombits(order.Uint32(b))) }
	case "f8":
		e.float = func(b []byte) float64 { return math.Float64frombits(order.Uint64(b)) }
	default:
		return e, false
	}
	return e, true
}

// half gives the value of a binary16 number (IEEE 754).
func half(bits uint16) float64 {
	sign := 1.0
	if bits&0x8000 != 0 {
		sign = -1
	}
	exponent, fraction := int(bits>>10&0x1f), float64(bits&0x3ff)
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 0x1f:
		if fraction != 0 {
			return math.NaN()
		}
		return sign * math.Inf(1)
	}
	return sign * math.Ldexp(fraction+1024, exponent-25)
}

// labelArray opens the file of labels that the options name, if they do.
func labelArray(ctx context.Context, path string) (*array, error) {
	src, head, err := openSource(ctx, path)
	if err != nil {
		return nil, err
	}
	var a *array
	switch {
	case isIDX(head):
		a, err = readIDX(ctx, src)
	case strings.HasPrefix(string(head), npyMagic):
		a, err = readNPY(ctx, src)
	default:
		err = errors.New("is neither an IDX nor an NPY file")
	}
	if err != nil {
		return nil, fmt.Errorf("labels %s: %w", path, err)
	}
	a.name = "label"
	return a, nil
}

// baseName is a file's name without folder and extensions.
func baseName(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	return name
}
