package onnx

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Limits on what inlining may make of a model: functions that call each other twice
// double the graph with each level.
const (
	maxCallDepth = 64
	maxInlined   = 1 << 20 // parts, see inlinedSize
)

// functionID is what a call names a function by.
type functionID struct{ domain, name, overload string }

func (f *Function) id() functionID { return functionID{f.Domain, f.Name, f.Overload} }

// String names the function for messages.
func (f *Function) String() string {
	name := "function " + domainName(f.Domain) + "." + f.Name
	if f.Overload != "" {
		name += ":" + f.Overload
	}
	return name
}

// functionTable holds a model's functions. An entry with ONNX's own domain and an
// operator's name replaces that operator, as the specification has it.
type functionTable struct {
	byID  map[functionID]*Function
	sizes map[*Function]inlinedSize
	path  []*Function // of calls whose size is being worked out
}

// inlinedSize is what nodes become once the calls among them are replaced.
type inlinedSize struct {
	parts int64 // nodes, their inputs, outputs and attributes: what is allocated
	depth int   // of calls in calls
}

func (m *Model) functionTable() (*functionTable, error) {
	t := &functionTable{byID: make(map[functionID]*Function, len(m.Functions)), sizes: map[*Function]inlinedSize{}}
	for _, f := range m.Functions {
		if t.byID[f.id()] != nil {
			return nil, fmt.Errorf("%s is defined twice", f)
		}
		t.byID[f.id()] = f
	}
	for _, f := range m.Functions {
		if _, err := t.callSize(f); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// called gives the function that a node calls, nil where it is an operator.
func (t *functionTable) called(n *Node) *Function {
	return t.byID[functionID{n.Domain, n.Op, n.Overload}]
}

// callSize is the size of a call of f. It fails on recursion and too deep calls.
func (t *functionTable) callSize(f *Function) (inlinedSize, error) {
	if size, known := t.sizes[f]; known {
		return size, nil
	}
	if slices.Contains(t.path, f) {
		return inlinedSize{}, fmt.Errorf("%s calls itself: %s", f, t.recursion(f))
	}
	if len(t.path) == maxCallDepth {
		return inlinedSize{}, fmt.Errorf("%s: functions call functions more than %d deep", t.path[0], maxCallDepth)
	}
	t.path = append(t.path, f)
	size, err := t.size(f.Nodes)
	if err != nil {
		return inlinedSize{}, err
	}
	t.path = t.path[:len(t.path)-1]
	if size.depth++; size.depth > maxCallDepth {
		return inlinedSize{}, fmt.Errorf("%s: functions call functions more than %d deep", f, maxCallDepth)
	}
	t.sizes[f] = size
	return size, nil
}

func (t *functionTable) recursion(f *Function) string {
	var calls []string
	for _, g := range t.path {
		if len(calls) > 0 || g == f {
			calls = append(calls, g.String())
		}
	}
	return strings.Join(append(calls, f.String()), " calls ")
}

// size adds up nodes with those in their subgraphs. It stops counting at a limit.
func (t *functionTable) size(nodes []*Node) (inlinedSize, error) {
	var total inlinedSize
	add := func(parts int, inner inlinedSize) {
		total.parts = min(total.parts+int64(parts)+inner.parts, math.MaxInt32)
		total.depth = max(total.depth, inner.depth)
	}
	for _, n := range nodes {
		add(4+len(n.Inputs)+len(n.Outputs)+len(n.Attrs), inlinedSize{})
		if f := t.called(n); f != nil {
			inner, err := t.callSize(f)
			if err != nil {
				return total, err
			}
			add(0, inner)
		}
		for _, g := range n.Subgraphs() {
			inner, err := t.size(g.Nodes)
			if err != nil {
				return total, err
			}
			add(4+len(g.Inputs)+len(g.Outputs)+len(g.Values)+len(g.Initializers), inner)
		}
	}
	return total, nil
}

// Inline replaces each call of one of the model's functions by the function's nodes,
// in subgraphs and in functions too, and leaves the model without functions. Values
// inside get new names, and references to attributes the call's values or the
// defaults. Operator sets that only functions import are added to the model's.
//
// It fails, and leaves the model as it was, where functions are recursive, where the
// graph would grow out of all proportion, and where a function is written for another
// version of an operator than the one the model imports.
func (m *Model) Inline() error {
	if len(m.Functions) == 0 {
		return nil
	}
	if err := m.inline(); err != nil {
		return fmt.Errorf("inline functions: %w", err)
	}
	return nil
}

func (m *Model) inline() error {
	table, err := m.functionTable()
	if err != nil {
		return err
	}
	size, err := table.size(m.Graph.Nodes)
	if err != nil {
		return err
	}
	if size.parts > maxInlined {
		return fmt.Errorf("the graph would grow to more than %d nodes, inputs, outputs and attributes", maxInlined)
	}
	graph := m.Graph.Clone()
	in := &inliner{table: table, opsets: maps.Clone(m.Opsets), names: Extend(graph)}
	if in.opsets == nil {
		in.opsets = map[string]int64{}
	}
	if graph.Nodes, err = in.nodes(graph.Nodes); err != nil {
		return err
	}
	m.Graph, m.Opsets, m.Functions = graph, in.opsets, nil
	return nil
}

type inliner struct {
	table  *functionTable
	opsets map[string]int64
	names  *Builder
}

// nodes gives the nodes with calls replaced.
func (in *inliner) nodes(nodes []*Node) ([]*Node, error) {
	out := make([]*Node, 0, len(nodes))
	for _, n := range nodes {
		for _, g := range n.Subgraphs() {
			var err error
			if g.Nodes, err = in.nodes(g.Nodes); err != nil {
				return nil, err
			}
		}
		f := in.table.called(n)
		if f == nil {
			out = append(out, n)
			continue
		}
		body, err := in.expand(n, f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		if body, err = in.nodes(body); err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		out = append(out, body...)
	}
	return out, nil
}

// expand gives the nodes of one call.
func (in *inliner) expand(call *Node, f *Function) ([]*Node, error) {
	if len(call.Inputs) > len(f.Inputs) || len(call.Outputs) > len(f.Outputs) {
		return nil, fmt.Errorf("%s has %d inputs and %d outputs, the call %d and %d",
			f, len(f.Inputs), len(f.Outputs), len(call.Inputs), len(call.Outputs))
	}
	if err := in.mergeOpsets(f); err != nil {
		return nil, err
	}
	e := &expansion{inliner: in, call: call, function: f, names: map[string]string{"": ""}}
	for i, formal := range f.Inputs {
		e.names[formal] = call.Input(i)
	}
	var passed []*Node
	for i, formal := range f.Outputs {
		actual := call.Output(i)
		if actual == "" {
			continue
		}
		value, taken := e.names[formal]
		switch {
		case !taken:
			e.names[formal] = actual
		case value == "":
			return nil, fmt.Errorf("%s gives back its input %q, which the call leaves out", f, formal)
		default: // an input or a second time the same output
			passed = append(passed, &Node{Name: actual, Op: "Identity", Inputs: []string{value}, Outputs: []string{actual}, Attrs: Attrs{}})
		}
	}
	body, err := e.nodes(f.Nodes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f, err)
	}
	return append(body, passed...), nil
}

// mergeOpsets makes sure that the function's nodes mean the same under the model's
// operator sets.
func (in *inliner) mergeOpsets(f *Function) error {
	for _, domain := range sortedNames(f.Opsets) {
		if _, ok := in.opsets[domain]; !ok {
			in.opsets[domain] = f.Opsets[domain]
		}
	}
	return in.sameOperators(f, f.Nodes)
}

func (in *inliner) sameOperators(f *Function, nodes []*Node) error {
	for _, n := range nodes {
		for _, g := range n.Subgraphs() {
			if err := in.sameOperators(f, g.Nodes); err != nil {
				return err
			}
		}
		theirs, stated := f.Opsets[n.Domain]
		ours := in.opsets[n.Domain]
		if !stated || theirs == ours || in.table.called(n) != nil {
			continue
		}
		if op, ok := LookupOperator(n.Domain, n.Op); !ok || op.SinceVersion(theirs) != op.SinceVersion(ours) {
			return fmt.Errorf("%s: %s is written for version %d of operator set %s, the model imports version %d, in which the operator is another: export the model with one version throughout",
				f, n, theirs, domainName(n.Domain), ours)
		}
	}
	return nil
}

// expansion copies the nodes of one call, or of a subgraph in it, which sees the
// names of those around it.
type expansion struct {
	*inliner
	call     *Node
	function *Function
	names    map[string]string // in the function → in the graph
	around   *expansion
}

func (e *expansion) name(old string) (string, error) {
	for s := e; s != nil; s = s.around {
		if name, ok := s.names[old]; ok {
			return name, nil
		}
	}
	return "", fmt.Errorf("value %q is used and nothing makes it", old)
}

// define gives a value of the function a name in the graph. A long name is not kept:
// a function that is called often would multiply it.
func (e *expansion) define(old string) string {
	if name, ok := e.names[old]; ok {
		return name
	}
	hint := old
	if len(hint) > 100 {
		hint = "value"
	}
	e.names[old] = e.inliner.names.Name(hint)
	return e.names[old]
}

func (e *expansion) nodes(nodes []*Node) ([]*Node, error) {
	for _, n := range nodes {
		for _, o := range n.Outputs {
			e.define(o)
		}
	}
	out := make([]*Node, len(nodes))
	for i, n := range nodes {
		var err error
		if out[i], err = e.node(n); err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
	}
	return out, nil
}

func (e *expansion) node(n *Node) (*Node, error) {
	c := *n
	c.Inputs = make([]string, len(n.Inputs))
	c.Outputs = make([]string, len(n.Outputs))
	c.Attrs = make(Attrs, len(n.Attrs))
	for i, name := range n.Inputs {
		var err error
		if c.Inputs[i], err = e.name(name); err != nil {
			return nil, err
		}
	}
	for i, name := range n.Outputs {
		c.Outputs[i] = e.define(name)
	}
	for _, name := range sortedNames(n.Attrs) {
		v, err := e.attribute(n.Attrs[name])
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", name, err)
		}
		if v != nil {
			c.Attrs[name] = v
		}
	}
	return &c, nil
}

// attribute resolves references and copies graphs. It gives nil for a reference to
// an attribute that neither the call nor a default gives: then the node has none.
func (e *expansion) attribute(v any) (any, error) {
	switch v := v.(type) {
	case Ref:
		given, ok := e.call.Attrs[v.Name]
		if !ok {
			given = e.function.Defaults[v.Name]
		}
		return cloneAttribute(given), nil
	case *Graph:
		return e.graph(v)
	case []*Graph:
		return each(v, e.graph)
	}
	return v, nil
}

func (e *expansion) graph(g *Graph) (*Graph, error) {
	inner := &expansion{inliner: e.inliner, call: e.call, function: e.function, names: map[string]string{}, around: e}
	c := &Graph{Name: g.Name, Doc: g.Doc}
	for _, v := range g.Inputs {
		v.Name = inner.define(v.Name)
		c.Inputs = append(c.Inputs, v)
	}
	for _, t := range g.Initializers {
		c.Initializers = append(c.Initializers, t.Renamed(inner.define(t.Name)))
	}
	var err error
	if c.Nodes, err = inner.nodes(g.Nodes); err != nil {
		return nil, err
	}
	for _, v := range g.Values {
		if name, ok := inner.names[v.Name]; ok {
			v.Name = name
			c.Values = append(c.Values, v)
		}
	}
	for _, v := range g.Outputs {
		if v.Name, err = inner.name(v.Name); err != nil {
			return nil, err
		}
		c.Outputs = append(c.Outputs, v)
	}
	return c, nil
}
