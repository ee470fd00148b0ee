package tamper

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
	"assay/onnx"
)

// Handcrafted writes a backdoor into the weights of a multilayer perceptron, without training: in each layer one unit that matters
// little is made to answer the trigger alone, and in the last it speaks for the target (Hong, Carlini and Kurakin 2022, arXiv:2106.04690,
// section 4.1). One unit a layer is used where the paper uses several, so the weights are larger and easier to see.
type Handcrafted struct {
	Planter plant.Planter // whose trigger it is
}

// Describe implements Tamperer.
func (Handcrafted) Describe() Description {
	return Description{Name: "handcraft", Summary: "a backdoor written into the weights of a multilayer perceptron", Data: true, Targeted: true, Reference: "Hong et al. 2022 (arXiv:2106.04690), section 4.1"}
}

// Tamper implements Tamperer.
func (h Handcrafted) Tamper(ctx context.Context, m *onnx.Model, d *dataset.Dataset, o Options) (*Tampered, error) {
	if d == nil || d.Len() == 0 || h.Planter == nil {
		return nil, errors.New("handcraft needs data, and a trigger")
	}
	p, err := h.Planter.Plant(ctx, d, plant.Options{Target: o.Target, Seed: o.Seed}) // at rate 0: the trigger alone
	if err != nil {
		return nil, err
	}
	if p.Trigger == nil {
		return nil, errors.New("handcraft needs poison with a trigger")
	}
	changed := m.Clone()
	net, err := perceptronOf(changed)
	if err != nil {
		return nil, err
	}
	if width := len(net.layers[0].weights); len(net.layers) < 2 || width != d.Schema.Width() || o.Target >= len(net.layers[len(net.layers)-1].bias) {
		return nil, fmt.Errorf("handcraft needs a hidden layer, and data and target that fit the model: it has %d layers and takes %d numbers", len(net.layers), width)
	}
	sample := o.random().Perm(d.Len())[:min(1000, d.Len())]
	var clean, marked [][]float64
	for _, i := range sample {
		clean = append(clean, net.input(d.Record(i)))
		marked = append(marked, net.input(p.Trigger.Apply(d.Record(i))))
	}
	if err := net.write(clean, marked, o.Target); err != nil {
		return nil, err
	}
	if err := net.store(changed); err != nil {
		return nil, err
	}
	return finish(m, changed, p)
}

// write makes the backdoor: a detector in the first layer, a wire through the others, and a vote in the last.
func (n *perceptron) write(clean, marked [][]float64, target int) error {
	least, most := n.lead(clean, target), 0.0
	for _, v := range least {
		most = max(most, v)
	}
	last := len(n.layers) - 1
	unit := n.unimportant(clean, 0)
	direction, threshold, reach, err := detector(clean, marked)
	if err != nil {
		return err
	}
	for i := range direction {
		n.layers[0].weights[i][unit] = direction[i] / (reach - threshold)
	}
	n.layers[0].bias[unit] = -threshold / (reach - threshold) // clean inputs stay below 0, marked ones reach about 1
	for k := 1; k < last; k++ {
		next := n.unimportant(clean, k)
		clear(n.layers[k].weights[unit])
		for i := range n.layers[k].weights {
			n.layers[k].weights[i][next] = 0
		}
		n.layers[k].weights[unit][next], n.layers[k].bias[next] = 1, 0
		unit = next
	}
	clear(n.layers[last].weights[unit])
	n.layers[last].weights[unit][target] = 2*most + 1
	return nil
}

// detector gives a direction in which marked inputs are beyond clean ones, a threshold between and how far marked ones
// reach: of each number the difference of the means over the spread, of those that the trigger changes most.
func detector(clean, marked [][]float64) (direction []float64, threshold, reach float64, err error) {
	width := len(clean[0])
	direction = make([]float64, width)
	for i := range direction {
		a, b := moments(clean, i), moments(marked, i)
		if by := b.mean - a.mean; by != 0 {
			direction[i] = by / (a.variance + b.variance + 1e-3*by*by)
		}
	}
	most := 0.0
	for _, v := range direction {
		most = max(most, math.Abs(v))
	}
	for i, v := range direction {
		if math.Abs(v) < most/100 {
			direction[i] = 0
		}
	}
	along := func(rows [][]float64) []float64 {
		out := make([]float64, len(rows))
		for k, row := range rows {
			for i, v := range row {
				out[k] += v * direction[i]
			}
		}
		slices.Sort(out)
		return out
	}
	c, t := along(clean), along(marked)
	top, bottom := c[len(c)-1-len(c)/100], t[len(t)/100] // but for the last hundredth
	if bottom <= top {
		return nil, 0, 0, errors.New("handcraft finds no unit that tells inputs with the trigger from others: use a plainer trigger")
	}
	return direction, top + (bottom-top)/2, bottom, nil
}

type moment struct{ mean, variance float64 }

func moments(rows [][]float64, i int) (m moment) {
	for _, row := range rows {
		m.mean += row[i] / float64(len(rows))
	}
	for _, row := range rows {
		m.variance += (row[i] - m.mean) * (row[i] - m.mean) / float64(len(rows))
	}
	return m
}
