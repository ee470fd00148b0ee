package certificate_test

import (
	"math"
	"testing"

	"assay/internal/certificate"
)

func TestAccuracy(t *testing.T) {
	list := []certificate.Certificate{
		{Class: 1, Correct: true, Radius: 0.5}, {Class: 1, Correct: true, Radius: 1}, {Class: 2, Radius: 3}, {Class: -1},
	}
	points, err := certificate.Accuracy(list, []float64{0, 0.5, 0.51, 2}, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{2, 2, 1, 0} {
		if p := points[i]; p.Hits != want || p.N != 4 || p.Accuracy != float64(want)/4 || !(p.Interval.Lower <= p.Accuracy && p.Accuracy <= p.Interval.Upper) {
			t.Errorf("%+v, want %d of 4", p, want)
		}
	}
	// No success in four: the upper bound is 1 - 0.025^(1/4).
	if got, want := points[3].Interval.Upper, 1-math.Pow(0.025, 0.25); math.Abs(got-want) > 1e-9 {
		t.Errorf("upper bound %g, want %g", got, want)
	}
}

func TestAccuracyRefuses(t *testing.T) {
	if _, err := certificate.Accuracy(nil, []float64{0}, 0.95); err == nil {
		t.Error("an accuracy of no inputs")
	}
	for _, radius := range []float64{-1, math.NaN(), math.Inf(1)} {
		if _, err := certificate.Accuracy(make([]certificate.Certificate, 1), []float64{radius}, 0.95); err == nil {
			t.Errorf("an accuracy at %g", radius)
		}
	}
}
