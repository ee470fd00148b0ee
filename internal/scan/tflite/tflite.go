// Package tflite scans TensorFlow Lite models: their operators, by the tables of the
// flatbuffer that hold them.
package tflite

import (
	"context"
	"fmt"
	"strings"

	"assay/internal/scan"
	"assay/internal/scan/flatbuffer"
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
	b := flatbuffer.Open(at, size)
	m := b.Root()
	for _, code := range b.Tables(m, fieldOperators) {
		judge(b, code, f, r)
	}
	b.Tables(m, fieldSubgraphs)
	for _, t := range b.Tables(m, fieldBuffers) {
		extent(b, t, size)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := b.Err(); err != nil {
		r.Add(scan.Finding{Rule: "tflite-structure", Severity: scan.Medium, Place: f.Place(0, ""), Message: fmt.Sprintf("It is damaged: %v. Readers that do not check read beyond their memory.", err), Remedy: "Get the file again from its source, or convert the model anew."})
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

func judge(b *flatbuffer.Buffer, code int64, f *scan.File, r *scan.Report) {
	old, builtin, name := b.Scalar(code, fieldOldBuiltin, 1), b.Scalar(code, fieldBuiltin, 4), b.Text(code, fieldCustom)
	op := max(old, builtin)
	if b.Err() != nil || op != custom && op <= lastBuiltin && name == "" {
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

// extent checks that a buffer's bytes are within the file.
func extent(b *flatbuffer.Buffer, table, size int64) {
	b.Extent(table, fieldData, 1)
	offset, length := b.Scalar(table, fieldOffset, 8), b.Scalar(table, fieldSize, 8)
	if offset < 0 || length < 0 || length > size || offset > size-length {
		b.Fail()
	}
}
