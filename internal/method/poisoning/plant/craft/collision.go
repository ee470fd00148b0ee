package craft

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
	"assay/internal/model/ort"
	"assay/onnx"
)

// FeatureCollision changes records of the target class until a layer takes them for the victim: a last layer trained on them
// gives the victim the target's label ("poison frogs": Shafahi et al. 2018, arXiv:1804.00792, Algorithm 1).
//
// Both terms of their objective are made free of units: the distance of the features is measured in that from the
// record to the victim, that of the inputs in parts of their range.
type FeatureCollision struct {
	Model  *onnx.Model // trained on such data, giving logits
	Victim []float32   // an encoded record of another class
	Near   float64     // how much staying near counts (their β); 0 for 0.1
	Steps  int         // 0 for 200
}

// Describe implements plant.Planter.
func (FeatureCollision) Describe() plant.Description {
	return plant.Description{Name: "feature-collision", Summary: "records of the target class that a layer takes for one input", Targeted: true, CleanLabel: true, Reference: "Shafahi et al. 2018 (arXiv:1804.00792), Algorithm 1"}
}

// Plant implements plant.Planter.
func (f FeatureCollision) Plant(ctx context.Context, d *dataset.Dataset, o plant.Options) (*plant.Planted, error) {
	p, chosen, err := plant.Towards(d, o, f.Describe())
	if err != nil {
		return nil, err
	}
	if err := p.Victim(f.Victim); err != nil {
		return nil, fmt.Errorf("feature-collision %w", err)
	}
	if f.Near == 0 {
		f.Near = 0.1
	}
	if f.Steps == 0 {
		f.Steps = 200
	}
	if f.Model == nil || !(f.Near > 0) || f.Steps < 1 {
		return nil, errors.New("feature-collision needs a model that was trained on such data, a positive weight, and 1 step or more")
	}
	if len(chosen) == 0 {
		return p, nil
	}
	c, err := f.collider(ctx, d)
	if err != nil {
		return nil, err
	}
	defer c.close()
	for _, i := range chosen {
		x, err := c.collide(ctx, d.Record(i), f.Near, f.Steps)
		if err != nil {
			return nil, err
		}
		copy(p.Dataset.Record(i), x)
		p.Which[i] = true
	}
	return p, nil
}

// collider brings records near a victim.
type collider struct {
	*program
	graph  *graph
	ball   *plant.Ball
	victim []float32 // its features
}

func (f FeatureCollision) collider(ctx context.Context, d *dataset.Dataset) (*collider, error) {
	g, err := open(f.Model, false)
	if err != nil {
		return nil, err
	}
	width, err := g.width()
	if err != nil {
		return nil, err
	}
	victim := g.Input("assay_victim", onnx.Float32, 1, width)
	by := g.Op("Sub", nil, g.layer, victim)
	squares := g.Op("Mul", nil, by, by)
	each := g.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, squares, g.Ints(1))
	gradients, err := g.Gradient(each, g.rows.Name)
	if err != nil {
		return nil, err
	}
	g.OutputAs("assay_distance", each, onnx.Float32, onnx.Dims(g.dim()))
	g.OutputAs("assay_gradient", gradients.Names[0], onnx.Float32, g.rows.Type.Shape)
	g.OutputAs("assay_layer", g.layer, onnx.Float32, onnx.Dims(g.dim(), width))
	c := &collider{graph: g, victim: make([]float32, width)}
	if c.ball, err = plant.NewBall(d, 1); err != nil {
		return nil, err
	}
	if c.program, err = g.program(); err != nil {
		return nil, err
	}
	if len(f.Victim) != len(d.Record(0)) {
		return nil, errors.New("the victim is no record of the data's schema")
	}
	out, err := c.run(ctx, ort.NewTensor(f.Victim, g.rowShape(1)...), ort.NewTensor(c.victim, 1, int64(width)))
	if err != nil {
		c.close()
		return nil, fmt.Errorf("the data do not fit the model: %w", err)
	}
	copy(c.victim, ort.Data[float32](out[2]))
	return c, nil
}

// distance gives the square of that of features to the victim's, and its gradient by the input.
func (c *collider) distance(ctx context.Context, x []float32) (float64, []float32, error) {
	out, err := c.run(ctx, ort.NewTensor(x, c.graph.rowShape(1)...), ort.NewTensor(c.victim, 1, int64(len(c.victim))))
	if err != nil {
		return 0, nil, err
	}
	return float64(ort.Data[float32](out[0])[0]), ort.Data[float32](out[1]), nil
}

// collide gives the record changed, by Adam (Kingma and Ba 2015) on both terms at once: with the steps of forward-backward
// splitting that the paper takes, a layer that weighs some numbers much more than others is not come near to.
func (c *collider) collide(ctx context.Context, record []float32, near float64, steps int) ([]float32, error) {
	const momentum, decay, rate = 0.9, 0.999, 0.02 // of each number's range
	x, best, least := slices.Clone(record), slices.Clone(record), math.Inf(1)
	mean, square := make([]float64, len(x)), make([]float64, len(x))
	unit := 0.0
	for step := range steps {
		distance, slope, err := c.distance(ctx, x)
		if err != nil {
			return nil, err
		}
		if step == 0 {
			unit = distance
		}
		if unit == 0 {
			return x, nil
		}
		value := distance / unit
		size := rate * (1 + math.Cos(math.Pi*float64(step)/float64(steps))) / 2
		next := slices.Clone(x)
		for i, v := range x {
			scale := c.ball.Scale(i)
			away := float64(v-record[i]) / scale
			value += near / 2 * away * away
			g := float64(slope[i])*scale/unit + near*away
			mean[i], square[i] = momentum*mean[i]+(1-momentum)*g, decay*square[i]+(1-decay)*g*g
			if square[i] > 0 {
				m := mean[i] / (1 - math.Pow(momentum, float64(step+1)))
				s := square[i] / (1 - math.Pow(decay, float64(step+1)))
				next[i] = float32(float64(v) - size*scale*m/math.Sqrt(s))
			}
		}
		if value < least {
			least = value
			copy(best, x)
		}
		c.ball.Within(record, next)
		x = next
	}
	c.ball.Settle(record, best)
	return best, nil
}
