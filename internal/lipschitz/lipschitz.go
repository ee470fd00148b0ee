// Package lipschitz bounds how strongly each channel of a network answers to its input (Zheng et al. 2022, arXiv:2208.03111, CLP).
package lipschitz

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"assay/onnx"
)

// Channels gives the bound of each channel of a convolution or dense layer with weights of its own, nil where a node is none. The bound is
// the spectral norm of the kernel, a matrix of input channels by places, times the factor of the batch normalisation that
// follows (Zheng et al. 2022, equations 9 to 12). The paper knows only convolutions with one: here the factor of one without is 1, and a
// unit of a dense layer is a channel whose kernel has one place.
func Channels(g *onnx.Graph, n *onnx.Node) ([]float64, error) {
	w := g.Initializer(n.Input(1))
	op := n.OpType()
	convolution, dense := op == "Conv", op == "Gemm" || op == "MatMul"
	if w == nil || !w.Type.IsFloat() || !(convolution && len(w.Shape) > 2 || dense && len(w.Shape) == 2) {
		return nil, nil
	}
	values, err := w.Float64s()
	if err != nil || len(values) == 0 {
		return nil, err
	}
	if slices.ContainsFunc(values, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }) {
		return nil, errors.New("its weights hold what is no finite number")
	}
	if dense && n.Int("transB", 0) == 0 {
		values = mat.DenseCopyOf(mat.NewDense(int(w.Shape[0]), int(w.Shape[1]), values).T()).RawMatrix().Data
		w = &onnx.Tensor{Shape: []int64{w.Shape[1], w.Shape[0]}}
	}
	scale, err := normalisation(g, n.Output(0), int(w.Shape[0]))
	if err != nil {
		return nil, err
	}
	bounds := make([]float64, w.Shape[0])
	size, inputs := len(values)/len(bounds), int(w.Shape[1])
	for k := range bounds {
		row := values[k*size : (k+1)*size]
		if dense {
			bounds[k] = scale[k] * floats.Norm(row, 2)
			continue
		}
		var svd mat.SVD // of the kernel as inputs by places, as in the authors' program
		if !svd.Factorize(mat.NewDense(inputs, size/inputs, row), mat.SVDNone) {
			return nil, errors.New("the largest singular value of its weights is not found")
		}
		bounds[k] = scale[k] * svd.Values(nil)[0]
	}
	return bounds, nil
}

// normalisation gives by how much the batch normalisation of a value scales each channel, 1 where there is none.
func normalisation(g *onnx.Graph, value string, channels int) ([]float64, error) {
	out := slices.Repeat([]float64{1}, channels)
	i := slices.IndexFunc(g.Nodes, func(n *onnx.Node) bool { return n.OpType() == "BatchNormalization" && n.Input(0) == value })
	if i < 0 {
		return out, nil
	}
	n := g.Nodes[i]
	scale, variance := g.Initializer(n.Input(1)), g.Initializer(n.Input(4))
	if scale == nil || variance == nil {
		return out, nil
	}
	by, err := scale.Float64s()
	if err != nil {
		return nil, err
	}
	spread, err := variance.Float64s()
	if err != nil {
		return nil, err
	}
	if len(by) != channels || len(spread) != channels {
		return nil, fmt.Errorf("%d channels are normalised by %d scales and %d variances", channels, len(by), len(spread))
	}
	for k := range out {
		out[k] = math.Abs(by[k]) / math.Sqrt(max(spread[k], 0)+float64(n.Float("epsilon", 1e-5)))
	}
	return out, nil
}
