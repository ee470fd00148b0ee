package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/train"
	"assay/onnx"
	"assay/onnx/autodiff"
)

// gceFlags are those of training by the generalised cross-entropy.
type gceFlags struct{ q float64 }

func gceCommand(u *ui) *cobra.Command {
	s := &gceFlags{}
	c, _ := trainedCommand(u, s, `Train by the generalised cross-entropy, in which labels that the model does not believe
weigh little: wrong labels are learnt late, or not at all. More of q withstands more of them,
and learns more slowly. The figures of the training are those of this loss.`,
		`  assay harden gce --data patients.csv --label outcome --out hardened.onnx
  assay harden gce --data digits.csv.gz --schema schema.yaml --q 0.7 --epochs 60 --test-data trusted.csv --out hardened.onnx`)
	c.Flags().Float64Var(&s.q, "q", 0.7, "from cross-entropy (0) to the mean absolute error (1)")
	return c
}

func (f *gceFlags) name() string { return "gce" }
func (f *gceFlags) String() string {
	return fmt.Sprintf("by the generalised cross-entropy with q = %g", f.q)
}

func (f *gceFlags) check() error {
	if !(f.q > 0 && f.q <= 1) {
		return usagef("--q %g: give a number above 0, and at most 1", f.q)
	}
	return nil
}

func (f *gceFlags) apply(_ *split, o *train.Options) error {
	o.Loss, o.Recipe = autodiff.GeneralisedCrossEntropy(f.q), f.String()
	return nil
}

func (f *gceFlags) note(*onnx.Model) error { return nil }

func (f *gceFlags) open(ctx context.Context, m *onnx.Model, threads int, _ uint64) (model.Classifier, error) {
	return ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: ort.Options{Threads: threads}})
}
