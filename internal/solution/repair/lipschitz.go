package repair

import (
	"context"
	"errors"
	"fmt"

	"gonum.org/v1/gonum/stat"

	"assay/internal/dataset"
	"assay/internal/lipschitz"
	"assay/onnx"
)

// LipschitzPruning switches off channels of convolutions that can change much more than the others of their layer, and
// needs no records (channel Lipschitz pruning, CLP, of Zheng et al. 2022, arXiv:2208.03111). What a channel can change is
// bounded as [lipschitz.Channels] says.
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
		n := m.Graph.Nodes[l.index]
		bounds, err := lipschitz.Channels(m.Graph, n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
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
