package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"assay/internal/builtin"
	"assay/internal/dataset"
	"assay/internal/method/poisoning"
	"assay/internal/method/poisoning/plant"
	"assay/internal/stat"
)

// powerFlags say what is planted to learn how much of it detectors find.
type powerFlags struct {
	families []string
	shares   []float64
	trials   int
}

// joined is the row of all detectors together, as inspect-data joins them.
const joined = "all together"

// power is how much planted poison detectors find, as printed.
type power struct {
	Data    string      `json:"data"`
	Records int         `json:"records"`
	Clean   int         `json:"clean"`
	FPR     float64     `json:"fpr"`
	Trials  int         `json:"trials"`
	Tables  []powerRows `json:"tables"`
	Left    []string    `json:"left_out,omitempty"` // families that cannot be planted into these data, with the reason
}

// powerRows are what all detectors found of one family at one share.
type powerRows struct {
	Family  string     `json:"family"`
	Share   float64    `json:"share"`
	Planted int        `json:"planted"` // records, of all trials
	Others  int        `json:"others"`
	Rows    []powerRow `json:"detectors"`
}

// powerRow is what one detector found.
type powerRow struct {
	Detector string  `json:"detector"`
	Found    int     `json:"found"` // of the planted records
	TPR      float64 `json:"tpr"`
	Lower    float64 `json:"lower"`
	Upper    float64 `json:"upper"`
	Alarms   int     `json:"alarms"`            // of the others
	Noticed  int     `json:"noticed,omitempty"` // trials in which it was said that something was planted: of all together
}

// nothing plants nothing: what is said then is a false alarm.
type nothing struct{}

func (nothing) Describe() plant.Description { return plant.Description{Name: "nothing"} }

func (nothing) Plant(_ context.Context, d *dataset.Dataset, _ plant.Options) (*plant.Planted, error) {
	return &plant.Planted{Dataset: d, Which: make([]bool, d.Len())}, nil
}

// measure plants each family at each share into copies of the data, and has all detectors look; first at the data as they are. Where
// it is broken off, the tables that are whole are given beside the error.
func (f *inspectFlags) measure(ctx context.Context, u *ui, d, clean *dataset.Dataset) (*power, error) {
	out := &power{Data: f.data.path, Records: d.Len(), Clean: clean.Len(), FPR: f.fpr, Trials: f.power.trials}
	done, all := 0, (1+len(f.power.families)*len(f.power.shares))*f.power.trials
	progress := func() { done++; u.counted("planting", done, all) }
	asIs, err := f.planted(ctx, nothing{}, 0, d, clean, progress)
	if err != nil {
		return nil, err
	}
	out.Tables = append(out.Tables, *asIs)
	for _, name := range f.power.families {
		planter, err := builtin.FindPlanter(name, builtin.Planting{})
		if err != nil {
			return nil, usagef("--power: %w", err)
		}
		for _, share := range f.power.shares {
			rows, err := f.planted(ctx, planter, share, d, clean, progress)
			var unfit *unplanted
			if errors.As(err, &unfit) {
				out.Left = append(out.Left, err.Error())
				break
			}
			if err != nil {
				return out, err
			}
			out.Tables = append(out.Tables, *rows)
		}
	}
	if len(out.Tables) == 1 {
		return nil, fmt.Errorf("nothing could be planted: %s", strings.Join(out.Left, "; "))
	}
	return out, nil
}

// unplanted is why poison of a family cannot be planted into some data.
type unplanted struct {
	family string
	err    error
}

func (e *unplanted) Error() string { return fmt.Sprintf("%s: %v", e.family, e.err) }
func (e *unplanted) Unwrap() error { return e.err }

// planted counts what detectors find of one family at one share, in all trials.
func (f *inspectFlags) planted(ctx context.Context, planter plant.Planter, share float64, d, clean *dataset.Dataset, progress func()) (*powerRows, error) {
	out := &powerRows{Family: planter.Describe().Name, Share: share}
	for k := range f.power.trials {
		seed := f.options.Seed<<16 + uint64(k)
		p, err := planter.Plant(ctx, d, plant.Options{Rate: share, Target: k % len(d.Schema.Label.Classes), Seed: seed})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil && p.Count() == 0 && share > 0 {
			err = fmt.Errorf("%g of %d records is none", share, d.Len())
		}
		if err != nil {
			return nil, &unplanted{out.Family, err}
		}
		scored, err := f.scored(ctx, seed, p.Dataset, clean)
		if err != nil {
			return nil, err
		}
		if out.Rows == nil {
			for _, s := range scored {
				out.Rows = append(out.Rows, powerRow{Detector: s.Detector})
			}
			out.Rows = append(out.Rows, powerRow{Detector: joined})
		}
		out.Planted, out.Others = out.Planted+p.Count(), out.Others+p.Dataset.Len()-p.Count()
		for i := range out.Rows {
			by := scored
			if i < len(scored) {
				by = scored[i : i+1]
			}
			if err := f.count(&out.Rows[i], by, p.Which, seed); err != nil {
				return nil, err
			}
		}
		progress()
	}
	for i := range out.Rows {
		r := &out.Rows[i]
		if out.Planted == 0 {
			continue
		}
		bounds, err := stat.ClopperPearson(r.Found, out.Planted, attackConfidence)
		if err != nil {
			return nil, err
		}
		r.TPR, r.Lower, r.Upper = float64(r.Found)/float64(out.Planted), bounds.Lower, bounds.Upper
	}
	return out, nil
}

// scored trains on data and has all detectors look, clean records after the others.
func (f *inspectFlags) scored(ctx context.Context, seed uint64, d, clean *dataset.Dataset) ([]poisoning.Scored, error) {
	own := *f
	own.options.Seed = seed
	r, err := own.prepare(ctx, nil, appended(d, clean))
	if err != nil {
		return nil, err
	}
	scored, _, err := own.score(ctx, r)
	return scored, err
}

// count adds what was suspected by some detectors of planted records and of others.
func (f *inspectFlags) count(row *powerRow, by []poisoning.Scored, which []bool, seed uint64) error {
	c := poisoning.Calibration{FPR: f.fpr, Alpha: f.alpha}
	for i := len(which); i < len(by[0].Suspicion); i++ {
		c.Clean = append(c.Clean, i)
	}
	ranking, err := poisoning.Rank(by, c, rand.New(rand.NewPCG(seed, 1<<32)))
	if err != nil {
		return fmt.Errorf("--clean: %w", err)
	}
	for _, s := range ranking.Suspects {
		switch {
		case s.Suspected && which[s.Record]:
			row.Found++
		case s.Suspected:
			row.Alarms++
		}
	}
	if row.Detector == joined && ranking.Planted {
		row.Noticed++
	}
	return nil
}

// runPower prints how much detectors find.
func (f *inspectFlags) runPower(ctx context.Context, u *ui) error {
	switch {
	case f.clean == "":
		return usagef("--power needs --clean: records known to be clean set the detectors' thresholds")
	case f.model != "" || f.reference != "" || f.quarantine != "" || f.pictures != "":
		return usagef("--power plants records and trains on them: leave --model, --reference, --quarantine and --pictures out")
	case f.power.trials < 1 || slices.ContainsFunc(f.power.shares, func(s float64) bool { return !(s > 0 && s <= 0.5) }):
		return usagef("--trials %d and --shares %v: give at least 1, and shares above 0 up to 0.5", f.power.trials, f.power.shares)
	}
	d, n, err := f.read(ctx)
	if err != nil {
		return err
	}
	indices := make([]int, d.Len())
	for i := range indices {
		indices[i] = i
	}
	r, err := f.measure(ctx, u, d.Select(indices[:d.Len()-n]), d.Select(indices[d.Len()-n:]))
	u.done()
	if r == nil {
		return err
	}
	if f.format == "json" {
		return errors.Join(err, u.json(r))
	}
	u.row("data", "%s: %d records, and %d clean ones that set the thresholds", r.Data, r.Records, r.Clean)
	u.row("false alarms", "%g of clean records, at most in the mean", r.FPR)
	for _, t := range r.Tables {
		fmt.Fprintf(u.streams.Out, "\n%s at %g: %d records planted, plantings: %d\n", t.Family, t.Share, t.Planted, r.Trials)
		for _, row := range t.Rows {
			noticed := ""
			if row.Detector == joined {
				noticed = fmt.Sprintf("   said to be planted: %d of %d", row.Noticed, r.Trials)
			}
			if t.Planted == 0 {
				fmt.Fprintf(u.streams.Out, "  %-22s false alarms %s%s\n", row.Detector, percent(float64(row.Alarms)/float64(t.Others)), noticed)
				continue
			}
			fmt.Fprintf(u.streams.Out, "  %-22s TPR %6s  (%s to %s)   false alarms %s%s\n", row.Detector, percent(row.TPR), percent(row.Lower), percent(row.Upper), percent(float64(row.Alarms)/float64(t.Others)), noticed)
		}
	}
	for _, text := range r.Left {
		u.note("left out: %s", text)
	}
	return err
}
