package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"assay/internal/method/target"
	"assay/internal/train"
	"assay/onnx/autodiff"
)

func gradientCommand(u *ui) *cobra.Command {
	var data dataFlags
	var path, format string
	var n int
	var admission admission
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
	admission.add(c)
	c.Flags().StringVar(&path, "model", "", "the ONNX model")
	c.Flags().IntVar(&n, "n", 3, "how many examples, from the first on")
	c.Flags().StringVar(&format, "format", "text", "of the result: text or json")
	c.MarkFlagRequired("model")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := checkFormat(format); err != nil {
			return err
		}
		if n < 1 {
			return usagef("--n %d: at least one example is needed", n)
		}
		m, err := admission.open(c.Context(), u, path)
		if err != nil {
			return err
		}
		schema, err := target.ReadSchema(m)
		if err != nil {
			return err
		}
		records, err := data.read(c.Context(), schema, data.label == "" && schema == nil)
		if err != nil {
			return err
		}
		check, err := train.CheckGradient(c.Context(), m, train.FromDataset(records), n, train.Options{})
		var not *autodiff.NotDifferentiable
		var none *autodiff.NoPath
		switch {
		case errors.As(err, &not), errors.As(err, &none):
			return u.gradient(&train.GradientCheck{}, err.Error(), format)
		case err != nil:
			return err
		}
		return u.gradient(check, "", format)
	}
	return c
}

// gradientReport is the result for programs.
type gradientReport struct {
	Right           bool                `json:"right"`
	None            string              `json:"none,omitempty"` // why there is no gradient
	Examples        []train.GradientRow `json:"examples"`
	StraightThrough []string            `json:"straightThrough"`
	Stopped         []string            `json:"stopped"`
}

// gradient prints a gradient check, or why there is none.
func (u *ui) gradient(c *train.GradientCheck, none, format string) error {
	if format == "json" {
		err := u.json(gradientReport{c.Passed(), none, append([]train.GradientRow{}, c.Rows...),
			append([]string{}, c.StraightThrough...), append([]string{}, c.Stopped...)})
		if err == nil && !c.Passed() {
			return errFailed
		}
		return err
	}
	if none != "" {
		u.row("gradient", "none: %s", none)
		return errFailed
	}
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
