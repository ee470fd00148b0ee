package autodiff

import (
	"fmt"
	"maps"
	"slices"

	"assay/onnx"
)

// Surrogates has gradients taken through steps that have none, or one that leads nowhere: a node such as Round gives that
// of the identity, a comparison that of the difference, Hardmax and ArgMax those of a softmax. It is the
// backward pass differentiable approximation (Athalye et al. 2018, arXiv:1802.00420, section 4), by which an attack
// gets past what only hides the gradient; the forward pass stays as it is. The Gradients name these nodes as
// StraightThrough. Marked are the outputs of further nodes, of whatever operator, to be taken for the identity of their
// first input, which must be of the same shape. It is to be called before the first gradient.
func (g *Graph) Surrogates(marked ...string) {
	g.rules = &ruleSet{table: softened, soft: true, marked: map[string]bool{}}
	for _, name := range marked {
		g.rules.marked[name] = true
	}
}

// ruleSet is the rules that a pass goes by.
type ruleSet struct {
	table  map[string]operator
	soft   bool            // truth values carry gradients too
	marked map[string]bool // outputs of nodes that count as the identity
}

var exactRules = &ruleSet{table: operators}

func (r *ruleSet) of(n *onnx.Node) operator {
	if r.marked[n.Output(0)] {
		return identity
	}
	return r.table[n.OpType()]
}

// replaces reports whether a node gets a gradient that is not its own.
func (p *pass) replaces(n *onnx.Node, op operator) bool {
	if !op.straight || n.Op != "Cast" || p.rules.marked[n.Output(0)] {
		return op.straight
	}
	from, to := p.elem(n.Inputs[0]), p.elem(n.Outputs[0])
	return from.IsFloat() && !to.IsFloat()
}

// softened is the rules with those of surrogates in place of what stops a gradient. Those of arithmetic are
// made to do for whole numbers that carry one.
var softened = func() map[string]operator {
	table := maps.Clone(operators)
	maps.Copy(table, surrogates)
	for _, name := range []string{"Mul", "Div", "Pow", "Mod", "Clip", "Abs", "ReduceMean", "ReduceSum", "MatMul"} {
		table[name] = operator{gradient: asFloats(operators[name].gradient)}
	}
	return table
}()

// identity lets the gradient through unchanged.
var identity = operator{straight: true, gradient: func(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	from, to := p.shape(n.Input(0)), p.shape(n.Output(0))
	if from == nil || !from.Equal(to) {
		return nil, fmt.Errorf("it is to be passed straight through, and its input has the shape %v and its output %v: name a node that keeps the shape", from, to)
	}
	return []string{p.castLike(dy[0], n.Inputs[0])}, nil
}}

var surrogates = map[string]operator{
	"Floor": rounding, "Ceil": rounding, "Round": rounding, "Sign": rounding,
	"Cast":    {gradient: castGradient, straight: true},
	"Greater": compared(1, -1), "GreaterOrEqual": compared(1, -1),
	"Less": compared(-1, 1), "LessOrEqual": compared(-1, 1),
	"And": compared(1, 1), "Or": compared(1, 1),
	"Not": {straight: true, gradient: func(p *pass, n *onnx.Node, dy []string) ([]string, error) {
		return []string{p.Op("Neg", nil, dy[0])}, nil
	}},
	"BitwiseAnd": compared(1, 1), "BitwiseOr": compared(1, 1),
	"BitShift": {straight: true, gradient: shiftGradient},
	"Where":    {gradient: softWhereGradient},
	"Hardmax":  {straight: true, gradient: softMaximumGradient},
	"ArgMax":   {straight: true, gradient: softPlaceGradient},
}

var rounding = operator{straight: true, gradient: func(p *pass, _ *onnx.Node, dy []string) ([]string, error) { return dy, nil }}

// compared is an operator of two values that grows with the first by one sign, and with the second by another.
func compared(signs ...int) operator {
	return operator{straight: true, gradient: func(p *pass, n *onnx.Node, dy []string) ([]string, error) {
		grads := make([]string, len(signs))
		for i, sign := range signs {
			if !p.wants(n.Inputs[i]) {
				continue
			}
			if grads[i] = dy[0]; sign < 0 {
				grads[i] = p.Op("Neg", nil, dy[0])
			}
			grads[i] = p.castLike(grads[i], n.Inputs[i])
		}
		return p.broadcast(n, grads...), nil
	}}
}

// castLike brings a gradient to the type of the value it is for.
func (p *pass) castLike(d, value string) string {
	if t := p.elem(value); t.IsFloat() && t != p.float {
		return p.Op("Cast", onnx.Attrs{"to": int64(t)}, d)
	}
	return d
}

// shiftGradient: a shift by k places is a product with 2^k, or a quotient.
func shiftGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	by := p.Op("Pow", nil, p.number(2), p.Op("Cast", onnx.Attrs{"to": int64(p.float)}, n.Inputs[1]))
	op := "Mul"
	if n.Text("direction", "") == "RIGHT" {
		op = "Div"
	}
	return p.broadcast(n, p.Op(op, nil, dy[0], by)), nil
}

// softWhereGradient is Where's, with its condition a weight between its two values: y = c·a + (1-c)·b.
func softWhereGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	grads, err := elementwise["Where"].gradient(p, n, dy)
	if err != nil || !p.wants(n.Inputs[0]) {
		return grads, err
	}
	apart := p.Op("Sub", nil, p.cast(n.Inputs[1]), p.cast(n.Inputs[2]))
	grads[0] = p.sumTo(p.Op("Mul", nil, dy[0], apart), n.Inputs[0], n.Outputs[0])
	return grads, nil
}

// softMaximumGradient takes Hardmax for Softmax.
func softMaximumGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	axis := n.Int("axis", -1)
	s := p.Op("Softmax", onnx.Attrs{"axis": axis}, n.Inputs[0])
	mean := p.Op("ReduceSum", nil, p.Op("Mul", nil, dy[0], s), p.Ints(axis))
	return []string{p.Op("Mul", nil, s, p.Op("Sub", nil, dy[0], mean))}, nil
}

// softPlaceGradient takes the place of the greatest for the mean of all places, weighted by a softmax.
func softPlaceGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x := n.Inputs[0]
	rank, err := p.rank(x)
	if err != nil {
		return nil, err
	}
	axis := n.Int("axis", 0)
	if axis < 0 {
		axis += rank
	}
	if axis < 0 || axis >= rank || !p.elem(x).IsFloat() || !p.shape(x)[axis].Known() {
		return nil, fmt.Errorf("its input %q has no known number of places along axis %d", x, axis)
	}
	t := p.elem(x)
	if p.float != t {
		dy = []string{p.Op("Cast", onnx.Attrs{"to": int64(t)}, dy[0])}
	}
	if n.Int("keepdims", 1) == 0 {
		dy = []string{p.Op("Unsqueeze", nil, dy[0], p.Ints(axis))}
	}
	form := slices.Repeat([]int64{1}, int(rank))
	form[axis] = p.shape(x)[axis].Size
	numbers := make([]float64, form[axis])
	for i := range numbers {
		numbers[i] = float64(i)
	}
	places, err := onnx.FromFloat64s("", t, numbers, form...)
	if err != nil {
		return nil, err
	}
	s, at := p.Op("Softmax", onnx.Attrs{"axis": axis}, x), p.Constant(places)
	mean := p.Op("ReduceSum", nil, p.Op("Mul", nil, s, at), p.Ints(axis))
	return []string{p.Op("Mul", nil, p.Op("Mul", nil, s, dy[0]), p.Op("Sub", nil, at, mean))}, nil
}

// asFloats makes a rule for floating-point numbers do for whole ones that carry a gradient.
func asFloats(rule gradient) gradient {
	return func(p *pass, n *onnx.Node, dy []string) ([]string, error) {
		if p.elem(n.Outputs[0]).IsFloat() {
			return rule(p, n, dy)
		}
		plain := n.Clone()
		for _, list := range [][]string{plain.Inputs[:1], plain.Outputs[:1]} {
			list[0] = p.standFor(list[0])
		}
		if arithmetic := n.Op != "ReduceMean" && n.Op != "ReduceSum"; arithmetic {
			for i, v := range plain.Inputs[1:] {
				if v != "" {
					plain.Inputs[1+i] = p.standFor(v)
				}
			}
		}
		return rule(p, plain, dy)
	}
}

// standFor is a float32 value that stands for a whole number.
func (p *pass) standFor(whole string) string {
	v := p.toFloat(whole)
	if v != whole {
		p.standIn[v] = whole
	}
	return v
}
