package membership_test

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"assay/internal/criteria"
	"assay/internal/method/membership"
	"assay/internal/method/shadow"
	"assay/internal/model/ort"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

const width = 8

// noisy are records of two classes, of which a part has the wrong one, so that they differ in difficulty.
func noisy(n int, wrong float64, seed uint64) *train.Data {
	rng := rand.New(rand.NewPCG(seed, 7))
	d := &train.Data{Shape: []int{width}}
	for range n {
		sum := 0.0
		for range width {
			x := rng.NormFloat64()
			sum += x
			d.X = append(d.X, float32(x))
		}
		y := int32(0)
		if sum > 0 != (rng.Float64() < wrong) {
			y = 1
		}
		d.Classes = append(d.Classes, y)
	}
	return d
}

// trainer trains networks of a width for some epochs.
func trainer(d *train.Data, hidden, epochs int) *shadow.Builtin {
	return &shadow.Builtin{Data: d,
		Network: func(seed uint64, d *train.Data) (*onnx.Model, error) {
			return network.MLP(width, []int{hidden}, 2, seed), nil
		},
		Options: train.Options{Epochs: epochs, Batch: 32, Optimizer: train.Optimizer{Method: train.Adam, Rate: 0.005}}}
}

// target trains a victim on half of the records, by the trainer of its shadows.
func target(t *testing.T, b *shadow.Builtin, seed uint64) (membership.Victim, membership.Population) {
	t.Helper()
	members := shadow.Members(b.Len(), 0, seed^0xabcdef)
	m, err := b.Train(context.Background(), members, seed^0xabcdef)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ort.NewClassifier(context.Background(), m, ort.ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return membership.Victim{Model: c}, membership.Population{Data: b.Data, Member: (&shadow.Shadow{Members: members}).In(b.Len())}
}

func options(b *shadow.Builtin, shadows int) membership.Options {
	return membership.Options{Trainer: b, Shadows: shadow.Options{Count: shadows}, Calibration: 0.2, FPRs: []float64{0.01, 0.1}, Confidence: 0.95, Exposed: 3,
		Augment: membership.Augmentation{Queries: 4}}
}

func run(t *testing.T, b *shadow.Builtin, shadows int, seed uint64) map[string]membership.Result {
	t.Helper()
	v, p := target(t, b, seed)
	results, err := membership.Run(context.Background(), v, p, options(b, shadows))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]membership.Result{}
	for _, r := range results {
		named[r.Attack] = r
	}
	if len(named) != len(membership.All()) {
		t.Fatalf("%d of %d attacks were made", len(named), len(membership.All()))
	}
	return named
}

// What is learnt by heart is found by every attack, a model that cannot do so gives nothing away, and one between them
// is between them.
func TestOrder(t *testing.T) {
	d := noisy(800, 0.25, 1)
	overfit := run(t, trainer(d, 128, 100), 8, 1)
	between := run(t, trainer(d, 16, 25), 8, 1)
	regular := run(t, trainer(d, 2, 3), 8, 1)
	for name, r := range overfit {
		t.Logf("%-20s overfit %.3f, between %.3f, regular %.3f; TPR at 1%% %.3f, %.3f, %.3f", name, r.AUROC.Estimate, between[name].AUROC.Estimate, regular[name].AUROC.Estimate,
			r.At[0].TPR.Estimate, between[name].At[0].TPR.Estimate, regular[name].At[0].TPR.Estimate)
		if r.AUROC.Lower <= 0.5 || regular[name].AUROC.Lower > 0.5 {
			t.Errorf("%s: an AUROC of %+v where members are known by heart, and %+v where they cannot be", name, r.AUROC, regular[name].AUROC)
		}
		if m := between[name].AUROC.Estimate; m >= r.AUROC.Estimate || m < regular[name].AUROC.Estimate-0.05 {
			t.Errorf("%s: an AUROC of %.3f between %.3f and %.3f", name, m, regular[name].AUROC.Estimate, r.AUROC.Estimate)
		}
	}
}

// At a small FPR the likelihood ratio with shadows finds more than the loss alone (Carlini et al. 2022, figure 1), and no less offline.
func TestLikelihoodRatioBeatsLoss(t *testing.T) {
	d := noisy(800, 0.25, 1)
	b := trainer(d, 128, 60)
	b.Options.Optimizer.Rate = 0.003
	found := map[string]float64{}
	for seed := range uint64(3) {
		for name, r := range run(t, b, 16, seed+10) {
			found[name] += r.At[0].TPR.Estimate / 3
		}
	}
	t.Log(found)
	for _, name := range []string{"lira", "lira-offline", "rmia"} {
		if found[name] < found["loss"] {
			t.Errorf("at 1 %% FPR %s finds %.3f of the members, and loss %.3f", name, found[name], found["loss"])
		}
	}
	if found["lira"] < 2*found["loss"] {
		t.Errorf("at 1 %% FPR lira finds %.3f of the members, and loss %.3f", found["lira"], found["loss"])
	}
}

// The attack that decides is chosen, and its threshold set, where nothing is measured.
func TestChoose(t *testing.T) {
	b := trainer(noisy(1200, 0.25, 1), 64, 60)
	v, p := target(t, b, 3)
	o := options(b, 8)
	o.Calibration = 0.5
	results, err := membership.Run(context.Background(), v, p, o)
	if err != nil {
		t.Fatal(err)
	}
	const fpr = 0.05
	chosen, err := membership.Choose(results, fpr)
	if err != nil {
		t.Fatal(err)
	}
	found, err := chosen.Found(fpr)
	if err != nil {
		t.Fatal(err)
	}
	alarms, others, hits, members := 0, 0, 0, 0
	for i, f := range found {
		measured := slices.Contains(chosen.Measured(), i)
		switch {
		case measured && p.Member[i]:
			members++
			if f {
				hits++
			}
		case !measured && !p.Member[i]:
			others++
			if f {
				alarms++
			}
		}
	}
	t.Logf("%s: %d of %d members, with %d of %d others in the calibration", chosen.Attack, hits, members, alarms, others)
	if alarms > int(fpr*float64(others)) || alarms < int(fpr*float64(others))-1 {
		t.Errorf("%d of %d others are above the threshold for %g", alarms, others, fpr)
	}
	if float64(hits) < 2*fpr*float64(members) {
		t.Errorf("%s finds %d of %d members", chosen.Attack, hits, members)
	}
}

// Without a training nothing may be found among the records that the victim never saw.
func TestChecksWithoutATraining(t *testing.T) {
	b := trainer(noisy(1200, 0.25, 1), 64, 60)
	v, p := target(t, b, 3)
	o := options(b, 8)
	o.Trainer = nil
	all, err := membership.Checks(context.Background(), v, p, o, 0.1)
	if err != nil || len(all) != 4 {
		t.Fatal(all, err)
	}
	for _, c := range all {
		if !c.Passed || c.Name == "negative-control" && !strings.Contains(c.Detail, "not trained on") {
			t.Errorf("%+v", c)
		}
	}
}

// A sound audit passes all checks.
func TestChecks(t *testing.T) {
	b := trainer(noisy(1200, 0.25, 1), 8, 5)
	for _, c := range checks(t, b, nil, 0.1) {
		if !c.Passed {
			t.Errorf("%s fails: %s", c.Name, c.Detail)
		}
	}
}

// Members of another time or source are told by a classifier that sees no model: what an attack finds says nothing then. Nor does an FPR
// that too few records can show.
func TestChecksFindAnotherDistribution(t *testing.T) {
	d := noisy(1200, 0.25, 1)
	failed := map[string]bool{}
	for _, c := range checks(t, trainer(d, 8, 5), func(p membership.Population) {
		for i, member := range p.Member {
			if member {
				p.X[i*width] += 0.5 // such as a price that has risen
			}
		}
	}, 0.001) {
		failed[c.Name] = !c.Passed
	}
	if !failed["same-distribution"] || !failed["enough-non-members"] {
		t.Errorf("only these checks fail: %v", failed)
	}
}

// An attack that finds nothing where there is all to find makes the audit invalid.
func TestChecksFindAnIdleAttack(t *testing.T) {
	b := trainer(noisy(400, 0.25, 1), 8, 5)
	v, p := target(t, b, 3)
	o := options(b, 4)
	o.Attacks = []membership.Attack{{Name: "coin", Score: func(_ context.Context, v *membership.View) ([]float64, error) {
		rng, scores := rand.New(rand.NewPCG(1, 1)), make([]float64, v.Len())
		for i := range scores {
			scores[i] = rng.Float64()
		}
		return scores, nil
	}}}
	all, err := membership.Checks(context.Background(), v, p, o, 0.1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Passed == (c.Name == "positive-control") {
			t.Errorf("%v %s: %s", c.Passed, c.Name, c.Detail)
		}
	}
}

func checks(t *testing.T, b *shadow.Builtin, change func(membership.Population), claimed float64) []criteria.Check {
	t.Helper()
	v, p := target(t, b, 3)
	if change != nil {
		change(p)
	}
	all, err := membership.Checks(context.Background(), v, p, options(b, 8), claimed)
	if err != nil || len(all) != 4 {
		t.Fatal(all, err)
	}
	for _, c := range all {
		t.Logf("%v %s: %s", c.Passed, c.Name, c.Detail)
	}
	return all
}

// The same seed gives the same results on any number of workers.
func TestSame(t *testing.T) {
	b := trainer(noisy(200, 0.25, 1), 16, 10)
	v, p := target(t, b, 1)
	var texts []string
	for _, parallel := range []int{1, 3} {
		o := options(b, 4)
		o.Shadows.Parallel = parallel
		results, err := membership.Run(context.Background(), v, p, o)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(results)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if texts[0] != texts[1] {
		t.Errorf("%s\n%s", texts[0], texts[1])
	}
}

func TestRefuses(t *testing.T) {
	b := trainer(noisy(60, 0.25, 1), 2, 1)
	v, p := target(t, b, 1)
	for what, change := range map[string]func(*membership.Options, *membership.Population){
		"no FPR":              func(o *membership.Options, _ *membership.Population) { o.FPRs = nil },
		"an FPR of 1":         func(o *membership.Options, _ *membership.Population) { o.FPRs = []float64{1} },
		"no calibration":      func(o *membership.Options, _ *membership.Population) { o.Calibration = 0 },
		"a confidence of NaN": func(o *membership.Options, _ *membership.Population) { o.Confidence = math.NaN() },
		"members alone":       func(_ *membership.Options, p *membership.Population) { p.Member = slices.Repeat([]bool{true}, 60) },
		"too few to be told":  func(_ *membership.Options, p *membership.Population) { p.Member = p.Member[:3] },
		"another population":  func(o *membership.Options, _ *membership.Population) { o.Trainer = trainer(noisy(50, 0, 1), 2, 1) },
		"two shadows":         func(o *membership.Options, _ *membership.Population) { o.Shadows.Count = 2 },
		"nothing left": func(o *membership.Options, _ *membership.Population) {
			o.Attacks, o.Trainer = membership.All()[8:], nil
		},
		"a class that is none": func(_ *membership.Options, p *membership.Population) { p.Data = noisy(60, 0, 1); p.Classes[3] = 2 },
	} {
		o, p := options(b, 4), p
		change(&o, &p)
		if _, err := membership.Run(context.Background(), v, p, o); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
}
