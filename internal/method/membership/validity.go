package membership

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"assay/internal/criteria"
	"assay/internal/method/shadow"
	"assay/internal/model/ort"
	"assay/internal/stat"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// controlConfidence is that of controls: a sound test fails one of them in no more than a part of 1 % of all runs.
const controlConfidence = 0.99

// negativesFactor is by how much the bound of an FPR that was counted may be above it.
const negativesFactor = 2

// Checks tells whether an attack by these options could have found what it did not find, and whether what it found is the model's
// doing. The claimed FPR is that at which the TPR decides. It trains: on the population for a control where there must be
// nothing to find, and on a part of it for one where there must. Without a training nothing must be found among the records that the victim was not trained on.
func Checks(ctx context.Context, v Victim, p Population, o Options, claimed float64) ([]criteria.Check, error) {
	if err := o.complete(p); err != nil {
		return nil, err
	}
	enough, err := negatives(p, &o, claimed)
	if err != nil {
		return nil, err
	}
	out := []criteria.Check{enough}
	nothing := negative
	if o.Trainer == nil {
		nothing = func(ctx context.Context, p Population, o Options) (criteria.Check, error) {
			return heldOut(ctx, v, p, o)
		}
	}
	for _, control := range []func(context.Context, Population, Options) (criteria.Check, error){blind, positive, nothing} {
		c, err := control(ctx, p, o)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// negatives asks for so many records that are not members that the FPR can be counted.
func negatives(p Population, o *Options, claimed float64) (criteria.Check, error) {
	need, err := stat.SmallestNegatives(claimed, 0.95, negativesFactor)
	if err != nil {
		return criteria.Check{}, err
	}
	parts, err := divide(p, o.Calibration, o.Seed)
	if err != nil {
		return criteria.Check{}, err
	}
	have := 0
	for _, i := range parts.test {
		if !p.Member[i] {
			have++
		}
	}
	return criteria.Check{Name: "enough-non-members", Passed: have >= need,
		Detail: fmt.Sprintf("%d records that are not members are measured on, and an FPR of %g takes %d", have, claimed, need)}, nil
}

func blind(ctx context.Context, p Population, o Options) (criteria.Check, error) {
	r, err := Blind(ctx, p, controlConfidence, o.Seed)
	return criteria.Check{Name: "same-distribution", Passed: r.Lower <= 0.5,
		Detail: fmt.Sprintf("without the model members are told from others with an AUROC of %.3f, at least %.3f at 99 %% confidence; from one distribution it is 0.5", r.Estimate, r.Lower)}, err
}

// The twin of the positive control.
const (
	twinRecords = 600
	twinWidth   = 128
	twinEpochs  = 150
	twinShadows = 8
)

// positive attacks a twin that has learnt its members by heart.
func positive(ctx context.Context, p Population, o Options) (criteria.Check, error) {
	twin, members := Overfit(p, o.Seed)
	c := criteria.Check{Name: "positive-control"}
	m, _, err := shadow.Train(ctx, twin, members, o.Seed, o.Shadows.Folder)
	if err != nil {
		return c, fmt.Errorf("the overfit twin of the positive control: %w", err)
	}
	weak := Population{Data: twin.Data, Member: (&shadow.Shadow{Members: members}).In(twin.Len())}
	if o.Trainer != nil {
		o.Trainer, o.Shadows.Count, o.references = twin, min(max(o.Shadows.Count, 4), twinShadows), nil
	}
	o.Shadows.Progress = nil
	results, err := against(ctx, m, weak, o)
	if err != nil {
		return c, fmt.Errorf("the positive control: %w", err)
	}
	// The attacks count together, as in what they find. With shadows and without there must be one that finds members.
	var missed []string
	found, made := map[bool]bool{}, map[bool]bool{}
	best := 0.0
	shadows := map[string]bool{}
	for _, a := range o.Attacks {
		shadows[a.Name] = a.Shadows
	}
	for _, r := range results {
		kind := shadows[r.Attack]
		made[kind] = true
		if best = max(best, r.AUROC.Lower); r.AUROC.Lower > 0.5 {
			found[kind] = true
		} else {
			missed = append(missed, r.Attack)
		}
	}
	c.Passed = found[true] == made[true] && found[false] == made[false]
	c.Detail = fmt.Sprintf("on a model that learnt %d records by heart, half of them with random classes, the best attack has an AUROC of at least %.3f", len(members), best)
	if len(missed) > 0 {
		c.Detail += "; not shown to be above chance: " + strings.Join(missed, ", ")
	}
	return c, nil
}

// against attacks a model that takes records as they are.
func against(ctx context.Context, m *onnx.Model, p Population, o Options) ([]Result, error) {
	c, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: ort.Options{Threads: 1}})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return Run(ctx, Victim{Model: c}, p, o)
}

// Overfit gives a training that learns by heart, on at most 600 records of a population, and the numbers of the records among these
// that are its members. The classes of half of the records, members or not, are drawn at random: they cannot be learnt but by heart.
func Overfit(p Population, seed uint64) (*shadow.Builtin, []int) {
	rng := rand.New(rand.NewPCG(seed, 0x0f17))
	var chosen, members []int
	for _, member := range []bool{true, false} {
		var of []int
		for i, m := range p.Member {
			if m == member {
				of = append(of, i)
			}
		}
		rng.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
		for _, i := range of[:min(len(of), twinRecords/2)] {
			if member {
				members = append(members, len(chosen))
			}
			chosen = append(chosen, i)
		}
	}
	d := shadow.Take(p.Data, chosen)
	classes := int(slices.Max(d.Classes)) + 1
	for i := range d.Classes {
		if rng.IntN(2) == 0 {
			d.Classes[i] = int32(rng.IntN(classes))
		}
	}
	d.Shape = []int{len(d.X) / d.Len()}
	return &shadow.Builtin{Data: d,
		Network: func(seed uint64, d *train.Data) (*onnx.Model, error) {
			return train.Standardize(network.MLP(d.Shape[0], []int{twinWidth}, classes, seed), d)
		},
		Options: train.Options{Epochs: twinEpochs, Batch: 32, Optimizer: train.Optimizer{Method: train.Adam, Rate: 0.003}},
	}, members
}

// negative attacks a model that was trained on as many of the members as of the others, drawn at random: a shadow. What is
// found there is not what a model gives away.
func negative(ctx context.Context, p Population, o Options) (criteria.Check, error) {
	seed := o.Seed ^ 0x0e9a71fe // apart from the shadows'
	m, _, err := shadow.Train(ctx, o.Trainer, shadow.Members(p.Len(), 0, seed), seed, o.Shadows.Folder)
	if err != nil {
		return criteria.Check{}, fmt.Errorf("the model of the negative control: %w", err)
	}
	o.Confidence, o.Shadows.Progress = 1-(1-controlConfidence)/2, nil
	results, err := against(ctx, m, p, o)
	if err != nil {
		return criteria.Check{}, fmt.Errorf("the negative control: %w", err)
	}
	return quiet(results, "a model that knows members no better than others"), nil
}

// heldOut asks the victim about records that it was not trained on, of which half, drawn, are taken for members.
func heldOut(ctx context.Context, v Victim, p Population, o Options) (criteria.Check, error) {
	var others []int
	for i, member := range p.Member {
		if !member {
			others = append(others, i)
		}
	}
	some := Population{Data: shadow.Take(p.Data, others), Member: make([]bool, len(others))}
	for _, i := range rand.New(rand.NewPCG(o.Seed, 0x0e9a)).Perm(len(others))[:len(others)/2] {
		some.Member[i] = true
	}
	o.Confidence = 1 - (1-controlConfidence)/2
	results, err := Run(ctx, v, some, o)
	if err != nil {
		return criteria.Check{}, fmt.Errorf("the negative control: %w", err)
	}
	return quiet(results, "records that the model was not trained on, half of them taken for members"), nil
}

// quiet judges attacks where there is nothing to find.
func quiet(results []Result, on string) criteria.Check {
	c := criteria.Check{Name: "negative-control", Passed: true}
	farthest := results[0]
	for _, r := range results {
		c.Passed = c.Passed && r.AUROC.Lower <= 0.5 && r.AUROC.Upper >= 0.5
		if math.Abs(r.AUROC.Estimate-0.5) > math.Abs(farthest.AUROC.Estimate-0.5) {
			farthest = r
		}
	}
	c.Detail = fmt.Sprintf("on %s, %s has an AUROC of %.3f, between %.3f and %.3f; it must be 0.5",
		on, farthest.Attack, farthest.AUROC.Estimate, farthest.AUROC.Lower, farthest.AUROC.Upper)
	return c
}
