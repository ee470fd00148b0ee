package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"assay"
	"assay/internal/builtin"
	"assay/internal/dataset"
	"assay/internal/method/substitution"
	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/stat"
	"assay/internal/text"
	"assay/internal/text/tokenizer"
)

// textFlags say how a model of texts is attacked.
type textFlags struct {
	tokenizer, column    string
	synonyms, embeddings string
	protect, classes     string
	cosine, words        float64
	neighbours, edits    int
	length               int
}

// textFlagNames are those that go with --tokenizer alone.
var textFlagNames = []string{"text", "synonyms", "embeddings", "cosine", "neighbours", "edits", "words", "protect", "classes", "length"}

func (f *textFlags) add(c *cobra.Command) {
	s := c.Flags()
	s.StringVar(&f.tokenizer, "tokenizer", "", "of a model of texts: tokenizer.json, vocab.txt, or a YAML file of an endpoint")
	s.StringVar(&f.column, "text", "text", "the column with the texts")
	s.StringVar(&f.synonyms, "synonyms", "", "a file of synonyms: lines such as \"good: fine, decent\", or a JSON object of lists")
	s.StringVar(&f.embeddings, "embeddings", "", "a file of words' vectors (GloVe's text form), of which near ones are synonyms too")
	s.Float64Var(&f.cosine, "cosine", 0.7, "the least cosine of near vectors")
	s.IntVar(&f.neighbours, "neighbours", 10, "how many near vectors a word has at most")
	s.IntVar(&f.edits, "edits", 0, "characters by which a word may be misspelt")
	s.Float64Var(&f.words, "words", 0.2, "the share of a text's words that may change, rounded down")
	s.StringVar(&f.protect, "protect", "", "a file of words that stay, one a line")
	s.StringVar(&f.classes, "classes", "", "the model's classes in order, such as negative,positive")
	s.IntVar(&f.length, "length", 0, "tokens that a text is cut to (the tokenizer's or the model's, else 512)")
}

// unused refuses flags that mean nothing without a tokenizer, and misses what is needed then.
func (f *textFlags) unused(c *cobra.Command) error {
	for _, name := range textFlagNames {
		if c.Flags().Changed(name) {
			return usagef("--%s is for models of texts: give their --tokenizer", name)
		}
	}
	if !c.Flags().Changed("eps") {
		return usagef(`required flag(s) "eps" not set`)
	}
	return nil
}

// textReport is the result of an attack on texts, for programs.
type textReport struct {
	Method         string                `json:"method"`
	Words          float64               `json:"words"` // the share that may change
	Edits          int                   `json:"edits"`
	N              int                   `json:"n"`
	CleanAccuracy  float64               `json:"clean_accuracy"`
	RobustAccuracy float64               `json:"robust_accuracy"`
	Lower          float64               `json:"lower"`
	Upper          float64               `json:"upper"`
	Queries        int                   `json:"queries"`
	Seconds        float64               `json:"seconds"`
	Units          []substitution.Result `json:"units"`
}

func (f *attackFlags) runText(c *cobra.Command, u *ui) error {
	for _, name := range []string{"eps", "norm", "unit", "groups", "surrogate", "schema", "labels", "label-file", "bad-records"} {
		if c.Flags().Changed(name) {
			return usagef("--%s is not for models of texts: their budget is --words, --synonyms and --edits", name)
		}
	}
	methods, err := builtin.FindText(f.method, f.settings, f.given)
	if err != nil {
		return err
	}
	if err := checkFormat(f.format); err != nil {
		return err
	}
	if f.n < 1 || f.threads < 0 {
		return usagef("--n %d and --threads %d: at least one record is needed, and no fewer than 0 threads", f.n, f.threads)
	}
	ctx, started := c.Context(), time.Now()
	budget, err := f.text.budget()
	if err != nil {
		return err
	}
	target, done, err := f.openText(ctx, u)
	if err != nil {
		return err
	}
	defer done()
	inputs, err := f.readTexts(ctx, target.Model.Describe())
	if err != nil {
		return err
	}
	a := substitution.Attacker{Access: assay.Scores, Budget: *budget}
	results, err := substitution.Run(ctx, target, a, methods, inputs, substitution.Options{
		Seed: f.seed, UntilBroken: true, Workers: f.threads, Progress: func(done, total int) { u.counted("text", done, total) }})
	u.done()
	if err != nil {
		return err
	}
	r, err := f.textReport(results, time.Since(started))
	if err != nil {
		return err
	}
	if f.out != "" {
		if err := writeWhole(f.out, func(w io.Writer) error { return f.saveTexts(w, inputs, results, target.Model.Describe().Classes) }); err != nil {
			return err
		}
	}
	if f.format == "json" {
		return u.json(r)
	}
	u.attackedTexts(f, r)
	return nil
}

// budget reads the files that say what may change.
func (f *textFlags) budget() (*substitution.Budget, error) {
	b, err := substitution.Files{Synonyms: f.synonyms, Embeddings: f.embeddings, Cosine: f.cosine, Neighbours: f.neighbours, Protect: f.protect}.Budget()
	if err != nil {
		return nil, err
	}
	if b.Words, b.Edits = f.words, f.edits; b.Synonyms == nil && b.Edits == 0 {
		return nil, usagef("nothing can change: give --synonyms, --embeddings or --edits")
	}
	return b, nil
}

// openText opens the model twice: to be asked about many texts, and about one at a time without optimisation.
func (f *attackFlags) openText(ctx context.Context, u *ui) (t substitution.Target, done func(), err error) {
	m, err := f.admission.open(ctx, u, f.model)
	if err != nil {
		return t, nil, err
	}
	tok, err := tokenizer.Open(ctx, f.text.tokenizer)
	if err != nil {
		return t, nil, err
	}
	o := text.Options{Length: f.text.length, Options: ort.Options{Threads: f.threads}}
	if f.text.classes != "" {
		o.Classes = strings.Split(f.text.classes, ",")
	}
	many, one, err := text.Pair(ctx, m, tok, o)
	if err != nil {
		return t, nil, fmt.Errorf("%s: %w", f.model, err)
	}
	return substitution.Target{Model: many, Confirm: one}, func() {
		_, _ = many.Close(), one.Close() // freeing memory has no error to act on
	}, nil
}

// readTexts reads the texts to attack, drawn at random where there are more.
func (f *attackFlags) readTexts(ctx context.Context, d model.Description) ([]substitution.Input, error) {
	label := f.data.label
	if label == "" {
		label = "label"
	}
	t, err := dataset.LoadTexts(ctx, f.data.path, f.text.column, label)
	if err != nil {
		return nil, err
	}
	chosen := rand.New(rand.NewPCG(f.seed, 0)).Perm(len(t.Texts))
	chosen = chosen[:min(f.n, len(chosen))]
	slices.Sort(chosen)
	out := make([]substitution.Input, len(chosen))
	for k, i := range chosen {
		class := slices.Index(d.Classes, t.Labels[i])
		if class < 0 {
			return nil, fmt.Errorf("%s record %d: the label %s is none of the model's classes %q: name these with --classes, in the order of its scores",
				f.data.path, t.Number[i], strconv.Quote(t.Labels[i]), d.Classes)
		}
		out[k] = substitution.Input{Index: int64(i), Text: t.Texts[i], Label: class}
	}
	return out, nil
}

func (f *attackFlags) textReport(results []substitution.Result, took time.Duration) (*textReport, error) {
	r := &textReport{Method: f.method, Words: f.text.words, Edits: f.text.edits, N: len(results), Seconds: took.Seconds(), Units: results}
	correct, robust := 0, 0
	for _, unit := range results {
		if unit.Correct {
			correct++
		}
		if unit.Robust {
			robust++
		}
		for _, m := range unit.Methods {
			r.Queries += m.Queries
		}
	}
	n := float64(r.N)
	r.CleanAccuracy, r.RobustAccuracy = float64(correct)/n, float64(robust)/n
	bounds, err := stat.ClopperPearson(robust, r.N, attackConfidence)
	r.Lower, r.Upper = bounds.Lower, bounds.Upper
	return r, err
}

// saveTexts writes the adversarial examples as JSON Lines: the text, its label, what the model answers, of which record and
// text it was made, and by which method.
func (f *attackFlags) saveTexts(w io.Writer, inputs []substitution.Input, results []substitution.Result, classes []string) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for i, r := range results {
		for _, m := range r.Methods {
			if !m.Success {
				continue
			}
			line := struct {
				Text    string `json:"text"`
				Label   string `json:"label"`
				Answer  string `json:"answer"`
				Index   int64  `json:"index"`
				Clean   string `json:"clean"`
				Method  string `json:"method"`
				Changed int    `json:"changed"`
			}{m.Example, classes[inputs[i].Label], classes[r.Answer], r.Index, inputs[i].Text, m.Method, m.Changed}
			if err := e.Encode(line); err != nil {
				return err
			}
		}
	}
	return nil
}

// attackedTexts prints the result of an attack on texts.
func (u *ui) attackedTexts(f *attackFlags, r *textReport) {
	u.row("attack", "%s, up to %s of the words, %d edits each", r.Method, percent(r.Words), r.Edits)
	u.row("texts", "%d of %s", r.N, f.data.path)
	u.row("clean", "accuracy %s", percent(r.CleanAccuracy))
	u.row("robust", "accuracy %s, between %s and %s at 95 %% confidence", percent(r.RobustAccuracy), percent(r.Lower), percent(r.Upper))
	for i, unit := range r.Units {
		if k := slices.IndexFunc(unit.Methods, func(m substitution.MethodResult) bool { return m.Success }); k >= 0 {
			u.row("for instance", "%s", strconv.Quote(r.Units[i].Methods[k].Example))
			break
		}
	}
	u.row("queries", "%d, in %.1f s", r.Queries, r.Seconds)
	if f.out != "" {
		u.row("written", "%s", f.out)
	}
}
