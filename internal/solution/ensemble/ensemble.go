// Package ensemble is a vote of several models in one graph, so that who attacks it attacks all of them.
//
// The mean of probabilities is that of Lakshminarayanan et al. (2017, arXiv:1612.01474, section 2.4). What it adds
// against evasion is little where its members learn alike (He et al. 2017, arXiv:1706.04701, section 5): that is
// for an assessment to show.
package ensemble

import (
	"errors"
	"fmt"
	"slices"

	"assay/internal/solution/rewrite"
	"assay/onnx"
)

// Mean says what the mean is taken of.
type Mean string

// The means.
const (
	Probabilities Mean = "probabilities" // the scores are the logarithm of their mean
	Logits        Mean = "logits"
)

// Means gives all means.
func Means() []Mean { return []Mean{Probabilities, Logits} }

// Merge builds the model that gives the mean of its members' answers. They take rows of one shape and layout and
// have the same classes; the metadata are those of the first.
func Merge(members []*rewrite.Classifier, of Mean) (*onnx.Model, error) {
	if len(members) < 2 {
		return nil, errors.New("an ensemble needs at least two models")
	}
	first := members[0]
	for i, c := range members[1:] {
		switch {
		case !slices.Equal(c.Shape, first.Shape) || c.Layout != first.Layout:
			return nil, fmt.Errorf("model %d takes rows of shape %v (%s), and the first of %v (%s): an ensemble gives all the same row", i+2, c.Shape, c.Layout, first.Shape, first.Layout)
		case !slices.Equal(c.Classes, first.Classes):
			return nil, fmt.Errorf("model %d has the classes %q, and the first %q: an ensemble needs the same in the same order", i+2, c.Classes, first.Classes)
		case c.Batch != first.Batch:
			return nil, fmt.Errorf("model %d takes batches of %d rows, and the first of %d (0 is any number): export them alike", i+2, c.Batch, first.Batch)
		}
	}
	b := first.Begin()
	var answers []string
	for _, c := range members {
		logits, _ := b.Call(c, b.Input)
		switch of {
		case Logits:
		case Probabilities:
			// The logarithm of a mean of exponentials, which no probability of 0 can break.
			logits = b.Op("LogSoftmax", onnx.Attrs{"axis": int64(1)}, logits)
		default:
			return nil, fmt.Errorf("there is no mean of %q: use one of %q", of, Means())
		}
		answers = append(answers, b.Op("Unsqueeze", nil, logits, b.Ints(0)))
	}
	all := b.Op("Concat", onnx.Attrs{"axis": int64(0)}, answers...)
	mean := onnx.Attrs{"keepdims": int64(0)}
	if of == Logits {
		return b.Classify(b.Op("ReduceMean", mean, all, b.Ints(0)), false)
	}
	sum := b.Op("ReduceLogSumExp", mean, all, b.Ints(0))
	return b.Classify(b.Op("Sub", nil, sum, b.Op("Log", nil, b.Number(onnx.Float32, float64(len(members))))), false)
}
