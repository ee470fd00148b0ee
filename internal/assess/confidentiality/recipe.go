package confidentiality

import (
	"cmp"
	"fmt"

	"assay/internal/method/shadow"
	"assay/internal/system"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// shadows is how many models a recipe is used for.
func shadows(r *system.Recipe) int { return cmp.Or(r.Shadows, 16) }

// newTrainer trains models on parts of a population as a recipe says. What it leaves out is as assay train has it.
func newTrainer(r *system.Recipe, d *train.Data, classes int) (*shadow.Builtin, error) {
	own, build := *d, (func(seed uint64) *onnx.Model)(nil)
	features := len(d.X) / d.Len()
	widths := r.Widths
	switch arch := cmp.Or(r.Arch, system.MLP); {
	case arch == system.CNN && len(d.Shape) != 3:
		return nil, fmt.Errorf("%s is for images, and the records have the shape %v: give their shape (channels, height, width) in a schema", arch, d.Shape)
	case arch == system.CNN:
		if widths == nil {
			widths = []int{32, 32, 64, 64}
		}
		build = func(seed uint64) *onnx.Model {
			return network.CNN(d.Shape[0], d.Shape[1], d.Shape[2], widths, classes, seed)
		}
	default: // which takes the values in a row, of images too
		if widths == nil && arch == system.MLP {
			widths = []int{64, 32}
		}
		own.Shape = []int{features}
		build = func(seed uint64) *onnx.Model { return network.MLP(features, widths, classes, seed) }
	}
	decay := 0.01
	if r.Decay != nil {
		decay = *r.Decay
	}
	return &shadow.Builtin{
		Data:    &own,
		Network: func(seed uint64, d *train.Data) (*onnx.Model, error) { return train.Standardize(build(seed), d) },
		Options: train.Options{
			Epochs: cmp.Or(r.Epochs, 30), Batch: cmp.Or(r.Batch, 64), Schedule: train.Schedule{Kind: train.OneCycle},
			Optimizer: train.Optimizer{Method: train.AdamW, Rate: cmp.Or(r.Rate, 0.001), Decay: decay},
		},
	}, nil
}
