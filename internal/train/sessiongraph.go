package train

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"assay/onnx"
	"assay/onnx/autodiff"
	"assay/onnx/infer"
)

// Names of what the graphs take and give beside parameters and statistics.
const (
	examplesName = "assay_examples"
	cleanName    = "assay_clean"
	labelsName   = "assay_labels"
	weightsName  = "assay_weights"
	lossName     = "assay_loss"
	scoresName   = "assay_scores"
)

// trainingGraph makes the graph of a step. It takes the examples, their labels,
// the parameters in order, and the examples' weights. It gives each example's loss,
// the scores, the gradients of the weighted sum of the losses in the parameters' order,
// and the batch's own statistics in theirs. For a loss of pairs it takes the examples as they
// were before the weights, and the scores are those of the perturbed ones.
func (p *plan) trainingGraph(o *Options) (*onnx.Model, error) {
	m := p.start()
	switchModes(m.Graph, p)
	e, err := p.extend(m, p.parameters, nil, o.Pair != nil)
	if err != nil {
		return nil, err
	}
	each, err := e.loss(o.trained())
	if err != nil {
		return nil, err
	}
	weights := e.Input(weightsName, onnx.Float32, p.dim())
	grads, err := e.Pullback(each, weights, e.leaves...)
	if err != nil {
		return nil, fmt.Errorf("the model cannot be trained: %w", err)
	}
	for i, name := range grads.Names {
		e.Output(e.distinct(name), onnx.Float32, onnx.Fixed(p.parameters[i].shape...))
	}
	for _, s := range p.statistics {
		value := producer(m.Graph, s.norm).Output(s.of)
		e.Output(e.distinct(e.cast(value, s.elem, onnx.Float32)), onnx.Float32, onnx.Fixed(s.shape...))
	}
	return e.Model(), nil
}

// evaluationGraph makes the graph that gives the examples' losses and scores as the
// model stands. It takes the examples, their labels, and the parameters and
// statistics in order.
func (p *plan) evaluationGraph(loss autodiff.Loss) (*onnx.Model, error) {
	e, err := p.extend(p.start(), p.parameters, p.statistics, false)
	if err != nil {
		return nil, err
	}
	if _, err := e.loss(loss); err != nil {
		return nil, err
	}
	return e.Model(), nil
}

// slopeGraph makes the graph that gives what the evaluation's does, and the gradient of each
// example's loss with respect to its input, the perturbed one of a pair.
func (p *plan) slopeGraph(o *Options) (*onnx.Model, error) {
	e, err := p.extend(p.start(), p.parameters, p.statistics, o.Pair != nil)
	if err != nil {
		return nil, err
	}
	each, err := e.loss(o.climbed())
	if err != nil {
		return nil, err
	}
	grads, err := e.Gradient(each, e.examples)
	if err != nil {
		return nil, fmt.Errorf("the model has no gradient with respect to its input: %w", err)
	}
	e.Output(e.distinct(grads.Names[0]), onnx.Float32, p.input.Type.Shape)
	return e.Model(), nil
}

// start gives the part of the model that the scores need.
func (p *plan) start() *onnx.Model {
	m := p.base.Clone()
	g := m.Graph
	g.Inputs, g.Outputs = nil, nil
	g.Nodes = needed(g, p.scores)
	read := map[string]bool{p.scores: true}
	for _, n := range g.Nodes {
		for _, v := range n.Reads() {
			read[v] = true
		}
	}
	g.Initializers = slices.DeleteFunc(slices.Clone(g.Initializers), func(t *onnx.Tensor) bool { return !read[t.Name] })
	return m
}

// switchModes puts the nodes that work differently in training into that mode. With
// a momentum of 0 batch normalisation gives the statistics of the batch alone.
func switchModes(g *onnx.Graph, p *plan) {
	norms := map[string]bool{}
	for _, s := range p.statistics {
		norms[s.norm] = true
	}
	b := onnx.Extend(g)
	for _, n := range g.Nodes {
		switch {
		case norms[n.Output(0)]:
			n.Attrs["training_mode"], n.Attrs["momentum"] = int64(1), float32(0)
			n.Outputs = []string{n.Outputs[0], b.Name(n.Outputs[0] + "_mean"), b.Name(n.Outputs[0] + "_var")}
		case slices.Contains(p.dropouts, n.Output(0)):
			ratio := n.Input(1)
			if ratio == "" {
				ratio = b.Number(onnx.Float32, 0.5)
			}
			n.Inputs = []string{n.Inputs[0], ratio, b.Number(onnx.Bool, 1)}
			n.Attrs["seed"] = int64(0)
		}
	}
}

// reseed gives each dropout of a training graph a seed of its own.
func reseed(g *onnx.Graph, source *rand.PCG) {
	for _, n := range g.Nodes {
		if n.OpType() == "Dropout" && n.Has("seed") {
			n.Attrs["seed"] = int64(source.Uint64() >> 2)
		}
	}
}

// extended is a model's graph with float32 inputs in place of its own input and of
// the values to be fed.
type extended struct {
	*autodiff.Graph
	plan     *plan
	examples string   // the input for the examples
	leaves   []string // the inputs for the parameters
	paired   bool     // the scores are of examples as they are and, below, as they were perturbed
}

// extend declares the inputs, with the examples and labels as the first two, and for pairs
// the examples as they were before as the last.
func (p *plan) extend(m *onnx.Model, parameters []parameter, statistics []statistic, paired bool) (*extended, error) {
	b := onnx.Extend(m.Graph)
	nodes := m.Graph.Nodes
	m.Graph.Nodes = nil
	// A value of another type is fed as float32 all the same: Micikevicius et al.
	// (2017, arXiv:1710.03740, section 3.1) keep the weights of half precision so.
	feed := func(name, hint string, elem onnx.DataType, shape onnx.Shape) string {
		m.Graph.Initializers = slices.DeleteFunc(m.Graph.Initializers, func(t *onnx.Tensor) bool { return t.Name == name })
		input := name
		if elem != onnx.Float32 {
			input = b.Name(hint)
			b.Add("Cast", onnx.Attrs{"to": int64(elem)}, []string{input}, []string{name})
		}
		m.Graph.Inputs = append(m.Graph.Inputs, onnx.Value{Name: input, Type: onnx.TensorOf(onnx.Float32, shape)})
		return input
	}
	declare := func(name string) {
		m.Graph.Inputs = append(m.Graph.Inputs, onnx.Value{Name: name, Type: onnx.TensorOf(onnx.Float32, p.input.Type.Shape)})
	}
	var examples, clean string
	if paired {
		clean, examples = p.pairs(b)
		declare(examples)
	} else {
		examples = feed(p.input.Name, examplesName, p.input.Type.Elem, p.input.Type.Shape)
	}
	var leaves []string
	for _, w := range parameters {
		leaves = append(leaves, feed(w.name, w.name+"_float32", w.elem, onnx.Fixed(w.shape...)))
	}
	for _, s := range statistics {
		feed(s.name, s.name+"_float32", s.elem, onnx.Fixed(s.shape...))
	}
	if paired {
		declare(clean)
	}
	m.Graph.Nodes = append(m.Graph.Nodes, nodes...)
	g, err := autodiff.New(m)
	if err != nil {
		return nil, err
	}
	return &extended{Graph: g, plan: p, examples: examples, leaves: leaves, paired: paired}, nil
}

// loss adds the examples' losses and the scores as the first two outputs.
func (e *extended) loss(loss autodiff.Loss) (string, error) {
	types, err := infer.Shapes(e.Model())
	if err != nil {
		return "", err
	}
	t := types.Of(e.plan.scores)
	if t.Kind != onnx.KindTensor || !t.Elem.IsFloat() || t.Shape == nil {
		return "", fmt.Errorf("the model's scores %q are %s, and floating-point numbers of known rank are needed", e.plan.scores, t)
	}
	scores, labels, shape, err := e.scores(t)
	if err != nil {
		return "", err
	}
	each, err := e.Loss(loss, scores, labels)
	if err != nil {
		return "", err
	}
	e.OutputAs(lossName, each, onnx.Float32, onnx.Dims(e.plan.dim()))
	if e.paired {
		scores = e.Ops("Split", onnx.Attrs{"axis": int64(0), "num_outputs": int64(2)}, 2, scores)[1]
	}
	e.OutputAs(scoresName, scores, onnx.Float32, shape)
	return each, nil
}

// scores brings the scores to the form that losses are made from, float32 among
// other things, and declares the labels.
func (e *extended) scores(t onnx.Type) (scores, labels string, shape onnx.Shape, err error) {
	p := e.plan
	sizes, _ := t.Shape.Sizes()
	if len(sizes) == 0 {
		return "", "", nil, fmt.Errorf("the model's scores %q are one number for the whole batch, and each example needs its own", p.scores)
	}
	width, ok := onnx.Count(sizes[1:])
	if !ok || width != int64(p.columns) {
		return "", "", nil, fmt.Errorf("the model's scores %q are %s, and %d numbers for each example are needed", p.scores, t, p.columns)
	}
	shape = onnx.Dims(p.dim(), p.columns)
	scores = e.cast(p.scores, t.Elem, onnx.Float32)
	if len(sizes) != 2 {
		scores = e.Op("Reshape", nil, scores, e.Ints(-1, width))
	}
	if p.classes == 0 {
		return scores, e.input(labelsName, onnx.Float32, shape), shape, nil
	}
	labels = e.input(labelsName, onnx.Int64, onnx.Dims(p.dim()))
	if width == 1 {
		// One number is for the second of two classes. Its lead over the first, whose
		// score is 0, is what a sigmoid turns into a probability.
		first := e.Op("Mul", nil, scores, e.Number(onnx.Float32, 0))
		if p.logarithm {
			first = e.Op("Sub", nil, e.Number(onnx.Float32, 1), scores)
		}
		scores = e.Op("Concat", onnx.Attrs{"axis": int64(1)}, first, scores)
		shape = onnx.Dims(p.dim(), 2)
	}
	if p.logarithm {
		const least = 1e-7 // so that the loss of a probability of 0 is finite
		scores = e.Op("Log", nil, e.Op("Max", nil, scores, e.Number(onnx.Float32, least)))
	}
	return scores, labels, shape, nil
}

// input declares an input as the second, after the examples.
func (e *extended) input(name string, elem onnx.DataType, shape onnx.Shape) string {
	v := onnx.Value{Name: e.Name(name), Type: onnx.TensorOf(elem, shape)}
	g := e.Model().Graph
	g.Inputs = slices.Insert(g.Inputs, 1, v)
	return v.Name
}

func (e *extended) cast(value string, from, to onnx.DataType) string {
	if from == to {
		return value
	}
	return e.Op("Cast", onnx.Attrs{"to": int64(to)}, value)
}

// distinct gives a value under a name that is no input or other output: gradients
// may share one.
func (e *extended) distinct(value string) string {
	g := e.Model().Graph
	if slices.ContainsFunc(slices.Concat(g.Inputs, g.Outputs), func(v onnx.Value) bool { return v.Name == value }) {
		return e.Op("Identity", nil, value)
	}
	return value
}

// dim is the first dimension of everything that has a row for each example.
func (p *plan) dim() onnx.Dim { return p.input.Type.Shape[0] }
