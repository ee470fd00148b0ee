package target

import (
	"context"
	"fmt"
	"math"
	"slices"

	"assay/internal/model"
)

// Surrogate is a model that stands in for a target: it gives gradients for the target's rows and classes, whatever
// layout and order of classes it has itself. It implements model.Differentiable.
type Surrogate struct {
	model.Differentiable
	target, own *Rows
	classes     []int // the surrogate's class of each of the target's; -1 for none
	columns     int   // of the surrogate's scores
}

// NewSurrogate joins a surrogate with a target by the data that both take. Both have the classes of the data.
func NewSurrogate(own *Rows, m *Model, of *Rows, target model.Description) (*Surrogate, error) {
	if m.Gradient == nil {
		return nil, fmt.Errorf("it gives no gradients, which a surrogate is for: %w", m.NoGradient)
	}
	s := &Surrogate{Differentiable: m.Gradient, target: of, own: own, columns: len(m.Classes)}
	s.classes = make([]int, len(target.Classes))
	for k := range s.classes {
		s.classes[k] = slices.Index(m.Classes, target.Classes[k])
	}
	for i, k := range of.classes {
		if k >= 0 {
			s.classes[k] = own.classes[i]
		}
	}
	return s, nil
}

// Gradient asks the surrogate. Classes that it does not have get a score of minus infinity.
func (s *Surrogate) Gradient(ctx context.Context, loss model.Loss, rows []float32, labels, targets []int32, scores, losses, slope []float32) error {
	n := len(labels)
	if n == 0 {
		return ctx.Err()
	}
	width := len(rows) / n
	mine := make([]float32, 0, len(rows))
	for x := range slices.Chunk(rows, width) {
		mine = append(mine, s.own.Row(s.target.Record(x))...)
	}
	of, err := s.translate(labels)
	if err != nil {
		return err
	}
	aims, err := s.translate(targets)
	if err != nil {
		return err
	}
	given, slopes := make([]float32, n*s.columns), make([]float32, len(rows))
	if err := s.Differentiable.Gradient(ctx, loss, mine, of, aims, given, losses, slopes); err != nil {
		return err
	}
	for i := range n {
		copy(slope[i*width:(i+1)*width], s.target.Row(s.own.Record(slopes[i*width:(i+1)*width])))
		for k, c := range s.classes {
			score := float32(math.Inf(-1))
			if c >= 0 {
				score = given[i*s.columns+c]
			}
			scores[i*len(s.classes)+k] = score
		}
	}
	return nil
}

// translate gives the surrogate's numbers of classes.
func (s *Surrogate) translate(classes []int32) ([]int32, error) {
	if classes == nil {
		return nil, nil
	}
	out := make([]int32, len(classes))
	for i, k := range classes {
		if k < 0 || int(k) >= len(s.classes) || s.classes[k] < 0 {
			return nil, fmt.Errorf("the surrogate does not have the target's class %d: give one that was made of the same classes", k)
		}
		out[i] = int32(s.classes[k])
	}
	return out, nil
}

// Class is the model's class of a class of the data, -1 where it has none.
func (r *Rows) Class(of int) int { return r.classes[of] }
