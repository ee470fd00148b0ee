package autodiff

import (
	"errors"
	"slices"

	"assay/onnx"
)

// rounds is a Scan or a Loop, which run their body over and over. Input i of the node
// is input i of the body in the first round.
//
// Its gradient is a Scan that runs through the rounds from last to first. It carries
// the gradients of the carried values and the sums of the gradients of what the body
// takes from outside, and gives those of each round's pieces of scanned inputs. The
// values of a round that it needs are made further outputs of the forward node; the
// technique is backpropagation through time (Werbos 1990, Proceedings of the IEEE
// 78(10)).
type rounds struct {
	node    *onnx.Node
	body    *onnx.Graph
	lead    int // inputs of the body before the carried values: a Loop's round and condition
	skip    int // outputs of the body before them: a Loop's condition
	carried int
	scanned int

	outside []string        // what the body takes from the graphs around it
	varying map[string]bool // values of the body that differ from round to round

	// order is 1 where saved pieces are stacked from the last round to the first. It is
	// that of the first scanned input, so that all stand in the same order.
	order int64

	products []product
}

// product is the gradient aᵀ·d of a matrix from outside in each round; the sum of all
// rounds is one product of the stacked factors.
type product struct{ matrix, a, d string }

// newRounds checks that the parts of a node fit together.
func newRounds(n *onnx.Node) (*rounds, error) {
	r := &rounds{node: n, body: n.Graph("body"), varying: map[string]bool{}}
	if r.body == nil {
		return nil, errors.New("it has no body")
	}
	if n.Op == "Loop" {
		r.lead, r.skip = 2, 1
	} else {
		r.scanned = int(n.Int("num_scan_inputs", 0))
		r.order = at(n.Ints("scan_input_directions"), 0)
	}
	r.carried = len(n.Inputs) - r.lead - r.scanned
	if r.carried < 0 || r.scanned < 0 || len(r.body.Inputs) != len(n.Inputs) ||
		len(r.body.Outputs) < r.skip+max(r.carried, len(n.Outputs)) {
		return nil, errors.New("its body does not take its inputs and give its outputs")
	}
	r.outside = r.body.Captures()
	return r, nil
}

// before and after are the names in the body of carried value i as a round takes and
// gives it.
func (r *rounds) before(i int) string { return r.body.Inputs[r.lead+i].Name }
func (r *rounds) after(i int) string  { return r.body.Outputs[r.skip+i].Name }

// piece is the name in the body of a round's piece of scanned input j.
func (r *rounds) piece(j int) string { return r.body.Inputs[r.lead+r.carried+j].Name }

// input is the scanned input j itself.
func (r *rounds) input(j int) string { return r.node.Inputs[r.lead+r.carried+j] }

// at is the i-th of a list of axes or directions, 0 beyond its end.
func at(list []int64, i int) int64 {
	if i < len(list) {
		return list[i]
	}
	return 0
}

// reach gives a pass over the body, and which of its values are reached from outputs
// of the node, in whichever round.
func (r *rounds) reach(p *pass, reached func(output string) bool) (q *pass, within map[string]bool) {
	var inputs []string
	for i, in := range r.body.Inputs {
		if i >= r.lead && p.active[r.node.Inputs[i]] {
			inputs = append(inputs, in.Name)
		}
	}
	for grown := true; grown; {
		q, grown = p.inner(r.body, inputs), false
		for i := range r.carried {
			if q.active[r.after(i)] && !q.active[r.before(i)] {
				inputs, grown = append(inputs, r.before(i)), true
			}
		}
	}
	r.vary(q)
	within = map[string]bool{}
	for i, o := range r.node.Outputs {
		if o != "" && reached(o) {
			within[r.body.Outputs[r.skip+i].Name] = true
		}
	}
	for grown := true; grown; {
		q.walk(within)
		grown = false
		for i := range r.carried {
			if within[r.before(i)] && !within[r.after(i)] {
				within[r.after(i)], grown = true, true
			}
		}
	}
	return q, within
}

// roundsInside walks the body.
func roundsInside(p *pass, n *onnx.Node, reached map[string]bool) string {
	r, err := newRounds(n)
	if err != nil {
		return err.Error()
	}
	if n.Op == "Loop" && !r.counted(p) {
		return "its number of iterations is known only when it runs"
	}
	q, within := r.reach(p, func(o string) bool { return reached[o] })
	if n.Op == "Loop" && !r.steady(p, q, within) {
		p.found.compose(composite{n, p.graph, p.types, unroll})
	}
	for i, in := range r.body.Inputs {
		if i >= r.lead && within[in.Name] {
			reached[n.Inputs[i]] = true
		}
	}
	for _, v := range r.outside {
		reached[v] = reached[v] || within[v]
	}
	return ""
}

// counted reports whether a Loop runs a fixed number of rounds.
func (r *rounds) counted(p *pass) bool {
	always := func(q func(string) *onnx.Tensor, condition string) bool {
		if c := q(condition); c != nil {
			v, err := c.Int64s()
			return err == nil && len(v) == 1 && v[0] != 0
		}
		return false
	}
	trips, condition := r.node.Inputs[0], r.node.Inputs[1]
	if trips == "" || p.types.Constant(trips) == nil || condition != "" && !always(p.types.Constant, condition) {
		return false
	}
	again := r.body.Outputs[0].Name
	for _, n := range slices.Backward(r.body.Nodes) {
		if n.Op == "Identity" && n.Outputs[0] == again {
			again = n.Inputs[0]
		}
	}
	return again == r.body.Inputs[1].Name || always(p.types.Inside(r.body).Constant, again)
}

// vary finds the values that differ from round to round.
func (r *rounds) vary(q *pass) {
	for _, in := range r.body.Inputs {
		r.varying[in.Name] = true
	}
	for _, n := range q.nodes {
		if q.random(n) || slices.ContainsFunc(n.Reads(), func(v string) bool { return r.varying[v] }) {
			for _, o := range n.Outputs {
				r.varying[o] = o != ""
			}
		}
	}
}

// savable reports whether all rounds of a value can be stacked: it is a tensor that
// differs from round to round, but not in its sizes.
func (r *rounds) savable(q *pass, value string) bool {
	t := q.types.Of(value)
	if t.Kind != onnx.KindTensor || t.Shape == nil || !r.varying[value] {
		return false
	}
	params := map[string]bool{"": false}
	know := func(v string) {
		for _, d := range q.shape(v) {
			params[d.Param] = d.Param != ""
		}
	}
	for _, in := range r.body.Inputs {
		know(in.Name)
	}
	for _, v := range r.outside {
		know(v)
	}
	return !slices.ContainsFunc(t.Shape, func(d onnx.Dim) bool { return !d.Known() && !params[d.Param] })
}

// postpone leaves the gradient aᵀ·d of a matrix to one product after all rounds. It
// does not where p is not the body of rounds, or the matrix is the body's own.
func (p *pass) postpone(matrix, a, d string) bool {
	r, shape := p.rounds, p.shape(matrix)
	if r == nil || len(p.shape(a)) != 2 || len(shape) != 2 || !shape[0].Known() || !shape[1].Known() ||
		!slices.Contains(r.outside, matrix) || !r.savable(p, a) {
		return false
	}
	r.products = append(r.products, product{matrix, a, d})
	return true
}
