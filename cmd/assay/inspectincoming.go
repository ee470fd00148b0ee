package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"assay/internal/dataset"
	"assay/internal/method/backdoor"
	"assay/internal/method/poisoning"
	"assay/internal/method/poisoning/plant"
)

// stripped is what STRIP says of records that came in.
type stripped struct {
	Data      string         `json:"data"`
	Records   int            `json:"records"`
	Triggers  bool           `json:"triggers"` // among them, as P is at most alpha
	P         float64        `json:"p"`        // of as many suspicious records by chance
	FPR       float64        `json:"fpr"`
	Threshold float64        `json:"threshold"`
	Below     []strippedLine `json:"suspicious"` // the lowest entropy first
}

type strippedLine struct {
	Record  int64   `json:"record"`
	Class   string  `json:"class"` // that the model gives it
	Entropy float64 `json:"entropy"`
}

// strip looks for triggers in records that came in: superimposed with the records that triggers are searched on, by a threshold from the others.
func (f *inspectModelFlags) strip(ctx context.Context, s *backdoor.Subject, schema *dataset.Schema) (*stripped, error) {
	data := dataFlags{path: f.incoming, bad: f.data.bad}
	incoming, err := data.read(ctx, schema, true)
	if err != nil {
		return nil, err
	}
	rows := func(d *dataset.Dataset) poisoning.Matrix {
		m := poisoning.Matrix{Width: d.Schema.Width()}
		for i := range d.Len() {
			m.Data = append(m.Data, s.Rows.Row(d.Record(i))...)
		}
		return m
	}
	c := s.Model.Target.Model
	by := poisoning.Strip{Classes: len(s.Model.Classes), Overlay: rows(s.Search), Predict: probabilitiesOf(c)}
	found, err := by.Incoming(ctx, rows(s.Held), rows(incoming), f.fpr, rand.New(rand.NewPCG(f.seed, 1<<32)))
	if err != nil {
		return nil, err
	}
	incoming.Schema = schema // read without labels, it has no classes
	given, err := plant.Decisions(ctx, c, incoming)
	if err != nil {
		return nil, err
	}
	out := &stripped{Data: f.incoming, Records: incoming.Len(), Triggers: found.P <= f.alpha, P: found.P, FPR: f.fpr, Threshold: found.Threshold, Below: []strippedLine{}}
	for _, i := range found.Below {
		out.Below = append(out.Below, strippedLine{incoming.Number[i], schema.Label.Classes[given[i]], found.Entropy[i]})
	}
	return out, nil
}

func (u *ui) stripped(s *stripped) {
	text := "no sign of triggers among them"
	if s.Triggers {
		text = "there are triggers among them, or they are not like the clean records"
	}
	u.row("incoming", "%d of %d records are suspicious, where %s of clean ones are at most: %s, with p = %.3g", len(s.Below), s.Records, percent(s.FPR), text, s.P)
	const printed = 10
	var some []string
	for _, line := range s.Below[:min(printed, len(s.Below))] {
		some = append(some, fmt.Sprintf("%d (%s)", line.Record, line.Class))
	}
	if len(some) > 0 {
		u.row("", "the first by record and class: %s", strings.Join(some, ", "))
	}
}
