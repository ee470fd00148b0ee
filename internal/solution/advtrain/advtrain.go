// Package advtrain is adversarial training: a solution that keeps adversarial inputs from
// succeeding by training a model on the inputs that an attacker would make of its examples.
//
// Madry et al. (2018, arXiv:1706.06083, equation 2.1) look for the weights with the least
// loss under the worst perturbation of each example. Their section 2.1 finds that
// perturbation by projected gradient descent at the weights of each step, and trains on
// it alone, which Danskin's theorem justifies (their appendix A). Departures:
//
//   - The attacker of the training is held to a [method.Domain]: limits, fixed and whole
//     numbers, groups and relations, as the attacker of the test is.
//   - The gradients that it climbs are of the model as in use: batch normalisation by its
//     running statistics, no dropout. Madry et al. attack the network as it trains.
//   - Steps have the size 2.5·Eps/Steps, as in their section 5, for every data set.
package advtrain

import (
	"context"
	"errors"
	"fmt"

	"assay/internal/method"
	"assay/internal/train"
)

// Attacker is the attacker against whom a model is hardened.
type Attacker struct {
	Domain *method.Domain // of the examples, in their order
	Norm   method.Norm
	Eps    float64 // the largest perturbation, in the domain's scale; above 0
	Groups int     // how many one-hot groups may change
	Steps  int     // of each search: 7 are usual; at least 1
}

// Validate reports what an attacker cannot be.
func (a *Attacker) Validate() error {
	switch {
	case !(a.Eps > 0 && a.Eps <= 1e9):
		return fmt.Errorf("hardening against perturbations of up to %g: eps must be above 0, and at most 1e9", a.Eps)
	case a.Steps < 1 || a.Steps > 10000:
		return fmt.Errorf("hardening by %d steps of PGD: give 1 to 10000", a.Steps)
	case a.Norm != method.Linf && a.Norm != method.L2:
		return fmt.Errorf("hardening in the norm %q: use one of %q", a.Norm, []method.Norm{method.Linf, method.L2})
	case a.Groups < 0:
		return errors.New("fewer than 0 groups cannot change")
	}
	return a.Domain.Validate()
}

// Perturb replaces each example by what PGD makes of it, from a start drawn at random from
// where the attacker may take it. It is for [train.Options].Perturb.
func (a *Attacker) Perturb(ctx context.Context, b *train.Batch) error {
	width := len(a.Domain.Low)
	if len(b.X) != b.Len()*width {
		return fmt.Errorf("the examples have %d numbers each, and the attacker's domain has %d", len(b.X)/b.Len(), width)
	}
	spaces := make([]method.Space, b.Len())
	clean := append([]float32(nil), b.X...)
	for i := range spaces {
		spaces[i] = method.Space{Domain: a.Domain, Norm: a.Norm, Eps: a.Eps, Groups: a.Groups, Clean: clean[i*width : (i+1)*width]}
		spaces[i].Random(b.Rand(i), b.X[i*width:(i+1)*width])
	}
	size := 2.5 * a.Eps / float64(a.Steps)
	for range a.Steps {
		slope, err := b.InputGradient(ctx)
		if err != nil {
			return err
		}
		for k, v := range slope {
			if v-v != 0 {
				slope[k] = 0 // not finite: it shows no way up
			}
		}
		for i := range spaces {
			spaces[i].Step(b.X[i*width:(i+1)*width], slope[i*width:(i+1)*width], size)
		}
	}
	return nil
}

// Apply makes a training one against the attacker.
func (a *Attacker) Apply(o *train.Options) {
	o.Perturb, o.Recipe = a.Perturb, "adversarial training by PGD: "+a.recipe()
}

// recipe names the attacker with everything that a training against it depends on.
func (a *Attacker) recipe() string {
	return fmt.Sprintf("%s, eps %g, %d steps, %d groups, domain %v", a.Norm, a.Eps, a.Steps, a.Groups, *a.Domain)
}
