// Package linear is the case whose exact answer is known: a linear classifier, fitted
// in closed form, and for each input whether any attacker within a space could make it
// adversarial, and from which eps on. A method that is worth its name breaks what can be
// broken and nothing else. The package is pure but for the model that it writes.
package linear

import (
	"errors"
	"fmt"
	"slices"

	"assay/onnx"
)

// Classifier gives each class k the score Weights[k]·x + Bias[k]. The numbers are
// rounded to float32, as its ONNX model has them.
type Classifier struct {
	Width   int       // numbers of a row
	Classes []int32   // the labels it was fitted to, ascending: class k is label Classes[k]
	Weights []float64 // of class k from k·Width on
	Bias    []float64
}

// Fit gives the classifier of the nearest class mean, with each number in units of its
// standard deviation (diagonal linear discriminant analysis with equal priors; Hastie,
// Tibshirani and Friedman 2009, section 18.2, without shrinkage). It is linear, since
// the square of x is common to all distances. Numbers that do not vary have no weight.
func Fit(rows []float32, width int, labels []int32) (*Classifier, error) {
	if width < 1 || len(labels) == 0 || len(rows) != len(labels)*width {
		return nil, fmt.Errorf("%d numbers are not %d rows of %d", len(rows), len(labels), width)
	}
	c := &Classifier{Width: width}
	count := map[int32]int{}
	for _, y := range labels {
		count[y]++
	}
	c.Classes = sortedKeys(count)
	if len(c.Classes) < 2 {
		return nil, errors.New("all examples are of one class: a linear classifier needs two")
	}
	mean, variance := moments(rows, width)
	c.Weights = make([]float64, len(c.Classes)*width)
	c.Bias = make([]float64, len(c.Classes))
	for k, class := range c.Classes {
		of := c.weights(k)
		for i, y := range labels {
			if y != class {
				continue
			}
			for j, x := range rows[i*width : (i+1)*width] {
				of[j] += float64(x) / float64(count[class])
			}
		}
		for j := range of {
			centre := of[j] - mean[j]
			of[j] = 0
			if variance[j] > 0 {
				of[j] = float64(float32(centre / variance[j]))
				c.Bias[k] -= centre*centre/variance[j]/2 + of[j]*mean[j]
			}
		}
		c.Bias[k] = float64(float32(c.Bias[k]))
	}
	return c, nil
}

func sortedKeys(count map[int32]int) []int32 {
	var keys []int32
	for y := range count {
		keys = append(keys, y)
	}
	slices.Sort(keys)
	return keys
}

// moments gives the mean and the variance of each number.
func moments(rows []float32, width int) (mean, variance []float64) {
	mean, variance = make([]float64, width), make([]float64, width)
	n := float64(len(rows) / width)
	for i, x := range rows {
		mean[i%width] += float64(x) / n
	}
	for i, x := range rows {
		d := float64(x) - mean[i%width]
		variance[i%width] += d * d / n
	}
	for j, v := range variance {
		if v <= 1e-12*mean[j]*mean[j] { // constant, to within rounding
			variance[j] = 0
		}
	}
	return mean, variance
}

func (c *Classifier) weights(k int) []float64 { return c.Weights[k*c.Width : (k+1)*c.Width] }

// Scores gives the scores of a row.
func (c *Classifier) Scores(x []float32) []float64 {
	out := make([]float64, len(c.Classes))
	for k := range out {
		out[k] = c.Bias[k]
		for j, w := range c.weights(k) {
			out[k] += w * float64(x[j])
		}
	}
	return out
}

// Class gives the place in Classes of a label, and -1 for one that it was not fitted to.
func (c *Classifier) Class(label int32) int { return slices.Index(c.Classes, label) }

// Label gives the class, as a place in Classes, that wins at a row; the first of equals.
func (c *Classifier) Label(x []float32) int {
	best, scores := 0, c.Scores(x)
	for k, s := range scores {
		if s > scores[best] {
			best = k
		}
	}
	return best
}

// Model is the classifier in ONNX, giving logits for rows of a shape.
func (c *Classifier) Model(shape []int64) *onnx.Model {
	b := onnx.NewBuilder("linear")
	dims := []any{"batch"}
	for _, d := range shape {
		dims = append(dims, int(d))
	}
	x := b.Input("input", onnx.Float32, dims...)
	if len(shape) != 1 {
		x = b.Op("Flatten", nil, x)
	}
	k := int64(len(c.Classes))
	w := b.Weight(onnx.NewTensor("weight", rounded(c.Weights), k, int64(c.Width)))
	bias := b.Weight(onnx.NewTensor("bias", rounded(c.Bias), k))
	b.OutputAs("logits", b.Op("Gemm", onnx.Attrs{"transB": int64(1)}, x, w, bias), onnx.Float32, onnx.Dims("batch", int(k)))
	return b.Model()
}

func rounded(values []float64) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out
}
