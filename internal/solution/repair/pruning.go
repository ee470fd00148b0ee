package repair

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"assay/internal/dataset"
	"assay/internal/model/ort"
	"assay/internal/solution/rewrite"
	"assay/internal/train"
	"assay/onnx"
)

// FinePruning switches off the channels of the last convolution, or of the last hidden layer where there is none, that
// trusted records excite least, one after the other while the accuracy on them lasts, and trains the rest
// further (Liu et al. 2018, arXiv:1805.12185). What was switched off stays so.
type FinePruning struct {
	Loss float64 // the part of the trusted records that pruning may cost, of those that were right; 0 for 0.04
	Tune FineTuning
}

// Describe implements Repair.
func (FinePruning) Describe() Description {
	return Description{"fine-pruning", "channels that trusted records do not excite pruned, and trained further", Trusted, "Liu et al. 2018 (arXiv:1805.12185), the fine-pruning defence"}
}

// Repair implements Repair.
func (f FinePruning) Repair(ctx context.Context, m *onnx.Model, records *dataset.Dataset, o Options) (*Repaired, error) {
	d, err := examples(f.Describe(), m, records)
	if err != nil {
		return nil, err
	}
	if !(f.Loss >= 0 && f.Loss < 1) {
		return nil, fmt.Errorf("fine-pruning may cost a part of the accuracy from 0 to 1, not %g", f.Loss)
	}
	l, err := last(m.Graph)
	if err != nil {
		return nil, err
	}
	pruned, off, err := f.prune(ctx, m, l, d, o)
	if err != nil {
		return nil, err
	}
	tuned, err := f.Tune.train(ctx, pruned, d, o, nil)
	if err != nil {
		return nil, err
	}
	// A channel before a ReLU has no gradient any more; one before anything else has, and is switched off again.
	if l, err = last(tuned.Graph); err != nil {
		return nil, err
	}
	return &Repaired{tuned, fmt.Sprintf("%d of %d channels of %q pruned, then trained for %d epochs on %d trusted records", len(off), l.channels(), l.value, f.Tune.epochs(), d.Len())},
		silence(tuned, l, off)
}

// last gives the layer whose channels are pruned.
func last(g *onnx.Graph) (*layer, error) {
	all := layersOf(g)
	for i, l := range slices.Backward(all) {
		if l.op == "Conv" {
			return &all[i], nil
		}
	}
	if len(all) == 0 {
		return nil, errors.New("fine-pruning needs a convolution or a hidden dense layer with weights of its own, and the model has none: use fine-tuning")
	}
	return &all[len(all)-1], nil
}

// prune switches channels off in the order of their mean activation.
func (f FinePruning) prune(ctx context.Context, m *onnx.Model, l *layer, d *train.Data, o Options) (*onnx.Model, []int, error) {
	order, err := dormant(ctx, m, l, d, o)
	if err != nil {
		return nil, nil, err
	}
	measure := func(m *onnx.Model) (float64, error) {
		s, err := train.Evaluate(ctx, m, d, train.Options{Batch: 256, Threads: o.Threads})
		return s.Accuracy, err
	}
	accuracy, err := measure(m)
	if err != nil {
		return nil, nil, err
	}
	may := f.Loss
	if may == 0 {
		may = 0.04
	}
	pruned, n := m.Clone(), 0
	for ; n < len(order)-1; n++ {
		next := m.Clone()
		if err := silence(next, l, order[:n+1]); err != nil {
			return nil, nil, err
		}
		left, err := measure(next)
		if err != nil {
			return nil, nil, err
		}
		if left < accuracy*(1-may) {
			break
		}
		pruned = next
	}
	return pruned, order[:n], nil
}

// dormant gives a layer's channels, that which the examples excite least first.
func dormant(ctx context.Context, m *onnx.Model, l *layer, d *train.Data, o Options) ([]int, error) {
	options := ort.Options{Threads: o.Threads}
	c, err := rewrite.Open(ctx, m, options)
	if err != nil {
		return nil, err
	}
	value, err := c.Layer(l.value)
	if err != nil {
		return nil, err
	}
	features, n, err := rewrite.FeaturesOf(ctx, c, value, d.X, options)
	if err != nil {
		return nil, err
	}
	if n != l.channels() {
		return nil, fmt.Errorf("the layer %q gives %d numbers for each record and has %d channels: fine-pruning needs as many", l.value, n, l.channels())
	}
	mean, order := make([]float64, n), make([]int, n)
	for i, v := range features {
		mean[i%n] += float64(v)
	}
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(mean[a], mean[b]) })
	return order, nil
}
