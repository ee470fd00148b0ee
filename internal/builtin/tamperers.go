package builtin

import (
	"fmt"
	"strings"

	"assay/internal/method/poisoning/plant"
	"assay/internal/method/poisoning/plant/tamper"
)

// Tamperers gives all that plant faults in models. Those that need one take the trigger of a planter.
func Tamperers(trigger plant.Planter) []tamper.Tamperer {
	return []tamper.Tamperer{
		tamper.FineTune{Planter: trigger},
		tamper.Handcrafted{Planter: trigger},
		tamper.RandomBits{},
		tamper.ProgressiveBits{},
		tamper.SwapLabels{},
		tamper.ShiftStatistics{},
	}
}

// FindTamperer gives a tamperer by its name.
func FindTamperer(name string, trigger plant.Planter) (tamper.Tamperer, error) {
	var names []string
	for _, t := range Tamperers(trigger) {
		if t.Describe().Name == name {
			return t, nil
		}
		names = append(names, t.Describe().Name)
	}
	return nil, fmt.Errorf("there is no attack %q on models: use one of %s", name, strings.Join(names, ", "))
}
