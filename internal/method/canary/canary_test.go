package canary_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"assay/internal/method/canary"
	"assay/internal/privacy"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// records of two classes, that a line tells apart.
func records(n int) *train.Data {
	rng := rand.New(rand.NewPCG(1, 2))
	d := &train.Data{Shape: []int{10}}
	for range n {
		sum := 0.0
		for range 10 {
			x := rng.NormFloat64()
			sum += x
			d.X = append(d.X, float32(x))
		}
		y := int32(0)
		if sum > 0 {
			y = 1
		}
		d.Classes = append(d.Classes, y)
	}
	return d
}

func trained(hidden, epochs int) canary.Train {
	return func(ctx context.Context, d *train.Data) (*onnx.Model, error) {
		r, err := train.Run(ctx, network.MLP(10, []int{hidden}, 2, 1), d, train.Options{Epochs: epochs, Batch: 32, Seed: 1, Threads: 1,
			Optimizer: train.Optimizer{Method: train.Adam, Rate: 0.01}})
		if err != nil {
			return nil, err
		}
		return r.Model, nil
	}
}

// A training that learns canaries by heart refutes a small ε; one that is over before it has learnt anything does not.
func TestTraining(t *testing.T) {
	d := records(400)
	before := slices.Clone(d.X)
	for _, kind := range canary.Kinds() {
		o := canary.Options{Kind: kind, Count: 400, Delta: 1e-5, Claimed: 0.5, Confidence: 0.95, Seed: 3}
		heart, err := canary.Run(context.Background(), d, trained(256, 150), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", heart)
		if !heart.Refuted || heart.Exposure.Mean < 2 || heart.Inserted < 160 || heart.Inserted > 240 {
			t.Errorf("%s by heart: %+v", kind, heart)
		}
		little, err := canary.Run(context.Background(), d, trained(2, 1), o)
		if err != nil || little.Refuted || little.Epsilon > 0.5 || little.Exposure.Mean > 2 {
			t.Errorf("%s hardly trained: %+v (%v)", kind, little, err)
		}
	}
	if !slices.Equal(before, d.X) || d.Len() != 400 {
		t.Error("the data were changed")
	}
}

// The Gaussian mechanism on a sum has a proven ε: each canary is an axis of its own, and what is released is its coin and noise. Over
// 20 seeds the lower bound is never above it, and the strongest of them proves a good part.
func TestBelowProven(t *testing.T) {
	for _, noise := range []float64{0.5, 1, 2} {
		const delta = 1e-5
		proven, err := privacy.Epsilon(privacy.Mechanism{SampleRate: 1, NoiseMultiplier: noise, Steps: 1}, delta)
		if err != nil {
			t.Fatal(err)
		}
		best := 0.0
		for seed := range uint64(20) {
			rng := rand.New(rand.NewPCG(seed, 5))
			scores, in := make([]float64, 1000), make([]bool, 1000)
			for i := range in {
				if in[i] = rng.IntN(2) == 0; in[i] {
					scores[i] = 1
				}
				scores[i] += noise * rng.NormFloat64()
			}
			r, err := canary.Judge(scores, in, canary.Options{Delta: delta, Claimed: proven, Confidence: 0.95})
			if err != nil {
				t.Fatal(err)
			}
			if r.Refuted || r.Epsilon > proven {
				t.Errorf("noise %v, seed %d: ε ≥ %.3f, where %.3f is proven", noise, seed, r.Epsilon, proven)
			}
			best = max(best, r.Epsilon)
		}
		t.Logf("noise %v: ε = %.3f is proven, and up to %.3f is shown", noise, proven, best)
		if best < proven/8 {
			t.Errorf("noise %v: ε = %.3f is proven, and no more than %.3f is shown", noise, proven, best)
		}
	}
}

// Without any memory the mean exposure is near log2(e); where all inserted come first it is the most that can be.
func TestExposure(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	scores, in := make([]float64, 4000), make([]bool, 4000)
	for i := range in {
		scores[i], in[i] = rng.Float64(), rng.IntN(2) == 0
	}
	o := canary.Options{Confidence: 0.95}
	chance, err := canary.Judge(scores, in, o)
	if err != nil || math.Abs(chance.Exposure.Mean-math.Log2E) > 0.15 || chance.Epsilon > 0.3 {
		t.Errorf("by chance: %+v (%v)", chance, err)
	}
	for i := range in {
		if in[i] {
			scores[i]++
		}
	}
	all, err := canary.Judge(scores, in, o)
	if want := math.Log2(float64(4000 - all.Inserted + 1)); err != nil || math.Abs(all.Exposure.Mean-want) > 1e-9 || all.Exposure.Most != all.Exposure.Largest {
		t.Errorf("all first: %+v, and %v is the most (%v)", all, want, err)
	}
}

func TestRefuses(t *testing.T) {
	good := canary.Options{Kind: canary.Random, Count: 20, Confidence: 0.9}
	for what, change := range map[string]func(*canary.Options, *train.Data){
		"a kind that is none": func(o *canary.Options, _ *train.Data) { o.Kind = "yellow" },
		"few canaries":        func(o *canary.Options, _ *train.Data) { o.Count = 9 },
		"a delta of 1":        func(o *canary.Options, _ *train.Data) { o.Delta = 1 },
		"a confidence of 1":   func(o *canary.Options, _ *train.Data) { o.Confidence = 1 },
		"an epsilon of NaN":   func(o *canary.Options, _ *train.Data) { o.Claimed = math.NaN() },
		"one class":           func(_ *canary.Options, d *train.Data) { clear(d.Classes) },
		"no classes":          func(_ *canary.Options, d *train.Data) { d.Classes = nil },
	} {
		o, d := good, records(30)
		change(&o, d)
		if _, err := canary.Run(context.Background(), d, trained(2, 1), o); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
	for _, scores := range [][]float64{make([]float64, 19), append(make([]float64, 19), math.NaN())} {
		if _, err := canary.Judge(scores, make([]bool, 20), good); err == nil {
			t.Errorf("%d scores were accepted", len(scores))
		}
	}
}
