package gate

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"assay/internal/dataset"
	"assay/internal/model"
)

var schema = &dataset.Schema{
	Features: []dataset.Feature{
		{Name: "a", Type: dataset.Real, Observed: &dataset.Range{Max: 1}}, {Name: "b", Type: dataset.Real, Observed: &dataset.Range{Max: 1}},
	},
	Label: dataset.Label{Name: "c", Classes: []string{"no", "yes"}}, Complete: true,
}

func policy() Policy {
	return Policy{Drift: 0.01, Suspicious: 0.05, FPR: 0.01, Accuracy: 0.9, Churn: 0.1, Confidence: 0.95}
}

// draw gives records of two classes, which the sign of a tells apart nearly always; b is moved by a shift.
func draw(n int, seed uint64, shift float64) *dataset.Dataset {
	r := rand.New(rand.NewPCG(seed, 1))
	d := &dataset.Dataset{Schema: schema}
	for i := range n {
		y := int32(r.IntN(2))
		d.X = append(d.X, float32(3*float64(2*y-1)+r.NormFloat64()), float32(r.NormFloat64()+shift))
		d.Y, d.Number = append(d.Y, y), append(d.Number, int64(i+1))
	}
	return d
}

// line is a model that decides by the sign of a value, as logits; classes are named in one order or the other.
type line struct {
	column  int
	turned  bool
	classes []string
}

func (l line) Describe() model.Description {
	d := model.Description{Shape: []int64{2}, Layout: model.Tabular, Classes: slices.Clone(schema.Label.Classes), Output: model.Logits}
	if l.classes != nil {
		d.Classes = l.classes
	}
	if l.turned {
		slices.Reverse(d.Classes)
	}
	return d
}

func (l line) Predict(_ context.Context, rows, scores []float64) error {
	k := len(l.Describe().Classes)
	for i := range len(rows) / 2 {
		v := rows[2*i+l.column]
		if l.turned {
			v = -v
		}
		scores[k*i], scores[k*i+1] = -v, v
	}
	return nil
}

func (line) Close() error { return nil }

func judge(t *testing.T, p Policy, b *Batch) map[string]Check {
	t.Helper()
	checks, err := p.JudgeData(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	return named(checks)
}

func named(checks []Check) map[string]Check {
	all := map[string]Check{}
	for _, c := range checks {
		all[c.Name] = c
	}
	return all
}

func TestCleanBatchesPass(t *testing.T) {
	refused := 0
	for seed := range uint64(20) {
		b := &Batch{Records: draw(80, 100+seed, 0), Accepted: map[string]*dataset.Dataset{"one": draw(80, 200+seed, 0), "two": draw(80, 300+seed, 0)},
			Validation: draw(300, 400+seed, 0), Model: line{}, Seed: seed}
		checks, err := (&Policy{Drift: 0.05, Suspicious: 0.05, FPR: 0.01, Confidence: 0.95}).JudgeData(context.Background(), b)
		if err != nil {
			t.Fatal(err)
		}
		if len(checks) != 5 {
			t.Fatalf("%d checks", len(checks))
		}
		if Verdict(checks) != Passed {
			refused++
		}
	}
	// With an error of 5 % more than 4 of 20 are refused once in 390 times (binomial).
	if refused > 4 {
		t.Errorf("%d of 20 clean batches are refused", refused)
	}
}

func TestWhatIsWrongWithABatch(t *testing.T) {
	validation := draw(300, 3, 0)
	fresh := func() *Batch {
		return &Batch{Records: draw(150, 1, 0), Accepted: map[string]*dataset.Dataset{"the last batch": draw(150, 2, 0)}, Validation: validation, Model: line{}, Seed: 1}
	}
	if got := judge(t, policy(), fresh()); Verdict([]Check{got["disjoint"], got["drift from the last batch"], got["suspicion"]}) != Passed {
		t.Fatalf("%+v", got)
	}

	b := fresh()
	b.Records = draw(150, 1, 1)
	if c := judge(t, policy(), b)["drift from the last batch"]; c.Outcome != Failed || !strings.Contains(c.Detail, "1 of 2 columns") {
		t.Errorf("a moved column: %+v", c)
	}
	b = fresh()
	b.Records = draw(3, 1, 0)
	if c := judge(t, policy(), b)["drift from the last batch"]; c.Outcome != Undecided {
		t.Errorf("three records: %+v", c)
	}

	b = fresh() // a protected record, with another label
	copy(b.Records.Record(7), validation.Record(9))
	b.Records.Y[7] = 1 - validation.Y[9]
	if c := judge(t, policy(), b)["disjoint"]; c.Outcome != Failed || !slices.Equal(c.Records, []int64{8}) {
		t.Errorf("a protected record: %+v", c)
	}

	b = fresh() // one label in ten is turned
	var turned []int64
	for i := 0; i < 150; i += 10 {
		b.Records.Y[i] = 1 - b.Records.Y[i]
		turned = append(turned, int64(i+1))
	}
	for _, m := range []line{{}, {turned: true}} {
		b.Model = m
		c := judge(t, policy(), b)["suspicion"]
		found := 0
		for _, number := range turned {
			if slices.Contains(c.Records, number) {
				found++
			}
		}
		// Of 135 others 1.35 are expected at an FPR of 1 %, and more than 6 once in 2000 times (binomial).
		if others := len(c.Records) - found; c.Outcome != Failed || found != len(turned) || others > 6 {
			t.Errorf("of %d turned labels %d were found, and %d others: %+v", len(turned), found, others, c)
		}
	}
	b.Validation = draw(50, 4, 0)
	if c := judge(t, policy(), b)["suspicion"]; c.Outcome != Undecided || !strings.Contains(c.Detail, "it takes 99") {
		t.Errorf("few protected records: %+v", c)
	}
}

func TestSources(t *testing.T) {
	p := policy()
	p.Column, p.Sources = "clinic", map[string]float64{"north": 0.5, "south": 0.6}
	sources := func(north int, rest string) []string {
		all := slices.Repeat([]string{"north"}, north)
		return append(all, slices.Repeat([]string{rest}, 100-north)...)
	}
	for _, c := range []struct {
		sources []string
		want    Outcome
		records int
	}{{sources(50, "south"), Passed, 0}, {sources(51, "south"), Failed, 0}, {sources(30, "south"), Failed, 0}, {sources(40, "east"), Failed, 60}} {
		got := judge(t, p, &Batch{Records: draw(100, 1, 0), Sources: c.sources, Validation: draw(10, 2, 0)})["sources"]
		if got.Outcome != c.want || len(got.Records) != c.records {
			t.Errorf("%v: %+v", c, got)
		}
	}
}

func TestModels(t *testing.T) {
	p := policy()
	for _, c := range []struct {
		name       string
		next, last model.Classifier
		n          int
		want       map[string]Outcome
	}{
		{"the same, its classes the other way round", line{turned: true}, line{}, 300, map[string]Outcome{"form": Passed, "accuracy": Passed, "churn": Passed}},
		{"the first", line{}, nil, 300, map[string]Outcome{"form": Passed, "accuracy": Passed, "churn": Without}},
		{"one that guesses", line{column: 1}, line{}, 300, map[string]Outcome{"accuracy": Failed, "churn": Failed}},
		{"on few records", line{}, line{}, 20, map[string]Outcome{"accuracy": Undecided, "churn": Undecided}},
		{"another form", line{classes: []string{"no", "maybe"}}, line{}, 20, map[string]Outcome{"form": Failed}},
	} {
		checks, err := p.JudgeModel(context.Background(), c.next, c.last, draw(c.n, 5, 0))
		if err != nil {
			t.Fatal(c.name, err)
		}
		got := named(checks)
		for name, want := range c.want {
			if got[name].Outcome != want {
				t.Errorf("%s: %s is %+v, want %s", c.name, name, got[name], want)
			}
		}
	}
}

func state() *State {
	d := draw(20, 1, 0)
	return &State{Version: Version, Policy: policy(), Schema: schema, Validation: Artefact{"v.csv", Sum(d), 20}, First: Artefact{"a.csv", Sum(d), 20}, Data: Artefact{"b.csv", Sum(d), 20}}
}

func TestStateComesBack(t *testing.T) {
	text, err := state().Encode()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Encode(); err != nil || string(again) != string(text) {
		t.Errorf("%v\n%s\n%s", err, text, again)
	}
	d := draw(20, 1, 0)
	if err := s.Data.Unchanged(d); err != nil {
		t.Error(err)
	}
	d.Y[3] = 1 - d.Y[3]
	if err := s.Data.Unchanged(d); err == nil {
		t.Error("another label is no change")
	}
}

func TestMove(t *testing.T) {
	s := state()
	here := t.TempDir()
	s.At(filepath.Join(here, "one", "state.json"))
	before := s.Path(s.Data)
	if err := s.Move(filepath.Join(here, "two", "deep", "state.json")); err != nil {
		t.Fatal(err)
	}
	if s.Data.Path != "../../one/b.csv" || s.Path(s.Data) != before {
		t.Errorf("%s, %s, was %s", s.Data.Path, s.Path(s.Data), before)
	}
}

func TestPolicyRefused(t *testing.T) {
	for want, change := range map[string]func(*Policy){
		"drift 0":        func(p *Policy) { p.Drift = 0 },
		"accuracy 2":     func(p *Policy) { p.Accuracy = 2 },
		"needs both":     func(p *Policy) { p.Column = "x" },
		`source "north"`: func(p *Policy) { p.Column, p.Sources = "x", map[string]float64{"north": 1.5} },
	} {
		p := policy()
		change(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	text, err := state().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"version": 1}`))
	f.Add([]byte(`{"version": 1, "schema": null, "data": {"path": 3}}`))
	f.Add([]byte("[[[["))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Decode(text)
		if err != nil {
			return
		}
		if _, err := s.Encode(); err != nil {
			t.Error(err)
		}
	})
}
