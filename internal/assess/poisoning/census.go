package poisoning

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"assay/internal/assess"
	"assay/internal/criteria"
	"assay/internal/dataset"
	"assay/internal/gate"
	"assay/internal/report"
	"assay/internal/system"
)

const conformity = "record-conformity"

// census looks at every record of training data: whether it is among the protected ones, and whether its source is allowed and
// within its share. All records of a source that gives too much are counted, as none of them is the one too many.
type census struct {
	training  *dataset.Dataset
	sources   []string           // of each of its records
	allowed   map[string]float64 // sources, with the largest part of the records that each may give
	validated *dataset.Dataset
	protected *gate.Protected
	wrong     []string // what is wrong with each record; empty for nothing
}

// newCensus reads training data with their sources, and the protected records, which are the goal's data.
func (t *Tester) newCensus(ctx context.Context, solution *system.Solution, validation *system.Data) (*census, error) {
	settings := solution.Sources
	if settings == nil {
		return nil, t.system.Mistake(solution.At, "it says nothing of whom the training data may come from: add sources, with the training data")
	}
	of := t.system.Dataset(settings.Data)
	c := &census{allowed: map[string]float64{}}
	for _, s := range settings.Allowed {
		c.allowed[s.Name] = s.Share
	}
	var err error
	if c.training, err = t.load(ctx, of, nil); err != nil {
		return nil, err
	}
	if c.validated, err = t.load(ctx, validation, c.training.Schema); err != nil {
		return nil, err
	}
	c.protected = gate.Protect(c.validated)
	if c.sources, err = gate.Sources(ctx, t.system.Path(of.File), settings.Column, c.training); err != nil {
		return nil, t.system.Mistake(solution.At+".sources.column", "%v", err)
	}
	c.wrong, err = c.look(c.training, c.sources)
	return c, err
}

// look tells what is wrong with each record.
func (c *census) look(d *dataset.Dataset, sources []string) ([]string, error) {
	wrong := make([]string, d.Len())
	of := map[string]string{}
	for _, s := range gate.Shares(sources, c.allowed) {
		switch {
		case !s.Allowed:
			of[s.Source] = fmt.Sprintf("its source %q is not allowed", s.Source)
		case !s.Kept():
			of[s.Source] = fmt.Sprintf("its source %q gives %.1f %% of the records, and %.1f %% at most are allowed", s.Source, 100*s.Part, 100*s.Limit)
		}
	}
	for i, source := range sources {
		wrong[i] = of[source]
	}
	shared, err := c.protected.Among(d)
	for _, i := range shared {
		wrong[i] = "it is among the protected records"
	}
	return wrong, err
}

func (c *census) units() int { return c.training.Len() }

func (c *census) outline(*assess.Test) *assess.Outline {
	return &assess.Outline{Records: c.units(), Methods: []report.Method{{
		Name: "census of the training data", Reference: "assay gate: shares of sources, and records among the protected ones by their values", Settings: c.settings(),
	}}}
}

func (c *census) settings() []report.Fact {
	facts := []report.Fact{{Name: "protected", Value: fmt.Sprintf("%d records", c.validated.Len())}}
	for _, s := range gate.Shares(c.sources, c.allowed) {
		if s.Allowed {
			facts = append(facts, report.Fact{Name: "source " + s.Source, Value: fmt.Sprintf("%d records, %.1f %% of all; at most %.1f %%", s.Records, 100*s.Part, 100*s.Limit)})
		}
	}
	return facts
}

// counted is what is recorded of a record.
type counted struct {
	Record  int64  `json:"record"` // its number in the training data
	Source  string `json:"source"`
	Problem string `json:"problem,omitempty"`
}

func (c *census) observe(_ context.Context, u int) (assess.Observation, error) {
	text, err := json.Marshal(counted{c.training.Number[u], c.sources[u], c.wrong[u]})
	return assess.Observation{Unit: u, Outcomes: map[string]bool{conformity: c.wrong[u] == ""}, Detail: text}, err
}

// rehearsal is what the census says of a copy of the data that is as it must be, and of the same with one thing wrong at a time.
type rehearsal struct {
	Records int    `json:"records"` // in the copy as it must be
	Alarms  int    `json:"alarms"`  // of them, that it holds something against
	Open    bool   `json:"open"`    // every source may give all records, so that none can give too many
	Cases   []flaw `json:"cases"`
}

// flaw is one thing that is wrong.
type flaw struct {
	What    string `json:"what"`
	Planted int    `json:"planted"` // records that are wrong
	Found   int    `json:"found"`
	Alarms  int    `json:"alarms"` // others that something is held against
}

// control makes a copy of the data that is as it must be, and puts one thing after the other wrong with it.
func (c *census) control(ctx context.Context) (any, error) {
	d, sources, err := c.conforming()
	if err != nil {
		return nil, err
	}
	wrong, err := c.look(d, sources)
	if err != nil {
		return nil, err
	}
	out := &rehearsal{Records: d.Len(), Open: true, Cases: []flaw{}}
	for _, w := range wrong {
		if w != "" {
			out.Alarms++
		}
	}
	for _, limit := range c.allowed {
		out.Open = out.Open && limit >= 1
	}
	if d.Len() == 0 {
		return out, nil
	}
	for _, f := range c.flaws(d, sources) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, err := c.look(f.d, f.sources)
		if err != nil {
			return nil, err
		}
		tried := flaw{What: f.what}
		for i := range found {
			switch {
			case f.planted[i]:
				if tried.Planted++; found[i] != "" {
					tried.Found++
				}
			case found[i] != "":
				tried.Alarms++
			}
		}
		out.Cases = append(out.Cases, tried)
	}
	return out, nil
}

// conforming gives a copy of the training data without the records that are protected, in which no source gives too much: the most records
// of which the allowed sources can give all. There are none where they could not give all records of any number.
func (c *census) conforming() (*dataset.Dataset, []string, error) {
	shared, err := c.protected.Among(c.training)
	if err != nil {
		return nil, nil, err
	}
	var rest []int
	for i := range c.training.Len() {
		if _, is := slices.BinarySearch(shared, i); !is {
			rest = append(rest, i)
		}
	}
	names := slices.Sorted(maps.Keys(c.allowed))
	for n := len(rest); n > 0; n-- {
		room := 0
		for _, name := range names {
			room += most(c.allowed[name], n)
		}
		if room < n {
			continue
		}
		var sources []string
		for _, name := range names {
			sources = append(sources, slices.Repeat([]string{name}, min(n-len(sources), most(c.allowed[name], n)))...)
		}
		return c.training.Select(rest[:n]), sources, nil
	}
	return c.training.Select(nil), nil, nil
}

// most is the largest number of n records that is within a part of them.
func most(part float64, n int) int {
	k := min(n, int(math.Ceil(part*float64(n))))
	for k > 0 && float64(k)/float64(n) > part {
		k--
	}
	return k
}

// flawed are data in which some records are wrong.
type flawed struct {
	what    string
	d       *dataset.Dataset
	sources []string
	planted []bool
}

// flaws puts wrong with data that are as they must be: some protected records, under other labels; some records of a stranger;
// and, for each source that cannot give all, one record more than it may give.
func (c *census) flaws(d *dataset.Dataset, sources []string) []flawed {
	n := d.Len()
	copied := &dataset.Dataset{Schema: d.Schema, X: slices.Clone(d.X), Y: slices.Clone(d.Y), Number: d.Number}
	overlap := flawed{"protected records under other labels", copied, sources, make([]bool, n)}
	stranger := flawed{"a source that is not allowed", d, slices.Clone(sources), make([]bool, n)}
	for i := 0; i < n; i += max(1, n/20) {
		of := i % c.validated.Len()
		copy(overlap.d.Record(i), c.validated.Record(of))
		overlap.d.Y[i], overlap.planted[i] = (c.validated.Y[of]+1)%int32(len(d.Schema.Label.Classes)), true
		stranger.sources[i], stranger.planted[i] = "", true
	}
	all := []flawed{overlap, stranger}
	for _, name := range slices.Sorted(maps.Keys(c.allowed)) {
		need := most(c.allowed[name], n) + 1
		if need > n {
			continue
		}
		f := flawed{fmt.Sprintf("one record more of %s than it may give", name), d, slices.Clone(sources), make([]bool, n)}
		for i := range n {
			if f.sources[i] == name {
				need--
			}
		}
		for i := 0; i < n && need > 0; i++ {
			if f.sources[i] != name {
				f.sources[i], need = name, need-1
			}
		}
		for i := range n {
			f.planted[i] = f.sources[i] == name
		}
		all = append(all, f)
	}
	return all
}

func (r rehearsal) checks() []criteria.Check {
	missed := ""
	for _, f := range r.Cases {
		if (f.Planted == 0 || f.Found < f.Planted) && missed == "" {
			missed = fmt.Sprintf("; of %s %d of %d records are found", f.What, f.Found, f.Planted)
		}
	}
	found := criteria.Check{Name: "positive-control", Passed: len(r.Cases) > 0 && missed == "" && !r.Open,
		Detail: fmt.Sprintf("copies of the data were made with %d things wrong, one at a time, and each record that is wrong is found", len(r.Cases))}
	switch {
	case r.Open:
		found.Detail = "each source may give all records, so that no source could give too many: state smaller shares"
	case !found.Passed:
		found.Detail = fmt.Sprintf("copies of the data were made with %d things wrong, one at a time%s", len(r.Cases), missed)
	}
	alarms := r.Alarms
	for _, f := range r.Cases {
		alarms += f.Alarms
	}
	quiet := criteria.Check{Name: "negative-control", Passed: r.Records > 0 && alarms == 0,
		Detail: fmt.Sprintf("nothing is held against the %d records of a copy that is as it must be", r.Records)}
	switch {
	case r.Records == 0:
		quiet.Detail = "no copy of the data could be as it must be: the shares of the sources together are less than all records, or all records are protected ones"
	case alarms > 0:
		quiet.Detail = fmt.Sprintf("something is held against %d records that are as they must be", alarms)
	}
	return []criteria.Check{found, quiet}
}

// problems is how many records with something wrong the report names.
const problems = 5

// presentCensus tells what is wrong with records.
func presentCensus(test *assess.Test, observed []assess.Observation) (*report.Test, error) {
	if test.Outline == nil {
		return nil, fmt.Errorf("the record of the plan is damaged: it has no outline")
	}
	r := &report.Test{N: len(observed), Methods: slices.Clone(test.Outline.Methods)}
	wrong := 0
	for _, o := range observed {
		var d counted
		if err := json.Unmarshal(o.Detail, &d); err != nil {
			return nil, fmt.Errorf("the record of unit %d is damaged: %w", o.Unit, err)
		}
		if d.Problem == "" {
			continue
		}
		if wrong++; wrong <= problems {
			r.Notes = append(r.Notes, fmt.Sprintf("Record %d: %s.", d.Record, d.Problem))
		}
	}
	if wrong > problems {
		r.Notes = append(r.Notes, fmt.Sprintf("So %d records in all.", wrong))
	}
	r.Notes = append(r.Notes, "Protected records are known by all of their values: one that is nearly the same is another record.")
	return r, nil
}
