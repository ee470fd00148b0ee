package main

import (
	"context"
	"fmt"
	"strings"

	"assay/internal/dataset"
	"assay/internal/method/backdoor"
	"assay/internal/method/backdoor/reference"
)

// referred is how a model differs from its reference.
type referred struct {
	Model   string             `json:"model"` // the reference
	Same    bool               `json:"same"`  // in what is computed, and in all answers
	Graph   *reference.Graph   `json:"graph"`
	Answers *reference.Answers `json:"answers"`
	Classes []string           `json:"classes"` // that the numbers in the answers stand for
}

// refer compares a model with the reference.
func (f *inspectModelFlags) refer(ctx context.Context, s, other *backdoor.Subject, clean *dataset.Dataset) (*referred, error) {
	r := &referred{Model: f.reference, Classes: clean.Schema.Label.Classes}
	var err error
	if r.Graph, err = reference.CompareGraphs(s.Graph, other.Graph); err != nil {
		return nil, err
	}
	if r.Answers, err = reference.CompareAnswers(ctx, s.Model.Target.Model, other.Model.Target.Model, clean); err != nil {
		return nil, err
	}
	r.Same = r.Graph.Same() && r.Answers.All.Differ == 0
	return r, nil
}

// tryOn tries the triggers that were recovered on another model.
func (o *inspectedModel) tryOn(ctx context.Context, other *backdoor.Subject, findings []*backdoor.Finding) (err error) {
	for k, found := range findings {
		if found == nil {
			continue
		}
		for i, c := range found.Classes {
			if c.Trigger == nil {
				continue
			}
			if o.Detectors[k].Classes[i].Refers, err = other.Success(ctx, c.Trigger, c.Class); err != nil {
				return err
			}
		}
	}
	return nil
}

// mostLayers is how many are printed; programs get all.
const mostLayers = 20

// looksLike says what a kind of difference looks like.
var looksLike = map[reference.Kind]string{
	reference.Statistics: "running statistics of batch normalisation alone",
	reference.Bits:       "as after flips of bits",
	reference.Edited:     "as after a change by hand",
	reference.Trained:    "as after training",
}

func (u *ui) referred(r *referred) {
	a := r.Answers.All
	if r.Same {
		u.row("reference", "the model is %s: no node, number or answer differs", r.Model)
	} else {
		u.row("reference", "the model is not %s", r.Model)
		u.row("", "the answers to %d of %d records differ (%s to %s)", a.Differ, a.N, percent(a.Lower), percent(a.Upper))
	}
	if len(r.Answers.Swapped) > 0 {
		var names []string
		for _, k := range r.Answers.Swapped {
			names = append(names, r.Classes[k])
		}
		u.row("swapped", "the classes %s take each other's place", strings.Join(names, ", "))
	}
	for _, c := range r.Answers.Classes {
		if c.Differ > 0 {
			u.row("class "+r.Classes[c.Class], "%d of %d differ (%s to %s), %d of them are given %s", c.Differ, c.N, percent(c.Lower), percent(c.Upper), c.ByHow, r.Classes[c.Most])
		}
	}
	var lines [][2]string
	for _, l := range r.Graph.Layers {
		lines = append(lines, [2]string{"layer", fmt.Sprintf("%s: %d of %d numbers differ, %s, by %.2g of their size", l.Layer, l.Changed, l.Numbers, looksLike[l.Kind], l.Distance)})
	}
	for _, of := range []struct {
		word  string
		nodes []string
	}{{"added", r.Graph.Added}, {"removed", r.Graph.Removed}, {"rewired", r.Graph.Rewired}} {
		for _, n := range of.nodes {
			lines = append(lines, [2]string{of.word, n})
		}
	}
	for _, line := range lines[:min(mostLayers, len(lines))] {
		u.row(line[0], "%s", line[1])
	}
	if more := len(lines) - mostLayers; more > 0 {
		u.row("", "and %d more: see --format json", more)
	}
}
