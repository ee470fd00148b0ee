package extraction_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/evasion/linear"
	"assay/internal/method/extraction"
	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/train/network"
	"assay/onnx"
)

// planted is a linear classifier of two numbers behind the port, which remembers what it was asked.
type planted struct {
	output  model.Output
	asked   [][]float64
	poison  bool // scores that are no numbers
	classes int
}

func (p *planted) Describe() model.Description {
	return model.Description{Shape: []int64{2}, Layout: model.Tabular, Classes: []string{"a", "b", "c"}[:p.classes], Output: p.output}
}

func (p *planted) Predict(_ context.Context, rows, scores []float64) error {
	for i := range len(rows) / 2 {
		x := rows[2*i : 2*i+2]
		p.asked = append(p.asked, slices.Clone(x))
		lead := 20 * (x[0] + x[1] - 1)
		if p.poison {
			lead = math.NaN()
		}
		z := []float64{0, lead, -30}[:p.classes]
		if p.output == model.Probabilities {
			sum := 0.0
			for k := range z {
				z[k] = math.Exp(z[k])
				sum += z[k]
			}
			for k := range z {
				z[k] /= sum
			}
		}
		copy(scores[i*p.classes:], z)
	}
	return nil
}

func (p *planted) Close() error { return nil }

// box is the domain of two numbers between 0 and 1.
func box() *method.Domain {
	return &method.Domain{Low: []float32{0, 0}, High: []float32{1, 1}, Scale: []float32{1, 1}}
}

func grid(n int) (out [][]float32) {
	for i := range n {
		for j := range n {
			out = append(out, []float32{(float32(i) + 0.5) / float32(n), (float32(j) + 0.25) / float32(n)})
		}
	}
	return out
}

func options(s extraction.Strategy, queries int) extraction.Options {
	return extraction.Options{Strategy: s, Queries: queries, Answers: extraction.Labels, Decimals: 2, Step: 0.1, Domain: box(), Shape: []int{2},
		Network: func(seed uint64) *onnx.Model { return network.Logistic(2, 2, seed) }, Seed: 1, Threads: 1}
}

func fidelity(t *testing.T, v model.Classifier, m *onnx.Model, records [][]float32) float64 {
	t.Helper()
	s, err := ort.NewClassifier(context.Background(), m, ort.ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := extraction.Compare(context.Background(), extraction.Victim{Model: v}, extraction.Victim{Model: s}, records, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.N != len(records) || !(c.Fidelity.Lower <= c.Fidelity.Part && c.Fidelity.Part <= c.Fidelity.Upper) || c.Accuracy != nil {
		t.Errorf("%+v", c)
	}
	return c.Fidelity.Part
}

// Every strategy finds the plane that the victim decides by, and asks no more than it may.
func TestPlaneIsFound(t *testing.T) {
	for _, s := range extraction.Strategies() {
		for _, answers := range extraction.AllAnswers() {
			v := &planted{output: model.Logits, classes: 2}
			o := options(s, 200)
			o.Answers = answers
			got, err := extraction.Run(context.Background(), extraction.Victim{Model: v}, grid(15), o)
			if err != nil {
				t.Fatal(err)
			}
			if got.Queries != len(v.asked) || got.Queries > 200 || got.Queries < 150 {
				t.Errorf("%s: %d queries reported, %d made of 200", s, got.Queries, len(v.asked))
			}
			for _, x := range v.asked {
				if x[0] < 0 || x[0] > 1 || x[1] < 0 || x[1] > 1 {
					t.Fatalf("%s asked about %v, outside the domain", s, x)
				}
			}
			if f := fidelity(t, v, got.Model, grid(31)); f < 0.95 {
				t.Errorf("%s by %s: fidelity %v", s, answers, f)
			}
		}
	}
}

// What was answered decides: a victim that gives one class alone teaches nothing but that.
func TestNothingIsLearntOfAConstant(t *testing.T) {
	v := &planted{output: model.Logits, classes: 2}
	far := [][]float32{}
	for _, x := range grid(8) {
		far = append(far, []float32{x[0] / 4, x[1] / 4}) // all of one class
	}
	got, err := extraction.Run(context.Background(), extraction.Victim{Model: v}, far, options(extraction.Natural, 64))
	if err != nil {
		t.Fatal(err)
	}
	if f := fidelity(t, v, got.Model, grid(31)); f > 0.9 {
		t.Errorf("fidelity %v from answers of one class", f)
	}
}

func TestSameSeedSameBytes(t *testing.T) {
	var first []byte
	for range 2 {
		v := &planted{output: model.Probabilities, classes: 2}
		got, err := extraction.Run(context.Background(), extraction.Victim{Model: v}, grid(10), options(extraction.Jacobian, 80))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "s.onnx")
		if err := got.Model.Save(path); err != nil {
			t.Fatal(err)
		}
		data := read(t, path)
		if first == nil {
			first = data
		} else if !slices.Equal(first, data) {
			t.Error("the same extraction gave other bytes")
		}
	}
}

// The attacker's view: each kind of answer, as the surrogate is trained on it.
func TestRefusals(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		change func(*extraction.Options, *planted)
		want   string
	}{
		{func(o *extraction.Options, _ *planted) { o.Strategy = "guess" }, `no strategy "guess"`},
		{func(o *extraction.Options, _ *planted) { o.Answers = "all" }, `no answers "all"`},
		{func(o *extraction.Options, _ *planted) { o.Queries = 1 }, "1 queries: give 2"},
		{func(o *extraction.Options, _ *planted) { o.Decimals = 9 }, "9 decimals"},
		{func(o *extraction.Options, _ *planted) { o.Seeds = 500 }, "500 inputs to begin with"},
		{func(o *extraction.Options, _ *planted) { o.Step = 0 }, "a step of 0"},
		{func(o *extraction.Options, p *planted) { o.Answers, p.output = extraction.Rounded, model.Labels }, "gives labels alone"},
		{func(o *extraction.Options, p *planted) { p.poison = true }, "are no numbers"},
		{func(o *extraction.Options, _ *planted) { o.Domain = &method.Domain{} }, "a domain as wide"},
	} {
		v, o := &planted{output: model.Logits, classes: 2}, options(extraction.Jacobian, 50)
		c.change(&o, v)
		if _, err := extraction.Run(ctx, extraction.Victim{Model: v}, grid(5), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if _, err := extraction.Run(ctx, extraction.Victim{Model: &planted{classes: 2}}, nil, options(extraction.Natural, 50)); err == nil {
		t.Error("natural inputs are drawn from none")
	}
	ended, end := context.WithCancel(ctx)
	end()
	v := &slow{planted{output: model.Logits, classes: 2}}
	if _, err := extraction.Run(ended, extraction.Victim{Model: v}, grid(5), options(extraction.Natural, 20)); err == nil {
		t.Error("an ended context did not end the extraction")
	}
}

type slow struct{ planted }

func (s *slow) Predict(ctx context.Context, rows, scores []float64) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.planted.Predict(ctx, rows, scores)
}

// The example of breast cancer: with labels alone, 300 queries give a surrogate that agrees on 90 % and more, and
// inputs made up at random do worse than natural ones.
func TestExampleIsExtracted(t *testing.T) {
	ctx := context.Background()
	folder := "../../../examples/diagnosis/"
	v, err := ort.OpenClassifier(ctx, folder+"models/undefended.onnx", ort.ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	schema, err := dataset.OpenSchema(folder + "schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Load(ctx, folder+"breast_cancer.csv", dataset.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	domain, err := method.DomainOf(d.Schema, d.Statistics(), method.ByRange)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := d.Split(1, 0.6, 0.4)
	if err != nil {
		t.Fatal(err)
	}
	of := func(indices []int) (out [][]float32) {
		for _, i := range indices {
			out = append(out, d.Record(i))
		}
		return out
	}
	got := map[extraction.Strategy]float64{}
	for _, s := range []extraction.Strategy{extraction.Natural, extraction.Jacobian, extraction.Random} {
		o := options(s, 300)
		o.Domain, o.Shape = domain, []int{30}
		o.Network = func(seed uint64) *onnx.Model { return network.MLP(30, []int{16}, 2, seed) }
		m, err := extraction.Run(ctx, extraction.Victim{Model: v}, of(parts[0]), o)
		if err != nil {
			t.Fatal(err)
		}
		got[s] = fidelity(t, v, m.Model, of(parts[1]))
	}
	t.Log(got)
	if got[extraction.Natural] < 0.9 || got[extraction.Jacobian] < 0.9 {
		t.Errorf("fidelity %v", got)
	}
	if got[extraction.Random] > got[extraction.Natural] {
		t.Errorf("inputs made up teach more than natural ones: %v", got)
	}
}

// Compare counts what the closed form says.
func TestCompare(t *testing.T) {
	a := &planted{output: model.Logits, classes: 2}
	records := [][]float32{{0, 0}, {1, 1}, {0.9, 0.9}, {0.1, 0.1}}
	never := linearModel(t)
	c, err := extraction.Compare(context.Background(), extraction.Victim{Model: a}, extraction.Victim{Model: never}, records, []int{0, 1, 1, 1})
	if err != nil {
		t.Fatal(err)
	}
	if c.Fidelity.Part != 0.5 || c.Prior.Part != 0.5 || c.Accuracy.Part != 0.25 || c.VictimAccuracy.Part != 0.75 {
		t.Errorf("%+v %+v %+v", c, c.Accuracy, c.VictimAccuracy)
	}
	// Two of four: the exact interval (Clopper and Pearson) is known.
	if math.Abs(c.Fidelity.Lower-0.06758599) > 1e-7 || math.Abs(c.Fidelity.Upper-0.93241401) > 1e-7 {
		t.Errorf("%+v", c.Fidelity)
	}
	if _, err := extraction.Compare(context.Background(), extraction.Victim{Model: a}, extraction.Victim{Model: a}, nil, nil); err == nil {
		t.Error("nothing was measured without an error")
	}
}

// linearModel always gives class 0.
func linearModel(t *testing.T) model.Classifier {
	t.Helper()
	return constant{&linear.Classifier{Width: 2, Classes: []int32{0, 1}, Weights: make([]float64, 4), Bias: []float64{1, 0}}}
}

type constant struct{ c *linear.Classifier }

func (c constant) Describe() model.Description {
	return model.Description{Shape: []int64{2}, Classes: []string{"a", "b"}, Output: model.Logits}
}

func (c constant) Predict(_ context.Context, rows, scores []float64) error {
	for i := range len(rows) / 2 {
		copy(scores[2*i:], c.c.Scores([]float32{float32(rows[2*i]), float32(rows[2*i+1])}))
	}
	return nil
}

func (c constant) Close() error { return nil }

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
