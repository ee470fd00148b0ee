// Package tamper plants known faults in a copy of a model, so that it can be measured what finds and removes them. The
// model given is never written over.
package tamper

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
	"assay/internal/train"
	"assay/onnx"
)

// Tamperer changes models in one way.
type Tamperer interface {
	// Describe tells what the tamperer is. It is the same at every call.
	Describe() Description

	// Tamper gives a changed copy of the model. Data are for those that need some, under the schema that the model was
	// trained by. Randomness comes from the seed alone.
	Tamper(ctx context.Context, m *onnx.Model, d *dataset.Dataset, o Options) (*Tampered, error)
}

// Description tells what a tamperer is.
type Description struct {
	Name      string `json:"name"`
	Summary   string `json:"summary"`
	Data      bool   `json:"data"`     // it needs data
	Targeted  bool   `json:"targeted"` // towards the target class
	Reference string `json:"reference,omitempty"`
}

// Options say how much is changed, and towards what.
type Options struct {
	Rate   float64 // of poison in the data, of channels: as the tamperer says
	Target int     // the class, an index into the model's
	Bits   int     // that are flipped
	Seed   uint64
}

func (o Options) random() *rand.Rand { return rand.New(rand.NewPCG(o.Seed, 4)) }

// Tampered is a changed copy of a model.
type Tampered struct {
	Model   *onnx.Model
	Planted *plant.Planted // where there is a backdoor: its trigger and target
	Changed int            // weights or classes that are not as they were
}

// finish counts what a copy differs in from the model.
func finish(m, changed *onnx.Model, p *plant.Planted) (*Tampered, error) {
	out := &Tampered{Model: changed, Planted: p}
	for _, t := range changed.Graph.Initializers {
		was := m.Graph.Initializer(t.Name)
		if was == nil || was == t || !t.Type.IsFloat() {
			continue
		}
		a, err := was.Float64s()
		if err != nil {
			return nil, err
		}
		b, err := t.Float64s()
		if err != nil {
			return nil, err
		}
		for i, v := range b {
			if i >= len(a) || v != a[i] {
				out.Changed++
			}
		}
	}
	return out, nil
}

// FineTune trains a model further on data with poison in them.
type FineTune struct {
	Planter plant.Planter
	Epochs  int           // 0 for 5
	Train   train.Options // Epochs and Seed aside
}

// Describe implements Tamperer.
func (FineTune) Describe() Description {
	return Description{Name: "fine-tune", Summary: "trained further on poisoned data", Data: true, Targeted: true, Reference: "Gu et al. 2017 (arXiv:1708.06733)"}
}

// Tamper implements Tamperer. Rate is that of the poison.
func (f FineTune) Tamper(ctx context.Context, m *onnx.Model, d *dataset.Dataset, o Options) (*Tampered, error) {
	if d == nil || f.Planter == nil {
		return nil, errors.New("fine-tune needs data, and poison to plant in them")
	}
	p, err := f.Planter.Plant(ctx, d, plant.Options{Rate: o.Rate, Target: o.Target, Seed: o.Seed})
	if err != nil {
		return nil, err
	}
	if p.Count() == 0 {
		return finish(m, m.Clone(), p)
	}
	data, err := train.ForModel(m, p.Dataset)
	if err != nil {
		return nil, err
	}
	t := f.Train
	t.Epochs, t.Seed = f.Epochs, o.Seed
	if t.Epochs == 0 {
		t.Epochs = 5
	}
	r, err := train.Run(ctx, m, data, t)
	if err != nil {
		return nil, err
	}
	return finish(m, r.Model, p)
}

// SwapLabels has a model give each of two classes' scores to the other: the target's and that of the next class.
type SwapLabels struct{}

// Describe implements Tamperer.
func (SwapLabels) Describe() Description {
	return Description{Name: "swap-labels", Summary: "the target and the class after it swapped in the output", Targeted: true}
}

// Tamper implements Tamperer.
func (SwapLabels) Tamper(_ context.Context, m *onnx.Model, _ *dataset.Dataset, o Options) (*Tampered, error) {
	if len(m.Graph.Outputs) != 1 || len(m.Graph.Outputs[0].Type.Shape) != 2 {
		return nil, fmt.Errorf("labels are swapped in models with one output, a score of each class: this one has %v", m.Graph.Outputs)
	}
	out := m.Graph.Outputs[0]
	sizes, _ := out.Type.Shape[1:].Sizes()
	if len(sizes) != 1 || sizes[0] < 2 || o.Target < 0 || int64(o.Target) >= sizes[0] {
		return nil, fmt.Errorf("labels %d and the next cannot be swapped in an output of %v", o.Target, out.Type)
	}
	order := make([]int64, sizes[0])
	for i := range order {
		order[i] = int64(i)
	}
	next := (o.Target + 1) % len(order)
	order[o.Target], order[next] = order[next], order[o.Target]
	m = m.Clone()
	b := onnx.Extend(m.Graph)
	inner := b.Name(out.Name + "_inner")
	for _, n := range m.Graph.Nodes {
		for _, list := range [][]string{n.Inputs, n.Outputs} {
			for i, name := range list {
				if name == out.Name {
					list[i] = inner
				}
			}
		}
	}
	b.Add("Gather", onnx.Attrs{"axis": int64(1)}, []string{inner, b.Ints(order...)}, []string{out.Name}).Name = b.Name(out.Name + "_order")
	return &Tampered{Model: m, Changed: 2}, m.Check()
}

// ShiftStatistics moves the running means of batch normalisation, of a part of the channels by some deviations up or
// down. The weights stay as they are.
type ShiftStatistics struct {
	Deviations float64 // 0 for 2
}

// Describe implements Tamperer.
func (ShiftStatistics) Describe() Description {
	return Description{Name: "batch-norm", Summary: "running means of batch normalisation moved"}
}

// Tamper implements Tamperer. Rate is the part of the channels.
func (s ShiftStatistics) Tamper(_ context.Context, m *onnx.Model, _ *dataset.Dataset, o Options) (*Tampered, error) {
	by := s.Deviations
	if by == 0 {
		by = 2
	}
	if !(o.Rate >= 0 && o.Rate <= 1) {
		return nil, fmt.Errorf("a rate of %g is no part of the channels: give one from 0 to 1", o.Rate)
	}
	changed, rng, found := m.Clone(), o.random(), false
	for _, n := range changed.Graph.Nodes {
		if n.OpType() != "BatchNormalization" {
			continue
		}
		at := slices.IndexFunc(changed.Graph.Initializers, func(t *onnx.Tensor) bool { return t.Name == n.Input(3) })
		variance := changed.Graph.Initializer(n.Input(4))
		if at < 0 || variance == nil {
			continue
		}
		mean := changed.Graph.Initializers[at]
		values, err := mean.Float64s()
		if err != nil {
			return nil, err
		}
		v, err := variance.Float64s()
		if err != nil {
			return nil, err
		}
		found = true
		values = slices.Clone(values)
		for _, k := range rng.Perm(len(values))[:int(math.Round(o.Rate*float64(len(values))))] {
			values[k] += by * math.Sqrt(max(v[k], 0)) * float64(2*rng.IntN(2)-1)
		}
		if changed.Graph.Initializers[at], err = onnx.FromFloat64s(mean.Name, mean.Type, values, mean.Shape...); err != nil {
			return nil, err
		}
	}
	if !found {
		return nil, errors.New("the model has no batch normalisation with statistics of its own")
	}
	return finish(m, changed, nil)
}
