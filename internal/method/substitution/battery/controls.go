package battery

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"assay/internal/method/evasion"
	"assay/internal/method/substitution"
)

// fractions of the attacker's share of words at which the curve is observed.
var fractions = []float64{0.25, 0.5, 1, 2, 4}

// offered is how many words of the texts any word may become where all may: enough to turn any text into one of another class.
const offered = 60

// Controls runs the controls on texts: the curve by the share of words, nothing at a share of 0, every word replaced by any of
// some of the data's, the same question twice, and a model of which the exact answer is known.
func (b *Battery) Controls(ctx context.Context, t substitution.Target, inputs []substitution.Input, seed uint64) (*evasion.Controls, error) {
	k := &controller{Battery: b, target: t, options: substitution.Options{Seed: seed, UntilBroken: true, Workers: 1}}
	c := &evasion.Controls{Classes: len(t.Model.Describe().Classes)}
	right, err := k.right(ctx, inputs)
	if err != nil {
		return nil, err
	}
	c.Units = len(right)
	if c.Drawn, err = k.drawn(ctx, right); err != nil {
		return nil, err
	}
	budget := b.Attacker.Budget
	budget.Words = 0
	if c.Zero, err = k.point(ctx, budget, b.Methods(), right); err != nil {
		return nil, err
	}
	if b.Attacker.Budget.Words > 0 {
		if c.Curve, err = k.curve(ctx, inputs, right); err != nil {
			return nil, err
		}
	}
	if c.Known, err = k.known(ctx, inputs); err != nil {
		return nil, err
	}
	if c.Known == nil {
		c.None = "no text of the additive model can be broken by what may stand for its words"
	}
	return c, nil
}

type controller struct {
	*Battery
	target  substitution.Target
	options substitution.Options
}

// right gives the inputs that the model gets right.
func (k *controller) right(ctx context.Context, inputs []substitution.Input) (out []substitution.Input, err error) {
	results, err := substitution.Run(ctx, k.target, k.Attacker, nil, inputs, k.options)
	if err != nil {
		return nil, fmt.Errorf("controls: %w", err)
	}
	for i, r := range results {
		if r.Correct {
			out = append(out, inputs[i])
		}
	}
	return out, nil
}

// drawn counts the texts of which the model, asked about them twice, gives different scores.
func (k *controller) drawn(ctx context.Context, inputs []substitution.Input) (n int, _ error) {
	classes := len(k.target.Confirm.Describe().Classes)
	for _, in := range inputs {
		var answers [2][]float64
		for i := range answers {
			answers[i] = make([]float64, classes)
			if err := k.target.Confirm.Predict(ctx, []string{in.Text}, answers[i]); err != nil {
				return 0, fmt.Errorf("scores of the controls: %w", err)
			}
		}
		if evasion.Apart(answers[0], answers[1]) {
			n++
		}
	}
	return n, nil
}

// point runs methods with a budget.
func (k *controller) point(ctx context.Context, budget substitution.Budget, methods []substitution.Method, inputs []substitution.Input) (evasion.Point, error) {
	a := k.Attacker
	a.Budget = budget
	results, err := substitution.Run(ctx, k.target, a, methods, inputs, k.options)
	if err != nil {
		return evasion.Point{}, fmt.Errorf("controls at %g of the words: %w", budget.Words, err)
	}
	p := evasion.Point{Eps: budget.Words, Broken: []int64{}, Units: len(inputs)}
	for _, r := range results {
		if !r.Robust {
			p.Broken = append(p.Broken, r.Index)
		}
	}
	slices.Sort(p.Broken)
	return p, nil
}

// curve observes success by the share of words. The last point is an attacker without limits: every word may become any
// of some that the texts have, those that must stay among them.
func (k *controller) curve(ctx context.Context, inputs, right []substitution.Input) (points []evasion.Point, err error) {
	budget := k.Attacker.Budget
	for _, f := range fractions {
		if budget.Words = f * k.Attacker.Budget.Words; budget.Words >= 1 {
			continue
		}
		p, err := k.point(ctx, budget, k.strongest(), right)
		if err != nil {
			return nil, err
		}
		points = append(points, p)
	}
	budget.Words, budget.Protect = 1, nil
	sources := substitution.Both{anything(inputs)}
	if k.Attacker.Budget.Synonyms != nil {
		sources = append(sources, k.Attacker.Budget.Synonyms)
	}
	budget.Synonyms = sources
	p, err := k.point(ctx, budget, k.strongest(), right)
	return append(points, p), err
}

// anything gives for any word the same words: some of those that texts have.
type vocabulary []string

func (v vocabulary) Of(string) []string { return v }

func anything(inputs []substitution.Input) vocabulary {
	seen, of := map[string]bool{}, vocabulary{}
	for _, in := range inputs {
		for _, w := range substitution.Split(in.Text).Words {
			if w = strings.ToLower(w); !seen[w] {
				seen[w] = true
				of = append(of, w)
			}
		}
	}
	slices.Sort(of)
	if len(of) <= offered {
		return of
	}
	some := make(vocabulary, offered)
	for i := range some {
		some[i] = of[i*len(of)/offered]
	}
	return some
}
