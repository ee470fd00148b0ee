// Package battery attacks texts with all methods for them, and runs the controls that show whether these could have found what they
// did not find. What it records is evidence as that of rows, judged by the same checks (package evasion).
package battery

import (
	"context"
	"fmt"

	"assay"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/substitution"
)

// Battery is an attacker of texts and its effort.
type Battery struct {
	Attacker substitution.Attacker // whose budget's share of words is eps
	Effort   evasion.Effort        // queries and draws; evasion.Usual where none is stated
}

// effort is the battery's, no more than the attacker's queries.
func (b *Battery) effort() evasion.Effort {
	return b.Effort.Within(b.Attacker.Queries)
}

// Methods gives the battery's methods, the most directed last. All ask for scores but the first.
func (b *Battery) Methods() []substitution.Method {
	e := b.effort()
	return []substitution.Method{
		substitution.Noise{Draws: e.Draws}, substitution.PWWS{},
		substitution.Genetic{Population: 60, Generations: 20, Queries: e.Queries}, substitution.TextFooler{}, substitution.Beam{Width: 8, Queries: e.Queries},
	}
}

// strongest gives those methods that the battery rests on.
func (b *Battery) strongest() []substitution.Method {
	all := b.Methods()
	return all[len(all)-2:]
}

// Describe gives what the methods are.
func (b *Battery) Describe() (list []method.Description) {
	for _, m := range b.Methods() {
		list = append(list, m.Describe())
	}
	return list
}

// Most is the most queries that the battery asks about one text: without a limit to the attacker's, those of the two
// methods that end by themselves are taken to be no more than those of the others.
func (b *Battery) Most() int {
	e := b.effort()
	return e.Draws + 4*e.Queries
}

// Observe attacks texts with all methods.
func (b *Battery) Observe(ctx context.Context, t substitution.Target, inputs []substitution.Input, seed uint64) ([]substitution.Result, error) {
	results, err := substitution.Run(ctx, t, b.Attacker, b.Methods(), inputs, substitution.Options{Seed: seed, Workers: 1})
	if err != nil {
		return nil, fmt.Errorf("attacking: %w", err)
	}
	return results, nil
}

// Evidence is what was recorded, as the checks take it. Distances are shares of words.
func (b *Battery) Evidence(c *evasion.Controls) *evasion.Evidence {
	return &evasion.Evidence{Access: assay.Scores, Norm: substitution.Words, Eps: b.Attacker.Budget.Words, Queries: b.Attacker.Queries,
		Effort: b.effort(), Methods: b.Describe(), Controls: c}
}

// ResultOf is a text's result in the form of a row's.
func ResultOf(r substitution.Result) method.Result {
	out := method.Result{Index: r.Index, Correct: r.Correct, Robust: r.Robust, Answer: r.Answer}
	for _, m := range r.Methods {
		found := method.MethodResult{Method: m.Method, Success: m.Success, Unconfirmed: m.Unconfirmed, Queries: m.Queries, Exhausted: m.Exhausted, Undefined: m.Undefined}
		if m.Success {
			found.Distance = float64(m.Changed) / float64(r.Words)
		}
		out.Methods = append(out.Methods, found)
	}
	return out
}
