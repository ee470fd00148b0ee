// Package mahalanobis is a detector by the distribution of features: an input is refused whose features, at a layer of
// the model, are unlikely for all classes.
//
// Lee et al. (2018, arXiv:1807.03888, section 2.1) fit a normal distribution to the features of each class, with
// one covariance for all, and score an input by its Mahalanobis distance from the nearest class. Departures: one
// layer is used rather than several joined by a regression on adversarial examples, which a detector should not
// need; inputs are not pre-processed by a gradient step; and to the covariance a little is added in all directions,
// since features that records never use say something when an input does.
package mahalanobis

import (
	"context"
	"errors"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"assay/internal/model/ort"
	"assay/internal/solution/rewrite"
	"assay/onnx"
)

// ridge is what is added to the covariance, as a part of the mean variance.
const ridge = 1e-3

// maxWidth bounds the numbers of features: a covariance of more would take long to invert.
const maxWidth = 2048

// Detector gives each row the squared Mahalanobis distance of its features from the nearest class.
type Detector struct {
	layer   string
	whiten  *onnx.Tensor // [d, d]: features times it have unit covariance
	centres *onnx.Tensor // [classes, d]: the classes' means, times whiten
}

// Fit makes a detector of records, whose rows are given one after the other in the model's order, with their labels
// as the model's classes. Layer is a value of [rewrite.Classifier.Layer].
func Fit(ctx context.Context, c *rewrite.Classifier, layer string, rows []float32, labels []int, o ort.Options) (*Detector, error) {
	if len(labels) == 0 || len(rows) != len(labels)*c.RowSize() {
		return nil, fmt.Errorf("a detector by the distribution of features needs records with labels, and there are none, or not one for each (%d numbers, %d labels)", len(rows), len(labels))
	}
	features, d, err := rewrite.FeaturesOf(ctx, c, layer, rows, o)
	if err != nil {
		return nil, err
	}
	if d > maxWidth {
		return nil, fmt.Errorf("the layer %q has %d numbers for each row, and a covariance of at most %d is made: name a smaller one", layer, d, maxWidth)
	}
	means, err := meansOf(features, d, labels, len(c.Classes))
	if err != nil {
		return nil, err
	}
	w, err := whitening(features, d, labels, means)
	if err != nil {
		return nil, fmt.Errorf("the features of the layer %q: %w", layer, err)
	}
	var kept []float64 // of the classes that there are records of
	for _, mean := range means {
		if mean != nil {
			kept = append(kept, mean...)
		}
	}
	classes := len(kept) / d
	var centres mat.Dense
	centres.Mul(mat.NewDense(classes, d, kept), w)
	return &Detector{layer: layer, whiten: tensor("whitening", w), centres: tensor("centres", &centres)}, nil
}

// meansOf gives each class's mean features, nil for a class without records.
func meansOf(features []float32, d int, labels []int, classes int) ([][]float64, error) {
	means, count := make([][]float64, classes), make([]float64, classes)
	for i, k := range labels {
		if k < 0 || k >= classes {
			return nil, fmt.Errorf("record %d is of class %d, and the model has %d", i+1, k, classes)
		}
		if means[k] == nil {
			means[k] = make([]float64, d)
		}
		count[k]++
		for j, v := range features[i*d : (i+1)*d] {
			means[k][j] += float64(v)
		}
	}
	for k, mean := range means {
		for j := range mean {
			mean[j] /= count[k]
		}
	}
	return means, nil
}

// whitening gives the transposed inverse of the covariance's Cholesky factor.
func whitening(features []float32, d int, labels []int, means [][]float64) (*mat.Dense, error) {
	centred := mat.NewDense(len(labels), d, nil)
	for i, k := range labels {
		for j, v := range features[i*d : (i+1)*d] {
			centred.Set(i, j, float64(v)-means[k][j])
		}
	}
	covariance := mat.NewSymDense(d, nil)
	covariance.SymOuterK(1/float64(len(labels)), centred.T())
	trace := mat.Trace(covariance)
	if !(trace > 0) {
		return nil, errors.New("they are the same for all records of a class, or no numbers")
	}
	for j := range d {
		covariance.SetSym(j, j, covariance.At(j, j)+ridge*trace/float64(d))
	}
	var cholesky mat.Cholesky
	if !cholesky.Factorize(covariance) {
		return nil, errors.New("their covariance cannot be inverted")
	}
	var lower, inverse mat.TriDense
	cholesky.LTo(&lower)
	if err := inverse.InverseTri(&lower); err != nil {
		return nil, fmt.Errorf("their covariance cannot be inverted: %w", err)
	}
	return mat.DenseCopyOf(inverse.T()), nil
}

func tensor(name string, m *mat.Dense) *onnx.Tensor {
	rows, columns := m.Dims()
	values := make([]float32, 0, rows*columns)
	for i := range rows {
		for _, v := range m.RawRowView(i) {
			values = append(values, float32(v))
		}
	}
	return onnx.NewTensor(name, values, int64(rows), int64(columns))
}

// Append gives the logits and the score.
func (t *Detector) Append(b *rewrite.Builder, c *rewrite.Classifier) (logits, score string, err error) {
	logits, values := b.Call(c, b.Input, t.layer)
	z, _, err := b.Features(c, t.layer, values[0])
	if err != nil {
		return "", "", err
	}
	white := b.Op("Unsqueeze", nil, b.Op("MatMul", nil, z, b.Weight(t.whiten)), b.Ints(1))
	from := b.Op("Sub", nil, white, b.Weight(t.centres)) // [N, classes, d]
	each := b.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, b.Op("Mul", nil, from, from), b.Ints(2))
	return logits, b.Op("ReduceMin", onnx.Attrs{"keepdims": int64(0)}, each, b.Ints(1)), nil
}
