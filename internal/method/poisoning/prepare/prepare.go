// Package prepare makes of labelled data what detectors of planted records look at: probabilities by models that a record was
// not among the training data of, and what a model trained on the records makes of them.
package prepare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"assay/internal/method/poisoning"
	"assay/internal/model/ort"
	"assay/internal/solution/rewrite"
	"assay/internal/train"
	"assay/onnx"
)

// Options say how records are prepared. A zero field stands for what is given beside it.
type Options struct {
	// Build makes a new model for the data, to be trained.
	Build func(seed uint64) (*onnx.Model, error)
	Train train.Options // of each model; Seed is that of everything here

	Folds       int // parts of the data, each of which gets its probabilities by a model of the others: 5
	Checkpoints int // of the model trained on all records, evenly over its epochs: 3

	// Own is a model whose features are taken in place of those of a model trained on all records; nil for none.
	// There are no checkpoints then.
	Own *Own

	Layer    string // that features are of: for "" the input of the last layer with weights
	Progress func(done, all int)
}

// Own is a model with the records as it takes them.
type Own struct {
	Model *onnx.Model
	Rows  []float32
}

// Records prepares data of the classes 0 to classes-1. Checkpoints are made by training in as many stages of the same length, in each
// of which the learning rate is constant and the optimizer starts anew. The same data, options and seed give the same records.
func Records(ctx context.Context, d *train.Data, classes int, o Options) (*poisoning.Records, error) {
	if err := o.complete(d, classes); err != nil {
		return nil, err
	}
	width := len(d.X) / d.Len()
	r := &poisoning.Records{
		Labels: make([]int, d.Len()), Classes: classes, Inputs: poisoning.Matrix{Width: width, Data: d.X},
		Probabilities: poisoning.Matrix{Width: classes, Data: make([]float32, d.Len()*classes)},
	}
	for i, c := range d.Classes {
		r.Labels[i] = int(c)
	}
	if err := outOfSample(ctx, d, r, &o); err != nil {
		return nil, err
	}
	if o.Own != nil {
		var err error
		r.Features, _, err = view(ctx, o.Own.Model, o.Own.Rows, classes, &o)
		return r, err
	}
	return r, inSample(ctx, d, r, &o)
}

func (o *Options) complete(d *train.Data, classes int) error {
	o.Folds, o.Checkpoints, o.Train.Epochs = cmp.Or(o.Folds, 5), cmp.Or(o.Checkpoints, 3), cmp.Or(o.Train.Epochs, 10)
	if o.Folds < 2 || o.Checkpoints < 1 || o.Train.Epochs < 1 {
		return fmt.Errorf("records cannot be prepared with %d folds, %d checkpoints and %d epochs: 2 folds and 1 of the others are the least", o.Folds, o.Checkpoints, o.Train.Epochs)
	}
	o.Checkpoints = min(o.Checkpoints, o.Train.Epochs)
	if o.Progress == nil {
		o.Progress = func(int, int) {}
	}
	if o.Build == nil || d.Classes == nil || classes < 2 {
		return errors.New("records are prepared of labelled data of at least two classes, with a model to train")
	}
	for i, c := range d.Classes {
		if c < 0 || int(c) >= classes {
			return fmt.Errorf("record %d has the label %d, and there are the classes 0 to %d", i, c, classes-1)
		}
	}
	if d.Len() < 2*o.Folds {
		return fmt.Errorf("%d records are too few for %d folds: give at least two for each", d.Len(), o.Folds)
	}
	return nil
}

// folds parts the records, each class evenly. The last fold that a class reaches goes on with the next class.
func folds(d *train.Data, classes, count int, seed uint64) []int {
	rng := rand.New(rand.NewPCG(seed, 1))
	of, next := make([]int, d.Len()), 0
	byClass := make([][]int, classes)
	for i, c := range d.Classes {
		byClass[c] = append(byClass[c], i)
	}
	for _, members := range byClass {
		rng.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		for _, i := range members {
			of[i] = next % count
			next++
		}
	}
	return of
}

// outOfSample fills in the probabilities.
func outOfSample(ctx context.Context, d *train.Data, r *poisoning.Records, o *Options) error {
	of := folds(d, r.Classes, o.Folds, o.Train.Seed)
	for fold := range o.Folds {
		o.Progress(fold, o.Folds+o.stages())
		var in, out []int
		for i, f := range of {
			if f == fold {
				out = append(out, i)
			} else {
				in = append(in, i)
			}
		}
		m, err := o.fresh(uint64(fold))
		if err != nil {
			return err
		}
		result, err := train.Run(ctx, m, part(d, in), o.Train)
		if err != nil {
			return fmt.Errorf("the model for the probabilities of part %d of %d: %w", fold+1, o.Folds, err)
		}
		_, p, err := view(ctx, result.Model, part(d, out).X, r.Classes, o)
		if err != nil {
			return err
		}
		for k, i := range out {
			copy(r.Probabilities.Row(i), p.Row(k))
		}
	}
	return nil
}

// inSample fills in features and checkpoints.
func inSample(ctx context.Context, d *train.Data, r *poisoning.Records, o *Options) error {
	m, err := o.fresh(uint64(o.Folds))
	if err != nil {
		return err
	}
	stage := o.Train
	stage.Schedule = train.Schedule{}
	for k := range o.Checkpoints {
		o.Progress(o.Folds+k, o.Folds+o.stages())
		stage.Epochs = o.Train.Epochs*(k+1)/o.Checkpoints - o.Train.Epochs*k/o.Checkpoints
		stage.Seed = o.Train.Seed + uint64(k)
		result, err := train.Run(ctx, m, d, stage)
		if err != nil {
			return fmt.Errorf("the model for the features: %w", err)
		}
		m = result.Model
		c := poisoning.Checkpoint{Rate: 1} // the same in all stages
		if c.Features, c.Probabilities, err = view(ctx, m, d.X, r.Classes, o); err != nil {
			return err
		}
		r.Checkpoints, r.Features = append(r.Checkpoints, c), c.Features
	}
	return nil
}

func (o *Options) stages() int {
	if o.Own != nil {
		return 0
	}
	return o.Checkpoints
}

func (o *Options) fresh(k uint64) (*onnx.Model, error) { return o.Build(o.Train.Seed + k) }

func part(d *train.Data, indices []int) *train.Data {
	width := len(d.X) / d.Len()
	out := &train.Data{Shape: d.Shape, X: make([]float32, 0, len(indices)*width)}
	for _, i := range indices {
		out.X = append(out.X, d.X[i*width:(i+1)*width]...)
		out.Classes = append(out.Classes, d.Classes[i])
	}
	return out
}

// view gives the features and probabilities that a model gives rows.
func view(ctx context.Context, m *onnx.Model, rows []float32, classes int, o *Options) (features, probabilities poisoning.Matrix, err error) {
	run := ort.Options{Threads: o.Train.Threads, Library: o.Train.Library}
	c, err := rewrite.Open(ctx, m, run)
	if err != nil {
		return features, probabilities, err
	}
	if len(c.Classes) != classes {
		return features, probabilities, fmt.Errorf("the model tells %d classes apart, and the data have %d", len(c.Classes), classes)
	}
	layer, err := c.Layer(o.Layer)
	if err != nil {
		return features, probabilities, err
	}
	b := c.Begin()
	logits, values := b.Call(c, b.Input, layer)
	value, width, err := b.Features(c, layer, values[0])
	if err != nil {
		return features, probabilities, err
	}
	joined, err := b.Measure(b.Op("Concat", onnx.Attrs{"axis": int64(1)}, logits, value))
	if err != nil {
		return features, probabilities, err
	}
	out, err := rewrite.Run(ctx, joined, rows, run)
	if err != nil {
		return features, probabilities, err
	}
	n := len(out) / (classes + width)
	features = poisoning.Matrix{Width: width, Data: make([]float32, 0, n*width)}
	probabilities = poisoning.Matrix{Width: classes, Data: make([]float32, 0, n*classes)}
	for i := range n {
		row := out[i*(classes+width) : (i+1)*(classes+width)]
		features.Data = append(features.Data, row[classes:]...)
		probabilities.Data = append(probabilities.Data, softmax(row[:classes])...)
	}
	return features, probabilities, nil
}

func softmax(logits []float32) []float32 {
	highest, sum := logits[0], 0.0
	for _, v := range logits {
		highest = max(highest, v)
	}
	out := make([]float32, len(logits))
	for i, v := range logits {
		sum += math.Exp(float64(v - highest))
		out[i] = float32(math.Exp(float64(v - highest)))
	}
	for i := range out {
		out[i] /= float32(sum)
	}
	return out
}
