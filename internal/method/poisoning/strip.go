package poisoning

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Strip tells inputs with a trigger from others while a model runs: superimposed with other inputs, one with a trigger still
// gets its class, and the entropy of the answers is low (STRIP, Gao et al. 2019, arXiv:1902.06531, section 4,
// equations 3 and 4). As in their code an input is added to another, here in equal parts so that it stays within the inputs' range.
type Strip struct {
	Overlays int // clean inputs that each is superimposed with: 100 for 0
	Overlay  Matrix
	// Predict writes the probabilities of the classes for some rows.
	Predict func(ctx context.Context, rows, probabilities []float32) error
	Classes int
}

// Entropy gives the mean entropy of the answers to each input superimposed, in nats. The same overlays are used for all.
func (s Strip) Entropy(ctx context.Context, inputs Matrix, rng *rand.Rand) ([]float64, error) {
	if s.Overlay.Width != inputs.Width || s.Overlay.Len() == 0 || s.Classes < 2 || s.Predict == nil {
		return nil, fmt.Errorf("STRIP needs inputs of %d numbers to superimpose, and a model of two classes or more", inputs.Width)
	}
	n := within(s.Overlays, 100, s.Overlay.Len())
	chosen := rng.Perm(s.Overlay.Len())[:n]
	rows, probabilities := make([]float32, n*inputs.Width), make([]float32, n*s.Classes)
	out := make([]float64, inputs.Len())
	for i := range out {
		for k, other := range chosen {
			for j, v := range s.Overlay.Row(other) {
				rows[k*inputs.Width+j] = (v + inputs.Row(i)[j]) / 2
			}
		}
		if err := s.Predict(ctx, rows, probabilities); err != nil {
			return nil, err
		}
		for _, p := range probabilities {
			if p > 0 {
				out[i] -= float64(p) * math.Log(float64(p)) / float64(n)
			}
		}
	}
	return out, nil
}

// Describe tells what STRIP is as a detector of records.
func (Strip) Describe() Description {
	return Description{Name: "strip", Needs: []Need{Inputs}, Reference: "Gao et al. 2019, arXiv:1902.06531, section 4"}
}

// Suspect superimposes the records, which are Overlay here, as the model takes them, with some of each other: one that keeps its answer
// is suspicious. The model must have learnt the trigger, so it finds what that was, not records of which nobody learnt.
func (s Strip) Suspect(ctx context.Context, r *Records, rng *rand.Rand) ([]float64, error) {
	if s.Overlay.Len() != len(r.Labels) {
		return nil, fmt.Errorf("STRIP has %d records to superimpose, and there are %d", s.Overlay.Len(), len(r.Labels))
	}
	out, err := s.Entropy(ctx, s.Overlay, rng)
	for i := range out {
		out[i] = -out[i]
	}
	return out, err
}

// Threshold gives the entropy below which an input is taken to have a trigger, so that a further clean input is with
// a probability of at most fpr: an order statistic of clean inputs' entropies, with no assumption on their
// distribution, where the paper assumes a normal one.
func Threshold(clean []float64, fpr float64) (float64, error) {
	if !(fpr > 0 && fpr < 1) {
		return 0, fmt.Errorf("a false positive rate is between 0 and 1, not %g", fpr)
	}
	k := int(fpr * float64(len(clean)+1))
	if k < 1 {
		return 0, errors.New("there are too few clean inputs for a threshold at this false positive rate: at least one less than its inverse is needed")
	}
	return slices.Sorted(slices.Values(clean))[k-1], nil
}
