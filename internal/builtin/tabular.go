package builtin

import (
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/model"
	"assay/internal/trees"
)

// tabular are the methods for tables, and those for models of decision trees.
func tabular() []Method {
	usual := Settings{Steps: 100, Restarts: 2}
	return []Method{
		{Name: "capgd-ce", Summary: "Auto-PGD that keeps relations by moving their other features along, on cross-entropy", Takes: []string{"steps", "restarts"}, Usual: usual,
			New: func(s Settings) []method.Method {
				return one(evasion.CAPGD{Steps: s.Steps, Restarts: s.Restarts, Loss: model.CrossEntropy})
			}},
		{Name: "capgd-margin", Summary: "the same on the margin", Takes: []string{"steps", "restarts"}, Usual: usual,
			New: func(s Settings) []method.Method {
				return one(evasion.CAPGD{Steps: s.Steps, Restarts: s.Restarts, Loss: model.Margin})
			}},
		{Name: "beam", Summary: "changes of single features, and on from the best, by scores: for tables", Takes: []string{"queries", "beam"},
			New: func(s Settings) []method.Method { return one(evasion.Beam{Queries: s.Queries, Width: s.Beam}) }},
		{Name: "caa", Summary: "constrained adaptive attack for tables: capgd-ce, capgd-margin and beam, until one succeeds", Takes: []string{"steps", "restarts", "queries", "beam"}, Usual: usual,
			New: func(s Settings) []method.Method { return evasion.CAA(s.Steps, s.Restarts, s.Queries, s.Beam) }},
		{Name: "tree-leaf", Summary: "goes from box to box of the leaves of trees, towards the input", Takes: []string{"restarts"}, Usual: Settings{Restarts: 20}, Trees: true,
			New: func(s Settings) []method.Method { return one(trees.Leaves{Ensemble: s.Trees, Starts: s.Restarts}) }},
		{Name: "tree-exact", Summary: "the nearest adversarial example of trees, or that there is none", Takes: []string{"work"}, Trees: true,
			New: func(s Settings) []method.Method { return one(trees.Exact{Ensemble: s.Trees, Work: s.Work}) }},
	}
}
