package repair

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"assay/internal/dataset"
	"assay/onnx"
)

// LipschitzPruning switches off channels of convolutions that can change much more than the others of their layer, and
// needs no records (channel Lipschitz pruning, CLP, of Zheng et al. 2022, arXiv:2208.03111). What a channel can change is
// bounded by the largest singular value of its kernel, a matrix of input channels by places, times the factor of the
// batch normalisation after it. The paper knows only convolutions with one; here a convolution without has the factor 1.
type LipschitzPruning struct {
	Deviations float64 // above the mean of a layer from which on a channel is switched off, u in the paper; 0 for its 3
}

// Describe implements Repair.
func (LipschitzPruning) Describe() Description {
	return Description{"lipschitz-pruning", "channels of convolutions pruned that can change much more than others", None, "Zheng et al. 2022 (arXiv:2208.03111), CLP"}
}

// Repair implements Repair.
func (p LipschitzPruning) Repair(ctx context.Context, m *onnx.Model, _ *dataset.Dataset, _ Options) (*Repaired, error) {
	u := p.Deviations
	if u == 0 {
		u = 3
	}
	if !(u > 0) {
		return nil, fmt.Errorf("a channel that can change more by %g deviations is none that stands out: give a number above 0", u)
	}
	out, layers, channels, off := m.Clone(), 0, 0, 0
	for _, l := range layersOf(m.Graph) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if l.op != "Conv" {
			continue
		}
		bounds, err := channelBounds(m.Graph, &l)
		if err != nil {
			return nil, err
		}
		var high []int
		mean, deviation := stat.MeanStdDev(bounds, nil)
		for i, b := range bounds {
			if b > mean+u*deviation {
				high = append(high, i)
			}
		}
		layers, channels, off = layers+1, channels+len(bounds), off+len(high)
		if len(high) == 0 {
			continue
		}
		if err := silence(out, &l, high); err != nil {
			return nil, err
		}
	}
	if layers == 0 {
		return nil, errors.New("lipschitz-pruning needs convolutions with weights of their own, and the model has none: use another repair")
	}
	return &Repaired{out, fmt.Sprintf("%d of %d channels of %d convolutions pruned, those that can change more than the mean of their layer and %g deviations", off, channels, layers, u)}, nil
}

// channelBounds gives an upper bound of how much each channel of a convolution can change with its input.
func channelBounds(g *onnx.Graph, l *layer) ([]float64, error) {
	values, err := l.weight.Float64s()
	if err != nil {
		return nil, err
	}
	n, in := l.channels(), int(l.weight.Shape[1])
	places := len(values) / n / in
	factors, err := normFactors(g, l.norm, n)
	if err != nil {
		return nil, err
	}
	bounds := make([]float64, n)
	for k := range bounds {
		kernel := mat.NewDense(in, places, values[k*in*places:(k+1)*in*places])
		var d mat.SVD
		if !d.Factorize(kernel, mat.SVDNone) {
			return nil, fmt.Errorf("the kernel of channel %d of %q has no singular values: it holds what is no number", k+1, l.weight.Name)
		}
		bounds[k] = d.Values(nil)[0] * factors[k]
	}
	return bounds, nil
}

// normFactors is what batch normalisation multiplies each channel by; 1 where there is none.
func normFactors(g *onnx.Graph, n *onnx.Node, channels int) ([]float64, error) {
	factors := make([]float64, channels)
	for i := range factors {
		factors[i] = 1
	}
	if n == nil {
		return factors, nil
	}
	scale, variance := g.Initializer(n.Input(1)), g.Initializer(n.Input(4))
	if scale == nil || variance == nil {
		return factors, nil
	}
	s, err := scale.Float64s()
	if err != nil {
		return nil, err
	}
	v, err := variance.Float64s()
	if err != nil {
		return nil, err
	}
	if len(s) != channels || len(v) != channels {
		return nil, fmt.Errorf("the normalisation after %d channels has %d scales and %d variances", channels, len(s), len(v))
	}
	for i := range factors {
		factors[i] = math.Abs(s[i]) / math.Sqrt(v[i]+float64(n.Float("epsilon", 1e-5)))
	}
	return factors, nil
}
