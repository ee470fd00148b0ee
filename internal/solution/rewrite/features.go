package rewrite

import (
	"context"
	"fmt"

	"assay/internal/model/ort"
	"assay/onnx"
)

// maxFeatures bounds the numbers of a row's features.
const maxFeatures = 1 << 14

// Features brings a layer's value to a vector for each row, [N, d], and tells d: of images [N, channels, height, width]
// the mean over places (as Lee et al. 2018, arXiv:1807.03888, section 2.2), of others all numbers.
func (b *Builder) Features(c *Classifier, layer, value string) (string, int, error) {
	shape := c.types.Of(layer).Shape
	if len(shape) == 4 {
		value, shape = b.Op("ReduceMean", onnx.Attrs{"keepdims": int64(0)}, value, b.Ints(2, 3)), shape[:2]
	}
	sizes, _ := shape.Sizes()
	d, ok := onnx.Count(sizes[1:])
	if !ok || d < 1 || d > maxFeatures {
		return "", 0, fmt.Errorf("the layer %q is %s: a detector needs 1 to %d numbers for each row", layer, c.types.Of(layer), maxFeatures)
	}
	if len(shape) != 2 {
		value = b.Op("Reshape", nil, value, b.Ints(-1, d))
	}
	return value, int(d), nil
}

// FeaturesOf gives the features of rows, d numbers for each, one after the other.
func FeaturesOf(ctx context.Context, c *Classifier, layer string, rows []float32, o ort.Options) (features []float32, d int, err error) {
	b := c.Begin()
	_, values := b.Call(c, b.Input, layer)
	value, d, err := b.Features(c, layer, values[0])
	if err != nil {
		return nil, 0, err
	}
	m, err := b.Measure(value)
	if err != nil {
		return nil, 0, err
	}
	features, err = Run(ctx, m, rows, o)
	return features, d, err
}

// LogitsOf gives the logits of rows, one for each class, one row after the other.
func LogitsOf(ctx context.Context, c *Classifier, rows []float32, o ort.Options) ([]float32, error) {
	b := c.Begin()
	logits, _ := b.Call(c, b.Input)
	m, err := b.Measure(logits)
	if err != nil {
		return nil, err
	}
	return Run(ctx, m, rows, o)
}
