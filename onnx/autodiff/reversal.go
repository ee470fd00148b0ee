package autodiff

import (
	"fmt"
	"slices"

	"assay/onnx"
)

// reversal is the gradient of a node of rounds while it is written: q writes the body
// of a Scan, and what stands here is of the Scan itself, in the graph of p.
type reversal struct {
	*rounds
	p, q *pass

	carries []carry
	pieces  []piece
	stacks  []*stack
}

// carry is a value carried from round to round: the gradient of a value carried by
// the forward node, or the sum of the gradients of one from outside.
type carry struct {
	of    string // the value whose gradient it is after the last round
	first string // what it starts with
	take  onnx.Value
	value string // in the forward body; "" for one from outside
}

// piece is a scanned input and its piece in the body.
type piece struct {
	input           string
	take            onnx.Value
	axis, direction int64
}

// stack is a stacked output.
type stack struct {
	value           string // in the body
	axis, direction int64
	name            string
}

// roundsGradient is the rule of Scan and Loop.
func roundsGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	r, err := newRounds(n)
	if err != nil {
		return nil, err
	}
	q, within := r.reach(p, func(o string) bool { return dy[slices.Index(n.Outputs, o)] != "" })
	if p.found.visits > maxVisits {
		return nil, errTooNested
	}
	q.rounds = r
	v := &reversal{rounds: r, p: p, q: q}
	if err := v.start(dy, within); err != nil {
		return nil, err
	}
	if err := q.sweep(); err != nil {
		return nil, err
	}
	gradients := v.finish()
	prune(q.Graph)
	v.hoist()
	if err := q.recall(v.save); err != nil {
		return nil, err
	}
	v.lift()
	v.write()
	for j := range r.scanned {
		if s := gradients[j]; s != nil {
			p.add(r.input(j), s.name)
		}
	}
	for _, m := range r.products {
		v.multiply(m)
	}
	return nil, nil
}

// start declares what comes into a round: the gradients of the carried values after
// it, and of the pieces it gave.
func (v *reversal) start(dy []string, within map[string]bool) error {
	for i := range v.carried {
		before, after := v.before(i), v.after(i)
		if !within[after] || !v.q.wants(before) {
			continue
		}
		if t := v.q.types.Of(before); t.Kind != onnx.KindTensor {
			return fmt.Errorf("the value %q that it carries is %s, not a tensor", before, t)
		}
		first := ""
		if i < len(dy) {
			first = dy[i]
		}
		v.q.add(after, v.carry(v.node.Inputs[v.lead+i], first, before))
	}
	axes, directions := v.node.Ints("scan_output_axes"), v.node.Ints("scan_output_directions")
	for k := v.carried; k < len(dy); k++ {
		if dy[k] != "" {
			out := v.body.Outputs[v.skip+k].Name
			take := v.take("d_"+out, out)
			v.pieces = append(v.pieces, piece{dy[k], take, at(axes, k-v.carried), 1 - at(directions, k-v.carried)})
			v.q.add(out, take.Name)
		}
	}
	return nil
}

// take declares an input of the body, of the type of a value there.
func (v *reversal) take(hint, like string) onnx.Value {
	t := v.q.types.Of(like)
	return onnx.Value{Name: v.q.Name(hint), Type: onnx.TensorOf(t.Elem, fixed(t.Shape))}
}

// carry adds a carried value, which starts with first, or with zeros, and gives its
// name in the body.
func (v *reversal) carry(of, first, value string) string {
	if first == "" {
		first = v.p.filled(of, 0)
	}
	like := value
	if like == "" {
		like = of
	}
	c := carry{of: of, first: first, take: v.take("d_"+of, like), value: value}
	v.carries = append(v.carries, c)
	return c.take.Name
}

// finish declares what a round gives: the gradients of the carried values before it,
// the sums so far of those from outside, and what is stacked. It gives the stacked
// gradients of the scanned inputs, by their place.
func (v *reversal) finish() map[int]*stack {
	q := v.q
	for _, c := range v.carries {
		d := q.total(c.value)
		if d == "" {
			d = v.zeros(c.take)
		}
		q.give(d, c.take.Type)
	}
	for _, value := range v.outside {
		if d := q.total(value); d != "" && q.wants(value) {
			q.give(q.Op("Add", nil, v.carry(value, "", ""), d), q.types.Of(value))
		}
	}
	gradients := map[int]*stack{}
	axes, directions := v.node.Ints("scan_input_axes"), v.node.Ints("scan_input_directions")
	for j := range v.scanned {
		if d := q.total(v.piece(j)); d != "" && v.p.wants(v.input(j)) {
			gradients[j] = v.stack(d, at(axes, j), 1-at(directions, j), q.types.Of(v.piece(j)))
		}
	}
	for _, m := range v.products {
		v.stack(m.d, 0, 1-v.order, onnx.TensorOf(q.elem(m.matrix), nil))
	}
	return gradients
}

// zeros is a gradient of zero for the next round.
func (v *reversal) zeros(like onnx.Value) string {
	c, err := onnx.FromFloat64s("", like.Type.Elem, []float64{0})
	if err != nil {
		panic("autodiff: " + err.Error())
	}
	return v.q.Op("ConstantOfShape", onnx.Attrs{"value": c}, v.q.Op("Shape", nil, like.Name))
}

// stack gives the stacked output of a value, one for all that want it alike.
func (v *reversal) stack(value string, axis, direction int64, t onnx.Type) *stack {
	for _, s := range v.stacks {
		if s.value == value && s.axis == axis && s.direction == direction {
			return s
		}
	}
	v.q.give(value, t)
	s := &stack{value: value, axis: axis, direction: direction}
	v.stacks = append(v.stacks, s)
	return s
}

// hoist moves what is the same in all rounds, such as the transpose of a weight, out of
// the body.
func (v *reversal) hoist() {
	g := v.q.Graph
	rounds := map[string]bool{} // what depends on the round
	for _, c := range v.carries {
		rounds[c.take.Name] = true
	}
	for _, c := range v.pieces {
		rounds[c.take.Name] = true
	}
	for _, o := range g.Outputs {
		rounds[o.Name] = true // must be made by the body
	}
	local := map[string]bool{} // the forward body's, which is not seen outside
	for _, n := range v.q.nodes {
		for _, o := range n.Outputs {
			local[o] = true
		}
	}
	for _, t := range v.body.Initializers {
		local[t.Name] = true
	}
	depends := func(name string) bool { return rounds[name] || local[name] || v.varying[name] }
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *onnx.Node) bool {
		if slices.ContainsFunc(n.Outputs, depends) || slices.ContainsFunc(n.Reads(), depends) || v.q.random(n) {
			for _, o := range n.Outputs {
				rounds[o] = true
			}
			return false
		}
		v.moveOut(n)
		return true
	})
}

// moveOut adds a node of the body to the graph around it, with the constants it reads.
func (v *reversal) moveOut(n *onnx.Node) {
	reads, g := n.Reads(), v.q.Graph
	v.p.Graph.Nodes = append(v.p.Graph.Nodes, n)
	g.Initializers = slices.DeleteFunc(g.Initializers, func(t *onnx.Tensor) bool {
		out := slices.Contains(reads, t.Name)
		if out {
			v.p.Graph.Initializers = append(v.p.Graph.Initializers, t)
		}
		return out
	})
}

// liftable are operators that treat each element by itself and keep its type.
var liftable = map[string]bool{"Add": true, "Sub": true, "Mul": true, "Div": true, "Neg": true, "Reciprocal": true, "Sqrt": true}

// lift does arithmetic on pieces, such as the slopes of activation functions, once on
// the whole stacks instead.
func (v *reversal) lift() {
	g := v.q.Graph
	whole, shapes := map[string]string{}, map[string]onnx.Shape{}
	for _, c := range v.pieces {
		if c.axis == 0 && c.direction == 1-v.order && c.take.Type.Shape != nil {
			name := c.take.Name
			whole[name], shapes[name] = c.input, c.take.Type.Shape
			if exact := v.q.shape(name); exact != nil {
				shapes[name] = exact
			}
		}
	}
	scalar := map[string]bool{}
	for _, t := range slices.Concat(g.Initializers, v.p.Graph.Initializers) {
		scalar[t.Name] = len(t.Shape) == 0
	}
	given := map[string]bool{}
	for _, o := range g.Outputs {
		given[o.Name] = true
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *onnx.Node) bool {
		var shape onnx.Shape
		for _, in := range n.Inputs {
			switch s := shapes[in]; {
			case scalar[in]:
			case s == nil || shape != nil && !shape.Equal(s):
				return false
			default:
				shape = s
			}
		}
		out := n.Output(0)
		if !liftable[n.OpType()] || shape == nil || given[out] {
			return false
		}
		lifted := n.Clone()
		for i, in := range n.Inputs {
			if !scalar[in] {
				lifted.Inputs[i] = whole[in]
			}
		}
		lifted.Name = v.p.Name(out + "_rounds")
		lifted.Outputs = []string{lifted.Name}
		v.moveOut(lifted)
		whole[out], shapes[out] = lifted.Name, shape
		elem := v.p.float
		for _, c := range v.pieces {
			if slices.Contains(n.Inputs, c.take.Name) {
				elem = c.take.Type.Elem
			}
		}
		take := onnx.Value{Name: out, Type: onnx.TensorOf(elem, fixed(shape))}
		v.pieces = append(v.pieces, piece{lifted.Name, take, 0, 1 - v.order})
		return true
	})
	read := map[string]bool{}
	for _, n := range g.Nodes {
		for _, name := range n.Reads() {
			read[name] = true
		}
	}
	v.pieces = slices.DeleteFunc(v.pieces, func(c piece) bool { return !read[c.take.Name] })
}

// write adds the Scan to the graph of p and the gradients of what is carried.
func (v *reversal) write() {
	if len(v.pieces) == 0 { // something must tell the number of rounds
		if v.node.Op == "Loop" {
			v.save(v.body.Inputs[0].Name)
		} else {
			v.save(v.piece(0))
		}
	}
	attrs := onnx.Attrs{"body": v.q.Graph, "num_scan_inputs": int64(len(v.pieces))}
	list := func(name string, value int64) {
		so, _ := attrs[name].([]int64)
		attrs[name] = append(so, value)
	}
	var inputs []string
	for _, c := range v.carries {
		inputs = append(inputs, c.first)
		v.q.Graph.Inputs = append(v.q.Graph.Inputs, c.take)
	}
	for _, c := range v.pieces {
		inputs = append(inputs, c.input)
		v.q.Graph.Inputs = append(v.q.Graph.Inputs, c.take)
		list("scan_input_axes", c.axis)
		list("scan_input_directions", c.direction)
	}
	for _, s := range v.stacks {
		list("scan_output_axes", s.axis)
		list("scan_output_directions", s.direction)
	}
	outputs := v.p.Ops("Scan", attrs, len(v.carries)+len(v.stacks), inputs...)
	for i, c := range v.carries {
		if v.p.wants(c.of) {
			v.p.add(c.of, outputs[i])
		}
	}
	for i, s := range v.stacks {
		s.name = outputs[len(v.carries)+i]
	}
}

// multiply makes one product of those of all rounds.
func (v *reversal) multiply(m product) {
	shape := v.q.shape(m.matrix)
	d := v.stack(m.d, 0, 1-v.order, onnx.Type{}).name
	rows := v.p.Op("Reshape", nil, v.stacked(m.a), v.p.Ints(-1, shape[0].Size))
	drows := v.p.Op("Reshape", nil, d, v.p.Ints(-1, shape[1].Size))
	v.p.add(m.matrix, v.p.Op("MatMul", nil, v.p.transposed(rows, 2), drows))
}

// save makes a value of the forward body a piece of a scanned input under its own
// name. A value that is the same in all rounds, or differs in its sizes, is not saved.
func (v *reversal) save(value string) bool {
	if slices.ContainsFunc(v.pieces, func(c piece) bool { return c.take.Name == value }) {
		return true
	}
	t := v.q.types.Of(value)
	c := piece{take: onnx.Value{Name: value, Type: onnx.TensorOf(t.Elem, fixed(t.Shape))}}
	j := slices.IndexFunc(v.body.Inputs[v.lead+v.carried:], func(in onnx.Value) bool { return in.Name == value })
	switch {
	case j >= 0:
		c.input = v.input(j)
		c.axis, c.direction = at(v.node.Ints("scan_input_axes"), j), 1-at(v.node.Ints("scan_input_directions"), j)
	case v.savable(v.q, value):
		c.input, c.direction = v.stacked(value), 1-v.order
	default:
		return false
	}
	v.pieces = append(v.pieces, c)
	return true
}

// stacked gives all rounds of a value of the forward body, in order. Where the forward
// node does not give them yet, it is made to.
func (v *reversal) stacked(value string) string {
	n, body := v.node, v.body
	axes, directions := n.Ints("scan_output_axes"), n.Ints("scan_output_directions")
	for len(n.Outputs) < len(body.Outputs)-v.skip {
		n.Outputs = append(n.Outputs, v.p.Name(n.Op))
	}
	same := []string{value}
	for _, m := range body.Nodes {
		if m.Op == "Identity" && m.Inputs[0] == value {
			same = append(same, m.Outputs[0])
		}
	}
	for k, o := range body.Outputs[v.skip:] {
		if s := k - v.carried; s >= 0 && slices.Contains(same, o.Name) && at(axes, s) == 0 && at(directions, s) == v.order {
			if n.Outputs[k] == "" {
				n.Outputs[k] = v.p.Name(n.Op)
			}
			return n.Outputs[k]
		}
	}
	t, name := v.q.types.Of(value), value
	if slices.ContainsFunc(slices.Concat(body.Inputs, body.Outputs), func(o onnx.Value) bool { return o.Name == value }) {
		name = v.p.Name(value + "_saved")
		body.Nodes = append(body.Nodes, &onnx.Node{Name: name, Op: "Identity", Inputs: []string{value}, Outputs: []string{name}})
	}
	body.Outputs = append(body.Outputs, onnx.Value{Name: name, Type: onnx.TensorOf(t.Elem, fixed(t.Shape))})
	n.Outputs = append(n.Outputs, v.p.Name(value+"_rounds"))
	if n.Op == "Scan" {
		last := len(n.Outputs) - 1 - v.carried
		pad := func(list []int64) []int64 { return append(list, make([]int64, max(0, last-len(list)))...) }
		n.Attrs["scan_output_axes"] = append(pad(axes), 0)
		n.Attrs["scan_output_directions"] = append(pad(directions), v.order)
	}
	return n.Outputs[len(n.Outputs)-1]
}
