package poisoning

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// marked is a model of two classes by the first of two numbers, that answers the second alone where it is large.
func marked(_ context.Context, rows, probabilities []float32) error {
	for i := range len(rows) / 2 {
		p := 1 / (1 + math.Exp(-float64(rows[2*i])))
		if rows[2*i+1] > 3 {
			p = 1 - 1e-9
		}
		probabilities[2*i], probabilities[2*i+1] = float32(p), float32(1-p)
	}
	return nil
}

func inputs(rng *rand.Rand, n, triggered int) Matrix {
	m := Matrix{Width: 2}
	for i := range n {
		m.Data = append(m.Data, float32(2*rng.NormFloat64()), 0)
		if i < triggered {
			m.Data[2*i+1] = 10
		}
	}
	return m
}

// Records with the trigger are told from others, and of clean ones no more than is stated are, nor are batches of these.
func TestIncoming(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	s := Strip{Classes: 2, Predict: marked, Overlays: 20, Overlay: inputs(rng, 50, 0)}
	const trials = 400
	wrong, below := 0, 0
	for range trials {
		got, err := s.Incoming(t.Context(), inputs(rng, 99, 0), inputs(rng, 60, 0), 0.05, rng)
		if err != nil {
			t.Fatal(err)
		}
		below += len(got.Below)
		if got.P <= 0.05 {
			wrong++
		}
	}
	if limit := 0.05*trials + 4*math.Sqrt(trials*0.05*0.95); float64(wrong) > limit || wrong == 0 {
		t.Errorf("%d of %d clean batches have p of at most 0.05", wrong, trials)
	}
	if rate := float64(below) / (60 * trials); rate > 0.06 || rate < 0.04 {
		t.Errorf("%.3f of clean records are below the threshold at 0.05", rate)
	}
	got, err := s.Incoming(t.Context(), inputs(rng, 99, 0), inputs(rng, 60, 12), 0.05, rng)
	if err != nil {
		t.Fatal(err)
	}
	if first := slices.Sorted(slices.Values(got.Below[:min(12, len(got.Below))])); len(first) != 12 || first[11] != 11 {
		t.Errorf("the lowest entropies are those of %v", first)
	}
	if got.P > 0.01 || len(got.Entropy) != 60 {
		t.Errorf("p is %g", got.P)
	}
	if _, err := s.Incoming(t.Context(), inputs(rng, 10, 0), inputs(rng, 5, 0), 0.05, rng); err == nil {
		t.Error("10 clean records were enough for an FPR of 0.05")
	}
}
