package autodiff

import (
	"math"

	"assay/onnx"
)

// elementwise holds the operators that treat each element by itself, with
// broadcasting.
var elementwise = map[string]operator{
	"Abs":        unary(func(p *pass, n *onnx.Node, x, y string) string { return p.Op("Sign", nil, x) }),
	"Exp":        unary(func(p *pass, n *onnx.Node, x, y string) string { return y }),
	"Log":        unary(func(p *pass, n *onnx.Node, x, y string) string { return p.Op("Reciprocal", nil, x) }),
	"Sqrt":       unary(func(p *pass, n *onnx.Node, x, y string) string { return p.Op("Div", nil, p.number(0.5), y) }),
	"Reciprocal": unary(func(p *pass, n *onnx.Node, x, y string) string { return p.Op("Neg", nil, p.square(y)) }),
	"Sin":        unary(func(p *pass, n *onnx.Node, x, y string) string { return p.Op("Cos", nil, x) }),
	"Cos":        unary(func(p *pass, n *onnx.Node, x, y string) string { return p.Op("Neg", nil, p.Op("Sin", nil, x)) }),
	"Tan":        unary(func(p *pass, n *onnx.Node, x, y string) string { return p.plus(p.square(y), 1) }),
	"Asin":       unary(func(p *pass, n *onnx.Node, x, y string) string { return p.rsqrt(p.minus(1, p.square(x))) }),
	"Acos": unary(func(p *pass, n *onnx.Node, x, y string) string {
		return p.Op("Neg", nil, p.rsqrt(p.minus(1, p.square(x))))
	}),
	"Atan": unary(func(p *pass, n *onnx.Node, x, y string) string {
		return p.Op("Reciprocal", nil, p.plus(p.square(x), 1))
	}),
	"Sinh":  unary(func(p *pass, n *onnx.Node, x, y string) string { return p.Op("Cosh", nil, x) }),
	"Cosh":  unary(func(p *pass, n *onnx.Node, x, y string) string { return p.Op("Sinh", nil, x) }),
	"Asinh": unary(func(p *pass, n *onnx.Node, x, y string) string { return p.rsqrt(p.plus(p.square(x), 1)) }),
	"Acosh": unary(func(p *pass, n *onnx.Node, x, y string) string { return p.rsqrt(p.plus(p.square(x), -1)) }),
	"Atanh": unary(func(p *pass, n *onnx.Node, x, y string) string {
		return p.Op("Reciprocal", nil, p.minus(1, p.square(x)))
	}),
	"Tanh":    unary(func(p *pass, n *onnx.Node, x, y string) string { return p.minus(1, p.square(y)) }),
	"Sigmoid": unary(func(p *pass, n *onnx.Node, x, y string) string { return p.Op("Mul", nil, y, p.minus(1, y)) }),
	"Erf": unary(func(p *pass, n *onnx.Node, x, y string) string {
		return p.times(p.Op("Exp", nil, p.Op("Neg", nil, p.square(x))), 2/math.Sqrt(math.Pi))
	}),
	"Softplus": unary(func(p *pass, n *onnx.Node, x, y string) string { return p.Op("Sigmoid", nil, x) }),
	"Softsign": unary(func(p *pass, n *onnx.Node, x, y string) string {
		return p.Op("Reciprocal", nil, p.square(p.plus(p.Op("Abs", nil, x), 1)))
	}),
	"Elu": unary(func(p *pass, n *onnx.Node, x, y string) string {
		alpha := float64(n.Float("alpha", 1)) // for x ≤ 0: α·eˣ = y + α
		return p.Op("Where", nil, p.positive(x), p.number(1), p.plus(y, alpha))
	}),
	"Selu": unary(func(p *pass, n *onnx.Node, x, y string) string {
		alpha := float64(n.Float("alpha", 1.67326319217681884765625))
		gamma := float64(n.Float("gamma", 1.05070102214813232421875))
		return p.Op("Where", nil, p.positive(x), p.number(gamma), p.plus(y, alpha*gamma))
	}),
	"Celu": unary(func(p *pass, n *onnx.Node, x, y string) string {
		alpha := float64(n.Float("alpha", 1)) // for x ≤ 0: e^(x/α) = y/α + 1
		return p.Op("Where", nil, p.positive(x), p.number(1), p.plus(p.times(y, 1/alpha), 1))
	}),
	"LeakyRelu": unary(func(p *pass, n *onnx.Node, x, y string) string {
		return p.Op("Where", nil, p.positive(x), p.number(1), p.number(float64(n.Float("alpha", 0.01))))
	}),
	"ThresholdedRelu": unary(func(p *pass, n *onnx.Node, x, y string) string {
		return p.cast(p.Op("Greater", nil, x, p.number(float64(n.Float("alpha", 1)))))
	}),
	"HardSigmoid": unary(func(p *pass, n *onnx.Node, x, y string) string {
		return p.times(p.inside(y, 0, 1), float64(n.Float("alpha", 0.2)))
	}),
	"HardSwish": unary(func(p *pass, n *onnx.Node, x, y string) string {
		slope := p.plus(p.times(x, 1.0/3), 0.5) // x·(x+3)/6 between -3 and 3
		above := p.cast(p.Op("GreaterOrEqual", nil, x, p.number(3)))
		return p.Op("Where", nil, p.Op("Less", nil, p.Op("Abs", nil, x), p.number(3)), slope, above)
	}),
	"Gelu":  {gradient: geluGradient},
	"Mish":  unary(mishSlope),
	"Swish": unary(swishSlope),
	"Shrink": unary(func(p *pass, n *onnx.Node, x, y string) string {
		return p.cast(p.Op("Greater", nil, p.Op("Abs", nil, x), p.number(float64(n.Float("lambd", 0.5)))))
	}),
	"Relu":     {gradient: reluGradient},
	"Clip":     {gradient: clipGradient},
	"PRelu":    {gradient: preluGradient},
	"Identity": {gradient: func(p *pass, n *onnx.Node, dy []string) ([]string, error) { return dy, nil }},
	"Neg": {gradient: func(p *pass, n *onnx.Node, dy []string) ([]string, error) {
		return []string{p.Op("Neg", nil, dy[0])}, nil
	}},

	"Add": {gradient: func(p *pass, n *onnx.Node, dy []string) ([]string, error) {
		return p.broadcast(n, dy[0], dy[0]), nil
	}},
	"Sub": {gradient: func(p *pass, n *onnx.Node, dy []string) ([]string, error) {
		d := ""
		if p.wants(n.Inputs[1]) {
			d = p.Op("Neg", nil, dy[0])
		}
		return p.broadcast(n, dy[0], d), nil
	}},
	"Mul":  {gradient: mulGradient},
	"Div":  {gradient: divGradient},
	"Pow":  {gradient: powGradient},
	"Mod":  {gradient: modGradient},
	"Sum":  {gradient: sumGradient},
	"Mean": {gradient: meanGradient},
	"Max":  {gradient: extremeGradient},
	"Min":  {gradient: extremeGradient},
	"Where": {gradient: func(p *pass, n *onnx.Node, dy []string) ([]string, error) {
		zero, a, b := p.number(0), "", ""
		if p.wants(n.Inputs[1]) {
			a = p.Op("Where", nil, n.Inputs[0], dy[0], zero)
		}
		if p.wants(n.Inputs[2]) {
			b = p.Op("Where", nil, n.Inputs[0], zero, dy[0])
		}
		return p.broadcast(n, "", a, b), nil
	}},
	"Cast":     {gradient: castGradient},
	"CastLike": {gradient: castGradient},

	"Floor": {zero: true}, "Ceil": {zero: true}, "Round": {zero: true}, "Sign": {zero: true},
	"Equal": {zero: true}, "Greater": {zero: true}, "GreaterOrEqual": {zero: true},
	"Less": {zero: true}, "LessOrEqual": {zero: true}, "IsInf": {zero: true}, "IsNaN": {zero: true},
	"And": {zero: true}, "Or": {zero: true}, "Xor": {zero: true}, "Not": {zero: true},
	"BitwiseAnd": {zero: true}, "BitwiseOr": {zero: true}, "BitwiseXor": {zero: true},
	"BitwiseNot": {zero: true}, "BitShift": {zero: true},
}

// unary is an operator y = f(x) with the slope f'(x) made from x and y.
func unary(slope func(p *pass, n *onnx.Node, x, y string) string) operator {
	return operator{gradient: func(p *pass, n *onnx.Node, dy []string) ([]string, error) {
		return []string{p.Op("Mul", nil, dy[0], slope(p, n, n.Inputs[0], n.Outputs[0]))}, nil
	}}
}

// Arithmetic that the slopes are written in.

func (p *pass) square(x string) string           { return p.Op("Mul", nil, x, x) }
func (p *pass) plus(x string, c float64) string  { return p.Op("Add", nil, x, p.number(c)) }
func (p *pass) times(x string, c float64) string { return p.Op("Mul", nil, x, p.number(c)) }
func (p *pass) minus(c float64, x string) string { return p.Op("Sub", nil, p.number(c), x) }
func (p *pass) rsqrt(x string) string            { return p.Op("Reciprocal", nil, p.Op("Sqrt", nil, x)) }

// cast makes 0 and 1 of a truth value.
func (p *pass) cast(truth string) string {
	return p.Op("Cast", onnx.Attrs{"to": int64(p.float)}, truth)
}

// positive is the truth of x > 0.
func (p *pass) positive(x string) string { return p.Op("Greater", nil, x, p.number(0)) }

// inside is 1 where low < y < high, else 0.
func (p *pass) inside(y string, low, high float64) string {
	return p.cast(p.Op("And", nil,
		p.Op("Greater", nil, y, p.number(low)), p.Op("Less", nil, y, p.number(high))))
}

// broadcast sums the gradients of a node's inputs, given in the output's shape,
// over what each was broadcast along.
func (p *pass) broadcast(n *onnx.Node, grads ...string) []string {
	out := make([]string, len(grads))
	for i, d := range grads {
		if d != "" && p.wants(n.Inputs[i]) {
			out[i] = p.sumTo(d, n.Inputs[i], n.Outputs[0])
		}
	}
	return out
}

// reluGradient passes dy on where y > 0. Where values are kept in the blocked
// layout the mask is a product with a huge number, cut to 0 … 1. That differs from a
// comparison only for 0 < y < 3e-39, numbers that float32 does not hold at full
// precision.
func reluGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	y := n.Outputs[0]
	if !p.blocked(y) {
		return []string{p.Op("Mul", nil, dy[0], p.cast(p.positive(y)))}, nil
	}
	huge := p.depthwise(y, y, math.MaxFloat32)
	return []string{p.Op("Mul", nil, dy[0], p.Op("Clip", nil, huge, p.number(0), p.number(1)))}, nil
}

// clipGradient passes dy on where low ≤ x ≤ high, the bounds included, as PyTorch
// does, and to the bound that holds x elsewhere: high wherever low is above it.
func clipGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x, low, high := n.Inputs[0], n.Input(1), n.Input(2)
	mask := func(op, a, b string) string { return p.cast(p.Op(op, nil, a, b)) }
	grads := make([]string, len(n.Inputs))
	grads[0] = dy[0]
	if low != "" {
		grads[0] = p.Op("Mul", nil, grads[0], mask("GreaterOrEqual", x, low))
	}
	if high != "" {
		grads[0] = p.Op("Mul", nil, grads[0], mask("LessOrEqual", x, high))
	}
	if p.wants(high) {
		raised := x
		if low != "" {
			raised = p.Op("Max", nil, x, low)
		}
		grads[2] = p.Op("Mul", nil, dy[0], mask("Greater", raised, high))
	}
	if p.wants(low) {
		grads[1] = p.Op("Mul", nil, dy[0], mask("Less", x, low))
		if high != "" {
			grads[1] = p.Op("Mul", nil, grads[1], mask("LessOrEqual", low, high))
		}
	}
	return p.broadcast(n, grads...), nil
}

func preluGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x, slope := n.Inputs[0], n.Inputs[1]
	var dx, ds string
	if p.wants(x) {
		dx = p.Op("Mul", nil, dy[0], p.Op("Where", nil, p.positive(x), p.number(1), slope))
	}
	if p.wants(slope) {
		ds = p.Op("Mul", nil, dy[0], p.Op("Min", nil, x, p.number(0)))
	}
	return p.broadcast(n, dx, ds), nil
}

// geluGradient differentiates x·Φ(x), or its tanh approximation (Hendrycks and
// Gimpel 2016, arXiv:1606.08415), in as few passes over memory as may be. With
// z = x/√2 the slope of the first is (1 + erf z + x·√(2/π)/e^(z²))/2. The second is
// x·σ(w) with w = x·a and a = √(8/π)·(1 + 0.044715·x²), which has the slope
// s·(1 + (1-s)·x·w') with s = σ(w) and w' = 3a - 2√(8/π).
func geluGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x := n.Inputs[0]
	var slope string
	if n.Text("approximate", "none") == "tanh" {
		root := math.Sqrt(8 / math.Pi)
		a := p.plus(p.times(p.square(x), 0.044715*root), root)
		s := p.Op("Sigmoid", nil, p.Op("Mul", nil, x, a))
		rise := p.Op("Mul", nil, x, p.plus(p.times(a, 3), -2*root))
		slope = p.Op("Mul", nil, s, p.plus(p.Op("Mul", nil, rise, p.minus(1, s)), 1))
	} else {
		z := p.times(x, math.Sqrt(0.5))
		density := p.Op("Div", nil, p.times(x, math.Sqrt(2/math.Pi)), p.Op("Exp", nil, p.square(z)))
		slope = p.times(p.plus(p.Op("Add", nil, p.Op("Erf", nil, z), density), 1), 0.5)
	}
	return []string{p.Op("Mul", nil, dy[0], slope)}, nil
}

// mishSlope differentiates x·tanh(softplus(x)).
func mishSlope(p *pass, n *onnx.Node, x, y string) string {
	t := p.Op("Tanh", nil, p.Op("Softplus", nil, x))
	return p.Op("Add", nil, t, p.Op("Mul", nil, x,
		p.Op("Mul", nil, p.minus(1, p.square(t)), p.Op("Sigmoid", nil, x))))
}

// swishSlope differentiates x·σ(αx): σ(αx)·(1 + αx·(1-σ(αx))).
func swishSlope(p *pass, n *onnx.Node, x, y string) string {
	ax := x
	if alpha := float64(n.Float("alpha", 1)); alpha != 1 {
		ax = p.times(x, alpha)
	}
	s := p.Op("Sigmoid", nil, ax)
	return p.Op("Mul", nil, s, p.plus(p.Op("Mul", nil, ax, p.minus(1, s)), 1))
}

func mulGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	var d [2]string
	for i, other := range []string{n.Inputs[1], n.Inputs[0]} {
		if p.wants(n.Inputs[i]) {
			d[i] = p.Op("Mul", nil, dy[0], other)
		}
	}
	return p.broadcast(n, d[:]...), nil
}

func divGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	by := p.Op("Div", nil, dy[0], n.Inputs[1])
	d := ""
	if p.wants(n.Inputs[1]) {
		d = p.Op("Neg", nil, p.Op("Mul", nil, by, n.Outputs[0]))
	}
	return p.broadcast(n, by, d), nil
}

// powGradient differentiates x^e. The exponent may have another type than x. A
// constant whole exponent gives e·x^(e-1), which holds for negative x too; the
// gradient of the exponent is taken as 0 where x ≤ 0, as PyTorch does.
func powGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x, e := n.Inputs[0], n.Inputs[1]
	ex := e
	if p.elem(e) != p.elem(x) {
		ex = p.Op("Cast", onnx.Attrs{"to": int64(p.elem(x))}, e)
	}
	var dx, de string
	if p.wants(x) {
		lower := p.Op("Pow", nil, x, p.plus(ex, -1))
		// 0·x^(-1) would be NaN at x = 0, where x^0 is the constant 1.
		slope := p.Op("Where", nil, p.Op("Equal", nil, ex, p.number(0)), p.number(0), p.Op("Mul", nil, ex, lower))
		dx = p.Op("Mul", nil, dy[0], slope)
	}
	if p.wants(e) {
		safe := p.Op("Where", nil, p.positive(x), x, p.number(1))
		de = p.Op("Mul", nil, dy[0], p.Op("Mul", nil, n.Outputs[0], p.Op("Log", nil, safe)))
		if p.elem(e) != p.elem(x) {
			de = p.Op("Cast", onnx.Attrs{"to": int64(p.elem(e))}, de)
		}
	}
	return p.broadcast(n, dx, de), nil
}

// modGradient differentiates fmod(a, b) = a - b·trunc(a/b).
func modGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	d := ""
	if p.wants(n.Inputs[1]) {
		whole := p.Op("Round", nil, p.Op("Div", nil, p.Op("Sub", nil, n.Inputs[0], n.Outputs[0]), n.Inputs[1]))
		d = p.Op("Neg", nil, p.Op("Mul", nil, dy[0], whole))
	}
	return p.broadcast(n, dy[0], d), nil
}

func sumGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	all := make([]string, len(n.Inputs))
	for i := range all {
		all[i] = dy[0]
	}
	return p.broadcast(n, all...), nil
}

func meanGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	share := p.times(dy[0], 1/float64(len(n.Inputs)))
	return sumGradient(p, n, []string{share})
}

// extremeGradient passes dy to the input that is the greatest or least; inputs
// that tie share it, so that the whole stays a subgradient.
func extremeGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	if len(n.Inputs) == 1 {
		return dy, nil
	}
	masks := make([]string, len(n.Inputs))
	for i, x := range n.Inputs {
		masks[i] = p.cast(p.Op("Equal", nil, x, n.Outputs[0]))
	}
	share := p.Op("Div", nil, dy[0], p.Op("Sum", nil, masks...))
	grads := make([]string, len(masks))
	for i, mask := range masks {
		grads[i] = p.Op("Mul", nil, share, mask)
	}
	return p.broadcast(n, grads...), nil
}

// castGradient casts back. A cast to or from whole numbers lets nothing through,
// but for those that carry a gradient, as float32.
func castGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	from := p.elem(n.Inputs[0])
	if !from.IsFloat() {
		from = onnx.Float32
	}
	if from == p.float || !p.wants(n.Inputs[0]) {
		return dy, nil
	}
	return []string{p.Op("Cast", onnx.Attrs{"to": int64(from)}, dy[0])}, nil
}
