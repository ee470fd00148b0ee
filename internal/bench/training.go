package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"assay/internal/dataset"
	"assay/internal/realdata"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// trainingStep is the time of a step of training, from one batch to the next, over
// that of the model alone as it runs once trained; and what part of the step Go has.
func trainingStep() benchmark {
	const name = "train-step-over-forward/cnn5"
	return benchmark{name, func(ctx context.Context) ([]figure, error) {
		m := fiveLayers()
		forward, err := bindRandom(ctx, m, batch)
		if err != nil {
			return nil, err
		}
		defer forward.close()
		// A forward pass is measured between any two steps of training.
		var steps, forwards []time.Duration
		var goPart []float64
		var last time.Time
		var inRuntime time.Duration
		options := train.Options{Epochs: 1, Batch: batch, Threads: threads, Progress: func(p train.Progress) {
			now := time.Now()
			if p.Step > 2 && p.Ended == nil { // the first steps warm up
				step := now.Sub(last)
				steps = append(steps, step)
				goPart = append(goPart, 1-(p.Runtime-inRuntime).Seconds()/step.Seconds())
			}
			inRuntime = p.Runtime
			time.Sleep(pause)
			start := time.Now()
			if e := forward.run(ctx); e != nil {
				err = e
			}
			forwards = append(forwards, time.Since(start))
			time.Sleep(pause)
			last = time.Now()
		}}
		if _, failed := train.Run(ctx, m, noise(rounds*batch), options); failed != nil {
			return nil, failed
		}
		if err != nil {
			return nil, err
		}
		return []figure{
			{name, median(steps).Seconds() / median(forwards[2:]).Seconds(), "max", 3.6},
			{"go-overhead/train-step", median(goPart), "max", 0.03},
		}, nil
	}}
}

// noise is n images of noise with labels drawn alike.
func noise(n int) *train.Data {
	random := rand.New(rand.NewPCG(2, 2))
	d := &train.Data{X: make([]float32, n*3*32*32), Shape: []int{3, 32, 32}, Classes: make([]int32, n)}
	for i := range d.X {
		d.X[i] = float32(random.NormFloat64())
	}
	for i := range d.Classes {
		d.Classes[i] = random.Int32N(10)
	}
	return d
}

// task is a network to be trained on real data, and what it must reach.
type task struct {
	name           string
	training, held string // of the real data
	model          *onnx.Model
	options        train.Options
	accuracy       float64 // in per cent
	minutes        float64
}

var mnist = task{
	name: "mnist", training: "mnist/train-images-idx3-ubyte.gz", held: "mnist/t10k-images-idx3-ubyte.gz",
	model: network.CNN(1, 28, 28, []int{16, 32, 32, 64}, 10, 1),
	options: train.Options{
		Epochs: 6, Batch: 64, Seed: 1,
		Optimizer: train.Optimizer{Method: train.AdamW, Rate: 0.005, Decay: 0.01},
		Schedule:  train.Schedule{Kind: train.OneCycle},
	},
	accuracy: 99, minutes: 15,
}

var cifar10 = task{
	name: "cifar10-resnet20", training: "cifar10/train.npz", held: "cifar10/test.npz",
	model: network.ResNet20(3, 32, 32, 10, 1),
	options: train.Options{
		Epochs: 10, Batch: 64, Seed: 1,
		Optimizer: train.Optimizer{Method: train.SGD, Rate: 0.1, Momentum: 0.9, Nesterov: true, Decay: 5e-4},
		Schedule:  train.Schedule{Kind: train.OneCycle},
		Augment:   train.Augmentation{Crop: 4, Flip: true},
	},
	accuracy: 70, minutes: 15,
}

// training trains a network once and tests it on examples held out.
func training(t task) benchmark {
	return benchmark{"train/" + t.name, func(ctx context.Context) ([]figure, error) {
		given, err := examples(ctx, t.training)
		if err != nil {
			return nil, err
		}
		held, err := examples(ctx, t.held)
		if err != nil {
			return nil, err
		}
		started := time.Now()
		m, err := train.Standardize(t.model, given)
		if err != nil {
			return nil, err
		}
		t.options.Progress = func(p train.Progress) {
			if p.Ended != nil {
				fmt.Printf("epoch %d of %d: loss %.4f, accuracy %.2f %%, %.0f examples/s\n",
					p.Epoch, p.Epochs, p.Ended.Training.Loss, 100*p.Ended.Training.Accuracy, p.Rate)
			}
		}
		result, err := train.Run(ctx, m, given, t.options)
		if err != nil {
			return nil, err
		}
		minutes := time.Since(started).Minutes()
		score, err := train.Evaluate(ctx, result.Model, held, train.Options{})
		if err != nil {
			return nil, err
		}
		return []figure{
			{"train-accuracy/" + t.name, 100 * score.Accuracy, "min", t.accuracy},
			{"train-minutes/" + t.name, minutes, "max", t.minutes},
		}, nil
	}}
}

func examples(ctx context.Context, name string) (*train.Data, error) {
	path, err := realdata.Find(name)
	if err != nil {
		return nil, err
	}
	d, err := dataset.Load(ctx, path, dataset.Options{})
	if err != nil {
		return nil, err
	}
	return train.FromDataset(d), nil
}
