package sisa

import (
	"context"
	"errors"
	"fmt"
	"math"

	"assay/internal/dataset"
	"assay/internal/model/ort"
	"assay/internal/solution/rewrite"
	"assay/internal/stat"
	"assay/onnx"
)

// Trace tells whether removed records can be told from records that were never trained on. The score of a record is how much
// smaller its loss is by the model of its shard than, on average, by those of the others, which never saw it: the calibrated
// loss attack (Watson et al. 2022, arXiv:2111.08440) with models that are there anyway. It supposes that the removed
// records are like the others: of such as were chosen for being odd, only the comparison with the control counts.
type Trace struct {
	Removed    int     `json:"removed"`
	Others     int     `json:"others"` // never trained on
	FPR        float64 `json:"fpr"`
	Confidence float64 `json:"confidence"` // of both bounds of each rate
	TPR        Rate    `json:"tpr"`        // of removed records at that FPR, with exact bounds
	Found      bool    `json:"found"`      // the lower bound is above the FPR: better than chance

	// Control is the same of the models that were replaced, which do hold the records. Where it finds nothing either, that
	// nothing was found says nothing. Nil where nothing was replaced.
	Control *Trace `json:"control,omitempty"`
}

// Rate is a rate with its bounds.
type Rate struct {
	Estimate float64 `json:"estimate"`
	Lower    float64 `json:"lower"`
	Upper    float64 `json:"upper"`
}

// FindTrace looks for removed records in the models, and in those that they replaced. FPR is above 0 and below 1.
func (t *Trained) FindTrace(ctx context.Context, removed, others *dataset.Dataset, o Options, fpr, confidence float64, run ort.Options) (*Trace, error) {
	if removed.Len() == 0 || others == nil || others.Len() == 0 {
		return nil, errors.New("a trace is looked for by removed records and others that were never trained on, and there are none")
	}
	out, err := find(ctx, t.Models, removed, others, o.Slices, fpr, confidence, run)
	if err != nil {
		return nil, err
	}
	before, any := make([]*onnx.Model, len(t.Models)), false
	for i, m := range t.Replaced {
		if before[i] = m; m == nil {
			before[i] = t.Models[i]
		} else {
			any = true
		}
	}
	if any {
		out.Control, err = find(ctx, before, removed, others, o.Slices, fpr, confidence, run)
	}
	return out, err
}

func find(ctx context.Context, models []*onnx.Model, removed, others *dataset.Dataset, count int, fpr, confidence float64, run ort.Options) (*Trace, error) {
	members, err := scores(ctx, models, removed, count, run)
	if err != nil {
		return nil, err
	}
	rest, err := scores(ctx, models, others, count, run)
	if err != nil {
		return nil, err
	}
	positive := make([]bool, len(members)+len(rest))
	for i := range members {
		positive[i] = true
	}
	roc, err := stat.NewROC(append(members, rest...), positive)
	if err != nil {
		return nil, err
	}
	tpr, err := roc.TPRAtFPR(fpr, confidence)
	if err != nil {
		return nil, err
	}
	return &Trace{Removed: len(members), Others: len(rest), FPR: fpr, Confidence: confidence, TPR: Rate(tpr), Found: tpr.Lower > fpr}, nil
}

// scores tells of each record how much better the model of its shard knows it than the others do.
func scores(ctx context.Context, models []*onnx.Model, d *dataset.Dataset, count int, run ort.Options) ([]float64, error) {
	if len(models) < MinShards {
		return nil, fmt.Errorf("%d models: a trace is looked for by those of %d shards or more", len(models), MinShards)
	}
	out := make([]float64, d.Len())
	for k, m := range models {
		losses, err := lossesOf(ctx, m, d, run)
		if err != nil {
			return nil, err
		}
		for i, loss := range losses {
			if shard, _ := place(d.Digest(i), len(models), count); shard == k {
				out[i] -= loss
			} else {
				out[i] += loss / float64(len(models)-1)
			}
		}
	}
	return out, nil
}

// lossesOf gives the cross-entropy of each record.
func lossesOf(ctx context.Context, m *onnx.Model, d *dataset.Dataset, run ort.Options) ([]float64, error) {
	c, err := rewrite.Open(ctx, m, run)
	if err != nil {
		return nil, err
	}
	logits, err := rewrite.LogitsOf(ctx, c, d.X, run)
	if err != nil {
		return nil, err
	}
	n := len(logits) / d.Len()
	losses := make([]float64, d.Len())
	for i := range losses {
		row, sum := logits[i*n:(i+1)*n], 0.0
		own := float64(row[d.Y[i]])
		for _, v := range row {
			sum += math.Exp(float64(v) - own)
		}
		losses[i] = min(math.Log(sum), math.MaxFloat32) // finite also where the other logits are beyond what can be counted
	}
	return losses, nil
}
