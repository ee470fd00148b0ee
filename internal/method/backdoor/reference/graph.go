package reference

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"assay/onnx"
)

// node is one of a graph, with those of its inputs that are constants.
type node struct {
	*onnx.Node
	constants []*onnx.Tensor // of each input; nil for one that is computed, or left out
	form      string         // equal for nodes of the same operator, attributes, and kinds of constants
}

// graph is what computes the outputs of a model, in an order that depends neither on names nor on the order in the file.
type graph struct {
	*onnx.Graph
	nodes     []*node
	constants map[string]*onnx.Tensor
}

// newGraph reads a model. Local functions are written out.
func newGraph(m *onnx.Model) (*graph, error) {
	m = m.Clone()
	if err := m.Inline(); err != nil {
		return nil, err
	}
	if err := m.Sort(); err != nil {
		return nil, err
	}
	g := &graph{Graph: m.Graph, constants: map[string]*onnx.Tensor{}}
	for _, t := range g.Initializers {
		g.constants[t.Name] = t
	}
	makers := map[string]*onnx.Node{}
	for _, n := range g.Nodes {
		if t := n.Tensor("value"); n.OpType() == "Constant" && t != nil {
			g.constants[n.Output(0)] = t
			continue
		}
		for _, o := range n.Outputs {
			makers[o] = n
		}
	}
	for _, n := range ordered(g.Graph, makers) {
		of, err := g.node(n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		g.nodes = append(g.nodes, of)
	}
	return g, nil
}

// ordered gives the nodes that the outputs need, each after what it reads, as they are met on the way from the outputs back.
func ordered(g *onnx.Graph, makers map[string]*onnx.Node) []*onnx.Node {
	var out, open []*onnx.Node
	state := map[*onnx.Node]int{} // 1 while it is open, 2 when it is there
	for _, v := range g.Outputs {
		open = append(open, makers[v.Name])
		for len(open) > 0 {
			n := open[len(open)-1]
			if n == nil || state[n] != 0 {
				open = open[:len(open)-1]
				if n != nil && state[n] == 1 {
					state[n], out = 2, append(out, n)
				}
				continue
			}
			state[n] = 1
			for _, name := range slices.Backward(n.Reads()) {
				if maker := makers[name]; maker != nil && state[maker] == 0 {
					open = append(open, maker)
				}
			}
		}
	}
	return out
}

func (g *graph) node(n *onnx.Node) (*node, error) {
	of := &node{Node: n, constants: make([]*onnx.Tensor, len(n.Inputs))}
	plain := &onnx.Node{Op: n.Op, Domain: n.Domain, Overload: n.Overload, Attrs: n.Attrs}
	form := new(strings.Builder)
	for i, name := range n.Inputs {
		t := g.constants[name]
		of.constants[i] = t
		switch {
		case t != nil:
			fmt.Fprintf(form, "%d%v,", t.Type, t.Shape)
		case name != "":
			form.WriteString("value,")
		default:
			form.WriteString("none,")
		}
	}
	content, err := (&onnx.Model{Graph: &onnx.Graph{Nodes: []*onnx.Node{plain}}}).Encode()
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(form, "%d,", len(n.Outputs))
	form.Write(content)
	digest := sha256.Sum256([]byte(form.String())) // attributes can be large
	of.form = string(digest[:])
	return of, nil
}

// mostPairs bounds the work of an alignment: beyond it no node between is another.
const mostPairs = 1 << 23

// align gives for each of some nodes that of others which it is, -1 for none: those that both begin with, those that both end with, and between
// them a longest common subsequence of nodes of the same form.
func align(own, others []*node) []int {
	out := slices.Repeat([]int{-1}, len(own))
	head := 0
	for head < min(len(own), len(others)) && own[head].form == others[head].form {
		out[head] = head
		head++
	}
	n, m := len(own), len(others)
	for n > head && m > head && own[n-1].form == others[m-1].form {
		n, m = n-1, m-1
		out[n] = m
	}
	rows, columns := n-head, m-head
	if rows > 0 && columns > mostPairs/rows {
		return out
	}
	longest := make([][]int32, rows+1) // of what follows node i of the one and j of the other
	for i := range longest {
		longest[i] = make([]int32, columns+1)
	}
	for i := rows - 1; i >= 0; i-- {
		for j := columns - 1; j >= 0; j-- {
			if own[head+i].form == others[head+j].form {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	for i, j := 0, 0; i < rows && j < columns; {
		switch {
		case own[head+i].form == others[head+j].form:
			out[head+i] = head + j
			i, j = i+1, j+1
		case longest[i+1][j] >= longest[i][j+1]:
			i++
		default:
			j++
		}
	}
	return out
}
