package poisoning

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Spectre suspects records of a class that are far along the directions in which its features vary more than clean
// ones do: features whitened by a robust covariance, and quantum entropy scores of those (SPECTRE, Hayase et al. 2021,
// arXiv:2104.11315, Algorithms 1 and 4). It departs from the paper in two things: the number
// of principal directions is given rather than searched for, and the covariance is that of the records nearest to the middle, refined
// in turns, in place of the filter of Diakonikolas et al. Classes are made comparable by their median.
type Spectre struct {
	Directions int     // principal directions that are kept: 32 for 0, and no more than a tenth of a class
	Trim       float64 // share of a class that the covariance leaves out: 0.1 for 0
}

// Describe implements Detector.
func (Spectre) Describe() Description {
	return Description{Name: "spectre", Needs: []Need{Features}, Reference: "Hayase et al. 2021 (arXiv:2104.11315), Algorithms 1 and 4"}
}

// sharpness is α of the quantum entropy score (Hayase et al., section 4.3).
const sharpness = 4

// Suspect implements Detector.
func (d Spectre) Suspect(ctx context.Context, r *Records, _ *rand.Rand) ([]float64, error) {
	if err := r.Check(d.Describe()); err != nil {
		return nil, err
	}
	trim := d.Trim
	if trim == 0 {
		trim = 0.1
	}
	if !(trim > 0 && trim <= 0.5) {
		return nil, errors.New("SPECTRE leaves out a share of each class that is above 0 and at most 0.5")
	}
	out := make([]float64, len(r.Labels))
	for _, members := range r.byLabel() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if len(members) < 20 {
			continue // too few for a covariance that says anything
		}
		c := centred(r.Features, members)
		values, y, err := c.principal(min(within(d.Directions, 32, c.width), len(members)/10))
		if err != nil {
			return nil, err
		}
		y.whiten(values)
		if err := y.whitenRobustly(trim); err != nil {
			return nil, err
		}
		scores, err := y.entropyScores()
		if err != nil {
			return nil, err
		}
		scale := median(scores)
		for k, i := range members {
			out[i] = ratio(scores[k], scale)
		}
	}
	return out, nil
}

// whitenRobustly makes the rows' robust mean 0 and robust covariance the identity, in turns: those farthest from the
// middle are left out, and the rest's mean and covariance whiten all.
func (c *rows) whitenRobustly(trim float64) error {
	kept := c.len() - int(trim*float64(c.len()))
	for range 5 {
		norms := make([]float64, c.len())
		order := make([]int, c.len())
		for k := range norms {
			norms[k], order[k] = dot(c.row(k), c.row(k)), k
		}
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case norms[a] < norms[b]:
				return -1
			case norms[a] > norms[b]:
				return 1
			}
			return a - b
		})
		if err := c.whitenBy(order[:kept]); err != nil {
			return err
		}
	}
	return nil
}

// whitenBy whitens all rows by the mean and covariance of some.
func (c *rows) whitenBy(some []int) error {
	mean := make([]float64, c.width)
	for _, k := range some {
		axpy(1/float64(len(some)), c.row(k), mean)
	}
	for k := range c.len() {
		axpy(-1, mean, c.row(k))
	}
	part := &rows{width: c.width, data: make([]float64, 0, len(some)*c.width)}
	for _, k := range some {
		part.data = append(part.data, c.row(k)...)
	}
	values, vectors, err := part.eigen()
	if err != nil {
		return err
	}
	var y mat.Dense
	y.Mul(mat.NewDense(c.len(), c.width, c.data), vectors)
	c.data = y.RawMatrix().Data
	c.whiten(values)
	return nil
}

// entropyScores are xᵀQx/Tr Q with Q = exp(α(Σ-uI)/(‖Σ‖-u)), Σ being the second moments of all rows and u their median eigenvalue.
func (c *rows) entropyScores() ([]float64, error) {
	values, vectors, err := c.eigen()
	if err != nil {
		return nil, err
	}
	// A covariance of the middle is too small by a factor, which the middle of the eigenvalues tells.
	usual, weights, sum := median(values), make([]float64, c.width), 0.0
	excess := values[0] - usual
	for j, v := range values {
		weights[j] = 1
		if excess > 1e-9*usual {
			weights[j] = math.Exp(sharpness * ((v-usual)/excess - 1)) // over exp(α), which the trace cancels
		}
		sum += weights[j]
	}
	var y mat.Dense
	y.Mul(mat.NewDense(c.len(), c.width, c.data), vectors)
	scores := make([]float64, c.len())
	for k := range scores {
		for j, v := range y.RawRowView(k) {
			scores[k] += weights[j] / sum * v * v
		}
	}
	return scores, nil
}
