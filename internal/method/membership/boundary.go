package membership

import (
	"context"
	"errors"
	"fmt"
	"math"

	"assay"
	"assay/internal/method"
	"assay/internal/method/evasion"
)

// Boundary gives the attack by labels alone that takes a record far from the boundary of its class as a member (Choquette-Choo et al. 2021,
// section 3.2): a training moves the boundary away from what it sees. A record that the model gets wrong has a distance of 0.
// The domain is that of the model's rows, and queries are those for each record.
//
// Departure: the distance is found by RayS, in Linf by the domain's scale, where the paper has HopSkipJump's in L2. RayS does not end at the
// first adversarial example, and needs fewer queries (Chen and Gu 2020, section 4).
func Boundary(domain *method.Domain, queries int) Attack {
	return Attack{Name: "label-boundary", Reference: "Choquette-Choo et al. 2021 (arXiv:2007.14321), section 3.2",
		Score: func(ctx context.Context, v *View) ([]float64, error) { return boundary(ctx, v, domain, queries) }}
}

// unreached is the part of the scale within which an example ends the search: none does.
const unreached = 1e-9

func boundary(ctx context.Context, v *View, domain *method.Domain, queries int) ([]float64, error) {
	if domain == nil || queries < 1 {
		return nil, errors.New("the distance to the boundary takes a domain and queries, at least 1 for each record")
	}
	free := *domain
	free.Fixed = nil // whoever asks about a record can change all of it
	n := v.Len()
	width := len(v.X) / n
	inputs := make([]method.Input, n)
	for i := range inputs {
		row, class := v.X[i*width:(i+1)*width], int(v.Classes[i])
		if v.Victim.Row != nil {
			row = v.Victim.Row(row)
		}
		if v.Victim.Class != nil {
			class = v.Victim.Class(class)
		}
		inputs[i] = method.Input{Index: int64(i), X: row, Label: class}
	}
	target := method.Target{Model: v.Victim.Model, Confirm: v.Victim.Model, Domain: &free}
	attacker := method.Attacker{Access: assay.Labels, Norm: method.Linf, Eps: unreached, Groups: len(free.Groups)}
	results, err := method.Run(ctx, target, attacker, []method.Method{evasion.RayS{Queries: queries}}, inputs, method.Options{Seed: v.Seed})
	if err != nil {
		return nil, fmt.Errorf("the distance to the boundary: %w", err)
	}
	return each(v, func(i int) float64 {
		r := results[i]
		switch {
		case !r.Correct:
			return 0
		case len(r.Methods) == 0 || r.Methods[0].Nearest == 0:
			return math.MaxFloat64 // no other class was met anywhere
		}
		return r.Methods[0].Nearest
	}), nil
}
