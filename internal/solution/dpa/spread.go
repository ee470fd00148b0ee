package dpa

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"assay/internal/certificate"
	"assay/internal/dataset"
	"assay/internal/model"
)

// Spread is how Finite Aggregation (Wang, Levine and Feizi 2022, arXiv:2202.02628, section 4) divides records: into k·d splits by a hash
// of each, and each split is among the training records of d of k·d models. So each model sees about the k-th part of the records, as
// in Deep Partition Aggregation, which is d = 1; a record can change d votes of k·d; and which ones these are is known, which
// certifies more. It costs d times the training.
type Spread struct {
	splits  int
	offsets []int // a split is in the models at these distances from its own number, as in the paper's section 4.1
}

// NewSpread draws which models each split is in. The seed must be chosen without looking at the records.
func NewSpread(k, d int, seed uint64) (*Spread, error) {
	switch {
	case k < MinParts || d < 1 || d > MaxParts || k*d > MaxParts:
		return nil, fmt.Errorf("%d times %d models: give at least %d partitions, a spread of at least 1, and at most %d models", k, d, MinParts, MaxParts)
	case d == 1:
		return &Spread{k, []int{0}}, nil
	}
	offsets := rand.New(rand.NewPCG(seed, uint64(d))).Perm(k * d)[:d]
	slices.Sort(offsets)
	return &Spread{k * d, offsets}, nil
}

// Members is the number of models.
func (s *Spread) Members() int { return s.splits }

// in gives the models that a split is in.
func (s *Spread) in(split int) []int {
	out := make([]int, len(s.offsets))
	for i, offset := range s.offsets {
		out[i] = (split + offset) % s.splits
	}
	return out
}

// Parts gives the indices of the records that each model is trained on. They depend on those records alone, as in [Partition].
func (s *Spread) Parts(d *dataset.Dataset) ([][]int, error) {
	splits, err := Partition(d, s.splits)
	if err != nil {
		return nil, err
	}
	parts := make([][]int, s.splits)
	for i, split := range splits {
		for _, j := range s.in(i) {
			parts[j] = append(parts[j], split...)
		}
	}
	return parts, nil
}

// Robustness is the class that the models' ballots decide for, and how many splits can hold poisoned records without changing that
// (theorem 2 of the paper). Against each other class the lead must outlast the splits that can take most of it: 2 for each model of
// theirs that votes for the winner, 1 for one that votes for a third class. Models in several such splits are counted in each, so more
// may be true than is certified.
func (s *Spread) Robustness(ballots []int, classes int) (class, budget int) {
	votes := make([]int, classes)
	for _, k := range ballots {
		votes[k]++
	}
	class = slices.Index(votes, slices.Max(votes))
	budget = s.splits
	for other := range classes {
		if other == class {
			continue
		}
		lead := votes[class] - votes[other]
		if other < class {
			lead-- // an equal with a smaller number would win
		}
		harm := make([]int, s.splits)
		for i := range harm {
			for _, j := range s.in(i) {
				switch ballots[j] {
				case class:
					harm[i] += 2
				case other:
				default:
					harm[i]++
				}
			}
		}
		slices.Sort(harm)
		n := 0
		for _, h := range slices.Backward(harm) {
			if lead -= h; lead < 0 {
				break
			}
			n++
		}
		budget = min(budget, n)
	}
	return class, budget
}

// SpreadMethod is what certificates say.
const SpreadMethod = "Finite Aggregation (Wang, Levine and Feizi 2022, arXiv:2202.02628, theorem 2)"

// Certify certifies the answers of a merged model to rows, as the function [Certify] does. It asks its members one by one, since
// which of them vote for what counts. Where they do not vote as in the merged model, by rounding, nothing is certified: the budget is -1.
func (s *Spread) Certify(ctx context.Context, merged model.Classifier, members []model.Classifier, rows []float64, labels []int) ([]certificate.Certificate, error) {
	if len(members) != s.splits {
		return nil, fmt.Errorf("%d members vote, and %d were to be trained", len(members), s.splits)
	}
	all, err := Certify(ctx, merged, rows, labels)
	if err != nil {
		return nil, err
	}
	classes := len(merged.Describe().Classes)
	scores := make([]float64, len(labels)*classes)
	if err := merged.Predict(ctx, rows, scores); err != nil {
		return nil, err
	}
	ballots := make([][]int, len(labels))
	own := make([]float64, len(scores))
	for j, member := range members {
		if got := len(member.Describe().Classes); got != classes {
			return nil, fmt.Errorf("member %d has %d classes, and the merged model %d", j+1, got, classes)
		}
		if err := member.Predict(ctx, rows, own); err != nil {
			return nil, fmt.Errorf("member %d: %w", j+1, err)
		}
		for i := range labels {
			row := own[i*classes : (i+1)*classes]
			ballots[i] = append(ballots[i], slices.Index(row, slices.Max(row)))
		}
	}
	for i := range all {
		all[i].Method = SpreadMethod
		_, all[i].Budget = s.Robustness(ballots[i], classes)
		left := scores[i*classes : (i+1)*classes]
		for _, k := range ballots[i] {
			left[k]--
		}
		if slices.ContainsFunc(left, func(v float64) bool { return v != 0 }) {
			all[i].Budget = -1
		}
	}
	return all, nil
}
