package builtin

import (
	"fmt"
	"strings"

	"assay/internal/method/poisoning/plant"
	"assay/internal/method/poisoning/plant/craft"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/onnx"
)

// Planting is what planters can be told, each of which some take.
type Planting struct {
	Features  []string      // of a table's trigger; nil to have them drawn
	Surrogate *target.Model // trained on such data; nil for none
	Network   *onnx.Model   // the same as a graph
	Victim    []float32     // the input that poison is to have misclassified; nil for none
}

// Planters gives all that plant poison in data: first those that change labels, then triggers, poison for one input,
// poison against all, and what adds records.
func Planters(s Planting) []plant.Planter {
	var classifier model.Classifier
	if s.Surrogate != nil {
		classifier = s.Surrogate.Target.Model
	}
	return []plant.Planter{
		plant.RandomFlips{},
		plant.TargetedFlips{},
		plant.ConfidentFlips{Model: classifier},
		plant.BadNets{},
		plant.Blended{},
		plant.Warped{},
		plant.Sinusoidal{},
		plant.LabelConsistent{Model: s.Surrogate},
		plant.Tabular{Features: s.Features},
		craft.FeatureCollision{Model: s.Network, Victim: s.Victim},
		craft.GradientMatching{Model: s.Network, Victim: s.Victim},
		plant.Adversarial{Model: s.Surrogate},
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
