package backdoor

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"assay/internal/lipschitz"
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
		bounds, err := lipschitz.Channels(s.Graph.Graph, n)
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
