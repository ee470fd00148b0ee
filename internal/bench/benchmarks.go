package main

import (
	"assay/internal/method/poisoning"
	"assay/internal/train/network"
	"assay/onnx"
)

// benchmarks are all there are, in the order they run.
var benchmarks = []benchmark{
	gradientOverForward("cnn5", 2.3, fiveLayers),
	gradientOverForward("resnet20", 2.3, func() *onnx.Model { return network.ResNet20(3, 32, 32, 10, 1) }),
	gradientOverForward("transformer4", 3.0, transformer),
	bounding("cnn5", 6, fiveLayers), // five convolutions and a dense layer
	overhead(),
	attackStep(),
	autoAttackSpeed(),
	autoAttackGrowth(),
	trainingStep(),
	sequential(0.05),
	sequential(0.1),
	sequential(0.2),
	scanPickle("numbers"),
	scanPickle("small-integers"),
	scanPickle("records"),
	scanPickle("arrays"),
	scanHeader("safetensors"),
	scanHeader("gguf"),
	scanTogether(),
	signingSpeed(),
	detection(poisoning.KNN{Search: searching()}, 6),
	detection(poisoning.SpectralSignatures{}, 1.5),
	detection(poisoning.Spectre{}, 1.5),
	detection(poisoning.ActivationClustering{}, 1.5),
	training(mnist),
	training(cifar10),
}
