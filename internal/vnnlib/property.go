// Package vnnlib reads properties of neural networks in the VNN-LIB format (vnnlib.org), the
// subset of SMT-LIB that the International Verification of Neural Networks Competition uses
// in its first version: real inputs X_i, outputs Y_j, and assertions of linear
// constraints joined by and, or. A file states what is unsafe: the property holds if no
// input satisfies it.
package vnnlib

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Property is what must not happen: any of its cases.
type Property struct {
	Inputs, Outputs int
	Cases           []Case
}

// Case is a box of inputs, and what must not be of the outputs there: any of Unsafe, each
// of which is constraints that hold together. The box is not empty. A number is the
// float64 nearest to the file's.
type Case struct {
	Lower, Upper []float64
	Unsafe       [][]Constraint
}

// Constraint is Σ Coefficients·Y ≤ Bound, or < where it is Strict.
type Constraint struct {
	Coefficients []float64 // one for each output
	Bound        float64
	Strict       bool
}

// Met reports whether outputs satisfy the constraint.
func (c Constraint) Met(y []float64) bool {
	if c.Strict {
		return c.Excess(y) < 0
	}
	return c.Excess(y) <= 0
}

// Excess is by how much outputs miss the constraint; it is at most 0 where they meet it.
func (c Constraint) Excess(y []float64) float64 {
	sum := 0.0
	for i, k := range c.Coefficients {
		if k != 0 { // of others it does not matter what they are, were it no number
			sum += k * y[i]
		}
	}
	return sum - c.Bound
}

// literal is one linear constraint as read: Σ terms ≤ bound.
type literal struct {
	terms  []term
	bound  float64
	strict bool
	line   int
}

type term struct {
	variable
	factor float64
}

type variable struct {
	output bool
	index  int
}

// limits keep what and and or multiply to within memory.
const (
	maxLiterals = 2 << 20 // of all cases together
	maxNumbers  = 16 << 20
)

var errLarge = errors.New("its disjunctions multiply to more cases than are held: state it as several properties")

// conjunctions writes a formula as a disjunction of conjunctions.
func (f *formula) conjunctions() ([][]literal, error) {
	if f.literal != nil {
		return [][]literal{{*f.literal}}, nil
	}
	if f.or {
		var all [][]literal
		for _, part := range f.parts {
			some, err := part.conjunctions()
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	}
	// What holds alone is taken first: it is many, and multiplies nothing.
	var common []literal
	all := [][]literal{nil}
	for _, part := range f.parts {
		some, err := part.conjunctions()
		if err != nil {
			return nil, err
		}
		if len(some) == 1 {
			common = append(common, some[0]...)
			continue
		}
		if all, err = product(all, some); err != nil {
			return nil, err
		}
	}
	return product([][]literal{common}, all)
}

func product(a, b [][]literal) ([][]literal, error) {
	count := func(list [][]literal) (n int) {
		for _, c := range list {
			n += len(c)
		}
		return n
	}
	if float64(len(a))*float64(count(b))+float64(len(b))*float64(count(a)) > maxLiterals || float64(len(a))*float64(len(b)) > maxLiterals {
		return nil, errLarge
	}
	out := make([][]literal, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			out = append(out, slices.Concat(x, y))
		}
	}
	return out, nil
}

// property makes cases of conjunctions; those with the same box become one.
func property(inputs, outputs int, all [][]literal) (*Property, error) {
	if float64(len(all))*float64(inputs+outputs) > maxNumbers {
		return nil, errLarge
	}
	p := &Property{Inputs: inputs, Outputs: outputs}
	byBox := map[string]int{}
	numbers := 0
	for _, conjunction := range all {
		c, err := newCase(inputs, outputs, conjunction)
		if err != nil {
			return nil, err
		}
		if c == nil {
			continue
		}
		if numbers += len(c.Unsafe[0]) * outputs; numbers > maxNumbers {
			return nil, errLarge
		}
		box := fmt.Sprint(c.Lower, c.Upper)
		at, ok := byBox[box]
		if !ok {
			byBox[box] = len(p.Cases)
			p.Cases = append(p.Cases, *c)
			continue
		}
		p.Cases[at].Unsafe = append(p.Cases[at].Unsafe, c.Unsafe...)
	}
	if len(p.Cases) == 0 {
		return nil, errors.New("it is inconsistent: its boxes of inputs are empty, or its constraints on outputs contradict each other")
	}
	return p, nil
}

// newCase gives nil where no input, or no output, can satisfy all.
func newCase(inputs, outputs int, all []literal) (*Case, error) {
	c := &Case{Lower: make([]float64, inputs), Upper: make([]float64, inputs), Unsafe: [][]Constraint{nil}}
	for i := range inputs {
		c.Lower[i], c.Upper[i] = math.Inf(-1), math.Inf(1)
	}
	for _, l := range all {
		if err := c.add(l, outputs); err != nil {
			return nil, err
		}
	}
	for i := range inputs {
		if c.Lower[i] > c.Upper[i] {
			return nil, nil
		}
	}
	for i := range inputs {
		if math.IsInf(c.Lower[i], 0) || math.IsInf(c.Upper[i], 0) {
			return nil, fmt.Errorf("the input X_%d is not bounded from both sides in every case: state its least and its greatest value", i)
		}
	}
	if len(c.Unsafe[0]) == 0 {
		return nil, errors.New("it has a case that says nothing about the outputs: state which are unsafe")
	}
	if contradictory(c.Unsafe[0]) {
		return nil, nil
	}
	return c, nil
}

// add takes a constraint for a side of the box, or for one on outputs.
func (c *Case) add(l literal, outputs int) error {
	onOutput := func(t term) bool { return t.output }
	first := l.terms[0]
	switch {
	case !slices.ContainsFunc(l.terms, onOutput):
		if len(l.terms) != 1 {
			return fmt.Errorf("line %d: a constraint on inputs is on %d of them: only boxes, with limits of each by itself, can be decided", l.line, len(l.terms))
		}
		c.limit(first.index, first.factor, l.bound, l.strict)
		return nil
	case slices.ContainsFunc(l.terms, func(t term) bool { return !t.output }):
		return fmt.Errorf("line %d: a constraint joins inputs and outputs: each must be on one kind", l.line)
	}
	coefficients := make([]float64, outputs)
	for _, t := range l.terms {
		coefficients[t.index] = t.factor
	}
	c.Unsafe[0] = append(c.Unsafe[0], Constraint{coefficients, l.bound, l.strict})
	return nil
}

// limit is factor·X_i ≤ bound. Of a strict one the next float64 inside is the limit.
func (c *Case) limit(i int, factor, bound float64, strict bool) {
	limit, inside := bound/factor, math.Inf(-1)
	if factor < 0 {
		inside = math.Inf(1)
	}
	if strict {
		limit = math.Nextafter(limit, inside)
	}
	if factor > 0 {
		c.Upper[i] = min(c.Upper[i], limit)
	} else {
		c.Lower[i] = max(c.Lower[i], limit)
	}
}

// contradictory reports whether two constraints bound the same sum from both sides with
// nothing between.
func contradictory(all []Constraint) bool {
	least := map[string]float64{}
	for _, c := range all {
		key := fmt.Sprint(c.Coefficients)
		if b, ok := least[key]; !ok || c.Bound < b {
			least[key] = c.Bound
		}
	}
	for _, c := range all {
		opposite := make([]float64, len(c.Coefficients))
		for i, k := range c.Coefficients {
			opposite[i] = 0 - k
		}
		if b, ok := least[fmt.Sprint(opposite)]; ok && b+c.Bound < 0 {
			return true
		}
	}
	return false
}
