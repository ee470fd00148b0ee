package canary_test

import (
	"context"
	"testing"

	"assay/internal/method/canary"
	"assay/internal/privacy"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// A training by DP-SGD has a proven ε, which no audit of it may refute; without its noise the same training refutes it.
func TestPrivateTraining(t *testing.T) {
	const delta = 1e-5
	d := records(300)
	audit := func(seed byte, noise float64) (lower, proven float64) {
		run := func(ctx context.Context, d *train.Data) (*onnx.Model, error) {
			o := train.Options{Epochs: 100, Batch: 60, Seed: 1, Threads: 1, Optimizer: train.Optimizer{Method: train.Adam, Rate: 0.02},
				Private: &train.Private{Clip: 1, NoiseMultiplier: noise, Key: [32]byte{seed}}}
			if noise > 0 {
				var err error
				if proven, err = privacy.Epsilon(o.Mechanism(d.Len()), delta); err != nil {
					return nil, err
				}
			}
			r, err := train.Run(ctx, network.MLP(10, []int{256}, 2, 1), d, o)
			if err != nil {
				return nil, err
			}
			return r.Model, nil
		}
		r, err := canary.Run(context.Background(), d, run, canary.Options{Kind: canary.Mislabelled, Count: 300, Delta: delta, Confidence: 0.95, Seed: uint64(seed)})
		if err != nil {
			t.Fatal(err)
		}
		return r.Epsilon, proven
	}
	least := 0.0
	for seed := range byte(5) {
		lower, proven := audit(seed, 12)
		t.Logf("seed %d: ε at least %.3f, proven %.3f", seed, lower, proven)
		if lower > proven {
			t.Errorf("seed %d: ε is at least %v, and %v is proven", seed, lower, proven)
		}
		least = proven
	}
	if least > 2 {
		t.Fatalf("ε = %v is too large to be refuted", least)
	}
	if lower, _ := audit(1, 0); lower <= least {
		t.Errorf("without noise the audit finds %v only: it could not have refuted %v", lower, least)
	}
}
