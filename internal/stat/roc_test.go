package stat

import (
	"math"
	"math/rand/v2"
	"testing"
)

func draw(random *rand.Rand, positives, negatives int, shift float64) (scores []float64, positive []bool) {
	for i := range positives + negatives {
		score := random.NormFloat64()
		if i < positives {
			score += shift
		}
		scores, positive = append(scores, score), append(positive, i < positives)
	}
	return scores, positive
}

// The area by counting pairs, and DeLong's variance by its structural components, with ties.
func TestAUROCByPairs(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 4))
	scores, positive := draw(random, 23, 31, 1)
	for i := range scores {
		scores[i] = math.Round(4*scores[i]) / 4
	}
	var x, y []float64
	for i, s := range scores {
		if positive[i] {
			x = append(x, s)
		} else {
			y = append(y, s)
		}
	}
	psi := func(a, b float64) float64 {
		switch {
		case a > b:
			return 1
		case a == b:
			return 0.5
		}
		return 0
	}
	area := 0.0
	v10, v01 := make([]float64, len(x)), make([]float64, len(y))
	for i, a := range x {
		for j, b := range y {
			v := psi(a, b)
			area += v / float64(len(x)*len(y))
			v10[i] += v / float64(len(y))
			v01[j] += v / float64(len(x))
		}
	}
	s10, s01 := 0.0, 0.0
	for _, v := range v10 {
		s10 += (v - area) * (v - area) / float64(len(x)-1)
	}
	for _, v := range v01 {
		s01 += (v - area) * (v - area) / float64(len(y)-1)
	}
	got := must[AUROC](t)(must[*ROC](t)(NewROC(scores, positive)).AUROC(0.95))
	near(t, "the area", got.Estimate, area, 1e-12)
	near(t, "DeLong's variance", got.Variance, s10/float64(len(x))+s01/float64(len(y)), 1e-12)
	if !(got.Lower < area && area < got.Upper && got.Lower > 0.5 && got.Upper < 1) {
		t.Errorf("bounds are %+v", got)
	}
}

func TestSeparatedScoresAreNotCertain(t *testing.T) {
	r := must[*ROC](t)(NewROC([]float64{3, 4, 5, 0, 1}, []bool{true, true, true, false, false}))
	a := must[AUROC](t)(r.AUROC(0.95))
	near(t, "the lower bound", a.Lower, math.Sqrt(0.05), 1e-12)
	near(t, "the upper bound", a.Upper, 1, 0)
}

func TestPoints(t *testing.T) {
	r := must[*ROC](t)(NewROC([]float64{1, 2, 2, 3}, []bool{false, true, false, true}))
	want := []Point{{math.Inf(1), 0, 0}, {3, 0, 0.5}, {2, 0.5, 1}, {1, 1, 1}}
	got := r.Points()
	if len(got) != len(want) {
		t.Fatalf("points are %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("point %d is %v, should be %v", i, got[i], want[i])
		}
	}
	fpr, tpr, err := r.At(2, 0.95)
	if err != nil || fpr.Estimate != 0.5 || tpr.Estimate != 1 {
		t.Errorf("at 2: %v %v %v", fpr, tpr, err)
	}
}

// On normal scores, whose true curve is known: bounds and band miss it no more often than stated.
func TestROCBoundsCover(t *testing.T) {
	runs := 2000
	if testing.Short() {
		runs = 200
	}
	random := rand.New(rand.NewPCG(7, 7))
	const fpr, confidence, shift = 0.1, 0.9, 1.0
	truth := func(fpr float64) float64 {
		return 0.5 * math.Erfc(-(shift-normalQuantile(1-fpr))/math.Sqrt2)
	}
	low, high, outside := 0, 0, 0
	for range runs {
		scores, positive := draw(random, 60, 80, shift)
		r := must[*ROC](t)(NewROC(scores, positive))
		rate := must[Rate](t)(r.TPRAtFPR(fpr, confidence))
		if rate.Lower > truth(fpr) {
			low++
		}
		if rate.Upper < truth(fpr) {
			high++
		}
		if rate.Lower > rate.Estimate || rate.Upper < rate.Estimate {
			t.Fatalf("%+v", rate)
		}
		band := must[*Band](t)(r.Band(confidence))
		for step := 1; step < 50; step++ {
			at := float64(step) / 50
			if i := must[Interval](t)(band.At(at)); i.Lower > truth(at) || i.Upper < truth(at) {
				outside++
				break
			}
		}
	}
	if allowed := runs / 10; low > allowed || high > allowed || outside > allowed {
		t.Errorf("of %d runs %d are too high, %d too low, %d leave the band", runs, low, high, outside)
	}
}

func TestTooFewNegativesSayNothing(t *testing.T) {
	scores, positive := draw(rand.New(rand.NewPCG(1, 1)), 50, 1000, 5)
	rate := must[Rate](t)(must[*ROC](t)(NewROC(scores, positive)).TPRAtFPR(0.001, 0.95))
	if rate.Lower != 0 {
		t.Errorf("1000 negatives bound the TPR at an FPR of 0.1 %% by %v", rate.Lower)
	}
	n := must[int](t)(SmallestNegatives(0.001, 0.95, 2))
	if n <= 1000 || n > 10_000 || binomialUpper(n/1000, n, 0.05) > 0.002 || binomialUpper(n/1000-1, n-1000, 0.05) <= 0.002 {
		t.Errorf("%d negatives are said to be enough", n)
	}
}
