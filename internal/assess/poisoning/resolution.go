package poisoning

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"assay/internal/assess"
	"assay/internal/criteria"
	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
	"assay/internal/model/ort"
	"assay/internal/report"
	"assay/internal/stat"
	"assay/internal/system"
	"assay/internal/train"
)

const (
	successRate    = "attack-success-rate"
	robustAccuracy = "robust-accuracy"
)

// resolution is the test of a repair: a twin is trained on a poisoned copy of the training data, the records that the inspection suspects are
// removed, and it is trained anew. The goal's data calibrate the inspection, and on them both are attacked, as neither is trained on them.
type resolution struct {
	*detection
	tested *dataset.Dataset
	mended map[int]*mended // of plantings
}

// mended is a planting, and what became of each record to test on.
type mended struct {
	target        int
	tried         tried
	before, after answered // of the twin, and of that which was repaired
}

// answered is what a model makes of records: whether it is right about each as it is, and says the attacker's class of it with the trigger.
type answered struct{ right, fooled []bool }

func (t *Tester) newResolution(ctx context.Context, test *assess.Test, solution *system.Solution, clean *system.Data) (*resolution, error) {
	d, err := t.newDetection(ctx, test, solution, clean)
	if err != nil {
		return nil, err
	}
	r := &resolution{detection: d, tested: d.clean, mended: map[int]*mended{}}
	p, err := r.plant(ctx, 0)
	if err == nil && p.Trigger == nil {
		return nil, t.system.Mistake(solution.At, "%s plants no trigger, so it cannot be tried whether a model still answers one: name families with a trigger", d.families[0].Describe().Name)
	}
	return r, err
}

func (r *resolution) units() int { return plantings * len(r.families) * r.tested.Len() }

func (r *resolution) outline(test *assess.Test) *assess.Outline {
	o := r.detection.outline(test)
	o.Records = r.units()
	return o
}

// mend makes a planting, the twin and its repair, once.
func (r *resolution) mend(ctx context.Context, k int) (*mended, error) {
	if known := r.mended[k]; known != nil {
		return known, nil
	}
	p, err := r.plant(ctx, k)
	if err != nil {
		return nil, err
	}
	if p.Trigger == nil {
		return nil, fmt.Errorf("%s plants no trigger: name families with one", r.family(k))
	}
	seen, err := r.inspect(ctx, p.Dataset, p.Which, r.seed+uint64(k), r.names)
	if err != nil {
		return nil, err
	}
	inputs := r.tested.Select(nil)
	for i := range r.tested.Len() {
		inputs.X, inputs.Y, inputs.Number = append(inputs.X, p.Trigger.Apply(r.tested.Record(i))...), append(inputs.Y, int32(p.Target)), append(inputs.Number, r.tested.Number[i])
	}
	m := &mended{target: p.Target, tried: tried{Family: r.family(k), Planting: k, Planted: p.Count(), Removed: suspected(seen), Lost: seen.alarms}}
	if m.before, err = r.answers(ctx, p.Dataset, inputs); err != nil {
		return nil, err
	}
	if m.after, err = r.answers(ctx, p.Dataset.Select(seen.kept), inputs); err != nil {
		return nil, err
	}
	never, err := r.answers(ctx, r.training, inputs)
	if err != nil {
		return nil, err
	}
	for i := range r.tested.Len() {
		if int(r.tested.Y[i]) == p.Target {
			continue
		}
		m.tried.Of++
		m.tried.Before += one(m.before.fooled[i])
		m.tried.After += one(m.after.fooled[i])
		m.tried.Never += one(never.fooled[i])
	}
	r.mended[k] = m
	return m, nil
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func (r *resolution) family(k int) string { return r.families[k%len(r.families)].Describe().Name }

// answers trains a network on data, as the inspection's are, and asks it about the records to test on, and about inputs made of them, whose label is the
// attacker's class.
func (r *resolution) answers(ctx context.Context, d, inputs *dataset.Dataset) (a answered, err error) {
	data := train.FromDataset(d)
	m, err := r.build(data, r.seed)
	if err != nil {
		return a, err
	}
	trained, err := train.Run(ctx, m, data, train.Options{Epochs: r.epochs, Seed: r.seed, Library: r.library, Optimizer: train.Optimizer{Method: train.AdamW}})
	if err != nil {
		return a, err
	}
	c, err := ort.NewClassifier(ctx, trained.Model, ort.ClassifierOptions{Options: ort.Options{Library: r.library}})
	if err != nil {
		return a, err
	}
	defer c.Close()
	if a.right, err = plant.Right(ctx, c, r.tested); err == nil {
		a.fooled, err = plant.Right(ctx, c, inputs)
	}
	return a, err
}

// attacked is what is recorded of a record with a trigger.
type attacked struct {
	Family   string `json:"family"`
	Planting int    `json:"planting"`
	Record   int64  `json:"record"` // its number in the goal's data
}

func (r *resolution) observe(ctx context.Context, u int) (assess.Observation, error) {
	return r.observed(ctx, u, after)
}

func (r *resolution) untouched(ctx context.Context, units []int) ([]bool, error) {
	return r.right(ctx, units, after)
}

// twin is the test of what was not repaired.
type twin struct{ *resolution }

func (t *twin) observe(ctx context.Context, u int) (assess.Observation, error) {
	return t.observed(ctx, u, before)
}

func (t *twin) untouched(ctx context.Context, units []int) ([]bool, error) {
	return t.right(ctx, units, before)
}

func before(m *mended) answered { return m.before }
func after(m *mended) answered  { return m.after }

// observed tells of one model of a planting whether it was fooled. Records of the attacker's class, which it cannot be fooled about, do not count,
// nor for the rate those that it gets wrong by itself.
func (r *resolution) observed(ctx context.Context, u int, by func(*mended) answered) (assess.Observation, error) {
	k, i := u/r.tested.Len(), u%r.tested.Len()
	m, err := r.mend(ctx, k)
	if err != nil {
		return assess.Observation{}, err
	}
	o := assess.Observation{Unit: u, Outcomes: map[string]bool{}}
	if a := by(m); int(r.tested.Y[i]) != m.target {
		o.Outcomes[robustAccuracy] = a.right[i] && !a.fooled[i]
		if a.right[i] {
			o.Outcomes[successRate] = a.fooled[i]
		}
	}
	o.Detail, err = json.Marshal(attacked{m.tried.Family, k, r.tested.Number[i]})
	return o, err
}

// right tells whether the twin, or what was made of it, is right about records as they are.
func (r *resolution) right(ctx context.Context, units []int, by func(*mended) answered) ([]bool, error) {
	out := make([]bool, len(units))
	for j, u := range units {
		m, err := r.mend(ctx, u/r.tested.Len())
		if err != nil {
			return nil, err
		}
		out[j] = by(m).right[u%r.tested.Len()]
	}
	return out, nil
}

// tried is how often the trigger of a planting succeeds on records of other classes than the attacker's: with the twin, after its repair, and with a
// model that never had the poison.
type tried struct {
	Family   string `json:"family"`
	Planting int    `json:"planting"`
	Planted  int    `json:"planted"` // records
	Removed  int    `json:"removed"` // of them
	Lost     int    `json:"lost"`    // other records that were removed
	Before   int    `json:"before"`
	After    int    `json:"after"`
	Never    int    `json:"never"`
	Of       int    `json:"of"`
}

// relapses are those of all plantings.
type relapses struct {
	Tried []tried `json:"tried"`
}

func (r *resolution) control(ctx context.Context) (any, error) {
	out := &relapses{}
	for k := range plantings * len(r.families) {
		m, err := r.mend(ctx, k)
		if err != nil {
			return nil, err
		}
		out.Tried = append(out.Tried, m.tried)
	}
	return out, nil
}

// checks asks that of every family the twin shows the success that a repair is to remove, which a model without poison does not.
func (r relapses) checks() []criteria.Check {
	found := criteria.Check{Name: "positive-control", Passed: len(r.Tried) > 0, Detail: "with twins that were not repaired the triggers must succeed on one half"}
	quiet := criteria.Check{Name: "negative-control", Passed: len(r.Tried) > 0, Detail: "with models that never had the poison the triggers must succeed on at most a quarter as many"}
	for _, f := range r.families() {
		lower, err := stat.BinomialLower(f.Before, f.Of, powerConfidence)
		found.Passed = found.Passed && err == nil && lower >= 0.5
		quiet.Passed = quiet.Passed && f.Of > 0 && 4*f.Never <= f.Before
		found.Detail += fmt.Sprintf("; %s did on %d of %d", f.Family, f.Before, f.Of)
		quiet.Detail += fmt.Sprintf("; %s did on %d of %d", f.Family, f.Never, f.Of)
	}
	return []criteria.Check{found, quiet}
}

// families adds up the plantings of each family.
func (r relapses) families() (all []tried) {
	for _, t := range r.Tried {
		at := slices.IndexFunc(all, func(f tried) bool { return f.Family == t.Family })
		if at < 0 {
			all, at = append(all, tried{Family: t.Family}), len(all)
		}
		f := &all[at]
		f.Planted, f.Removed, f.Lost = f.Planted+t.Planted, f.Removed+t.Removed, f.Lost+t.Lost
		f.Before, f.After, f.Never, f.Of = f.Before+t.Before, f.After+t.After, f.Never+t.Never, f.Of+t.Of
	}
	return all
}

// presentResolution tells how often the triggers succeed before and after.
func presentResolution(test *assess.Test, observed []assess.Observation, all map[string]json.RawMessage) (*report.Test, error) {
	c, err := controlled[relapses](all)
	if err != nil {
		return nil, err
	}
	poison := test.Attacker.Poison
	if test.Outline == nil || poison == nil {
		return nil, errors.New("the record of the plan is damaged: nothing is planted")
	}
	r := &report.Test{N: len(observed), Methods: slices.Clone(test.Outline.Methods), Attacker: planted(poison)}
	for _, f := range c.families() {
		for i := range r.Methods {
			if m := &r.Methods[i]; m.Name == f.Family {
				m.N, m.Successes = f.Of, f.After
			}
		}
		r.Notes = append(r.Notes, fmt.Sprintf("%s: of %d planted records %d were removed, and %d others; the trigger succeeded on %d of %d records before the repair, on %d after it, and on %d with a model that never had the poison.",
			f.Family, f.Planted, f.Removed, f.Lost, f.Before, f.Of, f.After, f.Never))
	}
	r.Notes = append(r.Notes, fmt.Sprintf("The twins are networks as the inspection trains them, and no copies of the system's model: the figures are about the repair. Each of %d plantings has one trigger, so that its records succeed, or not, together; and each record is in every planting. The bounds are about units drawn from these, not about other triggers.", len(c.Tried)))
	return r, nil
}
