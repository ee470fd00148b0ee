package infer

import "assay/onnx"

func quantizeLinear(c *call) error {
	elem := c.elem(2)
	if elem == onnx.Undefined {
		elem = c.typeAttr("output_dtype", onnx.Undefined)
	}
	if elem == onnx.Undefined && !c.has(2) {
		elem = onnx.Uint8
	}
	c.tensor(0, elem, c.shape(0))
	return nil
}

func dequantizeLinear(c *call) error {
	elem := c.typeAttr("output_dtype", onnx.Undefined)
	if elem == onnx.Undefined {
		elem = c.elem(1)
	}
	c.tensor(0, elem, c.shape(0))
	return nil
}

func dynamicQuantize(c *call) error {
	c.tensor(0, onnx.Uint8, c.shape(0))
	c.tensor(1, onnx.Float32, onnx.Shape{})
	c.tensor(2, onnx.Uint8, onnx.Shape{})
	return nil
}
