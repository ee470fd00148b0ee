package train

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"assay/internal/model/ort"
	"assay/onnx"
)

// GradientTolerance is the relative error up to which a gradient passes
// CheckGradient. Models compute in float32, and have kinks.
const GradientTolerance = 0.01

// GradientCheck compares a model's gradient with central differences.
type GradientCheck struct {
	Rows            []GradientRow
	StraightThrough []string // nodes whose gradient is replaced by the identity's
	Stopped         []string // nodes through which nothing flows
}

// GradientRow is the check of one example.
type GradientRow struct {
	Class  int     `json:"class"`  // whose cross-entropy was differentiated: the one with the smallest score
	Loss   float64 `json:"loss"`   // that cross-entropy
	Length float64 `json:"length"` // of the gradient, with each input in units of its standard deviation
	Error  float64 `json:"error"`  // the greatest relative error over several directions
}

// Passed reports whether all gradients are right to within GradientTolerance.
func (c *GradientCheck) Passed() bool {
	for _, r := range c.Rows {
		if !(r.Error <= GradientTolerance) {
			return false
		}
	}
	return len(c.Rows) > 0
}

// CheckGradient differentiates a classifier's loss with respect to its input, for
// each of the first n examples, and compares the derivative along several directions with central
// differences. The loss of those is computed here, from the model's scores. It is
// the cross-entropy of the class with the smallest score, whose gradient does not
// vanish where the model is sure. Classes of the examples are not looked at; all of
// them together give the units of the input, its standard deviations.
//
// The error is a *autodiff.NotDifferentiable or *autodiff.NoPath where the model has no gradient.
func CheckGradient(ctx context.Context, m *onnx.Model, d *Data, n int, o Options) (*GradientCheck, error) {
	d = &Data{X: d.X, Shape: d.Shape, Classes: make([]int32, d.Len())}
	o = Options{Output: o.Output, Threads: o.Threads, Library: o.Library, Seed: o.Seed, Batch: 1}
	if err := o.complete(d); err != nil {
		return nil, err
	}
	p, err := newPlan(m, d, &o)
	if err != nil {
		return nil, err
	}
	c := &gradientChecker{data: d, batch: p.newBatch(max(p.batch, 1), d), random: rand.New(rand.NewPCG(o.Seed, 0))}
	_, c.unit = d.moments()
	graph, report, err := p.inputGradient(&o)
	if err != nil {
		return nil, err
	}
	c.gradient = make([]float32, len(c.batch.X))
	shape := c.batch.inputs(p)[0].Shape
	if c.runner, err = p.newRunner(graph, nil, []*ort.Tensor{ort.NewTensor(c.gradient, shape...)}, false, &o); err != nil {
		return nil, err
	}
	defer c.close()
	for i := range min(n, d.Len()) {
		row, err := c.check(ctx, i)
		if err != nil {
			return nil, err
		}
		report.Rows = append(report.Rows, row)
	}
	return report, nil
}

// inputGradient makes the graph that gives losses, scores, and the gradient of the
// loss with respect to the examples.
func (p *plan) inputGradient(o *Options) (*onnx.Model, *GradientCheck, error) {
	e, err := p.extend(p.start(), nil, nil, false)
	if err != nil {
		return nil, nil, err
	}
	each, err := e.loss(o.Loss)
	if err != nil {
		return nil, nil, err
	}
	grads, err := e.Gradient(each, e.examples)
	if err != nil {
		return nil, nil, err
	}
	e.Output(e.distinct(grads.Names[0]), onnx.Float32, p.input.Type.Shape)
	report := &GradientCheck{}
	for _, n := range grads.StraightThrough {
		report.StraightThrough = append(report.StraightThrough, n.String())
	}
	for _, n := range grads.Stopped {
		report.Stopped = append(report.Stopped, n.String())
	}
	return e.Model(), report, nil
}

type gradientChecker struct {
	*runner
	data     *Data
	batch    *Batch
	random   *rand.Rand
	unit     []float64 // standard deviation of each channel or number
	gradient []float32
}

// check checks one example, alone in its batch.
func (c *gradientChecker) check(ctx context.Context, i int) (row GradientRow, err error) {
	b, width := c.batch, c.data.width()
	b.fill(c.data, []int{i}, 1)
	if err := c.run(ctx, b); err != nil {
		return row, err
	}
	columns := len(b.scores) / b.Len()
	for k, v := range b.scores[:columns] {
		if v < b.scores[row.Class] {
			row.Class = k
		}
	}
	b.Classes[0] = int64(row.Class)
	if err := c.run(ctx, b); err != nil {
		return row, err
	}
	row.Loss = crossEntropy(b.scores[:columns], row.Class)
	gradient := make([]float64, width) // by units
	for j, g := range c.gradient[:width] {
		gradient[j] = float64(g) * c.scale(j)
		row.Length += gradient[j] * gradient[j]
	}
	row.Length = math.Sqrt(row.Length)
	exact := slices.Clone(c.gradient[:width]) // which the next runs overwrite
	for k := range 5 {
		worst, err := c.along(ctx, i, row.Class, exact, c.direction(gradient, k))
		if err != nil {
			return row, err
		}
		row.Error = max(row.Error, worst)
	}
	return row, nil
}

func (c *gradientChecker) scale(j int) float64 { return c.unit[j/(c.data.width()/len(c.unit))] }

// direction is a unit vector: the gradient's own first, then such as lie halfway
// between it and one at random. At random alone, in many dimensions, hardly
// anything of the gradient would be seen beside rounding.
func (c *gradientChecker) direction(gradient []float64, k int) []float64 {
	u := make([]float64, len(gradient))
	normalise := func(v []float64) {
		sum := 0.0
		for _, x := range v {
			sum += x * x
		}
		for j := range v {
			v[j] /= max(math.Sqrt(sum), math.SmallestNonzeroFloat64)
		}
	}
	own := append([]float64{}, gradient...)
	normalise(own)
	if k == 0 && dot(own, own) > 0 {
		return own
	}
	for j := range u {
		u[j] = c.random.NormFloat64()
	}
	normalise(u)
	for j := range u {
		u[j] += own[j]
	}
	normalise(u)
	return u
}

// along gives the relative error of the derivative in a direction, for the step of
// the difference that agrees best: a long one meets kinks and curvature, a short
// one rounding.
func (c *gradientChecker) along(ctx context.Context, i, class int, gradient []float32, u []float64) (float64, error) {
	b, width := c.batch, c.data.width()
	x := c.data.X[i*width : (i+1)*width]
	best := math.Inf(1)
	for _, h := range []float64{0.3, 0.1, 0.03, 0.01, 0.003, 0.001} {
		var loss [2]float64
		var analytic float64
		for side, sign := range []float64{1, -1} {
			for j, v := range x {
				b.X[j] = v + float32(sign*h*u[j]*c.scale(j))
				// What float32 made of the step is what counts.
				analytic += sign * (float64(b.X[j]) - float64(v)) * float64(gradient[j])
			}
			if err := c.run(ctx, b); err != nil {
				return 0, err
			}
			loss[side] = crossEntropy(b.scores[:len(b.scores)/b.Len()], class)
		}
		difference := loss[0] - loss[1]
		size := max(math.Abs(difference), math.Abs(analytic), 1e-6*h)
		best = min(best, math.Abs(difference-analytic)/size)
	}
	return best, nil
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

// crossEntropy is -log softmax(z)_class in float64.
func crossEntropy(z []float32, class int) float64 {
	top := math.Inf(-1)
	for _, v := range z {
		top = max(top, float64(v))
	}
	sum := 0.0
	for _, v := range z {
		sum += math.Exp(float64(v) - top)
	}
	return math.Log(sum) + top - float64(z[class])
}
