package method

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"

	"assay/internal/model"
)

// Learner is a method that learns from other inputs what it then does to each, such as one perturbation for all.
type Learner interface {
	Method
	// Learn gives the method that applies what it has learnt. It describes itself as the learner does.
	Learn(ctx context.Context, l *Lesson) (Method, error)
}

// Lesson is what a method learns from. What it asks the model counts as no unit's query.
type Lesson struct {
	Domain   *Domain
	Attacker Attacker
	Classes  int
	Refuses  bool       // the model can refuse to answer, and losses are Refusing ones
	Inputs   []Input    // none of which is attacked
	Rand     *rand.Rand // its own stream, of seed and method

	run       *run
	surrogate bool
	draws     *draws
}

// Space is where the attacker may take an input.
func (l *Lesson) Space(clean []float32) *Space { return l.Attacker.space(l.Domain, clean) }

// Gradients asks for the gradient of a loss at rows, of which each has a label of its own; target is the class that a targeted loss is about.
func (l *Lesson) Gradients(ctx context.Context, loss model.Loss, target int, rows [][]float32, labels []int) ([]Gradient, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	questions := make([]*question, len(rows))
	for i, row := range rows {
		questions[i] = &question{
			loss: loss, rows: row, label: int32(labels[i]), target: int32(target),
			scores: make([]float64, l.run.columns), slope: make([]float32, len(row)), surrogate: l.surrogate,
		}
		if l.run.random {
			questions[i].draws = l.draws.next(l.run.draws)
		}
	}
	if err := newBroker(ctx, l.run.target, l.run.batch, 1).run(questions); err != nil {
		return nil, err
	}
	out := make([]Gradient, len(rows))
	for i, q := range questions {
		for j, v := range q.slope {
			if !finite(v) {
				q.slope[j] = 0
			}
		}
		out[i] = Gradient{Loss: q.value, Slope: q.slope, Scores: make([]float32, l.Classes)}
		for j := range out[i].Scores {
			out[i].Scores[j] = float32(q.scores[j])
		}
	}
	return out, nil
}

// learn has the methods that learn do so, from inputs that are not attacked: one with the same numbers as a unit is left out.
func (r *run) learn(ctx context.Context, inputs, lessons []Input) error {
	for k, m := range r.methods {
		learner, ok := m.(Learner)
		if !ok {
			continue
		}
		d := r.descriptions[k]
		attacked := map[[32]byte]bool{}
		for _, in := range inputs {
			attacked[rowDigest(in.X)] = true
		}
		others := slices.DeleteFunc(slices.Clone(lessons), func(in Input) bool { return attacked[rowDigest(in.X)] })
		if len(others) == 0 {
			return fmt.Errorf("the method %s learns from other inputs than those that it attacks, and none are given: attack fewer records, or give more", d.Name)
		}
		l := &Lesson{
			Domain: r.target.Domain, Attacker: r.attacker, Classes: r.classes, Refuses: r.columns > r.classes, Inputs: others,
			Rand: stream(r.seed, d.Name, Input{}), run: r, surrogate: d.Surrogate, draws: newDraws(r.seed, "lessons of "+d.Name, Input{}),
		}
		learnt, err := taught(ctx, learner, l)
		if err != nil {
			return fmt.Errorf("method %s, learning: %w", d.Name, err)
		}
		r.methods[k] = learnt
	}
	return nil
}

func taught(ctx context.Context, m Learner, l *Lesson) (learnt Method, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panicked, which is a fault of the method: %v\n%s", p, debug.Stack())
		}
	}()
	if learnt, err = m.Learn(ctx, l); err == nil && learnt == nil {
		err = errors.New("it learnt nothing")
	}
	return learnt, err
}
