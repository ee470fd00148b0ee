package inversion

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/stat"
	"assay/internal/train"
	"assay/internal/train/network"
)

// Attribute is what of a record the attacker does not know, and wants to: the numbers from Start to before End, and what
// they are for each of its values, at least two.
type Attribute struct {
	Start, End int
	Values     [][]float32
}

// of gives the value that a record has, -1 for none of them.
func (a Attribute) of(record []float32) int {
	return slices.IndexFunc(a.Values, func(v []float32) bool { return slices.Equal(v, record[a.Start:a.End]) })
}

// with gives a copy of a record with a value.
func (a Attribute) with(record []float32, value int) []float32 {
	out := slices.Clone(record)
	copy(out[a.Start:a.End], a.Values[value])
	return out
}

// Victim is the model that is asked. Records are in the data's own layout, and labels are classes of the model's.
type Victim struct {
	Model model.Classifier
	Row   func(record []float32) []float32 // the model's row of a record; nil where they are the same
}

// Guesser is a way to guess an attribute by a model.
type Guesser string

// The ways.
const (
	// Fredrikson takes the value with the largest product of its share in the prior and the probability that the model
	// gives the label (Fredrikson et al. 2014, Figure 2, with the probability in place of an error model).
	Fredrikson Guesser = "fredrikson"
	// CSMIA takes the one value by which the model is right, of several that with the largest confidence, and where it is
	// never right that with the least (Mehnaz et al. 2022, arXiv:2201.09370, section 4.1).
	CSMIA Guesser = "csmia"
	// Weighted is Fredrikson's with the imputation's probabilities of this record in place of shares: who has both uses both.
	Weighted Guesser = "weighted"
)

// Attacks gives all ways.
func Attacks() []Guesser { return []Guesser{Fredrikson, CSMIA, Weighted} }

// Inferred is how an attack did. Bounds are simultaneous for all attacks.
type Inferred struct {
	Attack  Guesser `json:"attack"`
	Correct float64 `json:"correct"` // the part of records of which the value was guessed
	// Gain is by how much that is more than is guessed without the model, of the same records: by the imputation or, where that
	// is better, by the prior's commonest value. Its bounds are exact.
	Gain Rate `json:"gain"`
}

// AttributeAudit is what a model tells of an attribute beyond what is known without it.
type AttributeAudit struct {
	Records    int        `json:"records"`
	Majority   float64    `json:"majority"`   // the part of records with the commonest value
	Imputation float64    `json:"imputation"` // the part that is guessed without the model
	Attacks    []Inferred `json:"attacks"`
}

// Attributes guesses an attribute of records, of which all else and the label are known, and compares with what the prior's
// records, from the same distribution, tell of it. Records whose value is none of the attribute's are left out.
func Attributes(ctx context.Context, v Victim, a Attribute, records, prior Records, confidence float64, seed uint64) (*AttributeAudit, error) {
	if a.Start < 0 || a.End <= a.Start || len(a.Values) < 2 {
		return nil, errors.New("an attribute needs numbers of a record, and two values or more")
	}
	records, prior = a.known(records), a.known(prior)
	if len(records.Rows) == 0 || len(prior.Rows) < 2 {
		return nil, errors.New("no record has one of the attribute's values, or fewer than two others have, from which it could be known without the model")
	}
	imputed, err := impute(ctx, a, records, prior, len(v.Model.Describe().Classes), seed)
	if err != nil {
		return nil, fmt.Errorf("learning the attribute without the model: %w", err)
	}
	answers, err := v.variants(ctx, a, records.Rows)
	if err != nil {
		return nil, err
	}
	shares := make([]float64, len(a.Values))
	for _, row := range prior.Rows {
		shares[a.of(row)] += 1 / float64(len(prior.Rows))
	}
	n := len(records.Rows)
	counts, commonest := make([]int, len(a.Values)), largest(shares)
	byImputation, byShare := make([]bool, n), make([]bool, n)
	for i, row := range records.Rows {
		truth := a.of(row)
		counts[truth]++
		byImputation[i], byShare[i] = largest(imputed[i]) == truth, commonest == truth
	}
	out := &AttributeAudit{Records: n, Majority: float64(slices.Max(counts)) / float64(n), Imputation: part(byImputation)}
	without := byImputation
	if part(byShare) > part(byImputation) {
		without = byShare
	}
	for _, attack := range Attacks() {
		hits := make([]bool, n)
		for i, row := range records.Rows {
			hits[i] = attack.guess(answers[i], records.Labels[i], shares, imputed[i]) == a.of(row)
		}
		// Both bounds of all attacks hold together.
		gain, err := gainOf(hits, without, 1-(1-confidence)/float64(2*len(Attacks())))
		if err != nil {
			return nil, err
		}
		out.Attacks = append(out.Attacks, Inferred{attack, part(hits), gain})
	}
	return out, nil
}

// part is that of trials which succeeded.
func part(hits []bool) float64 {
	n := 0
	for _, hit := range hits {
		if hit {
			n++
		}
	}
	return float64(n) / float64(len(hits))
}

// gainOf is by how much more often one thing succeeds than another that was tried on the same units.
func gainOf(hits, others []bool, confidence float64) (Rate, error) {
	only, onlyOther := 0, 0
	for i := range hits {
		switch {
		case hits[i] && !others[i]:
			only++
		case others[i] && !hits[i]:
			onlyOther++
		}
	}
	b, err := stat.PairedDifferenceBounds(only, onlyOther, len(hits), confidence)
	return Rate{float64(only-onlyOther) / float64(len(hits)), b.Lower, b.Upper}, err
}

// known gives the records with one of the attribute's values.
func (a Attribute) known(r Records) (out Records) {
	for i, row := range r.Rows {
		if a.End <= len(row) && a.of(row) >= 0 {
			out.Rows, out.Labels = append(out.Rows, row), append(out.Labels, r.Labels[i])
		}
	}
	return out
}

// guess gives a value, from the model's probabilities under each value.
func (g Guesser) guess(answers [][]float64, label int, shares, imputed []float64) int {
	scores := make([]float64, len(answers))
	switch g {
	case Fredrikson:
		for k, p := range answers {
			scores[k] = shares[k] * p[label]
		}
	case Weighted:
		for k, p := range answers {
			scores[k] = imputed[k] * p[label]
		}
	case CSMIA:
		some := slices.ContainsFunc(answers, func(p []float64) bool { return largest(p) == label })
		for k, p := range answers {
			switch {
			case !some:
				scores[k] = -slices.Max(p)
			case largest(p) == label:
				scores[k] = p[label]
			default:
				scores[k] = -1
			}
		}
	}
	return largest(scores)
}

// largest is the place of the largest number, the first of equals.
func largest(list []float64) int {
	best := 0
	for k, v := range list {
		if v > list[best] {
			best = k
		}
	}
	return best
}

// variants gives the model's probabilities of each record under each value.
func (v Victim) variants(ctx context.Context, a Attribute, records [][]float32) ([][][]float64, error) {
	var all [][]float32
	for _, record := range records {
		for k := range a.Values {
			all = append(all, a.with(record, k))
		}
	}
	p, err := v.probabilities(ctx, all)
	if err != nil {
		return nil, err
	}
	return slices.Collect(slices.Chunk(p, len(a.Values))), nil
}

// probabilities are those that the model gives records, a slice each.
func (v Victim) probabilities(ctx context.Context, records [][]float32) ([][]float64, error) {
	d := v.Model.Describe()
	var rows []float64
	for _, x := range records {
		if v.Row != nil {
			x = v.Row(x)
		}
		for _, n := range x {
			rows = append(rows, float64(n))
		}
	}
	flat := make([]float64, len(records)*len(d.Classes))
	if err := v.Model.Predict(ctx, rows, flat); err != nil {
		return nil, fmt.Errorf("asking the model: %w", err)
	}
	out := slices.Collect(slices.Chunk(flat, len(d.Classes)))
	if d.Output == model.Logits {
		for _, p := range out {
			softmax(p)
		}
	}
	return out, nil
}

func softmax(z []float64) {
	top, sum := slices.Max(z), 0.0
	for k := range z {
		z[k] = math.Exp(z[k] - top)
		sum += z[k]
	}
	for k := range z {
		z[k] /= sum
	}
}

// impute gives what is known without the model: a network learns the attribute from the other features and the label of the
// prior's records (Jayaraman and Evans 2022, arXiv:2209.01292, section 3), and gives its probabilities for records.
func impute(ctx context.Context, a Attribute, records, prior Records, classes int, seed uint64) ([][]float64, error) {
	input := func(r Records) (x []float32) {
		for i, row := range r.Rows {
			label := make([]float32, classes)
			label[r.Labels[i]] = 1
			x = append(append(append(x, row[:a.Start]...), row[a.End:]...), label...)
		}
		return x
	}
	width := len(prior.Rows[0]) - (a.End - a.Start) + classes
	d := &train.Data{X: input(prior), Shape: []int{width}}
	for _, row := range prior.Rows {
		d.Classes = append(d.Classes, int32(a.of(row)))
	}
	m, err := train.Standardize(network.MLP(width, []int{32}, len(a.Values), seed), d)
	if err != nil {
		return nil, err
	}
	const steps, batch = 2000, 64
	epochs := min(max(steps*batch/d.Len(), 5), 100)
	result, err := train.Run(ctx, m, d, train.Options{Epochs: epochs, Batch: batch, Seed: seed, Threads: 1,
		Optimizer: train.Optimizer{Method: train.AdamW, Rate: 0.002, Decay: 0.1}, Schedule: train.Schedule{Kind: train.OneCycle}})
	if err != nil {
		return nil, err
	}
	c, err := ort.NewClassifier(ctx, result.Model, ort.ClassifierOptions{})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return Victim{Model: c}.probabilities(ctx, slices.Collect(slices.Chunk(input(records), width)))
}
