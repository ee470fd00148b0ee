package train_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx/autodiff"
)

// Labels that are flipped cost plain training more than training by the generalised cross-entropy, which costs nothing
// where none are. The limits leave room around what was measured (see the log).
func TestGeneralisedCrossEntropyUnderLabelNoise(t *testing.T) {
	training, held := digits(t)
	training.Shape, held.Shape = []int{64}, []int{64}
	accuracy := map[string]float64{}
	for _, rate := range []float64{0, 0.2, 0.4} {
		noisy := *training
		noisy.Classes = flipped(training.Classes, rate)
		for name, loss := range map[string]autodiff.Loss{"plain": autodiff.CrossEntropy, "gce": autodiff.GeneralisedCrossEntropy(0.7)} {
			m, err := train.Standardize(network.MLP(64, []int{64, 32}, 10, 1), &noisy)
			if err != nil {
				t.Fatal(err)
			}
			r := run(t, m, &noisy, train.Options{Loss: loss, Epochs: 60, Batch: 64, Seed: 1,
				Optimizer: train.Optimizer{Method: train.AdamW, Rate: 0.003, Decay: 0.01}, Schedule: train.Schedule{Kind: train.OneCycle}})
			score, err := train.Evaluate(context.Background(), r.Model, held, train.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s with %.0f %% flipped: accuracy %.4f on %d examples held out", name, 100*rate, score.Accuracy, held.Len())
			accuracy[fmt.Sprint(name, rate)] = score.Accuracy
		}
	}
	for _, c := range []struct {
		rate, gain float64
	}{{0, -0.01}, {0.2, 0.05}, {0.4, 0.1}} {
		plain, robust := accuracy[fmt.Sprint("plain", c.rate)], accuracy[fmt.Sprint("gce", c.rate)]
		if robust < plain+c.gain {
			t.Errorf("%.0f %% flipped: %.4f, and %.4f by plain training", 100*c.rate, robust, plain)
		}
	}
}

// flipped gives a part of the labels another of ten classes, drawn uniformly.
func flipped(labels []int32, rate float64) []int32 {
	out := slices.Clone(labels)
	rng := rand.New(rand.NewPCG(7, 7))
	for _, i := range rng.Perm(len(out))[:int(rate*float64(len(out)))] {
		out[i] = (out[i] + 1 + int32(rng.IntN(9))) % 10
	}
	return out
}
