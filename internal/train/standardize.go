package train

import (
	"fmt"
	"math"

	"assay/onnx"
)

// Standardize gives a model that takes the data's own units and hands (x-mean)/std
// on to the one given: for each channel of images, for each number of other
// examples. Numbers that never change are only shifted, and those that are all 0 or
// 1, as categories are encoded, are left as they are. Training leaves the
// constants alone.
func Standardize(m *onnx.Model, d *Data) (*onnx.Model, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	mean, deviation := d.moments()
	return shifted(m, d.Shape, mean, deviation)
}

// shifted gives a model that takes x and hands (x-mean)/deviation on to the one given. There is one of both for each
// channel of images or for each number of examples of a shape.
func shifted(m *onnx.Model, each []int, mean, deviation []float64) (*onnx.Model, error) {
	free := m.Graph.FreeInputs()
	if len(free) != 1 || free[0].Type.Elem != onnx.Float32 && free[0].Type.Elem != onnx.Float64 {
		return nil, fmt.Errorf("inputs can be standardized for models with one input of float32 or float64, and this one takes %v", free)
	}
	input := free[0]
	if len(input.Type.Shape) != len(each)+1 {
		return nil, fmt.Errorf("the model's input %q is %s, and the examples have the shape %v", input.Name, input.Type, each)
	}
	shape := []int64{int64(len(mean))}
	for range len(each) - 1 {
		shape = append(shape, 1)
	}
	if len(mean) != each[0] {
		shape = sizes(each)
	}
	m = m.Clone()
	b := onnx.Extend(m.Graph)
	inner := b.Name(input.Name + "_standardized")
	for _, n := range m.Graph.Nodes {
		rename(n, input.Name, inner)
	}
	nodes := m.Graph.Nodes
	m.Graph.Nodes = nil
	var names [2]string
	for i, values := range [][]float64{mean, deviation} {
		t, err := onnx.FromFloat64s([]string{"input_mean", "input_std"}[i], input.Type.Elem, values, shape...)
		if err != nil {
			return nil, err
		}
		names[i] = b.Weight(t)
	}
	b.Add("Div", nil, []string{b.Op("Sub", nil, input.Name, names[0]), names[1]}, []string{inner})
	m.Graph.Nodes = append(m.Graph.Nodes, nodes...)
	return m, nil
}

// rename makes a node, and the graphs in it, read another value.
func rename(n *onnx.Node, from, to string) {
	for i, v := range n.Inputs {
		if v == from {
			n.Inputs[i] = to
		}
	}
	for _, g := range n.Subgraphs() {
		for _, inner := range g.Nodes {
			rename(inner, from, to)
		}
	}
}

func sizes(shape []int) []int64 {
	out := make([]int64, len(shape))
	for i, n := range shape {
		out[i] = int64(n)
	}
	return out
}

// moments gives the mean and the standard deviation of each channel of images, and
// of each number of other examples.
func (d *Data) moments() (mean, deviation []float64) {
	width, each := d.width(), 1 // numbers that are taken together
	if len(d.Shape) == 3 {
		each = d.Shape[1] * d.Shape[2]
	}
	n := width / each
	mean, deviation = make([]float64, n), make([]float64, n)
	binary := make([]bool, n)
	for k := range n {
		binary[k] = true
	}
	for i, x := range d.X {
		k := i % width / each
		mean[k] += float64(x)
		binary[k] = binary[k] && (x == 0 || x == 1)
	}
	count := float64(d.Len() * each)
	for k := range mean {
		mean[k] /= count
	}
	for i, x := range d.X {
		k := i % width / each
		c := float64(x) - mean[k]
		deviation[k] += c * c
	}
	for k := range deviation {
		deviation[k] = math.Sqrt(deviation[k] / count)
		switch {
		case binary[k] && each == 1:
			mean[k], deviation[k] = 0, 1
		case deviation[k] <= 1e-6*math.Abs(mean[k]) || deviation[k] == 0:
			deviation[k] = 1
		}
	}
	return mean, deviation
}

// Deviation is the standard deviation of all of the examples' values, as one.
func (d *Data) Deviation() float64 {
	mean, squares := 0.0, 0.0
	for i, v := range d.X { // Welford (1962)
		delta := float64(v) - mean
		mean += delta / float64(i+1)
		squares += delta * (float64(v) - mean)
	}
	return math.Sqrt(squares / float64(max(len(d.X), 1)))
}
