// Package text runs classifiers of texts: a tokenizer, and a model that takes the numbers of tokens.
package text

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/text/tokenizer"
	"assay/onnx"
)

// Options say how a model is run on texts.
type Options struct {
	ort.Options
	Classes []string // names, in the order of the scores; nil leaves them to the model
	Length  int      // tokens that a text is cut to; 0 for what tokenizer or model say, else 512
	Batch   int      // texts that are run at once; 0 for 32
}

const (
	defaultLength = 512
	defaultBatch  = 32
	maxLength     = 1 << 16
)

// Classifier gives texts scores. It is safe for concurrent use.
type Classifier struct {
	tokenizer   tokenizer.Tokenizer
	session     *ort.Session
	roles       []role // of the model's inputs, in their order
	elements    []onnx.DataType
	description model.Description
	columns     int
	length      int  // tokens of a text at most
	fixed       bool // tokens of each text, filled up
	batch       int
}

// role is what an input of a model takes.
type role int

const (
	tokens role = iota // their numbers
	mask               // 1 for a token, 0 for what fills up
	kinds              // 0: all of it is one text
)

// New makes a classifier. The model takes whole numbers of shape [batch, tokens]: tokens, and where it has more inputs
// a mask of those that count and the kinds of tokens (input_ids, attention_mask and token_type_ids, as transformers
// exports them). Where its number of tokens is open, texts of a length are run together and nothing is filled up.
func New(ctx context.Context, m *onnx.Model, t tokenizer.Tokenizer, o Options) (*Classifier, error) {
	c := &Classifier{tokenizer: t, batch: cmp.Or(o.Batch, defaultBatch)}
	m = m.Clone()
	if err := c.takeInputs(m.Graph, o); err != nil {
		return nil, err
	}
	if f, ok := t.(*tokenizer.File); ok {
		c.tokenizer = f.Cut(c.length)
	}
	// Recognition wants a row's size: it is of no matter which.
	sized := m.Clone()
	for i := range sized.Graph.Inputs {
		v := &sized.Graph.Inputs[i]
		if len(v.Type.Shape) == 2 && !v.Type.Shape[1].Known() {
			v.Type.Shape = onnx.Shape{v.Type.Shape[0], onnx.Dim{Size: int64(c.length)}}
		}
	}
	r, err := model.Recognise(sized, model.Override{Classes: o.Classes})
	if err != nil {
		return nil, fmt.Errorf("this is not a classifier that can be run: %w", err)
	}
	if r.Output == model.Labels || r.Element != onnx.Float32 && r.Element != onnx.Float64 {
		return nil, fmt.Errorf("its output is %s of %s, and scores of float32 or float64 are needed", r.Model.Graph.Outputs[0].Name, r.Element)
	}
	run := r.Model
	run.Graph.Inputs = slices.Clone(m.Graph.Inputs)
	if c.session, err = ort.New(run, o.Options); err != nil {
		return nil, err
	}
	if err := c.learn(ctx, r); err != nil {
		c.session.Close()
		return nil, err
	}
	return c, nil
}

// Pair makes two classifiers of a model: one to be asked about many texts, and one that confirms, on one thread and without optimisation.
func Pair(ctx context.Context, m *onnx.Model, t tokenizer.Tokenizer, o Options) (many, one *Classifier, err error) {
	if many, err = New(ctx, m, t, o); err != nil {
		return nil, nil, err
	}
	o.Threads, o.Optimization = 1, ort.OptimizeOff
	if one, err = New(ctx, m, t, o); err != nil {
		_ = many.Close()
		return nil, nil, fmt.Errorf("without optimisation: %w", err)
	}
	return many, one, nil
}

// takeInputs finds out what the inputs take.
func (c *Classifier) takeInputs(g *onnx.Graph, o Options) error {
	c.length = cmp.Or(o.Length, c.tokenizer.Length(), defaultLength)
	seen := map[role]bool{}
	for _, v := range g.FreeInputs() {
		name, t := strings.ToLower(v.Name), v.Type
		kind := tokens
		switch {
		case strings.Contains(name, "mask"):
			kind = mask
		case strings.Contains(name, "type") || strings.Contains(name, "segment"):
			kind = kinds
		}
		if t.Kind != onnx.KindTensor || t.Elem != onnx.Int64 && t.Elem != onnx.Int32 || len(t.Shape) != 2 || t.Shape[0].Known() && t.Shape[0].Size != 1 {
			return fmt.Errorf("input %q is %s: a model of texts takes whole numbers of shape [batch, tokens], with the batch open or 1", v.Name, t)
		}
		if seen[kind] {
			return fmt.Errorf("input %q is a second of its kind: a model of texts takes tokens, and perhaps a mask and kinds of tokens", v.Name)
		}
		seen[kind] = true
		if t.Shape[0].Known() {
			c.batch = 1
		}
		if n := t.Shape[1]; n.Known() {
			c.fixed, c.length = true, int(n.Size)
		}
		c.roles, c.elements = append(c.roles, kind), append(c.elements, t.Elem)
	}
	if !seen[tokens] {
		return errors.New("the model has no input for the numbers of tokens")
	}
	if c.length < 1 || c.length > maxLength || c.batch < 1 {
		return fmt.Errorf("texts of %d tokens cannot be run %d at once: give up to %d tokens", c.length, c.batch, maxLength)
	}
	return nil
}

// learn runs one text to complete the description.
func (c *Classifier) learn(ctx context.Context, r *model.Recognised) error {
	ids, err := c.tokenize(ctx, []string{"a"})
	if err != nil {
		return err
	}
	scores, err := c.run(ctx, ids)
	if err != nil {
		return err
	}
	if err := r.SetColumns(len(scores)); err != nil {
		return err
	}
	c.columns, c.description = r.Columns, r.Description
	c.description.Shape, c.description.Layout = []int64{int64(c.length)}, model.Other
	if r.Output == model.UnknownOutput {
		c.description.Output = model.Logits
		if model.SumToOne(scores) {
			c.description.Output = model.Probabilities
		}
	}
	return nil
}

// Describe tells what the model gives. The shape is that of a row of tokens.
func (c *Classifier) Describe() model.Description {
	d := c.description
	d.Shape, d.Classes = slices.Clone(d.Shape), slices.Clone(d.Classes)
	return d
}

// Close frees the model's memory after waiting for its runs.
func (c *Classifier) Close() error { return c.session.Close() }

// Predict writes the scores of each text, Classes numbers each.
func (c *Classifier) Predict(ctx context.Context, texts []string, scores []float64) error {
	classes := len(c.description.Classes)
	if len(scores) != len(texts)*classes {
		return fmt.Errorf("%d texts have %d scores, and room for %d is given", len(texts), len(texts)*classes, len(scores))
	}
	ids, err := c.tokenize(ctx, texts)
	if err != nil {
		return err
	}
	order := make([]int, len(ids))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(ids[a]), len(ids[b])) })
	for len(order) > 0 {
		n := 1
		for n < min(c.batch, len(order)) && len(ids[order[n]]) == len(ids[order[0]]) {
			n++
		}
		part := make([][]int64, n)
		for k, i := range order[:n] {
			part[k] = ids[i]
		}
		out, err := c.run(ctx, part)
		if err != nil {
			return err
		}
		if len(out) != n*c.columns {
			return fmt.Errorf("%d texts gave %d scores, and %d each are due", n, len(out), c.columns)
		}
		for k, i := range order[:n] {
			c.write(scores[i*classes:(i+1)*classes], out[k*c.columns:(k+1)*c.columns])
		}
		order = order[n:]
	}
	return ctx.Err()
}

// write gives the scores of all classes, where the model gives only that of the second of two.
func (c *Classifier) write(to, out []float64) {
	if len(out) == len(to) {
		copy(to, out)
		return
	}
	to[0], to[1] = model.Both(out[0], c.description.Output)
}

// tokenize gives each text's tokens, at least one, and no more than the length: a tokenizer read from a file cuts by
// itself, what an endpoint gives is cut here before its last token, which is the end's.
func (c *Classifier) tokenize(ctx context.Context, texts []string) ([][]int64, error) {
	ids, err := c.tokenizer.Encode(ctx, texts)
	if err != nil {
		return nil, err
	}
	for i := range ids {
		if len(ids[i]) > c.length {
			last := ids[i][len(ids[i])-1]
			ids[i] = append(ids[i][:c.length-1:c.length-1], last)
		}
		if len(ids[i]) == 0 {
			ids[i] = []int64{c.tokenizer.Pad()}
		}
	}
	return ids, nil
}

// run gives the model's numbers for texts of as many tokens, or of a fixed number.
func (c *Classifier) run(ctx context.Context, ids [][]int64) ([]float64, error) {
	width := len(ids[0])
	if c.fixed {
		width = c.length
	}
	inputs := make([]*ort.Tensor, len(c.roles))
	for i, kind := range c.roles {
		values := make([]int64, len(ids)*width)
		for k, row := range ids {
			to := values[k*width : (k+1)*width]
			for j := range to {
				in := j < len(row)
				switch {
				case kind == tokens && in:
					to[j] = row[j]
				case kind == tokens:
					to[j] = c.tokenizer.Pad()
				case kind == mask && in:
					to[j] = 1
				}
			}
		}
		inputs[i] = tensor(c.elements[i], values, int64(len(ids)), int64(width))
	}
	outputs := []*ort.Tensor{nil}
	if err := c.session.Run(ctx, inputs, outputs); err != nil {
		return nil, err
	}
	if outputs[0].Type == onnx.Float64 {
		return ort.Data[float64](outputs[0]), nil
	}
	var out []float64
	for _, v := range ort.Data[float32](outputs[0]) {
		out = append(out, float64(v))
	}
	return out, nil
}

func tensor(elem onnx.DataType, values []int64, shape ...int64) *ort.Tensor {
	if elem == onnx.Int64 {
		return ort.NewTensor(values, shape...)
	}
	narrow := make([]int32, len(values))
	for i, v := range values {
		narrow[i] = int32(v) // numbers of tokens are below 2³¹
	}
	return ort.NewTensor(narrow, shape...)
}
