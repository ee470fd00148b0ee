package poisoning

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"assay/internal/assess"
	"assay/internal/method/poisoning/plant"
	"assay/internal/report"
	"assay/internal/system"
)

const detectionRate = "detection-rate"

// plantings is how often each family is planted, each time in other records and towards another class: what
// one planting happens to make easy or hard is not taken for the rate.
const plantings = 4

// detection is the test of an inspection: data, and what is planted into them.
type detection struct {
	inspector
	families []plant.Planter
	share    float64
	seed     uint64
	results  map[int]*result // of plantings
}

// newDetection prepares the test of an inspection.
func (t *Tester) newDetection(ctx context.Context, test *assess.Test, solution *system.Solution, clean *system.Data) (*detection, error) {
	settings := solution.Inspection
	if settings == nil {
		return nil, t.system.Mistake(solution.At, "it says nothing of how planted records are found: add inspection, with the training data")
	}
	if test.Attacker.Poison == nil {
		return nil, errors.New("the plan has an inspection tested, and nothing is planted")
	}
	out := &detection{share: test.Attacker.Poison.Share, seed: test.Seed, results: map[int]*result{}}
	for _, name := range test.Attacker.Poison.Families {
		p, err := t.find(name)
		if err != nil {
			return nil, t.system.Mistake(solution.At, "%v", err)
		}
		out.families = append(out.families, p)
	}
	training, err := t.load(ctx, t.system.Dataset(settings.Data), nil)
	if err != nil {
		return nil, err
	}
	known, err := t.load(ctx, clean, training.Schema)
	if err != nil {
		return nil, err
	}
	out.inspector, err = newInspector(settings, training, known, t.library)
	if err != nil {
		return nil, t.system.Mistake(solution.At+".inspection", "%v", err)
	}
	if _, err := out.plant(ctx, 0); err != nil {
		return nil, t.system.Mistake(solution.At, "%v", err)
	}
	return out, nil
}

// plant makes a planting: of the families in turn, each in records and towards a class of its own.
func (t *detection) plant(ctx context.Context, k int) (*plant.Planted, error) {
	family := t.families[k%len(t.families)]
	o := plant.Options{Rate: t.share, Target: (k/len(t.families) + int(t.seed%64)) % t.classes(), Seed: t.seed<<8 + uint64(k)}
	p, err := family.Plant(ctx, t.training, o)
	if err != nil {
		return nil, fmt.Errorf("planting %s: %w", family.Describe().Name, err)
	}
	if p.Count() != t.each() || p.Count() == 0 {
		return nil, fmt.Errorf("%s planted %d records where %d were to be", family.Describe().Name, p.Count(), t.each())
	}
	return p, nil
}

// each is how many records one planting has, by the rounding of plant.Options.
func (t *detection) each() int { return int(t.share*float64(t.training.Len()) + 0.5) }

func (t *detection) units() int { return t.each() * len(t.families) * plantings }

func (t *detection) outline(test *assess.Test) *assess.Outline {
	o := &assess.Outline{Records: t.units(), Methods: t.methods()}
	if needed := t.needed(); t.clean.Len() < needed {
		o.Remarks = append(o.Remarks, fmt.Sprintf("%s has %d records, and at a false positive rate of %g it takes %d for any record to be suspected", test.Data, t.clean.Len(), t.fpr, needed))
	}
	return o
}

// methods are the families with the inspection's settings, under which it was tested.
func (t *detection) methods() []report.Method {
	settings := []report.Fact{
		{Name: "share", Value: fmt.Sprintf("%d of %d records", t.each(), t.training.Len())}, {Name: "plantings", Value: fmt.Sprint(plantings)},
		{Name: "detectors", Value: strings.Join(t.names, ", ")}, {Name: "false positive rate", Value: fmt.Sprint(t.fpr)},
		{Name: "network", Value: fmt.Sprintf("%s, %d epochs", t.network, t.epochs)},
	}
	var out []report.Method
	for _, f := range t.families {
		out = append(out, report.Method{Name: f.Describe().Name, Reference: f.Describe().Reference, Settings: settings})
	}
	return out
}

// detail is what is recorded of a planted record beside whether it was found.
type detail struct {
	Family   string  `json:"family"`
	Planting int     `json:"planting"`
	Record   int64   `json:"record"` // its number in the training data
	P        float64 `json:"p"`      // by all detectors together
}

func (t *detection) observe(ctx context.Context, u int) (assess.Observation, error) {
	k := u / t.each()
	r, err := t.result(ctx, k)
	if err != nil {
		return assess.Observation{}, err
	}
	found := r.planted[u%t.each()]
	text, err := json.Marshal(detail{t.families[k%len(t.families)].Describe().Name, k, found.number, found.p})
	return assess.Observation{Unit: u, Outcomes: map[string]bool{detectionRate: found.suspected}, Detail: text}, err
}

// result inspects a planting, once.
func (t *detection) result(ctx context.Context, k int) (*result, error) {
	if known := t.results[k]; known != nil {
		return known, nil
	}
	p, err := t.plant(ctx, k)
	if err != nil {
		return nil, err
	}
	r, err := t.inspect(ctx, p.Dataset, p.Which, t.seed+uint64(k), t.names)
	if err == nil {
		t.results[k] = r
	}
	return r, err
}

// planted is what the attacker plants, for readers.
func planted(poison *assess.Poison) []report.Fact {
	return []report.Fact{
		{Name: "plants", Value: strings.Join(poison.Families, ", ")}, {Name: "share", Value: fmt.Sprintf("%g %% of the training data, of each family by itself", 100*poison.Share)},
	}
}

// presentDetection tells what was found of each family.
func presentDetection(test *assess.Test, observed []assess.Observation, all map[string]json.RawMessage) (*report.Test, error) {
	poison := test.Attacker.Poison
	if poison == nil || test.Outline == nil {
		return nil, errors.New("the record of the plan is damaged: nothing is planted")
	}
	r := &report.Test{N: len(observed), Methods: slices.Clone(test.Outline.Methods), Attacker: planted(poison)}
	for _, o := range observed {
		var d detail
		if err := json.Unmarshal(o.Detail, &d); err != nil {
			return nil, fmt.Errorf("the record of unit %d is damaged: %w", o.Unit, err)
		}
		for i := range r.Methods {
			if m := &r.Methods[i]; m.Name == d.Family {
				if m.N++; o.Outcomes[detectionRate] {
					m.Successes++
				}
			}
		}
	}
	c, err := controlled[controls](all)
	if err != nil {
		return nil, err
	}
	r.Notes = append(c.notes(), fmt.Sprintf("The bounds are about records planted so in these data. Records of one of the %d plantings have their trigger in common, so they are found, or not, together more often than by chance.", plantings*len(poison.Families)))
	return r, nil
}
