package main

import (
	"context"
	"fmt"

	"assay/internal/dataset"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/stat"
)

// cost is what a solution costs on records that nobody attacked.
type cost struct {
	N        int     `json:"n"`
	Accuracy float64 `json:"accuracy"`
	Lower    float64 `json:"lower"`
	Upper    float64 `json:"upper"`
	Refuses  bool    `json:"refuses"` // whether it can
	Refused  int     `json:"refused"`

	// Of the model without the solution, where there is one to compare with.
	Without   *float64 `json:"accuracy_without,omitempty"`
	LostUpper float64  `json:"lost_upper,omitempty"` // bound of the accuracy that is lost, on the same records
}

// costConfidence is that of each bound of a cost.
const costConfidence = 0.95

// measureCost asks a model, and where there is one that without the solution, about records.
func measureCost(ctx context.Context, with, without model.Classifier, d *dataset.Dataset) (*cost, error) {
	own, refused, err := hits(ctx, with, d)
	if err != nil {
		return nil, err
	}
	c := &cost{N: d.Len(), Refuses: with.Describe().Reject, Refused: refused}
	right := count(own)
	bounds, err := stat.ClopperPearson(right, c.N, costConfidence)
	if err != nil {
		return nil, err
	}
	c.Accuracy, c.Lower, c.Upper = float64(right)/float64(c.N), bounds.Lower, bounds.Upper
	if without == nil {
		return c, nil
	}
	others, _, err := hits(ctx, without, d)
	if err != nil {
		return nil, fmt.Errorf("the model without the solution: %w", err)
	}
	accuracy := float64(count(others)) / float64(c.N)
	lost, won := 0, 0
	for i := range own {
		switch {
		case others[i] && !own[i]:
			lost++
		case own[i] && !others[i]:
			won++
		}
	}
	difference, err := stat.PairedDifferenceBounds(lost, won, c.N, costConfidence)
	if err != nil {
		return nil, err
	}
	c.Without, c.LostUpper = &accuracy, difference.Upper
	return c, nil
}

func count(list []bool) int {
	n := 0
	for _, yes := range list {
		if yes {
			n++
		}
	}
	return n
}

// hits tells which records a model gets right, and how many it refuses.
func hits(ctx context.Context, c model.Classifier, d *dataset.Dataset) (right []bool, refused int, err error) {
	x, labels, err := modelRows(c.Describe(), d)
	if err != nil {
		return nil, 0, err
	}
	rows := doubles(x)
	classes := len(c.Describe().Classes)
	scores := make([]float64, len(labels)*classes)
	if err := c.Predict(ctx, rows, scores); err != nil {
		return nil, 0, err
	}
	for i, label := range labels {
		best := 0
		for k, v := range scores[i*classes : (i+1)*classes] {
			if v > scores[i*classes+best] {
				best = k
			}
		}
		right = append(right, best == label)
		if c.Describe().Reject && best == classes-1 {
			refused++
		}
	}
	return right, refused, nil
}

// modelRows gives records as a model's rows, one after the other, and their classes as the model's.
func modelRows(m model.Description, d *dataset.Dataset) (x []float32, labels []int, err error) {
	rows, err := target.NewRows(d.Schema, m)
	if err != nil {
		return nil, nil, err
	}
	all := make([]int, d.Len())
	for i := range all {
		all[i] = i
	}
	for _, in := range rows.Inputs(d, all) {
		x, labels = append(x, in.X...), append(labels, in.Label)
	}
	return x, labels, nil
}

func doubles(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}
