package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"github.com/spf13/cobra"

	"assay/internal/dataset"
	"assay/internal/method/poisoning"
	"assay/internal/method/poisoning/neighbours"
	"assay/internal/method/poisoning/prepare"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/solution/rewrite"
	"assay/internal/train"
	"assay/onnx"
)

// inspectFlags are the flags of assay inspect-data.
type inspectFlags struct {
	data                 dataFlags
	clean, reference     string
	model, layer, arch   string
	quarantine, pictures string
	admission            admission
	format               string
	top, folds           int
	fpr, alpha           float64
	options              train.Options
	strip                *poisoning.Strip // that asks the user's model, where it is one of images; else nil
	asked                *ort.Classifier
	power                powerFlags
}

func inspectCommand(u *ui) *cobra.Command {
	f := &inspectFlags{}
	c := &cobra.Command{
		Use:   "inspect-data DATA",
		Short: "Look for planted records in labelled data",
		Long: `Look for planted records in labelled data.

Models are trained on the data, and detectors look at what these make of each record:
wrong labels, backdoors, copies and outliers. The answer is one list, the most
suspicious record first, with the detectors that say so.

With --clean, records known to be clean, the list has a stated error: a clean record
is suspected with a probability of at most --fpr, and clean data are said to hold
planted records with one of at most --alpha. Without, there is an order and no decision.

Whether the data differ from an earlier batch (--reference), and a source from the others
(--source-column), is told beside that, each with an error of at most --alpha.
A model of your own given as --model must have been trained on both sets or on neither.

With --power the data are not judged: poison of the families named (see assay plant) is planted
into copies of them, at each of --shares, and what each detector finds of it is told.`,
		Example: `  assay inspect-data patients.csv --label outcome --clean trusted.csv --quarantine quarantine.json
  assay inspect-data digits.csv.gz --schema schema.yaml --arch cnn --pictures suspects.html --format json
  assay inspect-data digits.csv.gz --schema schema.yaml --clean trusted.csv --power badnets,blended --shares 0.01,0.05 --trials 3
  assay train --data patients.csv --label outcome --quarantine quarantine.json --out model.onnx`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.data.path = args[0]
			return f.run(c.Context(), u)
		},
	}
	s := c.Flags()
	s.StringVar(&f.data.label, "label", "", "the column or array with the label")
	s.StringVar(&f.data.labelFile, "label-file", "", "a file of labels beside the data (IDX or NPY)")
	s.StringVar(&f.data.schema, "schema", "", "a schema file (YAML) for what the data do not tell by themselves")
	s.IntVar(&f.data.bad, "bad-records", 0, "how many bad records may be left out")
	s.StringVar(&f.clean, "clean", "", "records known to be clean, of the same form")
	s.StringVar(&f.reference, "reference", "", "an earlier batch of the same form, to tell in what the data differ from it")
	s.StringVar(&f.data.drop, "source-column", "", "the column of a table that names each record's source, no feature: sources are compared with each other")
	s.StringVar(&f.model, "model", "", "a MODEL.onnx whose features are looked at, instead of one trained on the data")
	s.StringVar(&f.layer, "layer", "", "the layer that features are of (the input of the last one with weights)")
	s.StringVar(&f.arch, "arch", "mlp", "of the models to train: logistic, mlp, cnn or resnet20")
	s.IntVar(&f.options.Epochs, "epochs", 10, "how often to go through the data for each model")
	s.IntVar(&f.folds, "folds", 5, "parts of the data, each judged by a model of the others")
	s.Float64Var(&f.fpr, "fpr", 0.01, "the probability for a clean record to be suspected")
	s.Float64Var(&f.alpha, "alpha", 0.05, "the probability for clean data to be said to hold planted records")
	s.IntVar(&f.top, "top", 20, "how many records to list, suspected or not")
	s.StringVar(&f.quarantine, "quarantine", "", "a file to write the suspected records to, for assay train --quarantine")
	s.StringVar(&f.pictures, "pictures", "", "an HTML file to write with pictures of the records listed, where they are images")
	s.Uint64Var(&f.options.Seed, "seed", 1, "of everything that is drawn at random")
	s.IntVar(&f.options.Threads, "threads", 0, "processors to use (all)")
	s.StringSliceVar(&f.power.families, "power", nil, "kinds of poison to plant, to learn how much of it is found")
	s.Float64SliceVar(&f.power.shares, "shares", []float64{0.01, 0.025, 0.05}, "of the records that --power plants, as parts of all")
	s.IntVar(&f.power.trials, "trials", 3, "plantings of --power for each kind and share, each towards a class of its own")
	f.admission.add(c)
	s.StringVar(&f.format, "format", "text", "of the result: text or json")
	return c
}

func (f *inspectFlags) run(ctx context.Context, u *ui) error {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	if !(f.fpr > 0 && f.fpr < 1) || !(f.alpha > 0 && f.alpha < 1) || f.top < 0 {
		return usagef("--fpr %g, --alpha %g and --top %d: give probabilities between 0 and 1, and a number of records", f.fpr, f.alpha, f.top)
	}
	if len(f.power.families) > 0 {
		return f.runPower(ctx, u)
	}
	d, clean, err := f.read(ctx)
	if err != nil {
		return err
	}
	if f.pictures != "" {
		if err := drawable(d.Schema.RecordShape()); err != nil {
			return usagef("--pictures: %w", err)
		}
	}
	r, err := f.prepare(ctx, u, d)
	u.done()
	if f.asked != nil {
		defer f.asked.Close()
	}
	if err != nil {
		return err
	}
	found, err := f.detect(ctx, r, d.Len()-clean)
	if err != nil {
		return err
	}
	out := f.inspected(d, clean, found)
	if err := f.drift(ctx, d, found, out); err != nil {
		return err
	}
	if err := f.write(d, found, out); err != nil {
		return err
	}
	if f.format == "json" {
		err = u.json(out)
	} else {
		u.inspected(out)
	}
	switch {
	case err != nil:
		return err
	case !found.ranking.Calibrated:
		return errUndecided
	case found.ranking.Planted:
		return errFailed
	}
	return nil
}

// read reads the data, the clean records after the others, and tells how many those are.
func (f *inspectFlags) read(ctx context.Context) (*dataset.Dataset, int, error) {
	d, err := f.data.read(ctx, nil, false)
	if err != nil {
		return nil, 0, err
	}
	if d.Y == nil {
		return nil, 0, fmt.Errorf("%s has no labels: name their column with --label, or their file with --label-file", f.data.path)
	}
	if f.clean == "" {
		return d, 0, nil
	}
	known := dataFlags{path: f.clean, bad: f.data.bad}
	clean, err := known.read(ctx, d.Schema, false)
	if err != nil {
		return nil, 0, err
	}
	if clean.Y == nil {
		return nil, 0, fmt.Errorf("%s has no labels: clean records are looked at with theirs", f.clean)
	}
	return appended(d, clean), clean.Len(), nil
}

// appended gives the records of one set, and those of another after them.
func appended(d, clean *dataset.Dataset) *dataset.Dataset {
	return &dataset.Dataset{
		Schema: d.Schema, X: slices.Concat(d.X, clean.X), Y: slices.Concat(d.Y, clean.Y), Number: slices.Concat(d.Number, clean.Number), Bad: d.Bad,
	}
}

// prepare trains what detectors need.
func (f *inspectFlags) prepare(ctx context.Context, u *ui, d *dataset.Dataset) (*poisoning.Records, error) {
	data := train.FromDataset(d)
	o := prepare.Options{Train: f.options, Folds: f.folds, Layer: f.layer}
	o.Train.Optimizer.Method = train.AdamW
	if u != nil {
		o.Progress = func(done, all int) { u.counted("model", done, all) }
	}
	parts := &split{schema: d.Schema, training: data}
	o.Build = func(seed uint64) (*onnx.Model, error) {
		b := &trainFlags{parts: partFlags{data: f.data}, arch: f.arch, standardize: true}
		b.options.Seed = seed
		return b.build(parts)
	}
	if _, err := o.Build(f.options.Seed); err != nil { // which gives a table's or an image's numbers the form that the model takes
		return nil, err
	}
	if f.model != "" {
		var err error
		if o.Own, err = f.own(ctx, u, d); err != nil {
			return nil, err
		}
	}
	return prepare.Records(ctx, data, len(d.Schema.Label.Classes), o)
}

// own opens the user's model and arranges the records as it takes them.
func (f *inspectFlags) own(ctx context.Context, u *ui, d *dataset.Dataset) (*prepare.Own, error) {
	m, err := f.admission.open(ctx, u, f.model)
	if err != nil {
		return nil, err
	}
	c, err := rewrite.Open(ctx, m, ort.Options{Threads: f.options.Threads})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.model, err)
	}
	rows, err := target.NewRows(d.Schema, c.Description)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.model, err)
	}
	own := &prepare.Own{Model: m, Rows: make([]float32, 0, len(d.X))}
	for i := range d.Len() {
		own.Rows = append(own.Rows, rows.Row(d.Record(i))...)
	}
	if len(d.Schema.RecordShape()) == 3 { // what is half of each of two pictures is a picture
		f.strip = &poisoning.Strip{Classes: len(c.Classes), Overlay: poisoning.Matrix{Width: len(own.Rows) / d.Len(), Data: own.Rows}}
		if f.asked, err = ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: ort.Options{Threads: f.options.Threads}}); err != nil {
			return nil, fmt.Errorf("%s: %w", f.model, err)
		}
		f.strip.Predict = probabilitiesOf(f.asked)
	}
	return own, nil
}

// probabilitiesOf asks a model for probabilities.
func probabilitiesOf(c model.Classifier) func(ctx context.Context, rows, probabilities []float32) error {
	return func(ctx context.Context, rows, probabilities []float32) error {
		scores := make([]float64, len(probabilities))
		if err := c.Predict(ctx, doubles(rows), scores); err != nil {
			return err
		}
		of := c.Describe()
		for i := 0; i < len(scores); i += len(of.Classes) {
			copy(probabilities[i:], model.Softmax(scores[i:i+len(of.Classes)], of.Output))
		}
		return nil
	}
}

// inspection is what detectors found.
type inspection struct {
	records   *poisoning.Records
	detectors []string
	ranking   *poisoning.Ranking
	nearest   *poisoning.Nearest // by features
	patterns  []poisoning.Pattern
}

// detect runs all detectors; the records from first on are known to be clean.
func (f *inspectFlags) detect(ctx context.Context, r *poisoning.Records, first int) (*inspection, error) {
	scored, nearest, err := f.score(ctx, r)
	if err != nil {
		return nil, err
	}
	out := &inspection{records: r, nearest: nearest}
	for _, s := range scored {
		out.detectors = append(out.detectors, s.Detector)
	}
	calibration := poisoning.Calibration{FPR: f.fpr, Alpha: f.alpha}
	for i := first; i < len(r.Labels); i++ {
		calibration.Clean = append(calibration.Clean, i)
	}
	if out.ranking, err = poisoning.Rank(scored, calibration, rand.New(rand.NewPCG(f.options.Seed, 1<<32))); err != nil {
		return nil, fmt.Errorf("--clean: %w", err)
	}
	out.patterns, err = poisoning.TriggerPattern{}.Patterns(ctx, r)
	return out, err
}

// score has all detectors look, and gives the nearest records by features beside what they say.
func (f *inspectFlags) score(ctx context.Context, r *poisoning.Records) (scored []poisoning.Scored, nearest *poisoning.Nearest, err error) {
	search := neighbours.Search(ort.Options{Threads: f.options.Threads})
	ofFeatures := func(ctx context.Context, m poisoning.Matrix, k int) (_ *poisoning.Nearest, err error) {
		nearest, err = search(ctx, m, k)
		return nearest, err
	}
	detectors := poisoning.Detectors(ofFeatures, search)
	if f.strip != nil {
		detectors = append(detectors, f.strip)
	}
	scored, err = poisoning.Score(ctx, detectors, nil, r, f.options.Seed)
	return scored, nearest, err
}

// write writes the files that were asked for.
func (f *inspectFlags) write(d *dataset.Dataset, found *inspection, out *inspected) error {
	if f.quarantine != "" {
		var indices []int
		var reasons []string
		for _, s := range found.ranking.Suspects {
			if s.Suspected {
				indices = append(indices, s.Record)
				reasons = append(reasons, found.suspect(d, s, f.fpr).sentence())
			}
		}
		if err := writeWhole(f.quarantine, d.NewQuarantine(f.data.path, indices, reasons).Encode); err != nil {
			return fmt.Errorf("--quarantine: %w", err)
		}
	}
	if f.pictures != "" {
		if err := writeWhole(f.pictures, func(w io.Writer) error { return writeSheet(w, d, out) }); err != nil {
			return fmt.Errorf("--pictures: %w", err)
		}
	}
	return nil
}
