// Package float64eval evaluates ONNX graphs in float64: for tests that compare
// gradients with finite differences, and to confirm what must not rest on float32. It is slow and plain on purpose: where ONNX
// Runtime has a float64 kernel that one runs, elsewhere a loop in Go written from
// the operator's definition.
package float64eval

import (
	"fmt"

	"assay/onnx"
)

// Convert gives a model that computes in float64 whatever m computes in float32,
// float16 or bfloat16: its inputs, outputs, weights, constants and casts. Numbers
// are kept exactly.
func Convert(m *onnx.Model) (*onnx.Model, error) {
	m = m.Clone()
	return m, convertGraph(m.Graph)
}

func convertGraph(g *onnx.Graph) error {
	for _, list := range [][]onnx.Value{g.Inputs, g.Outputs, g.Values} {
		for i := range list {
			list[i].Type = ConvertType(list[i].Type)
		}
	}
	for i, t := range g.Initializers {
		wide, err := ConvertTensor(t)
		if err != nil {
			return err
		}
		g.Initializers[i] = wide
	}
	nodes := g.Nodes
	g.Nodes = nil
	for _, n := range nodes {
		if err := convertNode(n); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
		if scales := n.Input(2); n.OpType() == "Resize" && scales != "" {
			// The one input of floating point that exists in float32 only.
			narrow := scales + "_float32_for_" + n.Outputs[0]
			g.Nodes = append(g.Nodes, &onnx.Node{
				Op: "Cast", Inputs: []string{scales}, Outputs: []string{narrow}, Attrs: onnx.Attrs{"to": int64(onnx.Float32)},
			})
			n.Inputs[2] = narrow
		}
		g.Nodes = append(g.Nodes, n)
	}
	return nil
}

func convertNode(n *onnx.Node) (err error) {
	for name, v := range n.Attrs {
		switch v := v.(type) {
		case *onnx.Tensor:
			n.Attrs[name], err = ConvertTensor(v)
		case *onnx.Graph:
			err = convertGraph(v)
		}
		if err != nil {
			return err
		}
	}
	switch n.Op {
	case "Cast", "EyeLike", "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli":
		for _, name := range []string{"to", "dtype"} {
			if v, ok := n.Attrs[name].(int64); ok {
				n.Attrs[name] = int64(wide(onnx.DataType(v)))
			}
		}
	case "ConstantOfShape":
		if n.Tensor("value") == nil {
			n.Attrs["value"] = onnx.NewTensor("", []float64{0})
		}
	case "Constant":
		if v, ok := n.Attrs["value_float"].(float32); ok {
			delete(n.Attrs, "value_float")
			n.Attrs["value"] = onnx.Scalar("", float64(v))
		}
		if v := n.Floats("value_floats"); v != nil {
			delete(n.Attrs, "value_floats")
			list := make([]float64, len(v))
			for i, x := range v {
				list[i] = float64(x)
			}
			n.Attrs["value"] = onnx.NewTensor("", list)
		}
	case "HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix":
		n.Attrs["output_datatype"] = int64(wide(onnx.DataType(n.Int("output_datatype", int64(onnx.Float32)))))
	case "DequantizeLinear":
		delete(n.Attrs, "output_dtype")
	case "LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization", "GroupNormalization":
		n.Attrs["stash_type"] = int64(onnx.Float64)
	}
	return nil
}

func wide(t onnx.DataType) onnx.DataType {
	if t.IsFloat() {
		return onnx.Float64
	}
	return t
}

// ConvertType gives the type that a value has in a converted model.
func ConvertType(t onnx.Type) onnx.Type {
	if t.Kind != onnx.KindMap {
		t.Elem = wide(t.Elem)
	}
	if t.Of != nil {
		of := ConvertType(*t.Of)
		t.Of = &of
	}
	return t
}

// ConvertTensor gives a tensor of floating point in float64, another as it is.
func ConvertTensor(t *onnx.Tensor) (*onnx.Tensor, error) {
	if !t.Type.IsFloat() || t.Type == onnx.Float64 {
		return t, nil
	}
	values, err := t.Float64s()
	if err != nil {
		return nil, err
	}
	return onnx.FromFloat64s(t.Name, onnx.Float64, values, append([]int64{}, t.Shape...)...)
}
