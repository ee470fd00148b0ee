// Package refusal is what all solutions share that refuse inputs: a score in the graph, the threshold above which
// it refuses, from records that nobody attacked, and the refusal as the last class of the model.
package refusal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/internal/model/ort"
	"assay/internal/solution/rewrite"
	"assay/internal/stat"
	"assay/onnx"
)

// Detector appends nodes that give each row a score, [N] of float32: the more, the less the row is to be trusted.
// It calls the classifier on the builder's input and gives the logits of that call too.
type Detector interface {
	Append(b *rewrite.Builder, c *rewrite.Classifier) (logits, score string, err error)
}

// Rule says which threshold is taken: the lowest of which calibration shows, with the confidence, that it refuses at most
// the part FPR of the inputs that nobody attacks.
type Rule struct {
	FPR        float64 // above 0 and below 1
	Confidence float64 // above 0 and below 1, such as 0.95
}

// Threshold is the score above which a model refuses.
type Threshold struct {
	Value      float64 `json:"value"`
	Refused    int     `json:"refused"` // of the calibration's rows
	N          int     `json:"n"`       // rows of the calibration
	Upper      float64 `json:"upper"`   // exact bound of the part that is refused of rows like them
	Confidence float64 `json:"confidence"`

	unit float64 // of the excess over it: the standard deviation of the calibration's scores, at least 1
}

// Calibrate finds the threshold for scores of independent rows that nobody attacked. The bound is that of
// distribution-free tolerance limits (Wilks 1941): if the k+1 highest of n scores begin at the threshold, more than
// the part p is above it with the probability that a binomial variable of n and p is at most k, whatever the
// scores' distribution.
func (r Rule) Calibrate(scores []float32) (*Threshold, error) {
	if !(r.FPR > 0 && r.FPR < 1) {
		return nil, fmt.Errorf("a detector cannot refuse at most %g of the inputs: give a part above 0 and below 1, such as 0.05", r.FPR)
	}
	sorted := slices.Sorted(slices.Values(scores))
	n := len(sorted)
	if n == 0 {
		return nil, errors.New("a threshold needs records to calibrate it, and there are none")
	}
	if v := float64(sorted[0]); math.IsNaN(v) {
		return nil, errors.New("a score of the records that calibrate is no number: the model overflows on them")
	}
	t := &Threshold{N: n, Confidence: r.Confidence}
	above := -1
	for k := range n {
		upper, err := stat.BinomialUpper(k, n, r.Confidence)
		if err != nil {
			return nil, err
		}
		if upper > r.FPR {
			break
		}
		above, t.Upper = k, upper
	}
	if above < 0 {
		needed := int(math.Ceil(math.Log(1-r.Confidence) / math.Log1p(-r.FPR)))
		return nil, fmt.Errorf("%d records cannot show that at most %g of the inputs are refused, with %g confidence: calibrate on %d or more, or allow more refusals", n, r.FPR, r.Confidence, needed)
	}
	value := sorted[n-1-above]
	t.Value = float64(value)
	for _, s := range sorted {
		if s > value {
			t.Refused++
		}
	}
	mean, squares := 0.0, 0.0
	for i, s := range sorted { // Welford (1962)
		delta := float64(s) - mean
		mean += delta / float64(i+1)
		squares += delta * (float64(s) - mean)
	}
	t.unit = math.Sqrt(squares / float64(n))
	if !(t.unit > 1) || math.IsInf(t.unit, 0) {
		t.unit = 1
	}
	return t, nil
}

// Add builds the model that refuses what a detector's score is above its threshold for. The calibration's rows
// are in the model's order, one after the other.
//
// The refusal's logit is the greatest of the classes', and added to it by how much the score is above the threshold. So
// it is the greatest exactly where the detector refuses, and has a slope that an attack which knows the detector can
// follow (Carlini and Wagner 2017, arXiv:1705.07263). The excess counts in standard deviations of the calibration's
// scores, where these are above 1, and else as it is: steeper, the refusal would be a wall between the classes that no
// slope leads over, and the attack would seem to fail.
func Add(ctx context.Context, c *rewrite.Classifier, d Detector, calibration []float32, r Rule, o ort.Options) (*onnx.Model, *Threshold, error) {
	scores, err := Scores(ctx, c, d, calibration, o)
	if err != nil {
		return nil, nil, err
	}
	t, err := r.Calibrate(scores)
	if err != nil {
		return nil, nil, err
	}
	b := c.Begin()
	logits, score, err := d.Append(b, c)
	if err != nil {
		return nil, nil, err
	}
	over := b.Op("Sub", nil, score, b.Number(onnx.Float32, t.Value))
	if t.unit != 1 {
		over = b.Op("Mul", nil, over, b.Number(onnx.Float32, 1/t.unit))
	}
	best := b.Op("ReduceMax", onnx.Attrs{"keepdims": int64(1)}, logits, b.Ints(1))
	refusal := b.Op("Add", nil, best, b.Op("Unsqueeze", nil, over, b.Ints(1)))
	m, err := b.Classify(b.Op("Concat", onnx.Attrs{"axis": int64(1)}, logits, refusal), true)
	return m, t, err
}

// Scores gives a detector's score of each row.
func Scores(ctx context.Context, c *rewrite.Classifier, d Detector, rows []float32, o ort.Options) ([]float32, error) {
	b := c.Begin()
	_, score, err := d.Append(b, c)
	if err != nil {
		return nil, err
	}
	m, err := b.Measure(score)
	if err != nil {
		return nil, err
	}
	return rewrite.Run(ctx, m, rows, o)
}
