package onnx

import (
	"fmt"
	"strings"
)

// Sort puts the nodes of every graph and function in an order in which each value
// is made before it is used. Nodes that are in such an order stay as they are;
// otherwise the order changes as little as following the values demands. It fails
// on a cycle and names its nodes.
func (m *Model) Sort() error {
	if err := m.Graph.Sort(); err != nil {
		return err
	}
	for _, f := range m.Functions {
		if err := sortNodes(f.Nodes); err != nil {
			return fmt.Errorf("function %s: %w", f.Name, err)
		}
	}
	return nil
}

// Sort sorts the nodes of the graph and of the graphs in it, as [Model.Sort] does.
func (g *Graph) Sort() error { return sortNodes(g.Nodes) }

func sortNodes(nodes []*Node) error {
	for _, n := range nodes {
		for _, sub := range n.Subgraphs() {
			if err := sub.Sort(); err != nil {
				return fmt.Errorf("in a graph of %s: %w", n, err)
			}
		}
	}
	s := newSorter(nodes)
	if s.sorted() {
		return nil
	}
	order := make([]*Node, 0, len(nodes))
	for i := range nodes {
		var err error
		if order, err = s.visit(i, order); err != nil {
			return err
		}
	}
	copy(nodes, order)
	return nil
}

// Reads gives the values that the node uses: its inputs, then those its subgraphs
// take from the graphs around them. A value can stand in it twice.
func (n *Node) Reads() []string {
	reads := make([]string, 0, len(n.Inputs))
	for _, name := range n.Inputs {
		if name != "" {
			reads = append(reads, name)
		}
	}
	for _, sub := range n.Subgraphs() {
		reads = append(reads, sub.Captures()...)
	}
	return reads
}

// Captures gives the values that the graph takes from the graphs around it, each
// once, in the order of their first use.
func (g *Graph) Captures() []string {
	seen := map[string]bool{"": true}
	for _, v := range g.Inputs {
		seen[v.Name] = true
	}
	for _, t := range g.Initializers {
		seen[t.Name] = true
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			seen[o] = true
		}
	}
	var captures []string
	capture := func(name string) {
		if !seen[name] {
			seen[name] = true
			captures = append(captures, name)
		}
	}
	for _, n := range g.Nodes {
		for _, name := range n.Reads() {
			capture(name)
		}
	}
	for _, v := range g.Outputs {
		capture(v.Name)
	}
	return captures
}

// sorter walks nodes depth first, from each to those that make what it reads.
type sorter struct {
	nodes []*Node
	needs [][]int // for each node, the nodes that make what it reads
	state []uint8
}

const (
	unvisited = iota
	underway  // on the path that is being walked
	placed
)

func newSorter(nodes []*Node) *sorter {
	s := &sorter{nodes: nodes, needs: make([][]int, len(nodes)), state: make([]uint8, len(nodes))}
	maker := make(map[string]int, len(nodes))
	for i, n := range nodes {
		for _, o := range n.Outputs {
			if _, twice := maker[o]; !twice && o != "" {
				maker[o] = i
			}
		}
	}
	for i, n := range nodes {
		for _, name := range n.Reads() {
			if j, ok := maker[name]; ok {
				s.needs[i] = append(s.needs[i], j)
			}
		}
	}
	return s
}

func (s *sorter) sorted() bool {
	for i, needs := range s.needs {
		for _, j := range needs {
			if j >= i {
				return false
			}
		}
	}
	return true
}

// visit appends a node to order, after those it needs. The path is kept in a slice,
// not on the stack: a model may be one chain of very many nodes.
func (s *sorter) visit(start int, order []*Node) ([]*Node, error) {
	if s.state[start] == placed {
		return order, nil
	}
	path := []int{start}
	s.state[start] = underway
	for len(path) > 0 {
		i := path[len(path)-1]
		if len(s.needs[i]) == 0 {
			s.state[i] = placed
			order = append(order, s.nodes[i])
			path = path[:len(path)-1]
			continue
		}
		next := s.needs[i][0]
		s.needs[i] = s.needs[i][1:]
		switch s.state[next] {
		case unvisited:
			s.state[next] = underway
			path = append(path, next)
		case underway:
			return nil, s.cycle(path, next)
		}
	}
	return order, nil
}

func (s *sorter) cycle(path []int, first int) error {
	for path[0] != first {
		path = path[1:]
	}
	const most = 8
	var names []string
	for _, i := range path[:min(len(path), most)] {
		names = append(names, s.nodes[i].String())
	}
	if len(path) > most {
		names = append(names, fmt.Sprintf("%d more", len(path)-most))
	}
	return fmt.Errorf("the graph has a cycle, where each node needs the next one's output: %s, and again %s",
		strings.Join(names, ", "), s.nodes[first])
}
