// Package tflite scans TensorFlow Lite models: their operators, by the tables of the
// flatbuffer that hold them.
package tflite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"assay/internal/scan"
)

// Scanner scans TensorFlow Lite models (schema.fbs, version 3).
type Scanner struct{}

// Describe names the format and its rules.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "tflite", Title: "TensorFlow Lite", Rules: []scan.Rule{
		{ID: "tflite-structure", Title: "An offset or count in the file is not possible"},
		{ID: "tflite-operator", Title: "An operator runs code, or reaches files"},
		{ID: "tflite-custom", Title: "An operator is not TensorFlow Lite's own"},
	}}
}

// Match reports the file's identifier after the first offset.
func (Scanner) Match(p scan.Probe) bool { return len(p.Head) >= 8 && string(p.Head[4:8]) == "TFL3" }

// Scan reads the list of operators and checks the lists of subgraphs and buffers.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	r.AccountsForAll()
	at, size, err := f.Random(ctx)
	if err != nil {
		return err
	}
	b := &buffer{at: at, size: size}
	m := b.table(int64(b.u32(0)))
	for _, code := range b.tables(m, fieldOperators) {
		judge(b, code, f, r)
	}
	b.tables(m, fieldSubgraphs)
	for _, t := range b.tables(m, fieldBuffers) {
		b.extent(t)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if b.err != nil {
		r.Add(scan.Finding{Rule: "tflite-structure", Severity: scan.Medium, Place: f.Place(0, ""), Message: fmt.Sprintf("It is damaged: %v. Readers that do not check read beyond their memory.", b.err), Remedy: "Get the file again from its source, or convert the model anew."})
	}
	return nil
}

// Fields of the tables Model, OperatorCode and Buffer.
const (
	fieldOperators = 1
	fieldSubgraphs = 2
	fieldBuffers   = 4

	fieldOldBuiltin = 0
	fieldCustom     = 1
	fieldBuiltin    = 3

	fieldData   = 0
	fieldOffset = 1
	fieldSize   = 2

	custom      = 32
	lastBuiltin = 210
)

// known are operators that TensorFlow Lite has as custom ones and that compute only.
var known = map[string]bool{"TFLite_Detection_PostProcess": true, "Mfcc": true, "AudioSpectrogram": true, "MaxPoolingWithArgmax2D": true, "MaxUnpooling2D": true, "Convolution2DTransposeBias": true, "Landmarks2TransformMatrix": true, "TransformTensorBilinear": true, "TransformLandmarks": true}

func judge(b *buffer, code int64, f *scan.File, r *scan.Report) {
	old, builtin, name := b.scalar(code, fieldOldBuiltin, 1), b.scalar(code, fieldBuiltin, 4), b.text(code, fieldCustom)
	op := max(old, builtin)
	if b.err != nil || op != custom && op <= lastBuiltin && name == "" {
		return
	}
	place := f.Place(code, name)
	flex := strings.TrimPrefix(name, "Flex")
	switch {
	case op > lastBuiltin:
		r.Undecided("tflite-custom", place, fmt.Sprintf("It uses the operator number %d, which is not known.", op), "Convert the model anew with known operators.")
	case flex == "PyFunc" || flex == "EagerPyFunc" || flex == "PyFuncStateless" || flex == "ReadFile" || flex == "WriteFile" || flex == "PrintV2" || flex == "MatchingFiles" || flex == "PyCallback":
		r.Add(scan.Finding{Rule: "tflite-operator", Severity: scan.High, Place: place, Message: fmt.Sprintf("It calls %s, which runs code of the program that loads it or reaches files.", name), Remedy: "Do not run it; convert the model without this operator."})
	case known[name]:
	default:
		r.Undecided("tflite-custom", place, fmt.Sprintf("It uses the custom operator %q, whose code is not in the file.", name), "Convert the model with TensorFlow Lite's own operators, or to ONNX.")
	}
}

// buffer reads a flatbuffer. The first error stays, and nothing is read after it.
type buffer struct {
	at   io.ReaderAt
	size int64
	read int
	err  error
}

const (
	maxVector = 100_000
	maxReads  = 5_000_000
	maxName   = 1 << 10
)

var errBounds = errors.New("an offset leads out of the file")

func (b *buffer) bytes(offset, n int64) []byte {
	out := make([]byte, n)
	if b.read++; b.err == nil && (offset < 0 || offset > b.size-n) {
		b.err = errBounds
	}
	if b.read > maxReads {
		b.err = errors.New("it has too many tables")
	}
	if b.err == nil {
		if got, err := b.at.ReadAt(out, offset); int64(got) < n {
			b.err = err
		}
	}
	return out
}

func (b *buffer) u32(offset int64) uint32 { return binary.LittleEndian.Uint32(b.bytes(offset, 4)) }

// table checks that a table's field list is where it says.
func (b *buffer) table(offset int64) int64 {
	b.vtable(offset)
	return offset
}

func (b *buffer) vtable(table int64) (at, length int64) {
	at = table - int64(int32(b.u32(table)))
	return at, int64(binary.LittleEndian.Uint16(b.bytes(at, 2)))
}

// field gives where a table's field is, 0 where it has none.
func (b *buffer) field(table int64, number int) int64 {
	at, length := b.vtable(table)
	entry := int64(4 + 2*number)
	if b.err != nil || entry+2 > length {
		return 0
	}
	offset := int64(binary.LittleEndian.Uint16(b.bytes(at+entry, 2)))
	if offset == 0 {
		return 0
	}
	return table + offset
}

// vector gives the first element and the number of elements.
func (b *buffer) vector(table int64, number int) (at, n int64) {
	f := b.field(table, number)
	if f == 0 {
		return 0, 0
	}
	at = f + int64(b.u32(f))
	return at + 4, int64(b.u32(at))
}

func (b *buffer) tables(table int64, number int) []int64 {
	at, n := b.vector(table, number)
	if n > maxVector {
		b.err = fmt.Errorf("a list has %d elements", n)
	}
	var out []int64
	for i := int64(0); i < n && b.err == nil; i++ {
		p := at + 4*i
		out = append(out, b.table(p+int64(b.u32(p))))
	}
	return out
}

func (b *buffer) scalar(table int64, number int, width int64) int64 {
	f := b.field(table, number)
	if f == 0 || b.err != nil {
		return 0
	}
	v := make([]byte, 8)
	copy(v, b.bytes(f, width))
	return int64(binary.LittleEndian.Uint64(v))
}

func (b *buffer) text(table int64, number int) string {
	at, n := b.vector(table, number)
	if n > maxName {
		b.err = fmt.Errorf("a name has %d bytes", n)
	}
	if n == 0 || b.err != nil {
		return ""
	}
	return string(b.bytes(at, n))
}

// extent checks that a buffer's bytes are within the file.
func (b *buffer) extent(table int64) {
	at, n := b.vector(table, fieldData)
	if b.err == nil && n > 0 && at+n > b.size {
		b.err = errBounds
	}
	offset, length := b.scalar(table, fieldOffset, 8), b.scalar(table, fieldSize, 8)
	if b.err == nil && (offset < 0 || length < 0 || length > b.size || offset > b.size-length) {
		b.err = errBounds
	}
}
