package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"assay/internal/method"
	"assay/internal/solution/advtrain"
	"assay/internal/train"
)

// hardenFlags say against which attacker a model is hardened.
type hardenFlags struct {
	by, norm, unit string
	eps            float64
	groups, steps  int
}

func (f *hardenFlags) add(c *cobra.Command) {
	s := c.Flags()
	s.StringVar(&f.by, "harden", "", "train on what an attack makes of the examples: pgd (adversarial training)")
	s.StringVar(&f.norm, "norm", string(method.Linf), "of the attack's perturbations: Linf or L2")
	s.Float64Var(&f.eps, "eps", 0, "the attack's largest perturbation")
	s.StringVar(&f.unit, "unit", string(method.Raw), "of eps: raw (the data's own), range or std (of each feature)")
	s.IntVar(&f.groups, "groups", 0, "how many categorical features the attack may change, beside eps")
	s.IntVar(&f.steps, "harden-steps", 7, "of the attack on each batch")
}

func (f *hardenFlags) check() error {
	switch {
	case f.by == "" && f.eps != 0:
		return usagef("--eps is for --harden pgd")
	case f.by != "" && f.by != "pgd":
		return usagef("--harden %s: use pgd", f.by)
	case f.by != "" && f.eps == 0:
		return usagef("--harden pgd needs --eps, the largest perturbation to withstand")
	}
	return nil
}

// prepare makes the training one against the attacker.
func (f *hardenFlags) prepare(s *split, o *train.Options) error {
	if f.by == "" {
		return nil
	}
	domain, err := method.DomainOf(s.schema, s.statistics, method.Scaling(f.unit))
	if err != nil {
		return fmt.Errorf("--harden: %w", err)
	}
	a := &advtrain.Attacker{Domain: domain, Norm: method.Norm(f.norm), Eps: f.eps, Groups: f.groups, Steps: f.steps}
	if err := a.Validate(); err != nil {
		return err
	}
	a.Apply(o)
	return nil
}

func (f *hardenFlags) String() string {
	if f.by == "" {
		return ""
	}
	return fmt.Sprintf("against %s, %s up to %g (%s), %d steps", f.by, f.norm, f.eps, f.unit, f.steps)
}
