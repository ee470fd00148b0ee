package exact

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"assay/onnx"
)

// neuron is a hidden unit, relu(weights·u + bias), with weights of length 1. Its scale and its sign are in what follows it.
type neuron struct {
	weights []float64
	bias    float64
}

func (n neuron) before(u []float64) float64 { return dot(n.weights, u) + n.bias }

const (
	patience    = 12   // lines on which nothing new is found, one after the other, before the search ends
	known       = 2e-3 // how near to a neuron's plane, in units, a bend is taken for the neuron's
	finest      = 0x1p-11
	maxNeurons  = 1024
	pieces      = 8 // into which a line is cut to begin with
	precision   = 0x1p-23
	leastOfReLU = 1e-6
)

// bends is what is known of a network of one hidden layer.
type bends struct {
	*oracle
	natural [][]float32
	neurons []neuron
	at      [][]float64 // what was asked, and what was answered, for the layer after the neurons
	z       [][]float64

	size     float64 // of the largest score so far
	smallest float64 // of all answers
	both     bool    // the probabilities are computed each by itself
}

// relu recovers a network of one hidden layer of ReLU. Along a line such a network is linear but for bends, one where a
// neuron's plane is crossed; they are found by halving what is not linear, and the change of the gradient there is the
// neuron's weights, up to a factor (Jagielski et al. 2020, section 4.2, and Carlini et al. 2020, section 4.2).
//
// Departures: the sign of a neuron is not looked for, since relu(-v) = relu(v) - v: the two differ by a linear map,
// which the surrogate has beside its hidden layer, and which with the weights after the neurons is solved for by least squares
// from everything that was answered. So neurons whose plane does not cross the limits are not needed either. Where
// a gradient's change has not rank one, two planes were crossed, and the bend is left to another line. Where the network
// that comes of it is off, there are further lines to that place.
func (a *oracle) relu(ctx context.Context, natural [][]float32) (*onnx.Model, error) {
	b := &bends{oracle: a, natural: natural, smallest: 1}
	if err := b.lines(ctx, b.end); err != nil {
		return nil, err
	}
	for {
		after, err := b.after()
		if err != nil {
			return nil, err
		}
		err = a.verify(ctx, natural, leastOfReLU, func(u []float64) []float64 { return apply(after, b.hidden(u)) })
		if err == nil {
			return b.model(after), nil
		}
		var where *mismatch
		known := len(b.neurons)
		if !errors.As(err, &where) {
			return nil, err
		}
		if err := b.lines(ctx, func() []float64 { return where.at }); err != nil {
			return nil, err
		}
		if len(b.neurons) == known {
			return nil, where
		}
	}
}

// lines searches lines from points of a kind until so many in turn show nothing new.
func (b *bends) lines(ctx context.Context, from func() []float64) error {
	for idle := 0; idle < patience; {
		before := len(b.neurons)
		if err := b.line(ctx, from(), b.end()); err != nil {
			return err
		}
		if idle++; len(b.neurons) > before {
			idle = 0
		}
		if len(b.neurons) > maxNeurons {
			return fmt.Errorf("the network has more than %d neurons, or is not of the form that the method is for", maxNeurons)
		}
	}
	return nil
}

// ask gives the scores at points, which become the points of records.
func (b *bends) ask(ctx context.Context, points [][]float64) ([][]float64, error) {
	rows := make([][]float32, len(points))
	for i, u := range points {
		rows[i], points[i] = b.record(u)
	}
	scores, err := b.scores(ctx, rows)
	if err != nil {
		return nil, err
	}
	for i, s := range scores {
		z := b.logits(s, leastOfReLU)
		if z == nil {
			return nil, errors.New("the model is too certain of a class for its probabilities to tell more: logits are needed")
		}
		sum := 0.0
		for k, v := range z {
			b.size = max(b.size, math.Abs(v))
			sum, b.smallest = sum+s[k], min(b.smallest, s[k])
		}
		b.both = b.both || sum != 1
		b.at, b.z, scores[i] = append(b.at, points[i]), append(b.z, z), z
	}
	return scores, nil
}

// noise is how far rounding may move a score. A probability that is 1 less the other has lost what is left of it, where it is
// small: such a pair adds up to 1 to the last bit, every time.
func (b *bends) noise() float64 {
	if b.logarithm && b.classes == 2 && !b.both {
		return max(16*b.size, 1/b.smallest) * precision
	}
	return 16 * b.size * precision
}

// piece is a part of a line, with the scores at its ends.
type piece struct {
	from, to float64
	a, b     []float64
}

// end draws the end of a line: a natural row, a corner, since a plane may cut off no more than that, or a point anywhere.
// The latter leave room for steps to either side.
func (b *bends) end() []float64 {
	u := b.anywhere()
	kind := b.rand.IntN(4)
	if kind < 2 && len(b.natural) > 0 {
		b.units(u, b.natural[b.rand.IntN(len(b.natural))])
		return u
	}
	for i := range u {
		if kind%2 == 0 {
			u[i] = math.Copysign(1, u[i])
		}
		u[i] *= 0.9
	}
	return u
}

// line looks for neurons on a line between two points.
func (b *bends) line(ctx context.Context, p, q []float64) error {
	straight, err := b.straight(ctx, p, q)
	if err != nil {
		return err
	}
	for i := range max(len(straight)-1, 0) {
		left, right := straight[i], straight[i+1]
		reach := min(left.to-left.from, right.to-right.from)
		if right.from-left.to > 2.5*finest || reach < 4*finest {
			continue
		}
		t, ok := meet(left, right)
		if !ok {
			continue
		}
		u := towards(p, q, t)
		if b.explained(u) {
			continue
		}
		n, ok, err := b.measure(ctx, towards(p, q, t-reach/2), towards(p, q, t+reach/2), u, reach)
		if err != nil {
			return err
		}
		if ok {
			b.neurons = append(b.neurons, n)
		}
	}
	return nil
}

// straight gives the longest pieces of a line on which the scores are linear.
func (b *bends) straight(ctx context.Context, p, q []float64) ([]piece, error) {
	var points [][]float64
	for i := range pieces + 1 {
		points = append(points, towards(p, q, float64(i)/pieces))
	}
	z, err := b.ask(ctx, points)
	if err != nil {
		return nil, err
	}
	var pending, out []piece
	for i := range pieces {
		pending = append(pending, piece{float64(i) / pieces, float64(i+1) / pieces, z[i], z[i+1]})
	}
	for len(pending) > 0 {
		// Besides the middle a third is looked at: two bends may cancel out at one place.
		var points [][]float64
		for _, s := range pending {
			points = append(points, towards(p, q, (s.from+s.to)/2), towards(p, q, s.from+(s.to-s.from)/3))
		}
		z, err := b.ask(ctx, points)
		if err != nil {
			return nil, err
		}
		var next []piece
		for i, s := range pending {
			middle := z[2*i]
			switch {
			case b.flat(s, middle, 0.5, b.noise()) && b.flat(s, z[2*i+1], 1.0/3, b.noise()):
				out = append(out, s)
			case s.to-s.from > finest:
				m := (s.from + s.to) / 2
				next = append(next, piece{s.from, m, s.a, middle}, piece{m, s.to, middle, s.b})
			}
		}
		pending = next
	}
	return b.joined(out), nil
}

// flat tells whether scores at a part of a piece are as its ends say, but for noise.
func (b *bends) flat(s piece, z []float64, part, noise float64) bool {
	for k, v := range z {
		if math.Abs(v-s.a[k]-part*(s.b[k]-s.a[k])) > noise {
			return false
		}
	}
	return true
}

// joined puts pieces in order, and together where they are one line.
func (b *bends) joined(list []piece) (out []piece) {
	slices.SortFunc(list, func(a, b piece) int { return cmp.Compare(a.from, b.from) })
	for _, s := range list {
		if n := len(out); n > 0 && out[n-1].to == s.from {
			whole := piece{out[n-1].from, s.to, out[n-1].a, s.b}
			if b.flat(whole, s.a, (s.from-whole.from)/(whole.to-whole.from), 4*b.noise()) {
				out[n-1] = whole
				continue
			}
		}
		out = append(out, s)
	}
	return out
}

// meet gives where the lines of two pieces cross, by least squares over the scores.
func meet(left, right piece) (t float64, ok bool) {
	above, below := 0.0, 0.0
	for k := range left.a {
		l := (left.b[k] - left.a[k]) / (left.to - left.from)
		r := (right.b[k] - right.a[k]) / (right.to - right.from)
		gap := (right.a[k] - r*right.from) - (left.a[k] - l*left.from) // at t = 0
		above += gap * (l - r)
		below += (l - r) * (l - r)
	}
	t = above / below
	return t, t >= left.to-finest && t <= right.from+finest // not where it is no number
}

// explained tells whether a neuron that is known bends there.
func (b *bends) explained(u []float64) bool {
	for _, n := range b.neurons {
		if math.Abs(n.before(u)) < known {
			return true
		}
	}
	return false
}

// measure takes the gradients at two points on either side of a bend u. It is not ok where more than one plane lies
// between them.
func (b *bends) measure(ctx context.Context, left, right, u []float64, reach float64) (n neuron, ok bool, err error) {
	l, ok, err := b.gradient(ctx, left, reach)
	if !ok || err != nil {
		return n, false, err
	}
	r, ok, err := b.gradient(ctx, right, reach)
	if !ok || err != nil {
		return n, false, err
	}
	r.Sub(r, l)
	var svd mat.SVD
	if !svd.Factorize(r, mat.SVDThin) {
		return n, false, nil
	}
	values := svd.Values(nil)
	if values[0] == 0 || len(values) > 1 && values[1] > 0.02*values[0] {
		return n, false, nil
	}
	var v mat.Dense
	svd.VTo(&v)
	n.weights = mat.Col(nil, 0, &v)
	n.bias = -dot(n.weights, u)
	return n, true, nil
}

// gradient is that of the scores by the numbers, [classes, numbers], by central differences. The steps get shorter
// until the scores are linear over them; it is not ok where they never are.
func (b *bends) gradient(ctx context.Context, u []float64, reach float64) (*mat.Dense, bool, error) {
	const halvings = 5
	step := min(reach/2, 0.1)
	free := b.free()
	for range halvings {
		points := [][]float64{u}
		for _, i := range free {
			for _, sign := range []float64{1, -1} {
				moved := append([]float64(nil), u...)
				moved[i] += sign * step
				points = append(points, moved)
			}
		}
		z, err := b.ask(ctx, points)
		if err != nil {
			return nil, false, err
		}
		out := mat.NewDense(b.classes, b.width, nil)
		linear := true
		for j, i := range free {
			high, low := 1+2*j, 2+2*j
			span := points[high][i] - points[low][i]
			s := piece{0, 1, z[low], z[high]}
			linear = linear && span > 0 && b.flat(s, z[0], (points[0][i]-points[low][i])/span, b.noise())
			for k := range b.classes {
				out.Set(k, i, (z[high][k]-z[low][k])/span)
			}
		}
		if linear {
			return out, true, nil
		}
		step /= 2
	}
	return nil, false, nil
}

// hidden is what the last layer takes: the neurons' outputs and the record itself.
func (b *bends) hidden(u []float64) []float64 {
	out := make([]float64, 0, len(b.neurons)+len(u))
	for _, n := range b.neurons {
		out = append(out, max(n.before(u), 0))
	}
	return append(out, u...)
}

// after solves for the last layer's weights by least squares. A trace of the weights' own size (ridge) decides where the
// equations leave them open, as for a number that has one value.
func (b *bends) after() ([][]float64, error) {
	n := len(b.neurons) + b.width + 1
	normal, right := mat.NewSymDense(n, nil), mat.NewDense(n, b.classes, nil)
	row := mat.NewVecDense(n, nil)
	for i, u := range b.at {
		copy(row.RawVector().Data, append(b.hidden(u), 1))
		normal.SymRankOne(normal, 1, row)
		right.RankOne(right, 1, row, mat.NewVecDense(b.classes, b.z[i]))
	}
	for i := range n {
		normal.SetSym(i, i, normal.At(i, i)+1e-9*float64(len(b.at)))
	}
	var factor mat.Cholesky
	var solved mat.Dense
	if !factor.Factorize(normal) || factor.SolveTo(&solved, right) != nil {
		return nil, errors.New("the equations of the last layer could not be solved")
	}
	out := make([][]float64, b.classes)
	for k := range out {
		out[k] = mat.Col(nil, k, &solved)
	}
	return out, nil
}

func (b *bends) model(after [][]float64) *onnx.Model {
	g := onnx.NewBuilder("relu")
	u := b.input(g)
	last := u
	if len(b.neurons) > 0 {
		var weights [][]float64
		for _, n := range b.neurons {
			weights = append(weights, append(append([]float64(nil), n.weights...), n.bias))
		}
		hidden := g.Op("Relu", nil, layer(g, "hidden", u, weights))
		last = g.Op("Concat", onnx.Attrs{"axis": int64(1)}, hidden, u)
	}
	g.OutputAs("logits", layer(g, "dense", last, after), onnx.Float32, onnx.Dims("batch", b.classes))
	return g.Model()
}
