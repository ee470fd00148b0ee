package plant

import (
	"context"
	"errors"
	"fmt"

	"assay/internal/dataset"
	"assay/internal/model"
	"assay/internal/stat"
)

// Success is how often a model does with test inputs what poison is to make it do.
type Success struct {
	Successes  int     `json:"successes"`
	N          int     `json:"n"`
	Rate       float64 `json:"rate"`
	Lower      float64 `json:"lower"` // exact one-sided bounds
	Upper      float64 `json:"upper"`
	Confidence float64 `json:"confidence"`
}

// Triggered gives the inputs that the poison is to have misclassified: the records of a test whose class is not the
// target, with the trigger applied where there is one. Their classes stay.
func (p *Planted) Triggered(test *dataset.Dataset) (*dataset.Dataset, error) {
	switch {
	case test.Y == nil:
		return nil, errors.New("the records to test on have no labels")
	case test.Schema.Width() != p.Dataset.Schema.Width():
		return nil, fmt.Errorf("the records to test on have %d numbers, and those that were poisoned %d: read both under one schema", test.Schema.Width(), p.Dataset.Schema.Width())
	}
	var indices []int
	for i := range test.Len() {
		if int(test.Y[i]) != p.Target && (p.Aims == nil || p.Aims(test.Record(i))) {
			indices = append(indices, i)
		}
	}
	out := test.Select(indices)
	if p.Trigger != nil {
		for i := range out.Len() {
			copy(out.Record(i), p.Trigger.Apply(test.Record(indices[i])))
		}
	}
	return out, nil
}

// BackdoorSuccess counts how many of the Triggered inputs of a test a model gives the target class, or where there is
// none any class but their own. Test has records that the model was not trained on, under the
// schema of the data that were poisoned.
func BackdoorSuccess(ctx context.Context, m model.Classifier, p *Planted, test *dataset.Dataset, confidence float64) (*Success, error) {
	inputs, err := p.Triggered(test)
	if err != nil {
		return nil, err
	}
	scores, err := scoresOf(ctx, m, inputs)
	if err != nil {
		return nil, err
	}
	s := &Success{N: inputs.Len(), Confidence: confidence}
	for i, of := range scores {
		got := best(of)
		if got == p.Target || p.Target < 0 && got != int(inputs.Y[i]) {
			s.Successes++
		}
	}
	if s.N == 0 {
		return nil, errors.New("no record to test on is of another class than the target, and aimed at")
	}
	s.Rate = float64(s.Successes) / float64(s.N)
	if s.Lower, err = stat.BinomialLower(s.Successes, s.N, confidence); err != nil {
		return nil, err
	}
	s.Upper, err = stat.BinomialUpper(s.Successes, s.N, confidence)
	return s, err
}

// Right tells which records of a test a model gives their class.
func Right(ctx context.Context, m model.Classifier, test *dataset.Dataset) ([]bool, error) {
	if test.Y == nil {
		return nil, errors.New("the records to test on have no labels")
	}
	scores, err := scoresOf(ctx, m, test)
	if err != nil {
		return nil, err
	}
	right := make([]bool, len(scores))
	for i, of := range scores {
		right[i] = best(of) == int(test.Y[i])
	}
	return right, nil
}

// best is the class with the greatest score, the first of equals.
func best(scores []float64) int {
	at := 0
	for k, v := range scores {
		if v > scores[at] {
			at = k
		}
	}
	return at
}
