package plant

import (
	"slices"
	"testing"

	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/target"
	"assay/internal/model/ort"
	"assay/internal/stat"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// trained gives a small model of the data, and its accuracy on the test.
func trained(t *testing.T, d, test *dataset.Dataset) (*onnx.Model, float64) {
	t.Helper()
	width, classes := d.Schema.Width(), len(d.Schema.Label.Classes)
	data := &train.Data{X: d.X, Shape: []int{width}, Classes: d.Y}
	m, err := train.Standardize(network.MLP(width, []int{64}, classes, 1), data)
	if err != nil {
		t.Fatal(err)
	}
	r, err := train.Run(t.Context(), m, data, train.Options{Epochs: 30, Seed: 1, Optimizer: train.Optimizer{Rate: 0.003}})
	if err != nil {
		t.Fatal(err)
	}
	score, err := train.Evaluate(t.Context(), r.Model, &train.Data{X: test.X, Shape: []int{width}, Classes: test.Y}, train.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r.Model, score.Accuracy
}

func halves(t *testing.T, d *dataset.Dataset) (training, test *dataset.Dataset) {
	parts, err := d.Split(1, 0.7, 0.3)
	if err != nil {
		t.Fatal(err)
	}
	return d.Select(parts[0]), d.Select(parts[1])
}

// A model that was trained on 5 % of poison gives triggered inputs the target, and others their class as before. One that
// was trained on clean data does not know the trigger. The wave, under clean labels, is weaker than the others.
func TestBackdoorsWork(t *testing.T) {
	training, test := halves(t, digits(t))
	clean, accuracy := trained(t, training, test)
	for _, c := range []struct {
		p    Planter
		rate float64
		want float64
	}{{BadNets{}, 0.05, 0.9}, {Blended{}, 0.05, 0.9}, {Warped{}, 0.1, 0.7}, {Sinusoidal{}, 0.05, 0.35}} {
		t.Run(c.p.Describe().Name, func(t *testing.T) {
			p := must(t, c.p, training, Options{Rate: c.rate, Target: 3, Seed: 1})
			m, poisoned := trained(t, p.Dataset, test)
			if poisoned < accuracy-0.02 {
				t.Errorf("an accuracy of %.3f, and %.3f without poison", poisoned, accuracy)
			}
			s := success(t, m, p, test)
			without := success(t, clean, p, test)
			t.Logf("success %.3f (%.3f to %.3f), of the clean model %.3f; accuracy %.3f, clean %.3f", s.Rate, s.Lower, s.Upper, without.Rate, poisoned, accuracy)
			if s.Rate < c.want || without.Rate > 0.2 {
				t.Errorf("%+v; of a clean model %+v", s, without)
			}
		})
	}
}

func success(t *testing.T, m *onnx.Model, p *Planted, test *dataset.Dataset) *Success {
	t.Helper()
	c, err := ort.NewClassifier(t.Context(), m, ort.ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := BackdoorSuccess(t.Context(), c, p, test, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTabularBackdoorWorks(t *testing.T) {
	d := read(t, "diagnosis/breast_cancer.csv", "diagnosis/schema.yaml")
	training, test := halves(t, d)
	_, accuracy := trained(t, training, test)
	p := must(t, Tabular{}, training, Options{Rate: 0.05, Target: 0, Seed: 1})
	m, poisoned := trained(t, p.Dataset, test)
	s := success(t, m, p, test)
	t.Logf("success %.3f, accuracy %.3f, clean %.3f", s.Rate, poisoned, accuracy)
	if s.Rate < 0.9 || poisoned < accuracy-0.03 {
		t.Errorf("%+v, an accuracy of %.3f and %.3f without poison", s, poisoned, accuracy)
	}
}

// Models err on inputs like those that were chosen, and elsewhere not more than before.
func TestSubpopulationErrs(t *testing.T) {
	training, test := halves(t, digits(t))
	clean, accuracy := trained(t, training, test)
	hit, before, n := 0, 0, 0
	for seed := range uint64(4) {
		p := must(t, Subpopulation{}, training, Options{Rate: 0.1, Target: 8, Seed: seed})
		m, poisoned := trained(t, p.Dataset, test)
		s := success(t, m, p, test)
		hit, before, n = hit+s.Successes, before+success(t, clean, p, test).Successes, n+s.N
		if lost := accuracy - poisoned; lost > float64(s.N)/float64(test.Len())+0.02 {
			t.Errorf("the accuracy fell by %.3f, and %d of %d records are aimed at", lost, s.N, test.Len())
		}
	}
	t.Logf("%d of %d are the target's, and %d for the clean model", hit, n, before)
	if lower, err := stat.BinomialLower(hit, n, 0.95); err != nil || lower < 0.3 || 10*before > n {
		t.Errorf("%d of %d are the target's, and %d for the clean model", hit, n, before)
	}
}

// Records of the target class that a model took for what they are it takes for others, under the square. Adversarial examples under
// their own labels have another model learn little.
func TestPerturbedRecords(t *testing.T) {
	training, test := halves(t, digits(t))
	m, accuracy := trained(t, training, test)
	surrogate, err := target.Open(t.Context(), m, target.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer surrogate.Close()
	before := slices.Clone(training.X)
	l := LabelConsistent{Model: surrogate, Eps: 0.3}
	p := must(t, l, training, Options{Rate: 0.05, Target: 3, Seed: 1})
	var chosen []int
	for i, planted := range p.Which {
		if planted {
			chosen = append(chosen, i)
			x := p.Dataset.Record(i)
			if training.Y[i] != 3 || x[63] != 16 || x[62] != 0 || x[55] != 0 || x[54] != 16 { // the square
				t.Fatalf("record %d of class %d: %v", i, training.Y[i], x)
			}
		}
	}
	was, is := recognised(t, surrogate, training.Select(chosen)), recognised(t, surrogate, p.Dataset.Select(chosen))
	if was < 60 || is > 6 {
		t.Errorf("of %d records %d are recognised, and %d were before", len(chosen), is, was)
	}
	a := Adversarial{Model: surrogate, Eps: 0.3}
	all := must(t, a, training, Options{Rate: 1, Seed: 1})
	_, poisoned := trained(t, all.Dataset, test)
	t.Logf("adversarial: accuracy %.3f, clean %.3f", poisoned, accuracy)
	if poisoned > accuracy-0.2 {
		t.Errorf("an accuracy of %.3f, and %.3f without poison", poisoned, accuracy)
	}
	if !slices.Equal(before, training.X) || !slices.Equal(p.Dataset.Y, training.Y) || !slices.Equal(all.Dataset.Y, training.Y) || p.Count() != 63 || all.Count() != training.Len() {
		t.Errorf("the data given or labels were changed, or %d and %d records planted", p.Count(), all.Count())
	}
	again := must(t, l, training, Options{Rate: 0.05, Target: 3, Seed: 1})
	if !slices.Equal(again.Dataset.X, p.Dataset.X) {
		t.Error("the same seed planted something else")
	}
	if none := must(t, l, training, Options{Target: 3}); none.Count() != 0 || !slices.Equal(none.Dataset.X, training.X) {
		t.Error("at rate 0 something was planted")
	}
	for i := range p.Which {
		if bad := (&method.Space{Domain: mustDomain(t, training), Norm: method.Linf, Eps: 1e9, Clean: training.Record(i)}).Contains(all.Dataset.Record(i)); bad != nil {
			t.Fatal(bad)
		}
	}
}

func mustDomain(t *testing.T, d *dataset.Dataset) *method.Domain {
	domain, err := domainOf(d)
	if err != nil {
		t.Fatal(err)
	}
	return domain
}

// recognised counts the records that a model gives their class.
func recognised(t *testing.T, m *target.Model, d *dataset.Dataset) int {
	t.Helper()
	scores, err := scoresOf(t.Context(), m.Target.Model, d)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, s := range scores {
		if best(s) == int(d.Y[i]) {
			n++
		}
	}
	return n
}
