package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"assay/internal/train"
	"assay/onnx"
	"assay/onnx/autodiff"
)

func gradientCommand(u *ui) *cobra.Command {
	var data dataFlags
	var path string
	var n int
	c := &cobra.Command{
		Use:   "gradient --model MODEL.onnx --data DATA",
		Short: "Check whether a model is differentiable, and its gradient right",
		Long: `Check whether a model is differentiable, and its gradient right.

Of a few examples, the gradient of the loss with respect to the input is compared
with central differences of the loss along several directions. Nodes through which
no gradient flows, or that are given the identity's, are listed: gradient attacks do
not see what the model does there. The exit code is 1 where the check fails.`,
		Example: "  assay gradient --model model.onnx --data examples/diagnosis/breast_cancer.csv --label diagnosis",
		Args:    cobra.NoArgs,
	}
	data.add(c)
	c.Flags().StringVar(&path, "model", "", "the ONNX model")
	c.Flags().IntVar(&n, "n", 3, "how many examples, from the first on")
	c.MarkFlagRequired("model")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if n < 1 {
			return fmt.Errorf("--n %d: at least one example is needed", n)
		}
		m, err := onnx.Open(path)
		if err != nil {
			return err
		}
		schema, err := readSchema(m)
		if err != nil {
			return err
		}
		records, err := data.read(c.Context(), schema, data.label == "" && schema == nil)
		if err != nil {
			return err
		}
		d := train.FromDataset(records)
		d.X = d.X[:min(n, records.Len())*records.Schema.Width()]
		check, err := train.CheckGradient(c.Context(), m, d, train.Options{})
		var not *autodiff.NotDifferentiable
		var none *autodiff.NoPath
		switch {
		case errors.As(err, &not), errors.As(err, &none):
			u.row("gradient", "none: %v", err)
			return errFailed
		case err != nil:
			return err
		}
		return u.gradient(check)
	}
	return c
}

// gradient prints a gradient check.
func (u *ui) gradient(c *train.GradientCheck) error {
	for i, r := range c.Rows {
		u.row(fmt.Sprintf("example %d", i+1), "loss %.4f of class %d, gradient of length %.4g, relative error %.1e", r.Loss, r.Class, r.Length, r.Error)
	}
	if len(c.StraightThrough) > 0 {
		u.row("replaced", "the gradient of the identity stands in for that of %s", strings.Join(c.StraightThrough, ", "))
	}
	if len(c.Stopped) > 0 {
		u.row("stopped", "nothing flows through %s", strings.Join(c.Stopped, ", "))
	}
	if !c.Passed() {
		u.row("gradient", "wrong: it differs from central differences by more than %g of itself", train.GradientTolerance)
		return errFailed
	}
	u.row("gradient", "right, to within %g of itself", train.GradientTolerance)
	return nil
}
