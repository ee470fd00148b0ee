package evasion

import (
	"assay/internal/method"
	"assay/internal/model"
)

// AutoAttack is the standard version of AutoAttack (Croce and Hein 2020, arXiv:2003.01690, section 5; in L1 2021,
// arXiv:2103.01208, section 5) in its order,
// with the settings of the authors' program: a unit is robust that withstands all of them. It is to be run
// with method.Options.UntilBroken.
//
// The squares of the last method shrink as in a search of twice its queries, as there. Departures are those of the methods:
// each unit ends at its first adversarial example, which decides the same, and losses that need more classes than
// there are give way to the margin, where the program refuses.
func AutoAttack(norm method.Norm) []method.Method {
	restarts, targets := 1, 9
	if norm == method.L1 {
		restarts, targets = 5, 5
	}
	return []method.Method{
		APGD{Steps: 100, Restarts: restarts, Loss: model.CrossEntropy},
		APGD{Steps: 100, Restarts: 1, Loss: model.TargetedDLR, Targets: targets},
		FAB{Steps: 100, Targets: 9},
		Square{Queries: 5000, Share: 0.8, Shrink: 10000},
	}
}

// AutoAttackRandom is the version of AutoAttack for models that draw at random ("rand"): Auto-PGD on two losses, each
// gradient being the mean of twenty.
func AutoAttackRandom() []method.Method {
	return []method.Method{
		APGD{Steps: 100, Restarts: 1, Loss: model.CrossEntropy, EOT: 20},
		APGD{Steps: 100, Restarts: 1, Loss: model.DLR, EOT: 20},
	}
}
