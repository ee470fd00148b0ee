package evasion

import (
	"context"
	"fmt"
	"strings"

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

// Within is the effort, or the usual one where there is none, of no more queries and draws than an attacker has; 0 for any number.
func (e Effort) Within(queries int) Effort {
	if e == (Effort{}) {
		e = Usual()
	}
	if queries > 0 {
		e.Queries, e.Draws = min(e.Queries, queries), min(e.Draws, queries)
	}
	return e
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

// Defaults gives the methods of a battery for what an attacker gets to see and the norm, the most
// directed last: an attacker with gradients also tries what needs none, since a model may hide them.
func Defaults(access assay.Access, norm method.Norm, e Effort) []method.Method {
	list := []method.Method{Noise{Draws: e.Draws}}
	for _, m := range []method.Method{
		HopSkipJump{Queries: e.Queries, Draws: 100},
		Square{Queries: e.Queries, Share: 0.8},
		FGSM{},
	} {
		if d := m.Describe(); access.Includes(d.Access) && d.In(norm) {
			list = append(list, m)
		}
	}
	list = append(list, directed(access, norm, e)...)
	return append(list, searches(access, norm, e)...)
}

// searches gives the searches without gradients that a battery rests on where they are stronger than all else. In L0 random search
// breaks more than the gradients of PGD do (Croce et al. 2022, arXiv:2006.12834, section 5). Where the attacker sees labels alone, RayS
// finds in Linf what HopSkipJump does not, and the other way round.
func searches(access assay.Access, norm method.Norm, e Effort) []method.Method {
	switch {
	case norm == method.L0 && access.Includes(assay.Scores):
		return []method.Method{SparseRS{Queries: e.Queries, Share: 0.3}}
	case norm == method.Linf && access == assay.Labels:
		return []method.Method{RayS{Queries: e.Queries}}
	}
	return nil
}

// directed gives the methods that follow gradients, by three losses: the gradient of cross-entropy is 0 to rounding where a
// model is very sure, and those of the other two are not. PGD stands in for Auto-PGD in the norms in which that cannot search.
func directed(access assay.Access, norm method.Norm, e Effort) (list []method.Method) {
	if !access.Includes(assay.Gradients) {
		return nil
	}
	for _, loss := range []model.Loss{model.CrossEntropy, model.ScaledCrossEntropy, model.Margin} {
		if (APGD{}).Describe().In(norm) {
			list = append(list, APGD{Steps: e.Steps, Restarts: e.Restarts, Loss: loss})
		} else {
			list = append(list, PGD{Steps: e.Steps, Step: 1, Restarts: e.Restarts, Loss: loss})
		}
	}
	return list
}

// strongest gives the methods that a battery rests on: those that make the most of the access.
func strongest(access assay.Access, norm method.Norm, e Effort) []method.Method {
	own := searches(access, norm, e)
	if norm == method.L0 && len(own) > 0 {
		return own
	}
	if list := directed(access, norm, e); len(list) > 0 {
		return list
	}
	all := Defaults(access, norm, e)
	return all[len(all)-1-len(own):]
}

// access is what the methods can use of a target: an attacker who has the model can follow no
// gradients where it gives none.
func (b *Battery) access(t method.Target) assay.Access {
	if b.Attacker.Access == assay.Gradients && t.Gradient == nil && t.Surrogate == nil {
		return assay.Scores
	}
	return b.Attacker.Access
}

// effort is the battery's, no more than the attacker's queries.
func (b *Battery) effort() Effort { return b.Effort.Within(b.Attacker.Queries) }

// Methods gives the battery's methods for a target.
func (b *Battery) Methods(t method.Target) []method.Method {
	return Adaptive(t, append(Defaults(b.access(t), b.Attacker.Norm, b.effort()), b.tabularMethods(t)...))
}

// strongest gives those of the target's methods that the battery rests on.
func (b *Battery) strongest(t method.Target, e Effort) []method.Method {
	if len(b.Trees) > 0 {
		return b.Trees
	}
	return Adaptive(t, strongest(b.access(t), b.Attacker.Norm, e))
}

// starts is how many gradients of a search are at points where it begins: in L1 Auto-PGD begins three times.
func starts(d method.Description, norm method.Norm) int {
	if norm == method.L1 && strings.HasPrefix(d.Name, "apgd") {
		return 3
	}
	return 1
}

// Most is the most queries that the battery asks about one unit of a target.
func (b *Battery) Most(t method.Target) int {
	e, most, draws := b.effort(), 0, 1
	if t.Model.Describe().Random {
		draws = method.GradientDraws
	}
	for _, m := range b.Methods(t) {
		switch d := m.Describe(); {
		case d.Undirected:
			most += e.Draws
		case d.Access != assay.Gradients:
			most += e.Queries
		case d.Reads:
			most += b.within(treeQueries)
		case !d.Iterative:
			most += draws + 1
		default:
			most += b.within(e.Restarts * (e.Steps + starts(d, b.Attacker.Norm)) * draws)
		}
	}
	return most
}

// within is a number of queries, no more than the attacker has.
func (b *Battery) within(queries int) int {
	if most := b.Attacker.Queries; most > 0 {
		return min(queries, most)
	}
	return queries
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

// ObserveStrongest runs on units only what the battery rests on.
func (b *Battery) ObserveStrongest(ctx context.Context, t method.Target, inputs []method.Input, o method.Options) ([]method.Result, error) {
	return method.Run(ctx, t, b.attacker(), b.strongest(t, b.effort()), inputs, o)
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
