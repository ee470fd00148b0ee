package robustness

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"assay"
	"assay/internal/assess"
	"assay/internal/dataset"
	"assay/internal/method/substitution"
	"assay/internal/method/substitution/battery"
	"assay/internal/model/ort"
	"assay/internal/system"
	"assay/internal/text"
	"assay/internal/text/tokenizer"
	"assay/onnx"
)

// preparedTexts is a model and texts made ready for an attacker.
type preparedTexts struct {
	texts   *dataset.Texts
	labels  []int
	classes []string
	target  substitution.Target
	battery *battery.Battery
	remarks []string
	free    func()
}

func (p *preparedTexts) close() { p.free() }

func (t *Texts) newPrepared(ctx context.Context, test *assess.Test) (*preparedTexts, error) {
	i := slices.IndexFunc(t.system.Models, func(m system.Model) bool { return m.Name == test.Model })
	j := slices.IndexFunc(t.system.Data, func(d system.Data) bool { return d.Name == test.Data })
	if i < 0 || j < 0 {
		return nil, fmt.Errorf("the description has no model %q or no data %q", test.Model, test.Data)
	}
	m, d := &t.system.Models[i], &t.system.Data[j]
	switch {
	case m.Tokenizer == nil:
		return nil, t.system.Mistake(m.At, "the model %s has no tokenizer, and the system's modality is text: name its file and its tokenizer", m.Name)
	case d.Text == "":
		return nil, t.system.Mistake(d.At, "the data %s name no column of texts: name it by text", d.Name)
	case d.Substitutions == nil:
		return nil, t.system.Mistake(d.At, "the data %s do not say what may stand for a word, so an attacker could change nothing: give substitutions", d.Name)
	case m.Detector != nil:
		return nil, t.system.Mistake(m.At+".detector", "a detector of texts is not tested: leave it out")
	}
	p := &preparedTexts{}
	budget, err := t.budget(d)
	if err != nil {
		return nil, err
	}
	budget.Words = test.Attacker.Eps
	p.battery = &battery.Battery{Attacker: substitution.Attacker{Access: assay.Scores, Budget: *budget, Queries: test.Attacker.Queries}}
	switch test.Attacker.Access {
	case assay.Gradients:
		p.remarks = append(p.remarks, "the attacker has the model, and no method here follows gradients of texts: the methods for scores are used")
	case assay.Labels:
		p.remarks = append(p.remarks, "the attacker sees labels alone, by which texts are only searched at random here: the methods for scores are used, which find more")
	}
	if err := t.open(ctx, p, m); err != nil {
		return nil, err
	}
	if err := t.read(ctx, p, d); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// open opens the model twice: to be asked about many texts, and about one at a time without optimisation.
func (t *Texts) open(ctx context.Context, p *preparedTexts, m *system.Model) error {
	graph, err := onnx.Open(t.system.Path(m.File))
	if err != nil {
		return t.system.Mistake(m.At+".file", "%v", err)
	}
	tok, err := tokenizer.Open(ctx, t.system.Path(m.Tokenizer.File))
	if err != nil {
		return t.system.Mistake(m.At+".tokenizer.file", "%v", err)
	}
	o := text.Options{Length: m.Tokenizer.Length, Classes: m.Classes, Options: ort.Options{Threads: 1, Library: t.library}}
	many, one, err := text.Pair(ctx, graph, tok, o)
	if err != nil {
		return t.system.Mistake(m.At+".file", "%s: %v", m.File, err)
	}
	p.target, p.classes = substitution.Target{Model: many, Confirm: one}, many.Describe().Classes
	p.free = func() { _, _ = many.Close(), one.Close() } // freeing memory has no error to act on
	return nil
}

// read reads the texts and finds their classes among the model's.
func (t *Texts) read(ctx context.Context, p *preparedTexts, d *system.Data) (err error) {
	if p.texts, err = dataset.LoadTexts(ctx, t.system.Path(d.File), d.Text, d.Label); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return t.system.Mistake(d.At+".file", "%v", err)
	}
	for i, name := range p.texts.Labels {
		class := slices.Index(p.classes, name)
		if class < 0 {
			return t.system.Mistake(d.At+".label", "record %d has the label %s, and the model has the classes %q: name these under the model's classes, in the order of its scores",
				p.texts.Number[i], strconv.Quote(name), p.classes)
		}
		p.labels = append(p.labels, class)
	}
	return nil
}

// budget reads the files that say what may change.
func (t *Texts) budget(d *system.Data) (*substitution.Budget, error) {
	s := d.Substitutions
	path := func(name string) string {
		if name == "" {
			return ""
		}
		return t.system.Path(name)
	}
	b, err := substitution.Files{
		Synonyms: path(s.Synonyms), Embeddings: path(s.Embeddings), Cosine: s.Cosine, Neighbours: s.Neighbours, Protect: path(s.Protect),
	}.Budget()
	if err != nil {
		return nil, t.system.Mistake(d.At+".substitutions", "%v", err)
	}
	b.Edits = s.Edits
	return b, nil
}

// inputs gives units as they are attacked.
func (p *preparedTexts) inputs(units []int) []substitution.Input {
	out := make([]substitution.Input, len(units))
	for i, u := range units {
		out[i] = substitution.Input{Index: int64(u), Text: p.texts.Texts[u], Label: p.labels[u]}
	}
	return out
}
