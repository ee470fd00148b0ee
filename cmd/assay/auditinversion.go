package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"assay/internal/method/inversion"
	"assay/internal/model/gradient"
)

// inversionFlags are the flags of assay audit-privacy inversion.
type inversionFlags struct {
	data      dataFlags
	admission admission
	model, by string
	options   inversion.Options
	pictures  string
	limitFlags
}

func inversionCommand(u *ui) *cobra.Command {
	f := &inversionFlags{}
	c := &cobra.Command{
		Use:   "inversion --model MODEL.onnx --data DATA",
		Short: "Tell how well a model shows what the records of its classes look like",
		Long: `Tell how well a model shows what the records of its classes look like.

For each class a row is made by an attacker who has records of other classes alone: by the
model's gradients (Fredrikson et al. 2015), or by its labels alone. The class counts as leaked where the
row is nearer to the mean of its records than the mean of the others, every one of them, and the rows that
are made for other classes.

With --limit the exit code is 0 if the part of classes that leak is shown to be at most that, 1 if
it is shown to be more, and 2 if neither is.`,
		Example: `  assay audit-privacy inversion --model model.onnx --data faces.npz --by label-only --pictures classes.html`,
		Args:    cobra.NoArgs,
		RunE:    f.limitFlags.before(u, f.run),
	}
	f.data.add(c)
	f.admission.add(c)
	s := c.Flags()
	s.StringVar(&f.model, "model", "", "the ONNX model")
	s.StringVar(&f.by, "by", string(inversion.ByGradient), "what the attacker has: gradient or label-only")
	s.Float64Var(&f.options.Variation, "variation", 0.1, "the weight of total variation, of images")
	s.StringVar(&f.pictures, "pictures", "", "an HTML page of the classes and what was made, of images")
	s.Uint64Var(&f.options.Seed, "seed", 0, "of everything that is drawn at random")
	f.limitFlags.add(c, "the greatest part of classes that may leak")
	c.MarkFlagRequired("model")
	return c
}

// inversionAudit is the result of an audit, for programs.
type inversionAudit struct {
	Model string `json:"model"`
	By    string `json:"by"`
	*inversion.ClassAudit
	verdict
	Seconds float64 `json:"seconds"`
}

func (f *inversionFlags) run(ctx context.Context, u *ui) error {
	if err := f.check(); err != nil {
		return err
	}
	started := time.Now()
	m, err := f.admission.open(ctx, u, f.model)
	if err != nil {
		return err
	}
	at, err := openSubject(ctx, m, f.model, &f.data, f.pictures != "", &f.options)
	if err != nil {
		return err
	}
	defer at.classifier.Close()
	s := inversion.Subject{Model: at.classifier}
	if f.by == string(inversion.ByGradient) {
		g, err := gradient.New(ctx, m, gradient.Options{Batch: 1})
		if err != nil {
			return fmt.Errorf("%s: %w", f.model, err)
		}
		defer g.Close()
		s.Slopes = g
	}
	got, err := s.Classes(ctx, inversion.Inverter(f.by), at.records, at.records, f.options, f.confidence, func(done, total int) { u.counted("class", done, total) })
	u.done()
	if err != nil {
		return err
	}
	a := &inversionAudit{Model: f.model, By: f.by, ClassAudit: got, verdict: f.decide(got.Leaked)}
	if f.pictures != "" {
		if err := f.draw(a, at); err != nil {
			return err
		}
	}
	a.Seconds = time.Since(started).Seconds()
	return f.tell(u, a, a.verdict, func() { u.inverted(f, a, at.classes) })
}

// check refuses what no model or data could change.
func (f *inversionFlags) check() error {
	switch {
	case !slices.Contains(inversion.Inverters(), inversion.Inverter(f.by)):
		return usagef("--by %s: use gradient or label-only", f.by)
	case !(f.options.Variation >= 0):
		return usagef("--variation %g: give 0 or more", f.options.Variation)
	}
	return nil
}

// draw writes the pictures.
func (f *inversionFlags) draw(a *inversionAudit, at *subject) error {
	page := &leakPage{Title: "What " + f.model + " shows of its classes",
		Summary: fmt.Sprintf("%d classes; what was made by %s of %s is nearer to the mean of the class than anything that is known of others.", len(a.Attempts), f.by, percent(a.Leaked.Part)),
		Columns: [4]string{"Mean of the class", "Made of the model", "Mean of the others", "Nearest of the others"}}
	var truths [][]float32
	for _, t := range a.Attempts {
		truths = append(truths, at.records.Mean(t.Label))
	}
	return writeWhole(f.pictures, func(w io.Writer) error { return page.write(w, a.Attempts, truths, at.classes, f.options) })
}

// inverted prints the result of an audit.
func (u *ui) inverted(f *inversionFlags, a *inversionAudit, classes []string) {
	u.row("model", "%s, %d classes, by %s", a.Model, len(a.Attempts), a.By)
	u.row("leaked", "%s of the classes, between %s and %s at %g %% confidence", percent(a.Leaked.Part), percent(a.Leaked.Lower), percent(a.Leaked.Upper), 100*f.confidence)
	for _, t := range a.Attempts {
		u.row("class "+classes[t.Label], "error %.2g; of the others' mean %.2g, of the nearest of them %.2g", t.Error, t.OfMean, t.OfNearest)
	}
	u.verdict(a.verdict)
	u.row("time", "%.1f s", a.Seconds)
}
