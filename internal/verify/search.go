package verify

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"assay/internal/model/ort"
	"assay/internal/vnnlib"
	"assay/onnx"
	"assay/onnx/autodiff"
)

// The search before any box is divided: projected gradient descent (Madry et al. 2018,
// arXiv:1706.06083) from random starts.
const (
	starts = 256
	steps  = 100
)

// searcher looks for inputs that seem unsafe. Where the model has no gradient it knows
// those only that bounds point to.
type searcher struct {
	p        *vnnlib.Property
	o        Options
	shape    []int64
	outputs  *ort.Session
	gradient *ort.Session // nil where there is none
	batch    bool         // the model takes more than one input at once

	steep       [][]float64 // of each case whose box was searched, by number
	outputShape []int64     // of an example, as the model gave it
}

func newSearcher(m *onnx.Model, p *vnnlib.Property, shape []int64, o Options) (_ *searcher, err error) {
	s := &searcher{p: p, o: o, shape: shape, batch: true}
	wide := batched(m)
	if s.start(wide, 2) != nil { // sizes inside of the model speak of a batch of one
		s.Close()
		s.batch, wide = false, m
		if err := s.start(m, 1); err != nil {
			s.Close()
			return nil, err
		}
	}
	if slope := slopeOf(wide); slope != nil {
		if s.gradient, err = ort.New(slope, ort.Options{Threads: 1, Library: o.Library}); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// start runs a model on a few inputs, to see that it can and what comes out.
func (s *searcher) start(m *onnx.Model, rows int) (err error) {
	if s.outputs, err = ort.New(m, ort.Options{Threads: 1, Library: s.o.Library}); err != nil {
		return err
	}
	out := make([]*ort.Tensor, 1)
	x := ort.NewTensor(make([]float32, rows*s.p.Inputs), append([]int64{int64(rows)}, s.shape...)...)
	if err = s.outputs.Run(context.Background(), []*ort.Tensor{x}, out); err != nil {
		return err
	}
	if out[0].Len() != int64(rows*s.p.Outputs) {
		return fmt.Errorf("the model gives %d numbers for %d inputs, and the property has %d outputs: they are not about the same network", out[0].Len(), rows, s.p.Outputs)
	}
	s.outputShape = out[0].Shape[1:]
	return nil
}

// Close frees the runtime's sessions.
func (s *searcher) Close() {
	for _, session := range []*ort.Session{s.outputs, s.gradient} {
		if session != nil {
			session.Close()
		}
	}
	s.outputs, s.gradient = nil, nil
}

// batched leaves the first dimension of a model's input and output open.
func batched(m *onnx.Model) *onnx.Model {
	m = m.Clone()
	input := m.Graph.FreeInputs()[0].Name
	open := func(list []onnx.Value, which func(v onnx.Value) bool) {
		for i, v := range list {
			if which(v) && len(v.Type.Shape) > 0 {
				list[i].Type.Shape = slices.Clone(v.Type.Shape)
				list[i].Type.Shape[0] = onnx.Dim{Size: -1, Param: "batch"}
			}
		}
	}
	open(m.Graph.Inputs, func(v onnx.Value) bool { return v.Name == input })
	open(m.Graph.Outputs, func(onnx.Value) bool { return true })
	m.Graph.Values = nil
	return m
}

// slopeOf is a model of the gradient of weighted outputs, nil where there is none.
func slopeOf(m *onnx.Model) *onnx.Model {
	g, err := autodiff.New(m)
	if err != nil {
		return nil
	}
	out := m.Graph.Outputs[0]
	input := m.Graph.FreeInputs()[0]
	weights := g.Name("weights")
	g.Graph.Inputs = append(g.Graph.Inputs, onnx.Value{Name: weights, Type: onnx.TensorOf(onnx.Float32, out.Type.Shape)})
	grads, err := g.Pullback(out.Name, weights, input.Name)
	if err != nil {
		return nil
	}
	g.Graph.Outputs = append(g.Graph.Outputs, onnx.Value{Name: grads.Names[0], Type: onnx.TensorOf(onnx.Float32, input.Type.Shape)})
	return g.Model()
}

// answers gives the outputs of inputs, one after the other.
func (s *searcher) answers(ctx context.Context, x []float32) ([]float32, error) {
	return s.run(ctx, s.outputs, x, nil, 0)
}

// run gives an output of a session for inputs, and for weights of their outputs where it takes such.
func (s *searcher) run(ctx context.Context, session *ort.Session, x, weights []float32, output int) ([]float32, error) {
	n := len(x) / s.p.Inputs
	size := n
	if !s.batch {
		size = 1
	}
	var all []float32
	for start := 0; start < n; start += size {
		feeds := []*ort.Tensor{ort.NewTensor(x[start*s.p.Inputs:(start+size)*s.p.Inputs], append([]int64{int64(size)}, s.shape...)...)}
		if weights != nil {
			feeds = append(feeds, ort.NewTensor(weights[start*s.p.Outputs:(start+size)*s.p.Outputs], append([]int64{int64(size)}, s.outputShape...)...))
		}
		out := make([]*ort.Tensor, len(session.Outputs()))
		if err := session.Run(ctx, feeds, out); err != nil {
			return nil, err
		}
		all = append(all, ort.Data[float32](out[output])...)
	}
	return all, nil
}

// worst is, of a case's unsafe conjunctions, the one that outputs are nearest to meet: its
// constraint that is missed the most.
func worst(c vnnlib.Case, y []float64) vnnlib.Constraint {
	var of vnnlib.Constraint
	nearest := math.Inf(1)
	for _, conjunction := range c.Unsafe {
		far, most := conjunction[0], math.Inf(-1)
		for _, constraint := range conjunction {
			if e := constraint.Excess(y); e > most {
				far, most = constraint, e
			}
		}
		if most < nearest || of.Coefficients == nil {
			of, nearest = far, most
		}
	}
	return of
}

// unsafe reports whether outputs meet all constraints of a conjunction of a case.
func unsafe(c vnnlib.Case, y []float64) bool {
	return slices.ContainsFunc(c.Unsafe, func(conjunction []vnnlib.Constraint) bool {
		return !slices.ContainsFunc(conjunction, func(constraint vnnlib.Constraint) bool { return !constraint.Met(y) })
	})
}

// descend searches the box of a case from random starts, and gives inputs whose outputs are unsafe.
func (s *searcher) descend(ctx context.Context, of int) ([][]float32, error) {
	b := whole(of, s.p.Cases[of], 1)
	rng := rand.New(rand.NewPCG(s.o.Seed, uint64(of)))
	var x []float32
	for range starts {
		for j := range b.lower {
			l, u := float64(b.lower[j]), float64(b.upper[j])
			x = append(x, b.within(j, l+rng.Float64()*(u-l)))
		}
	}
	s.steep = append(s.steep, steepness(nil, s.p.Inputs))
	in := slices.Repeat([]*box{b}, starts)
	for step := range steps {
		y, slopes, err := s.slopes(ctx, x, in)
		if err != nil {
			return nil, err
		}
		if step == 0 {
			s.steep[of] = steepness(slopes, s.p.Inputs)
		}
		if found := s.unsafe(of, x, y); found != nil || s.gradient == nil {
			return found, nil
		}
		s.move(x, slopes, in, 0.25*(1-float64(step)/steps))
	}
	return nil, nil
}

// slopes gives the outputs of inputs in boxes of their own, and the gradients there of the
// constraint that is missed most, of the conjunction that is nearest to be met; no
// gradients where the model has none.
func (s *searcher) slopes(ctx context.Context, x []float32, in []*box) (y, slopes []float32, err error) {
	if y, err = s.answers(ctx, x); err != nil || s.gradient == nil {
		return y, nil, err
	}
	weights := make([]float32, 0, len(y))
	for i, b := range in {
		constraint := worst(s.p.Cases[b.of], widened(y[i*s.p.Outputs:(i+1)*s.p.Outputs]))
		for _, k := range constraint.Coefficients {
			weights = append(weights, float32(k))
		}
	}
	slopes, err = s.run(ctx, s.gradient, x, weights, 1)
	return y, slopes, err
}

// move goes down the slopes by a part of each box's width.
func (s *searcher) move(x, slopes []float32, in []*box, part float64) {
	for i, g := range slopes {
		b, j := in[i/s.p.Inputs], i%s.p.Inputs
		width := part * (float64(b.upper[j]) - float64(b.lower[j]))
		switch {
		case g > 0:
			x[i] = b.within(j, float64(x[i])-width)
		case g < 0:
			x[i] = b.within(j, float64(x[i])+width)
		}
	}
}

func (b *box) within(j int, v float64) float32 {
	return min(max(float32(v), b.lower[j]), b.upper[j])
}

func widened(y []float32) []float64 {
	w := make([]float64, len(y))
	for i, v := range y {
		w[i] = float64(v)
	}
	return w
}

// unsafe lists the inputs whose outputs are unsafe.
func (s *searcher) unsafe(of int, x, y []float32) [][]float32 {
	var found [][]float32
	for i := range len(x) / s.p.Inputs {
		if unsafe(s.p.Cases[of], widened(y[i*s.p.Outputs:(i+1)*s.p.Outputs])) {
			found = append(found, x[i*s.p.Inputs:(i+1)*s.p.Inputs])
		}
	}
	return found
}

// tries is how many steps the search takes in a box that is left.
const tries = 4

// try searches what is left of boxes, from the middle and from the corner where the bounds that
// are missing to a proof are least, and lists the inputs whose outputs are unsafe.
func (s *searcher) try(ctx context.Context, outcomes []outcome) error {
	var x []float32
	var in []*box
	var at []int
	for i, o := range outcomes {
		if o.rest != nil {
			at = append(at, i)
			in = append(in, o.rest, o.rest)
			x = points(x, o.rest, o.direction)
		}
	}
	if len(at) == 0 {
		return nil
	}
	for step := range tries {
		y, slopes, err := s.slopes(ctx, x, in)
		if err != nil {
			return err
		}
		some, out := 2*s.p.Inputs, 2*s.p.Outputs
		for k, i := range at {
			found := s.unsafe(outcomes[i].rest.of, x[k*some:(k+1)*some], y[k*out:(k+1)*out])
			for _, f := range found {
				outcomes[i].candidates = append(outcomes[i].candidates, slices.Clone(f))
			}
		}
		if s.gradient == nil {
			return nil
		}
		s.move(x, slopes, in, 0.25*(1-float64(step)/tries))
	}
	return nil
}

// points adds the two of a box to x.
func points(x []float32, b *box, direction []float64) []float32 {
	for j := range b.lower {
		x = append(x, b.within(j, (float64(b.lower[j])+float64(b.upper[j]))/2))
	}
	for j := range b.lower {
		if direction[j] >= 0 {
			x = append(x, b.lower[j])
		} else {
			x = append(x, b.upper[j])
		}
	}
	return x
}

// steepness is how steep the model is by each number on average, from gradients at some
// inputs; none is nothing, so that each is divided some time.
func steepness(slopes []float32, n int) []float64 {
	steep := make([]float64, n)
	for i, g := range slopes {
		if g := math.Abs(float64(g)); g < math.MaxFloat32 {
			steep[i%n] += g
		}
	}
	most := slices.Max(steep)
	for j := range steep {
		steep[j] = max(steep[j], 0.01*most)
		if most == 0 {
			steep[j] = 1
		}
	}
	return steep
}
