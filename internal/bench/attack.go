package main

import (
	"context"
	"math/rand/v2"
	"slices"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
	"assay/internal/model/gradient"
)

// attackStep is the time of a step of projected gradient descent in the harness, on a
// batch of units, over that of the gradient alone as ONNX Runtime runs it at its best.
func attackStep() benchmark {
	const name = "pgd-step-over-gradient/cnn5"
	return benchmark{name, func(ctx context.Context) ([]figure, error) {
		m := fiveLayers()
		derived, err := withGradient(m)
		if err != nil {
			return nil, err
		}
		raw, err := bindRandom(ctx, derived, batch)
		if err != nil {
			return nil, err
		}
		defer raw.close()
		g, err := gradient.New(ctx, m, gradient.Options{Batch: batch, Threads: threads})
		if err != nil {
			return nil, err
		}
		defer g.Close()
		d, err := model.Recognise(m, model.Override{})
		if err != nil {
			return nil, err
		}
		inputs := make([]method.Input, batch)
		random := rand.New(rand.NewPCG(1, 1))
		for i := range inputs {
			inputs[i].X = make([]float32, d.RowSize())
			for j := range inputs[i].X {
				inputs[i].X[j] = random.Float32()
			}
		}
		// What confirms takes no time here: it is no part of a step.
		quiet := agreeing{d.Description}
		target := method.Target{Model: quiet, Confirm: quiet, Gradient: g, Domain: method.DomainOfModel(d.Description)}
		attacker := method.Attacker{Access: assay.Gradients, Norm: method.Linf, Eps: 8.0 / 255}
		const steps = 3
		alone, step, err := inTurn(func() error {
			for range steps {
				if err := raw.run(ctx); err != nil {
					return err
				}
			}
			return nil
		}, func() error {
			_, err := method.Run(ctx, target, attacker, []method.Method{descent{steps}}, inputs, method.Options{})
			return err
		})
		if err != nil {
			return nil, err
		}
		return []figure{{name, step.Seconds() / alone.Seconds(), "max", 1.10}}, nil
	}}
}

// descent is projected gradient descent (Madry et al. 2018) with a random start, and no more.
type descent struct{ steps int }

func (descent) Describe() method.Description {
	return method.Description{Name: "descent", Access: assay.Gradients, Iterative: true}
}

func (d descent) Perturb(ctx context.Context, u method.Unit) error {
	x := slices.Clone(u.Clean())
	u.Space().Random(u.Rand(), x)
	for range d.steps {
		g, err := u.Gradient(ctx, model.CrossEntropy, 0, x)
		if err != nil {
			return err
		}
		u.Space().Step(x, g.Slope, u.Space().Eps/4)
	}
	return nil
}

// agreeing is a classifier that takes everything for the first class.
type agreeing struct{ model.Description }

func (a agreeing) Describe() model.Description { return a.Description }

func (a agreeing) Predict(_ context.Context, _, scores []float64) error {
	clear(scores)
	return nil
}

func (agreeing) Close() error { return nil }
