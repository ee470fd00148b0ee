package membership

import (
	"context"
	"fmt"
	"math/rand/v2"

	"assay/internal/method/shadow"
	"assay/internal/stat"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// The blind classifiers. They see so many records at most.
const (
	blindRecords = 6000
	blindEpochs  = 20
	blindWidth   = 32
)

// Blind tells how well members are told from others without the model, from the records and their classes alone: the AUROC of a
// classifier trained on one half of the records and asked about the other, and the other way round. Where members and
// others are from one distribution it is 0.5; where it is not, what an attack finds can be that difference and not
// what the model gives away (Das, Zhang and Tramèr 2024, arXiv:2406.16201). It is the greater of a linear classifier's and a network's, by the lower bound.
func Blind(ctx context.Context, p Population, confidence float64, seed uint64) (Rate, error) {
	d := labelled(p.Data)
	d.Classes = make([]int32, p.Len())
	for i, member := range p.Member {
		if member {
			d.Classes[i] = 1
		}
	}
	parts, err := folds(p, seed)
	if err != nil {
		return Rate{}, err
	}
	networks := []func() *onnx.Model{
		func() *onnx.Model { return network.Logistic(d.Shape[0], 2, seed) },
		func() *onnx.Model { return network.MLP(d.Shape[0], []int{blindWidth}, 2, seed) },
	}
	var worst Rate
	for k, build := range networks {
		scores, member := []float64{}, []bool{}
		for fold := range parts {
			s, err := blindScores(ctx, build(), shadow.Take(d, parts[fold]), shadow.Take(d, parts[1-fold]), seed)
			if err != nil {
				return Rate{}, fmt.Errorf("the classifier that sees no model: %w", err)
			}
			scores, member = append(scores, s...), append(member, pick(p.Member, parts[1-fold])...)
		}
		roc, err := stat.NewROC(scores, member)
		if err != nil {
			return Rate{}, err
		}
		area, err := roc.AUROC(1 - (1-confidence)/float64(len(networks)))
		if err != nil {
			return Rate{}, err
		}
		if k == 0 || area.Lower > worst.Lower {
			worst = Rate{area.Estimate, area.Lower, area.Upper}
		}
	}
	return worst, nil
}

// folds are two halves with as many members each.
func folds(p Population, seed uint64) ([2][]int, error) {
	h, err := divide(p, 0.5, seed)
	if err != nil {
		return [2][]int{}, err
	}
	rng := rand.New(rand.NewPCG(seed, 0xb11d))
	out := [2][]int{h.calibration, h.test}
	for k := range out {
		rng.Shuffle(len(out[k]), func(i, j int) { out[k][i], out[k][j] = out[k][j], out[k][i] })
		out[k] = out[k][:min(len(out[k]), blindRecords/2)]
	}
	return out, nil
}

// blindScores trains a classifier of membership, and gives its logits of other records.
func blindScores(ctx context.Context, m *onnx.Model, d, other *train.Data, seed uint64) ([]float64, error) {
	m, err := train.Standardize(m, d)
	if err != nil {
		return nil, err
	}
	r, err := train.Run(ctx, m, d, train.Options{Epochs: blindEpochs, Batch: 32, Seed: seed, Threads: 1,
		Optimizer: train.Optimizer{Method: train.AdamW, Rate: 0.003, Decay: 0.1}})
	if err != nil {
		return nil, err
	}
	logits, err := evaluate(ctx, r.Model, other)
	if err != nil {
		return nil, err
	}
	scores := make([]float64, other.Len())
	for i := range scores {
		scores[i] = float64(logits[2*i+1] - logits[2*i])
	}
	return scores, nil
}
