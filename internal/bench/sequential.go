package main

import (
	"context"
	"fmt"

	"assay/internal/stat"
)

// sequential is how many observations a sequential plan takes on average where the true rate is half
// of the limit, over those of the smallest fixed plan with the same error rates: 5 % at the limit, and at half
// the limit the sequential plan's own. Both are computed exactly, nothing is drawn.
//
// The second figure is against the fixed plan with a power of only 95 %. It cannot be 0.50: any test with these error
// rates takes at least 53 to 55 % (stat.WaldBound), and none that assumes no rate takes as little.
func sequential(limit float64) benchmark {
	const confidence = 0.95
	name := fmt.Sprintf("sequential-n-over-fixed/%v", limit)
	return benchmark{name, func(context.Context) ([]figure, error) {
		fixed, _, err := stat.FixedN(limit, confidence, 0.95, limit/2, true)
		if err != nil {
			return nil, err
		}
		plan, err := stat.NewSequential(limit, confidence, true, 4*fixed)
		if err != nil {
			return nil, err
		}
		at, err := plan.Characteristics(limit / 2)
		if err != nil {
			return nil, err
		}
		same, _, err := stat.FixedN(limit, confidence, at.Good, limit/2, true)
		if err != nil {
			return nil, err
		}
		return []figure{
			{name, at.MeanN / float64(same), "max", 0.50},
			{name + "-power-95", at.MeanN / float64(fixed), "max", 0.66},
		}, nil
	}}
}
