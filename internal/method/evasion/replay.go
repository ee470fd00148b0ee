package evasion

import (
	"context"

	"assay"
	"assay/internal/method"
)

// Replay asks about rows that were found elsewhere, such as on another model: what of them holds here (transfer; Papernot et al.
// 2016, arXiv:1605.07277).
type Replay struct{ Rows [][]float32 }

// Describe tells what the method is.
func (Replay) Describe() method.Description {
	return method.Description{Name: "replay", Access: assay.Labels, Undirected: true, Reference: "Papernot et al. 2016 (arXiv:1605.07277)"}
}

// Perturb asks about the rows, one after the other, until one is adversarial.
func (m Replay) Perturb(ctx context.Context, u method.Unit) error {
	for _, row := range m.Rows {
		if _, err := u.Labels(ctx, row); err != nil || u.Found() {
			return err
		}
	}
	return nil
}
