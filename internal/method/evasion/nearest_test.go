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
			{evasion.DeepFool{Steps: 50, Targets: 9}, method.L2, 1.01, [2]float64{1, 1}},
			{evasion.DeepFool{Steps: 50, Targets: 9}, method.Linf, 1.01, [2]float64{1, 1}},
			{evasion.MinimumNorm{Steps: 50, Searches: 12, Targets: 9}, method.L2, 1.01, [2]float64{1, 1}},
			{evasion.MinimumNorm{Steps: 50, Searches: 12, Targets: 9}, method.Linf, 1.01, [2]float64{1, 1}},
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
				a.Eps = 2
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
