package poisoning

import (
	"context"
	"math/rand/v2"
)

// TracIn suspects records by their influence on themselves: what a step on a record alone lowers its own loss by, summed
// over checkpoints (TracInCP, Pruthi et al. 2020, arXiv:2002.08484, sections 3 and 4.2). A wrong label is
// learnt from that record alone. Gradients are those of the last layer, as is usual: with features h and probabilities p of a record
// labelled y that is (p-e_y)⊗(h,1) for cross-entropy, whose squared length is |p-e_y|²(|h|²+1).
type TracIn struct{}

// Describe implements Detector.
func (TracIn) Describe() Description {
	return Description{Name: "tracin", Needs: []Need{Checkpoints}, Reference: "Pruthi et al. 2020 (arXiv:2002.08484), sections 3 and 4.2, last layer"}
}

// Suspect implements Detector.
func (d TracIn) Suspect(ctx context.Context, r *Records, _ *rand.Rand) ([]float64, error) {
	if err := r.Check(d.Describe()); err != nil {
		return nil, err
	}
	out := make([]float64, len(r.Labels))
	for i := range out {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out[i] = r.influence(i, i)
	}
	return out, nil
}

// Influence is by how much training on record i lowers the loss of each of some records, negative where it raises it.
func (TracIn) Influence(ctx context.Context, r *Records, i int, on []int) ([]float64, error) {
	if err := r.Check(TracIn{}.Describe()); err != nil {
		return nil, err
	}
	out := make([]float64, len(on))
	for k, j := range on {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out[k] = r.influence(i, j)
	}
	return out, nil
}

// influence is the sum over checkpoints of the rate times the product of both gradients by the last layer.
func (r *Records) influence(i, j int) float64 {
	sum := 0.0
	for _, c := range r.Checkpoints {
		scores := 0.0
		for class := range r.Classes {
			scores += r.slope(c, i, class) * r.slope(c, j, class)
		}
		features := 1.0 // of the bias
		for k, v := range c.Features.Row(i) {
			features += float64(v) * float64(c.Features.Row(j)[k])
		}
		sum += c.Rate * scores * features
	}
	return sum
}

// slope is that of cross-entropy by a class's score.
func (r *Records) slope(c Checkpoint, i, class int) float64 {
	p := float64(c.Probabilities.Row(i)[class])
	if class == r.Labels[i] {
		p--
	}
	return p
}
