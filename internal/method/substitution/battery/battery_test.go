package battery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"assay"
	"assay/internal/method/evasion"
	"assay/internal/method/substitution"
	"assay/internal/model"
)

// lexicon counts words of two lists.
type lexicon struct {
	model.Description
	words [2][]string
	calls *int // of a model whose answers change from one to the next; nil for none
}

func (l lexicon) Describe() model.Description {
	return model.Description{Classes: []string{"bad", "good"}, Output: model.Logits}
}

func (l lexicon) Predict(_ context.Context, texts []string, scores []float64) error {
	for i, text := range texts {
		scores[2*i], scores[2*i+1] = 0.1, 0
		for _, w := range substitution.Split(text).Words {
			for class, list := range l.words {
				if slices.Contains(list, strings.ToLower(w)) {
					scores[2*i+class]++
				}
			}
		}
		if l.calls != nil {
			*l.calls++
			scores[2*i] += 0.01 * float64(*l.calls%7)
		}
	}
	return nil
}

var (
	table = substitution.Table{"awful": {"dreadful"}, "dull": {"drab"}, "great": {"terrific"}, "clever": {"smart"}, "film": {"movie"}, "plot": {"tale"}, "cast": {"actors"}, "was": {"seemed"}}
	naive = lexicon{words: [2][]string{{"awful", "dull"}, {"great", "clever"}}}
	aware = lexicon{words: [2][]string{{"awful", "dull", "dreadful", "drab"}, {"great", "clever", "terrific", "smart"}}}
	mute  = lexicon{words: [2][]string{nil, nil}}
)

// reviews are texts of both classes.
func reviews(n int) (out []substitution.Input) {
	things, moods := []string{"film", "plot", "cast"}, [2][]string{{"awful", "dull"}, {"great", "clever"}}
	for i := range n {
		class := i % 2
		out = append(out, substitution.Input{Index: int64(i), Label: class,
			Text: fmt.Sprintf("The %s was %s, number %d was a %s.", things[i%3], moods[class][i/2%2], i, things[(i+1)%3])})
	}
	return out
}

func run(t *testing.T, m lexicon, words float64) *evasion.Evidence {
	t.Helper()
	ctx := context.Background()
	b := &Battery{Attacker: substitution.Attacker{Access: assay.Scores, Budget: substitution.Budget{Words: words, Synonyms: table}}}
	target := substitution.Target{Model: m, Confirm: m}
	results, err := b.Observe(ctx, target, reviews(60), 1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Controls(ctx, target, reviews(60), 1)
	if err != nil {
		t.Fatal(err)
	}
	e := b.Evidence(c)
	for _, r := range results {
		e.Units = append(e.Units, ResultOf(r))
	}
	return e
}

func failed(e *evasion.Evidence) (names []string) {
	for _, c := range e.Checks() {
		if !c.Passed {
			names = append(names, c.Name)
		}
	}
	return names
}

// TestBattery: a model of words alone is broken by their synonyms, one that knows these is not, and both findings count.
func TestBattery(t *testing.T) {
	for name, c := range map[string]struct {
		model  lexicon
		broken bool
	}{"naive": {naive, true}, "aware": {aware, false}} {
		e := run(t, c.model, 0.2)
		if names := failed(e); len(names) > 0 {
			t.Errorf("%s: the checks %q fail: %+v", name, names, e.Checks())
		}
		// Without its word a text has no score of its class but the 0.1 of the first.
		broken, n := e.Broken()
		if n != 60 || c.broken && broken != 30 || !c.broken && broken != 0 {
			t.Errorf("%s: %d of %d texts are broken", name, broken, n)
		}
	}
}

// TestChecksFail: what could not have found anything is told.
func TestChecksFail(t *testing.T) {
	calls := 0
	random := naive
	random.calls = &calls
	for _, c := range []struct {
		name  string
		model lexicon
		words float64
		want  string
	}{
		{"nothing may change", naive, 0, "attack-enabled"},
		{"the model always answers the same", mute, 0.2, "large-budget-succeeds"},
		{"the model draws at random", random, 0.2, "answers-repeat"},
	} {
		if names := failed(run(t, c.model, c.words)); !slices.Contains(names, c.want) {
			t.Errorf("%s: %q fail, want %s", c.name, names, c.want)
		}
	}
}

// TestAdditive: how few words suffice is what trying all of them gives.
func TestAdditive(t *testing.T) {
	budget := substitution.Budget{Words: 1, Synonyms: table, Protect: []string{"film"}}
	finite := 0
	for _, in := range reviews(40) {
		s, err := substitution.NewSpace(budget, in.Text)
		if err != nil {
			t.Fatal(err)
		}
		words := substitution.Split(in.Text).Words
		sum := 0.0
		for _, w := range words {
			sum += weight(w)
		}
		label := 0
		if sum > 0 {
			label = 1
		}
		few, ok := fewest(s, words, label)
		least := -1
		for set := range 1 << len(words) {
			with, changed := 0.0, 0
			for i, w := range words {
				v := weight(w)
				if set>>i&1 == 1 {
					changed++
					for _, c := range s.Candidates(i, w) {
						if label == 1 {
							v = min(v, weight(c))
						} else {
							v = max(v, weight(c))
						}
					}
				}
				with += v
			}
			if (with > 0) != (label == 1) && (least < 0 || changed < least) {
				least = changed
			}
		}
		if ok != (least >= 0) || ok && few != least {
			t.Errorf("%q: %d words (%v), by trying %d", in.Text, few, ok, least)
		}
		if ok {
			finite++
		}
	}
	if finite < 5 {
		t.Errorf("only %d texts can be broken: the test shows little", finite)
	}
}
