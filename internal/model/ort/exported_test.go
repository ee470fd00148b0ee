package ort_test

import (
	"math"

	"assay/onnx"
)

// weights are numbers without a pattern, the same at every call.
func weights(name string, shape ...int64) *onnx.Tensor {
	n, _ := onnx.Count(shape)
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(math.Sin(float64(i*i%97) + 0.3))
	}
	return onnx.NewTensor(name, values, shape...)
}

// torchCNN normalises as torchvision does, in the graph.
func torchCNN(batch any, softmax bool) *onnx.Model {
	b := onnx.NewBuilder("main_graph")
	x := b.Input("input", onnx.Float32, batch, 3, 8, 8)
	x = b.Op("Sub", nil, x, b.Weight(onnx.NewTensor("mean", []float32{0.485, 0.456, 0.406}, 1, 3, 1, 1)))
	x = b.Op("Div", nil, x, b.Weight(onnx.NewTensor("std", []float32{0.229, 0.224, 0.225}, 1, 3, 1, 1)))
	x = b.Op("Conv", onnx.Attrs{"pads": []int64{1, 1, 1, 1}}, x, b.Weight(weights("conv.weight", 6, 3, 3, 3)))
	x = b.Op("GlobalAveragePool", nil, b.Op("Relu", nil, x))
	x = b.Op("Flatten", onnx.Attrs{"axis": int64(1)}, x)
	x = b.Op("Gemm", onnx.Attrs{"transB": int64(1)}, x, b.Weight(weights("fc.weight", 4, 6)), b.Weight(weights("fc.bias", 4)))
	if softmax {
		x = b.Op("Softmax", nil, x)
	}
	b.OutputAs("output", x, onnx.Float32, onnx.Dims(batch, 4))
	return b.Model()
}

// kerasCNN takes channels last, scaled from bytes, as tf2onnx writes it.
func kerasCNN() *onnx.Model {
	b := onnx.NewBuilder("model")
	x := b.Input("input_1", onnx.Float32, -1, 8, 8, 3)
	x = b.Op("Mul", nil, x, b.Number(onnx.Float32, 1.0/255))
	x = b.Op("Transpose", onnx.Attrs{"perm": []int64{0, 3, 1, 2}}, x)
	x = b.Op("Conv", nil, x, b.Weight(weights("kernel", 5, 3, 3, 3)))
	x = b.Op("Transpose", onnx.Attrs{"perm": []int64{0, 2, 3, 1}}, b.Op("Relu", nil, x))
	x = b.Op("ReduceMean", onnx.Attrs{"keepdims": int64(0)}, x, b.Ints(1, 2))
	x = b.Op("Add", nil, b.Op("MatMul", nil, x, b.Weight(weights("dense", 5, 4))), b.Weight(weights("bias", 4)))
	b.OutputAs("dense", b.Op("Softmax", nil, x), onnx.Float32, onnx.Dims(-1, 4))
	return b.Model()
}

// kerasBinary gives the probability of the second class: the logistic of x0 + 2 x1.
func kerasBinary() *onnx.Model {
	b := onnx.NewBuilder("binary")
	x := b.Input("x", onnx.Float32, "n", 5)
	x = b.Op("MatMul", nil, x, b.Weight(onnx.NewTensor("w", []float32{1, 2, 0, 0, 0}, 5, 1)))
	b.OutputAs("p", b.Op("Sigmoid", nil, x), onnx.Float32, onnx.Dims("n", 1))
	return b.Model()
}

const machineLearning = "ai.onnx.ml"

// sklearn adds a classifier node of ONNX's machine-learning operators.
func sklearn(b *onnx.Builder, op string, attrs onnx.Attrs, x, label, scores string) {
	b.Add(op, attrs, []string{x}, []string{b.Name(label), b.Name(scores)}).Domain = machineLearning
}

func sklearnModel(b *onnx.Builder) *onnx.Model {
	m := b.Model()
	m.Opsets[machineLearning] = 3
	return m
}

// zipMap ends the graph as skl2onnx does unless told otherwise.
func zipMap(b *onnx.Builder, classes onnx.Attrs, key onnx.DataType, label, scores string) *onnx.Model {
	b.OutputAs("output_label", label, key, onnx.Dims("n"))
	b.Add("ZipMap", classes, []string{scores}, []string{b.Name("output_probability")}).Domain = machineLearning
	value := onnx.TensorOf(onnx.Float32, onnx.Shape{})
	entry := onnx.Type{Kind: onnx.KindMap, Elem: key, Of: &value}
	b.Graph.Outputs = append(b.Graph.Outputs, onnx.Value{Name: "output_probability", Type: onnx.Type{Kind: onnx.KindSequence, Of: &entry}})
	return sklearnModel(b)
}

func sklearnLinear() *onnx.Model {
	b := onnx.NewBuilder("linear")
	x := b.Input("float_input", onnx.Float32, "n", 3)
	names := []string{"setosa", "versicolor", "virginica"}
	sklearn(b, "LinearClassifier", onnx.Attrs{
		"classlabels_strings": names, "multi_class": int64(1), "post_transform": "SOFTMAX",
		"coefficients": []float32{1, -1, 0.5, 0.25, 1, -1, -1, 0.5, 1}, "intercepts": []float32{0.1, 0, -0.1},
	}, x, "label", "probability_tensor")
	normalised := b.Name("probabilities")
	b.Add("Normalizer", onnx.Attrs{"norm": "L1"}, []string{"probability_tensor"}, []string{normalised}).Domain = machineLearning
	return zipMap(b, onnx.Attrs{"classlabels_strings": names}, onnx.String, "label", normalised)
}

// forest is a tree on the first column: 3 with 0.75 up to 0.5, 5 with 0.875 above.
func forest(b *onnx.Builder) {
	x := b.Input("float_input", onnx.Float32, "n", 3)
	sklearn(b, "TreeEnsembleClassifier", onnx.Attrs{
		"classlabels_int64s": []int64{3, 5}, "post_transform": "NONE",
		"nodes_treeids": []int64{0, 0, 0}, "nodes_nodeids": []int64{0, 1, 2}, "nodes_featureids": []int64{0, 0, 0},
		"nodes_modes": []string{"BRANCH_LEQ", "LEAF", "LEAF"}, "nodes_values": []float32{0.5, 0, 0},
		"nodes_truenodeids": []int64{1, 0, 0}, "nodes_falsenodeids": []int64{2, 0, 0},
		"nodes_hitrates": []float32{1, 1, 1}, "nodes_missing_value_tracks_true": []int64{0, 0, 0},
		// One weight a leaf makes the runtime take it for the second class's.
		"class_treeids": []int64{0, 0}, "class_nodeids": []int64{1, 2}, "class_ids": []int64{0, 0},
		"class_weights": []float32{0.25, 0.875},
	}, x, "label", "probabilities")
}

func sklearnForest() *onnx.Model {
	b := onnx.NewBuilder("forest")
	forest(b)
	return zipMap(b, onnx.Attrs{"classlabels_int64s": []int64{3, 5}}, onnx.Int64, "label", "probabilities")
}

func sklearnLabel() *onnx.Model {
	b := onnx.NewBuilder("forest")
	forest(b)
	b.Output("label", onnx.Int64, onnx.Dims("n"))
	return sklearnModel(b)
}

// sklearnColumns gives a - b and a + b of its two columns.
func sklearnColumns() *onnx.Model {
	b := onnx.NewBuilder("columns")
	x := b.Op("Concat", onnx.Attrs{"axis": int64(1)}, b.Input("a", onnx.Float64, "n", 1), b.Input("b", onnx.Float64, "n", 1))
	w := b.Weight(onnx.NewTensor("w", []float64{1, 1, -1, 1}, 2, 2))
	b.OutputAs("scores", b.Op("MatMul", nil, x, w), onnx.Float64, onnx.Dims("n", 2))
	return b.Model()
}
