package autodiff

import (
	"slices"

	"assay/onnx"
	"assay/onnx/infer"
)

// containing holds the operators on sequences and optional values.
var containing = map[string]operator{
	"Optional":           {gradient: contentGradient},
	"OptionalGetElement": {gradient: contentGradient},
	"OptionalHasElement": {zero: true},

	"SequenceConstruct": {because: unknownLength}, "SequenceInsert": {because: unknownLength},
	"SequenceErase": {because: unknownLength}, "SequenceAt": {because: unknownLength},
	"SequenceMap": {because: unknownLength}, "SplitToSequence": {because: unknownLength},
	"ConcatFromSequence": {because: unknownLength},
	"SequenceEmpty":      {shapeOnly: true}, "SequenceLength": {shapeOnly: true},
}

const unknownLength = "the elements of its sequence are known only when the model runs"

// contentGradient: the gradient of an optional value is that of its content.
func contentGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) { return dy, nil }

// maxElements bounds the sequences that are taken apart.
const maxElements = 1024

// takeApart replaces sequences of a graph and of those inside it by their elements,
// where it is known before the model runs which these are: what reads an element of a
// sequence then reads the value that was put there. Sequences that are still read as a
// whole stay beside that.
func takeApart(b *onnx.Builder, m *onnx.Model) error {
	if !hasSequences(m.Graph) {
		return nil
	}
	types, err := inferred(m)
	if err != nil {
		return err
	}
	takeApartGraph(b, m.Graph, types)
	return nil
}

func hasSequences(g *onnx.Graph) bool {
	return slices.ContainsFunc(g.Nodes, func(n *onnx.Node) bool {
		return makesSequence(n) || slices.ContainsFunc(n.Subgraphs(), hasSequences)
	})
}

func makesSequence(n *onnx.Node) bool {
	switch n.OpType() {
	case "SequenceConstruct", "SequenceEmpty", "SequenceInsert", "SequenceErase", "SplitToSequence":
		return true
	}
	return false
}

func takeApartGraph(b *onnx.Builder, g *onnx.Graph, types *infer.Types) {
	s := &sequences{Builder: b, types: types, elements: map[string][]string{}}
	var nodes []*onnx.Node
	for _, n := range g.Nodes {
		for _, sub := range n.Subgraphs() {
			if inside := types.Inside(sub); inside != nil {
				takeApartGraph(b, sub, inside)
			}
		}
		start := len(b.Graph.Nodes)
		replaced := s.node(n)
		added := slices.Clone(b.Graph.Nodes[start:])
		b.Graph.Nodes = b.Graph.Nodes[:start]
		nodes = append(nodes, added...)
		if !replaced {
			nodes = append(nodes, n)
		}
	}
	g.Nodes = withoutUnread(g, nodes)
}

// withoutUnread leaves out the nodes that make sequences which nothing reads.
func withoutUnread(g *onnx.Graph, nodes []*onnx.Node) []*onnx.Node {
	read := map[string]bool{}
	for _, v := range g.Outputs {
		read[v.Name] = true
	}
	var kept []*onnx.Node
	for _, n := range slices.Backward(nodes) {
		if makesSequence(n) && !read[n.Outputs[0]] {
			continue
		}
		for _, v := range n.Reads() {
			read[v] = true
		}
		kept = append(kept, n)
	}
	slices.Reverse(kept)
	return kept
}

// sequences are those of a graph whose elements are known, by name.
type sequences struct {
	*onnx.Builder
	types    *infer.Types
	elements map[string][]string
}

// node follows a node and reports whether what was added replaces it.
func (s *sequences) node(n *onnx.Node) (replaced bool) {
	list, known := s.elements[n.Input(0)]
	switch n.OpType() {
	case "SequenceEmpty":
		s.elements[n.Outputs[0]] = nil
	case "SequenceConstruct":
		s.elements[n.Outputs[0]] = n.Inputs
	case "Identity":
		if known {
			s.elements[n.Outputs[0]] = list
		}
	case "SplitToSequence":
		if parts := s.split(n); parts != nil {
			s.elements[n.Outputs[0]] = parts
		}
	case "SequenceInsert":
		at, ok := s.position(n.Input(2), len(list), len(list), len(list)+1)
		if known && ok && len(list) < maxElements {
			s.elements[n.Outputs[0]] = slices.Insert(slices.Clone(list), at, n.Inputs[1])
		}
	case "SequenceErase":
		at, ok := s.position(n.Input(1), len(list)-1, len(list), len(list))
		if known && ok {
			s.elements[n.Outputs[0]] = slices.Delete(slices.Clone(list), at, at+1)
		}
	case "SequenceAt":
		at, ok := s.position(n.Input(1), -1, len(list), len(list))
		if known && ok {
			s.Add("Identity", nil, []string{list[at]}, n.Outputs)
			return true
		}
	case "SequenceLength":
		if known {
			s.Add("Identity", nil, []string{s.Number(onnx.Int64, float64(len(list)))}, n.Outputs)
			return true
		}
	case "ConcatFromSequence":
		if known && len(list) > 0 {
			s.concat(n, list)
			return true
		}
	}
	return false
}

// position is a place in a sequence of a length, where it is one of the first end. A
// negative one counts from the back.
func (s *sequences) position(value string, otherwise, length, end int) (int, bool) {
	at := int64(otherwise)
	if value != "" {
		t := s.types.Constant(value)
		if t == nil {
			return 0, false
		}
		content, err := t.Int64s()
		if err != nil || len(content) != 1 {
			return 0, false
		}
		if at = content[0]; at < 0 {
			at += int64(length)
		}
	}
	return int(at), at >= 0 && at < int64(end)
}

// split adds the Split that makes the elements of a SplitToSequence; nil where their
// number is not known.
func (s *sequences) split(n *onnx.Node) []string {
	shape := s.types.Of(n.Inputs[0]).Shape
	axis, err := counted(n.Int("axis", 0), int64(len(shape)))
	if err != nil {
		return nil
	}
	size := shape[axis].Size
	sizes := s.sizes(n.Input(1), size)
	if len(sizes) == 0 || len(sizes) > maxElements {
		return nil
	}
	parts := s.Ops("Split", onnx.Attrs{"axis": axis}, len(sizes), n.Inputs[0], s.Ints(sizes...))
	if n.Input(1) == "" && n.Int("keepdims", 1) == 0 {
		parts = slices.Clone(parts) // the node keeps its own
		for i, part := range parts {
			parts[i] = s.Op("Squeeze", nil, part, s.Ints(axis))
		}
	}
	return parts
}

// sizes resolves the split of a SplitToSequence: none stands for ones, a scalar for
// equal parts of that size with the rest as the last.
func (s *sequences) sizes(split string, size int64) []int64 {
	each := int64(1)
	if split != "" {
		t := s.types.Constant(split)
		if t == nil {
			return nil
		}
		content, err := t.Int64s()
		if err != nil || len(t.Shape) > 0 {
			return content
		}
		each = content[0]
	}
	if each < 1 || size < 0 || size/each > maxElements {
		return nil
	}
	sizes := slices.Repeat([]int64{each}, int(size/each))
	if rest := size % each; rest > 0 {
		sizes = append(sizes, rest)
	}
	return sizes
}

func (s *sequences) concat(n *onnx.Node, list []string) {
	attrs := onnx.Attrs{"axis": n.Int("axis", 0)}
	if n.Int("new_axis", 0) != 0 {
		list = slices.Clone(list)
		for i, v := range list {
			list[i] = s.Op("Unsqueeze", nil, v, s.Ints(n.Int("axis", 0)))
		}
	}
	s.Add("Concat", attrs, slices.Clone(list), n.Outputs)
}
