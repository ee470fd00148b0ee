package text_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"assay"
	"assay/internal/method/substitution"
	"assay/internal/model/ort"
	"assay/internal/text"
	"assay/internal/text/texttest"
	"assay/internal/text/tokenizer"
	"assay/onnx"
)

// open trains a model of reviews behind a tokenizer, and opens it twice.
func open(t *testing.T, merged bool) (many, one *text.Classifier) {
	t.Helper()
	ctx := context.Background()
	vocabulary := texttest.Vocabulary(merged)
	tok, err := tokenizer.Decode(texttest.Tokenizer(vocabulary))
	if err != nil {
		t.Fatal(err)
	}
	encode := func(texts []string) ([][]int64, error) { return tok.Encode(ctx, texts) }
	m, err := texttest.Train(ctx, encode, 1<<7, texttest.Generate(1500, 1))
	if err != nil {
		t.Fatal(err)
	}
	run := func(optimization ort.Optimization) *text.Classifier {
		c, err := text.New(ctx, m, tok, text.Options{Options: ort.Options{Threads: 1, Optimization: optimization}, Classes: texttest.Classes()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	return run(ort.OptimizeAll), run(ort.OptimizeOff)
}

// A model of reviews is right, synonyms break many of its answers, and none of those of a model that cannot tell synonyms apart.
func TestReviewsAreAttacked(t *testing.T) {
	reviews := texttest.Generate(80, 2)
	var inputs []substitution.Input
	for i, s := range reviews.Texts {
		inputs = append(inputs, substitution.Input{Index: int64(i), Text: s, Label: reviews.Labels[i]})
	}
	methods := []substitution.Method{substitution.TextFooler{}, substitution.PWWS{}, substitution.Beam{Width: 4, Queries: 2000},
		substitution.Genetic{Population: 20, Generations: 10, Queries: 2000}}
	attacker := substitution.Attacker{Access: assay.Scores, Budget: substitution.Budget{Words: 0.2, Synonyms: substitution.Table(texttest.Synonyms())}}
	for _, merged := range []bool{false, true} {
		many, one := open(t, merged)
		results, err := substitution.Run(context.Background(), substitution.Target{Model: many, Confirm: one}, attacker, methods, inputs, substitution.Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		correct, robust := 0, 0
		by := map[string]int{}
		for _, r := range results {
			if r.Correct {
				correct++
			}
			if r.Robust {
				robust++
			}
			for _, m := range r.Methods {
				if m.Success {
					by[m.Method]++
				}
			}
		}
		t.Logf("merged %v: %d correct, %d robust, %v", merged, correct, robust, by)
		switch {
		case correct < 72:
			t.Errorf("%d of 80 reviews are read right", correct)
		case merged && robust != correct:
			t.Errorf("%d of %d broken by synonyms that the model cannot tell apart", correct-robust, correct)
		case !merged && 2*robust > correct:
			t.Errorf("%d of %d withstand synonyms that the model hardly knows", robust, correct)
		case !merged && (by["textfooler"] == 0 || by["pwws"] == 0 || by["genetic"] == 0 || by["beam"] < by["textfooler"]):
			t.Errorf("%v", by)
		}
	}
}

// A text's scores do not depend on those beside it, of whatever length, and equal those that the graph gives by hand.
func TestTextsOfAnyLength(t *testing.T) {
	many, one := open(t, false)
	texts := []string{"The film was great.", "awful", "The plot seemed utterly dull. The cast was fine.", "The film was great.", ""}
	all := make([]float64, 2*len(texts))
	if err := many.Predict(context.Background(), texts, all); err != nil {
		t.Fatal(err)
	}
	for i, s := range texts {
		alone := make([]float64, 2)
		if err := one.Predict(context.Background(), []string{s}, alone); err != nil {
			t.Fatal(err)
		}
		for k := range alone {
			if math.Abs(alone[k]-all[2*i+k]) > 1e-5 {
				t.Errorf("%q: %v alone, %v among others", s, alone, all[2*i:2*i+2])
			}
		}
	}
	if all[1] <= all[0] || all[2] <= all[3] {
		t.Errorf("great and awful: %v", all)
	}
	if d := many.Describe(); d.Classes[1] != "positive" || d.Output != "logits" {
		t.Errorf("%+v", d)
	}
}

// masked counts tokens by a mask, of a fixed number of tokens, and reports what it was given as logits.
func masked() *onnx.Model {
	b := onnx.NewBuilder("masked")
	ids, mask := b.Input("input_ids", onnx.Int64, "batch", 6), b.Input("attention_mask", onnx.Int64, "batch", 6)
	b.Input("token_type_ids", onnx.Int32, "batch", 6)
	sum := func(x string) string {
		return b.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, b.Op("ReduceSum", nil, x, b.Ints(1)))
	}
	b.Add("Concat", onnx.Attrs{"axis": int64(1)}, []string{sum(ids), sum(mask)}, []string{b.Name("logits")})
	b.Output("logits", onnx.Float32, onnx.Dims("batch", 2))
	return b.Model()
}

func TestMaskAndPadding(t *testing.T) {
	tok, err := tokenizer.Decode([]byte(`{"model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 1, "a": 10}}, "pre_tokenizer": {"type": "WhitespaceSplit"}, "padding": {"pad_id": 100},
		"post_processor": {"type": "BertProcessing", "sep": ["s", 1000], "cls": ["c", 2000]}}`))
	if err != nil {
		t.Fatal(err)
	}
	c, err := text.New(context.Background(), masked(), tok, text.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	scores := make([]float64, 6)
	if err := c.Predict(context.Background(), []string{"a b", "", "a a a a a a a"}, scores); err != nil {
		t.Fatal(err)
	}
	want := []float64{3011 + 200, 4, 3000 + 400, 2, 3040, 6} // what is too long is cut before what ends it
	for i := range want {
		if scores[i] != want[i] {
			t.Errorf("scores %v, want %v", scores, want)
			break
		}
	}
}

func TestModelsThatTakeNoTexts(t *testing.T) {
	tok, _ := tokenizer.Decode(texttest.Tokenizer(map[string]int64{"[UNK]": 0}))
	for want, build := range map[string]func(b *onnx.Builder){
		"takes whole numbers":                func(b *onnx.Builder) { b.Input("x", onnx.Float32, "batch", 4) },
		"no input for the numbers of tokens": func(b *onnx.Builder) { b.Input("mask", onnx.Int64, "batch", 4) },
		"a second of its kind":               func(b *onnx.Builder) { b.Input("a", onnx.Int64, "batch", 4); b.Input("b", onnx.Int64, "batch", 4) },
		"not a classifier":                   func(b *onnx.Builder) { b.Input("a", onnx.Int64, "batch", 4) },
	} {
		b := onnx.NewBuilder("other")
		build(b)
		if _, err := text.New(context.Background(), b.Model(), tok, text.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
