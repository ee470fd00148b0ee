package backdoor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"assay/onnx"
)

// ChannelLipschitz bounds how strongly each channel answers to its input: by the spectral norm of its kernel, times the scale of the batch
// normalisation that follows. Channels that a trigger excites are above the others of their layer (Zheng et al. 2022, arXiv:2208.03111,
// CLP, equations 9 to 12). Units of dense layers count as channels, where the paper has convolutions alone, but not the classes' own. The
// statistic is by how many standard deviations of its layer a channel is above the layer's mean, at most. The paper prunes what
// is above 3, and gives no threshold for models.
type ChannelLipschitz struct{}

// Channel is one channel of a layer.
type Channel struct {
	Layer      string  `json:"layer"`      // the node
	Channel    int     `json:"channel"`    // from 0
	Bound      float64 `json:"bound"`      // of its Lipschitz constant
	Deviations float64 `json:"deviations"` // above the mean of its layer
}

// listed is how many channels a finding has.
const listed = 5

// Describe implements Detector.
func (ChannelLipschitz) Describe() Description {
	return Description{Name: "channel-lipschitz", Reference: "Zheng et al. 2022 (arXiv:2208.03111), section 4"}
}

// Inspect implements Detector.
func (d ChannelLipschitz) Inspect(ctx context.Context, s *Subject, _ *rand.Rand) (*Finding, error) {
	var layers [][]Channel
	for _, n := range s.Graph.Graph.Nodes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		bounds, err := channelBounds(s.Graph.Graph, n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		if len(bounds) > 1 {
			layers = append(layers, channels(n.String(), bounds))
		}
	}
	if len(layers) < 2 {
		return nil, &Unfit{"channel-lipschitz compares the channels of convolutions and dense layers, and the model has none before its last layer with weights of floating-point numbers"}
	}
	out := &Finding{Channels: slices.Concat(layers[:len(layers)-1]...)}
	slices.SortStableFunc(out.Channels, func(a, b Channel) int { return cmp.Compare(b.Deviations, a.Deviations) })
	out.Channels = out.Channels[:min(listed, len(out.Channels))]
	out.Statistic = out.Channels[0].Deviations
	return out, nil
}

// channels compares the channels of a layer.
func channels(layer string, bounds []float64) []Channel {
	mean, square, n := 0.0, 0.0, float64(len(bounds))
	for _, b := range bounds {
		mean += b / n
	}
	for _, b := range bounds {
		square += (b - mean) * (b - mean) / (n - 1)
	}
	unit := max(math.Sqrt(square), 1e-6*mean, math.SmallestNonzeroFloat64)
	out := make([]Channel, len(bounds))
	for k, b := range bounds {
		out[k] = Channel{layer, k, b, (b - mean) / unit}
	}
	return out
}

// channelBounds gives the bound of each channel of a layer, nil where a node is none.
func channelBounds(g *onnx.Graph, n *onnx.Node) ([]float64, error) {
	w := g.Initializer(n.Input(1))
	op := n.OpType()
	convolution, dense := op == "Conv", op == "Gemm" || op == "MatMul"
	if w == nil || !w.Type.IsFloat() || !(convolution && len(w.Shape) > 2 || dense && len(w.Shape) == 2) {
		return nil, nil
	}
	values, err := w.Float64s()
	if err != nil || len(values) == 0 {
		return nil, err
	}
	if slices.ContainsFunc(values, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }) {
		return nil, errors.New("its weights hold what is no finite number")
	}
	if dense && n.Int("transB", 0) == 0 {
		values = mat.DenseCopyOf(mat.NewDense(int(w.Shape[0]), int(w.Shape[1]), values).T()).RawMatrix().Data
		w = &onnx.Tensor{Shape: []int64{w.Shape[1], w.Shape[0]}}
	}
	scale, err := normalisation(g, n.Output(0), int(w.Shape[0]))
	if err != nil {
		return nil, err
	}
	bounds := make([]float64, w.Shape[0])
	size, inputs := len(values)/len(bounds), int(w.Shape[1])
	for k := range bounds {
		row := values[k*size : (k+1)*size]
		if dense {
			bounds[k] = scale[k] * floats.Norm(row, 2)
			continue
		}
		var svd mat.SVD // of the kernel as inputs by places, as in the authors' program
		if !svd.Factorize(mat.NewDense(inputs, size/inputs, row), mat.SVDNone) {
			return nil, errors.New("the largest singular value of its weights is not found")
		}
		bounds[k] = scale[k] * svd.Values(nil)[0]
	}
	return bounds, nil
}

// normalisation gives by how much the batch normalisation of a value scales each channel, 1 where there is none.
func normalisation(g *onnx.Graph, value string, channels int) ([]float64, error) {
	out := slices.Repeat([]float64{1}, channels)
	i := slices.IndexFunc(g.Nodes, func(n *onnx.Node) bool { return n.OpType() == "BatchNormalization" && n.Input(0) == value })
	if i < 0 {
		return out, nil
	}
	n := g.Nodes[i]
	scale, variance := g.Initializer(n.Input(1)), g.Initializer(n.Input(4))
	if scale == nil || variance == nil {
		return out, nil
	}
	by, err := scale.Float64s()
	if err != nil {
		return nil, err
	}
	spread, err := variance.Float64s()
	if err != nil {
		return nil, err
	}
	if len(by) != channels || len(spread) != channels {
		return nil, fmt.Errorf("%d channels are normalised by %d scales and %d variances", channels, len(by), len(spread))
	}
	for k := range out {
		out[k] = math.Abs(by[k]) / math.Sqrt(max(spread[k], 0)+float64(n.Float("epsilon", 1e-5)))
	}
	return out, nil
}
