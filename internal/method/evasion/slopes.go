package evasion

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"assay/internal/method"
	"assay/internal/model"
)

// Slopes tell of gradients at the inputs: of the margin, which does not vanish where a
// model is sure. A unit counts once, under the first that holds of it.
type Slopes struct {
	Units     int      `json:"units"`
	NotFinite int      `json:"notFinite"`           // some of the gradient is no finite number
	Zero      int      `json:"zero"`                // all of it is 0
	Surrogate bool     `json:"surrogate,omitempty"` // the gradient is one through steps that have none: being flat means nothing
	Flat      int      `json:"flat"`                // a step along it, a hundredth of eps long, changes no score at all: the model has steps
	Saturated int      `json:"saturated"`           // it vanishes for most numbers, and the scores depend on these
	Replaced  []string `json:"replaced,omitempty"`  // nodes that are given the identity's gradient
	Stopped   []string `json:"stopped,omitempty"`   // nodes through which nothing flows
	Loops     []string `json:"loops,omitempty"`     // nodes that run a part of the model again and again
	Refining  []string `json:"refining,omitempty"`  // those of them that carry a value of the shape of the input
}

// vanishing is the part of the largest slope below which a number's slope leads nowhere: it is
// lost in the rounding of a step in L2.
const vanishing = 1e-6

// matters is the part of what a step along the gradient changes the margin by, from which on
// it matters that other numbers change it too.
const matters = 0.2

// nodes is what a differentiable model may tell of its graph.
type nodes interface {
	StraightThrough() []string
	Stopped() []string
	Loops() []string
	Refining() []string
}

func (k *controller) slopes(ctx context.Context, inputs []method.Input) (*Slopes, error) {
	s := &Slopes{Units: len(inputs), Surrogate: k.target.Surrogate != nil}
	of := k.target.Gradient
	if s.Surrogate {
		of = k.target.Surrogate
	}
	if n, ok := of.(nodes); ok {
		s.Replaced, s.Stopped, s.Loops, s.Refining = n.StraightThrough(), n.Stopped(), n.Loops(), n.Refining()
	}
	d := k.target.Model.Describe()
	for batch := range slices.Chunk(inputs, max(of.Batch(), 1)) {
		clean := make([][]float32, len(batch))
		for i, in := range batch {
			clean[i] = in.X
		}
		_, slope, err := k.followed(ctx, of, batch, clean)
		if err != nil {
			return nil, err
		}
		// From one point beside each input to another: an input itself may stand where a step is.
		var near, further [][]float32
		probes := make([]*probe, len(batch))
		for i, in := range batch {
			probes[i] = &probe{controller: k, clean: in.X, label: in.Label, reject: d.Reject, slope: slope[i]}
			near, further = append(near, probes[i].moved(k.Attacker.Eps/100)), append(further, probes[i].moved(k.Attacker.Eps/50))
		}
		first, _, err := k.followed(ctx, of, batch, near)
		if err != nil {
			return nil, err
		}
		second, _, err := k.followed(ctx, of, batch, further)
		if err != nil {
			return nil, err
		}
		for i, p := range probes {
			if err := p.judge(ctx, s, slices.Equal(first[i], second[i])); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// followed gives the scores that gradients are followed of, which are logits where there are any, and the slopes of the margin.
func (k *controller) followed(ctx context.Context, of model.Differentiable, inputs []method.Input, at [][]float32) (scores, slopes [][]float32, _ error) {
	n, classes, size := len(inputs), len(k.target.Model.Describe().Classes), len(at[0])
	labels := make([]int32, n)
	for i, in := range inputs {
		labels[i] = int32(in.Label)
	}
	all, losses, slope := make([]float32, n*classes), make([]float32, n), make([]float32, n*size)
	if err := of.Gradient(ctx, model.Margin, slices.Concat(at...), labels, nil, all, losses, slope); err != nil {
		return nil, nil, fmt.Errorf("gradients of the controls: %w", err)
	}
	return slices.Collect(slices.Chunk(all, classes)), slices.Collect(slices.Chunk(slope, size)), nil
}

// probe looks at the slope at one input.
type probe struct {
	*controller
	clean, slope []float32
	label        int
	reject       bool // the last score is a refusal's
}

// judge counts the input. Flat tells that no score that is followed changes along the slope.
func (p *probe) judge(ctx context.Context, s *Slopes, flat bool) error {
	largest := 0.0
	for j, g := range p.slope {
		if g-g != 0 {
			s.NotFinite++
			return nil
		}
		largest = max(largest, p.at(j))
	}
	if largest == 0 {
		s.Zero++
		return nil
	}
	if flat && !s.Surrogate {
		s.Flat++
		return nil
	}
	clean, err := p.scores(ctx, p.clean)
	if err != nil {
		return err
	}
	saturated, err := p.saturated(ctx, clean, largest)
	if saturated {
		s.Saturated++
	}
	return err
}

// at is the length of the slope along number j, in its scale; 0 where it cannot move.
func (p *probe) at(j int) float64 {
	if d := p.target.Domain; d.Fixed != nil && d.Fixed[j] {
		return 0
	}
	return math.Abs(float64(p.slope[j]) * float64(p.target.Domain.Scale[j]))
}

// moved is the input with each number moved up its slope, within its limits alone: what the model
// does between whole numbers tells whether its slope is its own.
func (p *probe) moved(size float64) []float32 {
	d, x := p.target.Domain, slices.Clone(p.clean)
	for j, g := range p.slope {
		if p.at(j) == 0 {
			continue
		}
		by := float32(math.Copysign(size, float64(g)) * float64(d.Scale[j]))
		if v := x[j] + by; v >= d.Low[j] && v <= d.High[j] {
			x[j] = v
		} else {
			x[j] -= by // at its limit: the other way tells the same
		}
	}
	return x
}

// saturated reports whether the slope vanishes for most numbers that can change, and the
// margin depends on them all the same, when they are drawn from their limits.
func (p *probe) saturated(ctx context.Context, clean []float64, largest float64) (bool, error) {
	free, _ := changeable(&method.Space{Domain: p.target.Domain, Clean: p.clean})
	dead := slices.DeleteFunc(slices.Clone(free), func(j int) bool { return p.at(j) > vanishing*largest })
	if 2*len(dead) <= len(free) {
		return false, nil
	}
	step, err := p.scores(ctx, p.moved(p.Attacker.Eps))
	if err != nil {
		return false, err
	}
	d, r, change := p.target.Domain, rand.New(rand.NewPCG(p.options.Seed, 0)), 0.0
	for range 8 {
		x := slices.Clone(p.clean)
		for _, j := range dead {
			if low, high := float64(d.Low[j]), float64(d.High[j]); !math.IsInf(high-low, 0) {
				x[j] = float32(low + r.Float64()*(high-low))
			}
		}
		drawn, err := p.scores(ctx, x)
		if err != nil {
			return false, err
		}
		change = max(change, math.Abs(p.lead(drawn)-p.lead(clean)))
	}
	return change > matters*math.Abs(p.lead(step)-p.lead(clean)), nil
}

// lead is how far the best other class is ahead of the label, or of the refusal where that is ahead of the label.
func (p *probe) lead(scores []float64) float64 {
	own := scores[p.label]
	if p.reject {
		last := len(scores) - 1
		own, scores = max(own, scores[last]), scores[:last]
	}
	best := math.Inf(-1)
	for k, s := range scores {
		if k != p.label {
			best = max(best, s)
		}
	}
	return best - own
}

// scores are the model's of one row by itself.
func (p *probe) scores(ctx context.Context, x []float32) ([]float64, error) {
	return alone(ctx, p.target, x)
}
