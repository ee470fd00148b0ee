package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"assay/internal/dataset"
	"assay/internal/method/inversion"
	"assay/internal/method/target"
)

// attributeFlags are the flags of assay audit-privacy attribute.
type attributeFlags struct {
	data         dataFlags
	admission    admission
	model, prior string
	attribute    string
	threads      int
	seed         uint64
	limitFlags
}

func attributeCommand(u *ui) *cobra.Command {
	f := &attributeFlags{}
	c := &cobra.Command{
		Use:   "attribute --model MODEL.onnx|ENDPOINT.yaml --data RECORDS --prior DATA --attribute NAME",
		Short: "Tell how well a model's answers show an attribute of records of which all else is known",
		Long: `Tell how well a model's answers show an attribute of records of which all else is known.

The model is asked about each record under each value of the attribute (Fredrikson et al. 2014,
Mehnaz et al. 2022). What counts is by how much more records' values are guessed so than without the
model: a network learns the attribute from the other features and the label of --prior, which are
other records from the same distribution (Jayaraman and Evans 2022).

With --limit the exit code is 0 if the gain of every attack is shown to be at most that, 1 if
one is shown to be more, and 2 if neither is.`,
		Example: `  assay audit-privacy attribute --model model.onnx --data train.csv --prior other.csv --label income --attribute sex --limit 0.05`,
		Args:    cobra.NoArgs,
		RunE:    f.limitFlags.before(u, f.run),
	}
	f.data.add(c)
	f.admission.add(c)
	s := c.Flags()
	s.StringVar(&f.model, "model", "", "the ONNX model, or a YAML file of an endpoint")
	s.StringVar(&f.prior, "prior", "", "other records from the same distribution, as --data")
	s.StringVar(&f.attribute, "attribute", "", "the feature that is not known: categories, or numbers of few values")
	s.IntVar(&f.threads, "threads", 0, "processors to use (all)")
	s.Uint64Var(&f.seed, "seed", 0, "of everything that is drawn at random")
	f.limitFlags.add(c, "the greatest gain over guessing without the model that is good enough")
	for _, name := range []string{"model", "prior", "attribute"} {
		c.MarkFlagRequired(name)
	}
	return c
}

// attributeAudit is the result of an audit, for programs.
type attributeAudit struct {
	Model     string   `json:"model"`
	Attribute string   `json:"attribute"`
	Values    []string `json:"values"`
	*inversion.AttributeAudit
	verdict
	Seconds float64 `json:"seconds"`
}

func (f *attributeFlags) run(ctx context.Context, u *ui) error {
	if f.threads < 0 {
		return usagef("--threads %d: give the number of processors, or 0 for all", f.threads)
	}
	started := time.Now()
	victim, known, err := openVictim(ctx, u, &f.admission, f.model, f.threads)
	if err != nil {
		return err
	}
	defer victim.Close()
	data, err := f.data.read(ctx, known, false)
	if err != nil {
		return err
	}
	rest := dataFlags{path: f.prior, bad: f.data.bad}
	prior, err := rest.read(ctx, data.Schema, false)
	if err != nil {
		return fmt.Errorf("--prior: %w", err)
	}
	if data.Y == nil || prior.Y == nil {
		return fmt.Errorf("%s and %s need labels: name their column with --label", f.data.path, f.prior)
	}
	rows, err := target.NewRows(data.Schema, victim.Describe())
	if err != nil {
		return fmt.Errorf("%s does not fit %s: %w", f.data.path, f.model, err)
	}
	attribute, values, err := attributeOf(data, f.attribute)
	if err != nil {
		return err
	}
	records := func(d *dataset.Dataset) (r inversion.Records) {
		for i := range d.Len() {
			r.Rows, r.Labels = append(r.Rows, d.Record(i)), append(r.Labels, rows.Class(int(d.Y[i])))
		}
		return r
	}
	got, err := inversion.Attributes(ctx, inversion.Victim{Model: victim, Row: rows.Row}, *attribute, records(data), records(prior), f.confidence, f.seed)
	if err != nil {
		return err
	}
	a := &attributeAudit{Model: f.model, Attribute: f.attribute, Values: values, AttributeAudit: got, verdict: f.decide(greatest(got.Attacks))}
	a.Seconds = time.Since(started).Seconds()
	return f.tell(u, a, a.verdict, func() { u.attributeAudited(f, a) })
}

// greatest gives the greatest bounds of all attacks' gains.
func greatest(attacks []inversion.Inferred) inversion.Rate {
	worst := attacks[0].Gain
	for _, a := range attacks {
		worst.Lower, worst.Upper = max(worst.Lower, a.Gain.Lower), max(worst.Upper, a.Gain.Upper)
	}
	return worst
}

// maxValues is how many values a number may have to be guessed.
const maxValues = 32

// attributeOf finds a feature and its values in the records.
func attributeOf(d *dataset.Dataset, name string) (*inversion.Attribute, []string, error) {
	s := d.Schema
	feature := slices.IndexFunc(s.Features, func(f dataset.Feature) bool { return f.Name == name })
	if feature < 0 {
		return nil, nil, fmt.Errorf("the data have no feature %q", name)
	}
	columns := s.Columns()
	a := &inversion.Attribute{Start: slices.IndexFunc(columns, func(c dataset.Column) bool { return c.Feature == feature })}
	if a.Start < 0 || len(s.Shape) > 0 {
		return nil, nil, fmt.Errorf("the feature %q is no attribute of a table", name)
	}
	a.End = a.Start + 1
	for a.End < len(columns) && columns[a.End].Feature == feature {
		a.End++
	}
	seen := map[string]bool{}
	for i := range d.Len() {
		part := d.Record(i)[a.Start:a.End]
		if key := fmt.Sprint(part); !seen[key] {
			seen[key] = true
			a.Values = append(a.Values, slices.Clone(part))
		}
		if len(a.Values) > maxValues {
			return nil, nil, fmt.Errorf("the feature %q has more than %d values: put them into classes before", name, maxValues)
		}
	}
	if len(a.Values) < 2 {
		return nil, nil, fmt.Errorf("the feature %q has one value in all records: there is nothing to guess", name)
	}
	slices.SortFunc(a.Values, slices.Compare)
	var values []string
	for _, v := range a.Values {
		record := slices.Clone(d.Record(0))
		copy(record[a.Start:a.End], v)
		texts, err := s.Decode(record)
		if err != nil {
			return nil, nil, err
		}
		values = append(values, texts[feature])
	}
	return a, values, nil
}

// attributeAudited prints the result of an audit.
func (u *ui) attributeAudited(f *attributeFlags, a *attributeAudit) {
	u.row("model", "%s, %d records", a.Model, a.Records)
	u.row("attribute", "%s, of %d values; %s have the commonest", a.Attribute, len(a.Values), percent(a.Majority))
	u.row("without model", "%s guessed from the other features and the label", percent(a.Imputation))
	for _, x := range a.Attacks {
		u.row(string(x.Attack), "%s guessed, a gain of %s, between %s and %s at %g %% confidence for all", percent(x.Correct),
			percent(x.Gain.Part), percent(x.Gain.Lower), percent(x.Gain.Upper), 100*f.confidence)
	}
	u.verdict(a.verdict)
	u.row("time", "%.1f s", a.Seconds)
}
