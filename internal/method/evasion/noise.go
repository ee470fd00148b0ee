package evasion

import (
	"context"

	"assay"
	"assay/internal/method"
)

// Noise draws points of the space at random and asks about them, Draws of them (at least
// 1) unless one is adversarial before. It learns nothing from the answers: it is what
// every other method must be better than (Carlini et al. 2019, arXiv:1902.06705,
// section 4.3, "try brute-force (random) search attacks").
type Noise struct{ Draws int }

// together is how many rows of a width a unit asks about at once: few enough for the
// memory of many units side by side.
func together(width int) int { return min(max(1<<18/width, 1), 50) }

// Describe tells what the method is.
func (m Noise) Describe() method.Description {
	return method.Description{
		Name: "noise", Access: assay.Labels, Undirected: true,
		Settings:  []method.Setting{{Name: "draws", Value: float64(m.Draws)}},
		Reference: "uniform draws; Carlini et al. 2019 (arXiv:1902.06705), section 4.3",
	}
}

// Perturb draws until it has found an adversarial example or made all draws.
func (m Noise) Perturb(ctx context.Context, u method.Unit) error {
	width := len(u.Clean())
	for left := m.Draws; left > 0 && !u.Found(); left -= together(width) {
		rows := make([]float32, min(left, together(width))*width)
		for i := 0; i < len(rows); i += width {
			u.Space().Random(u.Rand(), rows[i:i+width])
		}
		if _, err := u.Labels(ctx, rows); err != nil {
			return err
		}
	}
	return nil
}
