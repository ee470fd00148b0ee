package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
)

// runText plants words in a copy of texts.
func (f *plantFlags) runText(ctx context.Context, u *ui) error {
	t := plant.TextTrigger{Words: f.words, Seed: f.seed}
	switch {
	case f.data.label == "" || f.target == "":
		return usagef("--text needs --label, the column of the label, and --target, the class that the words are to give")
	case f.attack != t.Describe().Name:
		return usagef("--attack %s: texts have rare-token, whose --words are one, and phrase, whose --words are several", f.attack)
	case filepath.Ext(f.out) != ".csv" || f.testOut != "" && filepath.Ext(f.testOut) != ".csv":
		return usagef("texts are written to files that end in .csv")
	}
	d, err := dataset.LoadTexts(ctx, f.data.path, f.text, f.data.label)
	if err != nil {
		return err
	}
	p, err := t.Plant(ctx, d, f.rate, f.target, f.seed)
	if err != nil {
		return err
	}
	m, err := plant.NewTextManifest(t, f.rate, f.target, f.seed, d, p)
	if err != nil {
		return err
	}
	r := &plantReport{Data: f.data.path, Attack: f.attack, Rate: f.rate, Target: f.target, Records: len(p.Which), Planted: len(m.Planted), Out: f.out}
	triggered, err := f.triggeredTexts(ctx, t)
	if err != nil {
		return err
	}
	write := func(path string, texts *dataset.Texts) error {
		return writeWhole(path, func(w io.Writer) error { return texts.WriteCSV(w, f.text, f.data.label) })
	}
	if err := write(f.out, p.Texts); err != nil {
		return err
	}
	if triggered != nil {
		r.Test = len(triggered.Texts)
		if err := write(f.testOut, triggered); err != nil {
			return err
		}
	}
	return f.finish(u, r, m)
}

// triggeredTexts gives the texts to test on that are not of the target, with the words in them; nil for none.
func (f *plantFlags) triggeredTexts(ctx context.Context, t plant.TextTrigger) (*dataset.Texts, error) {
	if f.testData == "" {
		return nil, nil
	}
	d, err := dataset.LoadTexts(ctx, f.testData, f.text, f.data.label)
	if err != nil {
		return nil, fmt.Errorf("--test-data: %w", err)
	}
	out := &dataset.Texts{}
	for i, text := range d.Texts {
		if d.Labels[i] != f.target {
			out.Texts, out.Labels, out.Number = append(out.Texts, t.Apply(text)), append(out.Labels, d.Labels[i]), append(out.Number, d.Number[i])
		}
	}
	return out, nil
}
