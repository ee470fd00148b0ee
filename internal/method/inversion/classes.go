package inversion

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"

	"assay/internal/model"
)

// Inverter is a way to make a row of what a model knows of a class.
type Inverter string

// The ways.
const (
	// ByGradient goes down the class's cross-entropy and total variation from the mean of what is known (Fredrikson et al. 2015,
	// Algorithm 1, with Adam in place of plain steps). It needs the model's gradients.
	ByGradient Inverter = "gradient"
	// ByLabels needs labels alone: it takes the mean of rows that the model gives the class, drawn from the normal
	// distribution of what is known along its principal components: one generation of an estimation of distribution, whose
	// prior stands in for the generative model of label-only inversion (Kahla et al. 2022, arXiv:2203.06580).
	ByLabels Inverter = "label-only"
)

// Inverters gives all ways.
func Inverters() []Inverter { return []Inverter{ByGradient, ByLabels} }

// Subject is a model whose classes are made visible. Rows are in the model's layout.
type Subject struct {
	Model  model.Classifier
	Slopes model.Differentiable // for ByGradient; nil for ByLabels
}

// ClassAudit is what a model tells of its classes.
type ClassAudit struct {
	Attempts []Attempt `json:"attempts"` // one for each class, whose truth is the mean of its records
	Leaked   Rate      `json:"leaked"`   // the part of classes nearer to the mean of which an attacker gets than any prior
}

// Classes makes a row for each class that records have, and compares it with the mean of the class's records: what is made
// counts where it is nearer to that than what is made of other classes, and than everything that the prior has of these, of which
// alone the attacker knows records.
func (s Subject) Classes(ctx context.Context, by Inverter, records, prior Records, o Options, confidence float64, progress func(done, total int)) (*ClassAudit, error) {
	if !slices.Contains(Inverters(), by) || by == ByGradient && s.Slopes == nil {
		return nil, fmt.Errorf("classes cannot be inverted by %q: use one of %q, the first of them with gradients", by, Inverters())
	}
	classes := slices.Compact(slices.Sorted(slices.Values(records.Labels)))
	if len(classes) < 2 {
		return nil, errors.New("classes are told from each other, and the records have fewer than two")
	}
	out := &ClassAudit{}
	for k, class := range classes {
		others := prior.without(class)
		if len(others.Rows) < 2 {
			return nil, fmt.Errorf("fewer than two known records are of other classes than %d", class)
		}
		t := Attempt{Record: k, Label: class, LabelRead: class}
		var err error
		if by == ByGradient {
			t.Made, err = s.climb(ctx, class, others.Mean(class), o)
		} else {
			t.Made, err = s.average(ctx, class, others, o, rand.New(rand.NewPCG(o.Seed, uint64(class))))
		}
		if err != nil {
			return nil, fmt.Errorf("class %d: %w", class, err)
		}
		t.compare(records.Mean(class), others, o)
		out.Attempts = append(out.Attempts, t)
		if progress != nil {
			progress(k+1, len(classes))
		}
	}
	leaked := 0
	for i := range out.Attempts {
		t := &out.Attempts[i]
		truth := records.Mean(t.Label)
		for j, other := range out.Attempts {
			// What was made of another class has all of the attack in it but what the model knows of this one.
			t.Leaked = t.Leaked && (j == i || t.Error < o.distance(other.Made, truth))
		}
		if t.Leaked {
			leaked++
		}
	}
	var err error
	out.Leaked, err = rateOf(leaked, len(classes), confidence)
	return out, err
}

// without gives the records of other classes.
func (r Records) without(class int) (out Records) {
	for i, label := range r.Labels {
		if label != class {
			out.Rows, out.Labels = append(out.Rows, r.Rows[i]), append(out.Labels, label)
		}
	}
	return out
}

// climb goes from a row to one that the model is sure of.
func (s Subject) climb(ctx context.Context, class int, from []float32, o Options) ([]float32, error) {
	w := newWalk(o)
	for i := range w.z {
		if span := float64(o.High[i]) - float64(o.Low[i]); span > 0 {
			w.z[i] = (float64(from[i]) - float64(o.Low[i])) / span
		}
	}
	best, least := from, math.Inf(1)
	scores, loss, slope := make([]float32, len(s.Model.Describe().Classes)), make([]float32, 1), make([]float32, len(from))
	const steps, rate = 300, 0.01
	for range steps {
		row := w.row()
		if err := s.Slopes.Gradient(ctx, model.CrossEntropy, row, []int32{int32(class)}, nil, scores, loss, slope); err != nil {
			return nil, err
		}
		grad, varied := w.slope(slope)
		if value := float64(loss[0]) + varied; value < least {
			best, least = row, value
		}
		w.step(grad, rate)
	}
	return best, nil
}

// components are the directions in which the known records differ most, times their standard deviation, around the mean.
type components struct {
	mean []float32
	axes *mat.Dense // [numbers, axes]
	o    Options
}

const mostAxes = 24

func principal(r Records, o Options) (*components, error) {
	n, width := min(len(r.Rows), 2000), len(r.Rows[0])
	c := &components{mean: r.Mean(-1), o: o}
	x := mat.NewDense(n, width, nil)
	for i := range n {
		for j, v := range r.Rows[i*len(r.Rows)/n] {
			x.Set(i, j, float64(v-c.mean[j]))
		}
	}
	var svd mat.SVD
	if !svd.Factorize(x, mat.SVDThin) {
		return nil, errors.New("the known records have no principal components")
	}
	var v mat.Dense
	svd.VTo(&v)
	values := svd.Values(nil)
	k := min(mostAxes, len(values))
	c.axes = mat.NewDense(width, k, nil)
	for a := range k {
		for j := range width {
			c.axes.Set(j, a, v.At(j, a)*values[a]/math.Sqrt(float64(n)))
		}
	}
	return c, nil
}

// row is that of a point among the components, within its limits.
func (c *components) row(z []float64) []float32 {
	var x mat.VecDense
	x.MulVec(c.axes, mat.NewVecDense(len(z), z))
	out := make([]float32, len(c.mean))
	for j := range out {
		out[j] = min(max(c.mean[j]+float32(x.AtVec(j)), c.o.Low[j]), c.o.High[j])
	}
	return out
}

// average is the mean of points drawn from the normal distribution of what is known which the model gives the class. Where hardly
// any is of it they are drawn from further around, and the mean of what is known is given where none ever is.
func (s Subject) average(ctx context.Context, class int, others Records, o Options, r *rand.Rand) ([]float32, error) {
	c, err := principal(others, o)
	if err != nil {
		return nil, err
	}
	_, k := c.axes.Dims()
	const draws, enough = 4096, 16
	for _, spread := range []float64{1, 1.5, 2, 3} {
		points := make([][]float64, draws)
		for i := range points {
			points[i] = make([]float64, k)
			for j := range points[i] {
				points[i][j] = spread * r.NormFloat64()
			}
		}
		is, err := s.of(ctx, c, class, points)
		if err != nil {
			return nil, err
		}
		sum, n := make([]float64, k), 0.0
		for i, inside := range is {
			if inside {
				n++
				for j, v := range points[i] {
					sum[j] += v
				}
			}
		}
		if n < enough {
			continue
		}
		for j := range sum {
			sum[j] /= n
		}
		return c.row(sum), nil
	}
	return c.mean, nil
}

// of tells which points are of a class.
func (s Subject) of(ctx context.Context, c *components, class int, points [][]float64) ([]bool, error) {
	var rows []float64
	for _, z := range points {
		for _, v := range c.row(z) {
			rows = append(rows, float64(v))
		}
	}
	classes := len(s.Model.Describe().Classes)
	scores := make([]float64, len(points)*classes)
	if err := s.Model.Predict(ctx, rows, scores); err != nil {
		return nil, fmt.Errorf("asking the model: %w", err)
	}
	out := make([]bool, len(points))
	for i := range out {
		out[i] = largest(scores[i*classes:(i+1)*classes]) == class
	}
	return out, nil
}
