package ort

import (
	"context"
	"maps"
	"slices"
	"sync"

	"assay/onnx"
	"assay/onnx/infer"
)

// ONNX Runtime runs convolutions of images in a layout of blocks of channels, in
// which they are up to twice as fast, but puts only those into it whose weights are
// constant: not a step of training. What it puts there are operators of the domain
// below, which are part of models that it saves as optimised, and take any weights.

// blockedDomain has the runtime's operators on images in blocks of channels.
const blockedDomain = "com.microsoft.nchwc"

// inBlocks gives a model that computes the same, with the convolutions whose weights
// depend on the model's inputs in the blocked layout. It is the model itself where
// there are none, or the runtime does not do what is expected of it.
func inBlocks(m *onnx.Model) *onnx.Model {
	varying := dependent(m.Graph)
	candidates := slices.Clone(m.Graph.Nodes)
	candidates = slices.DeleteFunc(candidates, func(n *onnx.Node) bool {
		return n.Op != "Conv" || n.Domain != "" || n.Int("group", 1) != 1 || !varying[n.Input(1)] || n.Output(0) == ""
	})
	if len(candidates) == 0 {
		return m
	}
	types, err := infer.Shapes(m)
	size := blockSize()
	if err != nil || size == 0 { // of an error the runtime tells
		return m
	}
	shapes := map[string][]int64{}
	for _, n := range candidates {
		t := types.Of(n.Inputs[1])
		s, known := t.Shape.Sizes()
		if known && len(s) == 4 && t.Elem == onnx.Float32 && s[0]%size == 0 && s[1]%size == 0 {
			shapes[n.Outputs[0]] = s
		}
	}
	if len(shapes) == 0 {
		return m
	}
	return rewriteInBlocks(m, size, shapes)
}

// dependent gives the values that depend on the graph's inputs.
func dependent(g *onnx.Graph) map[string]bool {
	varying := map[string]bool{}
	for _, v := range g.Inputs {
		varying[v.Name] = true
	}
	for _, n := range g.Nodes {
		if slices.ContainsFunc(n.Reads(), func(v string) bool { return varying[v] }) {
			for _, v := range n.Outputs {
				varying[v] = true
			}
		}
	}
	return varying
}

// rewriteInBlocks rewrites the convolutions whose outputs are keys of shapes, which
// has the shapes of their weights: [M, C, height, width], M and C multiples of the
// block's size. A ReLU that alone reads a convolution becomes part of it.
func rewriteInBlocks(m *onnx.Model, size int64, shapes map[string][]int64) *onnx.Model {
	m = m.Clone()
	b := &blocks{Builder: onnx.Extend(m.Graph), size: size, of: map[string]string{}}
	nodes := m.Graph.Nodes
	m.Graph.Nodes = nil
	relu := onlyRelus(m.Graph, nodes)
	fused := map[*onnx.Node]bool{}
	for _, n := range nodes {
		if fused[n] {
			continue
		}
		shape := shapes[n.Output(0)]
		if shape == nil {
			m.Graph.Nodes = append(m.Graph.Nodes, n)
			continue
		}
		after := relu[n.Outputs[0]]
		b.convolution(n, after, shape)
		fused[after] = true
	}
	b.dropUnread()
	m.Opsets = maps.Clone(m.Opsets)
	m.Opsets[blockedDomain] = 1
	return m
}

// onlyRelus gives the ReLU that is the only reader of a value, by the value.
func onlyRelus(g *onnx.Graph, nodes []*onnx.Node) map[string]*onnx.Node {
	reads, relus := map[string]int{}, map[string]*onnx.Node{}
	for _, v := range g.Outputs {
		reads[v.Name]++
	}
	for _, n := range nodes {
		for _, v := range n.Reads() {
			reads[v]++
		}
		if n.Op == "Relu" && n.Domain == "" {
			relus[n.Inputs[0]] = n
		}
	}
	maps.DeleteFunc(relus, func(v string, _ *onnx.Node) bool { return reads[v] != 1 })
	return relus
}

// blocks adds nodes to a graph.
type blocks struct {
	*onnx.Builder
	size int64
	of   map[string]string // values in the blocked layout, by the plain ones
}

// convolution adds a convolution in the blocked layout, with the ReLU after it if
// there is one, and its result in both layouts.
func (b *blocks) convolution(n, relu *onnx.Node, shape []int64) {
	x := n.Inputs[0]
	if b.of[x] == "" {
		b.of[x] = b.own("ReorderInput", nil, b.Name(x+"_blocked"), x)
	}
	s := b.size
	kernel := b.Op("Reshape", nil, n.Inputs[1], b.Ints(shape[0]/s, s, shape[1]/s, s, shape[2], shape[3]))
	kernel = b.Op("Transpose", onnx.Attrs{"perm": []int64{0, 2, 4, 5, 3, 1}}, kernel)
	kernel = b.Op("Reshape", nil, kernel, b.Ints(shape...))
	attrs, y := onnx.Attrs{}, n.Outputs[0]
	maps.Copy(attrs, n.Attrs)
	if relu != nil {
		attrs["activation"], y = "Relu", relu.Outputs[0]
	}
	inputs := []string{b.of[x], kernel}
	if bias := n.Input(2); bias != "" {
		inputs = append(inputs, bias)
	}
	b.of[y] = b.own("Conv", attrs, b.Name(y+"_blocked"), inputs...)
	b.own("ReorderOutput", onnx.Attrs{"channels": shape[0]}, y, b.of[y])
}

// dropUnread removes results in the plain layout that only convolutions read.
func (b *blocks) dropUnread() {
	read := map[string]bool{}
	for _, v := range b.Graph.Outputs {
		read[v.Name] = true
	}
	for _, n := range b.Graph.Nodes {
		for _, v := range n.Reads() {
			read[v] = true
		}
	}
	b.Graph.Nodes = slices.DeleteFunc(b.Graph.Nodes, func(n *onnx.Node) bool {
		return n.Domain == blockedDomain && n.Op == "ReorderOutput" && !read[n.Outputs[0]]
	})
}

// own adds one of the runtime's own operators.
func (b *blocks) own(op string, attrs onnx.Attrs, output string, inputs ...string) string {
	b.Add(op, attrs, inputs, []string{output}).Domain = blockedDomain
	return output
}

var block struct {
	measure sync.Once
	size    int64
}

// blockSize is the number of channels in a block on this processor, 0 where the
// operators are not there or do not give what plain ones give.
func blockSize() int64 {
	block.measure.Do(func() { block.size = measureBlock() })
	return block.size
}

// measureBlock tries both sizes that there are, on numbers on which all is exact.
func measureBlock() int64 {
	const channels, side = 32, 5
	b := onnx.NewBuilder("blocks")
	x := b.Input("x", onnx.Float32, 1, channels, side, side)
	w := b.Input("w", onnx.Float32, channels, channels, 3, 3)
	conv := b.Op("Conv", onnx.Attrs{"pads": []int64{1, 1, 0, 1}, "strides": []int64{1, 2}}, x, w, b.Input("bias", onnx.Float32, channels))
	b.OutputAs("y", b.Op("Relu", nil, conv), onnx.Float32, onnx.Fixed(1, channels, side-1, 3))
	plain := b.Model()
	inputs := []*Tensor{
		NewTensor(integers(channels*side*side), 1, channels, side, side),
		NewTensor(integers(channels*channels*9), channels, channels, 3, 3), NewTensor(integers(channels), channels),
	}
	want, err := once(plain, inputs)
	if err != nil {
		return 0
	}
	for _, size := range []int64{16, 8} {
		m := rewriteInBlocks(plain, size, map[string][]int64{conv: {channels, channels, 3, 3}})
		if got, err := once(m, inputs); err == nil && slices.Equal(got, want) {
			return size
		}
	}
	return 0
}

// integers gives small numbers without a pattern that blocks could hide.
func integers(n int) []float32 {
	out, state := make([]float32, n), uint32(1)
	for i := range out {
		state = state*1664525 + 1013904223
		out[i] = float32(state>>24%7) - 3
	}
	return out
}

// once runs a model as it stands, and gives its first output.
func once(m *onnx.Model, inputs []*Tensor) ([]float32, error) {
	s, err := New(m, Options{Threads: 1, Optimization: OptimizeOff})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	outputs := make([]*Tensor, len(s.outputs))
	if err := s.Run(context.Background(), inputs, outputs); err != nil {
		return nil, err
	}
	return Data[float32](outputs[0]), nil
}
