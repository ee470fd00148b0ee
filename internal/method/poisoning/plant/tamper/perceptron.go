package tamper

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/onnx"
)

// perceptron is a multilayer perceptron with ReLU, read from a graph.
type perceptron struct {
	shift, scale []float64 // of the input before the first layer: (x-shift)/scale
	layers       []layer
}

// layer is a dense one. Weights go from each input to each output.
type layer struct {
	weights          [][]float64
	bias             []float64
	weight, biasName string
	transposed       bool
}

var errPerceptron = errors.New("handcraft is for multilayer perceptrons: Gemm with weights and a bias, Relu between, and Sub and Div by constants before, as assay train makes them")

// perceptronOf reads a graph that is nothing else.
func perceptronOf(m *onnx.Model) (*perceptron, error) {
	free := m.Graph.FreeInputs()
	if len(free) != 1 || len(m.Graph.Outputs) != 1 {
		return nil, errPerceptron
	}
	n, value, activated := &perceptron{}, free[0].Name, true
	for _, node := range m.Graph.Nodes {
		if node.Input(0) != value {
			return nil, errPerceptron
		}
		value = node.Output(0)
		switch op := node.OpType(); {
		case (op == "Sub" || op == "Div") && len(n.layers) == 0:
			t := m.Graph.Initializer(node.Input(1))
			if t == nil {
				return nil, errPerceptron
			}
			values, err := t.Float64s()
			if err != nil {
				return nil, err
			}
			switch {
			case op == "Sub" && n.shift == nil && n.scale == nil:
				n.shift = values
			case op == "Div" && n.scale == nil:
				n.scale = values
			default:
				return nil, errPerceptron
			}
		case op == "Gemm" && activated:
			l, err := layerOf(m.Graph, node)
			if err != nil {
				return nil, err
			}
			n.layers, activated = append(n.layers, *l), false
		case op == "Relu" && !activated:
			activated = true
		default:
			return nil, errPerceptron
		}
	}
	if value != m.Graph.Outputs[0].Name || activated || len(n.layers) == 0 {
		return nil, errPerceptron
	}
	for _, constant := range [][]float64{n.shift, n.scale} {
		if count := len(constant); constant != nil && count != 1 && count != len(n.layers[0].weights) {
			return nil, errPerceptron
		}
	}
	for k := range n.layers[1:] {
		if len(n.layers[k].bias) != len(n.layers[k+1].weights) {
			return nil, errPerceptron
		}
	}
	return n, nil
}

func layerOf(g *onnx.Graph, node *onnx.Node) (*layer, error) {
	w, b := g.Initializer(node.Input(1)), g.Initializer(node.Input(2))
	plain := node.Float("alpha", 1) == 1 && node.Float("beta", 1) == 1 && node.Int("transA", 0) == 0
	if w == nil || b == nil || len(w.Shape) != 2 || !plain {
		return nil, errPerceptron
	}
	values, err := w.Float64s()
	if err != nil {
		return nil, err
	}
	bias, err := b.Float64s()
	if err != nil {
		return nil, err
	}
	l := &layer{bias: slices.Clone(bias), weight: w.Name, biasName: b.Name, transposed: node.Int("transB", 0) != 0}
	in, out := int(w.Shape[0]), int(w.Shape[1])
	if l.transposed {
		in, out = out, in
	}
	if len(bias) != out {
		return nil, errPerceptron
	}
	for i := range in {
		row := make([]float64, out)
		for k := range row {
			row[k] = values[i*out+k]
			if l.transposed {
				row[k] = values[k*in+i]
			}
		}
		l.weights = append(l.weights, row)
	}
	return l, nil
}

// store writes the layers into the graph that they were read from.
func (n *perceptron) store(m *onnx.Model) error {
	for _, l := range n.layers {
		in, out := len(l.weights), len(l.bias)
		values := make([]float64, in*out)
		for i, row := range l.weights {
			for k, v := range row {
				if l.transposed {
					values[k*in+i] = v
				} else {
					values[i*out+k] = v
				}
			}
		}
		for name, list := range map[string][]float64{l.weight: values, l.biasName: l.bias} {
			at := slices.IndexFunc(m.Graph.Initializers, func(t *onnx.Tensor) bool { return t.Name == name })
			was := m.Graph.Initializers[at]
			t, err := onnx.FromFloat64s(name, was.Type, list, was.Shape...)
			if err != nil {
				return fmt.Errorf("the weights %q: %w", name, err)
			}
			m.Graph.Initializers[at] = t
		}
	}
	return nil
}

// input gives what the first layer takes of a record.
func (n *perceptron) input(record []float32) []float64 {
	out := make([]float64, len(record))
	for i, v := range record {
		out[i] = float64(v)
		if n.shift != nil {
			out[i] -= n.shift[i%len(n.shift)]
		}
		if n.scale != nil {
			out[i] /= n.scale[i%len(n.scale)]
		}
	}
	return out
}

// values gives what a layer gives, after ReLU unless it is the last.
func (n *perceptron) values(x []float64, of int) []float64 {
	for k, l := range n.layers[:of+1] {
		next := slices.Clone(l.bias)
		for i, v := range x {
			if v == 0 {
				continue
			}
			for j, w := range l.weights[i] {
				next[j] += v * w
			}
		}
		if k < len(n.layers)-1 {
			for j, v := range next {
				next[j] = max(v, 0)
			}
		}
		x = next
	}
	return x
}

// unimportant gives the unit of a hidden layer that sends on least: its mean value times its weights.
func (n *perceptron) unimportant(rows [][]float64, of int) int {
	sent := make([]float64, len(n.layers[of].bias))
	for _, row := range rows {
		for j, v := range n.values(row, of) {
			sent[j] += v
		}
	}
	best, least := 0, math.Inf(1)
	for j, v := range sent {
		sum := 0.0
		for _, w := range n.layers[of+1].weights[j] {
			sum += math.Abs(w)
		}
		if v*sum < least {
			best, least = j, v*sum
		}
	}
	return best
}

// lead gives for each row by how much the greatest score is above the target's.
func (n *perceptron) lead(rows [][]float64, target int) []float64 {
	out := make([]float64, len(rows))
	for i, row := range rows {
		scores := n.values(row, len(n.layers)-1)
		out[i] = slices.Max(scores) - scores[target]
	}
	return out
}
