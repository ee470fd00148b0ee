package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"assay/internal/method"
	"assay/internal/method/inversion"
	"assay/internal/method/target"
	"assay/internal/model/ort"
	"assay/internal/report"
)

// gradientAuditFlags are the flags of assay audit-privacy gradient.
type gradientAuditFlags struct {
	data       dataFlags
	admission  admission
	model      string
	n          int
	noise      inversion.Noise
	options    inversion.Options
	confidence float64
	limit      float64
	limited    bool
	pictures   string
	format     string
}

func gradientAuditCommand(u *ui) *cobra.Command {
	f := &gradientAuditFlags{}
	c := &cobra.Command{
		Use:   "gradient --model MODEL.onnx --data DATA",
		Short: "Tell how well records are made out of gradients, as federated training sends them",
		Long: `Tell how well records are made out of gradients, as federated training sends them.

The gradient of one record's loss by the model's weights is computed, protected where
--clip and --noise say so, and undone: the label is read off the last layer (Zhao et al. 2020),
and a row is looked for whose gradient points where that one does (Zhu et al. 2019, Geiping et al.
2020). A record counts as leaked where what was made is nearer to it than the mean
of its class and every other record of the data: so much could be known without the gradient.

With --limit the exit code is 0 if the part of records that leak is shown to be at most that, 1 if
it is shown to be more, and 2 if neither is.`,
		Example: `  assay audit-privacy gradient --model model.onnx --data digits.npz --n 10 --pictures leaks.html
  assay audit-privacy gradient --model model.onnx --data digits.npz --clip 1 --noise 0.5 --limit 0.3`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f.limited = c.Flags().Changed("limit")
			if c.Flags().Changed("noise") && !c.Flags().Changed("clip") {
				return usagef("--noise is in units of --clip: give that too")
			}
			return f.run(c.Context(), u)
		},
	}
	f.data.add(c)
	f.admission.add(c)
	s := c.Flags()
	s.StringVar(&f.model, "model", "", "the ONNX model, as it is sent to those who train")
	s.IntVar(&f.n, "n", 10, "records, drawn from the data; the rest is what could be known without")
	s.Float64Var(&f.noise.Clip, "clip", 0, "the L2 norm to which an update is clipped; 0 for an update as it is")
	s.Float64Var(&f.noise.Multiplier, "noise", 0, "standard deviation of the noise on an update, in units of --clip")
	s.IntVar(&f.options.Steps, "steps", 1500, "of each search")
	s.IntVar(&f.options.Restarts, "restarts", 2, "searches from other rows")
	s.Float64Var(&f.options.Variation, "variation", 0.001, "the weight of total variation, of images")
	s.Float64Var(&f.confidence, "confidence", 0.95, "of the bounds")
	s.Float64Var(&f.limit, "limit", 0, "the greatest part of records that may leak")
	s.StringVar(&f.pictures, "pictures", "", "an HTML page of the records and what was made, of images")
	s.Uint64Var(&f.options.Seed, "seed", 0, "of everything that is drawn at random")
	s.StringVar(&f.format, "format", "text", "of the result: text or json")
	c.MarkFlagRequired("model")
	return c
}

// gradientAudit is the result of an audit, for programs.
type gradientAudit struct {
	Model   string           `json:"model"`
	Records int              `json:"records"`
	Prior   int              `json:"prior"`
	Noise   *inversion.Noise `json:"noise,omitempty"`
	*inversion.GradientAudit
	Limit    *float64 `json:"limit,omitempty"`
	Decision string   `json:"decision,omitempty"`
	Seconds  float64  `json:"seconds"`
}

func (f *gradientAuditFlags) run(ctx context.Context, u *ui) error {
	if err := f.check(); err != nil {
		return err
	}
	started := time.Now()
	at, err := f.open(ctx, u)
	if err != nil {
		return err
	}
	defer at.leak.Close()
	var noise *inversion.Noise
	if f.noise.Clip > 0 {
		noise = &f.noise
	}
	got, err := at.leak.Audit(ctx, at.records, at.prior, noise, f.options, f.confidence, func(done, total int) { u.counted("record", done, total) })
	u.done()
	if err != nil {
		return err
	}
	a := &gradientAudit{Model: f.model, Records: len(at.records.Rows), Prior: len(at.prior.Rows), Noise: noise, GradientAudit: got}
	if f.limited {
		a.Limit = &f.limit
		a.Decision = againstLimit(got.Leaked, f.limit)
	}
	if f.pictures != "" {
		if err := writeWhole(f.pictures, func(w io.Writer) error { return f.sheet(w, a, at) }); err != nil {
			return err
		}
	}
	a.Seconds = time.Since(started).Seconds()
	if f.format == "json" {
		err = u.json(a)
	} else {
		u.gradientAudited(f, a)
	}
	if err == nil {
		err = map[string]error{"inadequate": errFailed, "undecided": errUndecided}[a.Decision]
	}
	return err
}

// againstLimit holds a rate's bounds against a limit.
func againstLimit(r inversion.Rate, limit float64) string {
	switch {
	case r.Upper <= limit:
		return "adequate"
	case r.Lower > limit:
		return "inadequate"
	}
	return "undecided"
}

// check refuses what no model or data could change.
func (f *gradientAuditFlags) check() error {
	switch {
	case f.n < 1:
		return usagef("--n %d: give at least one record", f.n)
	case !(f.noise.Clip >= 0) || !(f.noise.Multiplier >= 0):
		return usagef("--clip %g --noise %g: give numbers of 0 or more", f.noise.Clip, f.noise.Multiplier)
	case f.options.Steps < 1 || f.options.Restarts < 1 || !(f.options.Variation >= 0):
		return usagef("--steps %d --restarts %d --variation %g: give at least 1, 1 and 0", f.options.Steps, f.options.Restarts, f.options.Variation)
	case f.limited && !(f.limit >= 0 && f.limit <= 1):
		return usagef("--limit %g: give a part from 0 to 1", f.limit)
	}
	return checkFormat(f.format)
}

// updates is a model and the records whose updates are looked at.
type updates struct {
	leak           *inversion.Leak
	records, prior inversion.Records
	classes        []string
}

// open reads the model and the data, and divides the data into the records that are audited and the prior.
func (f *gradientAuditFlags) open(ctx context.Context, u *ui) (*updates, error) {
	m, err := f.admission.open(ctx, u, f.model)
	if err != nil {
		return nil, err
	}
	known, err := target.ReadSchema(m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.model, err)
	}
	d, err := f.data.read(ctx, known, false)
	if err != nil {
		return nil, err
	}
	if d.Y == nil || d.Len() <= f.n {
		return nil, fmt.Errorf("%s needs labels, and more than %d records: others are what could be known without a gradient", f.data.path, f.n)
	}
	if f.pictures != "" {
		if err := drawable(d.Schema.RecordShape()); err != nil {
			return nil, err
		}
	}
	c, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.model, err)
	}
	defer c.Close()
	rows, err := target.NewRows(d.Schema, c.Describe())
	if err != nil {
		return nil, fmt.Errorf("%s does not fit %s: %w", f.data.path, f.model, err)
	}
	domain, err := method.DomainOf(d.Schema, d.Statistics(), method.ByRange)
	if err != nil {
		return nil, err
	}
	domain = rows.Domain(domain)
	f.options.Low, f.options.High = domain.Low, domain.High
	if shape := d.Schema.RecordShape(); len(shape) == 3 {
		f.options.Image = shape
	}
	at := &updates{classes: c.Describe().Classes}
	for i, name := range d.Schema.Label.Classes {
		at.classes[rows.Class(i)] = name
	}
	for k, i := range rand.New(rand.NewPCG(f.options.Seed, 3)).Perm(d.Len()) {
		to := &at.prior
		if k < f.n {
			to = &at.records
		}
		to.Rows, to.Labels = append(to.Rows, rows.Row(d.Record(i))), append(to.Labels, rows.Class(int(d.Y[i])))
	}
	if at.leak, err = inversion.NewLeak(m, len(at.classes)); err != nil {
		return nil, fmt.Errorf("%s: %w", f.model, err)
	}
	return at, nil
}

// gradientAudited prints the result of an audit.
func (u *ui) gradientAudited(f *gradientAuditFlags, a *gradientAudit) {
	u.row("model", "%s, %d records, %d others known", a.Model, a.Records, a.Prior)
	if a.Noise != nil {
		u.row("protected", "clipped to %g, noise of %g times that", a.Noise.Clip, a.Noise.Multiplier)
	}
	u.row("leaked", "%s of the records, between %s and %s at %g %% confidence", percent(a.Leaked.Part), percent(a.Leaked.Lower), percent(a.Leaked.Upper), 100*f.confidence)
	u.row("labels", "%s read, at least %s; %s by always guessing one", percent(a.Labels.Part), percent(a.Labels.Lower), percent(a.Guessed))
	for i, t := range a.Attempts {
		text := fmt.Sprintf("error %.2g; of the class's mean %.2g, of the nearest other %.2g", t.Error, t.OfMean, t.OfNearest)
		if len(f.options.Image) == 3 {
			text += fmt.Sprintf("; SSIM %.3f", t.SSIM)
		}
		u.row(fmt.Sprintf("record %d", i+1), "%s", text)
	}
	if a.Limit != nil {
		u.row("decision", "%s, by a limit of %s", a.Decision, percent(*a.Limit))
	}
	u.row("time", "%.1f s", a.Seconds)
}

// leakSheet is a page of pictures. It is whole in itself, and nothing in it runs.
var leakSheet = template.Must(template.New("leaks").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>What gradients of {{.Model}} give away</title>
<style>
body { font: 15px/1.4 sans-serif; margin: 2rem; color: #222 }
table { border-collapse: collapse }
th, td { padding: .5rem .75rem; border-bottom: 1px solid #bbb; text-align: left; vertical-align: top }
img { width: 6rem; image-rendering: pixelated; display: block; margin-bottom: .25rem }
</style></head><body>
<h1>What gradients of {{.Model}} give away</h1>
<p>{{.Records}} records; {{printf "%.1f" .Percent}} % are nearer than anything that could be known without the gradient.{{with .Noise}} Updates were clipped to {{.Clip}}, with noise of {{.Multiplier}} times that.{{end}}</p>
<table><thead><tr><th scope="col">Record</th><th scope="col">Made of its gradient</th><th scope="col">Mean of its class</th><th scope="col">Nearest other record</th></tr></thead><tbody>{{range .Rows}}
<tr><td><img src="{{index .Sources 0}}" alt="the record">{{.Label}}</td><td><img src="{{index .Sources 1}}" alt="what was made of its gradient">error {{printf "%.2g" .Error}}, SSIM {{printf "%.3f" .SSIM}}</td><td><img src="{{index .Sources 2}}" alt="the mean of its class">error {{printf "%.2g" .OfMean}}</td><td><img src="{{index .Sources 3}}" alt="the nearest other record">error {{printf "%.2g" .OfNearest}}</td></tr>{{end}}
</tbody></table></body></html>
`))

type leakRow struct {
	inversion.Attempt
	Label   string
	Sources []template.URL
}

// sheet writes the pictures of all attempts.
func (f *gradientAuditFlags) sheet(w io.Writer, a *gradientAudit, at *updates) error {
	page := struct {
		*gradientAudit
		Percent float64
		Rows    []leakRow
	}{gradientAudit: a, Percent: 100 * a.Leaked.Part}
	shape := f.options.Image
	low, high := float64(f.options.Low[0]), float64(f.options.High[0])
	for i := range f.options.Low {
		low, high = min(low, float64(f.options.Low[i])), max(high, float64(f.options.High[i]))
	}
	for i, t := range a.Attempts {
		row := leakRow{Attempt: t, Label: at.classes[t.Label]}
		for _, two := range [][2][]float32{{at.records.Rows[i], t.Made}, {t.Mean, t.Nearest}} {
			p, err := report.NewPictures(two[0], two[1], shape[0], shape[1], shape[2], low, high)
			if err != nil {
				return err
			}
			for _, png := range [][]byte{p.Clean, p.Adversarial} {
				row.Sources = append(row.Sources, template.URL("data:image/png;base64,"+base64.StdEncoding.EncodeToString(png)))
			}
		}
		page.Rows = append(page.Rows, row)
	}
	return leakSheet.Execute(w, page)
}
