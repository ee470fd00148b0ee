package poisoning

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"assay/internal/stat"
)

// Drift is how a batch of records differs from another.
type Drift struct {
	Columns []float64 `json:"columns"` // of Kolmogorov and Smirnov's test for each column, adjusted by Holm
	MMD     float64   `json:"mmd"`     // the squared maximum mean discrepancy, unbiased: about 0 where both are alike
	P       float64   `json:"p"`       // of MMD, by permutation
	Drifted bool      `json:"drifted"` // at the error asked for, half of which each of both tests takes
}

// DriftTest compares batches: each column by the two-sample test of Kolmogorov and Smirnov with the asymptotic p-value
// (Stephens 1970) and Holm's adjustment, and all together by the maximum mean discrepancy under a
// Gaussian kernel of the median distance, whose p-value is by permutation (Gretton et al. 2012, JMLR 13,
// equation 3 and section 5). Alike batches are said to have drifted with a probability of at most Alpha, as far as the asymptotic holds.
type DriftTest struct {
	Alpha        float64 // 0.05 for 0
	Permutations int     // 500 for 0
	Most         int     // records of each batch that MMD looks at, drawn at random, as it takes their square: 500 for 0
}

// Compare tests whether two batches are of one distribution.
func (d DriftTest) Compare(ctx context.Context, a, b Matrix, rng *rand.Rand) (*Drift, error) {
	if d.Alpha == 0 {
		d.Alpha = 0.05
	}
	switch {
	case a.Width != b.Width || a.Width == 0:
		return nil, fmt.Errorf("batches of %d and %d columns cannot be compared", a.Width, b.Width)
	case a.Len() < LeastCompared || b.Len() < LeastCompared:
		return nil, fmt.Errorf("batches of %d and %d records are too small to be compared: each needs %d", a.Len(), b.Len(), LeastCompared)
	case !(d.Alpha > 0 && d.Alpha < 1):
		return nil, fmt.Errorf("the error of a drift test is between 0 and 1, not %g", d.Alpha)
	}
	for _, v := range slices.Concat(a.Data, b.Data) {
		if x := float64(v); math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, errors.New("a batch holds what is no finite number, and cannot be compared")
		}
	}
	p := make([]float64, a.Width)
	for j := range p {
		p[j] = kolmogorovSmirnov(a.column(j), b.column(j))
	}
	_, adjusted, err := stat.Holm(p, d.Alpha/2)
	if err != nil {
		return nil, err
	}
	out := &Drift{Columns: adjusted}
	if out.MMD, out.P, err = d.discrepancy(ctx, a, b, rng); err != nil {
		return nil, err
	}
	out.Drifted = slices.Min(adjusted) <= d.Alpha/2 || out.P <= d.Alpha/2
	return out, nil
}

// LeastCompared is how many records each of two batches needs to be compared.
const LeastCompared = 5

// Sources compares the records of each source with those of all others, by name. The error is
// shared: each source is tested at Alpha over their number. One of too few records, or with too few others, is left out.
func (d DriftTest) Sources(ctx context.Context, m Matrix, source []string, rng *rand.Rand) (map[string]*Drift, error) {
	if len(source) != m.Len() {
		return nil, fmt.Errorf("there are %d sources for %d records", len(source), m.Len())
	}
	names := slices.Compact(slices.Sorted(slices.Values(source)))
	if len(names) < 2 {
		return nil, errors.New("sources can be compared from two on")
	}
	if d.Alpha == 0 {
		d.Alpha = 0.05
	}
	d.Alpha /= float64(len(names))
	out := map[string]*Drift{}
	for _, name := range names {
		own, others := Matrix{Width: m.Width}, Matrix{Width: m.Width}
		for i, of := range source {
			to := &others
			if of == name {
				to = &own
			}
			to.Data = append(to.Data, m.Row(i)...)
		}
		if min(own.Len(), others.Len()) < LeastCompared {
			continue
		}
		found, err := d.Compare(ctx, own, others, rng)
		if err != nil {
			return nil, fmt.Errorf("source %q: %w", name, err)
		}
		out[name] = found
	}
	return out, nil
}

func (m Matrix) column(j int) []float64 {
	out := make([]float64, m.Len())
	for i := range out {
		out[i] = float64(m.Row(i)[j])
	}
	return out
}

// kolmogorovSmirnov gives the p-value of the greatest distance between two empirical distributions. With equal values it is
// too large rather than too small.
func kolmogorovSmirnov(a, b []float64) float64 {
	slices.Sort(a)
	slices.Sort(b)
	n, m, distance := float64(len(a)), float64(len(b)), 0.0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		v := min(a[i], b[j])
		for i < len(a) && a[i] == v {
			i++
		}
		for j < len(b) && b[j] == v {
			j++
		}
		distance = max(distance, math.Abs(float64(i)/n-float64(j)/m))
	}
	root := math.Sqrt(n * m / (n + m))
	x := (root + 0.12 + 0.11/root) * distance
	if x < 0.2 {
		return 1 // the series below converges slowly, to 1
	}
	sum := 0.0
	for k := 1.0; k <= 100; k++ {
		sum += math.Pow(-1, k-1) * math.Exp(-2*k*k*x*x)
	}
	return min(max(2*sum, 0), 1)
}

// discrepancy gives the squared MMD of two batches and its p-value.
func (d DriftTest) discrepancy(ctx context.Context, a, b Matrix, rng *rand.Rand) (mmd, p float64, err error) {
	most := within(d.Most, 500, math.MaxInt)
	a, b = a.drawn(most, rng), b.drawn(most, rng)
	first, n := a.Len(), a.Len()+b.Len()
	kernel := gaussianKernel(Matrix{a.Width, slices.Concat(a.Data, b.Data)})
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	mmd = discrepancyOf(kernel, order, first)
	permutations, atLeast := within(d.Permutations, 500, math.MaxInt), 1
	for range permutations {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		rng.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
		if discrepancyOf(kernel, order, first) >= mmd {
			atLeast++
		}
	}
	return mmd, float64(atLeast) / float64(permutations+1), nil
}

// drawn gives at most so many rows, drawn at random.
func (m Matrix) drawn(most int, rng *rand.Rand) Matrix {
	if m.Len() <= most {
		return m
	}
	out := Matrix{Width: m.Width}
	for _, i := range rng.Perm(m.Len())[:most] {
		out.Data = append(out.Data, m.Row(i)...)
	}
	return out
}

// gaussianKernel gives exp(-d²/2s²) of all pairs of rows, s being the median distance, columns scaled by their deviations.
func gaussianKernel(m Matrix) [][]float64 {
	all := make([]int, m.Len())
	for i := range all {
		all[i] = i
	}
	c := centred(m, all)
	scale := make([]float64, c.width)
	for k := range c.len() {
		for j, v := range c.row(k) {
			scale[j] += v * v / float64(c.len())
		}
	}
	c.whiten(scale)
	out := make([][]float64, c.len())
	var squares []float64
	for i := range out {
		out[i] = make([]float64, c.len())
		for j := range i {
			out[i][j] = squaredDistance(c.row(i), c.row(j))
			squares = append(squares, out[i][j])
		}
	}
	spread := median(squares)
	for i := range out {
		for j := range i {
			out[i][j] = math.Exp(-ratio(out[i][j], 2*spread))
			out[j][i] = out[i][j]
		}
	}
	return out
}

// discrepancyOf is the unbiased estimate of Gretton et al. (equation 3); the first rows in the order are one batch.
func discrepancyOf(kernel [][]float64, order []int, first int) float64 {
	var within [2]float64
	across := 0.0
	for x, i := range order {
		row := kernel[i]
		for y, j := range order[:x] {
			switch {
			case x < first:
				within[0] += row[j]
			case y >= first:
				within[1] += row[j]
			default:
				across += row[j]
			}
		}
	}
	n, m := float64(first), float64(len(order)-first)
	return 2*within[0]/(n*(n-1)) + 2*within[1]/(m*(m-1)) - 2*across/(n*m)
}
