package reference

import (
	"context"
	"fmt"
	"slices"

	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
	"assay/internal/model"
	"assay/internal/stat"
)

// Answers is how the answers of a model differ from those of a reference, on the same records.
type Answers struct {
	All     Share   `json:"all"`
	Classes []Class `json:"classes"` // by the reference's answer; those that it gives
	Swapped []int   `json:"swapped"` // classes that take each other's place: see swapped
}

// Share is how many of some records are answered otherwise.
type Share struct {
	Differ     int     `json:"differ"`
	N          int     `json:"n"`
	Rate       float64 `json:"rate"`
	Lower      float64 `json:"lower"` // exact one-sided bounds
	Upper      float64 `json:"upper"`
	Confidence float64 `json:"confidence"`
}

// Class is what becomes of the records to which the reference gives a class.
type Class struct {
	Class int `json:"class"`
	Share
	Most  int `json:"most"`   // the class that the model gives most of those that differ; -1 where none differs
	ByHow int `json:"by_how"` // many it gives that
}

// confidence is that of bounds.
const confidence = 0.95

// CompareAnswers compares the answers of a model with those of a reference.
func CompareAnswers(ctx context.Context, own, other model.Classifier, records *dataset.Dataset) (*Answers, error) {
	is, err := plant.Decisions(ctx, own, records)
	if err != nil {
		return nil, fmt.Errorf("the model: %w", err)
	}
	was, err := plant.Decisions(ctx, other, records)
	if err != nil {
		return nil, fmt.Errorf("the reference: %w", err)
	}
	return answers(is, was, len(records.Schema.Label.Classes))
}

func answers(is, was []int, classes int) (*Answers, error) {
	table := make([][]int, classes)
	for k := range table {
		table[k] = make([]int, classes)
	}
	for i := range is {
		table[was[i]][is[i]]++
	}
	out := &Answers{Classes: []Class{}, Swapped: []int{}}
	differ := 0
	for k, row := range table {
		c := Class{Class: k, Most: -1}
		n := row[k]
		for to, count := range row {
			if to != k {
				c.Differ, n = c.Differ+count, n+count
				if count > c.ByHow {
					c.Most, c.ByHow = to, count
				}
			}
		}
		if n == 0 {
			continue
		}
		var err error
		if c.Share, err = share(c.Differ, n); err != nil {
			return nil, err
		}
		out.Classes, differ = append(out.Classes, c), differ+c.Differ
	}
	var err error
	if out.All, err = share(differ, len(is)); err != nil {
		return nil, err
	}
	out.Swapped, err = swapped(out.Classes)
	return out, err
}

func share(differ, n int) (s Share, err error) {
	s = Share{Differ: differ, N: n, Rate: float64(differ) / float64(max(n, 1)), Confidence: confidence}
	if s.Lower, err = stat.BinomialLower(differ, n, confidence); err != nil {
		return s, err
	}
	s.Upper, err = stat.BinomialUpper(differ, n, confidence)
	return s, err
}

// swapped gives the classes that take each other's place: more than half of the records of each, by the exact lower bound, are given one
// other, and these are the same classes in another order.
func swapped(classes []Class) ([]int, error) {
	from, to := []int{}, []int{}
	for _, c := range classes {
		lower, err := stat.BinomialLower(c.ByHow, c.N, confidence)
		if err != nil {
			return nil, err
		}
		if lower > 0.5 {
			from, to = append(from, c.Class), append(to, c.Most)
		}
	}
	slices.Sort(to)
	if !slices.Equal(from, to) {
		return []int{}, nil
	}
	return from, nil
}
