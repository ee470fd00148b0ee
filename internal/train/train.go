// Package train trains ONNX models: any differentiable classifier or regressor, on
// gradients that are a part of the graph. Weights, gradients and the optimizer's
// state stay in Go memory between steps; the runtime works on them in place. The
// same model, data, options and seed give the same bytes, also where a run was
// interrupted and resumed.
package train

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"assay/onnx"
	"assay/onnx/autodiff"
)

// Options say how to train. A zero field stands for what is given beside it.
type Options struct {
	Loss      autodiff.Loss // CrossEntropy, or for targets SquaredError
	Output    string        // the model's output to be trained, where it has several
	Epochs    int           // how often to go through the data: 10
	Batch     int           // examples for each step: 64; a model of a fixed batch has its own
	Optimizer Optimizer     // Adam
	Schedule  Schedule      // a constant rate
	Augment   Augmentation  // none
	Frozen    []string      // names, or patterns of names as of path.Match, of weights to be left as they are
	Seed      uint64        // of the examples' order, augmentation and dropout

	// Validation is examples to measure the model on after each epoch. With Patience,
	// training stops after so many epochs in a row without a smaller loss on them, and
	// the weights with the smallest are kept; without, the last ones are.
	Validation *Data
	Patience   int

	// Checkpoint is a folder for the state of the training after each epoch. Where it
	// holds the state of a training with the same options, that is resumed.
	Checkpoint string

	// Perturb may change a batch before its step, as adversarial training does. Recipe
	// names it with all its settings: a training with another one is not resumed.
	Perturb func(ctx context.Context, b *Batch) error
	Recipe  string
	Pair    *Pair // a loss that also sees the examples as they were before; nil for Loss

	Private *Private // train by DP-SGD; nil for without

	// Progress is told of each step and each epoch's end. It must not take long.
	Progress func(Progress)

	Threads int              // that the runtime uses: as many as Go does
	Library string           // the ONNX Runtime library; see ort.Load
	Now     func() time.Time // time.Now; for Progress alone
}

// Score is how well a model does on examples.
type Score struct {
	Loss     float64 `json:"loss"`     // the mean, by the examples' weights
	Accuracy float64 `json:"accuracy"` // the part of the examples that get their class; 0 for regression
}

// Epoch is what an epoch gave. The training score is the mean over its steps, while
// the weights changed.
type Epoch struct {
	Training   Score  `json:"training"`
	Validation *Score `json:"validation,omitempty"`
}

// Result is a trained model.
type Result struct {
	Model   *onnx.Model
	History []Epoch
	Best    int  // the epoch, from 0, that the weights are of; -1 for those before the first
	Early   bool // stopped before the last epoch, for lack of progress
	Weights int  // numbers that were trained
	Resumed int  // epochs that were taken from a checkpoint
}

// Diverged says that the loss became infinite or not a number.
type Diverged struct {
	Epoch, Step int // from 0
}

func (e *Diverged) Error() string {
	return fmt.Sprintf("the loss is no finite number any more, in epoch %d at step %d: try a smaller learning rate, a warm-up, or inputs of a smaller scale", e.Epoch+1, e.Step+1)
}

// Run trains a model, which is not changed. Its weights are all floating-point
// initializers that layers use as such and that reach the loss, but for the frozen
// ones; batch normalisation and dropout work as they do in training.
//
// Where training diverges the error is a *Diverged, and the result has the last
// weights that gave a finite loss at the start of an epoch.
func Run(ctx context.Context, m *onnx.Model, d *Data, o Options) (*Result, error) {
	if err := o.complete(d); err != nil {
		return nil, err
	}
	t, err := newTraining(m, d, &o)
	if err != nil {
		return nil, err
	}
	defer t.close()
	if err := t.resume(); err != nil {
		return nil, err
	}
	for t.epoch < o.Epochs && !t.early {
		if err := t.runEpoch(ctx); err != nil {
			return t.rescued(err)
		}
		if err := t.save(); err != nil {
			return nil, err
		}
	}
	if o.Patience > 0 {
		return t.result(t.best, t.bestEpoch)
	}
	return t.result(t.memory.values(), t.epoch-1)
}

// rescued gives what is left where training diverged.
func (t *training) rescued(err error) (*Result, error) {
	var diverged *Diverged
	if !errors.As(err, &diverged) {
		return nil, err
	}
	r, failed := t.result(t.good, t.epoch-1)
	if failed != nil {
		return nil, failed
	}
	return r, err
}

// The usual values of what decides how many steps there are.
const (
	usualEpochs = 10
	usualBatch  = 64
)

// complete checks the options and fills in the usual values.
func (o *Options) complete(d *Data) (err error) {
	if err := d.check(); err != nil {
		return err
	}
	if o.Loss == nil {
		o.Loss = autodiff.CrossEntropy
		if d.Classes == nil {
			o.Loss = autodiff.SquaredError
		}
	}
	for _, v := range []struct {
		value *int
		usual int
		least int
		what  string
	}{
		{&o.Epochs, usualEpochs, 1, "epochs"}, {&o.Batch, usualBatch, 1, "examples in a batch"},
		{&o.Threads, runtime.GOMAXPROCS(0), 1, "threads"}, {&o.Patience, 0, 0, "epochs of patience"},
	} {
		if *v.value == 0 {
			*v.value = v.usual
		}
		if *v.value < v.least {
			return fmt.Errorf("training with %d %s is not possible", *v.value, v.what)
		}
	}
	if err := o.Pair.check(d, o); err != nil {
		return err
	}
	if err := o.Private.check(d, o); err != nil {
		return err
	}
	if o.Optimizer, err = o.Optimizer.complete(); err != nil {
		return err
	}
	if err := o.Schedule.check(); err != nil {
		return err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Patience > 0 && o.Validation == nil {
		return errors.New("patience needs examples for validation, to tell whether the model still gets better")
	}
	if o.Validation != nil {
		if err := o.Validation.check(); err != nil {
			return fmt.Errorf("validation: %w", err)
		}
		if !slices.Equal(o.Validation.Shape, d.Shape) || (o.Validation.Classes == nil) != (d.Classes == nil) {
			return errors.New("the examples for validation are of another shape or kind than those for training")
		}
	}
	return o.Augment.check(d.Shape)
}
