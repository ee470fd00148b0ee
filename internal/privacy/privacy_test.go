package privacy

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// The ε that others publish for their own accountants.
func TestPublishedByRDP(t *testing.T) {
	for _, c := range []struct {
		what string
		Mechanism
		want float64
	}{
		// Opacus 1.5, accountants_test.py, test_rdp_accountant.
		{"Opacus", Mechanism{0.04, 1.5, 2250}, 7.32911117143},
		// The same file, test_get_noise_multiplier_rdp_steps: the noise for ε = 8.
		{"Opacus, noise", Mechanism{0.04, 1.3562, 2000}, 8},
	} {
		got, _, err := EpsilonByRDP(c.Mechanism, 1e-5)
		if err != nil || math.Abs(got/c.want-1) > 1e-3 {
			t.Errorf("%s: %v, published is %v (%v)", c.what, got, c.want, err)
		}
	}
}

// Abadi et al. 2016, section 3.2 and figure 2: q = 0.01, σ = 4, 100 epochs give ε = 1.26 at
// δ = 1e-5, by the moments accountant, whose conversion is that of Mironov 2017, Proposition 3.
func TestMomentsAccountant(t *testing.T) {
	for _, c := range []struct {
		Mechanism
		delta, want, tolerance float64
	}{
		{Mechanism{0.01, 4, 10000}, 1e-5, 1.26, 0.005},
		// TensorFlow Privacy's MNIST tutorial: batches of 256 of 60,000, 60 epochs, σ = 1.12.
		{Mechanism{256. / 60000, 1.12, 60 * 60000 / 256}, 1e-5, 2.95, 0.01},
	} {
		best := math.Inf(1)
		for a := 1.1; a < 64; a += 0.1 {
			best = min(best, c.RDP(a)+math.Log(1/c.delta)/(a-1))
		}
		if math.Abs(best/c.want-1) > c.tolerance {
			t.Errorf("%+v: ε = %.4f, published is %v", c.Mechanism, best, c.want)
		}
		tight, err := Epsilon(c.Mechanism, c.delta)
		if err != nil || !(tight < best && tight > best/2) {
			t.Errorf("%+v: the tight ε is %.4f, and the loose one %.4f (%v)", c.Mechanism, tight, best, err)
		}
	}
}

// The value that Opacus tests its PRV accountant with (Gopi et al. 2021).
func TestPublishedTight(t *testing.T) {
	got, err := Epsilon(Mechanism{0.04, 1.5, 2250}, 1e-5)
	if err != nil || math.Abs(got/6.777395712150674-1) > 0.01 {
		t.Errorf("%v, published is 6.7774 (%v)", got, err)
	}
}

// gaussian is δ at ε of the Gaussian mechanism of sensitivity 1 (Balle and Wang 2018, Theorem 8).
func gaussian(sigma, epsilon float64) float64 {
	cdf := distuv.UnitNormal.CDF
	return cdf(1/(2*sigma)-epsilon*sigma) - math.Exp(epsilon)*cdf(-1/(2*sigma)-epsilon*sigma)
}

// Steps without sampling are one Gaussian mechanism with less noise.
func TestGaussianClosedForm(t *testing.T) {
	for _, c := range []struct {
		sigma float64
		steps int
	}{{1, 1}, {5, 1}, {10, 100}, {100, 10000}, {3, 7}} {
		for _, epsilon := range []float64{0.1, 0.5, 1, 2, 4} {
			want := gaussian(c.sigma/math.Sqrt(float64(c.steps)), epsilon)
			if want < 1e-9 {
				continue
			}
			got, err := Delta(Mechanism{1, c.sigma, c.steps}, epsilon)
			if err != nil || got < want*(1-1e-9) || got > want*1.002+1e-11 {
				t.Errorf("σ %v, %d steps, ε %v: δ %v, in closed form %v (%v)", c.sigma, c.steps, epsilon, got, want, err)
			}
			back, err := Epsilon(Mechanism{1, c.sigma, c.steps}, want)
			if err != nil || math.Abs(back-epsilon) > 1e-3*epsilon {
				t.Errorf("σ %v, %d steps: ε %v where %v was put in (%v)", c.sigma, c.steps, back, epsilon, err)
			}
		}
	}
}

// Of one step with sampling the divergence is an integral in closed form, in both directions.
func TestOneStepClosedForm(t *testing.T) {
	cdf := distuv.UnitNormal.CDF
	for _, m := range []Mechanism{{0.5, 1, 1}, {0.01, 0.7, 1}, {0.1, 2, 1}, {0.004, 1.1, 1}} {
		s, q := m.NoiseMultiplier, m.SampleRate
		for _, epsilon := range []float64{0.01, 0.1, 0.3, 1} {
			removing := 0.0
			if x := output(epsilon, q, s); !math.IsInf(x, 0) {
				removing = q*(1-cdf((x-1)/s)) + (1-q)*(1-cdf(x/s)) - math.Exp(epsilon)*(1-cdf(x/s))
			}
			adding := 0.0
			if x := output(-epsilon, q, s); !math.IsInf(x, 0) {
				adding = cdf(x/s) - math.Exp(epsilon)*(q*cdf((x-1)/s)+(1-q)*cdf(x/s))
			}
			want := max(removing, adding)
			got, err := Delta(m, epsilon)
			if err != nil || got < want*(1-1e-7) || got > want*1.002+1e-11 {
				t.Errorf("%+v, ε %v: δ %v, in closed form %v (%v)", m, epsilon, got, want, err)
			}
		}
	}
}

// What is proven tightly is never more than what Rényi's divergence proves, more noise or fewer
// steps never cost privacy, and the noise asked for gives the ε asked for.
func TestOrder(t *testing.T) {
	last := math.Inf(1)
	for _, noise := range []float64{0.5, 0.7, 1, 1.5, 3, 10} {
		m := Mechanism{0.02, noise, 1000}
		tight, err := Epsilon(m, 1e-5)
		if err != nil {
			t.Fatal(err)
		}
		loose, _, err := EpsilonByRDP(m, 1e-5)
		if err != nil || tight > loose || tight >= last {
			t.Errorf("%+v: tight %v, loose %v, with less noise %v (%v)", m, tight, loose, last, err)
		}
		fewer, err := Epsilon(Mechanism{0.02, noise, 500}, 1e-5)
		if err != nil || fewer >= tight {
			t.Errorf("%+v: %v, with half the steps %v (%v)", m, tight, fewer, err)
		}
		last = tight
	}
	noise, err := NoiseFor(0.02, 1000, 3, 1e-5)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Epsilon(Mechanism{0.02, noise, 1000}, 1e-5); err != nil || got > 3 || got < 2.99 {
		t.Errorf("noise %v for ε 3 gives %v (%v)", noise, got, err)
	}
}

func TestRefuses(t *testing.T) {
	for _, m := range []Mechanism{{0, 1, 1}, {1.1, 1, 1}, {math.NaN(), 1, 1}, {0.1, 0, 1}, {0.1, math.Inf(1), 1}, {0.1, 1, 0}} {
		if _, err := Epsilon(m, 1e-5); err == nil {
			t.Errorf("%+v was accepted", m)
		}
		if _, err := Delta(m, 1); err == nil {
			t.Errorf("%+v was accepted", m)
		}
	}
	good := Mechanism{0.1, 1, 1}
	for _, delta := range []float64{0, 1, -1, math.NaN()} {
		if _, err := Epsilon(good, delta); err == nil {
			t.Errorf("a delta of %v was accepted", delta)
		}
		if _, _, err := EpsilonByRDP(good, delta); err == nil {
			t.Errorf("a delta of %v was accepted", delta)
		}
	}
	if _, err := NoiseFor(1, 1e9, 1e-3, 1e-5); err == nil {
		t.Error("no noise suffices, and none was refused")
	}
}
