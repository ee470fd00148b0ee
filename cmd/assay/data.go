package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"assay/internal/dataset"
)

// dataFlags say which data to read, and how.
type dataFlags struct {
	path, label, labelFile, schema string
	bad                            int
	drop                           string // a column that is no feature, such as that of the sources; empty for none
}

func (f *dataFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.path, "data", "", "the data: a CSV, TSV, Parquet, NPY, NPZ, IDX or JSON Lines file, or a folder of images")
	c.Flags().StringVar(&f.label, "label", "", "the column or array with the label")
	c.Flags().StringVar(&f.labelFile, "label-file", "", "a file of labels beside the data (IDX or NPY)")
	c.Flags().StringVar(&f.schema, "schema", "", "a schema file (YAML) for what the data do not tell by themselves")
	c.Flags().IntVar(&f.bad, "bad-records", 0, "how many bad records may be left out")
	c.MarkFlagRequired("data")
}

// read reads the data. Known is a schema to read them by where the user gives none.
func (f *dataFlags) read(ctx context.Context, known *dataset.Schema, unlabelled bool) (*dataset.Dataset, error) {
	o := dataset.Options{Schema: known, Label: f.label, LabelFile: f.labelFile, Unlabelled: unlabelled, BadRecords: f.bad}
	if f.schema != "" {
		s, err := dataset.OpenSchema(f.schema)
		if err != nil {
			return nil, err
		}
		o.Schema = s
	}
	if f.drop != "" {
		if o.Schema == nil {
			o.Schema = &dataset.Schema{}
		}
		if !slices.Contains(o.Schema.Drop, f.drop) {
			o.Schema.Drop = append(o.Schema.Drop, f.drop)
		}
	}
	return dataset.Load(ctx, f.path, o)
}
