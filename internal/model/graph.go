package model

import (
	"fmt"
	"math"
	"slices"

	"assay/onnx"
)

// graphIndex finds a graph's nodes by the values they make and use.
type graphIndex struct {
	graph *onnx.Graph
	made  map[string]*onnx.Node
	used  map[string][]*onnx.Node
}

func newGraphIndex(g *onnx.Graph) *graphIndex {
	x := &graphIndex{graph: g, made: map[string]*onnx.Node{}, used: map[string][]*onnx.Node{}}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			x.made[o] = n
		}
		for _, i := range n.Inputs {
			x.used[i] = append(x.used[i], n)
		}
	}
	return x
}

// passes are operators that hand on their first input's values, rearranged at most.
var passes = map[string]bool{
	"Identity": true, "Cast": true, "Reshape": true, "Flatten": true, "Squeeze": true, "Unsqueeze": true,
	"Transpose": true, "Dropout": true,
}

// producer gives the node that computes a value, nil for inputs and constants.
// Hostile graphs may have cycles, so the way back is bounded.
func (g *graphIndex) producer(value string) *onnx.Node {
	n := g.made[value]
	for range g.graph.Nodes {
		if n == nil || !passes[n.Op] {
			break
		}
		n = g.made[n.Input(0)]
	}
	return n
}

// meaning tells what the values of an output mean from the operator that makes
// them, where that is certain.
func (g *graphIndex) meaning(value string) Output {
	n := g.producer(value)
	if n == nil {
		return UnknownOutput
	}
	switch n.Op {
	case "Softmax", "Sigmoid", "HardSigmoid", "Normalizer":
		return Probabilities
	case "LogSoftmax", "Gemm", "MatMul":
		return Logits
	case "Add": // of a bias
		if a, b := g.producer(n.Input(0)), g.producer(n.Input(1)); a != nil && b == nil && a.Op == "MatMul" || b != nil && a == nil && b.Op == "MatMul" {
			return Logits
		}
	case "LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier":
		return meaningOfTransform(n)
	case "Div": // by the sum over the classes
		if by := g.producer(n.Input(1)); by != nil && (by.Op == "ReduceSum" || by.Op == "ReduceL1") {
			return Probabilities
		}
	case "Concat": // of a probability and its complement
		for _, in := range n.Inputs {
			if part := g.producer(in); part != nil && part.Op == "Sigmoid" {
				return Probabilities
			}
		}
	}
	return UnknownOutput
}

func meaningOfTransform(n *onnx.Node) Output {
	switch n.Text("post_transform", "NONE") {
	case "SOFTMAX", "SOFTMAX_ZERO", "LOGISTIC":
		return Probabilities
	case "PROBIT":
		return UnknownOutput
	}
	switch n.Op {
	case "TreeEnsembleClassifier":
		return UnknownOutput // a forest's leaves may hold probabilities
	case "SVMClassifier":
		if len(n.Floats("prob_a")) > 0 {
			return Probabilities
		}
	}
	return Logits
}

// classNames finds the names of classes in the attributes and constants by which
// skl2onnx turns indices into labels.
func (g *graphIndex) classNames() []string {
	for _, n := range slices.Backward(g.graph.Nodes) {
		for _, name := range []string{"classlabels_strings", "classlabels_ints", "classlabels_int64s"} {
			if s := n.Texts(name); len(s) > 0 {
				return s
			}
			if i := n.Ints(name); len(i) > 0 {
				return numerals(i)
			}
		}
		if n.Op != "ArrayFeatureExtractor" {
			continue
		}
		t := g.graph.Initializer(n.Input(0))
		if t == nil {
			continue
		}
		if t.Type == onnx.String {
			return t.Strings()
		}
		if i, err := t.Int64s(); err == nil {
			return numerals(i)
		}
	}
	return nil
}

// layout tells how a row is arranged: from what the graph does with it first, else
// from which dimension can be the channels.
func (g *graphIndex) layout(inputs []Input, shape []int64) Layout {
	if len(inputs) > 1 || len(shape) <= 1 {
		return Tabular
	}
	if len(shape) != 3 {
		return Other
	}
	for _, step := range g.steps(inputs[0].Name) {
		switch step.Op {
		case "Transpose":
			if slices.Equal(step.Ints("perm"), []int64{0, 3, 1, 2}) {
				return NHWC
			}
		case "Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "BatchNormalization", "ConvInteger", "QLinearConv":
			return NCHW
		}
	}
	if LayoutOf(shape) == NHWC {
		return NHWC
	}
	return NCHW
}

// LayoutOf guesses how a row is arranged by its shape alone: which dimension can be the channels.
func LayoutOf(shape []int64) Layout {
	channels := func(n int64) bool { return n == 1 || n == 3 || n == 4 }
	switch {
	case len(shape) == 1:
		return Tabular
	case len(shape) == 3 && channels(shape[2]) && !channels(shape[0]):
		return NHWC
	case len(shape) == 3 && channels(shape[0]):
		return NCHW
	}
	return Other
}

// steps follows a value through nodes that only shift, scale, convert or transpose
// it, up to and including the first other one.
func (g *graphIndex) steps(value string) []*onnx.Node {
	var steps []*onnx.Node
	for len(g.used[value]) == 1 && len(steps) < len(g.graph.Nodes) {
		n := g.used[value][0]
		steps = append(steps, n)
		switch n.Op {
		case "Sub", "Add", "Mul", "Div", "Cast", "Identity", "Transpose", "Pad", "QuantizeLinear", "DequantizeLinear":
		default:
			return steps
		}
		value = n.Output(0)
	}
	return steps
}

// inputRange guesses the range of an image's values from the constants with which
// the graph normalises them: what is divided by some hundred, or has some hundred
// taken off it, comes in 0 to 255.
func (g *graphIndex) inputRange(inputs []Input, layout Layout) Range {
	if len(inputs) == 1 && inputs[0].Element == onnx.Uint8 {
		return Range{Low: 0, High: 255, Basis: "the input is of type uint8"}
	}
	if layout != NCHW && layout != NHWC {
		return Unbounded("the model states no range")
	}
	const bytesSeen = 0.02 // a scale below it brings bytes to the order of 1, one above it fractions
	for _, n := range g.steps(inputs[0].Name) {
		c, ok := g.constant(n)
		if !ok {
			continue
		}
		shifts, scale := n.Op == "Sub" || n.Op == "Add", c
		if n.Op == "Div" && c != 0 {
			scale = 1 / c
		}
		switch {
		case shifts && c == 0:
			continue
		case shifts && c > 2, !shifts && scale < bytesSeen:
			return Range{Low: 0, High: 255, Basis: fmt.Sprintf("guessed: %s by %.4g", n, c)}
		case shifts || scale > bytesSeen:
			return Range{Low: 0, High: 1, Basis: fmt.Sprintf("guessed: %s by %.4g", n, c)}
		}
	}
	return Range{Low: 0, High: 1, Basis: "assumed: the model does not normalise its input"}
}

// constant gives the largest magnitude in the constant operand of an arithmetic node.
func (g *graphIndex) constant(n *onnx.Node) (float64, bool) {
	switch n.Op {
	case "Sub", "Add", "Mul", "Div":
	default:
		return 0, false
	}
	for _, name := range n.Inputs {
		t := g.graph.Initializer(name)
		if from := g.made[name]; t == nil && from != nil && from.Op == "Constant" {
			t = from.Tensor("value")
		}
		if t == nil || t.Len() == 0 || t.Len() > 1<<20 {
			continue
		}
		values, err := t.Float64s()
		if err != nil {
			continue
		}
		largest := 0.0
		for _, v := range values {
			largest = max(largest, math.Abs(v))
		}
		return largest, true
	}
	return 0, false
}

// prune drops the nodes that the graph's outputs do not need.
func prune(g *onnx.Graph) {
	needed := map[string]bool{}
	for _, v := range g.Outputs {
		needed[v.Name] = true
	}
	kept := make([]*onnx.Node, 0, len(g.Nodes))
	for _, n := range slices.Backward(g.Nodes) { // in order: what makes a value comes before what reads it
		if !slices.ContainsFunc(n.Outputs, func(o string) bool { return o != "" && needed[o] }) {
			continue
		}
		kept = append(kept, n)
		for _, name := range n.Reads() {
			needed[name] = true
		}
	}
	slices.Reverse(kept)
	g.Nodes = kept
}
