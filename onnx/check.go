package onnx

import (
	"errors"
	"fmt"
	"slices"
)

// Check makes sure that the model makes sense as far as its structure tells, and
// names the node where it does not: operator sets are imported and supported,
// operators of ONNX's domains exist in them, each value is made once and before it
// is used, outputs are made, functions do not call themselves, and stated shapes and
// constants have possible sizes. Operators of other domains are taken on trust.
//
// Names inside a subgraph differ from those around it, as the specification demands;
// a rewrite may rely on that.
func (m *Model) Check() error {
	if m.Graph == nil {
		return errors.New("the model has no graph")
	}
	if len(m.Opsets) == 0 {
		return errors.New("the model imports no operator set")
	}
	if err := checkOpset(m.Opsets); err != nil {
		return fmt.Errorf("the model %w", err)
	}
	functions, err := m.functionTable()
	if err != nil {
		return err
	}
	c := &checker{functions: functions, opsets: m.Opsets}
	for _, v := range m.Graph.Inputs {
		if v.Type.Kind == KindUnknown {
			return fmt.Errorf("input %q of the graph has no type", v.Name)
		}
	}
	if err := c.graph(m.Graph, nil); err != nil {
		return err
	}
	for _, f := range m.Functions {
		if err := c.inFunction(f).body(f); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
	}
	return nil
}

func checkOpset(opsets map[string]int64) error {
	if v, ok := opsets[""]; ok && (v < MinOpset || v > MaxOpset) {
		return fmt.Errorf("imports version %d of ONNX's operator set, versions %d to %d are supported: convert it with ONNX's version converter or export it anew",
			v, MinOpset, MaxOpset)
	}
	for _, domain := range sortedNames(opsets) {
		if v := opsets[domain]; v < 1 {
			return fmt.Errorf("imports version %d of operator set %s", v, domainName(domain))
		}
	}
	return nil
}

type checker struct {
	functions *functionTable
	opsets    map[string]int64
	function  *Function // whose body is checked, nil in the graph
}

// scope holds the values made so far in a graph, within the graph around it.
type scope struct {
	made   map[string]bool
	around *scope
}

func (s *scope) has(name string) bool {
	for ; s != nil; s = s.around {
		if s.made[name] {
			return true
		}
	}
	return false
}

// add makes a value known. There must be none of its name here or around.
func (s *scope) add(name string) error {
	switch {
	case s.made[name]:
		return fmt.Errorf("value %q is made twice", name)
	case s.has(name):
		return fmt.Errorf("value %q has the name of one of the graph around it", name)
	}
	s.made[name] = true
	return nil
}

func (c *checker) inFunction(f *Function) *checker {
	opsets := f.Opsets
	if len(opsets) == 0 {
		opsets = c.opsets
	}
	return &checker{functions: c.functions, opsets: opsets, function: f}
}

func (c *checker) body(f *Function) error {
	if err := checkOpset(c.opsets); err != nil {
		return fmt.Errorf("it %w", err)
	}
	s := &scope{made: map[string]bool{}}
	for _, name := range f.Inputs {
		if err := s.add(name); err != nil {
			return fmt.Errorf("input %q: %w", name, err)
		}
	}
	if err := c.nodes(f.Nodes, s); err != nil {
		return err
	}
	for _, name := range f.Outputs {
		if !s.has(name) {
			return fmt.Errorf("no node makes its output %q", name)
		}
	}
	return nil
}

func (c *checker) graph(g *Graph, around *scope) error {
	s := &scope{made: map[string]bool{}, around: around}
	for _, v := range g.Inputs {
		if v.Name == "" {
			return errors.New("an input of the graph has no name")
		}
		if err := s.add(v.Name); err != nil {
			return fmt.Errorf("input %q of the graph: %w", v.Name, err)
		}
	}
	if err := checkTypes(g); err != nil {
		return err
	}
	weights := make(map[string]bool, len(g.Initializers))
	for _, t := range g.Initializers {
		if weights[t.Name] {
			return fmt.Errorf("there are two initializers %q", t.Name)
		}
		weights[t.Name] = true
		if err := t.check(); err != nil {
			return fmt.Errorf("initializer %q: %w", t.Name, err)
		}
		if s.made[t.Name] { // an input too: its default
			continue
		}
		if err := s.add(t.Name); err != nil {
			return fmt.Errorf("initializer %q: %w", t.Name, err)
		}
	}
	if err := c.nodes(g.Nodes, s); err != nil {
		return err
	}
	for _, v := range g.Outputs {
		switch {
		case s.made[v.Name]:
		case s.has(v.Name):
			return fmt.Errorf("output %q is a value of the graph around: give it back through an Identity node", v.Name)
		default:
			return fmt.Errorf("no node, input or initializer makes the output %q of the graph", v.Name)
		}
	}
	return nil
}

// nodes checks nodes and adds their outputs to the scope.
func (c *checker) nodes(nodes []*Node, s *scope) error {
	for i, n := range nodes {
		if err := c.operator(n); err != nil {
			return err
		}
		for j, name := range n.Inputs {
			if name != "" && !s.has(name) {
				return notMade(nodes, i, fmt.Sprintf("input %d", j), name)
			}
		}
		if err := c.attributes(n, s); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
		for _, name := range n.Outputs {
			if name == "" {
				continue
			}
			if err := s.add(name); err != nil {
				return fmt.Errorf("%s: %w", n, err)
			}
		}
	}
	return nil
}

// notMade tells why a value that node i reads is not there yet.
func notMade(nodes []*Node, i int, what, name string) error {
	for _, later := range nodes[i:] {
		if !slices.Contains(later.Outputs, name) {
			continue
		}
		if err := sortNodes(slices.Clone(nodes)); err != nil { // a cycle
			return err
		}
		return fmt.Errorf("%s: %s, %q, is made only later, by %s: sort the graph", nodes[i], what, name, later)
	}
	return fmt.Errorf("%s: %s, %q, is made by no node, input or initializer", nodes[i], what, name)
}

// operator checks that the node's operator exists.
func (c *checker) operator(n *Node) error {
	if n.Op == "" {
		return fmt.Errorf("%s has no operator", n)
	}
	if f := c.functions.called(n); f != nil {
		if len(n.Inputs) > len(f.Inputs) || len(n.Outputs) > len(f.Outputs) {
			return fmt.Errorf("%s: %s has %d inputs and %d outputs, the call %d and %d",
				n, f, len(f.Inputs), len(f.Outputs), len(n.Inputs), len(n.Outputs))
		}
		return nil
	}
	opset, imported := c.opsets[n.Domain]
	if !imported {
		return fmt.Errorf("%s: the model does not import its operator set %s", n, domainName(n.Domain))
	}
	if !isOwnDomain(n.Domain) {
		return nil
	}
	op, ok := LookupOperator(n.Domain, n.Op)
	if n.Op == "SimplifiedLayerNormalization" && n.Domain == "" {
		return nil // ONNX Runtime's own, which it writes under ONNX's name
	}
	if !ok {
		return fmt.Errorf("%s: ONNX has no such operator%s", n, hintFor(n))
	}
	switch since := op.SinceVersion(opset); {
	case since == 0:
		return fmt.Errorf("%s: the operator is there from version %d of operator set %s, the model imports version %d",
			n, op.Since[0], domainName(n.Domain), opset)
	case since == op.Deprecated && n.Op != "GroupNormalization":
		// GroupNormalization was first defined in the version that withdrew it (18,
		// with one scale for each group), and exporters wrote it: runtimes know it.
		return fmt.Errorf("%s: the operator is withdrawn in version %d of operator set %s, which the model imports",
			n, opset, domainName(n.Domain))
	}
	return nil
}

func hintFor(n *Node) string {
	for _, op := range operators {
		if op.Name == n.Op {
			return fmt.Sprintf(": %s is in the domain %s", op.Name, domainName(op.Domain))
		}
	}
	if name := suggestOperator(n.Domain, n.Op); name != "" {
		return fmt.Sprintf(": did you mean %s?", name)
	}
	return ""
}

func (c *checker) attributes(n *Node, s *scope) error {
	for _, name := range sortedNames(n.Attrs) {
		var err error
		switch v := n.Attrs[name].(type) {
		case Ref:
			err = c.ref(v)
		case *Tensor:
			err = v.check()
		case *Graph:
			err = c.graph(v, s)
		case []*Graph:
			for _, g := range v {
				if err = c.graph(g, s); err != nil {
					break
				}
			}
		}
		if err != nil {
			return fmt.Errorf("attribute %q: %w", name, err)
		}
	}
	return nil
}

func (c *checker) ref(r Ref) error {
	if c.function == nil {
		return fmt.Errorf("it refers to attribute %q of a call, but is in no function", r.Name)
	}
	if _, ok := c.function.Defaults[r.Name]; !ok && !slices.Contains(c.function.Params, r.Name) {
		return fmt.Errorf("it refers to attribute %q, which the function does not have", r.Name)
	}
	return nil
}

func checkTypes(g *Graph) error {
	for _, list := range []struct {
		what   string
		values []Value
	}{{"input", g.Inputs}, {"output", g.Outputs}, {"value", g.Values}} {
		for _, v := range list.values {
			if err := v.Type.check(); err != nil {
				return fmt.Errorf("%s %q: %w", list.what, v.Name, err)
			}
		}
	}
	return nil
}

// check makes sure that a value of the type can exist. Dimensions of unknown size
// count as one element.
func (t Type) check() error {
	switch t.Kind {
	case KindTensor, KindSparseTensor:
		if !t.Elem.Valid() && t.Elem != Undefined {
			return fmt.Errorf("%s is not an element type that ONNX defines", t.Elem)
		}
		sizes := make([]int64, 0, len(t.Shape))
		for _, d := range t.Shape {
			if d.Size < -1 {
				return fmt.Errorf("shape %s has a negative size", t.Shape)
			}
			if d.Known() {
				sizes = append(sizes, d.Size)
			}
		}
		_, err := elements(sizes)
		return err
	case KindSequence, KindOptional, KindMap:
		return t.of().check()
	}
	return nil
}

// check makes sure that the content fills the shape.
func (t *Tensor) check() error {
	n, err := elements(t.Shape)
	switch {
	case err != nil:
		return err
	case !t.Type.Valid():
		return fmt.Errorf("%s is not an element type that ONNX defines", t.Type)
	case t.Type == String && int64(len(t.strings)) != n:
		return fmt.Errorf("shape %v wants %d strings, it has %d", t.Shape, n, len(t.strings))
	case t.Type != String && t.external == nil && int64(len(t.raw)) != t.Type.ByteSize(n):
		return fmt.Errorf("shape %v of %s wants %d bytes, it has %d", t.Shape, t.Type, t.Type.ByteSize(n), len(t.raw))
	}
	return nil
}
