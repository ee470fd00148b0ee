package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"assay/internal/method"
	"assay/internal/method/inversion"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/onnx"
)

// gradientAuditFlags are the flags of assay audit-privacy gradient.
type gradientAuditFlags struct {
	data      dataFlags
	admission admission
	model     string
	n         int
	noise     inversion.Noise
	options   inversion.Options
	pictures  string
	limitFlags
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
			if err := f.limitFlags.read(c); err != nil {
				return err
			}
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
	s.StringVar(&f.pictures, "pictures", "", "an HTML page of the records and what was made, of images")
	s.Uint64Var(&f.options.Seed, "seed", 0, "of everything that is drawn at random")
	f.limitFlags.add(c, "the greatest part of records that may leak")
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
	verdict
	Seconds float64 `json:"seconds"`
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
	a := &gradientAudit{Model: f.model, Records: len(at.records.Rows), Prior: len(at.prior.Rows), Noise: noise, GradientAudit: got, verdict: f.decide(got.Leaked)}
	if f.pictures != "" {
		page := &leakPage{Title: "What gradients of " + f.model + " give away",
			Summary: fmt.Sprintf("%d records; %s are nearer than anything that could be known without the gradient.", a.Records, percent(got.Leaked.Part)),
			Columns: [4]string{"Record", "Made of its gradient", "Mean of its class", "Nearest other record"}}
		if noise != nil {
			page.Summary += fmt.Sprintf(" Updates were clipped to %g, with noise of %g times that.", noise.Clip, noise.Multiplier)
		}
		if err := writeWhole(f.pictures, func(w io.Writer) error {
			return page.write(w, got.Attempts, at.records.Rows, at.classes, f.options)
		}); err != nil {
			return err
		}
	}
	a.Seconds = time.Since(started).Seconds()
	return f.tell(u, a, a.verdict, func() { u.gradientAudited(f, a) })
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
	}
	return nil
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
	s, err := openSubject(ctx, m, f.model, &f.data, f.pictures != "", &f.options)
	if err != nil {
		return nil, err
	}
	defer s.classifier.Close()
	n := len(s.records.Rows)
	if n <= f.n {
		return nil, fmt.Errorf("%s has %d records, and more than %d are needed: others are what could be known without a gradient", f.data.path, n, f.n)
	}
	at := &updates{classes: s.classes}
	for k, i := range rand.New(rand.NewPCG(f.options.Seed, 3)).Perm(n) {
		to := &at.prior
		if k < f.n {
			to = &at.records
		}
		to.Rows, to.Labels = append(to.Rows, s.records.Rows[i]), append(to.Labels, s.records.Labels[i])
	}
	if at.leak, err = inversion.NewLeak(m, len(at.classes)); err != nil {
		return nil, fmt.Errorf("%s: %w", f.model, err)
	}
	return at, nil
}

// subject is a model and records in its layout.
type subject struct {
	classifier *ort.Classifier
	records    inversion.Records
	classes    []string
}

// openSubject reads data for a model, and puts their limits into the options.
func openSubject(ctx context.Context, m *onnx.Model, path string, data *dataFlags, draw bool, o *inversion.Options) (*subject, error) {
	known, err := target.ReadSchema(m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	d, err := data.read(ctx, known, false)
	if err != nil {
		return nil, err
	}
	if d.Y == nil {
		return nil, fmt.Errorf("%s has no labels: name their column with --label, or their file with --label-file", data.path)
	}
	if draw {
		if err := drawable(d.Schema.RecordShape()); err != nil {
			return nil, err
		}
	}
	domain, err := method.DomainOf(d.Schema, d.Statistics(), method.ByRange)
	if err != nil {
		return nil, err
	}
	c, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	rows, err := target.NewRows(d.Schema, c.Describe())
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("%s does not fit %s: %w", data.path, path, err)
	}
	domain = rows.Domain(domain)
	o.Low, o.High = domain.Low, domain.High
	if shape := d.Schema.RecordShape(); len(shape) == 3 && c.Describe().Layout != model.NHWC {
		o.Image = shape
	}
	s := &subject{classifier: c, classes: c.Describe().Classes}
	for i, name := range d.Schema.Label.Classes {
		s.classes[rows.Class(i)] = name
	}
	for i := range d.Len() {
		s.records.Rows, s.records.Labels = append(s.records.Rows, rows.Row(d.Record(i))), append(s.records.Labels, rows.Class(int(d.Y[i])))
	}
	return s, nil
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
	u.verdict(a.verdict)
	u.row("time", "%.1f s", a.Seconds)
}
