package main

import (
	"context"

	"github.com/spf13/cobra"

	"assay/internal/method/inversion"
)

// limitFlags are what audits have in common that hold a rate against a limit.
type limitFlags struct {
	confidence float64
	limit      float64
	limited    bool
	format     string
}

// add declares the flags; most says of what the limit is.
func (f *limitFlags) add(c *cobra.Command, most string) {
	s := c.Flags()
	s.Float64Var(&f.confidence, "confidence", 0.95, "of the bounds, for all attacks together")
	s.Float64Var(&f.limit, "limit", 0, most)
	s.StringVar(&f.format, "format", "text", "of the result: text or json")
}

// before reads the flags before an audit is made.
func (f *limitFlags) before(u *ui, audit func(context.Context, *ui) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, _ []string) error {
		if err := f.read(c); err != nil {
			return err
		}
		return audit(c.Context(), u)
	}
}

// read notes whether there is a limit, and refuses what no model or data could change.
func (f *limitFlags) read(c *cobra.Command) error {
	f.limited = c.Flags().Changed("limit")
	switch {
	case f.limited && !(f.limit >= 0 && f.limit <= 1):
		return usagef("--limit %g: give a part from 0 to 1", f.limit)
	case !(f.confidence > 0 && f.confidence < 1):
		return usagef("--confidence %g: give a part above 0 and below 1", f.confidence)
	}
	return checkFormat(f.format)
}

// verdict is a decision by a limit; of none where there is no limit.
type verdict struct {
	Limit    *float64 `json:"limit,omitempty"`
	Decision string   `json:"decision,omitempty"` // adequate, inadequate or undecided
}

// decide holds a rate's bounds against the limit.
func (f *limitFlags) decide(r inversion.Rate) verdict {
	switch {
	case !f.limited:
		return verdict{}
	case r.Upper <= f.limit:
		return verdict{&f.limit, "adequate"}
	case r.Lower > f.limit:
		return verdict{&f.limit, "inadequate"}
	}
	return verdict{&f.limit, "undecided"}
}

// tell gives a result as JSON or as text, and the exit code that a decision has.
func (f *limitFlags) tell(u *ui, result any, v verdict, text func()) error {
	if f.format == "json" {
		if err := u.json(result); err != nil {
			return err
		}
	} else {
		text()
	}
	return map[string]error{"inadequate": errFailed, "undecided": errUndecided}[v.Decision]
}

// verdict prints a decision, where there is one.
func (u *ui) verdict(v verdict) {
	if v.Limit != nil {
		u.row("decision", "%s, by a limit of %s", v.Decision, percent(*v.Limit))
	}
}
