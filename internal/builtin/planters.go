package builtin

import (
	"fmt"
	"strings"

	"assay/internal/method/poisoning/plant"
	"assay/internal/model"
)

// Planting is what planters can be told, each of which some take.
type Planting struct {
	Model    model.Classifier // trained on such data; nil for none
	Features []string         // of a table's trigger; nil to have them drawn
}

// Planters gives all that plant poison in data: first those that change labels, then triggers, then those that add records.
func Planters(s Planting) []plant.Planter {
	return []plant.Planter{
		plant.RandomFlips{},
		plant.TargetedFlips{},
		plant.ConfidentFlips{Model: s.Model},
		plant.BadNets{},
		plant.Blended{},
		plant.Warped{},
		plant.Sinusoidal{},
		plant.Tabular{Features: s.Features},
		plant.Subpopulation{},
		plant.Duplicates{},
		plant.Duplicates{Noise: 0.02},
	}
}

// FindPlanter gives a planter by its name.
func FindPlanter(name string, s Planting) (plant.Planter, error) {
	var names []string
	for _, p := range Planters(s) {
		if p.Describe().Name == name {
			return p, nil
		}
		names = append(names, p.Describe().Name)
	}
	return nil, fmt.Errorf("there is no attack %q on data: use one of %s", name, strings.Join(names, ", "))
}
