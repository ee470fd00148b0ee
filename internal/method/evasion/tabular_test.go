package evasion_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"assay"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/onnx"
)

// halfPlane is a model of two classes whose second wins where weights·x > threshold.
func halfPlane(weights []float32, threshold float32) *onnx.Model {
	b := onnx.NewBuilder("half plane")
	n := len(weights)
	x := b.Input("x", onnx.Float32, "batch", n)
	both := make([]float32, 2*n)
	for i, w := range weights {
		both[2*i], both[2*i+1] = -w, w
	}
	y := b.Op("MatMul", nil, x, b.Weight(onnx.NewTensor("w", both, int64(n), 2)))
	y = b.Op("Add", nil, y, b.Weight(onnx.NewTensor("b", []float32{threshold, -threshold}, 2)))
	b.OutputAs("logits", y, onnx.Float32, onnx.Dims("batch", 2))
	return b.Model()
}

// attackHalfPlane runs methods on one unit of the first class.
func attackHalfPlane(t *testing.T, weights []float32, threshold float32, s *method.Space, methods []method.Method) []method.MethodResult {
	t.Helper()
	open, err := target.Open(context.Background(), halfPlane(weights, threshold), target.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	open.Domain = s.Domain
	results, err := method.Run(context.Background(), open.Target, method.Attacker{Access: assay.Gradients, Norm: s.Norm, Eps: s.Eps, Groups: s.Groups},
		methods, []method.Input{{X: s.Clean, Label: 0}}, method.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if !results[0].Correct {
		t.Fatal("the unit is not of the first class")
	}
	return results[0].Methods
}

// TestCostsAndDirectionsOnLinear: of linear models the dearest change that is needed is known: by a budget just above it the
// methods get through, by one just below they do not; nor do they where a feature would have to go the other way.
func TestCostsAndDirectionsOnLinear(t *testing.T) {
	methods := evasion.CAA(40, 2, 2000, 5)
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 4))
		const n = 4
		d := &method.Domain{Low: make([]float32, n), High: make([]float32, n), Scale: []float32{1, 1, 1, 1}, Cost: make([]float64, n), Monotone: make([]method.Monotone, n)}
		clean, weights := make([]float32, n), make([]float32, n)
		top, best := 0, 0.0
		for i := range n {
			d.Low[i], d.High[i], d.Cost[i], weights[i] = -100, 100, 0.5+2*r.Float64(), float32(r.NormFloat64())
			d.Monotone[i] = method.Monotone(r.IntN(3) - 1)
			able := d.Monotone[i] == 0 || (weights[i] > 0) == (d.Monotone[i] == method.Up)
			if gain := float64(max(weights[i], -weights[i])) / d.Cost[i]; able && gain > best {
				top, best = i, gain
			}
		}
		if best == 0 {
			continue
		}
		need := 3 * best // reached by a budget of 3, all of it spent on one feature
		for _, c := range []struct {
			budget float64
			broken bool
		}{{3.1, true}, {2.9, false}} {
			s := &method.Space{Domain: d, Norm: method.Cost, Eps: c.budget, Clean: clean}
			for _, m := range attackHalfPlane(t, weights, float32(need), s, methods) {
				if m.Success != c.broken && !(c.broken && m.Method == "beam") || m.Success && m.Distance > c.budget {
					t.Errorf("seed %d, budget %g: %+v; the best feature is %d", seed, c.budget, m, top)
				}
			}
		}
		// The other way for all that would help.
		for i := range d.Monotone {
			d.Monotone[i] = method.Up
			if weights[i] > 0 {
				d.Monotone[i] = method.Down
			}
		}
		s := &method.Space{Domain: d, Norm: method.Linf, Eps: 50, Clean: clean}
		for _, m := range attackHalfPlane(t, weights, float32(need), s, methods) {
			if m.Success {
				t.Errorf("seed %d: %s gets through where every feature that helps is barred", seed, m.Method)
			}
		}
	}
}

// TestRepairGetsThrough: where a feature may not exceed another, Auto-PGD by itself is held where the input is, and CAPGD
// moves both; a beam does so too, with scores alone.
func TestRepairGetsThrough(t *testing.T) {
	d := &method.Domain{Low: []float32{0, 0, 0}, High: []float32{9, 9, 9}, Scale: []float32{1, 1, 1}}
	d.Relations = []method.Relation{{Of: []int{0, 1}, Weights: []float64{1, -1}, Bound: 0}} // x0 <= x1
	s := &method.Space{Domain: d, Norm: method.Linf, Eps: 2, Clean: []float32{4, 4, 4}}
	methods := append([]method.Method{evasion.APGD{Steps: 40, Restarts: 1, Loss: model.Margin}}, evasion.CAA(40, 1, 500, 5)...)
	// x0 − 0.2·x1: at the input 3.2, at most 4.4 where x0 = x1 = 5.5 or more
	for _, m := range attackHalfPlane(t, []float32{1, -0.2, 0}, 4.5, s, methods) {
		if m.Success != (m.Method != "apgd-margin") {
			t.Errorf("%+v", m)
		}
	}
}

// TestBeamInCategories: a change of category alone, which no norm counts and no small step reaches.
func TestBeamInCategories(t *testing.T) {
	d := &method.Domain{Low: make([]float32, 5), High: []float32{1, 1, 1, 1, 1}, Scale: []float32{1, 1, 1, 1, 1}, Groups: []method.Group{{Start: 0, End: 3}, {Start: 3, End: 5}}}
	s := &method.Space{Domain: d, Norm: method.Linf, Groups: 2, Clean: []float32{1, 0, 0, 1, 0}}
	beam := []method.Method{evasion.Beam{Queries: 100, Width: 3}}
	for groups, broken := range map[int]bool{1: false, 2: true} {
		s.Groups = groups
		if got := attackHalfPlane(t, []float32{0, -1, 1, 0, 1}, 1.5, s, beam)[0]; got.Success != broken {
			t.Errorf("%d groups may change: %+v", groups, got)
		}
	}
	s.Groups = 0
	if got := attackHalfPlane(t, []float32{0, -1, 1, 0, 1}, 1.5, s, beam)[0]; got.Success || got.Queries > 100 {
		t.Errorf("nothing may change: %+v", got)
	}
}
