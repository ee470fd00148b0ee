package poisoning

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"

	"assay/internal/stat"
)

// Incoming is what STRIP says of records that come in, by a threshold from clean ones.
type Incoming struct {
	Threshold float64   // the entropy, in nats, below which a record is taken to have a trigger
	Entropy   []float64 // of each record
	Below     []int     // the records taken to have one, the lowest entropy first
	P         float64   // the probability of as many or more, were all records like the clean ones
}

// Incoming tells which of some records STRIP takes to have a trigger. Clean records, of which none is an overlay, set the Threshold: a record
// that is like them is below it with a probability of at most fpr. As one threshold serves for all, more than that part of some records may
// be below by chance; P takes account of it, whatever the distribution of entropies.
func (s Strip) Incoming(ctx context.Context, clean, incoming Matrix, fpr float64, rng *rand.Rand) (*Incoming, error) {
	first, second := rng.Uint64(), rng.Uint64()
	entropy := func(m Matrix) ([]float64, error) { // with the same overlays for all
		return s.Entropy(ctx, m, rand.New(rand.NewPCG(first, second)))
	}
	known, err := entropy(clean)
	if err != nil {
		return nil, err
	}
	out := &Incoming{}
	if out.Threshold, err = Threshold(known, fpr); err != nil {
		return nil, err
	}
	if out.Entropy, err = entropy(incoming); err != nil {
		return nil, err
	}
	for i, v := range out.Entropy {
		if v < out.Threshold {
			out.Below = append(out.Below, i)
		}
	}
	slices.SortStableFunc(out.Below, func(a, b int) int { return cmp.Compare(out.Entropy[a], out.Entropy[b]) })
	within := 0
	for _, v := range known {
		if v <= out.Threshold {
			within++
		}
	}
	out.P, err = stat.Exceedance(len(out.Below), len(out.Entropy), within, len(known))
	return out, err
}
