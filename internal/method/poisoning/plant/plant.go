// Package plant plants known poison in a copy of training data, so that it can be measured what a
// detector finds and what a repair removes. The data given are never written over.
package plant

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"assay/internal/dataset"
	"assay/internal/method"
)

// Planter plants poison of one kind.
type Planter interface {
	// Describe tells what the planter is. It is the same at every call.
	Describe() Description

	// Plant gives a copy of the data with poison in it. Its randomness comes from the seed alone, and at
	// rate 0 it is a copy and nothing else. Inputs stay in the schema's domain, and features that it
	// says are immutable stay as they are.
	Plant(ctx context.Context, d *dataset.Dataset, o Options) (*Planted, error)
}

// Description tells what a planter is.
type Description struct {
	Name       string `json:"name"`
	Summary    string `json:"summary"`
	Targeted   bool   `json:"targeted"`    // towards the target class
	CleanLabel bool   `json:"clean_label"` // no record gets another label
	Reference  string `json:"reference"`   // the paper, with its section or equation
}

// Options say how much is planted, and towards what.
type Options struct {
	Rate   float64 // planted records as a part of the records given, 0 to 1; rounded to whole records
	Target int     // the class, an index into the schema's; for planters that are Targeted
	Seed   uint64
}

// Planted is a copy of data with poison in it.
type Planted struct {
	Dataset *dataset.Dataset
	Which   []bool // of its records are planted
	From    []int  // the record of the data given that each one is, or was made from

	// Trigger makes an input one that the backdoor answers; nil where there is no backdoor.
	Trigger Trigger
	// Aims tells inputs that the poison is to have misclassified; nil for all.
	Aims func(record []float32) bool
	// Target is the class that they are to get; -1 for any but their own.
	Target int

	last int64 // the highest number of a record
}

// Trigger changes an input to one that a backdoor answers.
type Trigger interface {
	// Apply gives an encoded record with the trigger, within the domain of the data. The record given stays as it is.
	Apply(record []float32) []float32
}

// Count is how many records are planted.
func (p *Planted) Count() int {
	n := 0
	for _, w := range p.Which {
		if w {
			n++
		}
	}
	return n
}

// replicate gives a copy of data with no poison in it yet.
func replicate(d *dataset.Dataset, target int) *Planted {
	p := &Planted{
		Dataset: &dataset.Dataset{Schema: d.Schema, X: slices.Clone(d.X), Y: slices.Clone(d.Y), Number: slices.Clone(d.Number)},
		Which:   make([]bool, d.Len()), From: make([]int, d.Len()), Target: target,
	}
	for i, number := range d.Number {
		p.From[i], p.last = i, max(p.last, number)
	}
	return p
}

// add appends a planted record, made from one of the data given, with the next number.
func (p *Planted) add(record []float32, class int32, from int) {
	d := p.Dataset
	p.last++
	d.X, d.Y, d.Number = append(d.X, record...), append(d.Y, class), append(d.Number, p.last)
	p.Which, p.From = append(p.Which, true), append(p.From, from)
}

// count checks options and gives how many records are to be planted.
func (o Options) count(d *dataset.Dataset, of Description) (int, error) {
	classes := len(d.Schema.Label.Classes)
	switch {
	case d.Y == nil || classes < 2:
		return 0, fmt.Errorf("%s needs records of at least two classes: name the label", of.Name)
	case !(o.Rate >= 0 && o.Rate <= 1):
		return 0, fmt.Errorf("a rate of %g is no part of the records: give one from 0 to 1", o.Rate)
	case of.Targeted && (o.Target < 0 || o.Target >= classes):
		return 0, fmt.Errorf("the target class %d is none of 0 to %d", o.Target, classes-1)
	}
	n := int(math.Round(o.Rate * float64(d.Len())))
	if n == 0 && o.Rate > 0 {
		return 0, fmt.Errorf("a rate of %g of %d records is not one record: give a larger rate or more data", o.Rate, d.Len())
	}
	return n, nil
}

// Streams of randomness: what is chosen does not depend on how a trigger was drawn.
const (
	streamRecords = iota
	streamTrigger
	streamSearch
)

func (o Options) random(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(o.Seed, stream)) }

// draw gives n of the records for which fit holds, in order.
func draw(d *dataset.Dataset, n int, what string, rng *rand.Rand, fit func(i int) bool) ([]int, error) {
	var candidates []int
	for i := range d.Len() {
		if fit(i) {
			candidates = append(candidates, i)
		}
	}
	if n > len(candidates) {
		return nil, fmt.Errorf("%d records are to be planted, and there are %d %s: give a smaller rate", n, len(candidates), what)
	}
	rng.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
	return slices.Sorted(slices.Values(candidates[:n])), nil
}

// domainOf gives what records of the data can be.
func domainOf(d *dataset.Dataset) (*method.Domain, error) {
	return method.DomainOf(d.Schema, nil, method.Raw)
}

// within moves x into the domain, with what is fixed as in the record that it was made from.
func within(domain *method.Domain, record, x []float32) {
	s := method.Space{Domain: domain, Norm: method.Linf, Eps: math.Inf(1), Groups: len(domain.Groups), Clean: record}
	s.Project(x)
}

// backdoor plants a trigger: in records of other classes, which get the target's label, or, where labels are
// to stay clean, in records of the target class.
func backdoor(ctx context.Context, d *dataset.Dataset, o Options, of Description, trigger func() (Trigger, error)) (*Planted, error) {
	n, err := o.count(d, of)
	if err != nil {
		return nil, err
	}
	p := replicate(d, o.Target)
	if p.Trigger, err = trigger(); err != nil {
		return nil, fmt.Errorf("%s %w", of.Name, err)
	}
	what := "of other classes than the target"
	if of.CleanLabel {
		what = "of the target class"
	}
	chosen, err := draw(d, n, what, o.random(streamRecords), func(i int) bool { return (int(d.Y[i]) == o.Target) == of.CleanLabel })
	if err != nil {
		return nil, err
	}
	for _, i := range chosen {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		copy(p.Dataset.Record(i), p.Trigger.Apply(d.Record(i)))
		p.Dataset.Y[i], p.Which[i] = int32(o.Target), true
	}
	return p, nil
}
