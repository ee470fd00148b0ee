package train_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"assay/internal/dataset"
	"assay/internal/realdata"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// BenchmarkMNIST trains a convolutional network on MNIST, once.
func BenchmarkMNIST(b *testing.B) {
	training := train.FromDataset(read(b, realdata.Path(b, "mnist/train-images-idx3-ubyte.gz"), dataset.Options{}))
	held := train.FromDataset(read(b, realdata.Path(b, "mnist/t10k-images-idx3-ubyte.gz"), dataset.Options{}))
	trainOnce(b, network.CNN(1, 28, 28, []int{16, 32, 32, 64}, 10, 1), training, held, train.Options{
		Epochs: 6, Batch: 64, Seed: 1,
		Optimizer: train.Optimizer{Method: train.AdamW, Rate: 0.005, Decay: 0.01},
		Schedule:  train.Schedule{Kind: train.OneCycle},
	})
}

// BenchmarkCIFAR10 trains ResNet-20 on 15,000 images of CIFAR-10, once.
func BenchmarkCIFAR10(b *testing.B) {
	training := train.FromDataset(read(b, realdata.Path(b, "cifar10/train.npz"), dataset.Options{}))
	held := train.FromDataset(read(b, realdata.Path(b, "cifar10/test.npz"), dataset.Options{}))
	trainOnce(b, network.ResNet20(3, 32, 32, 10, 1), training, held, train.Options{
		Epochs: 12, Batch: 64, Seed: 1,
		Optimizer: train.Optimizer{Method: train.SGD, Rate: 0.1, Momentum: 0.9, Nesterov: true, Decay: 5e-4},
		Schedule:  train.Schedule{Kind: train.OneCycle},
		Augment:   train.Augmentation{Crop: 4, Flip: true},
	})
}

// trainOnce reports the accuracy on the examples held out, and the seconds.
func trainOnce(b *testing.B, m *onnx.Model, training, held *train.Data, o train.Options) {
	m, err := train.Standardize(m, training)
	if err != nil {
		b.Fatal(err)
	}
	o.Progress = func(p train.Progress) {
		if p.Ended != nil {
			b.Logf("epoch %d of %d: %+v, %.0f examples/s", p.Epoch, p.Epochs, p.Ended.Training, p.Rate)
		}
	}
	started := time.Now()
	var score train.Score
	for range b.N {
		r := run(b, m, training, o)
		if score, err = train.Evaluate(context.Background(), r.Model, held, train.Options{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(score.Accuracy, "accuracy")
	b.ReportMetric(time.Since(started).Seconds()/float64(b.N), "seconds")
	b.ReportMetric(float64(runtime.GOMAXPROCS(0)), "threads")
}
