package infer

import (
	"slices"

	"assay/onnx"
)

func stringConcat(c *call) error { return c.broadcastTo(onnx.String, nil, nil) }

func stringSplit(c *call) error {
	c.tensor(0, onnx.String, nil)
	c.tensor(1, onnx.Int64, c.shape(0))
	if in := c.shape(0); in != nil {
		c.tensor(0, onnx.String, append(slices.Clone(in), onnx.Dim{Size: -1}))
	}
	return nil
}

// stringNormalizer drops stop words, so that its last size is open.
func stringNormalizer(c *call) error {
	out := slices.Clone(c.shape(0))
	if len(out) > 0 && len(c.n.Texts("stopwords")) > 0 {
		out[len(out)-1] = onnx.Dim{Size: -1}
	}
	c.tensor(0, onnx.String, out)
	return nil
}

// tfIdf counts n-grams; its outputs are as many as the largest index says.
func tfIdf(c *call) error {
	in := c.shape(0)
	c.tensor(0, onnx.Float32, nil)
	indexes := c.n.Ints("ngram_indexes")
	if in == nil || len(indexes) == 0 {
		return nil
	}
	n, err := addInt(slices.Max(indexes), 1)
	if err != nil {
		return err
	}
	out := onnx.Shape{{Size: n}}
	if len(in) == 2 {
		out = onnx.Shape{in[0], {Size: n}}
	}
	c.tensor(0, onnx.Float32, out)
	return nil
}
