// Package canary audits a training by one run of it: canaries, which are records that nobody would have learnt
// otherwise, are put into its data or left out, each by a fair coin. Who can tell from the model which were in has shown that
// the training is not as private as could be: a lower bound on its ε (Steinke, Nasr and Jagielski 2023, arXiv:2305.08846,
// Algorithm 1), and how far each canary is exposed (Carlini et al. 2019, arXiv:1802.08232, section 4).
package canary

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/privacy"
	"assay/internal/train"
	"assay/onnx"
)

// Kind is what canaries are.
type Kind string

// The kinds of canaries.
const (
	Mislabelled Kind = "mislabelled" // records of the data with another class, drawn
	Random      Kind = "random"      // inputs drawn uniformly from the range of each number, with a class that is drawn
)

// Kinds gives all kinds.
func Kinds() []Kind { return []Kind{Mislabelled, Random} }

// Train is the training under audit: it gives a model of some records.
type Train func(ctx context.Context, d *train.Data) (*onnx.Model, error)

// Options say how a training is audited.
type Options struct {
	Kind       Kind
	Count      int     // of canaries, at least 10
	Delta      float64 // of the (ε, δ) that the training is to have, from 0 to below 1
	Claimed    float64 // ε, to compare with; 0 for none
	Confidence float64 // of the lower bound, such as 0.95
	Seed       uint64
}

// Result is what an audit found.
type Result struct {
	Kind     Kind     `json:"kind"`
	Canaries int      `json:"canaries"`
	Inserted int      `json:"inserted"`
	Guesses  int      `json:"guesses"` // of those that proved most
	Correct  int      `json:"correct"`
	Epsilon  float64  `json:"epsilon_lower"` // the training's ε is at least that
	Claimed  float64  `json:"epsilon_claimed,omitempty"`
	Refuted  bool     `json:"refuted"` // the claim
	Exposure Exposure `json:"exposure"`
}

// Exposure tells in bits how much sooner than by chance a search would meet the inserted canaries: log2 of the number of canaries that were left out
// and of 1, less log2 of the rank among these. A canary that is exposed by as much as there can be comes first.
type Exposure struct {
	Mean    float64 `json:"mean"` // about log2(e) = 1.44 without any memory
	Largest float64 `json:"largest"`
	Most    float64 `json:"most"` // that can be
}

// Run trains once, and guesses. The data, with Classes, are not changed.
func Run(ctx context.Context, d *train.Data, training Train, o Options) (*Result, error) {
	if err := o.check(d); err != nil {
		return nil, err
	}
	canaries, in := o.draw(d)
	with := &train.Data{Shape: d.Shape, X: slices.Clone(d.X), Classes: slices.Clone(d.Classes)}
	width := len(d.X) / d.Len()
	for i, inserted := range in {
		if inserted {
			with.X = append(with.X, canaries.X[i*width:(i+1)*width]...)
			with.Classes = append(with.Classes, canaries.Classes[i])
		}
	}
	m, err := training(ctx, with)
	if err != nil {
		return nil, fmt.Errorf("the training with canaries: %w", err)
	}
	scores, err := losses(ctx, m, canaries)
	if err != nil {
		return nil, err
	}
	for i := range scores {
		scores[i] = -scores[i]
	}
	return Judge(scores, in, o)
}

func (o *Options) check(d *train.Data) error {
	switch {
	case !slices.Contains(Kinds(), o.Kind):
		return fmt.Errorf("there are no canaries %q: use one of %q", o.Kind, Kinds())
	case d.Len() == 0 || len(d.Classes) != d.Len():
		return fmt.Errorf("%d records and %d classes: canaries are for records with a class each", d.Len(), len(d.Classes))
	case slices.Max(d.Classes) < 1:
		return errors.New("the records are all of one class: a canary needs another")
	}
	return o.guessing()
}

// guessing checks what guesses need.
func (o *Options) guessing() error {
	switch {
	case o.Count < 10 || o.Count > 1e7:
		return fmt.Errorf("%d canaries: give 10 to 10000000; some hundreds prove something", o.Count)
	case !(o.Delta >= 0 && o.Delta < 1):
		return fmt.Errorf("a delta of %g: give from 0 to less than 1", o.Delta)
	case !(o.Claimed >= 0):
		return fmt.Errorf("a claimed epsilon of %g: give 0 or more", o.Claimed)
	case !(o.Confidence > 0 && o.Confidence < 1):
		return fmt.Errorf("a confidence of %g: give between 0 and 1", o.Confidence)
	}
	return nil
}

// draw makes the canaries, and throws their coins.
func (o *Options) draw(d *train.Data) (*train.Data, []bool) {
	rng := rand.New(rand.NewPCG(o.Seed, 0xca9a))
	width, classes := len(d.X)/d.Len(), int(slices.Max(d.Classes))+1
	low, high := slices.Clone(d.X[:width]), slices.Clone(d.X[:width])
	for i, x := range d.X {
		low[i%width], high[i%width] = min(low[i%width], x), max(high[i%width], x)
	}
	out := &train.Data{Shape: d.Shape}
	in := make([]bool, o.Count)
	for k := range in {
		in[k] = rng.IntN(2) == 0
		if o.Kind == Random {
			for j := range width {
				out.X = append(out.X, low[j]+float32(rng.Float64())*(high[j]-low[j]))
			}
			out.Classes = append(out.Classes, int32(rng.IntN(classes)))
			continue
		}
		i := rng.IntN(d.Len())
		out.X = append(out.X, d.X[i*width:(i+1)*width]...)
		out.Classes = append(out.Classes, (d.Classes[i]+1+int32(rng.IntN(classes-1)))%int32(classes))
	}
	return out, in
}

// shares are the parts of the canaries that are guessed, half as in and half as out: those with the highest scores and the lowest.
// The best may be taken as the confidence is divided among them.
var shares = []float64{0.02, 0.1, 0.3, 1}

// Judge guesses from the canaries' scores, of which higher ones speak for in, and compares with the coins. It is for scores from anywhere, such
// as those of somebody else's training.
func Judge(scores []float64, in []bool, o Options) (*Result, error) {
	o.Count = len(in)
	if err := o.guessing(); err != nil {
		return nil, err
	}
	if len(scores) != len(in) {
		return nil, fmt.Errorf("%d scores and %d coins: each canary has one of both", len(scores), len(in))
	}
	order := make([]int, len(scores))
	r := &Result{Kind: o.Kind, Canaries: len(in), Claimed: o.Claimed}
	for i, s := range scores {
		if math.IsNaN(s) {
			return nil, fmt.Errorf("the score of canary %d is no number", i+1)
		}
		order[i] = i
		if in[i] {
			r.Inserted++
		}
	}
	// Equal scores keep the canaries' order, which is independent of the coins.
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	for k, share := range shares {
		each := max(int(share*float64(len(in))/2), 1)
		correct := 0
		for g := range each {
			if in[order[g]] {
				correct++
			}
			if !in[order[len(order)-1-g]] {
				correct++
			}
		}
		epsilon, err := privacy.AuditEpsilon(len(in), 2*each, correct, o.Delta, 1-(1-o.Confidence)/float64(len(shares)))
		if err != nil {
			return nil, err
		}
		if k == 0 || epsilon >= r.Epsilon {
			r.Epsilon, r.Guesses, r.Correct = epsilon, 2*each, correct
		}
	}
	r.Refuted = o.Claimed > 0 && r.Epsilon > o.Claimed
	r.Exposure = exposure(scores, in, order)
	return r, nil
}

// exposure ranks each inserted canary among those left out.
func exposure(scores []float64, in []bool, order []int) (e Exposure) {
	inserted, above := 0.0, 0
	out := 0
	for _, was := range in {
		if !was {
			out++
		}
	}
	e.Most = math.Log2(float64(out + 1))
	for _, i := range order {
		if !in[i] {
			above++
			continue
		}
		bits := e.Most - math.Log2(float64(above+1))
		inserted++
		e.Mean += bits
		e.Largest = max(e.Largest, bits)
	}
	e.Mean /= max(inserted, 1)
	return e
}

// rowsAtOnce bounds the rows that a model is asked about in one call.
const rowsAtOnce = 512

// losses gives the cross-entropy of each canary.
func losses(ctx context.Context, m *onnx.Model, d *train.Data) ([]float64, error) {
	c, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	describe := c.Describe()
	classes, width := len(describe.Classes), len(d.X)/d.Len()
	if top := int(slices.Max(d.Classes)); top >= classes {
		return nil, fmt.Errorf("the model has %d classes, and a canary is of class %d", classes, top)
	}
	var out []float64
	for from := 0; from < d.Len(); from += rowsAtOnce {
		to := min(from+rowsAtOnce, d.Len())
		var rows []float64
		for _, x := range d.X[from*width : to*width] {
			rows = append(rows, float64(x))
		}
		scores := make([]float64, (to-from)*classes)
		if err := c.Predict(ctx, rows, scores); err != nil {
			return nil, err
		}
		for i := from; i < to; i++ {
			out = append(out, loss(scores[(i-from)*classes:][:classes], int(d.Classes[i]), describe.Output))
		}
	}
	return out, nil
}

// loss is -log p of class y.
func loss(scores []float64, y int, output model.Output) float64 {
	if output != model.Logits {
		return -math.Log(max(scores[y], 1e-20))
	}
	top, sum := slices.Max(scores), 0.0
	for _, s := range scores {
		sum += math.Exp(s - top)
	}
	return top + math.Log(sum) - scores[y]
}
