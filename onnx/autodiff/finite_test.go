package autodiff

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"assay/internal/float64eval"
	"assay/internal/model/ort"
	"assay/onnx"
)

// The check of a gradient: what Pullback gives is compared with central differences
// of the forward graph, both in float64. Differences are taken along every coordinate
// of small values, along random directions and some coordinates of large ones, at two
// step sizes of which Richardson's extrapolation removes the error of second order.
const (
	tolerance   = 1e-5 // relative to the norm of what is compared
	tolerance32 = 2e-3 // of the same graph in float32 under full optimization

	step        = 2e-4
	fewValues   = 64   // up to here every coordinate is tried
	manyValues  = 1024 // a direction moves so many elements at most, or it meets kinks everywhere
	directions  = 8
	coordinates = 24

	// Rounding spoils a difference by about this times the size of the sum that is
	// differentiated, divided by the step: the comparison's absolute floor is ten
	// times that.
	roundoff = 1e-15

	nudges = 8 // away from kinks
)

// gradientCheck is one model at one point.
type gradientCheck struct {
	model *onnx.Model
	feeds map[string]float64eval.Value // of the model's free inputs, in their own types
	fixed []string                     // values not to be differentiated
	seed  uint64
	few   bool    // differences along few directions only, for whole networks
	loose float64 // relative error allowed in float32, 0 for the usual

	// original is the model before its nodes were written out as others.
	original *onnx.Model
	strange  *int // outputs that are not finite at the first point
}

// errStraight says that a gradient is not meant to be the derivative.
type errStraight struct{ nodes []*onnx.Node }

func (e errStraight) Error() string {
	return fmt.Sprintf("straight through %v", e.nodes)
}

// errDiscrete says that there is nothing to differentiate.
var errDiscrete = errors.New("it has no input or no output along which gradients flow")

// errKink says that differences do not exist, at any of the points tried.
var errKink = errors.New("there is a kink at every point tried")

// run checks the gradients of all outputs with respect to all inputs and weights,
// and gives the number of values compared.
func (c gradientCheck) run() (int, error) {
	g, err := New(c.model)
	if err != nil {
		return 0, err
	}
	c.model = g.Model()
	c.strange = new(int)
	*c.strange = -1
	c.original = g.Model().Clone()
	if err := elementary(g, c); err != nil {
		return 0, err
	}
	for try := range nudges {
		compared, err := c.atPoint()
		if !errors.Is(err, errKink) {
			return compared, err
		}
		if c, err = c.nudged(uint64(try)); err != nil {
			return 0, err
		}
	}
	return 0, errKink
}

// elementary replaces the nodes of a graph that a gradient would replace, so that the
// forward graph is the one that is differentiated.
func elementary(g *Graph, c gradientCheck) error {
	params, _ := c.params()
	for _, v := range g.Graph.Outputs {
		var none *NoPath
		var not *NotDifferentiable
		if _, err := g.prepare(v.Name, params); err != nil && !errors.As(err, &none) && !errors.As(err, &not) {
			return err
		}
	}
	return nil
}

// structural are inputs of operators that are of floating point but steer the shape
// or the kind of the computation.
var structural = map[string][]int{
	"Resize": {1, 2}, "Upsample": {1}, "Range": {0, 1, 2}, "OneHot": {0, 1},
	"NonMaxSuppression": {0, 1, 2, 3, 4}, "Dropout": {1}, "RoiAlign": {1},
	"HannWindow": {0}, "HammingWindow": {0}, "BlackmanWindow": {0}, "MelWeightMatrix": {0, 1, 2, 3, 4},
}

// params are the values to differentiate with respect to: inputs, then weights.
func (c gradientCheck) params() (all, weights []string) {
	graph := c.model.Graph
	held := slices.Clone(c.fixed)
	used := map[string]bool{}
	for _, n := range graph.Nodes {
		for i, v := range n.Inputs {
			if slices.Contains(structural[n.OpType()], i) {
				held = append(held, v)
			}
			used[v] = true
		}
	}
	for _, v := range graph.FreeInputs() {
		if v.Type.Kind == onnx.KindTensor && v.Type.Elem.IsFloat() && !slices.Contains(held, v.Name) {
			all = append(all, v.Name)
		}
	}
	for _, t := range graph.Initializers {
		// The binding to the runtime takes no scalars of float16.
		half := len(t.Shape) == 0 && (t.Type == onnx.Float16 || t.Type == onnx.BFloat16)
		if t.Type.IsFloat() && !half && t.Len() > 0 && used[t.Name] && !slices.Contains(held, t.Name) {
			all, weights = append(all, t.Name), append(weights, t.Name)
		}
	}
	return all, weights
}

// nudged moves all that is differentiated by a little.
func (c gradientCheck) nudged(try uint64) (gradientCheck, error) {
	const size = 0.03
	rng := rand.New(rand.NewPCG(c.seed, 1000+try))
	all, _ := c.params()
	move := func(t *onnx.Tensor) (*onnx.Tensor, error) {
		values, err := t.Float64s()
		if err != nil {
			return nil, err
		}
		for i := range values {
			values[i] += size * (2*rng.Float64() - 1)
		}
		return onnx.FromFloat64s(t.Name, t.Type, values, t.Shape...)
	}
	c.model, c.original = c.model.Clone(), c.original.Clone()
	for i, t := range c.model.Graph.Initializers {
		if slices.Contains(all, t.Name) {
			moved, err := move(t)
			if err != nil {
				return c, err
			}
			c.model.Graph.Initializers[i] = moved
			for j, same := range c.original.Graph.Initializers {
				if same.Name == t.Name {
					c.original.Graph.Initializers[j] = moved
				}
			}
		}
	}
	feeds := map[string]float64eval.Value{}
	for _, v := range c.model.Graph.FreeInputs() {
		feeds[v.Name] = c.feeds[v.Name]
		t, ok := c.feeds[v.Name].(*ort.Tensor)
		if !ok || !slices.Contains(all, v.Name) {
			continue
		}
		constant, err := t.ONNX(v.Name)
		if err != nil {
			return c, err
		}
		if constant, err = move(constant); err != nil {
			return c, err
		}
		if feeds[v.Name], err = ort.FromONNX(constant); err != nil {
			return c, err
		}
	}
	c.feeds = feeds
	return c, nil
}

// atPoint is run at the point given alone.
func (c gradientCheck) atPoint() (compared int, err error) {
	model, err := float64eval.Convert(c.model)
	if err != nil {
		return 0, err
	}
	params, weights := c.params()
	if len(params) == 0 {
		return 0, errDiscrete
	}
	if err := c.forwardInOwnTypes(model); err != nil {
		return 0, err
	}
	forward, err := float64eval.New(model, weights...)
	if err != nil {
		return 0, err
	}
	defer forward.Close()
	feeds, err := widened(c.feeds)
	if err != nil {
		return 0, err
	}
	outputs, err := forward.Run(feeds)
	if err != nil {
		return 0, fmt.Errorf("forward: %w", err)
	}
	for _, w := range weights {
		if feeds[w], err = ort.FromONNX(model.Graph.Initializer(w)); err != nil {
			return 0, err
		}
	}
	if strange := c.countStrange(outputs); *c.strange < 0 {
		*c.strange = strange
	} else if strange > *c.strange {
		return 0, errKink // nudged out of the domain
	}
	rng := rand.New(rand.NewPCG(c.seed, 1))
	point := &point{forward: forward, feeds: feeds, rng: rng, few: c.few}
	var grads []map[string][]float64 // of each of point.outputs
	for _, v := range c.model.Graph.Outputs {
		if v.Type.Kind != onnx.KindTensor || !v.Type.Elem.IsFloat() {
			continue
		}
		y := outputs[v.Name].(*ort.Tensor)
		seed := make([]float64, y.Len())
		for i, v := range ort.Data[float64](y) {
			if seed[i] = rng.NormFloat64(); math.IsNaN(v) || math.IsInf(v, 0) {
				seed[i] = 0
			}
		}
		of, err := c.gradients(model, v, feeds, ort.NewTensor(seed, y.Shape...), params)
		if err != nil {
			return 0, fmt.Errorf("of %s: %w", v.Name, err)
		}
		point.outputs, point.seeds, grads = append(point.outputs, v.Name), append(point.seeds, seed), append(grads, of)
	}
	if len(grads) == 0 {
		return 0, errDiscrete
	}
	kink := false
	for _, name := range params {
		measured, err := point.measure(name)
		if err != nil {
			return 0, fmt.Errorf("differences: %w", err)
		}
		for o, output := range point.outputs {
			err := measured.compare(o, grads[o][name])
			if errors.Is(err, errKink) {
				kink = true
				continue
			}
			if err != nil {
				return 0, fmt.Errorf("d%s/d%s: %w", output, name, err)
			}
			compared += len(measured.along)
		}
	}
	if kink {
		return compared, errKink
	}
	return compared, nil
}

// countStrange counts the elements of outputs that are not finite.
func (c gradientCheck) countStrange(outputs map[string]float64eval.Value) (count int) {
	for _, v := range outputs {
		if t, ok := v.(*ort.Tensor); ok && t.Type == onnx.Float64 {
			for _, x := range ort.Data[float64](t) {
				if math.IsNaN(x) || math.IsInf(x, 0) {
					count++
				}
			}
		}
	}
	return count
}

// gradients gives the gradient of an output with respect to each of params, by the
// graph in float64, after making sure that the runtime makes the same of the graph
// in its own types.
func (c gradientCheck) gradients(model *onnx.Model, output onnx.Value, feeds map[string]float64eval.Value, seed *ort.Tensor, params []string) (map[string][]float64, error) {
	zero := map[string][]float64{}
	g, err := pullbackModel(model, output.Name, onnx.Float64, params)
	if none := (*NoPath)(nil); errors.As(err, &none) {
		for _, name := range params {
			zero[name] = make([]float64, feeds[name].(*ort.Tensor).Len())
		}
		return zero, nil
	}
	if err != nil {
		return nil, err
	}
	backward, err := float64eval.New(g)
	if err != nil {
		return nil, err
	}
	defer backward.Close()
	with := map[string]float64eval.Value{g.Graph.Inputs[len(g.Graph.Inputs)-1].Name: seed}
	for _, v := range g.Graph.FreeInputs()[:len(g.Graph.FreeInputs())-1] {
		with[v.Name] = feeds[v.Name]
	}
	got, err := backward.Run(with)
	if err != nil {
		return nil, fmt.Errorf("backward: %w", err)
	}
	grads := map[string][]float64{}
	for i, name := range params {
		d := got[g.Graph.Outputs[i].Name].(*ort.Tensor)
		if x := feeds[name].(*ort.Tensor); !slices.Equal(d.Shape, x.Shape) {
			return nil, fmt.Errorf("the gradient of %s has the shape %v, not %v", name, d.Shape, x.Shape)
		}
		grads[name] = ort.Data[float64](d)
	}
	return grads, c.inOwnTypes(output, seed, params, grads)
}

// pullbackModel is the model with the gradients of an output as its only outputs, and
// the weights of the output's elements as the last input.
func pullbackModel(m *onnx.Model, output string, elem onnx.DataType, params []string) (*onnx.Model, error) {
	g, err := New(m)
	if err != nil {
		return nil, err
	}
	types, err := inferred(g.model)
	if err != nil {
		return nil, err
	}
	shape := types.Of(output).Shape
	seed := g.Name("seed")
	g.Graph.Inputs = append(g.Graph.Inputs, onnx.Value{Name: seed, Type: onnx.TensorOf(elem, shape)})
	grads, err := g.Pullback(output, seed, params...)
	if err != nil {
		return nil, err
	}
	if len(grads.StraightThrough) > 0 {
		return nil, errStraight{grads.StraightThrough}
	}
	g.Graph.Outputs = nil
	for i, name := range grads.Names {
		g.OutputAs("gradient", name, types.Of(params[i]).Elem, types.Of(params[i]).Shape)
	}
	return g.Model(), nil
}

// inOwnTypes runs the gradient in the model's own types under full optimization.
func (c gradientCheck) inOwnTypes(output onnx.Value, seed *ort.Tensor, params []string, want map[string][]float64) error {
	g, err := pullbackModel(c.model, output.Name, output.Type.Elem, params)
	if err != nil {
		return err
	}
	s, err := ort.New(g, ort.Options{Threads: 1})
	if err != nil {
		return fmt.Errorf("in float32: %w", err)
	}
	defer s.Close()
	inputs := make([]any, len(s.Inputs()))
	for i, v := range s.Inputs() {
		inputs[i] = c.feeds[v.Name]
	}
	if inputs[len(inputs)-1], err = narrowed(seed, output.Type.Elem); err != nil {
		return err
	}
	got, err := runAll(s, inputs)
	if err != nil {
		return fmt.Errorf("in float32: %w", err)
	}
	for i, name := range params {
		t, err := got[i].ONNX(name)
		if err != nil {
			return err
		}
		values, err := t.Float64s()
		if err != nil {
			return err
		}
		if e := distance(values, want[name]); !(e <= c.ownTolerance()*norm(want[name])+c.floor32(want)) {
			return fmt.Errorf("in %s the gradient of %s is %v, in float64 %v", t.Type, name, clip(values), clip(want[name]))
		}
	}
	return nil
}

// forwardInOwnTypes checks the float64 evaluation against the runtime's of the model as
// it was given.
func (c gradientCheck) forwardInOwnTypes(wide *onnx.Model) error {
	feeds, err := widened(c.feeds)
	if err != nil || slices.ContainsFunc(wide.Graph.Nodes, float64eval.Random) {
		return err
	}
	e, err := float64eval.ByNode(wide)
	if err != nil {
		return err
	}
	defer e.Close()
	want, err := e.Run(feeds)
	if err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	s, err := ort.New(c.original, ort.Options{Threads: 1})
	if err != nil {
		return fmt.Errorf("forward in float32: %w", err)
	}
	defer s.Close()
	inputs := make([]any, len(s.Inputs()))
	for i, v := range s.Inputs() {
		inputs[i] = c.feeds[v.Name]
	}
	got, err := runAll(s, inputs)
	if err != nil {
		return fmt.Errorf("forward in float32: %w", err)
	}
	for i, v := range s.Outputs() {
		if got[i] == nil {
			continue
		}
		y, ok := want[v.Name].(*ort.Tensor)
		if !ok || !slices.Equal(y.Shape, got[i].Shape) {
			return fmt.Errorf("forward: %s is %v in float64, %v in the runtime", v.Name, want[v.Name], got[i])
		}
		if a, b := numbers(y), numbers(got[i]); v.Type.Elem.IsFloat() && !(distance(a, b) <= c.ownTolerance()*norm(a)+1e-5) {
			return fmt.Errorf("forward: %s is %v in float64, %v in the runtime", v.Name, clip(a), clip(b))
		}
	}
	return nil
}

// ownTolerance is the relative error allowed to the model's own types.
func (c gradientCheck) ownTolerance() float64 {
	allowed := max(tolerance32, c.loose)
	for _, v := range slices.Concat(c.model.Graph.Inputs, c.model.Graph.Outputs) {
		switch v.Type.Elem {
		case onnx.Float16:
			allowed = max(allowed, 1e-2)
		case onnx.BFloat16:
			allowed = max(allowed, 5e-2)
		}
	}
	return allowed
}

// floor32 is the error that float32 may make in a gradient that is small beside the
// others.
func (c gradientCheck) floor32(all map[string][]float64) float64 {
	largest := 0.0
	for _, g := range all {
		largest = max(largest, norm(g))
	}
	return 1e-5 * max(largest, 1e-2)
}

func runAll(s *ort.Session, inputs []any) ([]*ort.Tensor, error) {
	tensors := make([]*ort.Tensor, len(inputs))
	plain := true
	for i, x := range inputs {
		t, ok := x.(*ort.Tensor)
		plain = plain && ok
		tensors[i] = t
	}
	outputs := make([]*ort.Tensor, len(s.Outputs()))
	if plain {
		return outputs, s.Run(context.Background(), tensors, outputs)
	}
	values, err := s.RunValues(context.Background(), inputs...)
	if err != nil {
		return nil, err
	}
	for i, v := range values {
		outputs[i], _ = v.(*ort.Tensor)
	}
	return outputs, nil
}

// widened gives feeds in float64.
func widened(feeds map[string]float64eval.Value) (map[string]float64eval.Value, error) {
	out := map[string]float64eval.Value{}
	for name, v := range feeds {
		w, err := widen(v)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", name, err)
		}
		out[name] = w
	}
	return out, nil
}

func widen(v float64eval.Value) (float64eval.Value, error) {
	switch v := v.(type) {
	case *ort.Tensor:
		return narrowed(v, onnx.Float64)
	case []any:
		list := make([]any, len(v))
		for i, x := range v {
			w, err := widen(x)
			if err != nil {
				return nil, err
			}
			list[i] = w
		}
		return list, nil
	}
	return v, nil
}

// narrowed gives a tensor of floating point in another type, others as they are.
func narrowed(t *ort.Tensor, to onnx.DataType) (*ort.Tensor, error) {
	if !t.Type.IsFloat() || t.Type == to {
		return t, nil
	}
	c, err := t.ONNX("")
	if err != nil {
		return nil, err
	}
	values, err := c.Float64s()
	if err != nil {
		return nil, err
	}
	if c, err = onnx.FromFloat64s("", to, values, append([]int64{}, t.Shape...)...); err != nil {
		return nil, err
	}
	return ort.FromONNX(c)
}
