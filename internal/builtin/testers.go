package builtin

import (
	"time"

	"assay"
	"assay/internal/assess"
	"assay/internal/assess/confidentiality"
	"assay/internal/assess/poisoning"
	"assay/internal/assess/supplychain"
	"assay/internal/method/poisoning/plant"
	"assay/internal/scan/formats"
	"assay/internal/system"
)

// Testers gives what tests goals, by vulnerability. The function that it gives frees
// the models that they opened. Without a system they judge records alone. Now is when certificates must be valid.
func Testers(s *system.System, library string, now func() time.Time) (map[assay.Vulnerability]assess.Tester, func()) {
	evasion, leaks := newEvasionTester(s, library), confidentiality.New(s, library)
	return map[assay.Vulnerability]assess.Tester{
			assay.Evasion:         evasion,
			assay.Confidentiality: leaks,
			assay.DataPoisoning:   poisoning.New(s, library, func(name string) (plant.Planter, error) { return FindPlanter(name, Planting{}) }),
			assay.ModelPoisoning:  supplychain.New(s, formats.All(), now),
		}, func() {
			evasion.close()
			leaks.Close()
		}
}
