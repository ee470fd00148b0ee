package plant

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"assay/internal/dataset"
	"assay/internal/method/target"
	"assay/internal/model"
)

// RandomFlips gives records another label at random. At large rates this is poison against availability
// (Biggio, Nelson and Laskov 2011, "Support Vector Machines Under Adversarial Label Noise").
type RandomFlips struct{}

// Describe implements Planter.
func (RandomFlips) Describe() Description {
	return Description{Name: "flip-random", Summary: "labels of any records changed to any other", Reference: "Biggio et al. 2011 (ACML)"}
}

// Plant implements Planter.
func (r RandomFlips) Plant(ctx context.Context, d *dataset.Dataset, o Options) (*Planted, error) {
	rng := o.random(streamTrigger)
	classes := int32(len(d.Schema.Label.Classes))
	return flip(ctx, d, o, r.Describe(), -1, func(i int) int32 { return (d.Y[i] + 1 + rng.Int32N(classes-1)) % classes })
}

// TargetedFlips gives records of other classes the target's label (Tolpegin et al. 2020, arXiv:2007.08432).
type TargetedFlips struct{}

// Describe implements Planter.
func (TargetedFlips) Describe() Description {
	return Description{Name: "flip-targeted", Summary: "labels of other classes changed to the target", Targeted: true, Reference: "Tolpegin et al. 2020 (arXiv:2007.08432)"}
}

// Plant implements Planter.
func (t TargetedFlips) Plant(ctx context.Context, d *dataset.Dataset, o Options) (*Planted, error) {
	return flip(ctx, d, o, t.Describe(), o.Target, func(int) int32 { return int32(o.Target) })
}

// flip gives records, drawn from those that are not of the class except, other labels.
func flip(ctx context.Context, d *dataset.Dataset, o Options, of Description, except int, to func(i int) int32) (*Planted, error) {
	n, err := o.count(d, of)
	if err != nil {
		return nil, err
	}
	chosen, err := draw(d, n, "of other classes than the target", o.random(streamRecords), func(i int) bool { return int(d.Y[i]) != except })
	if err != nil {
		return nil, err
	}
	p := replicate(d, except)
	for _, i := range chosen {
		p.Dataset.Y[i], p.Which[i] = to(i), true
	}
	return p, ctx.Err()
}

// ConfidentFlips gives the records of whose label a model is most sure the label that it holds for the next most
// likely: flips that do the most harm to a model trained on them (Xiao, Xiao and Eckert 2012, "Adversarial Label Flips
// Attack on Support Vector Machines", whose search by margin is the idea; here no second model is trained).
type ConfidentFlips struct {
	Model model.Classifier // trained on such data
}

// Describe implements Planter.
func (ConfidentFlips) Describe() Description {
	return Description{Name: "flip-confident", Summary: "labels changed of which a model is most sure", Reference: "after Xiao et al. 2012 (ECAI)"}
}

// Plant implements Planter.
func (c ConfidentFlips) Plant(ctx context.Context, d *dataset.Dataset, o Options) (*Planted, error) {
	n, err := o.count(d, c.Describe())
	if err != nil {
		return nil, err
	}
	if c.Model == nil {
		return nil, errors.New("flip-confident needs a model that was trained on such data")
	}
	scores, err := scoresOf(ctx, c.Model, d)
	if err != nil {
		return nil, err
	}
	type record struct {
		index int
		next  int32   // the class that is next most likely
		lead  float64 // of the label before it
	}
	var sure []record
	for i, s := range scores {
		r := record{index: i, next: -1}
		for k, v := range s {
			if k != int(d.Y[i]) && (r.next < 0 || v > s[r.next]) {
				r.next = int32(k)
			}
		}
		r.lead = s[d.Y[i]] - s[r.next]
		sure = append(sure, r)
	}
	slices.SortStableFunc(sure, func(a, b record) int { return cmp.Compare(b.lead, a.lead) })
	p := replicate(d, -1)
	for _, r := range sure[:n] {
		p.Dataset.Y[r.index], p.Which[r.index] = r.next, true
	}
	return p, nil
}

// scoresOf gives the model's scores of each record, in the order of the data's classes.
func scoresOf(ctx context.Context, m model.Classifier, d *dataset.Dataset) ([][]float64, error) {
	rows, err := target.NewRows(d.Schema, m.Describe())
	if err != nil {
		return nil, fmt.Errorf("the data do not fit the model: %w", err)
	}
	const together = 256
	of := len(m.Describe().Classes)
	classes := len(d.Schema.Label.Classes)
	var out [][]float64
	for start := 0; start < d.Len(); start += together {
		n := min(together, d.Len()-start)
		var x []float64
		for i := range n {
			for _, v := range rows.Row(d.Record(start + i)) {
				x = append(x, float64(v))
			}
		}
		scores := make([]float64, n*of)
		if err := m.Predict(ctx, x, scores); err != nil {
			return nil, err
		}
		for i := range n {
			s := make([]float64, classes)
			for k := range s {
				s[k] = scores[i*of+rows.Class(k)]
			}
			out = append(out, s)
		}
	}
	return out, nil
}
