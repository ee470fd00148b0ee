// Package repair removes what poison planted in a model. Whether it is gone is another question, which
// internal/method/poisoning/relapse answers by attacking again.
package repair

import (
	"context"
	"errors"
	"fmt"

	"assay/internal/dataset"
	"assay/internal/train"
	"assay/onnx"
)

// Repair is a way to remove a backdoor from a model.
type Repair interface {
	// Describe tells what the repair is. It is the same at every call.
	Describe() Description

	// Repair gives a repaired copy of a model. The records are those that the description asks for, as the model takes
	// them. The same model, records and options give the same bytes.
	Repair(ctx context.Context, m *onnx.Model, records *dataset.Dataset, o Options) (*Repaired, error)
}

// Description tells what a repair is.
type Description struct {
	Name      string `json:"name"`
	Summary   string `json:"summary"`
	Records   Need   `json:"records"`
	Reference string `json:"reference"` // the paper, with its section or equation
}

// Need is which records a repair takes.
type Need string

// The records that repairs take.
const (
	None     Need = "none"
	Trusted  Need = "trusted"  // in which there is no poison; a few of each class are enough
	Training Need = "training" // that the model was trained on, the suspicious among them known by a quarantine
)

// Options are what all repairs are told.
type Options struct {
	Seed     uint64 // of everything that is drawn at random
	Threads  int    // that the runtime uses; 0 for as many as Go does
	Progress func(train.Progress)
}

// Repaired is a repaired copy of a model.
type Repaired struct {
	Model *onnx.Model
	Did   string // in words
}

// examples gives the records of a repair that needs some, as the model takes them.
func examples(of Description, m *onnx.Model, records *dataset.Dataset) (*train.Data, error) {
	if records == nil || records.Y == nil || records.Len() == 0 {
		return nil, fmt.Errorf("%s needs %s records with labels", of.Name, of.Records)
	}
	d, err := train.ForModel(m, records)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", of.Name, err)
	}
	return d, nil
}

// FineTuning trains a model further on trusted records, at a rate high enough to leave where it was (Liu et al. 2018,
// arXiv:1805.12185, take it for the first thing to try).
type FineTuning struct {
	Epochs int     // 0 for 60
	Rate   float64 // of Adam at its highest, by one cycle; 0 for 0.02
}

// Describe implements Repair.
func (FineTuning) Describe() Description {
	return Description{"fine-tuning", "trained further on trusted records", Trusted, "the baseline of Liu et al. 2018 (arXiv:1805.12185)"}
}

// Repair implements Repair.
func (f FineTuning) Repair(ctx context.Context, m *onnx.Model, records *dataset.Dataset, o Options) (*Repaired, error) {
	d, err := examples(f.Describe(), m, records)
	if err != nil {
		return nil, err
	}
	r, err := f.train(ctx, m, d, o, nil)
	if err != nil {
		return nil, err
	}
	return &Repaired{r, fmt.Sprintf("trained for %d epochs on %d trusted records", f.epochs(), d.Len())}, nil
}

func (f FineTuning) epochs() int {
	if f.Epochs == 0 {
		return 60
	}
	return f.Epochs
}

// train trains a model on examples, which may be perturbed before each step.
func (f FineTuning) train(ctx context.Context, m *onnx.Model, d *train.Data, o Options, perturb func(context.Context, *train.Batch) error) (*onnx.Model, error) {
	rate := f.Rate
	if rate == 0 {
		rate = 0.02
	}
	if f.Epochs < 0 || rate < 0 {
		return nil, errors.New("training for less than no time, or at a rate below 0, is not possible: give epochs and a rate above 0")
	}
	r, err := train.Run(ctx, m, d, train.Options{
		Epochs: f.epochs(), Batch: min(64, d.Len()), Seed: o.Seed, Threads: o.Threads, Progress: o.Progress, Perturb: perturb,
		Optimizer: train.Optimizer{Method: train.Adam, Rate: rate}, Schedule: train.Schedule{Kind: train.OneCycle},
	})
	if err != nil {
		return nil, err
	}
	return r.Model, nil
}
