package autodiff

import (
	"math"
	"math/rand/v2"
	"testing"

	"assay/internal/float64eval"
	"assay/internal/model/ort"
	"assay/onnx"
)

// TestNetworks checks, for whole networks, the gradient of the loss with respect to
// the input and every weight.
func TestNetworks(t *testing.T) {
	const classes = 3
	for _, network := range []struct {
		name  string
		input []int64
		build func(n *net, x string) string // to logits
	}{
		{"MLP", []int64{4, 6}, mlp},
		{"CNN", []int64{3, 3, 10, 10}, cnn},
		{"ResNet-20", []int64{2, 3, 8, 8}, func(n *net, x string) string { return n.resNet20(x, false) }},
		{"ResNet-20 in training", []int64{4, 3, 8, 8}, func(n *net, x string) string { return n.resNet20(x, true) }},
		{"LSTM", []int64{5, 3, 4}, lstm},
		{"Transformer", []int64{2, 5, 8}, transformer},
	} {
		t.Run(network.name, func(t *testing.T) {
			t.Parallel()
			n := &net{Builder: onnx.NewBuilder(network.name), rng: rand.New(rand.NewPCG(7, 0)), classes: classes}
			stated := make([]any, len(network.input))
			for i, size := range network.input {
				stated[i] = size
			}
			batch := 0
			if network.name == "LSTM" {
				batch = 1
			}
			stated[batch] = "batch"
			x := n.Input("x", onnx.Float32, stated...)
			logits := network.build(n, x)
			n.Output(logits, onnx.Float32, onnx.Dims("batch", classes))
			m, labels := n.withLoss(t, logits)
			y := make([]int64, network.input[batch])
			for i := range y {
				y[i] = n.rng.Int64N(classes)
			}
			feeds := map[string]float64eval.Value{
				x:      ort.NewTensor(n.normal(1, network.input...), network.input...),
				labels: ort.NewTensor(y),
			}
			compared, err := gradientCheck{model: m, feeds: feeds, seed: 3, few: true}.run()
			if err != nil {
				t.Error(err)
			}
			if weights := len(m.Graph.Initializers); compared < 2*weights {
				t.Errorf("only %d slopes were compared with %d weights", compared, weights)
			}
		})
	}
}

// net builds networks with random weights.
type net struct {
	*onnx.Builder
	rng     *rand.Rand
	classes int64
}

func (n *net) normal(scale float64, shape ...int64) []float32 {
	count, _ := onnx.Count(shape)
	v := make([]float32, count)
	for i := range v {
		v[i] = float32(scale * n.rng.NormFloat64())
	}
	return v
}

// weight is a random weight, scaled by what flows into each of its outputs.
func (n *net) weight(fanIn int64, shape ...int64) string {
	return n.Weight(onnx.NewTensor("weight", n.normal(1/math.Sqrt(float64(fanIn)), shape...), shape...))
}

// about is a weight near a number, such as the 1 of a scale.
func (n *net) about(mean float64, size int64) string {
	v := n.normal(0.2, size)
	for i := range v {
		v[i] += float32(mean)
	}
	return n.Weight(onnx.NewTensor("weight", v, size))
}

// withLoss gives the model with the cross-entropy of the logits as its output.
func (n *net) withLoss(t *testing.T, logits string) (m *onnx.Model, labels string) {
	t.Helper()
	g, err := New(n.Model())
	if err != nil {
		t.Fatal(err)
	}
	labels = g.Input("labels", onnx.Int64, "batch")
	loss, err := g.Loss(CrossEntropy, logits, labels)
	if err != nil {
		t.Fatal(err)
	}
	g.Graph.Outputs = nil
	g.Output(loss, onnx.Float32, onnx.Dims("batch"))
	return g.Model(), labels
}

func (n *net) dense(x string, in, out int64) string {
	return n.Op("Gemm", onnx.Attrs{"transB": int64(1)}, x, n.weight(in, out, in), n.about(0, out))
}

func mlp(n *net, x string) string {
	x = n.Op("Relu", nil, n.dense(x, 6, 8))
	x = n.Op("Tanh", nil, n.dense(x, 8, 8))
	return n.dense(x, 8, n.classes)
}

func (n *net) conv(x string, in, out, kernel, stride int64, biased bool) string {
	pad := kernel / 2
	inputs := []string{x, n.weight(in*kernel*kernel, out, in, kernel, kernel)}
	if biased {
		inputs = append(inputs, n.about(0, out))
	}
	return n.Op("Conv", onnx.Attrs{"strides": []int64{stride, stride}, "pads": []int64{pad, pad, pad, pad}}, inputs...)
}

func cnn(n *net, x string) string {
	x = n.Op("Relu", nil, n.conv(x, 3, 16, 3, 1, true))
	x = n.Op("MaxPool", onnx.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}, x)
	x = n.Op("Relu", nil, n.conv(x, 16, 16, 3, 1, true))
	x = n.Op("AveragePool", onnx.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}, x)
	x = n.Op("Relu", nil, n.conv(x, 16, 5, 3, 2, true))
	x = n.Op("Flatten", nil, n.Op("GlobalAveragePool", nil, x))
	return n.dense(x, 5, n.classes)
}

func (n *net) batchNorm(x string, channels int64, training bool) string {
	variance := make([]float32, channels)
	for i := range variance {
		variance[i] = float32(0.5 + n.rng.Float64())
	}
	attrs, outputs := onnx.Attrs{}, 1
	if training {
		attrs["training_mode"], outputs = int64(1), 3
	}
	return n.Ops("BatchNormalization", attrs, outputs, x, n.about(1, channels), n.about(0, channels),
		n.about(0, channels), n.Weight(onnx.NewTensor("variance", variance)))[0]
}

// resNet20 is the network of He et al. (2016, arXiv:1512.03385, section 4.2) for
// CIFAR-10, with fewer channels.
func (n *net) resNet20(x string, training bool) string {
	in := int64(4)
	x = n.Op("Relu", nil, n.batchNorm(n.conv(x, 3, in, 3, 1, false), in, training))
	for _, width := range []int64{4, 8, 16} {
		for range 3 {
			stride, short := width/in, x
			if stride != 1 {
				short = n.batchNorm(n.conv(x, in, width, 1, stride, false), width, training)
			}
			y := n.Op("Relu", nil, n.batchNorm(n.conv(x, in, width, 3, stride, false), width, training))
			y = n.batchNorm(n.conv(y, width, width, 3, 1, false), width, training)
			x = n.Op("Relu", nil, n.Op("Add", nil, y, short))
			in = width
		}
	}
	x = n.Op("Flatten", nil, n.Op("GlobalAveragePool", nil, x))
	return n.dense(x, in, n.classes)
}

func lstm(n *net, x string) string {
	const in, hidden = 4, 3
	out := n.Ops("LSTM", onnx.Attrs{"hidden_size": int64(hidden)}, 2, x,
		n.weight(in, 1, 4*hidden, in), n.weight(hidden, 1, 4*hidden, hidden),
		n.Weight(onnx.NewTensor("bias", n.normal(0.1, 8*hidden), 1, 8*hidden)))
	return n.dense(n.Op("Squeeze", nil, out[1], n.Ints(0)), hidden, n.classes)
}

// transformer is an encoder of two layers that normalise first, as exporters write it.
func transformer(n *net, x string) string {
	const width, heads, inner = 8, 2, 16
	project := func(x string, in, out int64) string {
		return n.Op("Add", nil, n.Op("MatMul", nil, x, n.weight(in, in, out)), n.about(0, out))
	}
	normal := func(x string) string {
		return n.Op("LayerNormalization", onnx.Attrs{"axis": int64(-1)}, x, n.about(1, width), n.about(0, width))
	}
	split := func(x string, perm ...int64) string {
		x = n.Op("Reshape", nil, x, n.Ints(0, 0, heads, width/heads))
		return n.Op("Transpose", onnx.Attrs{"perm": perm}, x)
	}
	for range 2 {
		y := normal(x)
		q, k, v := split(project(y, width, width), 0, 2, 1, 3), split(project(y, width, width), 0, 2, 3, 1), split(project(y, width, width), 0, 2, 1, 3)
		scores := n.Op("Div", nil, n.Op("MatMul", nil, q, k), n.Number(onnx.Float32, 2))
		y = n.Op("MatMul", nil, n.Op("Softmax", onnx.Attrs{"axis": int64(-1)}, scores), v)
		y = n.Op("Reshape", nil, n.Op("Transpose", onnx.Attrs{"perm": []int64{0, 2, 1, 3}}, y), n.Ints(0, 0, width))
		x = n.Op("Add", nil, x, project(y, width, width))
		y = n.Op("Gelu", nil, project(normal(x), width, inner))
		x = n.Op("Add", nil, x, project(y, inner, width))
	}
	pooled := n.Op("ReduceMean", onnx.Attrs{"keepdims": int64(0)}, normal(x), n.Ints(1))
	return n.dense(pooled, width, n.classes)
}
