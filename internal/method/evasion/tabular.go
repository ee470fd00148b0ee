package evasion

import (
	"slices"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
)

// tabularMethods gives what a battery adds for a target: for trees the methods that read them, and for tables
// whose rows are bound by more than limits those that keep what binds them.
func (b *Battery) tabularMethods(t method.Target) []method.Method {
	list := slices.Clone(b.Trees)
	if b.Layout != model.Tabular || t.Domain == nil || !constrained(t.Domain) {
		return list
	}
	e, access := b.effort(), b.access(t)
	if access.Includes(assay.Gradients) {
		list = append(list, CAPGD{Steps: e.Steps, Restarts: e.Restarts, Loss: model.Margin})
	}
	if access.Includes(assay.Scores) {
		list = append(list, Beam{Queries: e.Queries, Width: 10})
	}
	return list
}

// constrained reports whether rows of a domain are bound by more than limits and what is fixed.
func constrained(d *method.Domain) bool {
	return len(d.Groups) > 0 || len(d.Relations) > 0 || slices.Contains(d.Integer, true) ||
		slices.ContainsFunc(d.Monotone, func(m method.Monotone) bool { return m != 0 })
}

// treeQueries is how many rows a method that reads trees asks about, at most.
const treeQueries = 128

// attacker is the battery's, who has read the model's file where that is of trees.
func (b *Battery) attacker() method.Attacker {
	a := b.Attacker
	if len(b.Trees) > 0 {
		a.Access = assay.Gradients
	}
	return a
}
