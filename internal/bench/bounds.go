package main

import (
	"context"
	"fmt"

	"assay/onnx"
	"assay/onnx/bounds"
)

// rowsOfBounds is how many boxes a thread bounds at once: linear bounds take much memory.
const rowsOfBounds = 4

// bounding is the time that bounds of a batch's nine margins take over that of the model
// alone: by intervals, and by one pass of linear bounds for each of its layers.
func bounding(name string, layers float64, build func() *onnx.Model) benchmark {
	ibp, crown := "ibp-over-forward/"+name, "crown-over-layers-forward/"+name
	return benchmark{"bounds/" + name, func(ctx context.Context) ([]figure, error) {
		m := build()
		forward, err := bindRandom(ctx, m, batch)
		if err != nil {
			return nil, err
		}
		defer forward.close()
		var figures []figure
		for _, f := range []struct {
			name          string
			method        bounds.Method
			limit, passes float64
			bind          func(ctx context.Context, m *onnx.Model) (*bound, error)
		}{
			{ibp, bounds.IBP, 2.5, 1, func(ctx context.Context, m *onnx.Model) (*bound, error) { return bindRandom(ctx, m, batch) }},
			{crown, bounds.CROWNIBP, 3, layers, func(_ context.Context, m *onnx.Model) (*bound, error) { return bind(m, batch, rowsOfBounds) }},
		} {
			bounded, err := bounds.New(m, bounds.Options{Method: f.method, Rows: 9})
			if err != nil {
				return nil, err
			}
			run, err := f.bind(ctx, bounded)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
			a, b, err := inTurn(func() error { return forward.run(ctx) }, func() error { return run.run(ctx) })
			run.close()
			if err != nil {
				return nil, err
			}
			figures = append(figures, figure{f.name, b.Seconds() / a.Seconds() / f.passes, "max", f.limit})
		}
		return figures, nil
	}}
}
