package craft

import (
	"context"
	"fmt"
	"slices"

	"assay/internal/model/ort"
	"assay/onnx"
)

// Weights are those of a model's layers with the means to learn what changing them does. Values may be changed between
// calls; the model that they were taken of stays as it is.
type Weights struct {
	Names  []string
	Shapes [][]int64
	Values [][]float32
	graph  *graph
	first  *program
	second *program
}

// NewWeights opens the weights of a model that gives logits.
func NewWeights(m *onnx.Model) (*Weights, error) {
	g, err := open(m, true)
	if err != nil {
		return nil, err
	}
	names, shapes, values := slices.Clone(g.leaves), g.shapes, make([][]float32, len(g.values))
	for i, v := range g.values {
		values[i] = slices.Clone(v)
	}
	if err := g.weightGradients(false); err != nil {
		return nil, err
	}
	p, err := g.program()
	if err != nil {
		return nil, err
	}
	return &Weights{Names: names, Shapes: shapes, Values: values, graph: g, first: p}, nil
}

// Twice has the weights know the gradient of their gradients too, as Back gives it.
func (w *Weights) Twice(m *onnx.Model) error {
	g, err := open(m, true)
	if err != nil {
		return err
	}
	if err := g.weightGradients(true); err != nil {
		return err
	}
	w.second, err = g.program()
	return err
}

// Back gives the gradient by the rows of Σ directions·gradients, the gradients being those of the sum of the rows'
// cross-entropy by each of the weights: how a function of these gradients changes with the rows, where directions are its
// derivatives by them. Twice comes before it.
func (w *Weights) Back(ctx context.Context, rows []float32, labels []int64, directions [][]float32) ([]float32, error) {
	in := []*ort.Tensor{ort.NewTensor(rows, w.graph.rowShape(len(labels))...)}
	in = append(append(in, w.graph.leafTensors(w.Values)...), ort.NewTensor(labels))
	out, err := w.second.run(ctx, append(in, w.graph.leafTensors(directions)...)...)
	if err != nil {
		return nil, err
	}
	return ort.Data[float32](out[0]), nil
}

// Slopes gives the mean cross-entropy of rows in the model's layout, and its gradient by each of the weights.
func (w *Weights) Slopes(ctx context.Context, rows []float32, labels []int64) (loss float64, gradients [][]float32, err error) {
	in := []*ort.Tensor{ort.NewTensor(rows, w.graph.rowShape(len(labels))...)}
	in = append(append(in, w.graph.leafTensors(w.Values)...), ort.NewTensor(labels))
	out, err := w.first.run(ctx, in...)
	if err != nil {
		return 0, nil, err
	}
	for i := range w.Names {
		slopes := ort.Data[float32](out[i])
		for j := range slopes {
			slopes[j] /= float32(len(labels))
		}
		gradients = append(gradients, slopes)
	}
	for _, v := range ort.Data[float32](out[len(w.Names)]) {
		loss += float64(v) / float64(len(labels))
	}
	return loss, gradients, nil
}

// In gives a copy of a model with these values.
func (w *Weights) In(m *onnx.Model) (*onnx.Model, error) {
	m = m.Clone()
	for i, name := range w.Names {
		at := slices.IndexFunc(m.Graph.Initializers, func(t *onnx.Tensor) bool { return t.Name == name })
		if at < 0 {
			return nil, fmt.Errorf("the weights %q are made by the model itself, so they cannot be changed", name)
		}
		m.Graph.Initializers[at] = onnx.NewTensor(name, slices.Clone(w.Values[i]), w.Shapes[i]...)
	}
	return m, nil
}

// Close frees what the weights hold.
func (w *Weights) Close() {
	w.first.close()
	if w.second != nil {
		w.second.close()
	}
}
