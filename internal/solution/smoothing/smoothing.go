// Package smoothing is randomized smoothing: a solution whose answers provably stay the same within a radius.
//
// Cohen, Rosenfeld and Kolter (2019, arXiv:1902.02918) smooth a classifier f by noise: g(x) is the class that f
// most likely gives to x + N(0, σ²I). If that class has a probability of at least p > 1/2, g gives it to everything
// within σ·Φ⁻¹(p) in L2 (theorem 1 with their section 3.2.2, which takes 1−p for the runner-up). What g says, and
// p, are estimated by drawing: see [Classifier]. [Train] makes a model that is right under the noise.
package smoothing

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"assay/internal/certificate"
	"assay/internal/model"
	"assay/internal/stat"
)

// Classifier is a classifier smoothed by noise, which it draws from streams that the seed and a row's
// content decide. So the same row gets the same answer, in whatever company. It implements [model.Classifier].
type Classifier struct {
	base     model.Classifier
	of       model.Description // the base's
	settings model.Smoothing
	seed     uint64
}

var _ model.Classifier = (*Classifier)(nil)

// New smooths a classifier, which it takes over: Close closes it. The classifier is asked about Batch rows at once.
func New(base model.Classifier, s model.Smoothing, seed uint64) (*Classifier, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("smoothing: %w", err)
	}
	c := &Classifier{base: base, of: base.Describe(), settings: s, seed: seed}
	if c.of.Reject {
		return nil, fmt.Errorf("smoothing: the model refuses inputs by itself (its last class is %q), and what it refuses under noise cannot be voted on", c.of.Classes[len(c.of.Classes)-1])
	}
	if leading(s.N, s.N, s.Alpha) {
		return c, nil
	}
	return nil, fmt.Errorf("smoothing: at alpha %g even %d votes of %d decide nothing: give n %d or more", s.Alpha, s.N, s.N, int(math.Ceil(math.Log2(2/s.Alpha))))
}

// Describe tells what the classifier takes and gives: the base's classes, and the refusal as the last.
func (c *Classifier) Describe() model.Description {
	d := c.base.Describe()
	d.Classes = append(slices.Clone(d.Classes), model.Refused)
	d.Output, d.Reject, d.Batch = model.Probabilities, true, 0
	return d
}

// Close frees the base.
func (c *Classifier) Close() error { return c.base.Close() }

// Predict writes the parts of the N votes that each class got, after algorithm PREDICT of the paper (section
// 3.2.1). Where the first class does not lead the second with a p-value of at most Alpha, the classifier abstains:
// the refusal has 1, and else 0. The class that leads is another than g's with a probability of at most Alpha
// (their proposition 1).
func (c *Classifier) Predict(ctx context.Context, rows, scores []float64) error {
	n, err := c.Describe().Rows(rows, scores)
	if err != nil {
		return err
	}
	if n == 0 {
		return c.base.Predict(ctx, nil, nil)
	}
	size, classes := c.of.RowSize(), len(c.of.Classes)
	for i := range n {
		votes, err := c.votes(ctx, rows[i*size:(i+1)*size], prediction, c.settings.N)
		if err != nil {
			return err
		}
		out := scores[i*(classes+1) : (i+1)*(classes+1)]
		for k, v := range votes {
			out[k] = float64(v) / float64(c.settings.N)
		}
		out[classes] = 0
		first, second := most(votes)
		if !leading(votes[first], votes[first]+votes[second], c.settings.Alpha) {
			out[classes] = 1
		}
	}
	return ctx.Err()
}

// Certify certifies rows by algorithm CERTIFY of the paper (section 3.2.2): N0 draws choose the class, and N
// others, which had no part in the choice, give the exact lower bound of its probability at confidence 1−Alpha.
// Labels are the rows' classes. A row whose bound is not above 1/2 has no answer.
func (c *Classifier) Certify(ctx context.Context, rows []float64, labels []int) ([]certificate.Certificate, error) {
	size := c.of.RowSize()
	if len(rows) != len(labels)*size {
		return nil, fmt.Errorf("%d input values are not %d rows of %d (%v)", len(rows), len(labels), size, c.of.Shape)
	}
	out := make([]certificate.Certificate, 0, len(labels))
	for i, label := range labels {
		one, err := c.certify(ctx, rows[i*size:(i+1)*size])
		if err != nil {
			return nil, err
		}
		one.Correct = one.Class >= 0 && one.Class == label
		out = append(out, one)
	}
	return out, nil
}

func (c *Classifier) certify(ctx context.Context, row []float64) (certificate.Certificate, error) {
	s := c.settings
	out := certificate.Certificate{
		Class: -1, Norm: "L2", Confidence: 1 - s.Alpha,
		Method:     "randomized smoothing, algorithm CERTIFY (Cohen, Rosenfeld and Kolter 2019)",
		Assumption: fmt.Sprintf("the system answers by the vote of this model under normal noise of standard deviation %g on each number of its input", s.Sigma),
	}
	guess, err := c.votes(ctx, row, selection, s.N0)
	if err != nil {
		return out, err
	}
	class, _ := most(guess)
	votes, err := c.votes(ctx, row, estimation, s.N)
	if err != nil {
		return out, err
	}
	radius, err := Radius(votes[class], s)
	if err == nil && radius > 0 {
		out.Class, out.Radius = class, radius
	}
	return out, err
}

// Radius is what is certified where so many of N votes were for a class that was chosen beforehand: σ·Φ⁻¹ of the
// exact lower bound of its probability (Clopper and Pearson 1934). It is 0 where the bound is not above 1/2.
func Radius(votes int, s model.Smoothing) (float64, error) {
	lower, err := stat.BinomialLower(votes, s.N, 1-s.Alpha)
	if err != nil || lower <= 0.5 {
		return 0, err
	}
	return s.Sigma * distuv.UnitNormal.Quantile(lower), nil
}

// leading reports whether so many of the votes for two classes show that it is the likelier: the two-sided
// exact test of a probability of 1/2 rejects it (Hung and Fithian 2019, after the paper).
func leading(votes, of int, alpha float64) bool {
	lower, err := stat.BinomialLower(votes, of, 1-alpha/2)
	return err == nil && lower > 0.5
}

// most gives the two classes with the most votes, of equals the first.
func most(votes []int) (first, second int) {
	first, second = 0, 1
	for k := range votes {
		switch {
		case votes[k] > votes[first]:
			first, second = k, first
		case k != first && votes[k] > votes[second]:
			second = k
		}
	}
	return first, second
}

// What noise is drawn for. Each purpose has streams of its own.
const (
	prediction uint64 = iota + 1
	selection
	estimation
)

// votes counts the classes that the base gives to a row with so many draws of noise. It is asked about full batches only,
// and those of one row alone, so that no rounding depends on other rows.
func (c *Classifier) votes(ctx context.Context, row []float64, purpose uint64, n int) ([]int, error) {
	size, classes, batch := len(row), len(c.of.Classes), min(c.settings.Batch, n)
	random := rand.New(c.stream(row, purpose))
	rows, scores, votes := make([]float64, batch*size), make([]float64, batch*classes), make([]int, classes)
	for done := 0; done < n; done += batch {
		for i := range rows {
			rows[i] = row[i%size] + c.settings.Sigma*random.NormFloat64()
		}
		if err := c.base.Predict(ctx, rows, scores); err != nil {
			return nil, err
		}
		for i := range min(batch, n-done) {
			if k := winner(scores[i*classes : (i+1)*classes]); k >= 0 {
				votes[k]++
			}
		}
	}
	return votes, nil
}

// stream is the random numbers of a row for one purpose. A row is what the model is asked about, at the precision
// of float32.
func (c *Classifier) stream(row []float64, purpose uint64) *rand.PCG {
	text := make([]byte, 0, 16+4*len(row))
	text = binary.LittleEndian.AppendUint64(text, c.seed)
	text = binary.LittleEndian.AppendUint64(text, purpose)
	for _, v := range row {
		text = binary.LittleEndian.AppendUint32(text, math.Float32bits(float32(v)))
	}
	digest := sha256.Sum256(text)
	return rand.NewPCG(binary.LittleEndian.Uint64(digest[:]), binary.LittleEndian.Uint64(digest[8:]))
}

// winner is the class with the greatest score, the first of equals, and -1 where a score is no number: that votes
// for nothing.
func winner(scores []float64) int {
	best := 0
	for i, v := range scores {
		if math.IsNaN(v) {
			return -1
		}
		if v > scores[best] {
			best = i
		}
	}
	return best
}
