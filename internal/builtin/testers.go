package builtin

import (
	"assay"
	"assay/internal/assess"
	"assay/internal/assess/robustness"
	"assay/internal/system"
)

// Testers gives what tests goals, by vulnerability. The function that it gives frees
// the models that they opened. Without a system they judge records alone.
func Testers(s *system.System, library string) (map[assay.Vulnerability]assess.Tester, func()) {
	evasion := robustness.New(s, library)
	return map[assay.Vulnerability]assess.Tester{assay.Evasion: evasion}, evasion.Close
}
