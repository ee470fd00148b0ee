// Package randomisation changes inputs at random before the model sees them. It is known to be weak: an attacker who
// follows the mean of gradients over several draws breaks it (Athalye, Carlini and Wagner 2018, arXiv:1802.00420,
// section 5.3). It is here to be judged.
package randomisation

import (
	"errors"
	"fmt"
	"math"

	"assay/internal/model"
	"assay/internal/solution/rewrite"
	"assay/onnx"
)

// Transformation is what happens to each input, by fresh random numbers at each call.
type Transformation struct {
	// Shrink is the smallest scale to which an image is resized, by bilinear interpolation, before it is put at a
	// random place on a ground of zeros: above 0, and 1 for none. It is after Xie et al. (2018, arXiv:1711.01991,
	// section 3.2), who enlarge the ground instead, for networks that take larger images.
	Shrink float64

	// Noise is the standard deviation of normal noise, in the units of the model's input; 0 for none.
	Noise float64
}

// Before builds the model that transforms its input and then answers as the classifier does.
func (t Transformation) Before(c *rewrite.Classifier) (*onnx.Model, error) {
	switch {
	case !(t.Shrink > 0 && t.Shrink <= 1):
		return nil, fmt.Errorf("images cannot be shrunk to %g of their size: give a part above 0, and 1 for none", t.Shrink)
	case !(t.Noise >= 0 && t.Noise <= math.MaxFloat32):
		return nil, fmt.Errorf("noise of standard deviation %g: give 0 or more", t.Noise)
	case t.Shrink == 1 && t.Noise == 0:
		return nil, errors.New("there is nothing random to be done: give a scale to shrink to, or noise")
	}
	b := c.Begin()
	x := b.Input
	if t.Shrink < 1 {
		var err error
		if x, err = t.resized(b, c, x); err != nil {
			return nil, err
		}
	}
	if t.Noise > 0 {
		noise := b.Random(model.RandomInput{Input: "noise", Distribution: model.Normal, Deviation: t.Noise}, c.Shape...)
		x = b.Op("Add", nil, x, noise)
	}
	logits, _ := b.Call(c, x)
	return b.Classify(logits, false)
}

// resized multiplies each channel by two matrices of interpolation weights: one for the rows of places, one for the
// columns.
func (t Transformation) resized(b *rewrite.Builder, c *rewrite.Classifier, x string) (string, error) {
	if len(c.Shape) != 3 {
		return "", fmt.Errorf("only images can be resized, and the model takes rows of shape %v", c.Shape)
	}
	last := c.Layout == model.NHWC
	height, width := c.Shape[1], c.Shape[2]
	if last {
		height, width = c.Shape[0], c.Shape[1]
		x = b.Op("Transpose", onnx.Attrs{"perm": []int64{0, 3, 1, 2}}, x)
	}
	// For each row: how far it is shrunk, and how far it is moved down and to the right.
	random := b.Random(model.RandomInput{Input: "place", Distribution: model.Uniform, High: 1}, 3)
	parts := b.Ops("Split", onnx.Attrs{"axis": int64(1), "num_outputs": int64(3)}, 3, random)
	scale := b.Op("Add", nil, b.Op("Mul", nil, parts[0], b.Number(onnx.Float32, 1-t.Shrink)), b.Number(onnx.Float32, t.Shrink))
	down := interpolation(b, height, scale, parts[1])
	right := b.Op("Transpose", onnx.Attrs{"perm": []int64{0, 1, 3, 2}}, interpolation(b, width, scale, parts[2]))
	x = b.Op("MatMul", nil, b.Op("MatMul", nil, down, x), right)
	if last {
		x = b.Op("Transpose", onnx.Attrs{"perm": []int64{0, 2, 3, 1}}, x)
	}
	return x, nil
}

// interpolation gives [N, 1, n, n]: how much place k of an image counts at place i of the one resized. That is 1 less
// the distance between k and (i + 1/2 - offset)/scale - 1/2, or 0. Scale and place are [N, 1].
func interpolation(b *rewrite.Builder, n int64, scale, place string) string {
	column, row := make([]float32, n), make([]float32, n)
	for i := range n {
		column[i], row[i] = float32(i)+0.5, float32(i)
	}
	wide := func(value string) string { return b.Op("Unsqueeze", nil, value, b.Ints(2, 3)) }
	room := b.Op("Mul", nil, b.Op("Sub", nil, b.Number(onnx.Float32, 1), scale), b.Number(onnx.Float32, float64(n)))
	from := b.Op("Sub", nil, b.Constant(onnx.NewTensor("", column, n, 1)), wide(b.Op("Mul", nil, place, room)))
	from = b.Op("Sub", nil, b.Op("Div", nil, from, wide(scale)), b.Number(onnx.Float32, 0.5))
	apart := b.Op("Abs", nil, b.Op("Sub", nil, from, b.Constant(onnx.NewTensor("", row, 1, n))))
	return b.Op("Relu", nil, b.Op("Sub", nil, b.Number(onnx.Float32, 1), apart))
}
