package tamper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant/craft"
	"assay/onnx"
)

// RandomBits flips bits of weights at random, as faults of memory do. Flips after which a weight is no finite
// number are drawn again.
type RandomBits struct{}

// Describe implements Tamperer.
func (RandomBits) Describe() Description {
	return Description{Name: "flip-bits", Summary: "bits of weights flipped at random"}
}

// Tamper implements Tamperer.
func (RandomBits) Tamper(ctx context.Context, m *onnx.Model, _ *dataset.Dataset, o Options) (*Tampered, error) {
	w, err := openWeights(m, o)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	total := 0
	for _, v := range w.Values {
		total += len(v)
	}
	if o.Bits > 16*total {
		return nil, fmt.Errorf("%d bits are to be flipped in %d weights: give fewer", o.Bits, total)
	}
	rng, flipped := o.random(), map[[2]int]bool{}
	for len(flipped) < o.Bits {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		k, at, bit := 0, rng.IntN(total), rng.IntN(32)
		for ; at >= len(w.Values[k]); k++ {
			at -= len(w.Values[k])
		}
		v := math.Float32frombits(math.Float32bits(w.Values[k][at]) ^ 1<<bit)
		if key := [2]int{k, 32*at + bit}; !flipped[key] && !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) {
			flipped[key], w.Values[k][at] = true, v
		}
	}
	return written(m, w)
}

// ProgressiveBits flips the bits that do the most harm, one after the other: of each layer the bit of which the loss's gradient
// promises most, and of these the one after which the loss is highest (Rakin, He and Fan 2019, arXiv:1903.12269, progressive bit
// search). As there, weights are taken for whole numbers of 8 bits in two's complement, in units of a 127th of
// the layer's largest; what is written is the weight moved by what the flip changes.
type ProgressiveBits struct {
	Rows int // of the data that the loss is of; 0 for 128
}

// Describe implements Tamperer.
func (ProgressiveBits) Describe() Description {
	return Description{Name: "flip-worst-bits", Summary: "the bits of weights flipped that do the most harm", Data: true, Reference: "Rakin et al. 2019 (arXiv:1903.12269)"}
}

// Tamper implements Tamperer.
func (p ProgressiveBits) Tamper(ctx context.Context, m *onnx.Model, d *dataset.Dataset, o Options) (*Tampered, error) {
	if d == nil || d.Y == nil {
		return nil, errors.New("flip-worst-bits needs data with labels")
	}
	w, err := openWeights(m, o)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	rows := p.Rows
	if rows == 0 {
		rows = 128
	}
	sample := d.Select(o.random().Perm(d.Len())[:min(rows, d.Len())])
	labels := make([]int64, sample.Len())
	for i, class := range sample.Y {
		labels[i] = int64(class)
	}
	units := make([]float64, len(w.Values))
	for k, values := range w.Values {
		for _, v := range values {
			units[k] = max(units[k], math.Abs(float64(v))/127)
		}
	}
	for range o.Bits {
		_, slopes, err := w.Slopes(ctx, sample.X, labels)
		if err != nil {
			return nil, fmt.Errorf("the data do not fit the model: %w", err)
		}
		var worst flip
		for k := range w.Values {
			f := promising(k, w.Values[k], slopes[k], units[k])
			if f.promise <= 0 {
				continue
			}
			was := w.Values[k][f.at]
			w.Values[k][f.at] += f.by
			if f.loss, _, err = w.Slopes(ctx, sample.X, labels); err != nil {
				return nil, err
			}
			w.Values[k][f.at] = was
			if cmp.Compare(f.loss, worst.loss) > 0 {
				worst = f
			}
		}
		if worst.by == 0 {
			return nil, errors.New("no flip of a bit raises the loss any more: give fewer")
		}
		w.Values[worst.layer][worst.at] += worst.by
	}
	return written(m, w)
}

// flip is one bit's.
type flip struct {
	layer, at int
	by        float32 // what it adds to the weight
	promise   float64 // what the loss would gain, were it linear
	loss      float64 // after it
}

// promising gives the flip of a layer's bit that promises most.
func promising(layer int, values, slopes []float32, unit float64) flip {
	best := flip{layer: layer}
	if unit == 0 {
		return best
	}
	for i, v := range values {
		whole := int8(min(max(math.Round(float64(v)/unit), -128), 127))
		for bit := range 8 {
			by := (float64(whole^int8(uint8(1)<<bit)) - float64(whole)) * unit
			if promise := by * float64(slopes[i]); promise > best.promise {
				best.at, best.by, best.promise = i, float32(by), promise
			}
		}
	}
	return best
}

// openWeights opens a model's weights to flip bits of.
func openWeights(m *onnx.Model, o Options) (*craft.Weights, error) {
	if o.Bits < 0 {
		return nil, fmt.Errorf("%d bits cannot be flipped: give 0 or more", o.Bits)
	}
	return craft.NewWeights(m)
}

func written(m *onnx.Model, w *craft.Weights) (*Tampered, error) {
	changed, err := w.In(m)
	if err != nil {
		return nil, err
	}
	for _, values := range w.Values {
		if slices.ContainsFunc(values, func(v float32) bool { return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) }) {
			return nil, errors.New("a weight became no finite number")
		}
	}
	return finish(m, changed, nil)
}
