package evasion

import (
	"context"
	"fmt"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
	"assay/onnx"
)

// Effort is how much a battery's methods spend on a unit that they do not break.
type Effort struct {
	Steps    int `json:"steps"`    // of each search that follows gradients
	Restarts int `json:"restarts"` // searches for each loss
	Queries  int `json:"queries"`  // of each method that needs no gradients
	Draws    int `json:"draws"`    // at random
}

// Usual is a battery's effort where none is stated.
func Usual() Effort { return Effort{Steps: 40, Restarts: 2, Queries: 1000, Draws: 200} }

// Double is the effort by which a search is seen to have converged.
func (e Effort) Double() Effort {
	return Effort{Steps: 2 * e.Steps, Restarts: 2 * e.Restarts, Queries: 2 * e.Queries, Draws: 2 * e.Draws}
}

// Battery is the methods that run together for one attacker, and the controls that tell
// whether they could have found what they did not find.
type Battery struct {
	Attacker method.Attacker
	Effort   Effort       // Usual where there is none
	Shape    []int64      // of one row of the model
	Layout   model.Layout // of its values

	// Trees are the methods that read the trees which the model consists of, for an attacker who has its file; none
	// where it is no such model.
	Trees []method.Method

	// TreesOf gives the same methods for another model of trees, that of the controls.
	TreesOf func(m *onnx.Model) []method.Method

	// Open makes a target of a model by the same means as the target under attack, without domain and pool;
	// the function that it gives closes it. The controls attack a linear model with it.
	Open func(ctx context.Context, m *onnx.Model) (method.Target, func(), error)
}

// Defaults gives the methods of a battery for what an attacker gets to see, the most
// directed last: an attacker with gradients also tries what needs none, since a model may hide them.
func Defaults(access assay.Access, e Effort, shape []int64, layout model.Layout) []method.Method {
	list := []method.Method{Noise{Draws: e.Draws}, HopSkipJump{Queries: e.Queries, Draws: 100}}
	if access.Includes(assay.Scores) {
		list = append(list, Square{Queries: e.Queries, Share: 0.8, Shape: shape, Layout: layout})
	}
	if access.Includes(assay.Gradients) {
		list = append(list, FGSM{})
	}
	return append(list, directed(access, e)...)
}

// directed gives the methods that follow gradients, by two losses: that of cross-entropy is 0 to
// rounding where a model is very sure, that of the margin is not.
func directed(access assay.Access, e Effort) []method.Method {
	if !access.Includes(assay.Gradients) {
		return nil
	}
	return []method.Method{
		APGD{Steps: e.Steps, Restarts: e.Restarts, Loss: model.CrossEntropy},
		APGD{Steps: e.Steps, Restarts: e.Restarts, Loss: model.Margin},
	}
}

// strongest gives the methods that a battery rests on: those that make the most of the access.
func strongest(access assay.Access, e Effort, shape []int64, layout model.Layout) []method.Method {
	switch access {
	case assay.Gradients:
		return directed(access, e)
	case assay.Scores:
		return []method.Method{Square{Queries: e.Queries, Share: 0.8, Shape: shape, Layout: layout}}
	}
	return []method.Method{HopSkipJump{Queries: e.Queries, Draws: 100}}
}

// access is what the methods can use of a target: an attacker who has the model can follow no
// gradients where it gives none.
func (b *Battery) access(t method.Target) assay.Access {
	if b.Attacker.Access == assay.Gradients && t.Gradient == nil {
		return assay.Scores
	}
	return b.Attacker.Access
}

// effort is the battery's, no more than the attacker's queries.
func (b *Battery) effort() Effort {
	e := b.Effort
	if e == (Effort{}) {
		e = Usual()
	}
	if most := b.Attacker.Queries; most > 0 {
		e.Queries, e.Draws = min(e.Queries, most), min(e.Draws, most)
	}
	return e
}

// Methods gives the battery's methods for a target.
func (b *Battery) Methods(t method.Target) []method.Method {
	return append(Defaults(b.access(t), b.effort(), b.Shape, b.Layout), b.tabularMethods(t)...)
}

// Most is the most queries that the battery asks about one unit of a target.
func (b *Battery) Most(t method.Target) int {
	e, access := b.effort(), b.access(t)
	most := e.Draws + e.Queries + b.tabularMost(t)
	if access.Includes(assay.Scores) {
		most += e.Queries
	}
	if access.Includes(assay.Gradients) {
		search := e.Restarts * (e.Steps + 1)
		if b.Attacker.Queries > 0 {
			search = min(search, b.Attacker.Queries)
		}
		most += 2 + len(directed(access, e))*search
	}
	return most
}

// Observe runs the battery on units. What it gives for a unit depends on the seed and
// that unit alone, so that units can be observed in any parts and order.
func (b *Battery) Observe(ctx context.Context, t method.Target, inputs []method.Input, o method.Options) ([]method.Result, error) {
	results, err := method.Run(ctx, t, b.attacker(), b.Methods(t), inputs, o)
	if err != nil {
		return nil, fmt.Errorf("attacking: %w", err)
	}
	return results, nil
}

// Run observes units and runs the controls on the first of them, at most controls.
func (b *Battery) Run(ctx context.Context, t method.Target, inputs []method.Input, controls int, o method.Options) (*Evidence, error) {
	units, err := b.Observe(ctx, t, inputs, o)
	if err != nil {
		return nil, err
	}
	c, err := b.Controls(ctx, t, inputs[:min(controls, len(inputs))], o)
	if err != nil {
		return nil, err
	}
	return b.Evidence(t, units, c), nil
}

// Evidence joins what was recorded of units and controls.
func (b *Battery) Evidence(t method.Target, units []method.Result, c *Controls) *Evidence {
	e := &Evidence{Access: b.Attacker.Access, Norm: b.Attacker.Norm, Eps: b.Attacker.Eps, Queries: b.Attacker.Queries, Effort: b.effort(), Units: units, Controls: c}
	for _, m := range b.Methods(t) {
		e.Methods = append(e.Methods, m.Describe())
	}
	return e
}
