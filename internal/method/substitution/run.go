package substitution

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
)

// Classifier gives texts scores. Implementations are safe for concurrent use.
type Classifier interface {
	Describe() model.Description
	// Predict writes the scores of each text, as many as there are classes.
	Predict(ctx context.Context, texts []string, scores []float64) error
}

// Target is the model under attack.
type Target struct {
	Model   Classifier // asked about several texts at once
	Confirm Classifier // asked about one text at a time: a second session, without graph optimisation
}

// Attacker is what the attacker has, for each text and method.
type Attacker struct {
	Access  assay.Access // scores or labels
	Budget  Budget
	Queries int // texts that may be asked about; 0 for any number
}

// Input is a text to attack.
type Input struct {
	Index int64 // by which results and errors name it
	Text  string
	Label int
}

// Method looks for an adversarial example of one text.
type Method interface {
	// Describe tells what the method is. It is the same at every call.
	Describe() method.Description

	// Perturb searches until it has found an adversarial example or spent its effort. What counts are the texts that
	// it asked about: those inside the space that are adversarial are remembered. Its randomness comes from u.Rand alone. The
	// error is the model's, a *method.BudgetError or the context's; having found nothing is none.
	Perturb(ctx context.Context, u *Unit) error
}

// MethodResult is what a method achieved on a text.
type MethodResult struct {
	Method      string `json:"method"`
	Success     bool   `json:"success"`               // the model, asked about Example alone, takes it for another class
	Unconfirmed bool   `json:"unconfirmed,omitempty"` // only among other texts was another class seen: no success
	Queries     int    `json:"queries"`
	Exhausted   bool   `json:"exhausted,omitempty"` // the attacker's queries did not suffice
	Undefined   int    `json:"undefined,omitempty"` // texts to which the model answered with scores that are no numbers
	Changed     int    `json:"changed,omitempty"`   // words of Example
	Example     string `json:"example,omitempty"`   // the adversarial example, empty without success
}

// Result is what all methods together achieved on a text.
type Result struct {
	Index   int64          `json:"index"`
	Words   int            `json:"words"`
	Correct bool           `json:"correct"` // the model, asked about the text alone, gives its label
	Robust  bool           `json:"robust"`  // it is correct, and no method succeeded
	Answer  int            `json:"answer"`  // the class of the adversarial example with the fewest changes, else of the text
	Methods []MethodResult `json:"methods,omitempty"`
}

// Options say how a run is done. They change no result but for Seed and UntilBroken.
type Options struct {
	Seed        uint64
	UntilBroken bool // a text that a method has broken is left out of the search by those after it
	Workers     int  // texts that run side by side; 0 for as many as there are processors
	Progress    func(done, total int)
}

// Run attacks each text that the model gets right with each method. Results are in the order of the inputs. A text's result
// depends on the seed, the text, its label and the method alone: each question to the model is about one unit, so
// that it does not matter what runs beside it. The first error ends the run.
func Run(ctx context.Context, t Target, a Attacker, methods []Method, inputs []Input, o Options) ([]Result, error) {
	r, err := newRun(t, a, methods, inputs, o)
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(inputs))
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var mu sync.Mutex
	done := 0
	var workers sync.WaitGroup
	for range min(cmp.Or(o.Workers, runtime.GOMAXPROCS(0)), len(inputs)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(inputs)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				result, err := r.attack(ctx, inputs[i])
				if err != nil {
					stop(fmt.Errorf("text %d: %w", inputs[i].Index, err))
					return
				}
				results[i] = result
				mu.Lock()
				if done++; o.Progress != nil {
					o.Progress(done, len(inputs))
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return results, nil
}

// run is one run of methods on texts.
type run struct {
	target   Target
	attacker Attacker
	methods  []Method
	options  Options
	classes  int
}

func newRun(t Target, a Attacker, methods []Method, inputs []Input, o Options) (*run, error) {
	if t.Model == nil || t.Confirm == nil {
		return nil, errors.New("a target needs a model, and a second one that confirms")
	}
	r := &run{target: t, attacker: a, methods: methods, options: o, classes: len(t.Model.Describe().Classes)}
	if n := len(t.Confirm.Describe().Classes); n != r.classes || n < 2 {
		return nil, fmt.Errorf("the model has %d classes and the one that confirms %d: they must be as many, and at least two", r.classes, n)
	}
	if err := r.attacker.Budget.validate(); err != nil {
		return nil, err
	}
	if a.Queries < 0 || o.Workers < 0 {
		return nil, fmt.Errorf("an attacker cannot have %d queries, nor %d texts run side by side", a.Queries, o.Workers)
	}
	seen := map[string]bool{}
	for _, m := range methods {
		d := m.Describe()
		if seen[d.Name] {
			return nil, fmt.Errorf("the method %s is listed twice: results are told apart by its name", d.Name)
		}
		seen[d.Name] = true
		if !a.Access.Includes(d.Access) {
			return nil, fmt.Errorf("the method %s needs access to %s, and the attacker has access to %s: leave it out, or rate the attacker higher", d.Name, d.Access, a.Access)
		}
	}
	for _, in := range inputs {
		if in.Label < 0 || in.Label >= r.classes {
			return nil, fmt.Errorf("text %d has the label %d, and the model has the classes 0 to %d", in.Index, in.Label, r.classes-1)
		}
	}
	return r, nil
}

// attack asks about a text itself, and lets the methods search.
func (r *run) attack(ctx context.Context, in Input) (Result, error) {
	answer, err := r.alone(ctx, in.Text)
	if err != nil {
		return Result{}, err
	}
	if answer < 0 {
		return Result{}, errors.New("the model's scores are no numbers, so it has no class: leave the text out, or mend the model")
	}
	out := Result{Index: in.Index, Words: len(Split(in.Text).Words), Correct: answer == in.Label, Robust: answer == in.Label, Answer: answer}
	if !out.Correct {
		return out, nil
	}
	for _, m := range r.methods {
		if r.options.UntilBroken && !out.Robust {
			break
		}
		u := r.newUnit(in, m.Describe())
		if err := u.search(ctx, m); err != nil {
			return out, fmt.Errorf("method %s: %w", u.method.Name, err)
		}
		found, answer, err := u.confirm(ctx)
		if err != nil {
			return out, err
		}
		if found.Success {
			fewest := !slices.ContainsFunc(out.Methods, func(m MethodResult) bool { return m.Success && m.Changed <= found.Changed })
			if fewest {
				out.Answer = answer
			}
			out.Robust = false
		}
		out.Methods = append(out.Methods, found)
	}
	return out, nil
}

// alone gives the class of one text by itself on the confirming model, -1 for none.
func (r *run) alone(ctx context.Context, text string) (int, error) {
	scores := make([]float64, r.classes)
	if err := r.target.Confirm.Predict(ctx, []string{text}, scores); err != nil {
		return 0, err
	}
	return winner(scores), nil
}

// search lets a method search. Its panic is an error.
func (u *Unit) search(ctx context.Context, m Method) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panicked, which is a fault of the method: %v\n%s", p, debug.Stack())
		}
	}()
	err = m.Perturb(ctx, u)
	var spent *method.BudgetError
	if u.fault != nil || errors.As(err, &spent) {
		return u.fault
	}
	return err
}

// confirm asks the confirming model about the candidates, those with the fewest changes first, until one is adversarial by itself.
func (u *Unit) confirm(ctx context.Context) (found MethodResult, answer int, err error) {
	found = MethodResult{Method: u.method.Name, Queries: u.queries, Exhausted: u.exhausted, Undefined: u.undefined}
	for _, c := range u.found {
		answer, err := u.run.alone(ctx, c.text)
		if err != nil {
			return found, 0, err
		}
		if answer >= 0 && answer != u.label && u.judge.Contains(c.text) == nil {
			found.Success, found.Changed, found.Example = true, c.changed, c.text
			return found, answer, nil
		}
	}
	found.Unconfirmed = len(u.found) > 0
	return found, 0, nil
}
