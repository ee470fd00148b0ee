package membership

import (
	"cmp"

	"assay/internal/stat"
)

// Measured gives the records that no threshold was chosen on, ascending.
func (r *Result) Measured() []int { return r.parts.test }

// Found tells of every record whether the attack takes it for a member, at the lowest threshold at which it takes no more than a part of
// the calibration's other records for members.
func (r *Result) Found(fpr float64) ([]bool, error) {
	threshold, _, err := r.threshold(fpr)
	if err != nil {
		return nil, err
	}
	found := make([]bool, len(r.order))
	for i, rank := range r.order {
		found[i] = rank >= threshold
	}
	return found, nil
}

// Choose gives the attack that is strongest on the calibration, by its TPR at an FPR and then its AUROC: so which one is
// measured does not depend on what is measured.
func Choose(results []Result, fpr float64) (*Result, error) {
	var best *Result
	var most [2]float64
	for i := range results {
		r := &results[i]
		found, err := r.Found(fpr)
		if err != nil {
			return nil, err
		}
		hits := 0
		for _, k := range r.parts.calibration {
			if r.population.Member[k] && found[k] {
				hits++
			}
		}
		roc, err := stat.NewROC(pick(r.order, r.parts.calibration), pick(r.population.Member, r.parts.calibration))
		if err != nil {
			return nil, err
		}
		area, err := roc.AUROC(0.5) // of which the estimate alone counts
		if err != nil {
			return nil, err
		}
		strength := [2]float64{float64(hits), area.Estimate}
		if best == nil || cmp.Or(cmp.Compare(strength[0], most[0]), cmp.Compare(strength[1], most[1])) > 0 {
			best, most = r, strength
		}
	}
	return best, nil
}
