package membership

import (
	"context"
	"fmt"
	"math"

	"assay/internal/method/shadow"
	"assay/internal/model/ort"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
	"assay/onnx/autodiff"
)

// The regression of the quantile attack. It is small, as the public records are few.
const (
	quantileWidth  = 32
	quantileEpochs = 30
	fewestPublic   = 20
)

// quantile asks no shadow: a regression on public records, which are not members, tells from a record and its class how the
// target's logit is distributed for what it was not trained on. The score is by how many deviations the record's is above.
// It is the paper's variant for all levels at once, a normal distribution whose mean and deviation depend on the record, fitted by likelihood.
func quantile(ctx context.Context, v *View) ([]float64, error) {
	if len(v.Public) < fewestPublic {
		return nil, fmt.Errorf("%d records are known not to be members, and the regression needs %d: give more", len(v.Public), fewestPublic)
	}
	d := labelled(v.Data)
	public := shadow.Take(d, v.Public)
	public.Classes = nil
	scale := spread(v)
	for _, i := range v.Public {
		public.Targets = append(public.Targets, float32((v.Target.Logit[i*v.Target.Queries]-scale.mean)/scale.deviation), 0)
	}
	net, err := train.Standardize(network.MLP(d.Shape[0], []int{quantileWidth}, 2, v.Seed), public)
	if err != nil {
		return nil, err
	}
	r, err := train.Run(ctx, net, public, train.Options{Loss: normalLikelihood, Epochs: quantileEpochs, Batch: 32, Seed: v.Seed, Threads: 1,
		Optimizer: train.Optimizer{Method: train.AdamW, Rate: 0.003, Decay: 0.01}})
	if err != nil {
		return nil, fmt.Errorf("the regression: %w", err)
	}
	fitted, err := evaluate(ctx, r.Model, d)
	if err != nil {
		return nil, err
	}
	return each(v, func(i int) float64 {
		x := (v.Target.Logit[i*v.Target.Queries] - scale.mean) / scale.deviation
		return (x - float64(fitted[2*i])) * math.Exp(-softClip(float64(fitted[2*i+1])))
	}), nil
}

// labelled gives records in a row, each followed by its class as one of as many columns.
func labelled(d *train.Data) *train.Data {
	width, classes := len(d.X)/d.Len(), 0
	for _, y := range d.Classes {
		classes = max(classes, int(y)+1)
	}
	out := &train.Data{Shape: []int{width + classes}, Classes: d.Classes}
	for i, y := range d.Classes {
		out.X = append(out.X, d.X[i*width:(i+1)*width]...)
		class := make([]float32, classes)
		class[y] = 1
		out.X = append(out.X, class...)
	}
	return out
}

type moments struct{ mean, deviation float64 }

// spread is of the public records' logits, so that the regression has numbers around 0.
func spread(v *View) (m moments) {
	n := float64(len(v.Public))
	for _, i := range v.Public {
		m.mean += v.Target.Logit[i*v.Target.Queries] / n
	}
	for _, i := range v.Public {
		c := v.Target.Logit[i*v.Target.Queries] - m.mean
		m.deviation += c * c / n
	}
	m.deviation = max(math.Sqrt(m.deviation), leastDeviation)
	return m
}

// clipped is how far from 0 the logarithm of a deviation can go.
const clipped = 3

// softClip keeps a number within ±clipped.
func softClip(x float64) float64 { return clipped * math.Tanh(x/clipped) }

// normalLikelihood is the negative logarithm of a normal density but for its constant: of two scores the first is the mean,
// the second, within limits, the logarithm of the deviation.
func normalLikelihood(s autodiff.Scores) (string, error) {
	column := func(of string, k int64) string {
		return s.Op("Squeeze", nil, s.Op("Slice", nil, of, s.Ints(k), s.Ints(k+1), s.Ints(1)), s.Ints(1))
	}
	limit := s.Number(s.Elem, clipped)
	log := s.Op("Mul", nil, s.Op("Tanh", nil, s.Op("Div", nil, column(s.Logits, 1), limit)), limit)
	off := s.Op("Div", nil, s.Op("Sub", nil, column(s.Labels, 0), column(s.Logits, 0)), s.Op("Exp", nil, log))
	half := s.Op("Mul", nil, s.Op("Mul", nil, off, off), s.Number(s.Elem, 0.5))
	return s.Op("Add", nil, log, half), nil
}

// evaluate gives a network's outputs for all records.
func evaluate(ctx context.Context, m *onnx.Model, d *train.Data) ([]float32, error) {
	session, err := ort.New(m, ort.Options{Threads: 1})
	if err != nil {
		return nil, err
	}
	defer session.Close()
	shape := []int64{int64(d.Len())}
	for _, n := range d.Shape {
		shape = append(shape, int64(n))
	}
	out := []*ort.Tensor{nil}
	if err := session.Run(ctx, []*ort.Tensor{ort.NewTensor(d.X, shape...)}, out); err != nil {
		return nil, err
	}
	return ort.Data[float32](out[0]), nil
}
