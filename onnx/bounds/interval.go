package bounds

import (
	"math"
	"slices"

	"assay/onnx"
)

func (b *bounder) number(x float64) string { return b.Number(onnx.Float32, x) }
func (b *bounder) rounded(x float64) string {
	return b.number(float64(up(x)))
}
func (b *bounder) add(x, y string) string { return b.Op("Add", nil, x, y) }
func (b *bounder) sub(x, y string) string { return b.Op("Sub", nil, x, y) }
func (b *bounder) mul(x, y string) string { return b.Op("Mul", nil, x, y) }
func (b *bounder) abs(x string) string    { return b.Op("Abs", nil, x) }

// times multiplies by a number that may be rounded up.
func (b *bounder) times(x string, k float64) string { return b.mul(x, b.rounded(k)) }

// again adds a node like n with other inputs.
func (b *bounder) again(n *onnx.Node, inputs ...string) []string {
	outputs := make([]string, len(n.Outputs))
	for i, o := range n.Outputs {
		if o != "" {
			outputs[i] = b.Name(n.Op)
		}
	}
	c := n.Clone()
	b.Graph.Nodes = append(b.Graph.Nodes, &onnx.Node{Name: outputs[0], Op: n.Op, Domain: n.Domain, Inputs: inputs, Outputs: outputs, Attrs: c.Attrs})
	return outputs
}

// with gives the node's inputs, those that depend on the model's replaced.
func (b *bounder) with(n *onnx.Node, by func(v string) string) []string {
	inputs := slices.Clone(n.Inputs)
	for _, i := range b.variable(n) {
		inputs[i] = by(inputs[i])
	}
	return inputs
}

func (b *bounder) set(n *onnx.Node, lower, upper string) {
	b.bounds[n.Outputs[0]] = interval{lower, upper}
}

// around sets an interval that is e wider than given on both sides. Where e is so large
// that something may have overflowed the example has no bounds: see [bounder.known].
func (b *bounder) around(n *onnx.Node, lower, upper, e string) {
	var axes []int64
	for i := range b.sizes(n.Outputs[0]) {
		axes = append(axes, int64(i+1))
	}
	total := e
	if axes != nil {
		total = b.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, e, b.Ints(axes...))
	}
	b.wide = append(b.wide, total)
	b.set(n, b.sub(lower, e), b.add(upper, e))
}

// known gives a bound, or without where an example's values may have overflowed.
func (b *bounder) known(bound string, rank int, without float64) string {
	if len(b.wide) == 0 {
		return bound
	}
	shape := slices.Repeat([]int64{1}, rank)
	shape[0] = -1
	sound := b.Op("Less", nil, b.Op("Sum", nil, b.wide...), b.number(most))
	return b.Op("Where", nil, b.Op("Reshape", nil, sound, b.Ints(shape...)), bound, b.number(without))
}

// filled is an example of the shape of a value, filled with x; the runtime makes it when
// the session starts.
func (b *bounder) filled(v string, x float64) string {
	t, err := onnx.FromFloat64s("", onnx.Float32, []float64{x}, 1)
	if err != nil {
		panic("bounds: " + err.Error())
	}
	shape := append([]int64{1}, b.sizes(v)...)
	return b.Op("ConstantOfShape", onnx.Attrs{"value": t}, b.Ints(shape...))
}

// at0 is the node's value where all that depends on the model's input is 0.
func (b *bounder) at0(n *onnx.Node) string {
	return b.again(n, b.with(n, func(v string) string { return b.filled(v, 0) })...)[0]
}

// center gives the middle of a value's interval, and half its width.
func (b *bounder) center(v string) (middle, radius, double string) {
	i := b.of(v)
	double = b.add(i.lower, i.upper)
	return b.mul(double, b.number(0.5)), b.mul(b.sub(i.upper, i.lower), b.number(0.5)), double
}

// affine is for sums of products with constants: the weights carry the middle of the
// interval, their magnitudes its radius and the errors.
func affine(b *bounder, n *onnx.Node) error {
	g, err := gamma(b.terms(n, false))
	if err != nil {
		return err
	}
	x := n.Inputs[b.variable(n)[0]]
	i := b.of(x)
	double := b.add(i.lower, i.upper)
	var radius string // R of the ADR
	if b.positive[x] {
		radius = b.sub(b.times(i.upper, (1+2*g)/2), b.mul(i.lower, b.number(0.5)))
	} else {
		radius = b.add(b.times(b.sub(i.upper, i.lower), (1+g)/2), b.times(b.abs(double), g/2))
	}
	middle := b.mul(double, b.number(0.5))
	y := b.again(n, b.with(n, func(string) string { return middle })...)[0]
	b.around(n, y, y, b.add(b.absolute(n, radius), b.floor(n, g)))
	return nil
}

// absolute is the linear part of the node with the magnitudes of its weights.
func (b *bounder) absolute(n *onnx.Node, x string) string {
	switch n.Op {
	case "BatchNormalization":
		return b.mul(x, b.abs(b.normScale(n)))
	case "MatMul":
		inputs := []string{x, x}
		weight := 1 - b.variable(n)[0]
		inputs[weight] = b.abs(n.Inputs[weight])
		return b.again(n, inputs...)[0]
	case "Gemm":
		n = n.Clone()
		n.Attrs["alpha"] = float32(math.Abs(float64(n.Float("alpha", 1))))
	}
	return b.again(n, x, b.abs(n.Inputs[1]))[0]
}

// normScale is what batch normalisation multiplies each channel by, to be broadcast.
func (b *bounder) normScale(n *onnx.Node) string {
	deviation := b.Op("Sqrt", nil, b.add(n.Inputs[4], b.number(float64(n.Float("epsilon", 1e-5)))))
	return b.perChannel(n, b.Op("Div", nil, n.Inputs[1], deviation))
}

func (b *bounder) perChannel(n *onnx.Node, v string) string {
	shape := slices.Repeat([]int64{1}, len(b.types.Shape(n.Inputs[0])))
	shape[1] = -1
	return b.Op("Reshape", nil, v, b.Ints(shape...))
}

// floor is the part of the error that does not depend on the input: the bias's, and
// underflow's here and in the input.
func (b *bounder) floor(n *onnx.Node, g float64) string {
	bias := b.abs(b.at0(n))
	if n.Op == "BatchNormalization" { // which may subtract the mean after scaling it
		shift := b.abs(b.mul(b.normScale(n), b.perChannel(n, n.Inputs[3])))
		bias = b.add(bias, b.add(shift, b.abs(b.perChannel(n, n.Inputs[2]))))
	}
	under := b.absolute(n, b.filled(n.Inputs[b.variable(n)[0]], tiny))
	return b.add(b.add(under, b.times(bias, g)), b.number(tiny))
}

func affineError(b *bounder, n *onnx.Node) (string, error) {
	g, err := gamma(b.terms(n, true))
	if err != nil {
		return "", err
	}
	x := n.Inputs[b.variable(n)[0]]
	return b.add(b.absolute(n, b.times(b.mag(x), g)), b.floor(n, g)), nil
}

func noError(*bounder, *onnx.Node) (string, error) { return "", nil }

// monotone is for what rises with each of its inputs and does not round.
func monotone(b *bounder, n *onnx.Node) error {
	lower := b.again(n, b.with(n, func(v string) string { return b.of(v).lower })...)
	upper := b.again(n, b.with(n, func(v string) string { return b.of(v).upper })...)
	for i, o := range n.Outputs {
		if o != "" {
			b.bounds[o] = interval{lower[i], upper[i]}
			b.positive[o] = n.Op == "Relu" || len(n.Inputs) == 1 && b.positive[n.Inputs[0]]
		}
	}
	return nil
}

func averaged(b *bounder, n *onnx.Node) error {
	lower := b.again(n, b.with(n, func(v string) string { return b.of(v).lower })...)[0]
	upper := b.again(n, b.with(n, func(v string) string { return b.of(v).upper })...)[0]
	e, err := averageError(b, n)
	if err != nil {
		return err
	}
	b.around(n, lower, upper, e)
	return nil
}

func averageError(b *bounder, n *onnx.Node) (string, error) {
	g, err := gamma(b.terms(n, true))
	if err != nil {
		return "", err
	}
	return b.add(b.times(b.again(n, b.with(n, b.mag)...)[0], g), b.number(tiny)), nil
}

func sum(b *bounder, n *onnx.Node) error {
	x, y := b.of(n.Inputs[0]), b.of(n.Inputs[1])
	if n.Op == "Sub" {
		y.lower, y.upper = y.upper, y.lower
	}
	e, _ := sumError(b, n)
	b.around(n, b.Op(n.Op, nil, x.lower, y.lower), b.Op(n.Op, nil, x.upper, y.upper), e)
	return nil
}

func sumError(b *bounder, n *onnx.Node) (string, error) {
	return b.times(b.add(b.mag(n.Inputs[0]), b.mag(n.Inputs[1])), slack), nil
}

func negated(b *bounder, n *onnx.Node) error {
	x := b.of(n.Inputs[0])
	b.set(n, b.Op("Neg", nil, x.upper), b.Op("Neg", nil, x.lower))
	return nil
}

// product is for Mul and for Div by a constant: the extremes are at the ends.
func product(b *bounder, n *onnx.Node) error {
	x, y := b.of(n.Inputs[0]), b.of(n.Inputs[1])
	var ends []string
	for _, p := range []string{x.lower, x.upper} {
		for _, q := range []string{y.lower, y.upper} {
			ends = append(ends, b.Op(n.Op, nil, p, q))
			if y.lower == y.upper {
				break
			}
		}
		if x.lower == x.upper {
			break
		}
	}
	e, _ := productError(b, n)
	b.around(n, b.Op("Min", nil, ends...), b.Op("Max", nil, ends...), e)
	return nil
}

func productError(b *bounder, n *onnx.Node) (string, error) {
	e := b.Op(n.Op, nil, b.mag(n.Inputs[0]), b.mag(n.Inputs[1]))
	return b.add(b.times(e, slack), b.number(tiny)), nil
}

// matMul is affine where one matrix is constant. Two that both vary, as in attention,
// are (c+r)(d+s) with middles c, d and radii r, s: it is within
// (|c|+r) s + r |d| of c d.
func matMul(b *bounder, n *onnx.Node) error {
	if len(b.variable(n)) == 1 {
		return affine(b, n)
	}
	g, err := gamma(b.terms(n, false))
	if err != nil {
		return err
	}
	c, r, _ := b.center(n.Inputs[0])
	d, s, _ := b.center(n.Inputs[1])
	widen := func(r, c string) string { return b.add(b.add(b.times(r, 1+g), b.times(b.abs(c), g)), b.number(tiny)) }
	r, s = widen(r, c), widen(s, d)
	size, other := b.add(b.abs(c), r), b.abs(d)
	s = b.add(s, b.times(b.add(other, s), g))
	e := b.add(b.again(n, size, s)[0], b.again(n, b.times(r, 1+g), other)[0])
	y := b.again(n, c, d)[0]
	b.around(n, y, y, b.add(e, b.number(tiny)))
	return nil
}
