package bounds

import (
	"math"

	"assay/onnx"
)

// increasing is for functions that rise, which the runtime approximates.
func increasing(b *bounder, n *onnx.Node) error {
	x := b.of(n.Inputs[0])
	lower, upper := b.again(n, x.lower)[0], b.again(n, x.upper)[0]
	b.around(n, lower, upper, b.roughly(b.Op("Max", nil, b.abs(lower), b.abs(upper))))
	if low, high, ok := codomain(n); ok {
		i := b.of(n.Outputs[0])
		b.set(n, b.Op("Max", nil, i.lower, b.number(low)), b.Op("Min", nil, i.upper, b.number(high)))
	}
	return nil
}

// roughly is the error of an approximated value of that magnitude.
func (b *bounder) roughly(magnitude string) string {
	return b.times(b.add(magnitude, b.number(1)), approximate)
}

// codomain is what a function's values are within: as the runtime approximates it, which
// may leave the mathematical one, as Tanh does by an ulp.
func codomain(n *onnx.Node) (low, high float64, ok bool) {
	switch n.Op {
	case "Sigmoid":
		return -approximate, 1 + approximate, true
	case "Tanh", "Erf":
		return -1 - approximate, 1 + approximate, true
	}
	return 0, 0, false
}

// leaky is for LeakyRelu and PRelu, which round once.
func leaky(b *bounder, n *onnx.Node) error {
	x := b.of(n.Inputs[0])
	end := func(v string) string { return b.again(n, append([]string{v}, n.Inputs[1:]...)...)[0] }
	lower, upper := end(x.lower), end(x.upper)
	e := b.times(b.Op("Max", nil, b.abs(lower), b.abs(upper)), slack)
	b.around(n, lower, upper, b.add(e, b.number(tiny)))
	return nil
}

// The least value of GELU, and where: it falls before and rises after. The first is
// below and the others are to either side of those of both its forms.
const (
	geluLeast        = -0.1701
	geluLow, geluTop = -0.7530, -0.7510
)

func gelu(b *bounder, n *onnx.Node) error {
	x := b.of(n.Inputs[0])
	at, to := b.again(n, x.lower)[0], b.again(n, x.upper)[0]
	lower := b.Op("Min", nil, b.sub(at, b.roughly(b.abs(at))), b.sub(to, b.roughly(b.abs(to))))
	upper := b.Op("Max", nil, b.add(at, b.roughly(b.abs(at))), b.add(to, b.roughly(b.abs(to))))
	around := b.Op("And", nil, b.Op("Less", nil, x.lower, b.number(geluTop)), b.Op("Greater", nil, x.upper, b.number(geluLow)))
	lower = b.Op("Where", nil, around, b.number(geluLeast), lower)
	// Of an infinite input GELU is no number.
	finite := b.Op("Less", nil, b.mag(n.Inputs[0]), b.number(most))
	b.set(n,
		b.Op("Where", nil, finite, lower, b.number(geluLeast)),
		b.Op("Where", nil, finite, upper, b.number(math.Inf(1))))
	return nil
}

// softmax of an element is least where it is least and the others greatest:
// e^l / (e^l + Σ others' e^u).
func softmax(b *bounder, n *onnx.Node) error {
	x := b.of(n.Inputs[0])
	axis := b.Ints(n.Int("axis", -1))
	g, err := gamma(b.terms(n, false))
	if err != nil {
		return err
	}
	g += approximate
	top := b.Op("ReduceMax", nil, x.upper, axis)
	least, greatest := b.Op("Exp", nil, b.sub(x.lower, top)), b.Op("Exp", nil, b.sub(x.upper, top))
	// Subtracting from a large number before Exp changes that number's rounding.
	rounding := b.Op("Exp", nil, b.times(b.Op("ReduceMax", nil, b.mag(n.Inputs[0]), axis), 16*unit))
	less := b.sub(b.Op("Div", nil, least, rounding), b.number(approximate))
	less = b.Op("Max", nil, less, b.number(0))
	more := b.add(b.mul(greatest, rounding), b.number(approximate))
	total := func(v string) string { return b.Op("ReduceSum", nil, v, axis) }
	othersMore := b.sub(b.times(total(more), 1+g), more)
	othersLess := b.Op("Max", nil, b.sub(b.mul(total(less), b.number(1-g)), less), b.number(0))
	lower := b.Op("Div", nil, less, b.add(less, othersMore))
	upper := b.Op("Div", nil, more, b.add(more, othersLess))
	lower = b.sub(lower, b.number(approximate))
	upper = b.add(upper, b.number(approximate))
	inside := func(v, otherwise string) string {
		fits := b.Op("And", nil, b.Op("Greater", nil, v, b.number(0)), b.Op("Less", nil, v, b.number(1)))
		return b.Op("Where", nil, fits, v, otherwise)
	}
	b.set(n, inside(lower, b.number(0)), inside(upper, b.number(1)))
	return nil
}

// relaxed are two lines that a function of an input stays between on the interval of that:
// lower slope · z + lower offset ≤ f(z) ≤ upper slope · z + upper offset, and the errors
// that are to be added on both sides. An offset that is "" is 0.
type relaxed struct {
	lowerSlope, upperSlope   string
	lowerOffset, upperOffset string
	errors                   string
}

// relu is bounded from above by the line through its ends, from below by 0 or by the
// identity, whichever leaves the smaller area (Zhang et al. 2018, section 3.3). Slope and
// offset are rounded up, which keeps the line above the ends.
func relu(b *bounder, n *onnx.Node) relaxed {
	x := b.of(n.Inputs[0])
	below := b.Op("Neg", nil, b.Op("Min", nil, x.lower, b.number(0)))
	above := b.Op("Relu", nil, x.upper)
	slope := b.Op("Div", nil, above, b.Op("Max", nil, b.add(above, below), b.number(tiny)))
	slope = b.Op("Min", nil, b.times(slope, 1+2*slack), b.number(1))
	// Below tiny the quotient would be too small; 1 is above any.
	large := b.Op("Less", nil, b.number(2*tiny), b.add(above, below))
	never := b.Op("LessOrEqual", nil, x.upper, b.number(0))
	slope = b.Op("Where", nil, b.Op("Or", nil, large, never), slope, b.number(1))
	offset := b.times(b.mul(slope, below), 1+2*slack)
	return relaxed{
		lowerSlope:  b.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, b.Op("Greater", nil, above, below)),
		upperSlope:  slope,
		upperOffset: offset,
		// The node is exact, and the slopes are 0, 1 or rounded up, unless below float32's range.
		errors: b.add(b.add(b.times(b.mag(n.Outputs[0]), slack/2), b.times(b.mag(n.Inputs[0]), tiny)), b.number(tiny)),
	}
}

// relaxError covers the rounding of a node's output, that of a few operations on lines
// with slopes to 1, and underflow.
func (b *bounder) relaxError(n *onnx.Node) string {
	return b.add(b.times(b.add(b.mag(n.Outputs[0]), b.mag(n.Inputs[0])), slack), b.number(tiny))
}

// leakyRelu is a z + (1-a) relu(z).
func leakyRelu(b *bounder, n *onnx.Node) relaxed {
	r := relu(b, n)
	slope := b.number(float64(n.Float("alpha", 0.01)))
	if n.Op == "PRelu" {
		slope = n.Inputs[1]
	}
	rest := b.sub(b.number(1), slope)
	return relaxed{
		lowerSlope:  b.add(slope, b.mul(rest, r.lowerSlope)),
		upperSlope:  b.add(slope, b.mul(rest, r.upperSlope)),
		upperOffset: b.mul(rest, r.upperOffset),
		errors:      b.times(b.relaxError(n), 4),
	}
}

// sShaped bounds Sigmoid and Tanh. Right of 0 they are concave: the line through the ends
// is below and a tangent above; left of 0 the other way round. On intervals with 0, and
// on wide ones, lines through the ends serve whose slope is the lesser of those there,
// which is the least on the interval (Singh et al. 2019, DeepPoly, section 4.3).
func sShaped(b *bounder, n *onnx.Node) relaxed {
	x := b.of(n.Inputs[0])
	l, u := x.lower, x.upper
	middle, _, _ := b.center(n.Inputs[0])
	width := b.sub(u, l)
	f := func(v string) (value, slope string) {
		value = b.again(n, v)[0]
		if n.Op == "Tanh" {
			return value, b.sub(b.number(1), b.mul(value, value))
		}
		return value, b.mul(value, b.sub(b.number(1), value))
	}
	fl, sl := f(l)
	fu, su := f(u)
	fm, tangent := f(middle)
	least := b.Op("Max", nil, b.number(0), b.sub(b.Op("Min", nil, sl, su), b.number(16*approximate)))
	chord := b.Op("Div", nil, b.sub(fu, fl), b.Op("Max", nil, width, b.number(1e-3)))
	through := func(slope, y, at string) string { return b.sub(y, b.mul(slope, at)) }
	short := b.Op("Less", nil, width, b.number(8))
	concave := b.Op("And", nil, short, b.Op("GreaterOrEqual", nil, l, b.number(0)))
	convex := b.Op("And", nil, short, b.Op("LessOrEqual", nil, u, b.number(0)))
	choose := func(when, then, otherwise string) string { return b.Op("Where", nil, when, then, otherwise) }
	chordLow := b.Op("Min", nil, through(chord, fl, l), through(chord, fu, u))
	chordHigh := b.Op("Max", nil, through(chord, fl, l), through(chord, fu, u))
	touch := through(tangent, fm, middle)
	reach := b.add(b.mag(n.Inputs[0]), b.number(1))
	few := b.times(choose(short, reach, b.number(1)), 64*approximate)
	// Where no tangent is used the slope is at most 1, and what it is multiplied with rounds.
	few = b.add(few, b.times(b.mul(least, reach), slack))
	return relaxed{
		lowerSlope:  choose(concave, chord, choose(convex, tangent, least)),
		lowerOffset: choose(concave, chordLow, choose(convex, touch, through(least, fl, l))),
		upperSlope:  choose(convex, chord, choose(concave, tangent, least)),
		upperOffset: choose(convex, chordHigh, choose(concave, touch, through(least, fu, u))),
		errors:      b.add(few, b.relaxError(n)),
	}
}

// geluLines takes ReLU's lines: GELU is between ReLU and what lies 0.1701 lower. On short
// intervals the tangent in the middle is closer, which no place leaves by more than half
// the greatest second derivative, 0.3990, times the square of the distance.
func geluLines(b *bounder, n *onnx.Node) relaxed {
	r := relu(b, n)
	r.lowerOffset = b.number(geluLeast)
	if n.Text("approximate", "none") != "none" {
		return r
	}
	middle, radius, _ := b.center(n.Inputs[0])
	value := b.again(n, middle)[0]
	area := b.times(b.add(b.Op("Erf", nil, b.mul(middle, b.number(math.Sqrt2/2))), b.number(1)), 0.5)
	density := b.mul(b.Op("Exp", nil, b.mul(b.mul(middle, middle), b.number(-0.5))), b.number(1/math.Sqrt(2*math.Pi)))
	slope := b.add(area, b.mul(middle, density))
	apart := b.times(b.mul(radius, radius), 0.4)
	apart = b.add(apart, b.times(b.add(b.mag(n.Inputs[0]), b.number(1)), 64*approximate))
	offset := b.sub(value, b.mul(slope, middle))
	short := b.Op("Less", nil, apart, b.number(0.1))
	choose := func(then, otherwise string) string { return b.Op("Where", nil, short, then, otherwise) }
	r.lowerSlope, r.upperSlope = choose(slope, r.lowerSlope), choose(slope, r.upperSlope)
	r.lowerOffset = choose(b.sub(offset, apart), r.lowerOffset)
	r.upperOffset = choose(b.add(offset, apart), r.upperOffset)
	return r
}
