package substitution

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
)

// additive gives class 1 the sum of its words' weights, and class 0 nothing: a model of which it is known what can be broken.
type additive struct {
	weights map[string]float64
	bias    float64
	asked   atomic.Int64
	fails   error
	poison  bool
}

func (a *additive) Describe() model.Description {
	return model.Description{Classes: []string{"bad", "good"}, Output: model.Logits}
}

func (a *additive) Predict(_ context.Context, texts []string, scores []float64) error {
	a.asked.Add(int64(len(texts)))
	for i, text := range texts {
		sum := a.bias
		for _, w := range Split(text).Words {
			sum += a.weights[strings.ToLower(w)]
		}
		if a.poison {
			sum = math.NaN()
		}
		scores[2*i], scores[2*i+1] = 0, sum
	}
	return a.fails
}

// limit is the least label's lead that can be reached by replacing so many words: words add up, so the greatest gains are best.
func (a *additive) limit(text string, table Table, most int) float64 {
	lead, gains := a.bias, []float64{}
	for _, w := range Split(text).Words {
		own := a.weights[strings.ToLower(w)]
		lead += own
		gain := 0.0
		for _, s := range table[strings.ToLower(w)] {
			gain = max(gain, own-a.weights[s])
		}
		gains = append(gains, gain)
	}
	slices.Sort(gains)
	slices.Reverse(gains)
	for _, g := range gains[:min(most, len(gains))] {
		lead -= g
	}
	return lead
}

// generated makes words with synonyms, weights, and texts of class 1.
func generated(n int) (*additive, Table, []Input) {
	r := rand.New(rand.NewPCG(7, 0))
	a, table := &additive{weights: map[string]float64{}, bias: 0.1}, Table{}
	for i := range 40 {
		word := fmt.Sprintf("word%d", i)
		a.weights[word] = r.NormFloat64()
		for k := range r.IntN(4) {
			s := fmt.Sprintf("%dsyn%d", i, k)
			a.weights[s] = r.NormFloat64()
			table[word] = append(table[word], s)
		}
	}
	var inputs []Input
	for len(inputs) < n {
		var words []string
		for range 6 + r.IntN(10) {
			words = append(words, fmt.Sprintf("word%d", r.IntN(40)))
		}
		text := strings.Join(words, " ") + "."
		if a.limit(text, table, 0) > 0 {
			inputs = append(inputs, Input{Index: int64(len(inputs)), Text: text, Label: 1})
		}
	}
	return a, table, inputs
}

func all() []Method {
	return []Method{Noise{Draws: 300}, TextFooler{}, PWWS{}, Beam{Width: 4, Queries: 3000}, Genetic{Population: 20, Generations: 20, Queries: 5000}}
}

// What can be broken is known: searches break all of it, greedy methods most, as the word that counts most need not be
// the one that can change most; and nobody breaks anything else.
func TestAgainstExactAnswer(t *testing.T) {
	a, table, inputs := generated(120)
	attacker := Attacker{Access: assay.Scores, Budget: Budget{Words: 0.3, Synonyms: table}}
	results, err := Run(context.Background(), Target{a, a}, attacker, all(), inputs, Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	power := map[string]int{}
	can := 0
	for i, r := range results {
		n := len(Split(inputs[i].Text).Words)
		limit := a.limit(inputs[i].Text, table, int(0.3*float64(n)))
		if limit < 0 {
			can++
		}
		for _, m := range r.Methods {
			if m.Success {
				power[m.Method]++
			}
			if m.Success && limit >= 0 {
				t.Errorf("%s broke text %d, which cannot be broken: %q", m.Method, i, m.Example)
			}
			if m.Success != (m.Example != "") || m.Unconfirmed {
				t.Errorf("%+v", m)
			}
		}
	}
	t.Log(can, power)
	if can < 30 || can > 110 {
		t.Fatalf("%d of %d can be broken, which tells nothing", can, len(inputs))
	}
	for name, least := range map[string]float64{"textfooler": 0.65, "pwws": 0.9, "beam": 1, "genetic": 1} {
		if float64(power[name]) < least*float64(can) {
			t.Errorf("%s broke %d of the %d that can be broken", name, power[name], can)
		}
	}
	if power["word-noise"] >= power["beam"] {
		t.Errorf("noise broke %d", power["word-noise"])
	}
}

// Results do not depend on how many run side by side, and queries are counted as the model saw them.
func TestDeterministicAndCounted(t *testing.T) {
	var first []Result
	for _, workers := range []int{1, 5} {
		a, table, inputs := generated(20)
		attacker := Attacker{Access: assay.Scores, Budget: Budget{Words: 0.25, Synonyms: table, Edits: 1}}
		results, err := Run(context.Background(), Target{a, &additive{weights: a.weights, bias: a.bias}}, attacker, all(), inputs, Options{Seed: 3, Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		queries := 0
		for _, r := range results {
			for _, m := range r.Methods {
				queries += m.Queries
			}
		}
		if int64(queries) != a.asked.Load() {
			t.Errorf("%d queries told, and the model saw %d", queries, a.asked.Load())
		}
		if first == nil {
			first = results
		} else if !reflect.DeepEqual(first, results) {
			t.Errorf("%d workers gave other results", workers)
		}
	}
}

// Every text that any method asks the model about as an example and claims is inside the budget, by a check of its own.
func TestBudgetIsKept(t *testing.T) {
	a, table, inputs := generated(12)
	for _, b := range []Budget{{Words: 0.2, Synonyms: table}, {Words: 0.5, Edits: 2}, {Words: 1, Synonyms: table, Edits: 1, Protect: []string{"WORD1", "word2", "word3", "word4"}}, {Words: 0.01, Synonyms: table}} {
		results, err := Run(context.Background(), Target{a, a}, Attacker{Access: assay.Scores, Budget: b, Queries: 400}, all(), inputs, Options{Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for i, r := range results {
			for _, m := range r.Methods {
				if m.Queries > 400 {
					t.Errorf("%s made %d queries of 400", m.Method, m.Queries)
				}
				if !m.Success {
					continue
				}
				found++
				was, is := strings.Fields(strings.Trim(inputs[i].Text, ".")), strings.Fields(strings.Trim(m.Example, "."))
				changed := 0
				for k := range was {
					if was[k] == is[k] {
						continue
					}
					changed++
					if slices.Contains(b.Protect[:min(1, len(b.Protect))], strings.ToUpper(was[k])) {
						t.Errorf("the protected word %s became %s", was[k], is[k])
					}
					if !slices.Contains(table[was[k]], is[k]) && (b.Edits == 0 || levenshtein(was[k], is[k]) > 2*b.Edits) {
						t.Errorf("%s became %s", was[k], is[k])
					}
				}
				if changed != m.Changed || float64(changed) > b.Words*float64(len(was)) {
					t.Errorf("%d of %d words changed, %d told", changed, len(was), m.Changed)
				}
			}
		}
		if (b.Words > 0.1) != (found > 0) {
			t.Errorf("a share of %v: %d successes", b.Words, found)
		}
	}
}

// levenshtein is the plain distance, by its recursion: a swap counts twice.
func levenshtein(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) == 0 || len(y) == 0 {
		return len(x) + len(y)
	}
	if x[0] == y[0] {
		return levenshtein(string(x[1:]), string(y[1:]))
	}
	if len(x) > 7 || len(y) > 7 {
		return max(len(x), len(y))
	}
	return 1 + min(levenshtein(string(x[1:]), b), levenshtein(a, string(y[1:])), levenshtein(string(x[1:]), string(y[1:])))
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"kitten", "sitting", 3}, {"ca", "ac", 1}, {"ca", "abc", 3}, {"", "abc", 3}, {"same", "same", 0}, {"Saturday", "Sunday", 3}, {"façade", "facade", 1}} {
		if got := distance([]rune(c.a), []rune(c.b)); got != c.want {
			t.Errorf("%s to %s: %d, want %d", c.a, c.b, got, c.want)
		}
		if distance([]rune(c.b), []rune(c.a)) != c.want {
			t.Errorf("%s to %s is not as the other way", c.b, c.a)
		}
	}
	for _, w := range misspellings("Hello") {
		if distance([]rune("Hello"), []rune(w)) > 1 {
			t.Errorf("%s is more than an edit from Hello", w)
		}
	}
}

func TestSplit(t *testing.T) {
	for text, want := range map[string][]string{
		"It's a 'quoted' word, isn’t it?": {"It's", "a", "quoted", "word", "isn’t", "it"},
		"":                                {}, "...": {}, "naïve 3D-film": {"naïve", "3D", "film"}, "\xff ok": {"ok"},
	} {
		s := Split(text)
		if !slices.Equal(s.Words, want) && len(s.Words)+len(want) > 0 {
			t.Errorf("%q: %q, want %q", text, s.Words, want)
		}
		if s.With(s.Words) != text {
			t.Errorf("%q came back as %q", text, s.With(s.Words))
		}
	}
	for _, c := range [][3]string{{"fine", "Good", "Fine"}, {"fine", "GOOD", "FINE"}, {"fine", "good", "fine"}, {"élan", "Good", "Élan"}, {"fine", "I", "Fine"}} {
		if got := cased(c[0], c[1]); got != c[2] {
			t.Errorf("%s as %s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

func TestContains(t *testing.T) {
	table := Table{"good": {"fine", "decent"}, "film": {"movie"}}
	s := newSpace(valid(t, Budget{Words: 0.5, Synonyms: table, Edits: 1, Protect: []string{"Actor"}}), "A Good film, good actor")
	for text, want := range map[string]string{
		"A Good film, good actor":   "",
		"A Fine movie, good actor":  "",
		"A Godo fílm, good actor":   "",
		"A fine film, good actor":   `"Good" became "fine"`,
		"A Fine movie, fine actor":  "3 of 5 words changed",
		"A Good film good actor":    "between the words",
		"A Good film, good actors":  `protected word "actor"`,
		"A Gooood film, good actor": "further than 1",
		"A Good film, good":         "between the words",
	} {
		err := s.Contains(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func valid(t *testing.T, b Budget) *Budget {
	t.Helper()
	if err := b.validate(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// cheat claims what is outside the budget, asks for scores without access, fails, or panics.
type cheat struct{ how string }

func (c cheat) Describe() method.Description {
	return method.Description{Name: "cheat", Access: assay.Labels, Reference: "none"}
}

func (c cheat) Perturb(ctx context.Context, u *Unit) error {
	switch c.how {
	case "panic":
		panic("no")
	case "scores":
		_, err := u.Leads(ctx, nil)
		_ = err
		return nil
	}
	words := u.Words()
	for i := range words {
		words[i] = "nothing"
	}
	_, err := u.Labels(ctx, [][]string{words})
	return err
}

// tipping answers otherwise when it is asked about one text alone.
type tipping struct{ *additive }

func (a tipping) Predict(ctx context.Context, texts []string, scores []float64) error {
	if err := a.additive.Predict(ctx, texts, scores); err != nil {
		return err
	}
	for i := range texts {
		scores[2*i+1] += 100
	}
	return nil
}

func TestNothingIsClaimedFalsely(t *testing.T) {
	ctx := context.Background()
	a, table, inputs := generated(5)
	attacker := Attacker{Access: assay.Scores, Budget: Budget{Words: 0.3, Synonyms: table}}
	run := func(target Target, m Method) ([]Result, error) {
		return Run(ctx, target, attacker, []Method{m}, inputs, Options{})
	}
	results, err := run(Target{a, a}, cheat{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if !r.Robust || r.Methods[0].Queries != 1 {
			t.Errorf("a text outside the budget counted: %+v", r)
		}
	}
	if results, err = run(Target{a, tipping{a}}, Beam{Width: 3, Queries: 1000}); err != nil {
		t.Fatal(err)
	}
	tipped := 0
	for _, r := range results {
		if !r.Robust {
			t.Errorf("a success counted that the model did not confirm: %+v", r)
		}
		if r.Methods[0].Unconfirmed {
			tipped++
		}
	}
	if tipped == 0 {
		t.Error("nothing was found that could have been claimed")
	}
	for how, want := range map[string]string{"panic": "it panicked", "scores": "it asked for scores"} {
		if _, err := run(Target{a, a}, cheat{how}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", how, err)
		}
	}
	broken := &additive{weights: a.weights, fails: errors.New("out of order")}
	if _, err := run(Target{broken, a}, TextFooler{}); err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Error(err)
	}
	if _, err := run(Target{a, &additive{poison: true}}, TextFooler{}); err == nil || !strings.Contains(err.Error(), "no numbers") {
		t.Error(err)
	}
	attacker.Access = assay.Labels
	if _, err := run(Target{a, a}, PWWS{}); err == nil || !strings.Contains(err.Error(), "needs access to scores") {
		t.Error(err)
	}
	if _, err := run(Target{a, a}, Noise{Draws: 10}); err != nil {
		t.Error(err)
	}
	ended, end := context.WithCancel(ctx)
	end()
	if _, err := Run(ended, Target{a, a}, attacker, []Method{Noise{Draws: 5}}, inputs, Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for want, b := range map[string]Budget{"nothing can change": {Words: 0.5}, "share of 2": {Words: 2, Edits: 1}, "misspelt by 99": {Words: 0.1, Edits: 99}} {
		if _, err := Run(ctx, Target{a, a}, Attacker{Budget: b}, nil, inputs, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestTable(t *testing.T) {
	for _, text := range []string{"# of quality\nGood: fine, very nice, decent,fine\n\ngood: good, OK\n", `{"Good": ["fine", "very nice", "decent"], "good": ["fine", "OK"]}`} {
		table, err := ReadTable(strings.NewReader(text))
		if err != nil || !slices.Equal(table.Of("good"), []string{"fine", "decent", "OK"}) {
			t.Errorf("%q: %v, %v", text, table, err)
		}
	}
	for want, text := range map[string]string{"line 2 has no colon": "a: b\nc d\n", "no synonyms": "a: b c\n", "no JSON object": "{7}"} {
		if _, err := ReadTable(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestEmbeddings(t *testing.T) {
	text := "5 2\ngood 1 0\nfine 0.9 0.1\ndecent 0.8 0.6\nbad -1 0\nzero 0 0\ntwo-part 1 0\n"
	e, err := ReadEmbeddings(strings.NewReader(text), 0.7, 5)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Of("good"); !slices.Equal(got, []string{"fine", "decent"}) {
		t.Errorf("%q", got)
	}
	if e, _ = ReadEmbeddings(strings.NewReader(text), 0.9, 1); !slices.Equal(e.Of("decent"), []string{}) || !slices.Equal(e.Of("good"), []string{"fine"}) || e.Of("zero") != nil {
		t.Errorf("%q %q", e.Of("decent"), e.Of("good"))
	}
	if got := (Both{Table{"good": {"nice", "fine"}}, e}).Of("good"); !slices.Equal(got, []string{"nice", "fine"}) {
		t.Errorf("%q", got)
	}
	for want, text := range map[string]string{"line 2 of the embeddings has 1 numbers": "a 1 2\nb 1\n", "where a number is due": "a 1 x\n", "have no words": "\n"} {
		if _, err := ReadEmbeddings(strings.NewReader(text), 0.7, 5); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := ReadEmbeddings(strings.NewReader(text), 0, 5); err == nil {
		t.Error("a cosine of 0 was taken")
	}
}

func FuzzTexts(f *testing.F) {
	f.Add("good: fine, decent\n", "a 1 2\nb 2 1\n", "It's a Good film")
	f.Add(`{"good": ["fine"]}`, "2 1\ngood 1\n", "\xffgood’s 3D")
	f.Fuzz(func(t *testing.T, table, embeddings, text string) {
		b := &Budget{Words: 1, Edits: 1}
		if s, err := ReadTable(strings.NewReader(table)); err == nil {
			b.Synonyms = s
		}
		if e, err := ReadEmbeddings(strings.NewReader(embeddings), 0.5, 3); err == nil {
			b.Synonyms = Both{e}
		}
		if b.validate() != nil || len(text) > 200 {
			return
		}
		s := newSpace(b, text)
		if s.clean.With(s.clean.Words) != text {
			t.Fatalf("%q came back otherwise", text)
		}
		for i, w := range s.clean.Words {
			for _, v := range variants(s, slices.Clone(s.clean.Words), i) {
				if err := s.Contains(s.clean.With(v)); err != nil {
					t.Errorf("a candidate for %q: %v", w, err)
				}
			}
		}
	})
}
