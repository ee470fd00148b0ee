package backdoor

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"assay/internal/model"
)

// MaxMargin searches for each class the input, any that may be, that the model gives it by the largest margin: a backdoor makes its
// target's much larger than the others, whatever its trigger (MM-BD, Wang et al. 2023, arXiv:2205.06900, sections 4.1 and 4.2). It needs no
// records but for what numbers can be. The statistic is 1 less the p-value of the largest margin against a gamma distribution of the
// others, which is fitted by moments, where the paper does by likelihood.
type MaxMargin struct {
	Starts int // at random for each class: 8 for 0
	Steps  int // 60 for 0
}

// Describe implements Detector.
func (MaxMargin) Describe() Description {
	return Description{Name: "max-margin", Reference: "Wang et al. 2023 (arXiv:2205.06900), sections 4.1 and 4.2", Published: 0.95}
}

// Inspect implements Detector.
func (d MaxMargin) Inspect(ctx context.Context, s *Subject, rng *rand.Rand) (*Finding, error) {
	if err := s.sloped(d.Describe()); err != nil {
		return nil, err
	}
	if d.Starts == 0 {
		d.Starts = 8
	}
	if d.Steps == 0 {
		d.Steps = 60
	}
	margins := make([]float64, s.classes())
	out := &Finding{}
	for class := range margins {
		margin, err := d.climb(ctx, s, s.Rows.Class(class), rng)
		if err != nil {
			return nil, err
		}
		margins[class] = margin
		out.Classes = append(out.Classes, ClassResult{Class: class, Size: margin, Suspicion: logarithm(margin)})
	}
	if len(margins) < 4 {
		return nil, &Unfit{"max-margin compares one class's margin with those of three others at least"}
	}
	top := slices.Index(margins, slices.Max(margins))
	out.Statistic = outlying(margins, top)
	out.Classes[top].Statistic = out.Statistic
	return out, nil
}

// climb gives the largest margin of a class that is found from some starts.
func (d MaxMargin) climb(ctx context.Context, s *Subject, class int, rng *rand.Rand) (float64, error) {
	width, size := len(s.Domain.Low), s.Model.Gradient.Batch()
	n := min(d.Starts, size)
	x := make([][]float32, n)
	labels := make([]int32, n)
	for k := range x {
		labels[k], x[k] = int32(class), make([]float32, width)
		for i := range x[k] {
			x[k][i] = s.Domain.Low[i] + float32(rng.Float64())*(s.Domain.High[i]-s.Domain.Low[i])
		}
	}
	scores, losses, slope := make([]float32, n*len(s.Model.Classes)), make([]float32, n), make([]float32, n*width)
	best := math.Inf(-1)
	for step := range d.Steps + 1 {
		rows := make([]float32, 0, n*width)
		for k := range x {
			rows = append(rows, s.Rows.Row(x[k])...)
		}
		if err := s.Model.Gradient.Gradient(ctx, model.Margin, rows, labels, nil, scores, losses, slope); err != nil {
			return 0, err
		}
		by := 0.2 * (1 - float64(step)/float64(d.Steps+1)) // of each number's range
		for k := range x {
			best = max(best, -float64(losses[k]))
			for i, g := range s.Rows.Record(slope[k*width : (k+1)*width]) {
				if g != 0 {
					v := x[k][i] - float32(math.Copysign(by, float64(g)))*s.Domain.Scale[i]
					x[k][i] = min(max(v, s.Domain.Low[i]), s.Domain.High[i])
				}
			}
		}
	}
	return best, nil
}

// outlying gives the probability that the largest of as many numbers, of the gamma distribution of all but one, is smaller than that one.
func outlying(values []float64, at int) float64 {
	mean, square, n := 0.0, 0.0, float64(len(values)-1)
	for i, v := range values {
		if i != at {
			mean += v / n
		}
	}
	for i, v := range values {
		if i != at {
			square += (v - mean) * (v - mean) / (n - 1)
		}
	}
	if !(mean > 0) || values[at] <= 0 {
		return 0
	}
	square = max(square, 1e-12*mean*mean)
	null := distuv.Gamma{Alpha: mean * mean / square, Beta: mean / square}
	return math.Pow(null.CDF(values[at]), float64(len(values)))
}
