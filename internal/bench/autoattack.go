package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"assay"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/train/network"
	"assay/onnx"
)

// autoAttackSpeed is how much of the runtime's speed AutoAttack's methods make use of, with fewer steps each: the part of the rows
// that the model was run on which a method had asked about, the rest filling up batches; and the part of the time that the model ran.
func autoAttackSpeed() benchmark {
	const name = "autoattack/cnn5"
	return benchmark{name, func(ctx context.Context) ([]figure, error) {
		a, err := newAttacked(ctx, fiveLayers(), 256, 21.0/255)
		if err != nil {
			return nil, err
		}
		defer a.close()
		if err := a.run(ctx, 64); err != nil { // warms up
			return nil, err
		}
		if err := a.run(ctx, 256); err != nil {
			return nil, err
		}
		if b := a.broken(); b < 0.1 || b > 0.9 {
			return nil, fmt.Errorf("%.0f %% of the units are broken: choose an eps at which the figures are of both kinds of unit", 100*b)
		}
		return []figure{
			{name + "-calls-needed", float64(a.asked) / float64(a.rows), "min", 0.90},
			{name + "-time-in-runtime", a.inside.Seconds() / a.total.Seconds(), "min", 0.90},
		}, nil
	}}
}

// autoAttackGrowth is how the cost of AutoAttack grows with the units: by rows for each of four times as many, over those
// for each of a quarter; and by memory in use on the way, in rows of a unit, one of which its example takes.
func autoAttackGrowth() benchmark {
	const name = "autoattack-growth/small-cnn"
	return benchmark{name, func(ctx context.Context) ([]figure, error) {
		const few, many = 256, 1024
		a, err := newAttacked(ctx, network.CNN(3, 32, 32, []int{4, 8}, 10, 1), many, 2.0/255)
		if err != nil {
			return nil, err
		}
		defer a.close()
		if err := a.run(ctx, few); err != nil {
			return nil, err
		}
		cost, live := float64(a.rows)/few, a.live
		if err := a.run(ctx, many); err != nil {
			return nil, err
		}
		row := 4 * len(a.inputs[0].X)
		return []figure{
			{name + "-rows", float64(a.rows) / many / cost, "max", 1.05},
			{name + "-memory", (float64(a.live) - float64(live)) / float64((many-few)*row), "max", 1.2},
		}, nil
	}}
}

// attacked is a model under attack, and what of the attack is measured.
type attacked struct {
	model    *target.Model
	target   method.Target
	attacker method.Attacker
	inputs   []method.Input
	results  []method.Result

	rows          int // that the model was run on
	asked         int // by methods
	inside, total time.Duration
	live          uint64 // the most memory in use, of some moments
}

// newAttacked gives random images, each with the label that the model has for it.
func newAttacked(ctx context.Context, m *onnx.Model, n int, eps float64) (*attacked, error) {
	t, err := target.Open(ctx, m, target.Options{Threads: threads})
	if err != nil {
		return nil, err
	}
	a := &attacked{model: t, target: t.Target, attacker: method.Attacker{Access: assay.Gradients, Norm: method.Linf, Eps: eps}}
	a.target.Domain = method.DomainOfModel(t.Description)
	a.target.Model, a.target.Gradient = &countedScores{t.Target.Model, a}, &countedSlopes{t.Gradient, a}
	random := rand.New(rand.NewPCG(1, 1))
	row, scores := make([]float64, t.RowSize()), make([]float64, len(t.Classes))
	for i := range n {
		x := make([]float32, len(row))
		for j := range x {
			x[j] = random.Float32()
			row[j] = float64(x[j])
		}
		if err := t.Confirm.Predict(ctx, row, scores); err != nil {
			return nil, err
		}
		best := 0
		for k, s := range scores {
			if s > scores[best] {
				best = k
			}
		}
		a.inputs = append(a.inputs, method.Input{Index: int64(i), X: x, Label: best})
	}
	return a, nil
}

func (a *attacked) close() { a.model.Close() }

// run attacks the first n inputs, and measures that.
func (a *attacked) run(ctx context.Context, n int) (err error) {
	a.rows, a.asked, a.inside, a.live, a.results = 0, 0, 0, 0, nil
	runtime.GC()
	methods := []method.Method{
		evasion.APGD{Steps: 6, Restarts: 1, Loss: model.CrossEntropy},
		evasion.APGD{Steps: 6, Restarts: 1, Loss: model.TargetedDLR, Targets: 2},
		evasion.FAB{Steps: 6, Targets: 2},
		evasion.Square{Queries: 60, Share: 0.8},
	}
	start := time.Now()
	a.results, err = method.Run(ctx, a.target, a.attacker, methods, a.inputs[:n], method.Options{UntilBroken: true})
	a.total = time.Since(start)
	for _, r := range a.results {
		for _, m := range r.Methods {
			a.asked += m.Queries
		}
	}
	return err
}

// broken is the part of the units that was.
func (a *attacked) broken() float64 {
	n := 0
	for _, r := range a.results {
		if !r.Robust {
			n++
		}
	}
	return float64(n) / float64(len(a.results))
}

// count takes account of a call.
func (a *attacked) count(rows int, start time.Time) {
	a.inside += time.Since(start)
	before := a.rows / watched
	if a.rows += rows; a.rows/watched > before {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		a.live = max(a.live, m.HeapAlloc)
	}
}

// watched is after how many rows memory is looked at.
const watched = 10000

type countedScores struct {
	model.Classifier
	of *attacked
}

func (c *countedScores) Predict(ctx context.Context, rows, scores []float64) error {
	start := time.Now()
	err := c.Classifier.Predict(ctx, rows, scores)
	c.of.count(len(scores)/len(c.of.model.Classes), start)
	return err
}

type countedSlopes struct {
	model.Differentiable
	of *attacked
}

func (c *countedSlopes) Gradient(ctx context.Context, loss model.Loss, rows []float32, labels, targets []int32, scores, losses, slope []float32) error {
	start := time.Now()
	err := c.Differentiable.Gradient(ctx, loss, rows, labels, targets, scores, losses, slope)
	c.of.count(len(labels), start)
	return err
}
