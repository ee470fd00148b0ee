package main

import (
	"context"

	"github.com/spf13/cobra"

	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/extraction"
	"assay/internal/method/extraction/exact"
	"assay/internal/method/target"
	"assay/internal/model"
)

// exactly sets what is usual for exact methods where nothing else is said. The method stands in for the strategy.
func (f *extractFlags) exactly(c *cobra.Command) {
	f.x.strategy = f.method
	if !c.Flags().Changed("queries") {
		f.x.queries = 1e6
	}
	if !c.Flags().Changed("answers") {
		f.x.answers = string(extraction.Probabilities)
	}
}

// recovered recovers the model by an exact method.
func (f *extractFlags) recovered(ctx context.Context, u *ui, v model.Classifier, rows *target.Rows, records *dataset.Dataset, natural []int) (*extraction.Surrogate, error) {
	domain, err := method.DomainOf(records.Schema, records.Statistics(), method.ByRange)
	if err != nil {
		return nil, err
	}
	var given [][]float32
	for _, i := range natural {
		given = append(given, records.Record(i))
	}
	s, err := exact.Run(ctx, extraction.Victim{Model: v, Row: rows.Row}, given, exact.Options{
		Method: exact.Method(f.method), Answers: extraction.Answers(f.x.answers), Queries: f.x.queries, Domain: domain, Seed: f.x.seed,
		Progress: func(asked int) { u.counted("query", asked, f.x.queries) },
	})
	u.done()
	if err != nil {
		return nil, err
	}
	return s, f.x.inscribe(s, v, rows, records)
}
