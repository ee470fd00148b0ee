package model

import (
	"errors"
	"fmt"

	"assay/onnx"
)

// Noisy gives a model that is to be smoothed as one that answers under one draw of the noise, with a last class for the
// abstention, which it never gives: what is attacked, by the mean of its gradients over draws, in place of the vote, which has none
// (Salman et al. 2019, arXiv:1906.04584, section 2.2). Of is what the model itself takes and gives. The override is
// that by which the noisy model is to be recognised.
func Noisy(m *onnx.Model, o Override, of Description, s Smoothing) (*onnx.Model, Override, error) {
	r, err := Recognise(m, o)
	if err != nil {
		return nil, o, err
	}
	switch {
	case len(r.Inputs) != 1 || r.Inputs[0].Element != onnx.Float32:
		return nil, o, errors.New("noise is added to one input of float32, and the model takes others")
	case of.Output == Labels || r.Columns == 1:
		return nil, o, errors.New("a smoothed model must give a score for each of its classes to be attacked by gradients")
	case r.Reject:
		return nil, o, errors.New("the model refuses inputs by itself, and what it refuses under noise cannot be voted on")
	}
	c := r.Model
	input, output := r.Inputs[0], c.Graph.Outputs[0].Name
	nodes := c.Graph.Nodes
	b := onnx.Extend(c.Graph)
	batch := onnx.Dim{Size: -1, Param: "batch"}
	for _, v := range c.Graph.FreeInputs() {
		if v.Name == input.Name && len(v.Type.Shape) > 0 {
			batch = v.Type.Shape[0]
		}
	}
	dims := []any{batch}
	for _, size := range input.Shape {
		dims = append(dims, size)
	}
	noise := b.Input("assay_noise", onnx.Float32, dims...)
	c.Graph.Nodes = nil
	noisy := b.Op("Add", nil, input.Name, noise)
	for _, n := range nodes {
		for i, name := range n.Inputs {
			if name == input.Name {
				n.Inputs[i] = noisy
			}
		}
	}
	c.Graph.Nodes = append(c.Graph.Nodes, nodes...)
	// Below all others: 0 of probabilities, and so far down of logits that it adds nothing to their exponentials.
	least := b.Op("Mul", nil, b.Op("Slice", nil, output, b.Ints(0), b.Ints(1), b.Ints(1)), b.Number(r.Element, 0))
	if of.Output != Probabilities {
		const below = 100
		lowest := b.Op("Neg", nil, b.Ops("TopK", onnx.Attrs{"axis": int64(1)}, 2, b.Op("Neg", nil, output), b.Ints(1))[0])
		least = b.Op("Sub", nil, lowest, b.Number(r.Element, below))
	}
	joined := b.Op("Concat", onnx.Attrs{"axis": int64(1)}, output, least)
	c.Graph.Outputs = nil
	b.Output(joined, r.Element, onnx.Dims(batch, len(of.Classes)+1))
	d := Defence{Reject: true, StraightThrough: r.Defence.StraightThrough, Random: append(r.Defence.Random, RandomInput{
		Input: noise, Distribution: Normal, Deviation: s.Sigma,
	})}
	if err := d.Write(c); err != nil {
		return nil, o, fmt.Errorf("the noisy model: %w", err)
	}
	ranged := of.Range
	return c, Override{Shape: o.Shape, Layout: of.Layout, Range: &ranged, Classes: append(of.Classes, Refused), Output: of.Output}, nil
}
