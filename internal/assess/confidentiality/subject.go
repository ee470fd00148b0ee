package confidentiality

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"

	"assay"
	"assay/internal/assess"
	"assay/internal/dataset"
	"assay/internal/method/membership"
	"assay/internal/method/shadow"
	"assay/internal/method/target"
	"assay/internal/model/ort"
	"assay/internal/model/remote"
	"assay/internal/privacy"
	"assay/internal/system"
	"assay/internal/train"
	"assay/onnx"
)

// subject is a model under test, with the records that it was trained on and others. Its attacks are made once.
type subject struct {
	victim          membership.Victim
	members, others *dataset.Dataset
	population      membership.Population // the members first
	options         membership.Options
	fpr             float64
	remarks         []string
	guarantee       *privacy.Guarantee // of DP-SGD, where the model's file has one

	mu       sync.Mutex
	attacked *attacked // nil before the attacks
}

// attacked is what the attacks found.
type attacked struct {
	results []membership.Result
	chosen  string
	found   [][]bool // by attack and record
}

// calibration is the part of members and others that thresholds are chosen on, and the attack that decides.
const calibration = 0.5

// queries is how often the model is asked about a record beside itself. An endpoint, where each question may cost, is not.
const queries = 4

// subject opens what a test is about, once.
func (t *Tester) subject(ctx context.Context, test *assess.Test) (*subject, error) {
	key := test.Model + "\x00" + test.Data + "\x00" + test.Metric
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.subjects[key]; s != nil {
		return s, nil
	}
	s, err := t.open(ctx, test)
	if err == nil {
		t.subjects[key] = s
	}
	return s, err
}

func (t *Tester) open(ctx context.Context, test *assess.Test) (_ *subject, err error) {
	fpr, known := rates[test.Metric]
	if test.Function != assay.Prevent || !known {
		return nil, fmt.Errorf("no method of Assay observes %q for the function %q of confidentiality", test.Metric, test.Function)
	}
	mi := slices.IndexFunc(t.system.Models, func(m system.Model) bool { return m.Name == test.Model })
	di := slices.IndexFunc(t.system.Data, func(d system.Data) bool { return d.Name == test.Data })
	if mi < 0 || di < 0 {
		return nil, fmt.Errorf("the description has no model %q or no data %q", test.Model, test.Data)
	}
	m, d := &t.system.Models[mi], &t.system.Data[di]
	training, err := t.training(m)
	if err != nil {
		return nil, err
	}
	s := &subject{fpr: fpr}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	schema, err := t.model(ctx, s, m)
	if err != nil {
		return nil, err
	}
	if s.members, err = t.read(ctx, training, schema); err != nil {
		return nil, err
	}
	if s.others, err = t.read(ctx, d, s.members.Schema); err != nil {
		return nil, err
	}
	for _, places := range dataset.Duplicates(s.members, s.others) {
		if a, b := places[0], places[len(places)-1]; a.Dataset != b.Dataset {
			return nil, t.system.Mistake(d.At+".file", "record %d is record %d of %s as well, which the model was trained on: a record is a member or not; remove it from one",
				s.others.Number[b.Record], s.members.Number[a.Record], training.Name)
		}
	}
	rows, err := target.NewRows(s.members.Schema, s.victim.Model.Describe())
	if err != nil {
		return nil, t.system.Mistake(m.At, "the data %s do not fit the model %s: %v", training.Name, m.Name, err)
	}
	s.victim.Row, s.victim.Class = rows.Row, rows.Class
	s.join()
	return s, t.attacks(s, m, test)
}

// training gives the data that a model was trained on.
func (t *Tester) training(m *system.Model) (*system.Data, error) {
	var all []*system.Data
	for i := range t.system.Data {
		d := &t.system.Data[i]
		if m.Recipe != nil && d.Name == m.Recipe.Data {
			return d, nil
		}
		if d.Role == system.Training {
			all = append(all, d)
		}
	}
	switch len(all) {
	case 0:
		return nil, t.system.Mistake(m.At, "it is not said which records the model was trained on, and an attacker looks for these: add them to data, with the role %s", system.Training)
	case 1:
		return all[0], nil
	}
	return nil, t.system.Mistake(m.At, "several data have the role %s: say in a recipe which of them the model was trained on", system.Training)
}

// model opens the model, and gives the schema that its file carries, nil for none.
func (t *Tester) model(ctx context.Context, s *subject, m *system.Model) (*dataset.Schema, error) {
	s.options.Augment.Queries = queries
	if m.Endpoint != "" {
		c, err := remote.Open(ctx, t.system.Config(t.system.Endpoint(m)))
		if err != nil {
			return nil, assay.WithCode(assay.CodeEndpoint, err)
		}
		s.victim.Model, s.options.Augment.Queries = c, 0
		return nil, nil
	}
	graph, err := onnx.Open(t.system.Path(m.File))
	if err != nil {
		return nil, t.system.Mistake(m.At+".file", "%v", err)
	}
	schema, err := target.ReadSchema(graph)
	if err != nil {
		return nil, t.system.Mistake(m.At+".file", "%s: %v", m.File, err)
	}
	if entry := graph.Metadata[privacy.Entry]; entry != "" {
		if s.guarantee, err = privacy.Decode(entry); err != nil {
			return nil, t.system.Mistake(m.At+".file", "%s: its metadata %s: %v", m.File, privacy.Entry, err)
		}
	}
	if m.Detector != nil {
		s.remarks = append(s.remarks, "the model is asked without its detector: whom that refuses learns less")
	}
	c, err := ort.NewClassifier(ctx, graph, ort.ClassifierOptions{Override: m.Override(), Options: ort.Options{Threads: 1, Library: t.library}})
	if err != nil {
		return nil, t.system.Mistake(m.At+".file", "%s: %v", m.File, err)
	}
	s.victim.Model = c
	return schema, nil
}

// fewest is how many records of a kind can be parted into those for thresholds and those that are measured on.
const fewest = 2

// read reads data by a schema, where there is one: members and others must be alike, and of the classes that the model has.
func (t *Tester) read(ctx context.Context, d *system.Data, schema *dataset.Schema) (*dataset.Dataset, error) {
	o := t.system.Options(d)
	if schema != nil {
		o.Schema = schema
	}
	read, err := dataset.Load(ctx, t.system.Path(d.File), o)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil:
		return nil, t.system.Mistake(d.At+".file", "%v", err)
	case read.Len() < fewest:
		return nil, t.system.Mistake(d.At+".file", "%s has %d records, and some are for thresholds and others to measure on: give more", d.File, read.Len())
	case read.Y == nil:
		return nil, t.system.Mistake(d.At, "%s has no labels: name their column by label, or their file by labels", d.File)
	}
	return read, nil
}

// join makes the population.
func (s *subject) join() {
	d := &train.Data{Shape: s.members.Schema.RecordShape(), X: slices.Concat(s.members.X, s.others.X), Classes: slices.Concat(s.members.Y, s.others.Y)}
	s.population = membership.Population{Data: d, Member: make([]bool, d.Len())}
	for i := range s.members.Len() {
		s.population.Member[i] = true
	}
}

// attacks sets the options: with shadow models where there is a recipe for them.
func (t *Tester) attacks(s *subject, m *system.Model, test *assess.Test) error {
	o := &s.options
	o.Calibration, o.FPRs, o.Confidence, o.Exposed, o.Seed = calibration, []float64{rates[perMille], rates[onePercent]}, curveConfidence, exposed, test.Seed
	o.Augment.Seed = test.Seed
	for _, a := range membership.All() {
		// What is fitted to the calibration cannot have its threshold chosen there.
		if a.Name != "quantile" && (m.Recipe != nil || !a.Shadows) && (o.Augment.Queries > 0 || !a.Augmented) {
			o.Attacks = append(o.Attacks, a)
		}
	}
	if m.Recipe == nil {
		s.remarks = append(s.remarks, fmt.Sprintf("it is not said how %s was trained, so the attacker has no models like it, and only the attacks that need none are made: give the model a recipe", m.Name))
		return nil
	}
	trainer, err := newTrainer(m.Recipe, s.population.Data, len(s.members.Schema.Label.Classes))
	if err != nil {
		return t.system.Mistake(m.At+".recipe", "%v", err)
	}
	if g := s.guarantee; g != nil {
		trainer.Options.Private = &train.Private{Clip: g.Clip, NoiseMultiplier: g.NoiseMultiplier}
		s.remarks = append(s.remarks, fmt.Sprintf("%s was trained by DP-SGD, as its file says, and so are the attacker's models like it: clip %g, noise multiplier %.4g", m.Name, g.Clip, g.NoiseMultiplier))
	}
	o.Trainer = trainer
	o.Shadows = shadow.Options{Count: shadows(m.Recipe), Seed: test.Seed, Folder: t.system.Path(cache)}
	return nil
}

// attack makes the attacks, once. Whoever waits for that holds up nobody else's.
func (s *subject) attack(ctx context.Context) (*attacked, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attacked != nil {
		return s.attacked, nil
	}
	if folder := s.options.Shadows.Folder; folder != "" {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
	}
	if err := s.options.Prepare(ctx, s.population); err != nil {
		return nil, err
	}
	results, err := membership.Run(ctx, s.victim, s.population, s.options)
	if err != nil {
		return nil, err
	}
	chosen, err := membership.Choose(results, s.fpr)
	if err != nil {
		return nil, err
	}
	a := &attacked{results: results, chosen: chosen.Attack}
	for i := range results {
		found, err := results[i].Found(s.fpr)
		if err != nil {
			return nil, err
		}
		a.found = append(a.found, found)
	}
	s.attacked = a
	return a, nil
}

// units are the members that are measured on, by their numbers in the population.
func (a *attacked) units(p membership.Population) []int {
	return slices.DeleteFunc(slices.Clone(a.results[0].Measured()), func(i int) bool { return !p.Member[i] })
}

// count is how many units there are: the members that are not in the calibration.
func (s *subject) count() int { return s.members.Len() - int(calibration*float64(s.members.Len())+0.5) }

func (s *subject) close() {
	if s.victim.Model != nil {
		_ = s.victim.Model.Close() // nothing that it holds is needed any more
	}
}

// right tells of the first other records whether the model is right about them.
func (s *subject) right(ctx context.Context) ([]bool, error) {
	classes := len(s.victim.Model.Describe().Classes)
	out := make([]bool, min(s.others.Len(), mostClean))
	rows, scores := []float64(nil), make([]float64, rowsAtOnce*classes)
	for from := 0; from < len(out); from += rowsAtOnce {
		to := min(from+rowsAtOnce, len(out))
		rows = rows[:0]
		for i := from; i < to; i++ {
			for _, x := range s.victim.Row(s.others.Record(i)) {
				rows = append(rows, float64(x))
			}
		}
		if err := s.victim.Model.Predict(ctx, rows, scores[:(to-from)*classes]); err != nil {
			return nil, err
		}
		for i := from; i < to; i++ {
			of := scores[(i-from)*classes:][:classes]
			best := slices.Index(of, slices.Max(of))
			out[i] = best == s.victim.Class(int(s.others.Y[i]))
		}
	}
	return out, nil
}

const (
	rowsAtOnce = 256
	mostClean  = 10_000
)
