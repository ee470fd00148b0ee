package privacy

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// Without sampling, a group of k in T steps is one test between two normal distributions k·√T/σ apart.
func TestInfluenceOfGaussian(t *testing.T) {
	unit := distuv.UnitNormal
	for _, c := range []struct {
		sigma          float64
		steps, records int
	}{{5, 1, 1}, {5, 1, 7}, {20, 100, 3}, {100, 1000, 1}} {
		for _, rate := range []float64{0.001, 0.01, 0.1, 0.5, 0.9} {
			want := unit.CDF(unit.Quantile(rate) + float64(c.records)*math.Sqrt(float64(c.steps))/c.sigma)
			got, err := Influence(Mechanism{1, c.sigma, c.steps}, c.records, rate)
			if err != nil || got < want*(1-1e-9) || got > want*1.002+1e-5 {
				t.Errorf("%+v, rate %v: %v, in closed form %v (%v)", c, rate, got, want, err)
			}
		}
	}
}

// In one step with sampling the strongest test asks whether the output is above a threshold.
func TestInfluenceOfOneStep(t *testing.T) {
	unit := distuv.UnitNormal
	for _, c := range []struct {
		q, s    float64
		records int
	}{{0.5, 1, 1}, {0.5, 1, 4}, {0.1, 0.8, 3}, {0.01, 2, 20}} {
		l, err := Mechanism{c.q, c.s, 1}.group(c.records).compose(removed, influencePrecision)
		if err != nil {
			t.Fatal(err)
		}
		for _, threshold := range []float64{-1, 0, 1, 2, 4} {
			rate, want := unit.Survival(threshold/c.s), 0.0
			for j := range c.records + 1 {
				b := distuv.Binomial{N: float64(c.records), P: c.q}
				want += b.Prob(float64(j)) * unit.Survival((threshold-float64(j))/c.s)
			}
			if got := l.most(rate); got < want*(1-1e-9) || got > want*1.002+1e-5 {
				t.Errorf("%+v, rate %v: %v, in closed form %v", c, rate, got, want)
			}
		}
	}
}

// More records, a higher rate, less noise: each gains more; and never more than ε and δ of one record, applied k times, allow.
func TestInfluenceOrder(t *testing.T) {
	m := Mechanism{0.02, 1.2, 300}
	const delta = 1e-5
	epsilon, err := Epsilon(m, delta)
	if err != nil {
		t.Fatal(err)
	}
	last, loose := 0.01, 0.01
	for records := 1; records <= 5; records++ {
		got, err := Influence(m, records, 0.01)
		loose = math.Exp(epsilon)*loose + delta
		if err != nil || got <= last || got > loose+1e-6 {
			t.Errorf("%d records: %v; by one fewer %v, by the group's ε %v (%v)", records, got, last, loose, err)
		}
		higher, _ := Influence(m, records, 0.05)
		noisier, _ := Influence(Mechanism{0.02, 2, 300}, records, 0.01)
		if higher <= got || noisier >= got {
			t.Errorf("%d records: %v, at a higher rate %v and under more noise %v", records, got, higher, noisier)
		}
		last = got
	}
	if got, err := Influence(m, 0, 0.25); err != nil || got != 0.25 {
		t.Errorf("no records: %v (%v)", got, err)
	}
}

// A group's ratio and its inverse are those of one record where it is one, and each other's inverse where it is more.
func TestGroupOutput(t *testing.T) {
	for _, m := range []Mechanism{{0.3, 1, 1}, {0.001, 0.5, 1}, {1, 2, 1}} {
		one := m.group(1)
		for x := -5.0; x < 8; x += 0.37 {
			if got, _ := one.slope(x); math.Abs(got-logRatio(x, m.SampleRate, m.NoiseMultiplier)) > 1e-12*max(1, math.Abs(got)) {
				t.Errorf("%+v at %v: %v", m, x, got)
			}
			g := m.group(6)
			at, rise := g.slope(x)
			if back := g.output(at); math.Abs(back-x) > 1e-9+1e-13/rise {
				t.Errorf("%+v: %v gives %v, and that %v", m, x, at, back)
			}
		}
	}
}

func TestInfluenceRefuses(t *testing.T) {
	good := Mechanism{0.1, 1, 1}
	for _, c := range []struct {
		m       Mechanism
		records int
		rate    float64
	}{{good, -1, 0.1}, {good, MostRecords + 1, 0.1}, {good, 1, -0.1}, {good, 1, 1.1}, {good, 1, math.NaN()}, {Mechanism{}, 1, 0.1}} {
		if got, err := Influence(c.m, c.records, c.rate); err == nil {
			t.Errorf("%+v was accepted: %v", c, got)
		}
	}
}
