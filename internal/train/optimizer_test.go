package train

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// steps runs an optimizer on one weight that starts at 1, with the given gradients.
func steps(t *testing.T, o Optimizer, decays bool, grads ...float32) []float32 {
	t.Helper()
	o, err := o.complete()
	if err != nil {
		t.Fatal(err)
	}
	w, s := []float32{1}, o.newState(1)
	var out []float32
	for _, g := range grads {
		o.step(s, w, []float32{g}, []segment{{0, 1, decays}}, o.Rate)
		out = append(out, w[0])
	}
	return out
}

func TestOptimizersByHand(t *testing.T) {
	for name, c := range map[string]struct {
		o      Optimizer
		decays bool
		grads  []float32
		want   []float64
	}{
		"sgd": {Optimizer{Method: SGD, Rate: 0.1}, true, []float32{1, -2}, []float64{0.9, 1.1}},
		// v: 1, then 0.5·1+1
		"momentum": {Optimizer{Method: SGD, Rate: 0.1, Momentum: 0.5}, true, []float32{1, 1}, []float64{0.9, 0.75}},
		// 1+0.5·1, then 1+0.5·1.5
		"nesterov": {Optimizer{Method: SGD, Rate: 0.1, Momentum: 0.5, Nesterov: true}, true, []float32{1, 1}, []float64{0.85, 0.675}},
		// 1+0.5·1, then 1+0.5·0.85
		"decay":              {Optimizer{Method: SGD, Rate: 0.1, Decay: 0.5}, true, []float32{1, 1}, []float64{0.85, 0.7075}},
		"decay of a bias":    {Optimizer{Method: SGD, Rate: 0.1, Decay: 0.5}, false, []float32{1, 1}, []float64{0.9, 0.8}},
		"decay of all":       {Optimizer{Method: SGD, Rate: 0.1, Decay: 0.5, DecayAll: true}, false, []float32{1}, []float64{0.85}},
		"adam, same sign":    {Optimizer{Rate: 0.1}, true, []float32{3, 3, 3}, []float64{0.9, 0.8, 0.7}}, // corrected means are g and g²
		"adam, two signs":    {Optimizer{Rate: 0.1, Beta1: 0.5, Beta2: 0.5}, true, []float32{1, -1}, []float64{0.9, 0.9 + 0.1/3}},
		"adam with decay":    {Optimizer{Rate: 0.1, Decay: 1}, true, []float32{-1}, []float64{1}}, // gradient and decay cancel
		"adamw":              {Optimizer{Method: AdamW, Rate: 0.1, Decay: 0.5}, true, []float32{-1}, []float64{0.95 + 0.1}},
		"adamw of a bias":    {Optimizer{Method: AdamW, Rate: 0.1, Decay: 0.5}, false, []float32{-1}, []float64{1.1}},
		"adamw, no gradient": {Optimizer{Method: AdamW, Rate: 0.1, Decay: 0.5}, true, []float32{0, 0}, []float64{0.95, 0.9025}},
	} {
		for i, got := range steps(t, c.o, c.decays, c.grads...) {
			if math.Abs(float64(got)-c.want[i]) > 1e-6 {
				t.Errorf("%s: the weight is %v after step %d, want %v", name, got, i+1, c.want[i])
			}
		}
	}
}

// TestAdamReference compares many steps with algorithm 1 of the paper in float64.
func TestAdamReference(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	var grads []float32
	for range 200 {
		grads = append(grads, float32(r.NormFloat64()))
	}
	got := steps(t, Optimizer{Rate: 0.01}, false, grads...)
	w, m, v := 1.0, 0.0, 0.0
	for i, g32 := range grads {
		g := float64(g32)
		m, v = 0.9*m+0.1*g, 0.999*v+0.001*g*g
		w -= 0.01 * (m / (1 - math.Pow(0.9, float64(i+1)))) / (math.Sqrt(v/(1-math.Pow(0.999, float64(i+1)))) + 1e-8)
		if math.Abs(float64(got[i])-w) > 1e-5 {
			t.Fatalf("the weight is %v after step %d, want %v", got[i], i+1, w)
		}
	}
}

// TestWorkersAgree: many weights, on several processors, move as each by itself.
func TestWorkersAgree(t *testing.T) {
	const n = 3*parallelWeights + 17
	r := rand.New(rand.NewPCG(1, 0))
	weights, grads := make([]float32, n), make([]float32, n)
	for i := range n {
		weights[i], grads[i] = float32(r.NormFloat64()), float32(r.NormFloat64())
	}
	segments := []segment{{0, 5, true}, {5, parallelWeights + 1, false}, {parallelWeights + 1, n, true}}
	for _, o := range []Optimizer{{Method: SGD, Momentum: 0.9, Decay: 0.1}, {Method: AdamW, Decay: 0.1}} {
		o, err := o.complete()
		if err != nil {
			t.Fatal(err)
		}
		together, alone := slices.Clone(weights), slices.Clone(weights)
		o.step(o.newState(n), together, grads, segments, 0.1)
		for _, s := range segments {
			for from := s.start; from < s.end; from += parallelWeights - 1 {
				to := min(from+parallelWeights-1, s.end)
				o.step(o.newState(to-from), alone[from:to], grads[from:to], []segment{{0, to - from, s.decay}}, 0.1)
			}
		}
		if !slices.Equal(together, alone) {
			t.Errorf("%s: weights move otherwise together than alone", o.Method)
		}
	}
}

func TestSchedules(t *testing.T) {
	for name, c := range map[string]struct {
		s    Schedule
		want map[int]float64 // by step, of 100
	}{
		"none":     {Schedule{}, map[int]float64{0: 1, 99: 1}},
		"constant": {Schedule{Kind: Constant, Warmup: 0.1}, map[int]float64{0: 0.1, 4: 0.5, 9: 1, 99: 1}},
		"step":     {Schedule{Kind: StepDown}, map[int]float64{0: 1, 49: 1, 50: 0.1, 75: 0.01, 99: 0.01}},
		"drops":    {Schedule{Kind: StepDown, Drops: []float64{0.9}, Factor: 0.5}, map[int]float64{89: 1, 90: 0.5}},
		"cosine":   {Schedule{Kind: Cosine}, map[int]float64{0: 1, 50: 0.5, 100: 0}},
		"warm-up":  {Schedule{Kind: Cosine, Warmup: 0.2}, map[int]float64{0: 0.05, 19: 1, 20: 1, 60: 0.5, 100: 0}},
		"cycle":    {Schedule{Kind: OneCycle, Warmup: 0.5}, map[int]float64{0: 0.04, 25: 0.52, 50: 1, 75: 0.500002, 100: 4e-6}},
	} {
		for step, want := range c.want {
			if got := c.s.At(step, 100); math.Abs(got-want) > 1e-9 {
				t.Errorf("%s: the rate is %v at step %d of 100, want %v", name, got, step, want)
			}
		}
	}
}
