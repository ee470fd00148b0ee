package poisoning

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Companions suspects records that depart from their class in the same way as several others of it do: what a trigger adds
// to inputs is the same in each, while records that are unusual by themselves are so each in its own way.
// Inputs less their class's mean are whitened by the covariance of all classes together, so that what hardly varies
// counts as much as what varies most. A record's suspicion is how far so many others of its class, as a
// trigger has companions, lie out in the record's own direction at least: one that is far out alone has no more of them than any direction has.
// It is Mahalanobis' distance asked of pairs, where spectral signatures (Tran et al. 2018, arXiv:1811.00636) ask one direction
// for each class, and features of a model that may not have learnt a trigger of so few records.
type Companions struct {
	Count int     // of companions: 8 for 0, and at least 2 in 100 of the class
	Ridge float64 // that is added to the variance in each direction, as a part of the mean variance: 0.01 for 0
}

// Describe implements Detector.
func (Companions) Describe() Description {
	return Description{Name: "companions", Needs: []Need{Inputs}, Reference: "Mahalanobis' distance of pairs within a class"}
}

// Suspect implements Detector. Records of a class that is too small to have so many are at 0.
func (d Companions) Suspect(ctx context.Context, r *Records, rng *rand.Rand) ([]float64, error) {
	if err := r.Check(d.Describe()); err != nil {
		return nil, err
	}
	ridge := d.Ridge
	if ridge == 0 {
		ridge = 0.01
	}
	out := make([]float64, len(r.Labels))
	y, err := whitenedWithin(r, ridge, rng)
	if err != nil {
		return nil, err
	}
	for _, members := range r.byLabel() {
		count := max(within(d.Count, 8, len(members)), len(members)/50)
		if len(members) <= count {
			continue
		}
		class := mat.NewDense(len(members), y.width, nil)
		for k, i := range members {
			class.SetRow(k, y.row(i))
		}
		var products mat.Dense
		for from := 0; from < len(members); from += 256 { // a part of the square at a time
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			to := min(from+256, len(members))
			products.Reset()
			products.Mul(class.Slice(from, to, 0, y.width), class.T())
			for k := range to - from {
				row := products.RawRowView(k)
				row[from+k] = math.Inf(-1) // with itself
				own := y.row(members[from+k])
				out[members[from+k]] = ratio(greatest(row, count), math.Sqrt(dot(own, own)))
			}
		}
	}
	return out, nil
}

// widest is how many numbers are whitened: of more, so many sums with random signs are.
const widest = 1024

// whitenedWithin gives the inputs less the mean of their class, whitened by the covariance of all together.
func whitenedWithin(r *Records, ridge float64, rng *rand.Rand) (*rows, error) {
	n, width := len(r.Labels), r.Inputs.Width
	all := &rows{width: width, data: make([]float64, n*width)}
	for _, members := range r.byLabel() {
		c := centred(r.Inputs, members)
		for k, i := range members {
			copy(all.row(i), c.row(k))
		}
	}
	all.scale(r.Inputs)
	if width > widest {
		all = all.project(widest, rng)
	}
	values, vectors, err := all.eigen()
	if err != nil {
		return nil, err
	}
	mean := 0.0
	for _, v := range values {
		mean += max(v, 0) / float64(len(values))
	}
	if mean == 0 {
		return all, nil
	}
	var y mat.Dense
	y.Mul(mat.NewDense(n, all.width, all.data), vectors)
	all.data = y.RawMatrix().Data
	for k := range n {
		for j, v := range values {
			all.row(k)[j] /= math.Sqrt(max(v, 0) + ridge*mean)
		}
	}
	return all, nil
}

// scale divides columns by the length of their range, but for those that are constant: numbers of a table have their own units.
func (c *rows) scale(of Matrix) {
	low, high := slices.Clone(of.Row(0)), slices.Clone(of.Row(0))
	for i := range of.Len() {
		for j, v := range of.Row(i) {
			low[j], high[j] = min(low[j], v), max(high[j], v)
		}
	}
	for k := range c.len() {
		row := c.row(k)
		for j := range row {
			if high[j] > low[j] {
				row[j] /= float64(high[j]) - float64(low[j])
			}
		}
	}
}

// project gives fewer columns: sums of all with random signs.
func (c *rows) project(width int, rng *rand.Rand) *rows {
	signs := mat.NewDense(c.width, width, nil)
	for i := range c.width {
		for j := range width {
			signs.Set(i, j, float64(1-2*rng.IntN(2)))
		}
	}
	var y mat.Dense
	y.Mul(mat.NewDense(c.len(), c.width, c.data), signs)
	return &rows{width: width, data: y.RawMatrix().Data}
}

// greatest gives the k-th greatest of values, k from 1; it reorders them.
func greatest(values []float64, k int) float64 {
	slices.Sort(values)
	return values[len(values)-k]
}
