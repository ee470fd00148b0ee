package method

import "math"

// Norm measures a perturbation.
type Norm string

// The norms.
const (
	Linf Norm = "Linf"
	L2   Norm = "L2"
)

// Norms gives all norms.
func Norms() []Norm { return []Norm{Linf, L2} }

// Domain is what the inputs of a model can be, whoever makes them: limits of every
// number and what an attacker cannot change. The slices have one entry a number of a row.
type Domain struct {
	Low, High []float32 // closed limits, in the data's own units
	Scale     []float32 // what a perturbation of size 1 is, in those units; positive
	Fixed     []bool    // which the attacker cannot change; nil for none
	Integer   []bool    // which are whole numbers; nil for none
	Groups    []Group   // one-hot groups
	Relations []Relation
}

// Group is the numbers Start ≤ i < End of a row, of which exactly one is 1 and the others 0.
type Group struct{ Start, End int }

// Relation says that a linear combination of numbers is at most a bound:
// Σ Weights[i]·x[Of[i]] ≤ Bound.
type Relation struct {
	Of      []int
	Weights []float64
	Bound   float64
}

// Holds reports whether a row satisfies the relation, to within rounding of float32.
func (r Relation) Holds(x []float32) bool { return r.excess(x) <= 0 }

func (r Relation) excess(x []float32) float64 {
	sum, size := 0.0, math.Abs(r.Bound)
	for i, at := range r.Of {
		term := r.Weights[i] * float64(x[at])
		sum += term
		size = max(size, math.Abs(term))
	}
	return sum - r.Bound - size*0x1p-22
}

// Space is where an attacker may take one unit: within Eps of the clean input in a
// norm, and within the domain. The distance of numbers is measured in the domain's
// scale; a one-hot group that changed counts against Groups, not against Eps.
type Space struct {
	Domain *Domain
	Norm   Norm
	Eps    float64
	Groups int // how many one-hot groups may change
	Clean  []float32
}
