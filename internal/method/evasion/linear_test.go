package evasion_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"assay"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/evasion/linear"
	"assay/internal/model"
)

// exact is a linear classifier behind the ports, computed in Go: a target whose answers are known.
type exact struct {
	c *linear.Classifier
}

func (e exact) Describe() model.Description {
	return model.Description{Shape: []int64{int64(e.c.Width)}, Layout: model.Tabular, Classes: make([]string, len(e.c.Classes)), Output: model.Logits}
}

func (e exact) Predict(_ context.Context, rows, scores []float64) error {
	x := make([]float32, e.c.Width)
	for i := range len(rows) / e.c.Width {
		for j := range x {
			x[j] = float32(rows[i*e.c.Width+j])
		}
		copy(scores[i*len(e.c.Classes):], e.c.Scores(x))
	}
	return nil
}

func (e exact) Close() error { return nil }

func (e exact) Batch() int { return 16 }

// Gradient gives that of the margin for all losses: cross-entropy's has other lengths, and the same signs in two classes.
func (e exact) Gradient(_ context.Context, _ model.Loss, rows []float32, labels, _ []int32, scores, losses, gradient []float32) error {
	w, k := e.c.Width, len(e.c.Classes)
	for i, y := range labels {
		own := e.c.Scores(rows[i*w : (i+1)*w])
		best := -1
		for c, s := range own {
			scores[i*k+c] = float32(s)
			if c != int(y) && (best < 0 || s > own[best]) {
				best = c
			}
		}
		losses[i] = float32(own[best] - own[y])
		for j := range w {
			gradient[i*w+j] = float32(e.c.Weights[best*w+j] - e.c.Weights[int(y)*w+j])
		}
	}
	return nil
}

// clouds are points of classes around their own means, and a classifier of them.
func clouds(n, width, classes int, seed uint64) (*linear.Classifier, method.Target, []method.Input) {
	r := rand.New(rand.NewPCG(seed, 0))
	means := make([]float64, classes*width)
	for i := range means {
		means[i] = 0.2 + 0.6*r.Float64()
	}
	var rows []float32
	labels, inputs := make([]int32, n), make([]method.Input, n)
	for i := range n {
		labels[i] = int32(i % classes)
		for j := range width {
			rows = append(rows, float32(min(max(means[(i%classes)*width+j]+0.15*r.NormFloat64(), 0), 1)))
		}
	}
	c, err := linear.Fit(rows, width, labels)
	if err != nil {
		panic(err)
	}
	d := &method.Domain{Fixed: make([]bool, width)}
	for j := range width {
		d.Low, d.High, d.Scale = append(d.Low, 0), append(d.High, 1), append(d.Scale, 1)
		d.Fixed[j] = j%7 == 3
	}
	t := method.Target{Model: exact{c}, Gradient: exact{c}, Confirm: exact{c}, Domain: d}
	for i := range inputs {
		inputs[i] = method.Input{Index: int64(i), X: rows[i*width : (i+1)*width], Label: i % classes}
		if i < 20 {
			t.Pool = append(t.Pool, inputs[i].X)
		}
	}
	return c, t, inputs
}

// Methods against the exact answer: nobody breaks what cannot be broken, and what can be is
// broken by each method from the factor on that is stated beside it. Gradients lead to the
// end of a linear model, but for units at which two other classes take turns; a random
// search and one by decisions come near it in the queries that they have here.
func TestMethodsAgainstExactAnswer(t *testing.T) {
	c, target, inputs := clouds(150, 24, 3, 1)
	for _, norm := range method.Norms() {
		var limits []float64
		var right []method.Input
		for _, in := range inputs {
			s := &method.Space{Domain: target.Domain, Norm: norm, Eps: 10, Clean: in.X}
			if limit := c.Limit(s, in.Label); c.Label(in.X) == in.Label && !math.IsInf(limit, 1) {
				limits, right = append(limits, limit), append(right, in)
			}
		}
		eps, ok := linear.Median(limits)
		if !ok || len(right) < 80 {
			t.Fatalf("%d units can be broken", len(right))
		}
		for _, m := range []struct {
			method method.Method
			factor float64 // of the exact limit
			power  float64 // part of the units beyond it that are broken
		}{
			{evasion.FGSM{}, 1.2, 0.9},
			{evasion.PGD{Steps: 40, Step: 2.5 / 40, Restarts: 2, Loss: model.Margin}, 1.02, 0.95},
			{evasion.Square{Queries: 1000, Share: 0.8}, 1.4, 0.9},
			{evasion.HopSkipJump{Queries: 2000, Draws: 100}, map[method.Norm]float64{method.Linf: 1.3, method.L2: 1.3, method.L1: 1.5}[norm], 0.9},
		} {
			if !m.method.Describe().In(norm) {
				continue
			}
			a := method.Attacker{Access: assay.Gradients, Norm: norm, Eps: eps}
			results, err := method.Run(context.Background(), target, a, []method.Method{m.method}, right, method.Options{Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			can, did, queries := 0, 0, 0
			for i, r := range results {
				queries += r.Methods[0].Queries
				if !r.Robust && limits[i] > eps*(1+1e-6) {
					t.Errorf("%s %s: unit %d is broken at %v and exactly from %v on", m.method.Describe().Name, norm, i, eps, limits[i])
				}
				if limits[i]*m.factor <= eps {
					if can++; !r.Robust {
						did++
					}
				}
			}
			t.Logf("%s %s: %d of %d, %d queries a unit", m.method.Describe().Name, norm, did, can, queries/len(right))
			if can < 12 || float64(did) < m.power*float64(can) {
				t.Errorf("%s %s: %d of %d units are broken whose limit is less by %v", m.method.Describe().Name, norm, did, can, m.factor)
			}
		}
	}
}
