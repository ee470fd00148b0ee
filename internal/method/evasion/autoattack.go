package evasion

import (
	"assay/internal/method"
	"assay/internal/model"
)

// AutoAttack is the standard version of AutoAttack (Croce and Hein 2020, arXiv:2003.01690, section 5) in its order,
// with the settings of the authors' program: a unit is robust that withstands all of them. It is to be run
// with method.Options.UntilBroken. Shape and layout are of one row of the model.
//
// The program takes the best of 100 steps on all units at once; here each unit ends at its first adversarial
// example, which decides the same.
func AutoAttack(shape []int64, layout model.Layout) []method.Method {
	return []method.Method{
		APGD{Steps: 100, Restarts: 1, Loss: model.CrossEntropy},
		APGD{Steps: 100, Restarts: 1, Loss: model.TargetedDLR, Targets: 9},
		FAB{Steps: 100, Targets: 9},
		Square{Queries: 5000, Share: 0.8, Shrink: 10000, Shape: shape, Layout: layout},
	}
}
