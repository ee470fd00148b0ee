// Package model is the port through which Assay asks a model for its answers, and
// the recognition of what an ONNX file takes and gives. It runs nothing: package
// ort and others implement the port, and modeltest holds what they must satisfy.
package model

import (
	"context"
	"fmt"
	"math"
)

// Classifier gives each of its classes a score for each row of input.
// Implementations are safe for concurrent use.
type Classifier interface {
	// Describe tells what the model takes and gives. It is the same at every call.
	Describe() Description

	// Predict writes the scores of each row, Classes numbers per row, in the order
	// of the classes. A row is RowSize numbers in the model's own layout; they are
	// rounded to the model's element type. Any number of rows is allowed, and a
	// row's scores do not depend on the others beyond rounding. Where Output is
	// Labels, the class that the model names has score 1 and the others 0.
	// An ended context ends the call with its error; scores are undefined then.
	Predict(ctx context.Context, rows, scores []float64) error

	// Close frees what the model holds. Predict fails after it.
	Close() error
}

// Description tells what a classifier takes and gives.
type Description struct {
	Shape   []int64 // of one row, without the batch
	Layout  Layout
	Range   Range
	Batch   int      // rows that the model runs at once; 0 for any number
	Classes []string // names, in the order of the scores
	Output  Output

	// Reject says that the last class is a refusal to answer, such as a detector's or for want of confidence. No label
	// is of it, and an input that gets it is neither classified rightly nor an adversarial example.
	Reject bool

	// Random says that answers depend on random numbers. The model is a Drawing then.
	Random bool
}

// Labels is how many classes a label can be of: all but the refusal.
func (d Description) Labels() int {
	if d.Reject {
		return len(d.Classes) - 1
	}
	return len(d.Classes)
}

// RowSize is the number of values in one row of input.
func (d Description) RowSize() int {
	n := int64(1)
	for _, size := range d.Shape {
		n *= size
	}
	return int(n)
}

// Rows gives the number of rows that a call of Predict is about, or what is wrong
// with its arguments. Implementations begin with it.
func (d Description) Rows(rows, scores []float64) (int, error) {
	size, classes := d.RowSize(), len(d.Classes)
	if len(rows)%size != 0 {
		return 0, fmt.Errorf("%d input values are not a whole number of rows of %d (%v)", len(rows), size, d.Shape)
	}
	n := len(rows) / size
	if len(scores) != n*classes {
		return 0, fmt.Errorf("%d rows have %d scores (%d classes), and room for %d is given", n, n*classes, classes, len(scores))
	}
	return n, nil
}

// Layout tells how a row's values are arranged.
type Layout string

// The layouts of a row.
const (
	Tabular Layout = "tabular" // one value per column
	NCHW    Layout = "NCHW"    // an image, channels first
	NHWC    Layout = "NHWC"    // an image, channels last
	Other   Layout = "other"   // such as a sequence
)

// Output tells what a classifier's scores mean.
type Output string

// The meanings of scores.
const (
	UnknownOutput Output = ""
	Logits        Output = "logits"        // any numbers, the largest wins
	Probabilities Output = "probabilities" // between 0 and 1
	Labels        Output = "labels"        // only the winner is known
)

// Range is the interval in which a model expects its input values.
type Range struct {
	Low, High float64
	Basis     string // how it is known, or the guess it rests on
}

// Unbounded is the range of which nothing is known.
func Unbounded(basis string) Range {
	return Range{Low: math.Inf(-1), High: math.Inf(1), Basis: basis}
}
