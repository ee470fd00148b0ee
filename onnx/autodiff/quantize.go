package autodiff

import (
	"errors"
	"fmt"
	"slices"

	"assay/onnx"
)

// quantisation holds the operators that make small whole numbers of floating-point
// ones, and compute with them.
//
// Rounding has a gradient of zero almost everywhere; QuantizeLinear is given that of
// the identity instead, and zero where the value is clipped (the straight-through
// estimator of Bengio, Léonard and Courville 2013, arXiv:1308.3432). With the scale
// asked for, the two operators together give the gradient of learned step size
// quantisation (Esser and others 2020, arXiv:1902.08153). Between quantising and
// dequantising, whole numbers carry the gradient, as float32.
var quantisation = map[string]operator{
	"QuantizeLinear":        {gradient: quantizeGradient, straight: true},
	"DynamicQuantizeLinear": {gradient: dynamicQuantizeGradient, straight: true},
	"DequantizeLinear":      {gradient: dequantizeGradient},
	"MatMulInteger":         {gradient: matMulIntegerGradient},
	"ConvInteger":           {gradient: convIntegerGradient},
	"QLinearConv":           {because: "it is not in a form that can be written as dequantised Conv"},   // else it is expanded
	"QLinearMatMul":         {because: "it is not in a form that can be written as dequantised MatMul"}, // else it is expanded
}

// carrying finds the whole numbers that carry a gradient: what active values were
// quantised to, and what operators with a rule make of it.
func carrying(nodes []*onnx.Node, p *pass) map[string]bool {
	carried := map[string]bool{}
	for _, n := range nodes {
		op := p.rules.of(n)
		from := p.replaces(n, op) && slices.ContainsFunc(n.Inputs, func(v string) bool { return p.active[v] })
		if op.gradient != nil && !op.shapeOnly {
			for _, v := range n.Inputs {
				from = from || carried[v]
			}
		}
		for _, o := range n.Outputs {
			if t := p.elem(o); from && o != "" && t != onnx.Undefined && !t.IsFloat() && (t != onnx.Bool || p.rules.soft) {
				carried[o] = true
			}
		}
	}
	return carried
}

// quantizeGradient: q = clip(round(x/s) + z), so dx = dq/s and ds = -Σ dq·x/s²
// where q is not clipped.
func quantizeGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x, scale := n.Inputs[0], n.Inputs[1]
	low, high, err := quantised(p.elem(n.Outputs[0]))
	if err != nil {
		return nil, err
	}
	s := p.alongAxis(n, p.toFloat(scale))
	ratio := p.Op("Div", nil, p.toFloat(x), s)
	level := ratio
	if zero := n.Input(2); zero != "" {
		level = p.Op("Add", nil, ratio, p.alongAxis(n, p.toFloat(zero)))
	}
	d := p.Op("Div", nil, p.Op("Mul", nil, dy[0], p.within(level, low, high)), s)
	grads := []string{p.toType(d, p.elem(x)), "", ""}
	if p.wants(scale) {
		ds, err := p.sumToScale(n, p.Op("Neg", nil, p.Op("Mul", nil, d, ratio)), scale)
		if err != nil {
			return nil, err
		}
		grads[1] = p.toType(ds, p.elem(scale))
	}
	return grads, nil
}

// quantised gives the bounds of what rounds to a number of the type.
func quantised(t onnx.DataType) (low, high float64, err error) {
	switch t {
	case onnx.Uint8:
		low, high = 0, 255
	case onnx.Int8:
		low, high = -128, 127
	case onnx.Uint16:
		low, high = 0, 65535
	case onnx.Int16:
		low, high = -32768, 32767
	case onnx.Uint4:
		low, high = 0, 15
	case onnx.Int4:
		low, high = -8, 7
	case onnx.Uint2:
		low, high = 0, 3
	case onnx.Int2:
		low, high = -2, 1
	case onnx.Float8E4M3FN:
		return -448, 448, nil
	case onnx.Float8E4M3FNUZ:
		return -240, 240, nil
	case onnx.Float8E5M2, onnx.Float8E5M2FNUZ:
		return -57344, 57344, nil
	case onnx.Float4E2M1:
		return -6, 6, nil
	default:
		return 0, 0, fmt.Errorf("it quantises to %s, of which the range is not known", t)
	}
	return low - 0.5, high + 0.5, nil
}

// within is 1 where low ≤ v ≤ high, else 0.
func (p *pass) within(v string, low, high float64) string {
	return p.cast(p.Op("And", nil,
		p.Op("GreaterOrEqual", nil, v, p.number(low)), p.Op("LessOrEqual", nil, v, p.number(high))))
}

// toFloat brings a value to float32, which the gradients of whole numbers have.
func (p *pass) toFloat(v string) string {
	if p.elem(v) == onnx.Float32 {
		return v
	}
	return p.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, v)
}

// toType brings a float32 gradient to the type of the value it is for.
func (p *pass) toType(d string, t onnx.DataType) string {
	if t == onnx.Float32 || !t.IsFloat() {
		return d
	}
	return p.Op("Cast", onnx.Attrs{"to": int64(t)}, d)
}

// alongAxis shapes scales, or zero points, of a quantising node to broadcast to its
// input: one number, one for each place along the axis, or one for each block of them.
func (p *pass) alongAxis(n *onnx.Node, scales string) string {
	shape, rank := p.shape(n.Inputs[1]), int64(len(p.shape(n.Inputs[0])))
	axis := n.Int("axis", 1)
	if axis < 0 {
		axis += rank
	}
	switch {
	case len(shape) == 1 && rank > 1 && shape[0].Size != 1:
		form := make([]int64, rank)
		for i := range form {
			form[i] = 1
		}
		if axis >= 0 && axis < rank {
			form[axis] = -1
		}
		return p.Op("Reshape", nil, scales, p.Ints(form...))
	case n.Int("block_size", 0) > 0:
		return p.Op("Gather", onnx.Attrs{"axis": axis}, scales, p.blocks(n, axis))
	}
	return scales
}

// blocks tells the block of each place along the axis.
func (p *pass) blocks(n *onnx.Node, axis int64) string {
	size := p.Op("Squeeze", nil, p.Op("Shape", onnx.Attrs{"start": axis, "end": axis + 1}, n.Inputs[0]), p.Ints(0))
	places := p.Op("Range", nil, p.Number(onnx.Int64, 0), size, p.Number(onnx.Int64, 1))
	return p.Op("Div", nil, places, p.Number(onnx.Int64, float64(n.Int("block_size", 0))))
}

// sumToScale is the adjoint of alongAxis.
func (p *pass) sumToScale(n *onnx.Node, d, scale string) (string, error) {
	shape, rank := p.shape(scale), int64(len(p.shape(n.Inputs[0])))
	axis := n.Int("axis", 1)
	if axis < 0 {
		axis += rank
	}
	if shape == nil || p.shape(n.Inputs[0]) == nil {
		return "", errors.New("the rank of its input or scale is not known")
	}
	switch {
	case n.Int("block_size", 0) > 0:
		zero, _ := onnx.FromFloat64s("", onnx.Float32, []float64{0})
		zeros := p.Op("ConstantOfShape", onnx.Attrs{"value": zero}, p.shapeOf(scale))
		form := make([]int64, rank)
		for i := range form {
			form[i] = 1
		}
		form[axis] = -1
		index := p.Op("Expand", nil, p.Op("Reshape", nil, p.blocks(n, axis), p.Ints(form...)), p.Op("Shape", nil, d))
		return p.Op("ScatterElements", onnx.Attrs{"axis": axis, "reduction": "add"}, zeros, index, d), nil
	case len(shape) == 1 && rank > 1 && shape[0].Size != 1:
		var others []int64
		for i := range rank {
			if i != axis {
				others = append(others, i)
			}
		}
		return p.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, d, p.Ints(others...)), nil
	case len(shape) == 1 && rank == 1 && shape[0].Size != 1:
		return d, nil
	}
	return p.Op("Reshape", nil, p.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, d), p.shapeOf(scale)), nil
}

// dequantizeGradient: y = (q-z)·s, so dq = dy·s and ds = Σ dy·(q-z).
func dequantizeGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	q, scale, d := n.Inputs[0], n.Inputs[1], dy[0]
	if p.float != onnx.Float32 {
		d = p.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, d)
		p.float = onnx.Float32
	}
	grads := make([]string, 3)
	if p.wants(q) {
		grads[0] = p.Op("Mul", nil, d, p.alongAxis(n, p.toFloat(scale)))
	}
	if p.wants(scale) {
		level := p.toFloat(q)
		if zero := n.Input(2); zero != "" {
			level = p.Op("Sub", nil, level, p.alongAxis(n, p.toFloat(zero)))
		}
		ds, err := p.sumToScale(n, p.Op("Mul", nil, d, level), scale)
		if err != nil {
			return nil, err
		}
		grads[1] = p.toType(ds, p.elem(scale))
	}
	return grads, nil
}

// dynamicQuantizeGradient: the range is made to hold every x, so nothing is clipped
// and dx = dq/s. How the scale follows from the greatest and least x is left out, as
// is usual: it would send the errors of all elements to these two.
func dynamicQuantizeGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	if dy[0] == "" {
		return []string{""}, nil
	}
	return []string{p.Op("Div", nil, dy[0], n.Outputs[1])}, nil
}

// matMulIntegerGradient: that of MatMul, of the numbers less their zero points. A
// zero point is one number, or one for each row of A or column of B.
func matMulIntegerGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	plain := n.Clone()
	for i := range 2 {
		zero := n.Input(2 + i)
		if s := p.shape(zero); i == 0 && zero != "" && len(s) == 1 && s[0].Size != 1 && len(p.shape(n.Inputs[0])) > 1 {
			zero = p.Op("Unsqueeze", nil, zero, p.Ints(1))
		}
		plain.Inputs[i] = p.lessZero(n.Inputs[i], zero)
	}
	plain.Inputs = plain.Inputs[:2]
	return matMulGradient(p, plain, dy)
}

// convIntegerGradient: that of Conv, of the numbers less their zero points. The
// weights have one zero point, or one for each kernel.
func convIntegerGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	plain := n.Clone()
	for i := range 2 {
		zero := n.Input(2 + i)
		if s := p.shape(zero); i == 1 && zero != "" && len(s) == 1 && s[0].Size != 1 {
			axes := upTo(int64(len(p.shape(n.Inputs[1]))))
			zero = p.Op("Unsqueeze", nil, zero, p.Ints(axes[min(1, len(axes)):]...))
		}
		plain.Inputs[i] = p.lessZero(n.Inputs[i], zero)
	}
	plain.Inputs = plain.Inputs[:2]
	return convGradient(p, plain, dy)
}

// lessZero is a float32 value that stands for a whole number less its zero point in
// a rule for floating-point operands.
func (p *pass) lessZero(q, zero string) string {
	v := p.toFloat(q)
	if zero != "" {
		v = p.Op("Sub", nil, v, p.toFloat(zero))
	}
	p.standIn[v] = q
	return v
}

// expandQLinearConv writes a quantised convolution as what it stands for: the
// convolution of the dequantised numbers, quantised. ONNX Runtime makes one operator
// of it again where it can. Its rounding may differ by one step of the result's scale.
func expandQLinearConv(e *expander, n *onnx.Node) []string {
	if len(n.Inputs) < 8 || e.shape(n.Inputs[4]) == nil {
		return nil
	}
	x := e.Op("DequantizeLinear", nil, n.Inputs[0], n.Inputs[1], n.Inputs[2])
	w := e.Op("DequantizeLinear", onnx.Attrs{"axis": int64(0)}, n.Inputs[3], n.Inputs[4], n.Inputs[5])
	inputs := []string{x, w}
	if bias := n.Input(8); bias != "" {
		scale := e.Op("Mul", nil, n.Inputs[1], n.Inputs[4])
		if len(e.shape(n.Inputs[1])) == 1 && len(e.shape(n.Inputs[4])) == 0 {
			scale = e.Op("Squeeze", nil, scale)
		}
		inputs = append(inputs, e.Op("DequantizeLinear", onnx.Attrs{"axis": int64(0)}, bias, scale))
	}
	y := e.Op("Conv", n.Attrs, inputs...)
	return outputs(n, e.Op("QuantizeLinear", nil, y, n.Inputs[6], n.Inputs[7]))
}

// expandQLinearMatMul is expandQLinearConv for products of matrices. Scales are one
// number, or one for each row of A or column of B.
func expandQLinearMatMul(e *expander, n *onnx.Node) []string {
	if len(n.Inputs) < 8 {
		return nil
	}
	for _, i := range []int{1, 4, 7} {
		if s := e.shape(n.Inputs[i]); s == nil || len(s) > 1 {
			return nil
		}
	}
	a := e.Op("DequantizeLinear", onnx.Attrs{"axis": int64(-2)}, n.Inputs[:3]...)
	b := e.Op("DequantizeLinear", onnx.Attrs{"axis": int64(-1)}, n.Inputs[3:6]...)
	y := e.Op("MatMul", nil, a, b)
	return outputs(n, e.Op("QuantizeLinear", onnx.Attrs{"axis": int64(-2)}, y, n.Inputs[6], n.Inputs[7]))
}
