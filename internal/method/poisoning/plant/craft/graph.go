// Package craft makes poison under clean labels by the gradients of a model's own training: records of the target class,
// changed a little, after training on which one input gets the target's label.
package craft

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/onnx"
	"assay/onnx/autodiff"
	"assay/onnx/infer"
)

// graph is a model's graph on the way to a gradient.
type graph struct {
	*autodiff.Graph
	rows   onnx.Value
	scores string
	layer  string // what the last layer with weights takes: the features
	leaves []string
	shapes [][]int64   // of the leaves
	values [][]float32 // of the leaves
}

// open prepares a model that gives logits. Where leaves are asked for, its layers' weights become inputs.
func open(m *onnx.Model, leaves bool) (*graph, error) {
	r, err := model.Recognise(m, model.Override{})
	if err != nil {
		return nil, fmt.Errorf("this is not a classifier that can be followed: %w", err)
	}
	if len(r.Inputs) != 1 || r.Inputs[0].Element != onnx.Float32 || r.Output != model.Logits || r.Batch != 0 || r.Layout == model.NHWC {
		return nil, errors.New("poison is crafted with a model of one input of float32 for any number of records, channels first, that gives logits, as assay train makes them")
	}
	g, err := autodiff.New(r.Model)
	if err != nil {
		return nil, err
	}
	x := &graph{Graph: g, scores: g.Graph.Outputs[0].Name}
	x.rows = g.Graph.Inputs[slices.IndexFunc(g.Graph.Inputs, func(v onnx.Value) bool { return v.Name == r.Inputs[0].Name })]
	g.Graph.Outputs = nil
	if err := x.weights(leaves); err != nil {
		return nil, err
	}
	return x, nil
}

// weighted are the operators of layers, and which of their inputs are weights.
var weighted = map[string][]int{"Gemm": {1, 2}, "MatMul": {1}, "Conv": {1, 2}, "BatchNormalization": {1, 2}}

// weights finds the layers.
func (x *graph) weights(leaves bool) error {
	for _, n := range slices.Clone(x.Graph.Graph.Nodes) {
		for _, at := range weighted[n.OpType()] {
			t := x.Graph.Graph.Initializer(n.Input(at))
			if t == nil || t.Type != onnx.Float32 {
				continue
			}
			if at == 1 && n.OpType() != "BatchNormalization" {
				x.layer = n.Input(0)
			}
			values, err := onnx.View[float32](t)
			if err != nil {
				return err
			}
			if leaves && !slices.Contains(x.leaves, t.Name) {
				x.leaves, x.shapes, x.values = append(x.leaves, t.Name), append(x.shapes, t.Shape), append(x.values, values)
			}
		}
	}
	if x.layer == "" {
		return errors.New("the model has no layers with weights of float32 (Gemm, MatMul or Conv), which poison is crafted by")
	}
	g := x.Graph.Graph
	for i, name := range x.leaves {
		g.Initializers = slices.DeleteFunc(g.Initializers, func(t *onnx.Tensor) bool { return t.Name == name })
		g.Inputs = append(g.Inputs, onnx.Value{Name: name, Type: onnx.TensorOf(onnx.Float32, onnx.Fixed(x.shapes[i]...))})
	}
	return nil
}

// dim is the first dimension of the rows.
func (x *graph) dim() onnx.Dim { return x.rows.Type.Shape[0] }

// width is the number of features.
func (x *graph) width() (int, error) {
	types, err := infer.Shapes(x.Model())
	if err != nil {
		return 0, err
	}
	shape := types.Of(x.layer).Shape
	sizes, ok := shape.Sizes()
	if len(shape) != 2 || len(sizes) != 2 {
		return 0, fmt.Errorf("the last layer takes %v, and features in a row are needed (%t)", shape, ok)
	}
	return int(sizes[1]), nil
}

// rowShape is the shape of n rows.
func (x *graph) rowShape(n int) []int64 {
	sizes, _ := x.rows.Type.Shape[1:].Sizes()
	return append([]int64{int64(n)}, sizes...)
}

// program is a graph ready to run.
type program struct{ session *ort.Session }

func (x *graph) program() (*program, error) {
	s, err := ort.New(x.Model(), ort.Options{})
	return &program{s}, err
}

// run gives the outputs.
func (p *program) run(ctx context.Context, inputs ...*ort.Tensor) ([]*ort.Tensor, error) {
	out := make([]*ort.Tensor, len(p.session.Outputs()))
	return out, p.session.Run(ctx, inputs, out)
}

func (p *program) close() { p.session.Close() }

// leafTensors gives values in the shapes of the leaves.
func (x *graph) leafTensors(values [][]float32) []*ort.Tensor {
	out := make([]*ort.Tensor, len(values))
	for i, v := range values {
		out[i] = ort.NewTensor(v, x.shapes[i]...)
	}
	return out
}
