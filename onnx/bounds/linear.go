package bounds

import (
	"fmt"
	"math"
	"slices"

	"assay/onnx"
)

// backward carries linear functions of a value back to the input: rows of coefficients of
// each value on the way, [batch·rows d…], and the constants that have come together,
// [batch rows] in float64. All is for bounds from below.
type backward struct {
	*bounder
	rows   int64
	relax  bool                // else linear bounds end at nonlinear nodes, and at means
	parts  map[string][]string // contributions to a value's coefficients
	totals []string            // contributions to the constant
}

// lower is what combinations are not below: the bound, [batch rows], and the linear
// functions of the input that it rests on, "" by IBP, with the bounds that these give.
type lower struct{ bound, slopes, linear string }

// below bounds from below the combinations of a value's elements that rows
// [batch rows n] holds.
func (b *bounder) below(v, rows string, count int64) (lower, error) {
	pass := func(relax bool) (lower, error) {
		p := &backward{bounder: b, rows: count, relax: relax, parts: map[string][]string{}}
		p.parts[v] = []string{p.Op("Reshape", nil, rows, p.Ints(append([]int64{-1}, b.sizes(v)...)...))}
		slopes, err := p.sweep()
		total := p.total()
		return lower{total, slopes, total}, err
	}
	low, err := pass(false)
	if err != nil || b.opts.Method == IBP {
		return low, err
	}
	closer, err := pass(true)
	closer.bound = b.Op("Max", nil, low.bound, closer.bound)
	return closer, err
}

// widest is how many values of an example are given linear bounds of their own, each of
// which costs two passes back.
const widest = 1024

// tighten intersects a value's interval with its linear bounds from both sides. What has more
// elements than widest keeps its interval.
func (b *bounder) tighten(v string) error {
	if !b.depends(v) || v == b.input {
		return nil
	}
	n := b.count(v)
	if n > widest {
		return nil
	}
	both := make([]float64, 2*n*n)
	for i := range n {
		both[i*n+i], both[(n+i)*n+i] = 1, -1
	}
	t, err := onnx.FromFloat64s("both", onnx.Float32, both, 1, 2*n, n)
	if err != nil {
		return err
	}
	batch := b.Op("Shape", onnx.Attrs{"start": int64(0), "end": int64(1)}, b.of(b.input).lower)
	shape := b.Op("Concat", onnx.Attrs{"axis": int64(0)}, batch, b.Ints(2*n, n))
	low, err := b.below(v, b.Op("Expand", nil, b.Weight(t), shape), 2*n)
	if err != nil {
		return err
	}
	half := func(from, to int64) string {
		part := b.Op("Slice", nil, low.bound, b.Ints(from), b.Ints(to), b.Ints(1))
		return b.Op("Reshape", nil, part, b.Ints(append([]int64{-1}, b.sizes(v)...)...))
	}
	i := b.of(v)
	b.bounds[v] = interval{
		b.Op("Max", nil, i.lower, half(0, n)),
		b.Op("Min", nil, i.upper, b.Op("Neg", nil, half(n, 2*n))),
	}
	delete(b.mags, v)
	return nil
}

// sweep goes from the last node to the first, and gives the coefficients of the input, "" where
// none is reached.
func (p *backward) sweep() (string, error) {
	for _, n := range slices.Backward(p.nodes) {
		coefficients := make([]string, len(n.Outputs))
		reached := false
		for i, o := range n.Outputs {
			coefficients[i] = p.gathered(o)
			reached = reached || coefficients[i] != ""
		}
		if !reached {
			continue
		}
		if err := p.through(n, coefficients); err != nil {
			return "", fmt.Errorf("linear bounds of %s: %w", n, err)
		}
	}
	a := p.gathered(p.input)
	if a != "" {
		p.ends(p.input, a, p.times(p.mag(p.input), slack))
	}
	return a, nil
}

// gathered sums the contributions to a value's coefficients. Each sum rounds, by no more
// than its terms do.
func (p *backward) gathered(v string) string {
	parts := p.parts[v]
	if len(parts) < 2 {
		if len(parts) == 0 {
			return ""
		}
		return parts[0]
	}
	e := p.times(p.mag(v), slack*float64(len(parts)))
	for _, a := range parts {
		p.term(v, a, "", "", e)
	}
	return p.Op("Sum", nil, parts...)
}

// through carries the coefficients of a node's outputs to its inputs.
func (p *backward) through(n *onnx.Node, a []string) error {
	rule := p.rules[n.OpType()]
	switch {
	case p.affineHere(n) && (p.relax || !rule.mean):
		return p.affine(n, rule, a)
	case p.relax && rule.relax != nil:
		p.line(n, rule, a[0])
	case p.relax && n.Op == "MaxPool" && len(p.sizes(n.Inputs[0])) > 1:
		return p.pool(n, a[0])
	default:
		o := n.Outputs[0]
		p.ends(o, a[0], p.times(p.mag(o), slack))
	}
	return nil
}

// ends takes the worst of a value's interval for each row.
func (p *backward) ends(v, a, e string) {
	if v == p.input && p.opts.Norm != Linf {
		p.ball(a, e)
		return
	}
	i := p.of(v)
	p.term(v, a, i.lower, i.upper, e)
}

// term adds, for each row, Σ over the elements of v of a·lower where a ≥ 0 and a·upper
// where a < 0, less |a|·e: in float64, whose errors are far within e. It is written as
// a·(lower+upper)/2 - |a|·((upper-lower)/2+e), in which nothing is lost that is no number.
// An end that is "" is 0.
func (p *backward) term(v, a, lower, upper, e string) {
	n := p.count(v)
	wide := func(x string) string { return p.Op("Cast", onnx.Attrs{"to": int64(onnx.Float64)}, x) }
	column := func(x string) string { return p.Op("Reshape", nil, x, p.Ints(-1, n, 1)) }
	half := p.Number(onnx.Float64, 0.5)
	a = wide(p.Op("Reshape", nil, a, p.Ints(-1, p.rows, n)))
	width := wide(e)
	switch {
	case lower != "" && lower == upper:
		p.totals = append(p.totals, p.dot(a, column(p.broadcast(wide(lower), v))))
	case lower != "" || upper != "":
		low, high := p.Number(onnx.Float64, 0), p.Number(onnx.Float64, 0)
		if lower != "" {
			low = wide(lower)
		}
		if upper != "" {
			high = wide(upper)
		}
		p.totals = append(p.totals, p.dot(a, column(p.broadcast(p.mul(p.add(low, high), half), v))))
		width = p.add(width, p.mul(p.sub(high, low), half))
	}
	p.totals = append(p.totals, p.Op("Neg", nil, p.dot(p.abs(a), column(p.broadcast(width, v)))))
}

// dot is [batch rows n] by [batch n 1], as [batch rows].
func (p *backward) dot(a, x string) string {
	return p.Op("Squeeze", nil, p.Op("MatMul", nil, a, x), p.Ints(-1))
}

// broadcast gives x an example's whole shape, where it may have less.
func (p *backward) broadcast(x, v string) string {
	return p.Op("Expand", nil, x, p.Ints(append([]int64{1}, p.sizes(v)...)...))
}

// line goes on through a function of one input along the line that the sign asks for.
func (p *backward) line(n *onnx.Node, rule rule, a string) {
	r, ok := p.relaxed[n]
	if !ok {
		r = rule.relax(p.bounder, n)
		p.relaxed[n] = r
	}
	z, y := n.Inputs[0], n.Outputs[0]
	p.term(y, a, r.lowerOffset, r.upperOffset, r.errors)
	perRow := p.Op("Reshape", nil, a, p.Ints(append([]int64{-1, p.rows}, p.sizes(y)...)...))
	slope := func(s string) string { return p.Op("Unsqueeze", nil, s, p.Ints(1)) }
	rising := p.Op("GreaterOrEqual", nil, perRow, p.number(0))
	at := p.mul(perRow, p.Op("Where", nil, rising, slope(r.lowerSlope), slope(r.upperSlope)))
	p.give(z, p.Op("Reshape", nil, at, p.Ints(append([]int64{-1}, p.sizes(z)...)...)))
	p.underflow(z, 1)
}

func (p *backward) give(v, a string) { p.parts[v] = append(p.parts[v], a) }

// underflow is what products below float32's range lose, for coefficients of v that are
// sums of so many.
func (p *backward) underflow(v string, terms int64) {
	sizes := make([]int64, 0, 4)
	for i := range p.sizes(v) {
		sizes = append(sizes, int64(i+1))
	}
	wide := p.Op("Cast", onnx.Attrs{"to": int64(onnx.Float64)}, p.mag(v))
	all := wide
	if len(sizes) > 0 {
		all = p.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, wide, p.Ints(sizes...))
	}
	lost := p.mul(all, p.Number(onnx.Float64, -float64(terms)*0x1p-145))
	p.totals = append(p.totals, p.Op("Unsqueeze", nil, lost, p.Ints(1)))
}

// affine goes on through a node that is affine in what varies: the coefficients of an
// input are the node's vector-Jacobian products.
func (p *backward) affine(n *onnx.Node, rule rule, a []string) error {
	e, ok := p.errors[n]
	if !ok {
		var err error
		if e, err = rule.linear(p.bounder, n); err != nil {
			return err
		}
		p.errors[n] = e
	}
	if e != "" {
		offset := ""
		if hasOffset(n) {
			offset = p.at0(n)
		}
		p.term(n.Outputs[0], a[0], offset, offset, e)
	} else if hasOffset(n) {
		offset := p.at0(n)
		p.term(n.Outputs[0], a[0], offset, offset, p.times(p.abs(offset), slack))
	}
	at := p.variable(n)
	products, err := p.pulledBack(n, at, a)
	if err != nil {
		return err
	}
	for i, product := range products {
		v := n.Inputs[at[i]]
		p.give(v, product)
		p.underflow(v, p.count(n.Outputs[0]))
	}
	return nil
}

// hasOffset reports whether an affine node's value may be other than 0 where what varies is 0.
func hasOffset(n *onnx.Node) bool {
	switch n.Op {
	case "Conv", "ConvTranspose":
		return n.Input(2) != ""
	case "Gemm", "BatchNormalization", "Add", "Sub", "Concat", "Pad":
		return true
	}
	return false
}

// total adds the constants up and rounds them down to float32. What is no number, or
// overflows, is no bound.
func (p *backward) total() string {
	sum := p.totals[0]
	for _, t := range p.totals[1:] {
		sum = p.add(sum, t)
	}
	low := p.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, sum)
	low = p.sub(low, p.add(p.times(p.abs(low), slack), p.number(tiny)))
	finite := p.Op("Less", nil, p.abs(low), p.number(math.MaxFloat32))
	return p.Op("Where", nil, finite, low, p.number(math.Inf(-1)))
}

// ballInputs adds the inputs of a ball.
func (b *bounder) ballInputs() error {
	if b.opts.Norm == Linf {
		return nil
	}
	dims := []any{"batch"}
	for _, d := range b.sizes(b.input) {
		dims = append(dims, d)
	}
	if b.Input(Center, onnx.Float32, dims...) != Center || b.Input(Radius, onnx.Float32, "batch", 1) != Radius {
		return fmt.Errorf("the model has values named %s or %s: rename them", Center, Radius)
	}
	return nil
}

// ball takes the worst of the box or of the ball for each row, whichever is better: by
// Hölder's inequality a·x is at least a·c - ε ‖a‖ with the dual norm.
func (p *backward) ball(a, e string) {
	v := p.input
	before := slices.Clone(p.totals)
	p.totals = nil
	i := p.of(v)
	p.term(v, a, i.lower, i.upper, e)
	box := p.add(p.totals[0], p.totals[1])
	p.totals = nil
	p.term(v, a, Center, Center, e)
	n := p.count(v)
	wide := func(x string) string { return p.Op("Cast", onnx.Attrs{"to": int64(onnx.Float64)}, x) }
	rows := wide(p.Op("Reshape", nil, a, p.Ints(-1, p.rows, n)))
	dual := "ReduceL2"
	if p.opts.Norm == L1 {
		dual = "ReduceMax"
		rows = p.abs(rows)
	}
	norm := p.Op(dual, onnx.Attrs{"keepdims": int64(0)}, rows, p.Ints(-1))
	norm = p.mul(norm, p.Number(onnx.Float64, -(1+0x1p-30)))
	ball := p.add(p.add(p.totals[0], p.totals[1]), p.mul(norm, wide(Radius)))
	before = append(before, p.Op("Max", nil, box, ball))
	p.totals = before
}
