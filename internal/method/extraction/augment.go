package extraction

import (
	"context"
	"fmt"

	"assay/internal/method"
	"assay/internal/model"
	"assay/internal/model/gradient"
	"assay/internal/train"
	"assay/onnx"
	"assay/onnx/autodiff"
)

// How long trainings are, in steps of at most batch examples: those between rounds need only find directions.
const (
	batch      = 64
	roundSteps = 400
	finalSteps = 2000
	maxEpochs  = 400 // of few examples
	minEpochs  = 10
	rate       = 0.003

	// period is after how many rounds the step changes its sign (Papernot et al. 2016, arXiv:1605.07277, section
	// 4.1, equation 5, periodic step size).
	period = 3
	// maxRounds ends an augmentation that finds nothing new.
	maxRounds = 32
)

// augment is Algorithm 1 of Papernot et al. 2017: train a surrogate on what was answered, move each input along the
// sign of the surrogate's Jacobian in the direction of the victim's answer, ask about the results, and so on.
//
// Departures: results are brought into the domain, and those that it makes equal to their input are not asked about;
// the sign of the step alternates with the rounds (see period), and where more inputs could be made than queries
// are left, those to move are drawn, in place of a reservoir. The derivative is that of the logarithm of the answer's
// probability, which has the probability's sign.
func (e *extraction) augment(ctx context.Context, natural [][]float32) (rounds int, err error) {
	seeds := e.Seeds
	if seeds == 0 {
		seeds = max(e.Queries/8, 2)
	}
	if err := e.ask(ctx, pick(e.rand, natural, seeds)); err != nil {
		return 0, err
	}
	for rounds = 0; e.oracle.asked < e.Queries && rounds < maxRounds; rounds++ {
		surrogate, err := e.train(ctx, roundSteps)
		if err != nil {
			return rounds, err
		}
		step := e.Step
		if rounds/period%2 == 1 {
			step = -step
		}
		next, err := e.moved(ctx, surrogate, step)
		if err != nil {
			return rounds, err
		}
		if len(next) == 0 {
			break
		}
		if err := e.ask(ctx, next); err != nil {
			return rounds, err
		}
	}
	return rounds, nil
}

// moved gives the inputs moved by a step along the signs of the surrogate's Jacobian, as many as may be asked about.
func (e *extraction) moved(ctx context.Context, surrogate *onnx.Model, step float64) ([][]float32, error) {
	g, err := gradient.New(ctx, surrogate, gradient.Options{Threads: e.Threads, Library: e.Library})
	if err != nil {
		return nil, fmt.Errorf("the surrogate's Jacobian: %w", err)
	}
	defer g.Close()
	order := e.rand.Perm(len(e.x))[:min(len(e.x), e.Queries-e.oracle.asked)]
	var out [][]float32
	for start := 0; start < len(order); start += g.Batch() {
		part := order[start:min(start+g.Batch(), len(order))]
		var rows []float32
		labels := make([]int32, len(part))
		for k, i := range part {
			rows = append(rows, e.x[i]...)
			labels[k] = int32(winner(e.y[i*e.classes : (i+1)*e.classes]))
		}
		scores, losses := make([]float32, len(part)*e.classes), make([]float32, len(part))
		slope := make([]float32, len(rows))
		if err := g.Gradient(ctx, model.CrossEntropy, rows, labels, nil, scores, losses, slope); err != nil {
			return nil, fmt.Errorf("the surrogate's Jacobian: %w", err)
		}
		width := len(rows) / len(part)
		for k, i := range part {
			if x := e.step(e.x[i], slope[k*width:(k+1)*width], step); x != nil {
				out = append(out, x)
			}
		}
	}
	return out, nil
}

// step moves a record down the slope of the loss, which is up that of the answer's probability; nil where it stays.
func (e *extraction) step(clean, slope []float32, size float64) []float32 {
	for i := range slope {
		if size > 0 {
			slope[i] = -slope[i]
		}
	}
	s := &method.Space{Domain: e.Domain, Norm: method.Linf, Eps: max(size, -size), Groups: len(e.Domain.Groups), Clean: clean}
	x := append([]float32(nil), clean...)
	s.Step(x, slope, s.Eps)
	for i := range x {
		if x[i] != clean[i] {
			return x
		}
	}
	return nil
}

// train trains a network of its own on what was answered so far, by the cross-entropy against the answers.
func (e *extraction) train(ctx context.Context, steps int) (*onnx.Model, error) {
	d := &train.Data{Shape: e.Shape, Targets: e.y}
	for _, x := range e.x {
		d.X = append(d.X, x...)
	}
	m, err := train.Standardize(e.Network(e.Seed+uint64(e.trainings)), d)
	if err != nil {
		return nil, err
	}
	perEpoch := (len(e.x) + batch - 1) / batch
	o := train.Options{
		Loss: autodiff.SoftCrossEntropy, Epochs: min(max(steps/perEpoch, minEpochs), maxEpochs), Batch: batch,
		Optimizer: train.Optimizer{Method: train.AdamW, Rate: rate, Decay: 0.01},
		Schedule:  train.Schedule{Kind: train.OneCycle},
		Seed:      e.Seed, Threads: e.Threads, Library: e.Library,
	}
	result, err := train.Run(ctx, m, d, o)
	if err != nil {
		return nil, fmt.Errorf("training the surrogate: %w", err)
	}
	e.trainings++
	e.tell()
	return result.Model, nil
}
