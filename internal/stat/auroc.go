package stat

import "math"

// AUROC is the area under a ROC curve: the probability that a positive scores
// higher than a negative, ties counting half.
type AUROC struct {
	Estimate, Variance float64
	Lower, Upper       float64 // one-sided bounds
}

// AUROC is estimated with the variance of DeLong, DeLong and Clarke-Pearson (1988, Biometrics 44,
// 837-845) by the ranks of Sun and Xu (2014, IEEE Signal Processing Letters 21, 1389-1393).
// The bounds are approximate: normal on the scale of the logit. Where the variance is estimated as 0, as when the scores
// separate the kinds, or for fewer than two cases of a kind, the bounds are exact
// instead: with s disjoint pairs of a positive and a negative, an area of at most (1−confidence)^(1/s)
// would separate them all with a probability of at most 1−confidence; otherwise they are 0 and 1.
func (r *ROC) AUROC(confidence float64) (AUROC, error) {
	if err := checkConfidence(confidence); err != nil {
		return AUROC{}, err
	}
	m, n := len(r.positives), len(r.negatives)
	a := AUROC{Upper: 1}
	ofPositives, ofNegatives := placements(r.positives, r.negatives), placements(r.negatives, r.positives)
	for _, v := range ofPositives {
		a.Estimate += v / float64(m)
	}
	if m > 1 && n > 1 {
		a.Variance = variance(ofPositives)/float64(m) + variance(ofNegatives)/float64(n)
	}
	if a.Variance < 1e-20 || a.Estimate <= 0 || a.Estimate >= 1 {
		a.Variance = 0
		pairs := math.Exp(math.Log(1-confidence) / float64(min(m, n)))
		if r.positives[0] > r.negatives[n-1] {
			a.Lower = pairs
		}
		if r.positives[m-1] < r.negatives[0] {
			a.Upper = 1 - pairs
		}
		return a, nil
	}
	logit := math.Log(a.Estimate / (1 - a.Estimate))
	half := normalQuantile(confidence) * math.Sqrt(a.Variance) / (a.Estimate * (1 - a.Estimate))
	a.Lower, a.Upper = 1/(1+math.Exp(half-logit)), 1/(1+math.Exp(-half-logit))
	return a, nil
}

// placements are, for each score, the part of the others that is below it, ties
// counting half. Both are sorted upward.
func placements(scores, others []float64) []float64 {
	parts := make([]float64, len(scores))
	below, upTo := 0, 0
	for i, score := range scores {
		for below < len(others) && others[below] < score {
			below++
		}
		for upTo < len(others) && others[upTo] <= score {
			upTo++
		}
		parts[i] = float64(below+upTo) / 2 / float64(len(others))
	}
	return parts
}

func variance(values []float64) float64 {
	mean := 0.0
	for _, v := range values {
		mean += v / float64(len(values))
	}
	sum := 0.0
	for _, v := range values {
		sum += (v - mean) * (v - mean)
	}
	return sum / float64(len(values)-1)
}
