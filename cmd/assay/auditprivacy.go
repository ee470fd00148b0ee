package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"assay/internal/criteria"
	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/membership"
	"assay/internal/method/shadow"
	"assay/internal/method/target"
	"assay/internal/train"
	"assay/onnx"
)

// auditFlags are the flags of assay audit-privacy membership.
type auditFlags struct {
	data           dataFlags // the members
	admission      admission
	model, others  string
	compare        []string // further models of the same members
	training       shadowFlags
	shadows        int
	folder, format string
	queries, top   int
	boundary       int
	calibration    float64
	fprs           []float64
	confidence     float64
	limit          float64
	without        bool // the controls
	parallel       int
	seed           uint64
	limited        bool
}

// shadowFlags say how a model like the one under audit is trained.
type shadowFlags struct{ trainFlags }

func (f *shadowFlags) add(c *cobra.Command) {
	o, s := &f.options, c.Flags()
	s.StringVar(&f.arch, "arch", "mlp", "of models like it: logistic, mlp, cnn or resnet20")
	s.StringVar(&f.widths, "widths", "", "widths of the layers of mlp (64,32) and cnn (32,32,64,64)")
	s.IntVar(&o.Epochs, "epochs", 30, "how often a training goes through the data")
	s.IntVar(&o.Batch, "batch", 64, "examples for each step")
	s.Float64Var(&o.Optimizer.Rate, "lr", 0.001, "learning rate")
	s.Float64Var(&o.Optimizer.Decay, "weight-decay", 0.01, "of the weights")
	f.standardize = true
}

// trainer gives the training of models like it on a population.
func (f *shadowFlags) trainer(d *train.Data, schema *dataset.Schema) (*shadow.Builtin, error) {
	f.options.Optimizer.Method, f.options.Schedule.Kind = train.AdamW, "one-cycle"
	own := *d
	parts := &split{schema: schema, training: &own}
	if _, err := f.build(parts); err != nil { // which gives the data the shape that the network takes
		return nil, err
	}
	return &shadow.Builtin{Data: &own, Options: f.options, Network: func(seed uint64, d *train.Data) (*onnx.Model, error) {
		g := f.trainFlags
		g.options.Seed = seed
		return g.build(&split{schema: schema, training: d})
	}}, nil
}

func auditPrivacyCommand(u *ui) *cobra.Command {
	c := &cobra.Command{
		Use:   "audit-privacy",
		Short: "Measure what a model or a training gives away of its records",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(membershipCommand(u), canariesCommand(u), gradientAuditCommand(u), attributeCommand(u), inversionCommand(u), propertyCommand(u))
	return c
}

func membershipCommand(u *ui) *cobra.Command {
	f := &auditFlags{}
	c := &cobra.Command{
		Use:   "membership --model MODEL.onnx|ENDPOINT.yaml --data MEMBERS --non-members DATA",
		Short: "Tell how well a model's answers show what it was trained on",
		Long: `Tell how well a model's answers show which records it was trained on (membership inference).

--data are records that the model was trained on, --non-members others from the same
distribution. Shadow models, which are models like it, are trained on halves of all of
them, one on each processor, and kept in --cache: an interrupted audit goes on from there. Choose
--arch, --widths and --epochs as the model has been trained.

Results are the rate of members found (TPR) at small rates of false alarms (FPR), with
exact bounds for all attacks together. They mean something where the checks hold: members
and others cannot be told without the model, there are enough others for the FPR, and
the attacks find what they must on a model that learnt by heart and nothing where there is nothing.

With --limit the exit code is 0 if the TPR at the smallest FPR is shown to be at most that, 1 if
it is shown to be more, and 2 if neither is, or a check fails.`,
		Example: `  assay audit-privacy membership --model model.onnx --data train.csv --non-members test.csv --label outcome --shadows 64 --cache shadows
  assay audit-privacy membership --model endpoint.yaml --data train.npz --non-members test.npz --arch cnn --fpr 0.001,0.01 --limit 0.01 --format json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f.limited = c.Flags().Changed("limit")
			return f.run(c.Context(), u)
		},
	}
	f.data.add(c)
	f.admission.add(c)
	f.training.add(c)
	s := c.Flags()
	s.StringVar(&f.model, "model", "", "the ONNX model, or a YAML file of an endpoint")
	s.StringVar(&f.others, "non-members", "", "records that the model was not trained on, as --data")
	s.StringSliceVar(&f.compare, "compare", nil, "further models of the same members, such as with a solution: all are told in one table, and only --model is decided on")
	s.IntVar(&f.shadows, "shadows", 16, "shadow models, an even number; 0 for only those attacks that need none")
	s.StringVar(&f.folder, "cache", "", "a folder that keeps shadow models")
	s.IntVar(&f.queries, "queries", 4, "about each record beside itself, moved (images) or with noise")
	s.Float64SliceVar(&f.fprs, "fpr", []float64{0.001, 0.01}, "false positive rates to give the TPR at")
	s.Float64Var(&f.confidence, "confidence", 0.95, "of the bounds, for all attacks together")
	s.Float64Var(&f.calibration, "calibration", 0.2, "the part of the records to choose thresholds on")
	s.Float64Var(&f.limit, "limit", 0, "the greatest TPR at the smallest FPR that is good enough")
	s.IntVar(&f.boundary, "boundary", 0, "queries of each record to look for its distance to the boundary by labels alone; 0 for none")
	s.IntVar(&f.top, "top", 5, "most exposed records to name")
	s.BoolVar(&f.without, "without-controls", false, "leave out the checks; nothing is decided then")
	s.IntVar(&f.parallel, "threads", 0, "processors to use (all)")
	s.Uint64Var(&f.seed, "seed", 0, "of everything that is drawn at random")
	s.StringVar(&f.format, "format", "text", "of the result: text or json")
	for _, name := range []string{"model", "non-members"} {
		c.MarkFlagRequired(name)
	}
	return c
}

// audit is the result of an audit, for programs.
type audit struct {
	Model      string              `json:"model"`
	Members    int                 `json:"members"`
	NonMembers int                 `json:"non_members"`
	Shadows    int                 `json:"shadows"`
	FPR        float64             `json:"fpr"`
	Strongest  string              `json:"strongest"` // attack at that FPR
	TPR        membership.Rate     `json:"tpr"`       // of it; the upper bound is the greatest of all attacks'
	Limit      *float64            `json:"limit,omitempty"`
	Decision   string              `json:"decision,omitempty"` // adequate, inadequate, undecided or invalid
	Checks     []criteria.Check    `json:"checks"`
	Attacks    []membership.Result `json:"attacks"`
	Compared   []compared          `json:"compared,omitempty"` // --model first
	Seconds    float64             `json:"seconds"`

	confidence float64
	records    *dataset.Dataset
}

func (f *auditFlags) run(ctx context.Context, u *ui) error {
	if err := f.check(); err != nil {
		return err
	}
	started := time.Now()
	victim, known, err := openVictim(ctx, u, &f.admission, f.model, f.parallel)
	if err != nil {
		return err
	}
	defer victim.Close()
	members, others, err := f.read(ctx, known)
	if err != nil {
		return err
	}
	rows, err := target.NewRows(members.Schema, victim.Describe())
	if err != nil {
		return fmt.Errorf("%s does not fit %s: %w", f.data.path, f.model, err)
	}
	p := pool(members, others)
	o := membership.Options{Calibration: f.calibration, FPRs: f.fprs, Confidence: f.confidence, Exposed: f.top, Seed: f.seed,
		Augment: membership.Augmentation{Queries: f.queries, Seed: f.seed}}
	if f.boundary > 0 {
		domain, err := method.DomainOf(members.Schema, members.Statistics(), method.ByRange)
		if err != nil {
			return err
		}
		o.Attacks = append(membership.All(), membership.Boundary(rows.Domain(domain), f.boundary))
	}
	if f.shadows > 0 {
		b, err := f.training.trainer(p.Data, members.Schema)
		if err != nil {
			return err
		}
		o.Trainer, o.Shadows = b, shadow.Options{Count: f.shadows, Seed: f.seed, Folder: f.folder, Parallel: f.parallel,
			Progress: func(done, total int) { u.counted("shadow model", done, total) }}
	}
	a := &audit{Model: f.model, Members: members.Len(), NonMembers: others.Len(), Shadows: f.shadows, FPR: slices.Min(f.fprs),
		Checks: []criteria.Check{}, confidence: f.confidence, records: members}
	err = o.Prepare(ctx, p)
	u.done()
	if err != nil {
		return err
	}
	v := membership.Victim{Model: victim, Row: rows.Row, Class: rows.Class}
	a.Attacks, err = membership.Run(ctx, v, p, o)
	if err != nil {
		return err
	}
	if len(f.compare) > 0 {
		if a.Compared, err = f.comparison(ctx, u, a, victim, members, others, p, o); err != nil {
			return err
		}
	}
	if !f.without {
		if a.Checks, err = membership.Checks(ctx, v, p, o, a.FPR); err != nil {
			return err
		}
	}
	a.conclude(f)
	a.Seconds = time.Since(started).Seconds()
	if f.format == "json" {
		err = u.json(a)
	} else {
		u.audited(a)
	}
	if err == nil {
		err = map[string]error{"inadequate": errFailed, "undecided": errUndecided, "invalid": errUndecided}[a.Decision]
	}
	return err
}

// check refuses what no model or data could change.
func (f *auditFlags) check() error {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	switch {
	case f.shadows < 0 || f.shadows%2 != 0 || f.shadows == 2:
		return usagef("--shadows %d: give an even number from 4, or 0 for none", f.shadows)
	case len(f.fprs) == 0:
		return usagef("--fpr: give at least one, such as 0.001")
	case f.queries < 0 || f.queries > 1000:
		return usagef("--queries %d: give 0 to 1000", f.queries)
	case f.boundary < 0:
		return usagef("--boundary %d: give a number of queries, or 0 for none", f.boundary)
	case f.parallel < 0:
		return usagef("--threads %d: give the number of processors, or 0 for all", f.parallel)
	case f.limited && !(f.limit >= 0 && f.limit <= 1):
		return usagef("--limit %g: give a TPR from 0 to 1", f.limit)
	case f.limited && f.without:
		return usagef("--limit decides, and nothing is decided --without-controls")
	}
	if f.folder == "" {
		return nil
	}
	return os.MkdirAll(f.folder, 0o755)
}

// read reads members and others by one schema.
func (f *auditFlags) read(ctx context.Context, known *dataset.Schema) (members, others *dataset.Dataset, err error) {
	if members, err = f.data.read(ctx, known, false); err != nil {
		return nil, nil, err
	}
	rest := dataFlags{path: f.others, bad: f.data.bad}
	if others, err = rest.read(ctx, members.Schema, false); err != nil {
		return nil, nil, fmt.Errorf("--non-members: %w", err)
	}
	if members.Y == nil || others.Y == nil {
		return nil, nil, fmt.Errorf("%s and %s need labels: name their column with --label", f.data.path, f.others)
	}
	if twice := dataset.Duplicates(members, others); len(twice) > 0 {
		for _, places := range twice {
			if places[0].Dataset != places[len(places)-1].Dataset {
				return nil, nil, fmt.Errorf("record %d of %s is also record %d of %s: a record is a member or not; remove it from one",
					members.Number[places[0].Record], f.data.path, others.Number[places[len(places)-1].Record], f.others)
			}
		}
	}
	return members, others, nil
}

// pool joins members and others.
func pool(members, others *dataset.Dataset) membership.Population {
	d := &train.Data{Shape: members.Schema.RecordShape(), X: slices.Concat(members.X, others.X), Classes: slices.Concat(members.Y, others.Y)}
	p := membership.Population{Data: d, Member: make([]bool, d.Len())}
	for i := range members.Len() {
		p.Member[i] = true
	}
	return p
}

// conclude finds the strongest attack, and decides where there is a limit.
func (a *audit) conclude(f *auditFlags) {
	best, rate := membership.Strongest(a.Attacks, a.FPR)
	a.Strongest, a.TPR = best.Attack, rate
	for _, r := range a.Attacks {
		for _, at := range r.At {
			if at.FPR == a.FPR {
				a.TPR.Upper = max(a.TPR.Upper, at.TPR.Upper)
				a.TPR.Lower = max(a.TPR.Lower, at.TPR.Lower)
			}
		}
	}
	if !f.limited {
		return
	}
	a.Limit = &f.limit
	switch {
	case slices.ContainsFunc(a.Checks, func(c criteria.Check) bool { return !c.Passed }):
		a.Decision = "invalid"
	case a.TPR.Upper <= f.limit:
		a.Decision = "adequate"
	case a.TPR.Lower > f.limit:
		a.Decision = "inadequate"
	default:
		a.Decision = "undecided"
	}
}

// audited prints the result of an audit.
func (u *ui) audited(a *audit) {
	u.row("model", "%s, %d members and %d other records, %d shadow models", a.Model, a.Members, a.NonMembers, a.Shadows)
	for _, r := range a.Attacks {
		u.row(r.Attack, "AUROC %.3f, balanced accuracy %s", r.AUROC.Estimate, percent(r.Balanced.Estimate))
		for _, at := range r.At {
			u.row("", "TPR %s at %g FPR, between %s and %s", percent(at.TPR.Estimate), at.FPR, percent(at.TPR.Lower), percent(at.TPR.Upper))
		}
	}
	u.row("strongest", "%s: TPR %s at %g FPR; of all attacks at least %s and at most %s at %g %% confidence",
		a.Strongest, percent(a.TPR.Estimate), a.FPR, percent(a.TPR.Lower), percent(a.TPR.Upper), 100*a.confidence)
	best, _ := membership.Strongest(a.Attacks, a.FPR)
	classes := a.records.Schema.Label.Classes
	if w := best.Worst; w != nil {
		u.row("worst class", "%s: TPR %s of %d members, between %s and %s", classes[w.Class], percent(w.TPR.Estimate), w.Members, percent(w.TPR.Lower), percent(w.TPR.Upper))
	}
	for _, e := range best.Exposed {
		u.row("exposed", "record %d, %s: %s of the others score as high", a.records.Number[e.Record], classes[e.Class], percent(e.FPR))
	}
	u.compared(a)
	for _, c := range a.Checks {
		u.row("check", "%s %s: %s", map[bool]string{true: "holds:", false: "FAILS:"}[c.Passed], c.Name, c.Detail)
	}
	if a.Limit != nil {
		u.row("decision", "%s, by a limit of %s", a.Decision, percent(*a.Limit))
	}
	u.row("time", "%.1f s", a.Seconds)
}
