// Package network builds classifiers to be trained: graphs in ONNX with weights
// drawn by seed, in inference form, giving logits. The batch dimension is free.
package network

import (
	"fmt"
	"math"
	"math/rand/v2"

	"assay/onnx"
)

// Names of every network's input and output.
const (
	Input  = "input"
	Output = "logits"
)

// Logistic builds multinomial logistic regression on features numbers.
func Logistic(features, classes int, seed uint64) *onnx.Model {
	return MLP(features, nil, classes, seed)
}

// MLP builds a multilayer perceptron on features numbers with ReLU between layers
// of the given widths.
func MLP(features int, widths []int, classes int, seed uint64) *onnx.Model {
	b := newBuilder("mlp", seed)
	x := b.Input(Input, onnx.Float32, "batch", features)
	in := features
	for i, width := range widths {
		x = b.Op("Relu", nil, b.dense(fmt.Sprintf("dense%d", i+1), x, in, width))
		in = width
	}
	return b.finish(x, in, classes)
}

// CNN builds a convolutional network on images [channels, height, width]: 3×3
// convolutions of the given widths with ReLU, each second one followed by a max
// pooling that halves the image, then the mean over places and a dense layer.
func CNN(channels, height, width int, widths []int, classes int, seed uint64) *onnx.Model {
	b := newBuilder("cnn", seed)
	x := b.Input(Input, onnx.Float32, "batch", channels, height, width)
	in := channels
	for i, out := range widths {
		x = b.Op("Relu", nil, b.conv(fmt.Sprintf("conv%d", i+1), x, in, out, 3, 1, true))
		in = out
		if i%2 == 1 && i+1 < len(widths) {
			x = b.Op("MaxPool", onnx.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}, x)
		}
	}
	return b.finish(b.pooled(x), in, classes)
}

// ResNet20 builds the residual network of 20 layers for small images of He et al.
// (2015, arXiv:1512.03385, section 4.2): three stages of three blocks with 16, 32
// and 64 channels and batch normalisation. Where a stage begins with a stride of 2
// the shortcut is a 1×1 convolution with the same stride (their option B).
func ResNet20(channels, height, width, classes int, seed uint64) *onnx.Model {
	b := newBuilder("resnet20", seed)
	x := b.Input(Input, onnx.Float32, "batch", channels, height, width)
	x = b.Op("Relu", nil, b.normalised("stem", x, channels, 16, 3, 1))
	in := 16
	for stage, out := range []int{16, 32, 64} {
		for block := range 3 {
			stride := 1
			if stage > 0 && block == 0 {
				stride = 2
			}
			x = b.residual(fmt.Sprintf("stage%d.block%d", stage+1, block+1), x, in, out, stride)
			in = out
		}
	}
	return b.finish(b.pooled(x), in, classes)
}

// builder adds layers, with weights drawn from one stream.
type builder struct {
	*onnx.Builder
	random *rand.Rand
}

func newBuilder(name string, seed uint64) *builder {
	return &builder{Builder: onnx.NewBuilder(name), random: rand.New(rand.NewPCG(seed, 0))}
}

// finish adds the last dense layer, which gives the logits.
func (b *builder) finish(x string, in, classes int) *onnx.Model {
	w := b.drawn("dense.weight", math.Sqrt(1/float64(in)), int64(in), int64(classes))
	bias := b.filled("dense.bias", 0, classes)
	b.Add("Gemm", nil, []string{x, w, bias}, []string{b.Name(Output)})
	b.Output(Output, onnx.Float32, onnx.Dims("batch", classes))
	return b.Model()
}

func (b *builder) dense(name, x string, in, out int) string {
	w := b.drawn(name+".weight", math.Sqrt(2/float64(in)), int64(in), int64(out))
	return b.Op("Gemm", nil, x, w, b.filled(name+".bias", 0, out))
}

// conv adds a convolution that keeps the image's size, but for its stride.
func (b *builder) conv(name, x string, in, out, kernel, stride int, bias bool) string {
	k, s, pad := int64(kernel), int64(stride), int64(kernel/2)
	// He et al. (2015, arXiv:1502.01852, equation 10).
	w := b.drawn(name+".weight", math.Sqrt(2/float64(in*kernel*kernel)), int64(out), int64(in), k, k)
	inputs := []string{x, w}
	if bias {
		inputs = append(inputs, b.filled(name+".bias", 0, out))
	}
	return b.Op("Conv", onnx.Attrs{
		"kernel_shape": []int64{k, k}, "strides": []int64{s, s}, "pads": []int64{pad, pad, pad, pad},
	}, inputs...)
}

// normalised adds a convolution followed by batch normalisation.
func (b *builder) normalised(name, x string, in, out, kernel, stride int) string {
	y := b.conv(name, x, in, out, kernel, stride, false)
	return b.Op("BatchNormalization", onnx.Attrs{"epsilon": float32(1e-5)}, y,
		b.filled(name+".scale", 1, out), b.filled(name+".shift", 0, out),
		b.filled(name+".mean", 0, out), b.filled(name+".var", 1, out))
}

func (b *builder) residual(name, x string, in, out, stride int) string {
	y := b.Op("Relu", nil, b.normalised(name+".conv1", x, in, out, 3, stride))
	y = b.normalised(name+".conv2", y, out, out, 3, 1)
	if stride != 1 || in != out {
		x = b.normalised(name+".shortcut", x, in, out, 1, stride)
	}
	return b.Op("Relu", nil, b.Op("Add", nil, y, x))
}

// pooled is the mean over an image's places, [batch, channels].
func (b *builder) pooled(x string) string {
	return b.Op("Flatten", nil, b.Op("GlobalAveragePool", nil, x))
}

// drawn adds a weight drawn from the normal distribution of the given deviation.
func (b *builder) drawn(name string, deviation float64, shape ...int64) string {
	n, _ := onnx.Count(shape)
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(b.random.NormFloat64() * deviation)
	}
	return b.Weight(onnx.NewTensor(name, values, shape...))
}

func (b *builder) filled(name string, value float32, n int) string {
	values := make([]float32, n)
	for i := range values {
		values[i] = value
	}
	return b.Weight(onnx.NewTensor(name, values))
}
