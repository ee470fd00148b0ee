package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"assay/internal/method/inversion"
	"assay/internal/method/target"
	"assay/internal/train"
)

// propertyFlags are the flags of assay audit-privacy property.
type propertyFlags struct {
	data      dataFlags
	admission admission
	training  shadowFlags
	model     string
	attribute string
	value     string
	shares    []float64
	property  inversion.Property
	options   inversion.PropertyOptions
	limitFlags
}

func propertyCommand(u *ui) *cobra.Command {
	f := &propertyFlags{}
	c := &cobra.Command{
		Use:   "property --model MODEL.onnx|ENDPOINT.yaml --data POPULATION --attribute NAME --value VALUE",
		Short: "Tell how well a model's answers show what share of its training data had a property",
		Long: `Tell how well a model's answers show what share of its training data had a property.

--data are records from the distribution that the model was trained on, not those themselves. Models like
it are trained on parts of them with one share of the property or the other. A classifier learns
from half of them how their answers differ (Ateniese et al. 2015, Zhang et al. 2021), and is measured on the others,
which were trained on other records. What counts is how much more often than by a coin it is right.

With --limit the exit code is 0 if that gain is shown to be at most that, 1 if it is shown
to be more, and 2 if neither is.`,
		Example: `  assay audit-privacy property --model model.onnx --data population.csv --label income --attribute sex --value female --shares 0.2,0.5 --cache shadows`,
		Args:    cobra.NoArgs,
		RunE:    f.limitFlags.before(u, f.run),
	}
	f.data.add(c)
	f.admission.add(c)
	f.training.add(c)
	s := c.Flags()
	s.StringVar(&f.model, "model", "", "the ONNX model, or a YAML file of an endpoint")
	s.StringVar(&f.attribute, "attribute", "", "the feature that the property is of: categories, or numbers of few values")
	s.StringVar(&f.value, "value", "", "that records with the property have")
	s.Float64SliceVar(&f.shares, "shares", []float64{0.2, 0.8}, "two shares of records with the property, between which is decided")
	s.IntVar(&f.property.Size, "size", 0, "records that a model is trained on (a quarter of the population)")
	s.IntVar(&f.options.Shadows, "shadows", 80, "shadow models, a multiple of 4")
	s.IntVar(&f.options.Queries, "queries", 128, "records that models are asked about")
	s.StringVar(&f.options.Folder, "cache", "", "a folder that keeps shadow models")
	s.IntVar(&f.options.Parallel, "threads", 0, "processors to use (all)")
	s.Uint64Var(&f.options.Seed, "seed", 0, "of everything that is drawn at random")
	f.limitFlags.add(c, "the greatest gain over a coin that is good enough")
	for _, name := range []string{"model", "attribute", "value"} {
		c.MarkFlagRequired(name)
	}
	return c
}

// propertyAudit is the result of an audit, for programs.
type propertyAudit struct {
	Model     string     `json:"model"`
	Attribute string     `json:"attribute"`
	Value     string     `json:"value"`
	Shares    [2]float64 `json:"shares"`
	*inversion.PropertyAudit
	verdict
	Seconds float64 `json:"seconds"`
}

func (f *propertyFlags) run(ctx context.Context, u *ui) error {
	if err := f.check(); err != nil {
		return err
	}
	started := time.Now()
	victim, known, err := openVictim(ctx, u, &f.admission, f.model, f.options.Parallel)
	if err != nil {
		return err
	}
	defer victim.Close()
	d, err := f.data.read(ctx, known, false)
	if err != nil {
		return err
	}
	if d.Y == nil {
		return fmt.Errorf("%s has no labels: name their column with --label, or their file with --label-file", f.data.path)
	}
	rows, err := target.NewRows(d.Schema, victim.Describe())
	if err != nil {
		return fmt.Errorf("%s does not fit %s: %w", f.data.path, f.model, err)
	}
	attribute, values, err := attributeOf(d, f.attribute)
	if err != nil {
		return err
	}
	of := slices.Index(values, f.value)
	if of < 0 {
		return fmt.Errorf("no record has the value %q of %s: there are %q", f.value, f.attribute, values)
	}
	var records [][]float32
	for i := range d.Len() {
		record := d.Record(i)
		records = append(records, record)
		f.property.Holds = append(f.property.Holds, slices.Equal(record[attribute.Start:attribute.End], attribute.Values[of]))
	}
	if f.property.Size == 0 {
		f.property.Size = d.Len() / 4
	}
	trainer, err := f.training.trainer(train.FromDataset(d), d.Schema)
	if err != nil {
		return err
	}
	f.options.Confidence = f.confidence
	f.options.Progress = func(done, total int) { u.counted("shadow model", done, total) }
	got, err := inversion.Properties(ctx, inversion.Victim{Model: victim, Row: rows.Row}, trainer, records, f.property, f.options)
	u.done()
	if err != nil {
		return err
	}
	a := &propertyAudit{Model: f.model, Attribute: f.attribute, Value: f.value, Shares: f.property.Shares, PropertyAudit: got, verdict: f.decide(got.Gain)}
	a.Seconds = time.Since(started).Seconds()
	return f.tell(u, a, a.verdict, func() { u.propertyAudited(f, a) })
}

// check refuses what no model or data could change.
func (f *propertyFlags) check() error {
	if len(f.shares) != 2 {
		return usagef("--shares %v: give two, such as 0.2,0.8", f.shares)
	}
	f.property.Shares = [2]float64(f.shares)
	if f.options.Shadows < 8 || f.options.Shadows%4 != 0 {
		return usagef("--shadows %d: give a multiple of 4 from 8", f.options.Shadows)
	}
	if f.options.Parallel < 0 || f.options.Queries < 1 || f.property.Size < 0 {
		return usagef("--threads %d --queries %d --size %d: give numbers of at least 0, 1 and 0", f.options.Parallel, f.options.Queries, f.property.Size)
	}
	if f.options.Folder == "" {
		return nil
	}
	return os.MkdirAll(f.options.Folder, 0o755)
}

// propertyAudited prints the result of an audit.
func (u *ui) propertyAudited(f *propertyFlags, a *propertyAudit) {
	u.row("model", "%s, and models like it on %d records each", a.Model, f.property.Size)
	u.row("property", "%s is %s, of %g or %g of the records", a.Attribute, a.Value, a.Shares[0], a.Shares[1])
	u.row("told", "%s of %d models, between %s and %s at %g %% confidence; a coin tells half", percent(a.Correct.Part), a.PropertyAudit.Shadows,
		percent(a.Correct.Lower), percent(a.Correct.Upper), 100*f.confidence)
	u.row("the model", "is taken to have had %g", a.Guess)
	u.verdict(a.verdict)
	u.row("time", "%.1f s", a.Seconds)
}
