package method

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"assay"
	"assay/internal/model"
)

// Target is the model under attack, and what is known of its inputs.
type Target struct {
	Model    model.Classifier     // asked in batches; its session's number of threads may change results by rounding
	Gradient model.Differentiable // nil where there is none

	// Surrogate gives gradients through steps that have none of their own (backward pass differentiable approximation);
	// nil where the model has no such steps.
	Surrogate model.Differentiable

	Confirm model.Classifier // asked about one row at a time: a second session, without graph optimisation
	Domain  *Domain
	Pool    [][]float32 // inputs from which decision-based methods may start
}

// Attacker is what the attacker has, for each unit and method.
type Attacker struct {
	Access  assay.Access
	Norm    Norm    // what Eps is of, or else Family
	Family  Family  // the transformations that he is held to, nil for a norm
	Eps     float64 // the largest perturbation, in the domain's scale, or of a transformation the greatest size
	Groups  int     // how many one-hot groups may change
	Queries int     // rows that may be asked about; 0 for any number
}

// Input is a unit to attack.
type Input struct {
	Index int64 // by which results and errors name it
	X     []float32
	Label int
}

// MethodResult is what a method achieved on a unit.
type MethodResult struct {
	Method      string    `json:"method"`
	Success     bool      `json:"success"`               // the model, asked about Example alone, takes it for another class
	Unconfirmed bool      `json:"unconfirmed,omitempty"` // only in a batch was another class seen: no success
	Queries     int       `json:"queries"`
	Exhausted   bool      `json:"exhausted,omitempty"`  // the attacker's queries did not suffice
	Undefined   int       `json:"undefined,omitempty"`  // rows to which the model answered with scores or a slope that are no numbers
	Distance    float64   `json:"distance,omitempty"`   // of Example from the input, in the norm and the domain's scale
	Nearest     float64   `json:"nearest,omitempty"`    // of methods that look for it, the distance of the nearest adversarial example however far, confirmed as Example is; 0 for none
	Parameters  []float64 `json:"parameters,omitempty"` // of the transformation that made Example
	Example     []float32 `json:"-"`                    // the adversarial example, nil without success
}

// Result is what all methods together achieved on a unit.
type Result struct {
	Index   int64          `json:"index"`
	Correct bool           `json:"correct"` // the model, asked about the input alone, gives its label
	Robust  bool           `json:"robust"`  // it is correct, and no method succeeded
	Answer  int            `json:"answer"`  // the class of the nearest adversarial example, else of the input
	Methods []MethodResult `json:"methods,omitempty"`
}

// Options say how a run is done. They change no result but for Seed, Batch, Draws and UntilBroken.
type Options struct {
	Seed uint64

	// UntilBroken leaves a unit that a method has broken out of the search by those after it: so the ensemble is
	// as strong, and costs less, and of each unit only the first that broke it is known.
	UntilBroken bool

	// Lessons are inputs from which methods may learn that do so before they attack. They are not attacked.
	Lessons []Input

	Draws int // over which the gradients of a model that draws at random are averaged; 0 for GradientDraws

	Lanes    int                   // units that run side by side; 0 for twice as many as a batch has rows
	Batch    int                   // rows of which scores are asked at once; 0 for 32. A model that costs by the row wants 1
	Progress func(done, total int) // called after each method's search on a unit, by one goroutine at a time
}

const defaultBatch = 32

// GradientDraws is over how many draws the gradients of a model that draws at random are averaged, where Options do
// not say: as in AutoAttack's version for such models (Croce and Hein 2020, arXiv:2003.01690).
const GradientDraws = 20

// Run attacks each input that the model gets right with each method. Results are in
// the order of the inputs. Each depends on the seed, the method, and the input's numbers
// and label alone: not on the other inputs, their order, or how many run side by side.
// That holds as far as the model gives a row the same answer wherever in a batch of
// fixed size it stands; it must not cut such a batch into unequal parts.
//
// Confirm alone decides whether an input is correct and an adversarial example counts.
// A score that is no number names no class: for an input it is an error, for a
// perturbed row it counts as no success. The pool is asked about once for all units,
// which no unit's queries include.
//
// The first error ends the run: a method that asks for what its description does not
// state, a model that fails, a panic, or the context's end.
func Run(ctx context.Context, t Target, a Attacker, methods []Method, inputs []Input, o Options) ([]Result, error) {
	r, err := newRun(t, a, methods, inputs, o)
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(inputs))
	err = r.side(ctx, len(inputs), func(ctx context.Context, i int) (err error) {
		results[i], err = r.answer(ctx, inputs[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := r.learn(ctx, inputs, o.Lessons); err != nil {
		return nil, err
	}
	// Method by method, so that units that run side by side ask questions of one kind.
	var searches []*search
	for k := range methods {
		for i := range inputs {
			if results[i].Correct {
				searches = append(searches, &search{method: k, input: i})
			}
		}
	}
	p := &progress{total: len(searches), tell: o.Progress}
	if !o.UntilBroken {
		if err := r.searchAll(ctx, searches, inputs, results, p); err != nil {
			return nil, err
		}
		return results, nil
	}
	for of := range slices.Chunk(searches, max(len(searches)/max(len(methods), 1), 1)) { // those of one method
		left := slices.DeleteFunc(of, func(s *search) bool { return !results[s.input].Robust })
		p.add(len(of) - len(left))
		if err := r.searchAll(ctx, left, inputs, results, p); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// searchAll searches, and adds to the results what came of it.
func (r *run) searchAll(ctx context.Context, searches []*search, inputs []Input, results []Result, p *progress) error {
	err := r.side(ctx, len(searches), func(ctx context.Context, i int) error {
		s := searches[i]
		if err := r.search(ctx, s, inputs[s.input]); err != nil {
			return fmt.Errorf("method %s, unit %d: %w", r.descriptions[s.method].Name, inputs[s.input].Index, err)
		}
		p.add(1)
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range searches {
		results[s.input].add(s)
	}
	return nil
}

// progress counts searches.
type progress struct {
	mu          sync.Mutex
	done, total int
	tell        func(done, total int)
}

func (p *progress) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done += n; n > 0 && p.tell != nil {
		p.tell(p.done, p.total)
	}
}

// search is what one method does to one input, and what came of it.
type search struct {
	method, input int // their places
	found         MethodResult
	answer        int // the class of the example found
}

// add takes account of what a method achieved.
func (r *Result) add(s *search) {
	if s.found.Success {
		nearest := true
		for _, m := range r.Methods {
			nearest = nearest && !(m.Success && m.Distance <= s.found.Distance)
		}
		if nearest {
			r.Answer = s.answer
		}
		r.Robust = false
	}
	r.Methods = append(r.Methods, s.found)
}

// run is one run of methods on inputs.
type run struct {
	target       Target
	attacker     Attacker
	methods      []Method
	descriptions []Description
	classes      int  // that a label can be of
	columns      int  // of the scores: the classes, and the refusal where there is one
	random       bool // the model draws at random
	confirmDraws bool // so does the one that confirms: a smoothed model's vote does not
	draws        int  // of each gradient then
	seed         uint64
	lanes, batch int
	broker       *broker
}

// side does tasks side by side, each lane one after the other, until the first error.
func (r *run) side(ctx context.Context, tasks int, do func(ctx context.Context, i int) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	n := min(r.lanes, tasks)
	r.broker = newBroker(ctx, r.target, r.batch, n)
	var next atomic.Int64
	var lanes sync.WaitGroup
	for range n {
		lanes.Go(func() {
			defer r.broker.leave()
			for i := next.Add(1) - 1; i < int64(tasks) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if err := do(ctx, int(i)); err != nil {
					stop(err)
				}
			}
		})
	}
	lanes.Wait()
	return context.Cause(ctx)
}

func newRun(t Target, a Attacker, methods []Method, inputs []Input, o Options) (*run, error) {
	if t.Model == nil || t.Confirm == nil || t.Domain == nil {
		return nil, errors.New("a target needs a model, a second one that confirms, and a domain")
	}
	d := t.Model.Describe()
	r := &run{
		target: t, attacker: a, methods: slices.Clone(methods), classes: d.Labels(), columns: len(d.Classes), seed: o.Seed,
		random: d.Random, draws: cmp.Or(o.Draws, GradientDraws),
	}
	r.confirmDraws = t.Confirm.Describe().Random
	if err := t.Domain.Validate(); err != nil {
		return nil, err
	}
	size := d.RowSize()
	if c := t.Confirm.Describe(); c.RowSize() != size || len(c.Classes) != r.columns || c.Reject != d.Reject || len(t.Domain.Low) != size {
		return nil, fmt.Errorf("the model takes %d numbers and has %d classes (refusal: %t), the one that confirms takes %d and has %d (refusal: %t), and the domain describes %d numbers",
			size, r.columns, d.Reject, c.RowSize(), len(c.Classes), c.Reject, len(t.Domain.Low))
	}
	for _, c := range []model.Classifier{t.Model, t.Confirm} {
		if _, ok := c.(model.Drawing); c.Describe().Random && !ok {
			return nil, errors.New("the model draws at random, and there is no way to say what: it must be run by one that takes draws")
		}
	}
	if err := a.validate(t.Domain); err != nil {
		return nil, err
	}
	if err := t.Domain.priced(a.Norm); err != nil {
		return nil, err
	}
	if err := r.describe(methods); err != nil {
		return nil, err
	}
	for i, row := range t.Pool {
		if err := checkRow(row, size); err != nil {
			return nil, fmt.Errorf("row %d of the pool %w", i, err)
		}
	}
	for _, in := range inputs {
		if err := checkRow(in.X, size); err != nil {
			return nil, fmt.Errorf("unit %d %w", in.Index, err)
		}
		if in.Label < 0 || in.Label >= r.classes {
			return nil, fmt.Errorf("unit %d has the label %d, and the model has the classes 0 to %d", in.Index, in.Label, r.classes-1)
		}
	}
	if o.Lanes < 0 || o.Batch < 0 || o.Draws < 0 {
		return nil, fmt.Errorf("%d units cannot run side by side in batches of %d rows, with %d draws", o.Lanes, o.Batch, o.Draws)
	}
	r.batch, r.lanes = cmp.Or(o.Batch, defaultBatch), o.Lanes
	if r.lanes == 0 {
		rows := r.batch
		for _, g := range []model.Differentiable{t.Gradient, t.Surrogate} {
			if g != nil {
				rows = max(rows, g.Batch())
			}
		}
		r.lanes = 2 * rows
	}
	return r, nil
}

func (a Attacker) validate(d *Domain) error {
	switch {
	case a.Family != nil && a.Norm != "":
		return fmt.Errorf("an attacker is held to a norm or to transformations, and this one to %s and to %s", a.Norm, a.Family.Name())
	case a.Family != nil:
		if err := a.Family.Validate(d); err != nil {
			return err
		}
	case a.Norm == Patch && d.Image == nil:
		return errors.New("a patch is a part of an image, and the model takes none")
	case a.Norm != Patch && !slices.Contains(Budgets(), a.Norm):
		return fmt.Errorf("the norm %q is not known: use one of %q", a.Norm, Budgets())
	}
	if !(a.Eps >= 0) || math.IsInf(a.Eps, 0) {
		return fmt.Errorf("a perturbation of at most %g is not possible: eps must be finite and not negative", a.Eps)
	}
	if a.Groups < 0 || a.Queries < 0 {
		return fmt.Errorf("an attacker cannot change %d groups with %d queries", a.Groups, a.Queries)
	}
	return nil
}

// suits tells why a method cannot search where the attacker may go.
func (a Attacker) suits(d Description) error {
	family := ""
	if a.Family != nil {
		family = a.Family.Name()
	}
	switch {
	case d.Family != "" && d.Family != family:
		return fmt.Errorf("the method %s does nothing but %s, and the attacker is held to %s: use another method", d.Name, d.Family, cmp.Or(family, string(a.Norm)))
	case d.Family != family:
		return fmt.Errorf("the attacker is held to %s, which the method %s cannot do: use another method", family, d.Name)
	case family == "" && (!d.In(a.Norm) || a.Norm == Patch && d.Norms == nil):
		return fmt.Errorf("the method %s cannot search in %s: use it in one of %q, or another method", d.Name, a.Norm, d.Norms)
	}
	return nil
}

// space is where the attacker may take an input. Within transformations there is none but the input itself.
func (a Attacker) space(d *Domain, clean []float32) *Space {
	s := &Space{Domain: d, Norm: a.Norm, Eps: a.Eps, Groups: a.Groups, Clean: clean}
	if a.Family != nil {
		s.Norm = Linf
	}
	return s
}

// describe checks that the attacker can run the methods.
func (r *run) describe(methods []Method) error {
	seen := map[string]bool{}
	for _, m := range methods {
		d := m.Describe()
		if seen[d.Name] {
			return fmt.Errorf("the method %s is listed twice: results are told apart by its name", d.Name)
		}
		seen[d.Name] = true
		if !r.attacker.Access.Includes(d.Access) {
			return fmt.Errorf("the method %s needs access to %s, and the attacker has access to %s: leave it out, or rate the attacker higher", d.Name, d.Access, r.attacker.Access)
		}
		if d.Access == assay.Gradients && !d.Reads && r.target.differentiable(d.Surrogate) == nil {
			return fmt.Errorf("the method %s needs gradients, and the model gives none: use methods that need scores or labels", d.Name)
		}
		if err := r.attacker.suits(d); err != nil {
			return err
		}
		r.descriptions = append(r.descriptions, d)
	}
	return nil
}

func checkRow(x []float32, size int) error {
	if len(x) != size {
		return fmt.Errorf("has %d numbers, and the model takes %d", len(x), size)
	}
	for i, v := range x {
		if !finite(v) {
			return fmt.Errorf("has %g as number %d: correct or leave out the row", v, i)
		}
	}
	return nil
}

func finite(v float32) bool { return !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) }

// answer asks about an input itself.
func (r *run) answer(ctx context.Context, in Input) (Result, error) {
	v, err := r.alone(ctx, in.X, newDraws(r.seed, "answer", in))
	if err != nil {
		return Result{}, fmt.Errorf("unit %d: %w", in.Index, err)
	}
	if v.asked == v.undefined {
		return Result{}, fmt.Errorf("unit %d: the model's scores are no numbers, so it has no class: leave the unit out, or mend the model", in.Index)
	}
	correct := 2*v.votes[in.Label] > v.asked
	return Result{Index: in.Index, Correct: correct, Robust: correct, Answer: winner(v.votes)}, nil
}

// search lets a method search for an adversarial example of an input, and confirms what it found.
func (r *run) search(ctx context.Context, s *search, in Input) error {
	u := r.newUnit(in, r.descriptions[s.method])
	err := u.search(ctx, r.methods[s.method])
	if err == nil {
		s.found, s.answer, err = u.confirm(ctx)
	}
	return err
}

// verdict is what the confirming model says of one row: once, or of a model that draws at random several times.
type verdict struct {
	asked, undefined int
	votes            []int // for each class, and for the refusal where there is one
}

// confirming is how often a model that draws at random is asked whether an input is of a class: most of the answers count.
const confirming = 31

// alone asks the confirming model about one row by itself.
func (r *run) alone(ctx context.Context, x []float32, draws *draws) (verdict, error) {
	v := verdict{asked: 1, votes: make([]int, r.columns)}
	if r.confirmDraws {
		v.asked = confirming
	}
	row, scores := make([]float64, len(x)), make([]float64, r.columns)
	for i, value := range x {
		row[i] = float64(value)
	}
	for range v.asked {
		if err := predict(ctx, r.target.Confirm, r.confirmDraws, row, draws.next(1), scores); err != nil {
			return v, err
		}
		if k := winner(scores); k >= 0 {
			v.votes[k]++
		} else {
			v.undefined++
		}
	}
	return v, nil
}

// other gives the class other than a label, and no refusal, that most answers are of, and whether most are of such classes.
func (r *run) other(v verdict, label int) (class int, most bool) {
	votes, sum := slices.Clone(v.votes[:r.classes]), 0
	votes[label] = 0
	for _, n := range votes {
		sum += n
	}
	return winner(votes), 2*sum > v.asked
}

// predict asks a model about rows, one that draws at random with a draw for each.
func predict(ctx context.Context, c model.Classifier, random bool, rows []float64, draws []uint64, scores []float64) error {
	if random {
		return c.(model.Drawing).PredictDraws(ctx, rows, draws, scores)
	}
	return c.Predict(ctx, rows, scores)
}

// differentiable gives what a method follows: exact gradients, or surrogates.
func (t *Target) differentiable(surrogate bool) model.Differentiable {
	if surrogate {
		return t.Surrogate
	}
	return t.Gradient
}

// winner is the class with the largest score, the first of equals, or -1 where a
// score is no number.
func winner[T float32 | float64 | int](scores []T) int {
	best := 0
	for i, v := range scores {
		if math.IsNaN(float64(v)) {
			return -1
		}
		if v > scores[best] {
			best = i
		}
	}
	return best
}
