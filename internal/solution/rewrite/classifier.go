// Package rewrite builds a model around others: a solution that is a part of the graph calls
// a classifier as often as it likes, on what it likes, and adds nodes of its own.
package rewrite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/onnx"
	"assay/onnx/autodiff"
	"assay/onnx/infer"
	"assay/onnx/upgrade"
)

// Classifier is a model that a [Builder] can call. It takes one batch of numbers.
type Classifier struct {
	model.Description // of the model as it was given

	source  *onnx.Model // in the normal form of operators, with its scores as the only output
	input   onnx.Value
	types   *infer.Types
	value   string // that the logits are made of
	form    form
	defence *model.Defence
}

// form says what the value is that logits are made of.
type form int

const (
	logits      form = iota // one for each class
	lead                    // of the second of two classes over the first
	probability             // of each class
	second                  // the probability of the second of two classes
)

// Open takes a model for one that a solution can be built around. It runs it once, to learn what it leaves open.
func Open(ctx context.Context, m *onnx.Model, o ort.Options) (*Classifier, error) {
	c := &Classifier{}
	var err error
	if c.defence, err = model.ReadDefence(m); err != nil {
		return nil, err
	}
	switch {
	case c.defence.Reject:
		return nil, errors.New("the model refuses inputs already: build this solution around the model that it was made of")
	case c.defence.Smoothing != nil || len(c.defence.Random) > 0:
		return nil, errRandom
	}
	if err := c.describe(ctx, m, o); err != nil {
		return nil, err
	}
	if err := c.normalise(m); err != nil {
		return nil, err
	}
	return c, c.find()
}

var errRandom = errors.New("the model answers at random, and a solution in its graph would be calibrated on one draw: build it around the model as it was before")

func (c *Classifier) describe(ctx context.Context, m *onnx.Model, o ort.Options) error {
	run, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: o})
	if err != nil {
		return err
	}
	c.Description = run.Describe()
	if err := run.Close(); err != nil {
		return err
	}
	if c.Output == model.Labels {
		return errors.New("the model gives only labels, and a solution in its graph needs scores")
	}
	return nil
}

// normalise brings the model to the form in which all solutions meet it.
func (c *Classifier) normalise(m *onnx.Model) error {
	m = m.Clone()
	if err := m.Inline(); err != nil {
		return err
	}
	m, err := upgrade.To(m, autodiff.Opset)
	if err != nil {
		return err
	}
	r, err := model.Recognise(m, model.Override{})
	if err != nil {
		return err
	}
	if len(r.Random) > 0 {
		return errRandom
	}
	if len(r.Inputs) != 1 || !r.Inputs[0].Element.IsFloat() {
		return fmt.Errorf("the model has %d inputs, the first of %s: a solution in its graph needs one, of floating-point numbers", len(r.Inputs), r.Inputs[0].Element)
	}
	c.source = r.Model
	c.input = r.Model.Graph.FreeInputs()[0]
	c.types, err = infer.Shapes(r.Model)
	return err
}

// find finds the value that logits are made of, before a softmax or sigmoid where the model ends in one.
func (c *Classifier) find() error {
	c.value = c.source.Graph.Outputs[0].Name
	last := c.producer(c.value)
	one := c.types.Of(c.value).Shape
	single := len(one) > 0 && one[len(one)-1].Size == 1
	switch {
	case last != nil && last.Op == "Softmax" && !single:
		c.value = last.Input(0)
	case last != nil && last.Op == "Sigmoid" && single:
		c.value, c.form = last.Input(0), lead
	case single && c.Output == model.Probabilities:
		c.form = second
	case single:
		c.form = lead
	case c.Output == model.Probabilities && (last == nil || last.Op != "LogSoftmax"):
		c.form = probability
	}
	return nil
}

// producer gives the node that makes a value, past those that only rearrange it.
func (c *Classifier) producer(value string) *onnx.Node {
	for range c.source.Graph.Nodes {
		n := c.maker(value)
		if n == nil {
			return nil
		}
		switch n.OpType() {
		case "Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze":
			value = n.Input(0)
		default:
			return n
		}
	}
	return nil
}

// maker gives the node that makes a value, nil for inputs and weights.
func (c *Classifier) maker(value string) *onnx.Node {
	i := slices.IndexFunc(c.source.Graph.Nodes, func(n *onnx.Node) bool { return slices.Contains(n.Outputs, value) })
	if i < 0 {
		return nil
	}
	return c.source.Graph.Nodes[i]
}

// Layer gives the value that a layer makes: that of a node or a value of this name, and of the empty name what the
// last layer with weights takes, where classes are told apart by a plane.
func (c *Classifier) Layer(name string) (string, error) {
	if name == "" {
		return c.penultimate()
	}
	for _, n := range c.source.Graph.Nodes {
		if n.Name == name || slices.Contains(n.Outputs, name) {
			value := n.Output(0)
			if slices.Contains(n.Outputs, name) {
				value = name
			}
			return value, c.checkLayer(value)
		}
	}
	var some []string
	for _, n := range slices.Backward(c.source.Graph.Nodes) {
		if some = append(some, n.Output(0)); len(some) == 8 {
			break
		}
	}
	return "", fmt.Errorf("the model has no layer %q: name a node or a value, such as one of the last, %q", name, some)
}

func (c *Classifier) penultimate() (string, error) {
	value := c.value
	for range c.source.Graph.Nodes {
		n := c.maker(value)
		if n == nil {
			break
		}
		value = n.Input(0)
		switch n.Op {
		case "Gemm", "MatMul", "Conv":
			return value, c.checkLayer(value)
		case "Add", "Sub", "Mul", "Div":
			if c.maker(value) == nil {
				value = n.Input(1)
			}
		}
	}
	return "", errors.New("which is the last layer but one cannot be told: name a layer")
}

func (c *Classifier) checkLayer(value string) error {
	t := c.types.Of(value)
	if t.Kind != onnx.KindTensor || !t.Elem.IsFloat() || len(t.Shape) < 2 {
		return fmt.Errorf("the layer %q is %s, not floating-point numbers for each row", value, t)
	}
	return nil
}
