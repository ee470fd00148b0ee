// Package method is the harness in which methods look for failures of a model. A
// method sees one unit at a time; the harness runs many side by side, joins their
// questions to the model into batches, keeps what a method returns within the
// attacker's limits, asks the model again, and counts. So no method can claim what
// does not hold, and no result depends on which units ran together.
package method

import (
	"context"
	"math/rand/v2"
	"slices"

	"assay"
	"assay/internal/model"
)

// Method looks for an adversarial example of one unit: an input within the
// attacker's limits that the model takes for another class.
type Method interface {
	// Describe tells what the method is. It is the same at every call.
	Describe() Description

	// Perturb searches until it has found an adversarial example or spent its effort. What
	// counts are the inputs that it asked the model about: the harness remembers those that
	// are adversarial. Its randomness comes from u.Rand alone. The error is the model's, a
	// *BudgetError or the context's; having found nothing is none.
	Perturb(ctx context.Context, u Unit) error
}

// Description tells what a method is and needs.
type Description struct {
	Name       string       `json:"name"`   // such as "apgd-ce"
	Access     assay.Access `json:"access"` // the least that it needs
	Settings   []Setting    `json:"settings,omitempty"`
	Reference  string       `json:"reference"`            // the paper, with its section or algorithm
	Iterative  bool         `json:"iterative,omitempty"`  // refines a point by steps
	Reads      bool         `json:"reads,omitempty"`      // reads the model's file, and needs no gradients of one who has access to them
	Undirected bool         `json:"undirected,omitempty"` // draws points without learning from answers
	Norms      []Norm       `json:"-"`                    // that it can search in; nil for all
	Family     string       `json:"-"`                    // the transformations that it chooses from, empty for a norm
	Minimal    bool         `json:"-"`                    // looks for the nearest adversarial example, beyond Eps too
	Surrogate  bool         `json:"surrogate,omitempty"`  // its gradients are the target's surrogates
}

// In reports whether the method can search in a norm.
func (d Description) In(n Norm) bool { return d.Norms == nil || slices.Contains(d.Norms, n) }

// Setting is one of the numbers that fix what a method does.
type Setting struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// Unit is one input under attack, and the way to ask the model about it. Rows are
// float32 in the data's own units, in the model's layout. Every row that is asked
// about costs one query, and a gradient one.
//
// A model that can refuse to answer is seen with the refusal as the label: its classes are those without the refusal, the
// label's score is the refusal's where that is greater, and losses are Refusing ones (package autodiff). So
// every method works against what refuses without knowing of it.
//
// A model that draws at random draws anew for each row that is asked about. Its gradients are the mean over several
// draws (expectation over transformation: Athalye et al. 2018, arXiv:1802.00420, section 4.2), each of which costs a query,
// and what counts as adversarial is so in most of some further draws.
type Unit interface {
	Clean() []float32 // the input itself; not to be changed
	Label() int       // its class, which the model gets right
	Classes() int
	Space() *Space    // where the attacker may go
	Rand() *rand.Rand // the unit's own stream: it depends on seed, method and unit alone

	// Pool gives inputs that the model takes for another class than this unit's label,
	// as starting points; the same for every run of the unit. It may be empty.
	Pool(ctx context.Context) ([][]float32, error)

	// Scores asks for the scores of whole rows, Classes numbers each.
	Scores(ctx context.Context, rows []float32) ([]float32, error)
	// Labels asks for the winning class of each row alone.
	Labels(ctx context.Context, rows []float32) ([]int, error)
	// Gradient asks for the gradient of a loss at one row. Target is the class that a targeted loss is about.
	Gradient(ctx context.Context, loss model.Loss, target int, x []float32) (Gradient, error)

	// Transform makes the input into a row of the attacker's family of transformations, to be asked about.
	// For an attacker who is held to a family only such rows count.
	Transform(parameters []float64) ([]float32, error)

	// Nearest is the distance of the nearest adversarial example within Space that was among the rows asked
	// about, infinite for none.
	Nearest() float64
	// Found reports whether an adversarial example within Space was among the rows asked about.
	Found() bool
}

// Gradient is a loss and its slope at one row. The slices are the caller's to keep.
type Gradient struct {
	Loss   float32
	Slope  []float32 // of the loss, by each number of the row; 0 where the model's is not finite
	Scores []float32 // of the row
}

// BudgetError says that a unit has spent the queries that the attacker has.
type BudgetError struct{ Queries int }

func (e *BudgetError) Error() string { return "the attacker's queries are spent" }
