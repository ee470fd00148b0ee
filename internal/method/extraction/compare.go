package extraction

import (
	"context"
	"errors"
	"fmt"

	"assay/internal/stat"
)

// Rate is a part of inputs, with the exact bounds (Clopper and Pearson) of what it is of all inputs of their kind.
type Rate struct {
	Part  float64 `json:"part"`
	Lower float64 `json:"lower"`
	Upper float64 `json:"upper"`
}

// Comparison is how well a surrogate imitates its victim, on inputs that were held back.
type Comparison struct {
	N        int  `json:"n"`
	Fidelity Rate `json:"fidelity"` // the part of inputs on which both give the same class
	// Prior is the part of inputs to which the victim gives the class that it gives most often: the fidelity of who
	// asks nothing and knows that class.
	Prior Rate `json:"prior"`

	// The part of inputs that get their class; nil where labels are unknown.
	Accuracy       *Rate `json:"accuracy,omitempty"` // from the surrogate
	VictimAccuracy *Rate `json:"victim_accuracy,omitempty"`
}

// confidence is that of the bounds.
const confidence = 0.95

// Compare measures a surrogate, which takes records as the victim does. Labels are the records' classes, as the
// victim numbers them; nil where they are unknown. A surrogate's scores that are no numbers agree with nothing.
func Compare(ctx context.Context, victim, surrogate Victim, records [][]float32, labels []int) (*Comparison, error) {
	if len(records) == 0 {
		return nil, errors.New("no records are held back to measure the surrogate on")
	}
	if labels != nil && len(labels) != len(records) {
		return nil, fmt.Errorf("%d records have %d labels", len(records), len(labels))
	}
	of, err := victim.classes(ctx, records)
	if err != nil {
		return nil, fmt.Errorf("measuring: the victim: %w", err)
	}
	by, err := surrogate.classes(ctx, records)
	if err != nil {
		return nil, fmt.Errorf("measuring: the surrogate: %w", err)
	}
	same, right, victimRight, most := 0, 0, 0, 0
	given := map[int]int{}
	for i := range records {
		given[of[i]]++
		most = max(most, given[of[i]])
		if of[i] >= 0 && of[i] == by[i] {
			same++
		}
		if labels != nil && by[i] == labels[i] {
			right++
		}
		if labels != nil && of[i] == labels[i] {
			victimRight++
		}
	}
	c := &Comparison{N: len(records)}
	if c.Fidelity, err = rateOf(same, c.N); err != nil {
		return nil, err
	}
	if c.Prior, err = rateOf(most, c.N); err != nil || labels == nil {
		return c, err
	}
	accuracy, err := rateOf(right, c.N)
	if err != nil {
		return nil, err
	}
	victimAccuracy, err := rateOf(victimRight, c.N)
	c.Accuracy, c.VictimAccuracy = &accuracy, &victimAccuracy
	return c, err
}

func rateOf(k, n int) (Rate, error) {
	b, err := stat.ClopperPearson(k, n, confidence)
	return Rate{Part: float64(k) / float64(n), Lower: b.Lower, Upper: b.Upper}, err
}

// classes are those that a model gives records.
func (v Victim) classes(ctx context.Context, records [][]float32) ([]int, error) {
	scores, err := v.scores(ctx, records)
	if err != nil {
		return nil, err
	}
	k := len(scores) / len(records)
	out := make([]int, len(records))
	for i := range out {
		out[i] = winner(scores[i*k : (i+1)*k])
	}
	return out, nil
}
