package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"assay/internal/builtin"
	"assay/internal/certificate"
	"assay/internal/solution/refusal"
)

// hardenCommand has a command of its own for each solution.
func hardenCommand(u *ui) *cobra.Command {
	parts := map[string]func(*ui) *cobra.Command{
		"pgd": pgdCommand, "trades": tradesCommand, "smoothing": smoothingCommand,
		"squeezing": squeezingCommand, "knn": knnCommand, "mahalanobis": mahalanobisCommand,
		"rejection": rejectionCommand, "randomisation": randomisationCommand, "ensemble": ensembleCommand,
		"dpa": dpaCommand, "gce": gceCommand, "sisa": sisaCommand, "labels": labelsCommand, "rounding": roundingCommand, "topk": topkCommand, "noise": noiseCommand,
	}
	c := &cobra.Command{
		Use:   "harden SOLUTION",
		Short: "Make a model that withstands attacks, or notices them",
		Long: `Make a model that withstands attacks, or notices them, and measure what that costs.

What is written is one ONNX model, with what its graph cannot say in its metadata, so that
whatever attacks it attacks the whole of it. Whether it is good enough is another
question, which assay assess answers: some solutions are known to be weak.

` + solutionNames(),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usagef("there is no solution %q: use one of %s", args[0], strings.Join(solutionList(), ", "))
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	for _, s := range builtin.Solutions() {
		one := parts[s.Name](u)
		one.Short = s.Summary
		c.AddCommand(one)
	}
	return c
}

func solutionList() []string {
	var names []string
	for _, s := range builtin.Solutions() {
		names = append(names, s.Name)
	}
	return names
}

// solutionNames lists the solutions with their cells and references.
func solutionNames() string {
	text := ""
	for _, s := range builtin.Solutions() {
		var cells []string
		for _, c := range s.Cells {
			cells = append(cells, c.String())
		}
		text += fmt.Sprintf("  %-14s %s\n                 (%s)\n", s.Name, strings.Join(cells, ", "), s.Reference)
	}
	return text
}

// hardening is what was done to a model, and what it costs.
type hardening struct {
	Solution  string `json:"solution"`
	Reference string `json:"reference"`
	Hardened  string `json:"hardened"` // how

	Threshold *refusal.Threshold  `json:"threshold,omitempty"` // above which it refuses
	Cost      *cost               `json:"cost,omitempty"`      // on records to test on
	Certified []certificate.Point `json:"certified,omitempty"`

	Poisoned   []certificate.BudgetPoint `json:"certified_poisoned,omitempty"` // by poisoned records
	Assumption string                    `json:"assumption,omitempty"`         // that they hold under
}

func newHardening(solution, how string) *hardening {
	all := builtin.Solutions()
	i := slices.IndexFunc(all, func(s builtin.Solution) bool { return s.Name == solution })
	return &hardening{Solution: solution, Reference: all[i].Reference, Hardened: how}
}

// hardened prints what a solution gave.
func (u *ui) hardened(h *hardening) {
	if t := h.Threshold; t != nil {
		u.row("threshold", "%.4g, above which %d of %d records are refused; of others like them at most %s at %s confidence",
			t.Value, t.Refused, t.N, percent(t.Upper), percent(t.Confidence))
	}
	if c := h.Cost; c != nil {
		u.row("clean", "accuracy %s, between %s and %s at 95 %% confidence, on %d records", percent(c.Accuracy), percent(c.Lower), percent(c.Upper), c.N)
		if c.Refuses {
			u.row("refused", "%d of %d", c.Refused, c.N)
		}
		if c.Without != nil {
			u.row("cost", "%.2f points of clean accuracy (%s without), at most %.2f at 95 %% confidence", 100*(*c.Without-c.Accuracy), percent(*c.Without), 100*c.LostUpper)
		}
	}
	for _, p := range h.Certified {
		u.row("certified", "accuracy %s at L2 radius %.4g, between %s and %s at 95 %% confidence", percent(p.Accuracy), p.Radius, percent(p.Interval.Lower), percent(p.Interval.Upper))
	}
	for _, p := range h.Poisoned {
		u.row("certified", "accuracy %s at %d poisoned records, between %s and %s at 95 %% confidence", percent(p.Accuracy), p.Budget, percent(p.Interval.Lower), percent(p.Interval.Upper))
	}
	if h.Assumption != "" {
		u.row("assuming", "%s", h.Assumption)
	}
	u.row("reference", "%s", h.Reference)
}
