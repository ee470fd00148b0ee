package plant

import (
	"context"
	"errors"
	"fmt"
	"math"

	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/target"
	"assay/internal/model"
)

// UsualEps is how far a crafted record may be from the one that it is made from, in Linf, as a part of
// each number's range.
const UsualEps = 32.0 / 255

// LabelConsistent makes records of the target class hard to recognise, puts BadNets' square into them, and leaves them
// their label: a model learns them by the square (Turner, Tsipras and Madry 2019, arXiv:1912.02771, section 4.2, adversarial
// perturbations under Linf).
type LabelConsistent struct {
	Model   *target.Model // trained on such data
	Eps     float64       // 0 for UsualEps
	Steps   int           // 0 for 40
	Trigger BadNets
}

// Describe implements Planter.
func (LabelConsistent) Describe() Description {
	return Description{Name: "label-consistent", Summary: "images of the target class made hard, with the square, under their label", Targeted: true, CleanLabel: true, Reference: "Turner et al. 2019 (arXiv:1912.02771), section 4.2"}
}

// Plant implements Planter.
func (l LabelConsistent) Plant(ctx context.Context, d *dataset.Dataset, o Options) (*Planted, error) {
	of := l.Describe()
	n, err := o.count(d, of)
	if err != nil {
		return nil, err
	}
	marked, err := l.Trigger.Plant(ctx, d, Options{Target: o.Target, Seed: o.Seed}) // at rate 0: the trigger alone
	if err != nil {
		return nil, err
	}
	chosen, err := draw(d, n, "of the target class", o.random(streamRecords), func(i int) bool { return int(d.Y[i]) == o.Target })
	if err != nil {
		return nil, err
	}
	p := replicate(d, o.Target)
	p.Trigger = marked.Trigger
	s := &search{model: l.Model, eps: l.Eps, steps: l.Steps}
	return p, s.run(ctx, of, p, d, chosen, nil, p.Trigger.Apply)
}

// Adversarial perturbs records towards the next class and leaves them their label, so that what a model learns from
// them is wrong: poison against availability (Fowl et al. 2021, arXiv:2106.10807, section 3, class targeted).
type Adversarial struct {
	Model *target.Model // trained on such data
	Eps   float64       // 0 for UsualEps
	Steps int           // 0 for 40
}

// Describe implements Planter.
func (Adversarial) Describe() Description {
	return Description{Name: "adversarial", Summary: "adversarial examples under their own labels, against all that is learnt", CleanLabel: true, Reference: "Fowl et al. 2021 (arXiv:2106.10807), section 3"}
}

// Plant implements Planter.
func (a Adversarial) Plant(ctx context.Context, d *dataset.Dataset, o Options) (*Planted, error) {
	of := a.Describe()
	n, err := o.count(d, of)
	if err != nil {
		return nil, err
	}
	chosen, err := draw(d, n, "in all", o.random(streamRecords), func(int) bool { return true })
	if err != nil {
		return nil, err
	}
	p := replicate(d, -1)
	classes := len(d.Schema.Label.Classes)
	s := &search{model: a.Model, eps: a.Eps, steps: a.Steps}
	return p, s.run(ctx, of, p, d, chosen, func(class int) int { return (class + 1) % classes }, nil)
}

// search is projected gradient descent (Madry et al. 2018, arXiv:1706.06083) on records that are to be planted.
type search struct {
	model *target.Model
	eps   float64
	steps int
}

// complete fills in the usual values.
func (s *search) complete(of Description) error {
	if s.eps == 0 {
		s.eps = UsualEps
	}
	if s.steps == 0 {
		s.steps = 40
	}
	switch {
	case s.model == nil:
		return fmt.Errorf("%s needs a model that was trained on such data", of.Name)
	case s.model.Gradient == nil:
		return fmt.Errorf("%s follows the model's gradient: %w", of.Name, s.model.NoGradient)
	case !(s.eps > 0 && s.eps <= 1) || s.steps < 1:
		return fmt.Errorf("%s cannot perturb by %g of the range in %d steps: give a part from 0 to 1, and 1 step or more", of.Name, s.eps, s.steps)
	}
	return nil
}

// run perturbs the chosen records: away from their class, or towards that which goal gives. Finish may change them once more.
func (s *search) run(ctx context.Context, of Description, p *Planted, d *dataset.Dataset, chosen []int, goal func(class int) int, finish func([]float32) []float32) error {
	if err := s.complete(of); err != nil {
		return err
	}
	rows, err := target.NewRows(d.Schema, s.model.Description)
	if err != nil {
		return fmt.Errorf("the data do not fit the model: %w", err)
	}
	b, err := NewBall(d, s.eps)
	if err != nil {
		return err
	}
	for start := 0; start < len(chosen); start += s.model.Gradient.Batch() {
		part := chosen[start:min(start+s.model.Gradient.Batch(), len(chosen))]
		labels := make([]int32, len(part))
		x := make([][]float32, len(part))
		for k, i := range part {
			class := int(d.Y[i])
			if goal != nil {
				class = goal(class)
			}
			labels[k], x[k] = int32(rows.Class(class)), append([]float32(nil), d.Record(i)...)
		}
		if err := s.perturb(ctx, rows, b, d, part, labels, x, goal != nil); err != nil {
			return err
		}
		for k, i := range part {
			b.Settle(d.Record(i), x[k])
			if finish != nil {
				x[k] = finish(x[k])
			}
			copy(p.Dataset.Record(i), x[k])
			p.Which[i] = true
		}
	}
	return nil
}

// perturb takes all steps of a few records at once.
func (s *search) perturb(ctx context.Context, rows *target.Rows, b *Ball, d *dataset.Dataset, part []int, labels []int32, x [][]float32, descend bool) error {
	n, width := len(part), d.Schema.Width()
	size := 2.5 * s.eps / float64(s.steps)
	if descend {
		size = -size
	}
	scores, losses := make([]float32, n*len(s.model.Classes)), make([]float32, n)
	input, gradient := make([]float32, 0, n*width), make([]float32, n*width)
	for range s.steps {
		input = input[:0]
		for k := range x {
			input = append(input, rows.Row(x[k])...)
		}
		if err := s.model.Gradient.Gradient(ctx, model.CrossEntropy, input, labels, nil, scores, losses, gradient); err != nil {
			return err
		}
		for k, i := range part {
			b.Step(d.Record(i), x[k], rows.Record(gradient[k*width:(k+1)*width]), size)
		}
	}
	return nil
}

// Ball is where crafted records may be: near those that they are made from, in Linf, and in the domain.
type Ball struct {
	domain *method.Domain // scaled by range
	search *method.Domain // without whole numbers, which no small step would leave
	eps    float64
}

// NewBall gives the ball around each record of the data of a radius that is a part of each number's range.
func NewBall(d *dataset.Dataset, eps float64) (*Ball, error) {
	domain, err := method.DomainOf(d.Schema, nil, method.ByRange)
	if err != nil {
		return nil, err
	}
	free := *domain
	free.Integer = nil
	return &Ball{domain, &free, eps}, nil
}

// Step moves x along the signs of a gradient by a size, a part of each number's range, and back into the ball.
func (b *Ball) Step(record, x, gradient []float32, size float64) {
	for i, g := range gradient {
		if g != 0 && !math.IsNaN(float64(g)) {
			x[i] += float32(math.Copysign(size, size*math.Copysign(1, float64(g))) * float64(b.domain.Scale[i]))
		}
	}
	b.space(b.search, record).Project(x)
}

// Within moves x back into the ball, where whole numbers need not be whole.
func (b *Ball) Within(record, x []float32) { b.space(b.search, record).Project(x) }

// Settle makes x a record that may occur: whole numbers are rounded, if that leaves them in the ball.
func (b *Ball) Settle(record, x []float32) {
	for i, whole := range b.domain.Integer {
		if whole {
			x[i] = float32(math.Round(float64(x[i])))
		}
	}
	b.space(b.domain, record).Project(x)
}

// Eps is the ball's radius.
func (b *Ball) Eps() float64 { return b.eps }

// Scale is the range of number i.
func (b *Ball) Scale(i int) float64 { return float64(b.domain.Scale[i]) }

func (b *Ball) space(d *method.Domain, record []float32) *method.Space {
	return &method.Space{Domain: d, Norm: method.Linf, Eps: b.eps, Clean: record}
}

// Towards gives a planter of the package craft what it needs of this one: a copy of the data, and as many records of the
// target class, drawn by the seed, as the rate says.
func Towards(d *dataset.Dataset, o Options, of Description) (*Planted, []int, error) {
	n, err := o.count(d, of)
	if err != nil {
		return nil, nil, err
	}
	chosen, err := draw(d, n, "of the target class", o.random(streamRecords), func(i int) bool { return int(d.Y[i]) == o.Target })
	return replicate(d, o.Target), chosen, err
}

// errVictim says that a planter lacks the input that it is about.
var errVictim = errors.New("needs a victim: the input, of another class than the target, that is to get the target's label")

// Victim makes the planted poison one that aims at a single input.
func (p *Planted) Victim(victim []float32) error {
	if len(victim) != p.Dataset.Schema.Width() {
		return errVictim
	}
	p.Aims = func(record []float32) bool {
		for i, v := range record {
			if v != victim[i] {
				return false
			}
		}
		return true
	}
	return nil
}
