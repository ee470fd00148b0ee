package poisoning

import (
	"errors"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// principal gives the variances along the k directions in which the rows vary most, the largest first, and the
// rows' coordinates along them, k a row.
func (c *rows) principal(k int) ([]float64, *rows, error) {
	values, vectors, err := c.eigen()
	if err != nil {
		return nil, nil, err
	}
	var y mat.Dense
	y.Mul(mat.NewDense(c.len(), c.width, c.data), vectors.Slice(0, c.width, 0, k))
	return values[:k], &rows{width: k, data: y.RawMatrix().Data}, nil
}

// eigen gives the eigenvalues of the rows' second moments, the largest first, and the vectors as columns.
func (c *rows) eigen() ([]float64, *mat.Dense, error) {
	var moments mat.SymDense
	moments.SymOuterK(1/float64(c.len()), mat.NewDense(c.len(), c.width, c.data).T())
	var eigen mat.EigenSym
	if !eigen.Factorize(&moments, true) {
		return nil, nil, errors.New("the features of a class have no principal directions: the eigenvalues of their covariance do not converge")
	}
	values := eigen.Values(nil)
	slices.Reverse(values)
	var ascending mat.Dense
	eigen.VectorsTo(&ascending)
	vectors := mat.NewDense(c.width, c.width, nil)
	for i := range c.width {
		for j := range c.width {
			vectors.Set(i, j, ascending.At(i, c.width-1-j))
		}
	}
	for i, v := range values {
		values[i] = max(v, 0)
	}
	return values, vectors, nil
}

// whiten divides coordinates along principal directions by their deviations. Directions without variance,
// but for what rounding makes, are 0.
func (c *rows) whiten(values []float64) {
	least := 1e-10 * slices.Max(values)
	for k := range c.len() {
		row := c.row(k)
		for j, v := range values {
			if v > least {
				row[j] /= math.Sqrt(v)
			} else {
				row[j] = 0
			}
		}
	}
}

func squaredDistance(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += (v - b[i]) * (v - b[i])
	}
	return sum
}
