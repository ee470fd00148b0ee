// Package certify shows of single inputs that a classifier's answer cannot be changed by
// perturbing them within limits, from bounds of its scores (package onnx/bounds). What it
// certifies is a floor of the robust accuracy, as an attack is a ceiling.
package certify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"assay/internal/certificate"
	"assay/internal/model/ort"
	"assay/onnx"
	"assay/onnx/bounds"
)

// Assumption is what the certificates hold under.
const Assumption = "the model is run in float32 by IEEE 754's rules, its sums in any order, on inputs that reach it unchanged"

// Options say how bounds are found. The zero value is CROWN-IBP in batches of 8.
type Options struct {
	Method  bounds.Method
	Norm    bounds.Norm
	Batch   int    // inputs at once, whose linear bounds take memory; 0 for 8
	Threads int    // 0 for as many as Go uses
	Library string // the ONNX Runtime library; see ort.Load
}

// Certifier certifies a model's answers. It is for one goroutine.
type Certifier struct {
	options Options
	shape   []int64 // of an input, without the batch
	size    int     // numbers of an input
	classes int
	least   float32 // by how much the scores must be apart
	scores  *ort.Session
	bounds  *ort.Session
}

// New prepares the bounds of a classifier of one float32 input [batch d…] that gives
// scores [batch classes], the greatest of which wins; a Softmax at its end is set aside.
// It fails with a *bounds.Unsupported where the model has an operator without bounds.
func New(m *onnx.Model, o Options) (_ *Certifier, err error) {
	c := &Certifier{options: o}
	if c.options.Batch <= 0 {
		c.options.Batch = 8
	}
	logits := beforeSoftmax(m)
	if logits != m {
		// Scores this far apart stay apart in the probabilities, whose errors are some 1e-6.
		c.least = 1e-3
	}
	if err := c.measure(m); err != nil {
		return nil, err
	}
	if c.options.Method != bounds.IBP && c.options.Method != bounds.CROWNIBP && c.options.Method != bounds.CROWN {
		return nil, fmt.Errorf("there is no method %d of bounds", o.Method)
	}
	bounded, err := bounds.New(logits, bounds.Options{Method: o.Method, Norm: o.Norm, Rows: c.classes - 1})
	if err != nil {
		return nil, err
	}
	run := ort.Options{Threads: o.Threads, Library: o.Library}
	if c.scores, err = ort.New(m, run); err != nil {
		return nil, err
	}
	if c.bounds, err = ort.New(bounded, run); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close frees the runtime's sessions.
func (c *Certifier) Close() {
	for _, s := range []*ort.Session{c.scores, c.bounds} {
		if s != nil {
			s.Close()
		}
	}
}

// beforeSoftmax gives a model of what its last Softmax over the classes takes, or m itself.
func beforeSoftmax(m *onnx.Model) *onnx.Model {
	if len(m.Graph.Outputs) != 1 {
		return m
	}
	at := slices.IndexFunc(m.Graph.Nodes, func(n *onnx.Node) bool { return slices.Contains(n.Outputs, m.Graph.Outputs[0].Name) })
	if at < 0 {
		return m
	}
	n := m.Graph.Nodes[at]
	rank := len(m.Graph.Outputs[0].Type.Shape)
	if axis := n.Int("axis", -1); n.OpType() != "Softmax" || rank != 2 || axis != -1 && axis != 1 {
		return m
	}
	logits := m.Clone()
	logits.Graph.Outputs[0].Name = n.Inputs[0]
	logits.Graph.Nodes = slices.Delete(logits.Graph.Nodes, at, at+1)
	return logits
}

// measure reads the sizes of input and output.
func (c *Certifier) measure(m *onnx.Model) error {
	inputs := m.Graph.FreeInputs()
	if len(inputs) != 1 || len(m.Graph.Outputs) != 1 {
		return errors.New("a model of one input and one output can be certified")
	}
	sizes, _ := inputs[0].Type.Shape.Sizes()
	n, ok := int64(0), false
	if len(sizes) > 1 {
		n, ok = onnx.Count(sizes[1:])
	}
	if !ok || slices.Min(sizes[1:]) < 1 {
		return fmt.Errorf("the input is %s: its sizes but for the batch must be stated in the model", inputs[0].Type)
	}
	scores := m.Graph.Outputs[0].Type.Shape
	if len(scores) != 2 || scores[1].Size < 2 {
		return fmt.Errorf("the output is %s: scores [batch, classes] of two classes or more can be certified", m.Graph.Outputs[0].Type)
	}
	c.shape, c.size, c.classes = sizes[1:], int(n), int(scores[1].Size)
	return nil
}

// Input is an input with its label, an index of the scores.
type Input struct {
	X     []float32
	Label int
}

// Certify gives a certificate for each input: the greatest of the radii, which ascend, at
// which the answer to it is certain to stay what it is within the space. In L2 and L1
// the space must have no Scale and no Free numbers.
func (c *Certifier) Certify(ctx context.Context, inputs []Input, space bounds.Space, radii []float64) ([]certificate.Certificate, error) {
	if len(radii) == 0 || !slices.IsSorted(radii) {
		return nil, fmt.Errorf("the radii %v do not ascend", radii)
	}
	if c.options.Norm != bounds.Linf && (space.Scale != nil || space.Free != nil) {
		return nil, errors.New("in L2 and L1 a space with scales or free numbers cannot be certified")
	}
	var out []certificate.Certificate
	for start := 0; start < len(inputs); start += c.options.Batch {
		some := inputs[start:min(start+c.options.Batch, len(inputs))]
		list, err := c.batch(ctx, some, space, radii)
		if err != nil {
			return nil, fmt.Errorf("inputs %d to %d: %w", start, start+len(some)-1, err)
		}
		out = append(out, list...)
	}
	return out, nil
}

// batch certifies some inputs, at one radius after the other while any of them holds.
func (c *Certifier) batch(ctx context.Context, inputs []Input, space bounds.Space, radii []float64) ([]certificate.Certificate, error) {
	classes, err := c.answers(ctx, inputs)
	if err != nil {
		return nil, err
	}
	list := make([]certificate.Certificate, len(inputs))
	holds := make([]bool, len(inputs))
	for i, class := range classes {
		list[i] = certificate.Certificate{
			Class: class, Correct: class == inputs[i].Label, Norm: []string{"Linf", "L2", "L1"}[c.options.Norm],
			Method: method(c.options.Method), Assumption: Assumption, Confidence: 1,
		}
		holds[i] = true
	}
	rows := c.margins(classes)
	for _, radius := range radii {
		if !slices.Contains(holds, true) {
			break
		}
		lowest, err := c.below(ctx, inputs, space, radius, rows)
		if err != nil {
			return nil, err
		}
		for i := range inputs {
			if holds[i] = holds[i] && lowest[i] > c.least; holds[i] {
				list[i].Radius = radius
			}
		}
	}
	return list, nil
}

func method(m bounds.Method) string {
	return map[bounds.Method]string{
		bounds.IBP:      "IBP (Gowal et al. 2018)",
		bounds.CROWNIBP: "CROWN (Zhang et al. 2018), inner bounds by IBP",
		bounds.CROWN:    "CROWN (Zhang et al. 2018)",
	}[m]
}

// answers gives the class that the model answers each input with.
func (c *Certifier) answers(ctx context.Context, inputs []Input) ([]int, error) {
	var x []float32
	for i, in := range inputs {
		if len(in.X) != c.size {
			return nil, fmt.Errorf("input %d has %d numbers, and the model takes %d", i, len(in.X), c.size)
		}
		x = append(x, in.X...)
	}
	scores, err := run(ctx, c.scores, ort.NewTensor(x, c.batched(len(inputs))...))
	if err != nil {
		return nil, err
	}
	classes := make([]int, len(inputs))
	for i := range classes {
		of := scores[i*c.classes : (i+1)*c.classes]
		classes[i] = slices.Index(of, slices.Max(of))
		if classes[i] < 0 {
			return nil, fmt.Errorf("the model answers input %d with scores that are no numbers", i)
		}
	}
	return classes, nil
}

func (c *Certifier) batched(n int) []int64 { return append([]int64{int64(n)}, c.shape...) }

// margins are the scores of the classes given less each other's, [batch classes-1 classes].
func (c *Certifier) margins(classes []int) *ort.Tensor {
	rows := make([]float32, len(classes)*(c.classes-1)*c.classes)
	at := 0
	for _, class := range classes {
		for other := range c.classes {
			if other != class {
				rows[at+class], rows[at+other] = 1, -1
				at += c.classes
			}
		}
	}
	return ort.NewTensor(rows, int64(len(classes)), int64(c.classes-1), int64(c.classes))
}

// below gives the lower bound of each input's least margin.
func (c *Certifier) below(ctx context.Context, inputs []Input, space bounds.Space, radius float64, rows *ort.Tensor) ([]float32, error) {
	n := len(inputs)
	lower, upper := make([]float32, n*c.size), make([]float32, n*c.size)
	center, reach := make([]float32, 0, n*c.size), make([]float32, n)
	for i, in := range inputs {
		from, to := i*c.size, (i+1)*c.size
		if err := space.Box(in.X, radius, lower[from:to], upper[from:to]); err != nil {
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
		center = append(center, in.X...)
		reach[i] = float32(radius * (1 + 0x1p-22)) // not below it
	}
	feeds := []*ort.Tensor{ort.NewTensor(lower, c.batched(n)...), ort.NewTensor(upper, c.batched(n)...), rows}
	if c.options.Norm != bounds.Linf {
		feeds = append(feeds, ort.NewTensor(center, c.batched(n)...), ort.NewTensor(reach, int64(n), 1))
	}
	bound, err := run(ctx, c.bounds, feeds...)
	if err != nil {
		return nil, err
	}
	least := make([]float32, n)
	for i := range least {
		least[i] = slices.Min(bound[i*(c.classes-1) : (i+1)*(c.classes-1)])
	}
	return least, nil
}

func run(ctx context.Context, s *ort.Session, feeds ...*ort.Tensor) ([]float32, error) {
	out := make([]*ort.Tensor, 1)
	if err := s.Run(ctx, feeds, out); err != nil {
		return nil, err
	}
	return ort.Data[float32](out[0]), nil
}
