package builtin

import (
	"fmt"
	"strings"

	"assay/internal/dataset"
	"assay/internal/solution/repair"
	"assay/internal/train"
)

// Repairing is what repairs can be told, each of which some take. Zero values stand for each repair's own.
type Repairing struct {
	Tune       repair.FineTuning   // of repairs that train further
	Loss       float64             // of accuracy, by pruning
	Radius     float64             // of a perturbation to unlearn
	Deviations float64             // from which on a channel stands out
	Quarantine *dataset.Quarantine // records that are suspicious
	Train      train.Options       // of repairs that train anew
}

// Repairs gives all that remove poison from models: first those that train further on trusted records, then
// that which needs none, then those that train anew.
func Repairs(r Repairing) []repair.Repair {
	return []repair.Repair{
		r.Tune,
		repair.FinePruning{Loss: r.Loss, Tune: r.Tune},
		repair.Unlearning{Radius: r.Radius, Tune: r.Tune},
		repair.LipschitzPruning{Deviations: r.Deviations},
		repair.Removal{Quarantine: r.Quarantine, Train: r.Train},
		repair.Relabelling{Quarantine: r.Quarantine, Train: r.Train},
	}
}

// FindRepair gives a repair by its name.
func FindRepair(name string, s Repairing) (repair.Repair, error) {
	var names []string
	for _, r := range Repairs(s) {
		if r.Describe().Name == name {
			return r, nil
		}
		names = append(names, r.Describe().Name)
	}
	return nil, fmt.Errorf("there is no repair %q: use one of %s", name, strings.Join(names, ", "))
}
