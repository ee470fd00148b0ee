// Package squeezing is feature squeezing: inputs are made coarser, so that there is less that an attacker can
// change (Xu, Evans and Qi 2018, arXiv:1704.01155).
//
// A squeezer stands before the model, or a detector compares what the model says of the input as it is and
// squeezed. By itself it withstands no attacker who knows of it (He et al. 2017, arXiv:1706.04701), which is for an
// assessment to show: all is in the graph, and rounding is marked so that an attack passes its gradient through.
package squeezing

import (
	"errors"
	"fmt"
	"slices"

	"assay/internal/model"
	"assay/internal/solution/rewrite"
	"assay/onnx"
)

// Squeezer appends nodes that make a batch of a classifier's rows coarser, and gives their value, of the same shape.
type Squeezer interface {
	Append(b *rewrite.Builder, c *rewrite.Classifier, x string) (string, error)
}

// Depth reduces the depth of numbers to Bits: of the limits Low and High, one each for a row's numbers or one for
// all, and what lies between only 2^Bits values are left, the nearest is taken (section III-A of the paper, whose
// limits are 0 and 1). It is input quantisation by another name.
type Depth struct {
	Bits      int // 1 to 16
	Low, High []float32
}

// Append rounds.
func (s Depth) Append(b *rewrite.Builder, c *rewrite.Classifier, x string) (string, error) {
	if s.Bits < 1 || s.Bits > 16 {
		return "", fmt.Errorf("a depth of %d bits: give 1 to 16", s.Bits)
	}
	low, err := perNumber(b, "low", s.Low, c)
	if err != nil {
		return "", err
	}
	if len(s.High) != len(s.Low) {
		return "", fmt.Errorf("there are %d lower limits and %d upper ones", len(s.Low), len(s.High))
	}
	steps := make([]float32, len(s.Low))
	for i, high := range s.High {
		levels := float32(int(1)<<s.Bits - 1)
		if steps[i] = (high - s.Low[i]) / levels; !(steps[i] >= 0) || steps[i]*levels > 3e38 {
			return "", fmt.Errorf("number %d of a row lies between %g and %g, of which no part can be taken", i+1, s.Low[i], high)
		}
		if steps[i] == 0 {
			steps[i] = 1 // nothing lies between
		}
	}
	step, err := perNumber(b, "step", steps, c)
	if err != nil {
		return "", err
	}
	whole := b.Op("Round", nil, b.Op("Div", nil, b.Op("Sub", nil, x, low), step))
	b.StraightThrough(whole)
	return b.Op("Add", nil, b.Op("Mul", nil, whole, step), low), nil
}

// perNumber adds a constant for each number of a row, a single one where all are the same.
func perNumber(b *rewrite.Builder, name string, values []float32, c *rewrite.Classifier) (string, error) {
	if len(values) == 0 || len(values) != 1 && len(values) != c.RowSize() {
		return "", fmt.Errorf("there are %d limits, and rows of %d numbers", len(values), c.RowSize())
	}
	if !slices.ContainsFunc(values, func(v float32) bool { return v != values[0] }) {
		return b.Number(onnx.Float32, float64(values[0])), nil
	}
	return b.Weight(onnx.NewTensor(name, values, c.Shape...)), nil
}

// Median replaces each place of an image by the median of a window of Size by Size places around it, each channel
// by itself. The edge is repeated outwards; of an even number of places the higher of the two in the middle is
// taken, and the window reaches further up and to the left. That is SciPy's median_filter, which the paper uses
// (section III-B), for windows of 2 and 3.
type Median struct {
	Size int // 2 or 3
}

// Append takes medians.
func (s Median) Append(b *rewrite.Builder, c *rewrite.Classifier, x string) (string, error) {
	if s.Size != 2 && s.Size != 3 {
		return "", fmt.Errorf("a median over windows of %d by %d: give 2 or 3", s.Size, s.Size)
	}
	first := int64(2) // of the two dimensions of places, after the batch
	switch {
	case len(c.Shape) != 3:
		return "", fmt.Errorf("a median is over the places of images, and the model takes rows of shape %v", c.Shape)
	case c.Layout == model.NHWC:
		first = 1
	}
	height, width := c.Shape[first-1], c.Shape[first]
	pads := make([]int64, 8)
	pads[first], pads[first+1] = 1, 1
	if s.Size == 3 {
		pads[4+first], pads[4+first+1] = 1, 1
	}
	padded := b.Op("Pad", onnx.Attrs{"mode": "edge"}, x, b.Ints(pads...))
	var shifted []string
	for i := range int64(s.Size) {
		for j := range int64(s.Size) {
			part := b.Op("Slice", nil, padded, b.Ints(i, j), b.Ints(i+height, j+width), b.Ints(first, first+1))
			shifted = append(shifted, b.Op("Unsqueeze", nil, part, b.Ints(0)))
		}
	}
	n := len(shifted)
	highest := n - n/2 // the median is the last of so many highest
	top := b.Ops("TopK", onnx.Attrs{"axis": int64(0)}, 2, b.Op("Concat", onnx.Attrs{"axis": int64(0)}, shifted...), b.Ints(int64(highest)))[0]
	return b.Op("Gather", onnx.Attrs{"axis": int64(0)}, top, b.Number(onnx.Int64, float64(highest-1))), nil
}

// Before builds the model that squeezes its input by each squeezer in turn, and then answers as the classifier does.
func Before(c *rewrite.Classifier, squeezers []Squeezer) (*onnx.Model, error) {
	if len(squeezers) == 0 {
		return nil, errors.New("there is nothing to squeeze inputs by")
	}
	b := c.Begin()
	x := b.Input
	for _, s := range squeezers {
		var err error
		if x, err = s.Append(b, c, x); err != nil {
			return nil, err
		}
	}
	logits, _ := b.Call(c, x)
	return b.Classify(logits, false)
}

// Joint is the detector of section V of the paper: its score is the largest L1 distance between the probabilities
// that the model gives to the input, and to the input squeezed by one of the squeezers. It is 2 at most.
type Joint struct{ Squeezers []Squeezer }

// Append gives the logits of the input as it is and the score.
func (j Joint) Append(b *rewrite.Builder, c *rewrite.Classifier) (logits, score string, err error) {
	if len(j.Squeezers) == 0 {
		return "", "", errors.New("there is nothing to squeeze inputs by")
	}
	over := onnx.Attrs{"axis": int64(1)}
	logits, _ = b.Call(c, b.Input)
	own := b.Op("Softmax", over, logits)
	var far []string
	for _, s := range j.Squeezers {
		x, err := s.Append(b, c, b.Input)
		if err != nil {
			return "", "", err
		}
		other, _ := b.Call(c, x)
		apart := b.Op("Abs", nil, b.Op("Sub", nil, own, b.Op("Softmax", over, other)))
		far = append(far, b.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, apart, b.Ints(1)))
	}
	if len(far) == 1 {
		return logits, far[0], nil
	}
	return logits, b.Op("Max", nil, far...), nil
}
