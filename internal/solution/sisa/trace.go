package sisa

import (
	"context"
	"errors"
	"math"

	"assay/internal/dataset"
	"assay/internal/model/ort"
	"assay/internal/solution/rewrite"
	"assay/internal/stat"
	"assay/onnx"
)

// Trace tells whether removed records left a trace: how often the network of a record's own shard knows it best, by the smallest
// loss of all. Those of the other shards never saw it, so that the loss is compared with what it is without the record
// (calibration by difficulty, Watson et al. 2022, arXiv:2111.08440). Of networks that none of the records touched each is as
// likely to know one best, as a record's shard comes of its hash alone: the chance is exactly 1 in as many as there are
// shards, whatever the records are like. A copy of a record that stayed is in the same shard, and is a trace.
type Trace struct {
	Removed    int     `json:"removed"`
	Known      int     `json:"known"` // best by the network of their shard; where another is as good they do not count
	Rate       float64 `json:"rate"`
	Lower      float64 `json:"lower"` // exact one-sided bounds
	Upper      float64 `json:"upper"`
	Confidence float64 `json:"confidence"`
	Chance     float64 `json:"chance"`
	Found      bool    `json:"found"` // the lower bound is above chance

	// Control is the same of the networks that were replaced, which do hold the records. Where it finds nothing either, that
	// nothing was found says nothing. Nil where nothing was replaced.
	Control *Trace `json:"control,omitempty"`
}

// FindTrace looks for removed records in the models, and in those that they replaced.
func (t *Trained) FindTrace(ctx context.Context, removed *dataset.Dataset, count int, confidence float64, run ort.Options) (*Trace, error) {
	if removed.Len() == 0 || removed.Y == nil {
		return nil, errors.New("a trace is looked for of removed records with labels, and there are none")
	}
	out, err := find(ctx, t.Models, removed, count, confidence, run)
	if err != nil {
		return nil, err
	}
	before, replaced := make([]*onnx.Model, len(t.Models)), false
	for i, m := range t.Replaced {
		if before[i] = m; m == nil {
			before[i] = t.Models[i]
		} else {
			replaced = true
		}
	}
	if replaced {
		out.Control, err = find(ctx, before, removed, count, confidence, run)
	}
	return out, err
}

func find(ctx context.Context, models []*onnx.Model, d *dataset.Dataset, count int, confidence float64, run ort.Options) (*Trace, error) {
	own, others := make([]float64, d.Len()), make([]float64, d.Len())
	for i := range others {
		others[i] = math.Inf(1)
	}
	for k, m := range models {
		losses, err := lossesOf(ctx, m, d, run)
		if err != nil {
			return nil, err
		}
		for i, loss := range losses {
			if shard, _ := place(d.Digest(i), len(models), count); shard == k {
				own[i] = loss
			} else {
				others[i] = min(others[i], loss)
			}
		}
	}
	t := &Trace{Removed: d.Len(), Confidence: confidence, Chance: 1 / float64(len(models))}
	for i := range own {
		if own[i] < others[i] {
			t.Known++
		}
	}
	t.Rate = float64(t.Known) / float64(t.Removed)
	var err error
	if t.Lower, err = stat.BinomialLower(t.Known, t.Removed, confidence); err != nil {
		return nil, err
	}
	t.Upper, err = stat.BinomialUpper(t.Known, t.Removed, confidence)
	t.Found = t.Lower > t.Chance
	return t, err
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
		losses[i] = math.Log(sum)
	}
	return losses, nil
}
