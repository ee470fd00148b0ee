package stat

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
)

// ROC is the receiver operating characteristic of scores, of which higher ones
// speak for positive: a case is called positive where its score is at least a threshold.
type ROC struct {
	positives, negatives []float64 // scores, sorted upward
}

// NewROC takes the score of each case and whether it is truly positive. There must be both kinds.
// Infinite scores are allowed, NaN is not.
func NewROC(scores []float64, positive []bool) (*ROC, error) {
	if len(scores) != len(positive) {
		return nil, fmt.Errorf("there are %d scores for %d cases: give one for each", len(scores), len(positive))
	}
	r := &ROC{}
	for i, score := range scores {
		switch {
		case math.IsNaN(score):
			return nil, fmt.Errorf("the score of case %d is NaN: it cannot be ordered", i+1)
		case positive[i]:
			r.positives = append(r.positives, score)
		default:
			r.negatives = append(r.negatives, score)
		}
	}
	if len(r.positives) == 0 || len(r.negatives) == 0 {
		return nil, fmt.Errorf("a ROC curve needs cases of both kinds: there are %d positive and %d negative", len(r.positives), len(r.negatives))
	}
	if max(len(r.positives), len(r.negatives)) > most {
		return nil, fmt.Errorf("%d cases are more than the %d of a kind that are computed", len(scores), most)
	}
	slices.Sort(r.positives)
	slices.Sort(r.negatives)
	return r, nil
}

// Point is a point of a ROC curve: the rates of positives and negatives whose score is at least
// the threshold.
type Point struct{ Threshold, FPR, TPR float64 }

// Points are the corners of the empirical curve, from a threshold above every
// score (FPR and TPR 0) down to the lowest score (both 1), one for each distinct score.
func (r *ROC) Points() []Point {
	points := []Point{{Threshold: math.Inf(1)}}
	i, j := len(r.positives), len(r.negatives)
	for i > 0 || j > 0 {
		threshold := math.Inf(-1)
		if i > 0 {
			threshold = r.positives[i-1]
		}
		if j > 0 {
			threshold = math.Max(threshold, r.negatives[j-1])
		}
		for i > 0 && r.positives[i-1] == threshold {
			i--
		}
		for j > 0 && r.negatives[j-1] == threshold {
			j--
		}
		points = append(points, r.point(threshold, i, j))
	}
	return points
}

func (r *ROC) point(threshold float64, i, j int) Point {
	return Point{
		Threshold: threshold,
		FPR:       float64(len(r.negatives)-j) / float64(len(r.negatives)),
		TPR:       float64(len(r.positives)-i) / float64(len(r.positives)),
	}
}

// Rate is an observed rate with its exact one-sided bounds.
type Rate struct{ Estimate, Lower, Upper float64 }

func rateOf(successes, n int, alpha float64) Rate {
	return Rate{float64(successes) / float64(n), binomialLower(successes, n, alpha), binomialUpper(successes, n, alpha)}
}

// At gives both rates at a threshold that was chosen on other data, with the exact
// one-sided bounds of each. For a threshold chosen on these cases the bounds do not hold: see TPRAtFPR.
func (r *ROC) At(threshold, confidence float64) (fpr, tpr Rate, err error) {
	if err := checkConfidence(confidence); err != nil {
		return Rate{}, Rate{}, err
	}
	if math.IsNaN(threshold) {
		return Rate{}, Rate{}, errors.New("a threshold of NaN divides nothing")
	}
	alpha := 1 - confidence
	return rateOf(atLeastScore(r.negatives, threshold), len(r.negatives), alpha),
		rateOf(atLeastScore(r.positives, threshold), len(r.positives), alpha), nil
}

func atLeastScore(sorted []float64, threshold float64) int {
	return len(sorted) - sort.SearchFloat64s(sorted, threshold)
}

func aboveScore(sorted []float64, threshold float64) int {
	return len(sorted) - sort.Search(len(sorted), func(i int) bool { return sorted[i] > threshold })
}

// TPRAtFPR is the TPR at a fixed FPR, read off these cases alone. Rate.Estimate is the empirical
// one: of the lowest threshold at which no more than the part fpr of the negatives is called positive.
// Lower and Upper are one-sided bounds of the best TPR that any threshold with at most that FPR has in
// the population. They allow for both errors, half of 1−confidence each: the lower counts
// positives above a threshold whose FPR is at most fpr, the upper those from one whose FPR is more
// (order statistics of the negatives, Wilks 1941, Annals of Mathematical Statistics 12, 91-96; Clopper and Pearson on the
// positives). They are exact, whatever the distributions and ties. With too few negatives
// for any such threshold Lower is 0, which says what there is to say; SmallestNegatives gives how many it takes.
func (r *ROC) TPRAtFPR(fpr, confidence float64) (Rate, error) {
	if err := errors.Join(checkLimit("an FPR", fpr), checkConfidence(confidence)); err != nil {
		return Rate{}, err
	}
	alpha := (1 - confidence) / 2
	m, n := len(r.negatives), len(r.positives)
	// A rate such as 0.07 of 100 is 7, whatever rounding makes of it.
	allowed := int(math.Floor(fpr * float64(m) * (1 + 1e-12)))
	rate := Rate{Estimate: float64(aboveScore(r.positives, r.highestNegative(allowed+1))) / float64(n), Upper: 1}
	// The most false positives that are too few for an FPR of fpr or more, ...
	if few := firstInt(-1, m, func(k int) bool { return atMost(k, m, fpr) > alpha }) - 1; few >= 0 {
		rate.Lower = binomialLower(aboveScore(r.positives, r.highestNegative(few+1)), n, alpha)
	}
	// ... and the fewest that are too many for one of fpr or less.
	if many := firstInt(0, m, func(k int) bool { return atLeast(k, m, fpr) <= alpha }); many <= m {
		rate.Upper = binomialUpper(atLeastScore(r.positives, r.highestNegative(many)), n, alpha)
	}
	return rate, nil
}

// highestNegative is the k-th highest score of a negative, counted from 1.
func (r *ROC) highestNegative(k int) float64 { return r.negatives[len(r.negatives)-k] }

// SmallestNegatives is the smallest number of negatives with which an FPR means anything: where the
// part fpr of them, in whole numbers, is called positive, the one-sided upper bound
// of the FPR is at most factor times fpr. A factor of 2 asks for 6 expected false positives at 95 %.
func SmallestNegatives(fpr, confidence, factor float64) (int, error) {
	if err := errors.Join(checkLimit("an FPR", fpr), checkConfidence(confidence)); err != nil {
		return 0, err
	}
	if !(factor > 1) {
		return 0, fmt.Errorf("a factor of %v is not above 1: an FPR is never known exactly", factor)
	}
	size := func(k int) int { return int(math.Ceil(float64(k) / fpr * (1 - 1e-12))) }
	k := firstInt(0, int(most*fpr), func(k int) bool {
		return binomialUpper(k, size(k), 1-confidence) <= factor*fpr
	})
	if size(k) > most {
		return 0, fmt.Errorf("to know an FPR of %v within a factor of %v takes more than %d negatives", fpr, factor, most)
	}
	return size(k), nil
}

// Band is a simultaneous two-sided band of a ROC curve: all of the population's curve is within FPR
// of the empirical one to the side and TPR of it up and down, both at once.
type Band struct {
	FPR, TPR float64 // half-widths
	points   []Point
}

// Band is the fixed-width band of Campbell (1994, Statistics in Medicine 13, 499-508): a rectangle about each
// point, each side at sqrt(confidence). The half-widths are those of Dvoretzky, Kiefer and Wolfowitz with Massart's constant
// (1990), which hold for every number of cases, in place of Kolmogorov's limits.
func (r *ROC) Band(confidence float64) (*Band, error) {
	if err := checkConfidence(confidence); err != nil {
		return nil, err
	}
	half := func(n int) float64 {
		return math.Sqrt(math.Log(2/(1-math.Sqrt(confidence))) / (2 * float64(n)))
	}
	return &Band{FPR: half(len(r.negatives)), TPR: half(len(r.positives)), points: r.Points()}, nil
}

// At is the band of the TPR at an FPR.
func (b *Band) At(fpr float64) (Interval, error) {
	if !(fpr >= 0 && fpr <= 1) {
		return Interval{}, fmt.Errorf("an FPR of %v is not between 0 and 1", fpr)
	}
	band := Interval{0, 1}
	// The best TPR among points certainly at or left of fpr, less what it may be off; and the
	// first point certainly right of it.
	for _, p := range b.points {
		if p.FPR <= fpr-b.FPR {
			band.Lower = math.Max(0, p.TPR-b.TPR)
		}
		if p.FPR > fpr+b.FPR {
			band.Upper = math.Min(1, p.TPR+b.TPR)
			break
		}
	}
	return band, nil
}
