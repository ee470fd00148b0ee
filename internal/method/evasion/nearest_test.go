package evasion_test

import (
	"context"
	"math"
	"testing"

	"assay"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/model"
)

// targeted is the exact classifier with gradients of targeted losses too, which are those of the margin.
type targeted struct{ exact }

func (e targeted) Gradient(ctx context.Context, loss model.Loss, rows []float32, labels, targets []int32, scores, losses, gradient []float32) error {
	if err := e.exact.Gradient(ctx, loss, rows, labels, targets, scores, losses, gradient); err != nil || !loss.Targeted() {
		return err
	}
	w, k := e.c.Width, len(e.c.Classes)
	for i, y := range labels {
		target := int(targets[i])
		losses[i] = scores[i*k+target] - scores[i*k+int(y)]
		for j := range w {
			gradient[i*w+j] = float32(e.c.Weights[target*w+j] - e.c.Weights[int(y)*w+j])
		}
	}
	return nil
}

// What looks for the nearest adversarial example finds it where a closed form gives its distance. Between three
// classes the nearest boundary need not be that of the class that is ahead: those that follow the class ahead alone end further
// away in some units.
func TestNearestAgainstExactDistance(t *testing.T) {
	for _, classes := range []int{2, 3} {
		c, target, inputs := clouds(120, 24, classes, 1)
		target.Gradient = targeted{exact{c}}
		for _, m := range []struct {
			method method.Method
			norm   method.Norm
			within float64    // 1 + the relative error
			shares [2]float64 // of the units, with two classes and with three
		}{
			{evasion.CarliniWagner{Steps: 1000, Searches: 9}, method.L2, 1.01, [2]float64{1, 0.8}},
			{evasion.FAB{Steps: 20, Targets: 9, Nearest: true}, method.L2, 1.01, [2]float64{1, 1}},
			{evasion.DeepFool{Steps: 50, Targets: 9}, method.L2, 1.01, [2]float64{1, 1}},
			{evasion.DeepFool{Steps: 50, Targets: 9}, method.Linf, 1.01, [2]float64{1, 1}},
			{evasion.MinimumNorm{Steps: 50, Searches: 12, Targets: 9}, method.L2, 1.01, [2]float64{1, 1}},
			{evasion.MinimumNorm{Steps: 50, Searches: 12, Targets: 9}, method.Linf, 1.01, [2]float64{1, 1}},
			{evasion.MinimumNorm{Steps: 50, Searches: 12, Targets: 9}, method.L1, 1.05, [2]float64{0.95, 0.95}},
			{evasion.RayS{Queries: 3000}, method.Linf, 1.2, [2]float64{0.95, 0.85}},
		} {
			var right []method.Input
			var limits []float64
			for _, in := range inputs {
				s := &method.Space{Domain: target.Domain, Norm: m.norm, Eps: 10, Clean: in.X}
				if limit := c.Limit(s, in.Label); c.Label(in.X) == in.Label && !math.IsInf(limit, 1) {
					right, limits = append(right, in), append(limits, limit)
				}
			}
			if len(right) < 40 {
				t.Fatalf("%d units can be broken", len(right))
			}
			name := m.method.Describe().Name
			a := method.Attacker{Access: assay.Gradients, Norm: m.norm, Eps: 10}
			if name == "rays" { // it ends within eps
				a.Eps = 0
			}
			if name == "min-norm" {
				a.Eps = map[method.Norm]float64{method.Linf: 2, method.L2: 2, method.L1: 8}[m.norm]
			}
			results, err := method.Run(context.Background(), target, a, []method.Method{m.method}, right, method.Options{Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			near, worst := 0, 0.0
			for i, r := range results {
				found := r.Methods[0].Nearest
				if found < limits[i]*(1-1e-5) {
					t.Errorf("%s %s: unit %d is broken at %v, which cannot be below %v", name, m.norm, r.Index, found, limits[i])
				}
				if found > 0 && found <= limits[i]*m.within {
					near++
				}
				worst = max(worst, found/limits[i])
			}
			t.Logf("%s %s, %d classes: %d of %d, at most %.4f of the least", name, m.norm, classes, near, len(right), worst)
			if float64(near) < m.shares[classes-2]*float64(len(right)) {
				t.Errorf("%s %s: %d of %d units within %v of the least distance", name, m.norm, near, len(right), m.within)
			}
		}
	}
}

// EAD ends near the least L1 distance, which with a strong β is what the elastic net is about, and not below it.
func TestEADAgainstExactDistance(t *testing.T) {
	c, target, inputs := clouds(30, 24, 2, 1)
	for _, b := range []struct{ beta, mean, worst float64 }{{0.01, 1.06, 1.1}, {0.1, 1.01, 1.03}} {
		a := method.Attacker{Access: assay.Gradients, Norm: method.L1, Eps: 10}
		m := evasion.EAD{Steps: 1000, Searches: 9, Beta: b.beta}
		results, err := method.Run(context.Background(), target, a, []method.Method{m}, inputs, method.Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		worst, sum, n := 0.0, 0.0, 0.0
		for i, r := range results {
			limit := c.Limit(&method.Space{Domain: target.Domain, Norm: method.L1, Eps: 10, Clean: inputs[i].X}, inputs[i].Label)
			if !r.Correct || math.IsInf(limit, 1) {
				continue
			}
			found := r.Methods[0].Distance
			if found < limit*(1-1e-5) {
				t.Errorf("unit %d is broken at %v, which cannot be below %v", r.Index, found, limit)
			}
			worst, sum, n = max(worst, found/limit), sum+found/limit, n+1
		}
		t.Logf("beta %v: of %v units %.4f of the least in the mean, %.4f at most", b.beta, n, sum/n, worst)
		if n < 20 || sum/n > b.mean || worst > b.worst {
			t.Errorf("beta %v: %v units, %v of the least in the mean, %v at most", b.beta, n, sum/n, worst)
		}
	}
}

// Where one number alone may change, all norms have the same closed form: the margin over its weight.
func TestNearestAlongOneNumber(t *testing.T) {
	c, target, inputs := clouds(48, 24, 2, 1)
	d := *target.Domain
	d.Fixed, d.Low, d.High = make([]bool, 24), make([]float32, 24), make([]float32, 24)
	weight := func(j int) float64 { return math.Abs(c.Weights[j] - c.Weights[24+j]) }
	free := 0
	for j := range 24 {
		if weight(j) > weight(free) {
			free = j
		}
	}
	for j := range 24 {
		d.Fixed[j], d.Low[j], d.High[j] = j != free, -2, 3
	}
	target.Domain = &d
	for _, m := range []struct {
		method method.Method
		norm   method.Norm
	}{
		{evasion.CarliniWagner{Steps: 1000, Searches: 9}, method.L2}, {evasion.EAD{Steps: 1000, Searches: 9, Beta: 1e-3}, method.L1},
		{evasion.DeepFool{Steps: 50, Targets: 9}, method.Linf},
	} {
		a := method.Attacker{Access: assay.Gradients, Norm: m.norm, Eps: 100}
		results, err := method.Run(context.Background(), target, a, []method.Method{m.method}, inputs, method.Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for i, r := range results {
			scores := c.Scores(inputs[i].X)
			want := math.Abs(scores[0]-scores[1]) / weight(free)
			if !r.Correct || want > 2 {
				continue
			}
			if n++; !(r.Methods[0].Distance >= want*(1-1e-5) && r.Methods[0].Distance <= want*1.01) {
				t.Errorf("%s: unit %d is broken at %v, want %v", r.Methods[0].Method, r.Index, r.Methods[0].Distance, want)
			}
		}
		if n < 15 {
			t.Errorf("%d units can be broken", n)
		}
	}
}

// Sparse-RS breaks a unit with the least number of pixels that can, and not with one less.
func TestSparseRSAgainstExactNumber(t *testing.T) {
	c, target, inputs := clouds(60, 24, 2, 1)
	d := *target.Domain
	d.Fixed, d.Image = nil, &method.Image{Channels: 2, Height: 3, Width: 4}
	target.Domain = &d
	tested, broken := 0, 0
	for k := 1; k <= 4; k++ {
		var of []method.Input
		for _, in := range inputs {
			limit := c.Limit(&method.Space{Domain: &d, Norm: method.L0, Eps: 24, Clean: in.X}, in.Label)
			if c.Label(in.X) == in.Label && math.Abs(limit-float64(k)) < 1e-6 {
				of = append(of, in)
			}
		}
		if len(of) == 0 {
			continue
		}
		for _, eps := range []int{k, k - 1} {
			a := method.Attacker{Access: assay.Scores, Norm: method.L0, Eps: float64(eps)}
			results, err := method.Run(context.Background(), target, a, []method.Method{evasion.SparseRS{Queries: 2000, Share: 0.3}}, of, method.Options{Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if eps < k && !r.Robust {
					t.Errorf("unit %d is broken with %d pixels, and needs %d", r.Index, eps, k)
				}
				if eps == k {
					if tested++; !r.Robust {
						broken++
					}
				}
			}
		}
	}
	t.Logf("%d of %d broken with the least number of pixels", broken, tested)
	if tested < 30 || broken < tested*95/100 {
		t.Errorf("%d of %d broken with the least number of pixels", broken, tested)
	}
}
