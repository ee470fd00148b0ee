// Package knn is a detector by nearest neighbours: an input is refused whose features, at a layer of the
// model, are far from all that the model knows.
//
// Sun et al. (2022, arXiv:2204.06507, section 3) take the distance from the k-th nearest of the training records,
// of features that are scaled to length 1; Papernot and McDaniel (2018, arXiv:1803.04765) had the idea for
// adversarial examples. It is computed in the graph, with the records as a weight, so that whoever attacks the
// model attacks the detector.
package knn

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"assay/internal/model/ort"
	"assay/internal/solution/rewrite"
	"assay/onnx"
)

// MaxRecords is how many records a detector keeps, drawn at random where there are more.
const MaxRecords = 5000

// Detector gives each row half the squared distance of its features from the k-th nearest records', both scaled to
// length 1: from 0 to 2. It grows as the distance itself does, and has a slope where that is 0.
type Detector struct {
	layer string
	k     int
	bank  *onnx.Tensor // [d, records], each column of length 1
}

// Fit makes a detector of records, whose rows are given one after the other in the model's order. Layer is a value
// of [rewrite.Classifier.Layer].
func Fit(ctx context.Context, c *rewrite.Classifier, layer string, k int, rows []float32, seed uint64, o ort.Options) (*Detector, error) {
	size := c.RowSize()
	n := len(rows) / size
	if n == 0 {
		return nil, errors.New("a detector by neighbours needs records to be near to, and there are none")
	}
	if n > MaxRecords {
		some := make([]float32, 0, MaxRecords*size)
		for _, i := range rand.New(rand.NewPCG(seed, 0)).Perm(n)[:MaxRecords] {
			some = append(some, rows[i*size:(i+1)*size]...)
		}
		rows, n = some, MaxRecords
	}
	if k < 1 || k > n {
		return nil, fmt.Errorf("the neighbour number %d cannot be had of %d records: give 1 to %d", k, n, n)
	}
	features, d, err := rewrite.FeaturesOf(ctx, c, layer, rows, o)
	if err != nil {
		return nil, err
	}
	bank := make([]float32, d*n)
	for i := range n {
		length := 0.0
		for _, v := range features[i*d : (i+1)*d] {
			length += float64(v) * float64(v)
		}
		length = math.Sqrt(length + tiny)
		for j, v := range features[i*d : (i+1)*d] {
			bank[j*n+i] = float32(float64(v) / length)
		}
	}
	return &Detector{layer: layer, k: k, bank: onnx.NewTensor("neighbours", bank, int64(d), int64(n))}, nil
}

// tiny keeps the length of features that are all 0 from being divided by.
const tiny = 1e-12

// Append gives the logits and the score.
func (t *Detector) Append(b *rewrite.Builder, c *rewrite.Classifier) (logits, score string, err error) {
	logits, values := b.Call(c, b.Input, t.layer)
	z, _, err := b.Features(c, t.layer, values[0])
	if err != nil {
		return "", "", err
	}
	squares := b.Op("ReduceSum", onnx.Attrs{"keepdims": int64(1)}, b.Op("Mul", nil, z, z), b.Ints(1))
	z = b.Op("Div", nil, z, b.Op("Sqrt", nil, b.Op("Add", nil, squares, b.Number(onnx.Float32, tiny))))
	// |a-b|²/2 = 1 - a·b for vectors of length 1.
	near := b.Ops("TopK", onnx.Attrs{"axis": int64(1)}, 2, b.Op("MatMul", nil, z, b.Weight(t.bank)), b.Ints(int64(t.k)))[0]
	kth := b.Op("Gather", onnx.Attrs{"axis": int64(1)}, near, b.Number(onnx.Int64, float64(t.k-1)))
	return logits, b.Op("Sub", nil, b.Number(onnx.Float32, 1), kth), nil
}
