package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"assay/internal/verify"
	"assay/internal/vnnlib"
)

func proveCommand(u *ui) *cobra.Command {
	var admission admission
	var timeout time.Duration
	var seed uint64
	var format string
	c := &cobra.Command{
		Use:   "prove MODEL.onnx PROPERTY.vnnlib",
		Short: "Prove that a network has a property, or find an input that shows it has not",
		Long: `Prove that a network has a property, or find an input that shows it has not.

The property is a VNN-LIB file, which states what is unsafe: limits of the inputs, and
which outputs must not occur within them. A proof is by branch and bound, and holds under
the rounding of float32. A counterexample is run again in float64 and by ONNX Runtime, and
both must agree. The exit code is 0 where the property holds, 1 where it is violated, 2
where the time is up before that is known.`,
		Example: "  assay prove model.onnx property.vnnlib --timeout 2m",
		Args:    cobra.ExactArgs(2),
	}
	admission.add(c)
	c.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "after which what is not known stays unknown")
	c.Flags().Uint64Var(&seed, "seed", 0, "of the search for counterexamples")
	c.Flags().StringVar(&format, "format", "text", "of the result: text, json, or vnncomp as the competition's tools write it")
	c.RunE = func(c *cobra.Command, args []string) error {
		if format != "vnncomp" && checkFormat(format) != nil {
			return usagef("--format %s: use text, json or vnncomp", format)
		}
		if timeout <= 0 {
			return usagef("--timeout %s: give some time, such as 2m", timeout)
		}
		ctx, cancel := context.WithTimeout(c.Context(), timeout)
		defer cancel()
		property, err := vnnlib.Open(args[1])
		if err != nil {
			return err
		}
		m, err := admission.open(c.Context(), u, args[0])
		if err != nil {
			return err
		}
		result, err := verify.Prove(ctx, m, property, verify.Options{Seed: seed})
		if err != nil {
			return err
		}
		return u.proved(result, format)
	}
	return c
}

// proved prints a verdict.
func (u *ui) proved(r *verify.Result, format string) error {
	switch format {
	case "json":
		if err := u.json(provedReport{r, verify.Assumption}); err != nil {
			return err
		}
	case "vnncomp":
		if err := writeCompetition(u.streams.Out, r); err != nil {
			return err
		}
	default:
		u.provedText(r)
	}
	switch r.Verdict {
	case verify.Holds:
		return nil
	case verify.Violated:
		return errFailed
	}
	return errUndecided
}

// provedReport is the result for programs.
type provedReport struct {
	*verify.Result
	Assumption string `json:"assumption"`
}

func (u *ui) provedText(r *verify.Result) {
	switch r.Verdict {
	case verify.Holds:
		u.row("property", "holds: %d boxes of inputs were bounded, and no output in them is unsafe", r.Boxes)
		u.row("assumption", "%s", verify.Assumption)
	case verify.Violated:
		u.row("property", "violated: of this input float64 and ONNX Runtime give unsafe outputs")
		for i, v := range r.Counterexample.X {
			u.row(fmt.Sprintf("X_%d", i), "%v", v)
		}
		for i, v := range r.Counterexample.Y {
			u.row(fmt.Sprintf("Y_%d", i), "%v", v)
		}
	default:
		u.row("property", "unknown: proved of %.2f %% of the inputs in %d boxes, with %d left", 100*r.Proved, r.Boxes, r.Left)
		if r.Narrow > 0 {
			u.row("narrow", "%d boxes cannot be divided any further in float32: there the outputs are too near to the limit", r.Narrow)
		}
	}
}

// writeCompetition writes a result as the VNN-COMP's tools do: unsat where no input is
// unsafe, or sat with one.
func writeCompetition(w io.Writer, r *verify.Result) error {
	if r.Verdict != verify.Violated {
		_, err := fmt.Fprintln(w, map[verify.Verdict]string{verify.Holds: "unsat", verify.Unknown: "unknown"}[r.Verdict])
		return err
	}
	text := "sat\n("
	for i, v := range r.Counterexample.X {
		text += fmt.Sprintf("(X_%d %s)\n", i, strconv.FormatFloat(v, 'g', -1, 64))
	}
	for i, v := range r.Counterexample.Y {
		text += fmt.Sprintf("(Y_%d %s)\n", i, strconv.FormatFloat(v, 'g', -1, 64))
	}
	_, err := fmt.Fprintln(w, text[:len(text)-1]+")")
	return err
}
