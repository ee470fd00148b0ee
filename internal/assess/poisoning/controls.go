package poisoning

import (
	"context"
	"fmt"
	"math"
	"slices"

	"assay/internal/criteria"
	"assay/internal/dataset"
	"assay/internal/stat"
)

// controls is what the control recorded: inspections of data in which nothing is planted, and in which it cannot be overlooked.
type controls struct {
	Alarms  int     `json:"alarms"`  // records that are suspected where nothing is planted
	Records int     `json:"records"` // of so many
	Judged  int     `json:"judged"`  // clean records that they were compared with
	FPR     float64 `json:"fpr"`
	Said    bool    `json:"said"` // the data as they are were said to hold planted records
	Crude   int     `json:"crude"`
	Found   int     `json:"found"` // of the crudely planted, by all detectors
	Blind   int     `json:"blind"` // of them, by random numbers
	Power   []power `json:"power"` // by shares of what the attacker plants
}

// power is how often the inspection said that something was planted.
type power struct {
	Family string  `json:"family"`
	Share  float64 `json:"share"`
	Said   int     `json:"said"`
	Of     int     `json:"of"`
}

// crudeShare is the share of the crude poison.
const crudeShare = 0.05

// control inspects the data as they are; with crude poison, by all detectors and by none; and it
// counts how many plantings of the test were noticed at all.
func (t *detection) control(ctx context.Context) (any, error) {
	quiet, err := t.inspect(ctx, t.training, make([]bool, t.training.Len()), t.seed, t.names)
	if err != nil {
		return nil, err
	}
	out := controls{Alarms: quiet.alarms, Records: quiet.others, Judged: quiet.judged, FPR: t.fpr, Said: quiet.decidedly}
	poisoned, which := crude(t.training)
	all, err := t.inspect(ctx, poisoned, which, t.seed, detectorNames())
	if err != nil {
		return nil, err
	}
	blind, err := t.inspect(ctx, poisoned, which, t.seed, nil)
	if err != nil {
		return nil, err
	}
	out.Crude, out.Found, out.Blind = len(all.planted), suspected(all), suspected(blind)
	for f, family := range t.families {
		p := power{Family: family.Describe().Name, Share: t.share}
		for k := f; k < plantings*len(t.families); k += len(t.families) {
			r, err := t.result(ctx, k)
			if err != nil {
				return nil, err
			}
			if p.Of++; r.decidedly {
				p.Said++
			}
		}
		out.Power = append(out.Power, p)
	}
	return out, nil
}

func suspected(r *result) (n int) {
	for _, f := range r.planted {
		if f.suspected {
			n++
		}
	}
	return n
}

// crude gives a copy of data in which records evenly drawn are one and the same, of the first class: every second number is
// the greatest that it is in the data, the others the least. It shows a detector of any kind something.
func crude(d *dataset.Dataset) (*dataset.Dataset, []bool) {
	out := &dataset.Dataset{Schema: d.Schema, X: slices.Clone(d.X), Y: slices.Clone(d.Y), Number: d.Number}
	which, width := make([]bool, d.Len()), d.Schema.Width()
	record := make([]float32, width)
	for j := range record {
		low, high := d.X[j], d.X[j]
		for i := range d.Len() {
			low, high = min(low, d.Record(i)[j]), max(high, d.Record(i)[j])
		}
		record[j] = low
		if j%2 == 0 {
			record[j] = high
		}
	}
	step := int(1 / crudeShare)
	for i := step / 2; i < d.Len(); i += step {
		copy(out.Record(i), record)
		out.Y[i], which[i] = 0, true
	}
	return out, which
}

// leastUnits is how many planted records a rate is taken of.
const leastUnits = 20

// surprise is the probability of so many false alarms at which the stated rate is not believed.
const surprise = 0.01

func (c controls) checks(observed int) []criteria.Check {
	return []criteria.Check{
		{Name: "positive-control", Passed: c.Crude > 0 && 10*c.Found >= 9*c.Crude && 2*c.Blind <= c.Found,
			Detail: fmt.Sprintf("of %d records planted crudely, all detectors together find %d and random numbers %d: both a hit and a miss are seen", c.Crude, c.Found, c.Blind)},
		{Name: "negative-control", Passed: c.Records > 0 && c.chance() > surprise,
			Detail: fmt.Sprintf("where nothing is planted, %d of %d records are suspected at a stated rate of %g: so many or more have a probability of %.2g", c.Alarms, c.Records, c.FPR, c.chance())},
		{Name: "enough-units", Passed: observed >= leastUnits, Detail: fmt.Sprintf("%d planted records were looked for, and %d are the least that a rate is taken of", observed, leastUnits)},
	}
}

// chance is the probability of so many alarms or more, if the records are like the clean ones. A record is suspected if at
// most j-1 of the n clean ones are above it, j being the rate times n+1; so the part that is suspected has a beta
// distribution, Beta(j, n+1-j), and their number a beta-binomial one (Bates et al. 2023, arXiv:2104.08279, section 2).
func (c controls) chance() float64 {
	if c.Records < 0 || c.Judged < 0 || c.Alarms < 0 || c.Alarms > c.Records || !(c.FPR > 0 && c.FPR < 1) {
		return 0
	}
	j := math.Floor(c.FPR*float64(c.Judged+1) + 1e-9)
	if c.Alarms == 0 {
		return 1
	}
	if j == 0 {
		return 0 // none can be suspected
	}
	a, b, m := j, float64(c.Judged)+1-j, float64(c.Records)
	p := 0.0
	for k := range c.Alarms {
		x := float64(k)
		p += math.Exp(lgamma(m+1) - lgamma(x+1) - lgamma(m-x+1) + lgamma(x+a) + lgamma(m-x+b) - lgamma(m+a+b) + lgamma(a+b) - lgamma(a) - lgamma(b))
	}
	return max(0, 1-p)
}

func lgamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}

// powerConfidence is that of the bounds of power.
const powerConfidence = 0.95

func (c controls) notes() []string {
	out := []string{fmt.Sprintf("Where nothing is planted, %d of %d records are suspected.", c.Alarms, c.Records)}
	for _, p := range c.Power {
		lower, err := stat.BinomialLower(p.Said, p.Of, powerConfidence)
		if err != nil {
			continue // a damaged record, which the checks tell
		}
		out = append(out, fmt.Sprintf("That something was planted was said of %d of %d plantings of %s at %g %% (at least %.0f %% of such, at 95 %% confidence).", p.Said, p.Of, p.Family, 100*p.Share, 100*lower))
	}
	return out
}
