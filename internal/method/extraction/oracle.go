package extraction

import (
	"context"
	"fmt"
	"math"

	"assay/internal/model"
)

// oracle is the victim as the attacker sees it. It counts what it is asked.
type oracle struct {
	victim   Victim
	answers  Answers
	decimals int
	output   model.Output
	classes  int
	asked    int
}

func newOracle(v Victim, o Options) *oracle {
	d := v.Model.Describe()
	return &oracle{victim: v, answers: o.Answers, decimals: o.Decimals, output: d.Output, classes: len(d.Classes)}
}

// ask gives a distribution over the classes for each record: a single 1 for a label.
func (o *oracle) ask(ctx context.Context, records [][]float32) ([]float32, error) {
	scores, err := o.victim.scores(ctx, records)
	if err != nil {
		return nil, fmt.Errorf("asking the victim: %w", err)
	}
	o.asked += len(records)
	out := make([]float32, len(scores))
	for i := range records {
		row := scores[i*o.classes : (i+1)*o.classes]
		best := winner(row)
		if best < 0 {
			return nil, fmt.Errorf("the victim's scores of an input are no numbers, so that it has no answer: narrow the limits in the schema to what it takes")
		}
		to := out[i*o.classes : (i+1)*o.classes]
		if o.answers == Labels {
			to[best] = 1
			continue
		}
		o.distribution(to, row)
	}
	return out, nil
}

// distribution writes the probabilities that the attacker sees. What rounding leaves is scaled to add up to 1, and
// is even where nothing is left.
func (o *oracle) distribution(to []float32, scores []float64) {
	p := make([]float64, len(scores))
	copy(p, scores)
	if o.output == model.Logits {
		softmax(p)
	}
	sum := 0.0
	for k := range p {
		p[k] = max(p[k], 0)
		if o.answers == Rounded {
			unit := math.Pow10(o.decimals)
			p[k] = math.Round(p[k]*unit) / unit
		}
		sum += p[k]
	}
	for k := range p {
		to[k] = 1 / float32(len(p))
		if sum > 0 {
			to[k] = float32(p[k] / sum)
		}
	}
}

func softmax(z []float64) {
	top, sum := math.Inf(-1), 0.0
	for _, v := range z {
		top = max(top, v)
	}
	for k := range z {
		z[k] = math.Exp(z[k] - top)
		sum += z[k]
	}
	for k := range z {
		z[k] /= sum
	}
}

// scores are the victim's of some records.
func (v Victim) scores(ctx context.Context, records [][]float32) ([]float64, error) {
	d := v.Model.Describe()
	rows := make([]float64, 0, len(records)*d.RowSize())
	for _, record := range records {
		if v.Row != nil {
			record = v.Row(record)
		}
		for _, x := range record {
			rows = append(rows, float64(x))
		}
	}
	out := make([]float64, len(records)*len(d.Classes))
	return out, v.Model.Predict(ctx, rows, out)
}

// winner is the class with the largest score, the first of equals, -1 where one is no number.
func winner[T float32 | float64](scores []T) int {
	best := 0
	for k, s := range scores {
		if math.IsNaN(float64(s)) {
			return -1
		}
		if s > scores[best] {
			best = k
		}
	}
	return best
}
