// Package rejection refuses inputs that a model is not sure of.
package rejection

import (
	"fmt"

	"assay/internal/solution/rewrite"
	"assay/onnx"
)

// Measure says what confidence is.
type Measure string

// The measures.
const (
	Probability Measure = "probability" // the greatest probability (Hendrycks and Gimpel 2017, arXiv:1610.02136, section 2)
	Energy      Measure = "energy"      // log Σ exp of the logits (Liu et al. 2020, arXiv:2010.03759, equation 4 with T = 1)
)

// Measures gives all measures.
func Measures() []Measure { return []Measure{Probability, Energy} }

// Detector gives each row the confidence less than which is refused, with its sign turned.
type Detector struct{ Measure Measure }

// Append gives the logits and the score.
func (d Detector) Append(b *rewrite.Builder, c *rewrite.Classifier) (logits, score string, err error) {
	logits, _ = b.Call(c, b.Input)
	drop := onnx.Attrs{"keepdims": int64(0)}
	switch d.Measure {
	case Probability:
		// The logarithm has a slope where the probability is all but 1.
		score = b.Op("ReduceMax", drop, b.Op("LogSoftmax", onnx.Attrs{"axis": int64(1)}, logits), b.Ints(1))
	case Energy:
		score = b.Op("ReduceLogSumExp", drop, logits, b.Ints(1))
	default:
		return "", "", fmt.Errorf("there is no confidence %q: use one of %q", d.Measure, Measures())
	}
	return logits, b.Op("Neg", nil, score), nil
}
