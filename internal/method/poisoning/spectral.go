package poisoning

import (
	"context"
	"math"
	"math/rand/v2"
)

// SpectralSignatures suspects records of a class that lie far along the direction in which the features of
// that class vary most (Tran, Li and Madry 2018, arXiv:1811.00636, Algorithm 1). Suspicions of
// different classes are made comparable by the class's median, which the paper does not need, as it removes
// the same share of each class.
type SpectralSignatures struct{}

// Describe implements Detector.
func (SpectralSignatures) Describe() Description {
	return Description{Name: "spectral-signatures", Needs: []Need{Features}, Reference: "Tran et al. 2018 (arXiv:1811.00636), Algorithm 1"}
}

// Suspect implements Detector.
func (s SpectralSignatures) Suspect(ctx context.Context, r *Records, rng *rand.Rand) ([]float64, error) {
	if err := r.Check(s.Describe()); err != nil {
		return nil, err
	}
	out := make([]float64, len(r.Labels))
	for _, members := range r.byLabel() {
		if len(members) < 2 {
			continue
		}
		c := centred(r.Features, members)
		v, err := c.topDirection(ctx, rng)
		if err != nil {
			return nil, err
		}
		scores := make([]float64, len(members))
		for k := range members {
			along := dot(c.row(k), v)
			scores[k] = along * along
		}
		scale := median(scores)
		for k, i := range members {
			out[i] = ratio(scores[k], scale)
		}
	}
	return out, nil
}

// rows are the features of some records, less their mean.
type rows struct {
	width int
	data  []float64
	mean  []float64
}

func centred(m Matrix, members []int) *rows {
	c := &rows{m.Width, make([]float64, len(members)*m.Width), make([]float64, m.Width)}
	for k, i := range members {
		for j, v := range m.Row(i) {
			c.data[k*m.Width+j] = float64(v)
			c.mean[j] += float64(v) / float64(len(members))
		}
	}
	for k := range members {
		for j := range c.mean {
			c.data[k*m.Width+j] -= c.mean[j]
		}
	}
	return c
}

func (c *rows) len() int            { return len(c.data) / c.width }
func (c *rows) row(k int) []float64 { return c.data[k*c.width : (k+1)*c.width] }

// topDirection gives the unit vector along which the rows vary most, by power iteration. Where two
// directions are equal but for a part in 10,000 it gives one between them.
func (c *rows) topDirection(ctx context.Context, rng *rand.Rand) ([]float64, error) {
	v := make([]float64, c.width)
	for j := range v {
		v[j] = rng.NormFloat64()
	}
	normalise(v)
	next := make([]float64, c.width)
	for range 300 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		clear(next)
		for k := range c.len() {
			row := c.row(k)
			axpy(dot(row, v), row, next)
		}
		if normalise(next) == 0 {
			return v, nil // all rows are the same
		}
		turned := 1 - math.Abs(dot(v, next))
		v, next = next, v
		if turned < 1e-10 {
			break
		}
	}
	return v, nil
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

func axpy(a float64, x, y []float64) {
	for i, v := range x {
		y[i] += a * v
	}
}

// normalise makes a vector one of length 1, unless it is 0, and gives its length before.
func normalise(v []float64) float64 {
	length := math.Sqrt(dot(v, v))
	if length > 0 {
		for i := range v {
			v[i] /= length
		}
	}
	return length
}
