package repair

import (
	"context"
	"fmt"
	"math"

	"assay/internal/dataset"
	"assay/internal/train"
	"assay/onnx"
)

// Unlearning trains a model not to answer any one perturbation of all trusted records: in the inner step the
// perturbation goes up the loss, in the outer the weights go down it, half of each batch with the perturbation and half without.
//
// It is the minimax of I-BAU (Zeng et al. 2022, arXiv:2110.03735) without its implicit hypergradient: that the best
// perturbation changes with the weights is left out, as at an inner maximum it may be (Danskin's theorem). That makes it universal
// adversarial training (Shafahi et al. 2020, arXiv:1811.11304) on trusted records.
type Unlearning struct {
	Radius float64 // L2 norm of the perturbation, in standard deviations of the records' values times the root of how many a record has; 0 for 0.25
	Steps  int     // of the perturbation for each step of the weights; 0 for 5
	Tune   FineTuning
}

// Describe implements Repair.
func (Unlearning) Describe() Description {
	return Description{"unlearning", "trained on trusted records against the one perturbation that changes most answers", Trusted,
		"after Zeng et al. 2022 (arXiv:2110.03735), I-BAU, without the implicit gradient; Shafahi et al. 2020 (arXiv:1811.11304)"}
}

// Repair implements Repair.
func (r Unlearning) Repair(ctx context.Context, m *onnx.Model, records *dataset.Dataset, o Options) (*Repaired, error) {
	d, err := examples(r.Describe(), m, records)
	if err != nil {
		return nil, err
	}
	if r.Radius == 0 {
		r.Radius = 0.25
	}
	if r.Steps == 0 {
		r.Steps = 5
	}
	if !(r.Radius > 0) || r.Steps < 0 {
		return nil, fmt.Errorf("unlearning of a perturbation of radius %g by %d steps: give numbers above 0", r.Radius, r.Steps)
	}
	width := records.Schema.Width()
	p := &perturbation{values: make([]float64, width), radius: r.Radius * d.Deviation() * math.Sqrt(float64(width)), steps: r.Steps}
	tuned, err := r.Tune.train(ctx, m, d, o, p.perturb)
	if err != nil {
		return nil, err
	}
	return &Repaired{tuned, fmt.Sprintf("trained for %d epochs on %d trusted records, half of them with the perturbation of L2 norm %.4g that raises the loss most", r.Tune.epochs(), d.Len(), p.radius)}, nil
}

// perturbation is one of all records, which lasts from batch to batch and begins at 0 in each epoch.
type perturbation struct {
	values []float64
	radius float64 // its largest L2 norm
	steps  int
	epoch  int // from 1, that it is of
}

// perturb moves the perturbation up the loss of a batch, and adds it to each second example.
func (p *perturbation) perturb(ctx context.Context, b *train.Batch) error {
	if p.epoch != b.Epoch+1 {
		p.epoch = b.Epoch + 1
		clear(p.values)
	}
	clean, width := append([]float32(nil), b.X...), len(p.values)
	for range p.steps {
		p.add(b.X, clean, 1)
		slopes, err := b.InputGradient(ctx)
		if err != nil {
			return err
		}
		mean := make([]float64, width)
		for i, v := range slopes {
			if v-v == 0 { // what is not finite shows no way up
				mean[i%width] += float64(v)
			}
		}
		p.climb(mean)
	}
	copy(b.X, clean)
	p.add(b.X, clean, 2)
	return nil
}

// climb goes along a gradient, and back into the ball.
func (p *perturbation) climb(gradient []float64) {
	length := norm(gradient)
	if length == 0 {
		return
	}
	for i, v := range gradient {
		p.values[i] += 2.5 * p.radius / float64(p.steps) * v / length
	}
	if length = norm(p.values); length > p.radius {
		for i := range p.values {
			p.values[i] *= p.radius / length
		}
	}
}

// add puts the perturbation onto each step-th example.
func (p *perturbation) add(to, clean []float32, step int) {
	width := len(p.values)
	for at := 0; at < len(clean); at += step * width {
		for i, v := range p.values {
			to[at+i] = clean[at+i] + float32(v)
		}
	}
}

func norm(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum)
}
