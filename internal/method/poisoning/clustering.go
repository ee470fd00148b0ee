package poisoning

import (
	"context"
	"math"
	"math/rand/v2"
)

// ActivationClustering parts the features of each class in two and suspects the smaller part (Chen et al. 2018,
// arXiv:1811.03728, section 4). They reduce features to 10 independent components; here these are the
// whitened principal ones, of which the independent are a rotation, and 2-means is the same under rotations. Their
// rules of relative size and silhouette score together make a record's suspicion: its silhouette times
// one less twice its cluster's share of the class. It is negative in the larger part. The silhouette is the simplified
// one, by distances to the centres (Hruschka et al. 2004), as the full one takes the square of the records.
type ActivationClustering struct {
	Components int // 10 for 0
}

// Describe implements Detector.
func (ActivationClustering) Describe() Description {
	return Description{Name: "activation-clustering", Needs: []Need{Features}, Reference: "Chen et al. 2018 (arXiv:1811.03728), section 4"}
}

// Suspect implements Detector.
func (d ActivationClustering) Suspect(ctx context.Context, r *Records, rng *rand.Rand) ([]float64, error) {
	if err := r.Check(d.Describe()); err != nil {
		return nil, err
	}
	out := make([]float64, len(r.Labels))
	for _, members := range r.byLabel() {
		if len(members) < 4 {
			continue
		}
		c := centred(r.Features, members)
		values, y, err := c.principal(within(d.Components, 10, c.width))
		if err != nil {
			return nil, err
		}
		y.whiten(values)
		p, err := halve(ctx, y, rng)
		if err != nil {
			return nil, err
		}
		for k, i := range members {
			own := p.of[k]
			near := math.Sqrt(squaredDistance(y.row(k), p.centres[own]))
			far := math.Sqrt(squaredDistance(y.row(k), p.centres[1-own]))
			share := float64(p.size[own]) / float64(len(members))
			out[i] = ratio(far-near, max(far, near)) * (1 - 2*share)
		}
	}
	return out, nil
}

// parting is rows parted in two.
type parting struct {
	of      []int
	size    [2]int
	centres [2][]float64
	spread  float64 // the sum of squared distances to the own centre
}

// halve gives the best of ten partings by 2-means, each from a start by k-means++ (Arthur and Vassilvitskii 2007).
func halve(ctx context.Context, c *rows, rng *rand.Rand) (best *parting, err error) {
	for range 10 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p := start(c, rng)
		for range 100 {
			if !p.step(c) {
				break
			}
		}
		if best == nil || p.spread < best.spread {
			best = p
		}
	}
	return best, nil
}

func start(c *rows, rng *rand.Rand) *parting {
	p := &parting{of: make([]int, c.len())}
	p.centres[0] = append([]float64{}, c.row(rng.IntN(c.len()))...)
	sum, at := 0.0, rng.IntN(c.len())
	for k := range c.len() { // one drawn by its squared distance, without a list of them
		d := squaredDistance(c.row(k), p.centres[0])
		if sum += d; d > 0 && rng.Float64() < d/sum {
			at = k
		}
	}
	p.centres[1] = append([]float64{}, c.row(at)...)
	return p
}

// step gives each row to the nearer centre and moves the centres; it reports whether a row changed its part.
func (p *parting) step(c *rows) (changed bool) {
	p.size, p.spread = [2]int{}, 0
	sums := [2][]float64{make([]float64, c.width), make([]float64, c.width)}
	for k := range p.of {
		row := c.row(k)
		a, b := squaredDistance(row, p.centres[0]), squaredDistance(row, p.centres[1])
		to := 0
		if b < a {
			to = 1
		}
		changed = changed || to != p.of[k]
		p.of[k] = to
		p.size[to]++
		p.spread += min(a, b)
		axpy(1, row, sums[to])
	}
	for to, sum := range sums {
		for j := range sum {
			if p.size[to] > 0 {
				p.centres[to][j] = sum[j] / float64(p.size[to])
			}
		}
	}
	return changed
}
