package dataset

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// WriteCSV writes a dataset as a table with a header line, in the user's own units. Read under the same schema it is
// the same dataset again, its records numbered anew. Columns that the schema drops are there, and empty.
func WriteCSV(w io.Writer, d *Dataset) error {
	s := d.Schema
	header, feature := d.tableColumns()
	out := csv.NewWriter(w)
	if err := out.Write(header); err != nil {
		return err
	}
	line := make([]string, len(header))
	for i := range d.Len() {
		values, err := s.Decode(d.Record(i))
		if err != nil {
			return err
		}
		for k, of := range feature {
			switch {
			case of >= 0:
				line[k] = values[of]
			case of == labelColumn && d.Y != nil:
				line[k] = s.Label.Classes[d.Y[i]]
			}
		}
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// What a column holds that is no feature.
const (
	droppedColumn = -1 - iota
	labelColumn
)

// tableColumns gives the names of a table's columns, and of each which feature (which element, with a shape) it holds.
func (d *Dataset) tableColumns() (header []string, feature []int) {
	s := d.Schema
	names := featureNames(s.Features)
	label := cmp.Or(s.Label.Name, "label")
	if len(s.Shape) > 0 {
		names = elementNames(s.Width(), append(slices.Clone(s.Drop), label))
	}
	if len(s.ColumnNames) == 0 {
		for i, name := range names {
			header, feature = append(header, name), append(feature, i)
		}
		if d.Y != nil {
			header, feature = append(header, label), append(feature, labelColumn)
		}
		for _, name := range s.Drop {
			header, feature = append(header, name), append(feature, droppedColumn)
		}
		return header, feature
	}
	next := 0 // of a shape's elements, which are in the columns' order
	for _, name := range s.ColumnNames {
		of := slices.Index(names, name)
		switch {
		case slices.Contains(s.Drop, name) || name == label && d.Y == nil:
			of = droppedColumn
		case name == label:
			of = labelColumn
		case len(s.Shape) > 0:
			of = next
			next++
		}
		header, feature = append(header, name), append(feature, of)
	}
	return header, feature
}

// WriteCSV writes texts as a table of two columns with a header line.
func (t *Texts) WriteCSV(w io.Writer, column, label string) error {
	out := csv.NewWriter(w)
	lines := [][]string{{column, label}}
	for i, text := range t.Texts {
		lines = append(lines, []string{text, t.Labels[i]})
	}
	return out.WriteAll(lines)
}

// Digest identifies the text i by its content: SHA-256 of the text, a line's end and its label.
func (t *Texts) Digest(i int) Digest { return sha256.Sum256([]byte(t.Texts[i] + "\n" + t.Labels[i])) }

// elementNames gives names for n elements, none of which is taken.
func elementNames(n int, taken []string) []string {
	prefix := "x"
	for slices.ContainsFunc(taken, func(name string) bool { return strings.HasPrefix(name, prefix) }) {
		prefix += "_"
	}
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return names
}

// WriteNPZ writes a dataset of arrays in NPZ: x, the records in the schema's shape, as bytes where they are
// whole numbers from 0 to 255, else as float32; and their classes, under the label's name or y, as
// whole numbers where all are, else as texts. Tables, whose columns have names and categories, are for WriteCSV.
func WriteNPZ(w io.Writer, d *Dataset) error {
	if len(d.Schema.Shape) == 0 {
		return fmt.Errorf("a table of %d features has names and categories, which NPZ does not hold: write CSV", len(d.Schema.Features))
	}
	label := d.Schema.Label.Name
	if label == "" || label == "x" {
		label = "y"
	}
	shape := append([]int{d.Len()}, d.Schema.Shape...)
	z := zip.NewWriter(w)
	kind, x := "<f4", any(d.X)
	if b := d.asBytes(); b != nil {
		kind, x = "|u1", b
	}
	if err := writeMember(z, "x", kind, shape, x); err != nil {
		return err
	}
	if d.Y != nil {
		kind, y := d.classArray()
		if err := writeMember(z, label, kind, shape[:1], y); err != nil {
			return err
		}
	}
	return z.Close()
}

func writeMember(z *zip.Writer, name, kind string, shape []int, data any) error {
	entry, err := z.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: zip.Deflate}) // without a time: the same data are the same bytes
	if err != nil {
		return err
	}
	return WriteNPY(entry, kind, shape, data)
}

// asBytes gives the values as bytes, nil where they are no whole numbers from 0 to 255.
func (d *Dataset) asBytes() []byte {
	if d.Schema.Features[0].Type != Integer {
		return nil
	}
	out := make([]byte, len(d.X))
	for i, v := range d.X {
		if !(v >= 0 && v <= math.MaxUint8) || v != float32(uint8(v)) {
			return nil
		}
		out[i] = uint8(v)
	}
	return out
}

// classArray gives each record's class, as NPY has it.
func (d *Dataset) classArray() (kind string, data any) {
	numbers := make([]int64, d.Len())
	longest := 1
	whole := true
	for i, class := range d.Y {
		name := d.Schema.Label.Classes[class]
		v, err := strconv.ParseInt(name, 10, 64)
		numbers[i], whole = v, whole && err == nil && strconv.FormatInt(v, 10) == name
		longest = max(longest, len([]rune(name)))
	}
	if whole {
		return "<i8", numbers
	}
	texts := make([]rune, d.Len()*longest)
	for i, class := range d.Y {
		copy(texts[i*longest:], []rune(d.Schema.Label.Classes[class]))
	}
	return fmt.Sprintf("<U%d", longest), texts
}

// WriteNPY writes an array in version 1.0 of NumPy's format (NEP 1). Kind is its descr, which tells the size and
// order of bytes; data are its elements, row-major.
func WriteNPY(w io.Writer, kind string, shape []int, data any) error {
	dims := ""
	for _, d := range shape {
		dims += fmt.Sprintf("%d, ", d)
	}
	if len(shape) > 1 {
		dims = strings.TrimSuffix(dims, ", ")
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", kind, strings.TrimSuffix(dims, " "))
	const before = 10 // bytes; with the header and its line's end a multiple of 64
	header += strings.Repeat(" ", 63-(before+len(header))%64) + "\n"
	var out bytes.Buffer
	out.WriteString("\x93NUMPY\x01\x00")
	for _, part := range []any{uint16(len(header)), []byte(header), data} {
		if err := binary.Write(&out, binary.LittleEndian, part); err != nil {
			return err
		}
	}
	_, err := out.WriteTo(w)
	return err
}
