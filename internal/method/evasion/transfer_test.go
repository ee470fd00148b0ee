package evasion_test

import (
	"context"
	"math"
	"reflect"
	"strings"
	"testing"

	"assay"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/model"
)

// turned is a surrogate whose gradients lead away from what they should lead to.
type turned struct{ exact }

func (s turned) Gradient(ctx context.Context, loss model.Loss, rows []float32, labels, targets []int32, scores, losses, gradient []float32) error {
	err := s.exact.Gradient(ctx, loss, rows, labels, targets, scores, losses, gradient)
	for i := range gradient {
		gradient[i] = -gradient[i]
	}
	return err
}

// A surrogate that is the target itself transfers as far as the exact answer goes, with labels alone; one that leads
// the wrong way breaks next to nothing; and nobody breaks what cannot be broken.
func TestTransferAgainstExactAnswer(t *testing.T) {
	c, target, inputs := clouds(120, 24, 2, 3)
	surrogate := target.Model.(exact)
	target.Gradient = nil
	for _, norm := range method.Norms() {
		run := func(eps float64, surrogates ...model.Differentiable) (broken, breakable int) {
			a := method.Attacker{Access: assay.Labels, Norm: norm, Eps: eps}
			m := evasion.Transfer{Surrogates: surrogates, Steps: 20, Restarts: 3}
			results, err := method.Run(context.Background(), target, a, []method.Method{m}, inputs, method.Options{Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range results {
				limit := c.Limit(&method.Space{Domain: target.Domain, Norm: norm, Eps: 10, Clean: inputs[i].X}, inputs[i].Label)
				if !r.Correct {
					continue
				}
				if limit*1.05 < eps {
					breakable++
				}
				if !r.Robust {
					broken++
				}
				if !r.Robust && limit > eps*1.001 {
					t.Errorf("%s: unit %d cannot be broken at %v, and was", norm, i, eps)
				}
			}
			return broken, breakable
		}
		var limits []float64
		for _, in := range inputs {
			if limit := c.Limit(&method.Space{Domain: target.Domain, Norm: norm, Eps: 10, Clean: in.X}, in.Label); c.Label(in.X) == in.Label && !math.IsInf(limit, 1) {
				limits = append(limits, limit)
			}
		}
		eps := 0.0
		for _, l := range limits {
			eps += 1.2 * l / float64(len(limits))
		}
		broken, breakable := run(eps, surrogate)
		if breakable < 30 || broken < breakable {
			t.Errorf("%s: %d broken of %d that can be", norm, broken, breakable)
		}
		if both, _ := run(eps, surrogate, surrogate); both < breakable {
			t.Errorf("%s: two surrogates break %d of %d", norm, both, breakable)
		}
		if wrong, _ := run(eps, turned{surrogate}); 4*wrong > broken {
			t.Errorf("%s: a surrogate that leads away breaks %d, a true one %d", norm, wrong, broken)
		}
		if none, _ := run(0, surrogate); none != 0 {
			t.Errorf("%s: %d broken at eps 0", norm, none)
		}
	}
}

// Results do not depend on how many units run side by side, the target is asked with labels alone, and as often as said.
func TestTransferIsDeterministic(t *testing.T) {
	_, target, inputs := clouds(30, 12, 3, 4)
	s := target.Gradient
	target.Gradient = nil
	m := evasion.Transfer{Surrogates: []model.Differentiable{s}, Steps: 8, Restarts: 2}
	var first []method.Result
	for _, lanes := range []int{1, 7} {
		a := method.Attacker{Access: assay.Labels, Norm: method.Linf, Eps: 0.03}
		results, err := method.Run(context.Background(), target, a, []method.Method{m}, inputs, method.Options{Seed: 5, Lanes: lanes})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = results
		} else if !reflect.DeepEqual(first, results) {
			t.Errorf("%d lanes gave other results", lanes)
		}
		for _, r := range results {
			for _, found := range r.Methods {
				if !found.Success && found.Queries != 2*4*2 {
					t.Errorf("%d queries of a unit that held, 2 losses at 4 looks of 2 starts are 16", found.Queries)
				}
			}
		}
	}
	a := method.Attacker{Access: assay.Labels, Norm: method.Linf, Eps: 0.1}
	_, err := method.Run(context.Background(), target, a, []method.Method{evasion.Transfer{Steps: 1, Restarts: 1}}, inputs, method.Options{})
	if err == nil || !strings.Contains(err.Error(), "needs a surrogate") {
		t.Error(err)
	}
}
