package backdoor

import (
	"math"
	"math/rand/v2"
	"testing"
)

func drawn(rng *rand.Rand, shift float64) []*Finding {
	f := &Finding{}
	for c := range 3 {
		v := float64(10*c) + rng.NormFloat64() // classes that differ by nature
		if c == 1 {
			v += shift
		}
		f.Classes = append(f.Classes, ClassResult{Class: c, Suspicion: v})
	}
	return []*Finding{f, {Statistic: rng.NormFloat64()}}
}

// Of clean models no more are found than is stated, and one whose class is suspicious is, and by that class.
func TestJudge(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const trials = 2000
	wrong, right := 0, 0
	for range trials {
		var twins [][]*Finding
		for range 19 {
			twins = append(twins, drawn(rng, 0))
		}
		clean, err := Judge(drawn(rng, 0), twins)
		if err != nil {
			t.Fatal(err)
		}
		if clean.P <= 0.05 {
			wrong++
		}
		planted, err := Judge(drawn(rng, 9), twins)
		if err != nil {
			t.Fatal(err)
		}
		if planted.P <= 0.05 && planted.By[0] <= 0.05 && planted.At[0] == 1 && planted.At[1] == -1 {
			right++
		}
	}
	if limit := 0.05*trials + 4*math.Sqrt(trials*0.05*0.95); float64(wrong) > limit || wrong == 0 {
		t.Errorf("%d of %d clean models are found", wrong, trials)
	}
	if right < trials*98/100 {
		t.Errorf("%d of %d suspicious classes are found", right, trials)
	}
	if _, err := Judge(drawn(rng, 0), [][]*Finding{{{}}}); err == nil {
		t.Error("a twin that other detectors looked at was taken")
	}
}

// By hand: the median is 10, the deviations' 1, and 4 is 6 below.
func TestAnomaly(t *testing.T) {
	got := anomaly([]float64{9, 10, 11, 10, 4, 12, 8})
	if want := 6 / 1.4826; math.Abs(got[4]-want) > 1e-9 || got[5] != 0 {
		t.Errorf("%v, want %g for the fifth", got, want)
	}
}
