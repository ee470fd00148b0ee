package gate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"assay/internal/dataset"
	"assay/internal/method/poisoning"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/stat"
)

// Outcome is what a check came to.
type Outcome string

// The outcomes.
const (
	Passed    Outcome = "passed"
	Failed    Outcome = "failed"
	Undecided Outcome = "undecided" // there is too little to decide by
	Without   Outcome = "without"   // it is not asked for, or there is nothing to compare with
)

// Check is one thing that was looked at.
type Check struct {
	Name    string  `json:"name"`
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail"`
	Records []int64 `json:"records,omitempty"` // that it is about, by their number in the source
}

// Verdict is the worst of the outcomes.
func Verdict(checks []Check) Outcome {
	worst := Passed
	for _, c := range checks {
		if c.Outcome == Failed || c.Outcome == Undecided && worst == Passed {
			worst = c.Outcome
		}
	}
	return worst
}

// Batch is what a batch of records is judged by.
type Batch struct {
	Records    *dataset.Dataset
	Sources    []string                    // of each record; nil where the policy asks for none
	Accepted   map[string]*dataset.Dataset // to compare with, by what they are; none at the beginning
	Validation *dataset.Dataset            // the protected records
	Model      model.Classifier            // the last accepted, which has not seen the batch; nil for none
	Seed       uint64                      // of the permutations of drift tests
}

// JudgeData judges a batch that was read by the state's schema.
func (p *Policy) JudgeData(ctx context.Context, b *Batch) ([]Check, error) {
	apart, err := disjoint(b.Records, b.Validation)
	if err != nil {
		return nil, err
	}
	checks := []Check{apart, p.shares(b.Records, b.Sources)}
	for _, of := range slices.Sorted(maps.Keys(b.Accepted)) {
		// Several comparisons share the error, by Bonferroni.
		c, err := p.drift(ctx, "drift from "+of, b.Records, b.Accepted[of], p.Drift/float64(len(b.Accepted)), b.Seed)
		if err != nil {
			return nil, err
		}
		checks = append(checks, c)
	}
	c, err := p.suspicion(ctx, b)
	return append(checks, c), err
}

// disjoint looks for records of the batch among the protected ones.
func disjoint(batch, validation *dataset.Dataset) (Check, error) {
	protected := Protect(validation)
	c := Check{Name: "disjoint", Outcome: Passed, Detail: fmt.Sprintf("no record is among the %d protected ones", validation.Len())}
	shared, err := protected.Among(batch)
	if err != nil {
		return c, err
	}
	for _, i := range shared {
		c.Records = append(c.Records, batch.Number[i])
	}
	if len(shared) > 0 {
		c.Outcome, c.Detail = Failed, fmt.Sprintf("%d records are among the protected ones, which nothing may be trained on", len(shared))
	}
	return c, nil
}

// shares holds each source to its share.
func (p *Policy) shares(d *dataset.Dataset, sources []string) Check {
	if p.Column == "" {
		return Check{Name: "sources", Outcome: Without, Detail: "the policy names no sources"}
	}
	c := CheckShares(Shares(sources, p.Sources))
	for i, name := range sources {
		if _, allowed := p.Sources[name]; !allowed {
			c.Records = append(c.Records, d.Number[i])
		}
	}
	return c
}

// CheckShares tells whether all sources are allowed and within their shares.
func CheckShares(shares []Share) Check {
	c := Check{Name: "sources", Outcome: Passed, Detail: fmt.Sprintf("%d sources, all allowed and within their share", len(shares))}
	all, strange, stranger := 0, 0, ""
	for _, s := range shares {
		all += s.Records
		if !s.Allowed {
			if strange == 0 {
				stranger = s.Source
			}
			strange += s.Records
		}
	}
	if strange > 0 {
		c.Outcome, c.Detail = Failed, fmt.Sprintf("%d records are of sources that are not allowed, such as %q", strange, stranger)
		return c
	}
	if i := slices.IndexFunc(shares, func(s Share) bool { return !s.Kept() }); i >= 0 {
		s := shares[i]
		c.Outcome, c.Detail = Failed, fmt.Sprintf("the source %q gives %d of %d records (%.1f %%), and %.1f %% at most are allowed", s.Source, s.Records, all, 100*s.Part, 100*s.Limit)
	}
	return c
}

func (p *Policy) drift(ctx context.Context, name string, batch, from *dataset.Dataset, alpha float64, seed uint64) (Check, error) {
	c := Check{Name: name}
	if min(batch.Len(), from.Len()) < poisoning.LeastCompared {
		c.Outcome, c.Detail = Undecided, fmt.Sprintf("batches of %d and %d records are too small to be compared: each needs %d", batch.Len(), from.Len(), poisoning.LeastCompared)
		return c, nil
	}
	width := batch.Schema.Width()
	// With fewer permutations than 2/alpha no p-value could count; with so many, two exceptions still do.
	test := poisoning.DriftTest{Alpha: alpha, Permutations: max(500, int(math.Ceil(4/alpha)))}
	found, err := test.Compare(ctx, poisoning.Matrix{Width: width, Data: batch.X}, poisoning.Matrix{Width: width, Data: from.X}, rand.New(rand.NewPCG(seed, 0xd81f7)))
	if err != nil {
		return c, err
	}
	columns := 0
	for _, v := range found.Columns {
		if v <= alpha/2 {
			columns++
		}
	}
	c.Outcome, c.Detail = Passed, "no column differs by Kolmogorov and Smirnov's test, nor all together by MMD"
	if found.Drifted {
		c.Outcome = Failed
		c.Detail = fmt.Sprintf("%d of %d columns differ (Kolmogorov and Smirnov, adjusted by Holm), smallest p %.2g; MMD of all has p %.2g; at an error of %g", columns, width, slices.Min(found.Columns), found.P, alpha)
	}
	return c, nil
}

// suspicion looks for labels that the last model, which has not seen these records, confidently takes for wrong. How
// suspicious a record may be by chance is read off the protected records: a conformal p-value.
func (p *Policy) suspicion(ctx context.Context, b *Batch) (Check, error) {
	c := Check{Name: "suspicion", Outcome: Without, Detail: "there is no accepted model to look at labels with"}
	if b.Model == nil {
		return c, nil
	}
	if d := b.Model.Describe(); d.Output == model.Labels || d.Reject {
		c.Detail = "the accepted model gives no probabilities of its classes"
		return c, nil
	}
	if need := int(math.Ceil(1/p.FPR)) - 1; b.Validation.Len() < need {
		c.Outcome, c.Detail = Undecided, fmt.Sprintf("%d protected records are too few to tell what is suspicious at an FPR of %g: it takes %d", b.Validation.Len(), p.FPR, need)
		return c, nil
	}
	suspicions, err := suspect(ctx, b)
	if err != nil {
		return c, err
	}
	own, clean := suspicions[:b.Records.Len()], slices.Sorted(slices.Values(suspicions[b.Records.Len():]))
	for i, v := range own {
		below, _ := slices.BinarySearch(clean, v)
		if atLeast := len(clean) - below; float64(atLeast+1)/float64(len(clean)+1) <= p.FPR {
			c.Records = append(c.Records, b.Records.Number[i])
		}
	}
	part := float64(len(c.Records)) / float64(len(own))
	c.Outcome, c.Detail = Passed, fmt.Sprintf("the labels of %d of %d records (%.1f %%) are suspicious, where %.1f %% are expected of clean ones and %.1f %% are allowed", len(c.Records), len(own), 100*part, 100*p.FPR, 100*p.Suspicious)
	if part > p.Suspicious {
		c.Outcome = Failed
	}
	return c, nil
}

// suspect gives suspicions of the batch's records and then of the protected ones, by one scale.
func suspect(ctx context.Context, b *Batch) ([]float64, error) {
	var labels []int
	var probabilities []float32
	for _, d := range []*dataset.Dataset{b.Records, b.Validation} {
		own, scores, err := answers(ctx, b.Model, d)
		if err != nil {
			return nil, err
		}
		labels = append(labels, own...)
		for _, row := range scores {
			probabilities = append(probabilities, model.Softmax(row, b.Model.Describe().Output)...)
		}
	}
	classes := len(b.Model.Describe().Classes)
	r := &poisoning.Records{Labels: labels, Classes: classes, Probabilities: poisoning.Matrix{Width: classes, Data: probabilities}}
	detector := poisoning.ConfidentLearning{}
	if err := r.Check(detector.Describe()); err != nil {
		return nil, fmt.Errorf("the accepted model's answers: %w", err)
	}
	return detector.Suspect(ctx, r, rand.New(rand.NewPCG(b.Seed, 0xc1)))
}

// answers gives the classes of records, as the model numbers them, and its scores.
func answers(ctx context.Context, c model.Classifier, d *dataset.Dataset) (labels []int, scores [][]float64, err error) {
	rows, err := target.NewRows(d.Schema, c.Describe())
	if err != nil {
		return nil, nil, err
	}
	var x []float64
	for i := range d.Len() {
		for _, v := range rows.Row(d.Record(i)) {
			x = append(x, float64(v))
		}
		labels = append(labels, rows.Class(int(d.Y[i])))
	}
	classes := len(c.Describe().Classes)
	all := make([]float64, d.Len()*classes)
	if err := c.Predict(ctx, x, all); err != nil {
		return nil, nil, err
	}
	return labels, slices.Collect(slices.Chunk(all, classes)), nil
}

// JudgeModel judges a model on the protected records, beside the last accepted one, which is nil at the beginning.
func (p *Policy) JudgeModel(ctx context.Context, next, last model.Classifier, validation *dataset.Dataset) ([]Check, error) {
	if err := target.Fits(validation.Schema, next.Describe()); err != nil {
		return []Check{{Name: "form", Outcome: Failed, Detail: err.Error()}}, nil
	}
	checks := []Check{{Name: "form", Outcome: Passed, Detail: "the model takes the data and gives their classes"}}
	own, err := decisions(ctx, next, validation)
	if err != nil {
		return nil, err
	}
	hits := 0
	for i, class := range own {
		if class == int(validation.Y[i]) {
			hits++
		}
	}
	c, err := p.bounded("accuracy", hits, len(own), p.Accuracy, false)
	if err != nil {
		return nil, err
	}
	checks = append(checks, c)
	if last == nil {
		return append(checks, Check{Name: "churn", Outcome: Without, Detail: "there is no accepted model to compare with"}), nil
	}
	before, err := decisions(ctx, last, validation)
	if err != nil {
		return nil, err
	}
	changed := 0
	for i := range own {
		if own[i] != before[i] {
			changed++
		}
	}
	c, err = p.bounded("churn", changed, len(own), p.Churn, true)
	return append(checks, c), err
}

// decisions gives the class that a model decides for, as the data number them; -1 for a refusal, or scores that are no numbers.
func decisions(ctx context.Context, c model.Classifier, d *dataset.Dataset) ([]int, error) {
	rows, err := target.NewRows(d.Schema, c.Describe())
	if err != nil {
		return nil, err
	}
	of := map[int]int{}
	for k := range d.Schema.Label.Classes {
		of[rows.Class(k)] = k
	}
	_, scores, err := answers(ctx, c, d)
	if err != nil {
		return nil, err
	}
	out := make([]int, len(scores))
	for i, row := range scores {
		out[i] = -1
		if class, known := of[best(row)]; known && !slices.ContainsFunc(row, math.IsNaN) {
			out[i] = class
		}
	}
	return out, nil
}

// bounded holds a rate to a limit from above (upper) or below, by exact bounds.
func (p *Policy) bounded(name string, hits, n int, limit float64, upper bool) (Check, error) {
	if n == 0 {
		return Check{}, errors.New("there are no protected records to judge a model on")
	}
	low, err := stat.BinomialLower(hits, n, p.Confidence)
	if err != nil {
		return Check{}, err
	}
	high, err := stat.BinomialUpper(hits, n, p.Confidence)
	if err != nil {
		return Check{}, err
	}
	c, bound, side, good, bad := Check{Name: name, Outcome: Undecided}, low, "least", low >= limit, high < limit
	if upper {
		bound, side, good, bad = high, "most", high <= limit, low > limit
	}
	switch {
	case good:
		c.Outcome = Passed
	case bad:
		c.Outcome = Failed
	}
	c.Detail = fmt.Sprintf("%d of %d protected records (%.1f %%), at %s %.1f %% at %g %% confidence, where it is to be at %s %.1f %%",
		hits, n, 100*float64(hits)/float64(n), side, 100*bound, 100*p.Confidence, side, 100*limit)
	return c, nil
}

// best is the class with the greatest score, the first among equals.
func best(scores []float64) int {
	k := 0
	for i, v := range scores {
		if v > scores[k] {
			k = i
		}
	}
	return k
}
