// Package relapse attacks a repaired model again: with the trigger that was to be removed, with fresh ones that are planted
// by one who knows the repair, and by training it further on a few poisoned records.
package relapse

import (
	"context"
	"errors"
	"fmt"

	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
	"assay/internal/model/ort"
	"assay/internal/stat"
	"assay/internal/train"
	"assay/onnx"
)

// Trial is a repair that is to be tried.
type Trial struct {
	Before, After *onnx.Model
	Backdoor      *plant.Planted // that was to be removed: its trigger and target

	// Test has records that neither model was trained or repaired on, by which everything is counted.
	Test *dataset.Dataset

	// Training are clean records like those that the model was trained on: the attacker poisons copies of them.
	Training *dataset.Dataset
	Train    train.Options // of models that are trained anew; Seed and Threads aside

	// Fresh are the triggers that are planted anew, at a rate, in a model that is then repaired by Repair, as
	// After was. Nil for neither.
	Fresh  []plant.Planter
	Rate   float64
	Repair func(ctx context.Context, m *onnx.Model) (*onnx.Model, error)

	Records    int // poisoned ones that a re-activation has; 0 for 10
	Seed       uint64
	Threads    int
	Confidence float64 // of each bound; 0 for 0.95
	Progress   func(done, of int)
}

// Report is what came of it.
type Report struct {
	Confidence  float64       `json:"confidence"` // of each bound by itself
	Clean       Clean         `json:"clean"`
	Same        Change        `json:"same_trigger"`
	Fresh       []Fresh       `json:"fresh_triggers"`
	Reactivated *Reactivation `json:"reactivation,omitempty"`
}

// Clean is the accuracy on records that nobody attacks.
type Clean struct {
	N         int     `json:"n"`
	Before    float64 `json:"before"`
	After     float64 `json:"after"`
	Lower     float64 `json:"after_lower"` // exact one-sided bound
	LostUpper float64 `json:"lost_upper"`  // of what the repair costs, on the same records
}

// Change is an attack's success before the repair and after it.
type Change struct {
	Before plant.Success `json:"before"`
	After  plant.Success `json:"after"`
}

// Fresh is a trigger that was planted anew, in training data on which the same network was trained anew: before the same repair and
// after it.
type Fresh struct {
	Attack  string `json:"attack"`
	Planted int    `json:"planted"` // records
	Change
}

// Reactivation is the repaired model trained further on a few records with the trigger that was removed, beside ten times as many
// clean ones (after Min et al. 2024, arXiv:2410.09838, the retuning attack). Twin is what the same training makes of a model
// that never had the backdoor: what is above that was left by the repair.
type Reactivation struct {
	Records int           `json:"records"`
	Epochs  int           `json:"epochs"`
	Success plant.Success `json:"success"`
	Twin    plant.Success `json:"never_backdoored"`
}

const (
	reactivationEpochs = 20
	cleanPerPoisoned   = 10
)

// Run attacks again. Where Training is nil there is neither a fresh trigger nor a re-activation.
func Run(ctx context.Context, t Trial) (*Report, error) {
	if t.Confidence == 0 {
		t.Confidence = 0.95
	}
	if t.Records == 0 {
		t.Records = 10
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	r := &Report{Confidence: t.Confidence, Fresh: []Fresh{}}
	before, err := t.open(ctx, t.Before)
	if err != nil {
		return nil, err
	}
	defer before.Close()
	after, err := t.open(ctx, t.After)
	if err != nil {
		return nil, err
	}
	defer after.Close()
	if r.Clean, err = t.clean(ctx, before, after); err != nil {
		return nil, err
	}
	for c, to := range map[*ort.Classifier]*plant.Success{before: &r.Same.Before, after: &r.Same.After} {
		s, err := plant.BackdoorSuccess(ctx, c, t.Backdoor, t.Test, t.Confidence)
		if err != nil {
			return nil, err
		}
		*to = *s
	}
	if t.Training == nil {
		return r, nil
	}
	return r, t.again(ctx, r)
}

func (t *Trial) check() error {
	switch {
	case t.Backdoor == nil || t.Backdoor.Trigger == nil:
		return errors.New("a repair is tried by a trigger: give the one that was planted")
	case t.Test == nil || t.Test.Len() == 0:
		return errors.New("there are no records to test on")
	case t.Records < 1:
		return fmt.Errorf("a re-activation by %d poisoned records: give 1 or more", t.Records)
	}
	return nil
}

func (t *Trial) open(ctx context.Context, m *onnx.Model) (*ort.Classifier, error) {
	return ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: ort.Options{Threads: t.Threads}})
}

// clean measures both models on the records to test on.
func (t *Trial) clean(ctx context.Context, before, after *ort.Classifier) (Clean, error) {
	c := Clean{N: t.Test.Len()}
	was, err := plant.Right(ctx, before, t.Test)
	if err != nil {
		return c, err
	}
	is, err := plant.Right(ctx, after, t.Test)
	if err != nil {
		return c, err
	}
	right, rightBefore, lost, won := 0, 0, 0, 0
	for i := range is {
		switch {
		case is[i] && was[i]:
			right, rightBefore = right+1, rightBefore+1
		case is[i]:
			right, won = right+1, won+1
		case was[i]:
			rightBefore, lost = rightBefore+1, lost+1
		}
	}
	c.Before, c.After = float64(rightBefore)/float64(c.N), float64(right)/float64(c.N)
	if c.Lower, err = stat.BinomialLower(right, c.N, t.Confidence); err != nil {
		return c, err
	}
	difference, err := stat.PairedDifferenceBounds(lost, won, c.N, t.Confidence)
	c.LostUpper = difference.Upper
	return c, err
}

// again makes the attacks that train.
func (t *Trial) again(ctx context.Context, r *Report) error {
	steps := 2
	if t.Repair != nil {
		steps += len(t.Fresh)
	}
	done := 0
	told := func() {
		if done++; t.Progress != nil {
			t.Progress(done, steps)
		}
	}
	var err error
	if r.Reactivated, err = t.reactivate(ctx, told); err != nil {
		return fmt.Errorf("the re-activation: %w", err)
	}
	if t.Repair == nil {
		return nil
	}
	for k, p := range t.Fresh {
		f, err := t.fresh(ctx, p, t.Seed+uint64(k)+1)
		if err != nil {
			return fmt.Errorf("the fresh trigger %s: %w", p.Describe().Name, err)
		}
		r.Fresh = append(r.Fresh, *f)
		told()
	}
	return nil
}

// fresh plants another trigger, trains a network anew on it, and repairs that.
func (t *Trial) fresh(ctx context.Context, planter plant.Planter, seed uint64) (*Fresh, error) {
	p, err := planter.Plant(ctx, t.Training, plant.Options{Rate: t.Rate, Target: t.Backdoor.Target, Seed: seed})
	if err != nil {
		return nil, err
	}
	if p.Trigger == nil {
		return nil, errors.New("it has no trigger that could be put into records to test on")
	}
	m, err := t.anew(ctx, p.Dataset)
	if err != nil {
		return nil, err
	}
	f := &Fresh{Attack: planter.Describe().Name, Planted: p.Count()}
	if f.Before, err = t.success(ctx, m, p); err != nil {
		return nil, err
	}
	if m, err = t.Repair(ctx, m); err != nil {
		return nil, fmt.Errorf("the repair: %w", err)
	}
	f.After, err = t.success(ctx, m, p)
	return f, err
}

// anew trains the network of the model that was repaired from the beginning.
func (t *Trial) anew(ctx context.Context, d *dataset.Dataset) (*onnx.Model, error) {
	data, err := train.ForModel(t.Before, d)
	if err != nil {
		return nil, err
	}
	m, err := train.Reset(t.Before, data, t.Seed)
	if err != nil {
		return nil, err
	}
	o := t.Train
	o.Seed, o.Threads = t.Seed, t.Threads
	r, err := train.Run(ctx, m, data, o)
	if err != nil {
		return nil, err
	}
	return r.Model, nil
}

// reactivate trains the repaired model, and one that never had the backdoor, on a few poisoned records.
func (t *Trial) reactivate(ctx context.Context, told func()) (*Reactivation, error) {
	few, err := t.few()
	if err != nil {
		return nil, err
	}
	out := &Reactivation{Records: t.Records, Epochs: reactivationEpochs}
	if out.Success, err = t.further(ctx, t.After, few); err != nil {
		return nil, err
	}
	told()
	twin, err := t.anew(ctx, t.Training)
	if err != nil {
		return nil, err
	}
	if out.Twin, err = t.further(ctx, twin, few); err != nil {
		return nil, err
	}
	told()
	return out, nil
}

// few gives the records that a re-activation trains on, the poisoned ones first.
func (t *Trial) few() (*dataset.Dataset, error) {
	var others, clean []int
	order, err := t.Training.Split(t.Seed, 1)
	if err != nil {
		return nil, err
	}
	for _, i := range order[0] {
		if len(others) < t.Records && int(t.Training.Y[i]) != t.Backdoor.Target {
			others = append(others, i)
		} else if len(clean) < cleanPerPoisoned*t.Records {
			clean = append(clean, i)
		}
	}
	if len(others) < t.Records {
		return nil, fmt.Errorf("%d records are to be poisoned, and %d are of other classes than the target: give fewer", t.Records, len(others))
	}
	few := t.Training.Select(append(others, clean...))
	for i := range others {
		copy(few.Record(i), t.Backdoor.Trigger.Apply(few.Record(i)))
		few.Y[i] = int32(t.Backdoor.Target)
	}
	return few, nil
}

// further trains a model further and gives the trigger's success.
func (t *Trial) further(ctx context.Context, m *onnx.Model, few *dataset.Dataset) (s plant.Success, err error) {
	data, err := train.ForModel(m, few)
	if err != nil {
		return s, err
	}
	r, err := train.Run(ctx, m, data, train.Options{Epochs: reactivationEpochs, Batch: min(32, data.Len()), Seed: t.Seed, Threads: t.Threads})
	if err != nil {
		return s, err
	}
	return t.success(ctx, r.Model, t.Backdoor)
}

func (t *Trial) success(ctx context.Context, m *onnx.Model, p *plant.Planted) (s plant.Success, err error) {
	c, err := t.open(ctx, m)
	if err != nil {
		return s, err
	}
	defer c.Close()
	is, err := plant.BackdoorSuccess(ctx, c, p, t.Test, t.Confidence)
	if err != nil {
		return s, err
	}
	return *is, nil
}
