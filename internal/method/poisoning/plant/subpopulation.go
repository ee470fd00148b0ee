package plant

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"

	"assay/internal/dataset"
	"assay/internal/method"
)

// Subpopulation adds copies of records that are alike under the target's label, so that a model errs on inputs like them
// and nowhere else (Jagielski et al. 2021, arXiv:2006.14026: ClusterMatch with label flipping). Inputs are clustered as
// they are, in parts of their range, where the paper takes a layer of a model.
type Subpopulation struct {
	Clusters int // 0 for one for each 50 records, 2 to 100
}

// Describe implements Planter.
func (Subpopulation) Describe() Description {
	return Description{Name: "subpopulation", Summary: "copies of records that are alike, under the target's label", Targeted: true, Reference: "Jagielski et al. 2021 (arXiv:2006.14026), ClusterMatch"}
}

// Plant implements Planter.
func (s Subpopulation) Plant(ctx context.Context, d *dataset.Dataset, o Options) (*Planted, error) {
	n, err := o.count(d, s.Describe())
	if err != nil {
		return nil, err
	}
	domain, err := domainOf(d)
	if err != nil {
		return nil, err
	}
	count := s.Clusters
	if count == 0 {
		count = min(max(d.Len()/50, 2), 100)
	}
	if count < 2 || count > d.Len() {
		return nil, errors.New("subpopulation needs 2 clusters or more, and no more than there are records")
	}
	rng := o.random(streamSearch)
	c := clustersOf(domain)
	if err := c.fit(ctx, d, count, rng); err != nil {
		return nil, err
	}
	members := make([][]int, count) // of other classes than the target
	size := make([]int, count)
	for i := range d.Len() {
		k := c.nearest(d.Record(i))
		if size[k]++; int(d.Y[i]) != o.Target {
			members[k] = append(members[k], i)
		}
	}
	p := replicate(d, o.Target)
	for _, k := range rng.Perm(count) {
		if len(members[k]) == 0 || 2*len(members[k]) < size[k] {
			continue // what is there is mostly the target's already
		}
		p.Aims = func(record []float32) bool { return c.nearest(record) == k }
		for range n {
			from := members[k][rng.IntN(len(members[k]))]
			p.add(d.Record(from), int32(o.Target), from)
		}
		return p, nil
	}
	return nil, errors.New("subpopulation found no cluster with records of other classes than the target: give another target")
}

// clusters are found by k-means on numbers in parts of their range.
type clusters struct {
	low, scale []float64
	centres    [][]float64
}

func clustersOf(domain *method.Domain) *clusters {
	c := &clusters{}
	for i, low := range domain.Low {
		span := float64(domain.High[i]) - float64(low)
		if span == 0 {
			span = math.Inf(1)
		}
		c.low, c.scale = append(c.low, float64(low)), append(c.scale, 1/span)
	}
	return c
}

// fit finds centres by Lloyd's algorithm, begun at records far apart (Arthur and Vassilvitskii 2007, k-means++). Of
// many records it looks at some.
func (c *clusters) fit(ctx context.Context, d *dataset.Dataset, count int, rng *rand.Rand) error {
	const most, rounds = 5000, 20
	sample := rng.Perm(d.Len())[:min(max(most, 20*count), d.Len())]
	distance := make([]float64, len(sample))
	for i := range distance {
		distance[i] = 1
	}
	for range count {
		c.centres = append(c.centres, c.scaled(d.Record(sample[drawWeighted(distance, rng)])))
		for i, at := range sample {
			if by := c.distance(d.Record(at), len(c.centres)-1); len(c.centres) == 1 || by < distance[i] {
				distance[i] = by
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	for range rounds {
		if err := ctx.Err(); err != nil {
			return err
		}
		sums, sizes := make([][]float64, count), make([]float64, count)
		for k := range sums {
			sums[k] = make([]float64, len(c.low))
		}
		for _, at := range sample {
			k := c.nearest(d.Record(at))
			sizes[k]++
			for i, v := range c.scaled(d.Record(at)) {
				sums[k][i] += v
			}
		}
		for k, size := range sizes {
			for i := range sums[k] {
				if size > 0 {
					c.centres[k][i] = sums[k][i] / size
				}
			}
		}
	}
	return nil
}

func (c *clusters) scaled(record []float32) []float64 {
	out := make([]float64, len(record))
	for i, v := range record {
		out[i] = (float64(v) - c.low[i]) * c.scale[i]
	}
	return out
}

// distance is the square of that to a centre.
func (c *clusters) distance(record []float32, k int) float64 {
	sum := 0.0
	for i, v := range record {
		by := (float64(v)-c.low[i])*c.scale[i] - c.centres[k][i]
		sum += by * by
	}
	return sum
}

func (c *clusters) nearest(record []float32) int {
	best, least := 0, math.Inf(1)
	for k := range c.centres {
		if by := c.distance(record, k); by < least {
			best, least = k, by
		}
	}
	return best
}

// drawWeighted gives a place with a probability in proportion to its weight.
func drawWeighted(weights []float64, rng *rand.Rand) int {
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	left := rng.Float64() * sum
	for i, w := range weights {
		if left -= w; left < 0 {
			return i
		}
	}
	return rng.IntN(len(weights)) // all weigh nothing
}
