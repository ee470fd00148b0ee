// Package extraction makes a surrogate of a classifier that can only be asked: inputs are chosen by a
// strategy, the victim answers them, and a network of one's own is trained on the answers. How well the surrogate
// imitates the victim is measured on inputs that neither of them has seen.
//
// The strategies are those of the literature: Jacobian-based augmentation (Papernot et al. 2017,
// arXiv:1602.02697, Algorithm 1), natural data (Knockoff nets: Orekondy et al. 2019, arXiv:1812.02766, section 4, random),
// and inputs drawn from where inputs can be (Tramèr et al. 2016, arXiv:1609.02943, section 5.1), the baseline.
package extraction

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"assay/internal/method"
	"assay/internal/model"
	"assay/onnx"
)

// Strategy is how inputs to ask about are chosen.
type Strategy string

// The strategies.
const (
	// Jacobian begins with a few natural inputs and adds, round by round, those that differ most to a
	// surrogate trained so far.
	Jacobian Strategy = "jacobian"
	// Natural draws natural inputs at random, each at most once.
	Natural Strategy = "natural"
	// Random draws each number of an input uniformly from its limits.
	Random Strategy = "random"
)

// Strategies gives all strategies.
func Strategies() []Strategy { return []Strategy{Jacobian, Natural, Random} }

// Answers is what the attacker sees of the victim's answers.
type Answers string

// The kinds of answers.
const (
	Labels        Answers = "labels"        // the winning class alone
	Probabilities Answers = "probabilities" // of all classes
	Rounded       Answers = "rounded"       // probabilities to some decimals
)

// AllAnswers gives all kinds of answers.
func AllAnswers() []Answers { return []Answers{Labels, Probabilities, Rounded} }

// Victim is the model that is asked. Inputs here are records in the data's own layout.
type Victim struct {
	Model model.Classifier
	Row   func(record []float32) []float32 // the model's row of a record; nil where they are the same
}

// Options say how an extraction is done.
type Options struct {
	Strategy Strategy
	Queries  int     // rows that the victim may be asked about, at least 2
	Answers  Answers // that the attacker sees
	Decimals int     // of rounded probabilities: 0 to 6
	Seeds    int     // of Jacobian: natural inputs to begin with; 0 for an eighth of the queries
	Step     float64 // of Jacobian: λ, in the domain's scale; above 0

	Domain *method.Domain // of records
	Shape  []int          // of a record, as the network takes it
	// Network makes an untrained network that gives a logit for each of the victim's classes.
	Network func(seed uint64) *onnx.Model

	Seed     uint64
	Threads  int    // 0 for as many as Go uses
	Library  string // the ONNX Runtime library; see ort.Load
	Progress func(Progress)
}

// Progress is how far an extraction is.
type Progress struct {
	Asked, Queries int
	Trainings      int // that have ended
}

// Surrogate is what came of an extraction.
type Surrogate struct {
	Model   *onnx.Model // takes records, and gives a logit for each of the victim's classes
	Queries int         // rows that the victim was asked about
	Rounds  int         // of augmentation
}

// Run makes a surrogate. Natural are records, of which no strategy knows the labels; Random needs none. Fewer
// queries than allowed are made where there is nothing left to ask about.
func Run(ctx context.Context, v Victim, natural [][]float32, o Options) (*Surrogate, error) {
	if err := o.check(v, natural); err != nil {
		return nil, err
	}
	e := &extraction{Options: o, oracle: newOracle(v, o), classes: len(v.Model.Describe().Classes),
		rand: rand.New(rand.NewPCG(o.Seed, 1))}
	out := &Surrogate{}
	var err error
	switch o.Strategy {
	case Jacobian:
		out.Rounds, err = e.augment(ctx, natural)
	case Natural:
		err = e.ask(ctx, pick(e.rand, natural, o.Queries))
	case Random:
		err = e.ask(ctx, e.draw(o.Queries))
	}
	if err != nil {
		return nil, err
	}
	if out.Model, err = e.train(ctx, finalSteps); err != nil {
		return nil, err
	}
	out.Queries = e.oracle.asked
	return out, nil
}

func (o *Options) check(v Victim, natural [][]float32) error {
	d := v.Model.Describe()
	width := 1
	for _, n := range o.Shape {
		width *= n
	}
	switch {
	case !slices.Contains(Strategies(), o.Strategy):
		return fmt.Errorf("there is no strategy %q: use one of %q", o.Strategy, Strategies())
	case !slices.Contains(AllAnswers(), o.Answers):
		return fmt.Errorf("there are no answers %q: use one of %q", o.Answers, AllAnswers())
	case o.Answers != Labels && d.Output == model.Labels:
		return fmt.Errorf("the model gives labels alone, and the attacker would see %s: use %s", o.Answers, Labels)
	case o.Queries < 2 || o.Queries > 1e7:
		return fmt.Errorf("%d queries: give 2 to 10000000", o.Queries)
	case o.Decimals < 0 || o.Decimals > 6:
		return fmt.Errorf("%d decimals: give 0 to 6", o.Decimals)
	case o.Seeds < 0 || o.Seeds > o.Queries:
		return fmt.Errorf("%d inputs to begin with: give 0 to as many as there are queries, %d", o.Seeds, o.Queries)
	case o.Strategy == Jacobian && !(o.Step > 0 && o.Step <= 1e6):
		return fmt.Errorf("a step of %g: it must be above 0", o.Step)
	case o.Strategy != Random && len(natural) < 2:
		return fmt.Errorf("the strategy %s needs natural inputs, and there are %d: give more data, or use %s", o.Strategy, len(natural), Random)
	case o.Network == nil || o.Domain == nil || len(o.Domain.Low) != width || width != d.RowSize():
		return errors.New("an extraction needs a network, and a domain as wide as the victim's rows")
	}
	for i, record := range natural {
		if len(record) != width {
			return fmt.Errorf("natural input %d has %d numbers, and the victim takes %d", i+1, len(record), width)
		}
	}
	return o.Domain.Validate()
}

// extraction is one run.
type extraction struct {
	Options
	oracle    *oracle
	classes   int
	rand      *rand.Rand
	trainings int

	x [][]float32 // that the victim was asked about
	y []float32   // its answers: a distribution over the classes each
}

// ask has the victim answer records, as many as queries are left for.
func (e *extraction) ask(ctx context.Context, records [][]float32) error {
	const together = 256
	for chunk := range slices.Chunk(records[:min(len(records), e.Queries-e.oracle.asked)], together) {
		answers, err := e.oracle.ask(ctx, chunk)
		if err != nil {
			return err
		}
		e.x, e.y = append(e.x, chunk...), append(e.y, answers...)
		e.tell()
	}
	return nil
}

func (e *extraction) tell() {
	if e.Progress != nil {
		e.Progress(Progress{Asked: e.oracle.asked, Queries: e.Queries, Trainings: e.trainings})
	}
}

// draw gives records with each number drawn from its limits, and brought to satisfy the domain.
func (e *extraction) draw(n int) [][]float32 {
	d := e.Domain
	out := make([][]float32, n)
	middle := make([]float32, len(d.Low))
	for i := range middle {
		middle[i] = d.Low[i] + (d.High[i]-d.Low[i])/2
		if d.Integer != nil && d.Integer[i] {
			middle[i] = float32(math.Floor(float64(middle[i])))
		}
	}
	for _, g := range d.Groups {
		clear(middle[g.Start:g.End])
		middle[g.Start] = 1
	}
	free := *d
	free.Fixed = nil // whoever makes up an input can make up all of it
	s := &method.Space{Domain: &free, Norm: method.Linf, Eps: math.MaxFloat64, Groups: len(d.Groups), Clean: middle}
	for i := range out {
		out[i] = make([]float32, len(middle))
		s.Random(e.rand, out[i])
	}
	return out
}

// pick draws n of a list, or all in an order drawn.
func pick(r *rand.Rand, list [][]float32, n int) [][]float32 {
	order := r.Perm(len(list))
	out := make([][]float32, min(n, len(list)))
	for i := range out {
		out[i] = list[order[i]]
	}
	return out
}
