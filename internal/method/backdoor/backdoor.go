// Package backdoor finds models in which somebody planted a backdoor. Each detector gives a model a statistic, which says
// something against a threshold alone: that of its paper, or what models of the same making give that are known to be clean.
package backdoor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/poisoning/plant"
	"assay/internal/method/target"
	"assay/onnx"
)

// Detector looks at a model for a backdoor.
type Detector interface {
	// Describe tells what the detector is. It is the same at every call.
	Describe() Description

	// Inspect gives what is found in a model. Its randomness comes from rng alone. The error is an *Unfit, wrapped, where
	// the detector cannot say anything about models of this kind.
	Inspect(ctx context.Context, s *Subject, rng *rand.Rand) (*Finding, error)
}

// All gives all detectors, with their usual settings.
func All() []Detector {
	return []Detector{NeuralCleanse{}, UniversalShift{}, MaxMargin{}, ChannelLipschitz{}}
}

// Description tells what a detector is.
type Description struct {
	Name      string  `json:"name"`
	Reference string  `json:"reference"` // the paper, with its section or equation
	Published float64 `json:"published"` // the threshold above which the paper calls a model backdoored; 0 where it gives none
}

// Unfit says why a detector cannot say anything about a model.
type Unfit struct{ Reason string }

func (e *Unfit) Error() string { return e.Reason }

// Finding is what a detector gives a model.
type Finding struct {
	// Statistic is the paper's: the larger, the more suspicious.
	Statistic float64
	Classes   []ClassResult // one for each class of the data; nil where the detector is about none
	Channels  []Channel     // the most unusual ones, the first the most; nil where the detector is about none
}

// ClassResult is what a detector found for one class as the target of a backdoor.
type ClassResult struct {
	Class     int
	Size      float64        // of the trigger, in what it was made small; of max-margin the margin
	Statistic float64        // the class's own: the largest is the finding's
	Suspicion float64        // what is compared with that of the same class in other models: the logarithm of the size, or less that
	Trigger   plant.Trigger  `json:"-"` // that was recovered; nil for none
	Success   *plant.Success // of the trigger, on records that it was not searched on
}

// Subject is a model with records that are known to be clean.
type Subject struct {
	Graph  *onnx.Model
	Model  *target.Model
	Rows   *target.Rows
	Domain *method.Domain // of records; scaled by range

	Search *dataset.Dataset // records on which triggers are searched
	Held   *dataset.Dataset // records on which their success is measured
}

// SubjectOptions say how a model is looked at. A zero field stands for what is given beside it.
type SubjectOptions struct {
	Records int    // on which triggers are searched: at most 256, and at most half
	Seed    uint64 // of which records these are
	target.Options
}

// NewSubject opens a model with clean records, of its own schema and with labels. Half of the records, at most as many as the
// options say, are those that triggers are searched on, and the others those that their success is measured on.
func NewSubject(ctx context.Context, m *onnx.Model, clean *dataset.Dataset, o SubjectOptions) (*Subject, error) {
	if clean.Y == nil {
		return nil, errors.New("the clean records have no labels: name their column")
	}
	if o.Records == 0 {
		o.Records = 256
	}
	if clean.Len() < 4 || o.Records < 1 {
		return nil, fmt.Errorf("%d clean records, %d to search on: give at least 4, half of them to search on and half to measure on", clean.Len(), o.Records)
	}
	s := &Subject{Graph: m}
	var err error
	if s.Domain, err = method.DomainOf(clean.Schema, nil, method.ByRange); err != nil {
		return nil, err
	}
	for i := range s.Domain.Low {
		if low, high := float64(s.Domain.Low[i]), float64(s.Domain.High[i]); math.IsInf(low, 0) || math.IsInf(high, 0) {
			return nil, fmt.Errorf("number %d of a record can be from %g to %g: give its min and max in a schema", i+1, low, high)
		}
	}
	order := rand.New(rand.NewPCG(o.Seed, 1)).Perm(clean.Len())
	n := min(o.Records, clean.Len()/2)
	s.Search, s.Held = clean.Select(order[:n]), clean.Select(order[n:])
	if s.Model, err = target.Open(ctx, m, o.Options); err != nil {
		return nil, err
	}
	if s.Rows, err = target.NewRows(clean.Schema, s.Model.Description); err != nil {
		s.Model.Close()
		return nil, fmt.Errorf("the data do not fit the model: %w", err)
	}
	return s, nil
}

// Close frees the model's memory.
func (s *Subject) Close() { s.Model.Close() }

// classes is how many classes the data have.
func (s *Subject) classes() int { return len(s.Search.Schema.Label.Classes) }

// success measures a trigger on records that it was not searched on.
func (s *Subject) success(ctx context.Context, t plant.Trigger, class int) (*plant.Success, error) {
	p := &plant.Planted{Dataset: s.Held, Trigger: t, Target: class}
	return plant.BackdoorSuccess(ctx, s.Model.Target.Model, p, s.Held, confidence)
}

// confidence is that of bounds.
const confidence = 0.95

// sloped reports a model without the gradients that a detector follows.
func (s *Subject) sloped(d Description) error {
	if s.Model.Gradient == nil {
		return &Unfit{fmt.Sprintf("%s follows the model's gradient, and there is none: %v", d.Name, s.Model.NoGradient)}
	}
	return nil
}
