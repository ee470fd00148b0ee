package linear_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"assay/internal/method"
	"assay/internal/method/evasion/linear"
)

// problem is a random classifier of three classes and a row within a random domain.
func problem(r *rand.Rand, width int) (*linear.Classifier, *method.Domain, []float32) {
	const n = 60
	rows, labels := make([]float32, 0, n*width), make([]int32, n)
	for i := range n {
		labels[i] = int32(i % 3)
		for range width {
			rows = append(rows, float32(r.NormFloat64()+0.5*float64(labels[i])))
		}
	}
	c, err := linear.Fit(rows, width, labels)
	if err != nil {
		panic(err)
	}
	d := &method.Domain{Low: make([]float32, width), High: make([]float32, width), Scale: make([]float32, width), Fixed: make([]bool, width)}
	x := make([]float32, width)
	for j := range width {
		x[j] = float32(r.NormFloat64())
		d.Low[j], d.High[j] = x[j]-float32(r.Float64()), x[j]+float32(r.Float64())
		d.Scale[j] = float32(0.5 + r.Float64())
		d.Fixed[j] = r.IntN(5) == 0
	}
	return c, d, x
}

// margin is how far the best other class is ahead.
func margin(c *linear.Classifier, x []float32, class int) float64 {
	scores, best := c.Scores(x), math.Inf(-1)
	for k, s := range scores {
		if k != class {
			best = max(best, s)
		}
	}
	return best - scores[class]
}

// In the plane a fine grid goes through all that an attacker can do.
func TestMarginAgainstGrid(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 40 {
		c, d, x := problem(r, 2)
		for _, norm := range method.Norms() {
			s := &method.Space{Domain: d, Norm: norm, Eps: 0.2 + 0.8*r.Float64(), Clean: x}
			if norm == method.L0 {
				s.Eps++
			}
			class := c.Label(x)
			exact, best := c.Margin(s, class), math.Inf(-1)
			const steps = 400
			for i := range steps + 1 {
				for j := range steps + 1 {
					u := [2]float64{s.Eps * (2*float64(i)/steps - 1), s.Eps * (2*float64(j)/steps - 1)}
					at := []float32{x[0], x[1]}
					if norm == method.L0 { // with one of two numbers to change, to anywhere
						u = [2]float64{20 * u[0] / s.Eps, 0}
						if j%2 == 1 {
							u[0], u[1] = 0, u[0]
						}
					}
					ok := norm != method.L2 && norm != method.L1 || norm == method.L2 && math.Hypot(u[0], u[1]) <= s.Eps ||
						norm == method.L1 && math.Abs(u[0])+math.Abs(u[1]) <= s.Eps
					for k := range 2 {
						if d.Fixed[k] {
							u[k] = 0
						}
						at[k] = min(max(x[k]+float32(u[k])*d.Scale[k], d.Low[k]), d.High[k])
					}
					if ok {
						best = max(best, margin(c, at, class))
					}
				}
			}
			// No point is beyond the exact answer, and the grid comes close to it.
			if best > exact+1e-5 || best < exact-0.05*(1+math.Abs(exact)) {
				t.Errorf("%s eps %.3f: the grid reaches %v, exact is %v", norm, s.Eps, best, exact)
			}
		}
	}
}

// In more dimensions, random points stay below the answer and never above; without
// limits the answer is the known one: eps times the dual norm of the weights.
func TestMarginInManyDimensions(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	dual := map[method.Norm]func(w []float64) float64{
		method.Linf: func(w []float64) (sum float64) {
			for _, v := range w {
				sum += math.Abs(v)
			}
			return sum
		},
		method.L2: func(w []float64) (sum float64) {
			for _, v := range w {
				sum += v * v
			}
			return math.Sqrt(sum)
		},
		method.L1: func(w []float64) (largest float64) {
			for _, v := range w {
				largest = max(largest, math.Abs(v))
			}
			return largest
		},
	}
	for range 30 {
		c, d, x := problem(r, 7)
		for j := range d.Low {
			d.Low[j], d.High[j], d.Fixed[j] = -1e6, 1e6, false
		}
		class := c.Label(x)
		scores := c.Scores(x)
		for norm, length := range dual {
			s := &method.Space{Domain: d, Norm: norm, Eps: 0.7, Clean: x}
			want := math.Inf(-1)
			for k := range c.Classes {
				if k == class {
					continue
				}
				w := make([]float64, c.Width)
				for j := range w {
					w[j] = (c.Weights[k*c.Width+j] - c.Weights[class*c.Width+j]) * float64(d.Scale[j])
				}
				want = max(want, scores[k]-scores[class]+s.Eps*length(w))
			}
			if got := c.Margin(s, class); math.Abs(got-want) > 1e-9*(1+math.Abs(want)) {
				t.Errorf("%s: margin %v, want %v", norm, got, want)
			}
		}
	}
}

func TestLimit(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	never := 0
	for range 100 {
		c, d, x := problem(r, 4)
		for _, norm := range method.Norms() {
			s := &method.Space{Domain: d, Norm: norm, Eps: 3, Clean: x}
			class := c.Label(x)
			limit := c.Limit(s, class)
			if math.IsInf(limit, 1) {
				never++
				if c.Margin(s, class) > 0 {
					t.Errorf("%s: no limit, but it can be broken", norm)
				}
				continue
			}
			below, above := *s, *s
			below.Eps, above.Eps = 0.999*limit, 1.001*limit
			if c.Margin(&below, class) > 0 || c.Margin(&above, class) < 0 {
				t.Errorf("%s: the margin does not change its sign at %v", norm, limit)
			}
		}
	}
	if never == 0 || never == 400 {
		t.Errorf("%d of 400 cannot be broken: the test shows one side alone", never)
	}
}

func TestFixedNumbersStay(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	c, d, x := problem(r, 3)
	for j := range d.Fixed {
		d.Fixed[j] = true
	}
	s := &method.Space{Domain: d, Norm: method.L2, Eps: 100, Clean: x}
	class := c.Label(x)
	if got, want := c.Margin(s, class), margin(c, x, class); math.Abs(got-want) > 1e-12 {
		t.Errorf("margin %v with all numbers fixed, want that of the row, %v", got, want)
	}
	grouped := &method.Domain{Low: d.Low, High: d.High, Scale: d.Scale, Groups: []method.Group{{Start: 0, End: 3}}, Relations: []method.Relation{{}}}
	if relaxed := linear.Relaxed(grouped); !relaxed.Fixed[2] || relaxed.Groups != nil || relaxed.Relations != nil {
		t.Errorf("relaxed to %+v", relaxed)
	}
}

func TestFitRefuses(t *testing.T) {
	if _, err := linear.Fit([]float32{1, 2}, 1, []int32{3, 3}); err == nil {
		t.Error("one class is accepted")
	}
	if _, err := linear.Fit([]float32{1, 2, 3}, 2, []int32{0}); err == nil {
		t.Error("a part of a row is accepted")
	}
}
