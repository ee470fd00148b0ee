package inversion

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"gonum.org/v1/gonum/mat"

	"assay/internal/method/shadow"
	"assay/internal/model/ort"
)

// Property is what of a model's training data the attacker wants to know: which of two shares of the records has something.
type Property struct {
	Holds  []bool     // which records of the population have it
	Shares [2]float64 // between which it is decided, from 0 to 1
	Size   int        // records that models are trained on
}

// PropertyOptions say how it is learnt.
type PropertyOptions struct {
	Shadows    int    // an even number from 8: half of them to learn from, half to measure on
	Queries    int    // records that models are asked about; 0 for 128
	Folder     string // that keeps shadow models; empty for none
	Parallel   int    // trainings at once; 0 for as many as Go uses processors
	Confidence float64
	Seed       uint64
	Progress   func(done, total int)
}

// PropertyAudit is how well a model's answers show the property.
type PropertyAudit struct {
	Shadows int     `json:"shadows"` // that it was measured on
	Correct Rate    `json:"correct"` // the part of them of which the share was told
	Gain    Rate    `json:"gain"`    // that is more than a coin's, with which each of them had its share
	Guess   float64 `json:"guess"`   // the share that the model itself is taken to have had
}

// Properties learns from shadow models trained on either share, by what they answer to some records, which share a model had
// (Ateniese et al. 2015, arXiv:1306.4447, section 3; from answers alone as Zhang et al. 2021, arXiv:2006.07267, section 4). Those
// that it is measured on are trained on other records of the population than those it is learnt from. The meta-classifier is
// ridge regression on logarithms of probabilities. Records are the population's, which the trainer has too.
func Properties(ctx context.Context, v Victim, t shadow.Trainer, records [][]float32, p Property, o PropertyOptions) (*PropertyAudit, error) {
	if o.Shadows < 8 || o.Shadows%4 != 0 || len(records) != t.Len() || len(p.Holds) != t.Len() {
		return nil, fmt.Errorf("%d shadow models for %d records: give a multiple of 4 from 8, and a population of which each record is known", o.Shadows, len(records))
	}
	if o.Queries == 0 {
		o.Queries = 128
	}
	halves := p.halves(rand.New(rand.NewPCG(o.Seed, 21)))
	var queries [][]float32
	for _, i := range halves[0][:min(o.Queries, len(halves[0]))] {
		queries = append(queries, records[i])
	}
	seen := make([][]float64, o.Shadows)
	var mutex sync.Mutex
	done := 0
	err := shadow.Each(ctx, o.Shadows, o.Parallel, func(ctx context.Context, k int) error {
		members, err := p.members(halves[k/2%2], k%2, rand.New(rand.NewPCG(o.Seed, 100+uint64(k))))
		if err != nil {
			return err
		}
		m, _, err := shadow.Train(ctx, t, members, o.Seed+uint64(k), o.Folder)
		if err != nil {
			return fmt.Errorf("shadow model %d: %w", k+1, err)
		}
		c, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: ort.Options{Threads: 1}})
		if err != nil {
			return err
		}
		defer c.Close()
		if seen[k], err = (Victim{Model: c}).logarithms(ctx, queries); err != nil {
			return err
		}
		mutex.Lock()
		defer mutex.Unlock()
		if done++; o.Progress != nil {
			o.Progress(done, o.Shadows)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	own, err := v.logarithms(ctx, queries)
	if err != nil {
		return nil, err
	}
	return measured(seen, own, p, o)
}

// measured learns from the shadows of one half of the population and measures on the others.
func measured(seen [][]float64, own []float64, p Property, o PropertyOptions) (*PropertyAudit, error) {
	var learnt [][]float64
	var of []float64
	for k, x := range seen {
		if k/2%2 == 0 {
			learnt, of = append(learnt, x), append(of, 2*float64(k%2)-1)
		}
	}
	score, err := ridge(learnt, of)
	if err != nil {
		return nil, err
	}
	out, correct := &PropertyAudit{Guess: p.Shares[0]}, 0
	for k, x := range seen {
		if k/2%2 == 1 {
			out.Shadows++
			if score(x) > 0 == (k%2 == 1) {
				correct++
			}
		}
	}
	if len(own) != len(seen[0]) {
		return nil, errors.New("the model has other classes than those like it that were trained: train them on the same labels")
	}
	if score(own) > 0 {
		out.Guess = p.Shares[1]
	}
	if out.Correct, err = rateOf(correct, out.Shadows, o.Confidence); err != nil {
		return nil, err
	}
	out.Gain = Rate{out.Correct.Part - 0.5, out.Correct.Lower - 0.5, out.Correct.Upper - 0.5}
	return out, nil
}

// halves divides the population, with as many that have the property on either side.
func (p Property) halves(r *rand.Rand) (out [2][]int) {
	var next [2]int
	for _, i := range r.Perm(len(p.Holds)) {
		kind := 0
		if p.Holds[i] {
			kind = 1
		}
		side := (next[kind] + kind) % 2 // so that neither side gets the odd one of both kinds
		out[side] = append(out[side], i)
		next[kind]++
	}
	return out
}

// members draws a training set with a share from part of the population.
func (p Property) members(from []int, which int, r *rand.Rand) ([]int, error) {
	share := p.Shares[which]
	if !(share >= 0 && share <= 1) || p.Shares[0] == p.Shares[1] || p.Size < 2 {
		return nil, fmt.Errorf("shares %g and %g of %d records: give two of them, from 0 to 1, and 2 records or more", p.Shares[0], p.Shares[1], p.Size)
	}
	left := [2]int{p.Size - int(math.Round(share*float64(p.Size))), int(math.Round(share * float64(p.Size)))}
	var members []int
	for _, j := range r.Perm(len(from)) {
		kind := 0
		if p.Holds[from[j]] {
			kind = 1
		}
		if left[kind] > 0 {
			left[kind]--
			members = append(members, from[j])
		}
	}
	if left != [2]int{} {
		return nil, fmt.Errorf("half of the population lacks %d records with the property and %d without for a share of %g of %d: train on fewer, or give more data", left[1], left[0], share, p.Size)
	}
	slices.Sort(members)
	return members, nil
}

// logarithms are those of the probabilities that a model gives records, one after the other.
func (v Victim) logarithms(ctx context.Context, records [][]float32) ([]float64, error) {
	const least = 1e-6
	each, err := v.probabilities(ctx, records)
	var out []float64
	for _, p := range each {
		for _, v := range p {
			out = append(out, math.Log(max(v, least)))
		}
	}
	return out, err
}

// ridge learns numbers from features, of which there may be more than examples.
func ridge(x [][]float64, y []float64) (func(x []float64) float64, error) {
	n, width := len(x), len(x[0])
	mean := make([]float64, width)
	for _, row := range x {
		for j, v := range row {
			mean[j] += v / float64(n)
		}
	}
	centred := mat.NewDense(n, width, nil)
	for i, row := range x {
		for j, v := range row {
			centred.Set(i, j, v-mean[j])
		}
	}
	var kernel mat.Dense
	kernel.Mul(centred, centred.T())
	weight := 0.01 * mat.Trace(&kernel) / float64(n)
	if weight == 0 {
		return func([]float64) float64 { return 0 }, nil // all models answer alike
	}
	for i := range n {
		kernel.Set(i, i, kernel.At(i, i)+weight)
	}
	var dual, weights mat.VecDense
	if err := dual.SolveVec(&kernel, mat.NewVecDense(n, slices.Clone(y))); err != nil {
		return nil, fmt.Errorf("the meta-classifier could not be learnt: %w", err)
	}
	weights.MulVec(centred.T(), &dual)
	return func(x []float64) (sum float64) {
		for j, v := range x {
			sum += (v - mean[j]) * weights.AtVec(j)
		}
		return sum
	}, nil
}
