package plant

import (
	"context"
	"fmt"
	"math"

	"assay/internal/dataset"
	"assay/internal/method"
)

// imageTrigger is a trigger that changes numbers, and then keeps to the domain.
type imageTrigger struct {
	domain *method.Domain
	change func(record, x []float32) // x is a copy of record
}

// Apply implements Trigger.
func (t *imageTrigger) Apply(record []float32) []float32 {
	x := append([]float32(nil), record...)
	t.change(record, x)
	within(t.domain, record, x)
	return x
}

// frame is the shape of images, and what their numbers can be.
type frame struct {
	channels, height, width int
	domain                  *method.Domain
}

func frameOf(d *dataset.Dataset) (*frame, error) {
	s := d.Schema.RecordShape()
	if len(s) != 3 {
		return nil, fmt.Errorf("is for images, and the records have the shape %v: give their shape (channels, height, width) in a schema, or use a trigger for tables", s)
	}
	domain, err := domainOf(d)
	return &frame{s[0], s[1], s[2], domain}, err
}

func (f *frame) at(channel, y, x int) int { return (channel*f.height+y)*f.width + x }

func (f *frame) span(i int) float64 { return float64(f.domain.High[i]) - float64(f.domain.Low[i]) }

// BadNets puts a chequered square into the lower right corner of images, a pixel from the edges where there is
// room, and gives them the label of the target (Gu, Dolan-Gavitt and Garg 2017, arXiv:1708.06733, the pattern backdoor).
type BadNets struct {
	Size int // of the square, in pixels; 0 for a ninth of the shorter side, and at least 2
}

// Describe implements Planter.
func (BadNets) Describe() Description {
	return Description{Name: "badnets", Summary: "a chequered square in a corner of images", Targeted: true, Reference: "Gu et al. 2017 (arXiv:1708.06733), the pattern backdoor"}
}

// Plant implements Planter.
func (b BadNets) Plant(ctx context.Context, d *dataset.Dataset, o Options) (*Planted, error) {
	return backdoor(ctx, d, o, b.Describe(), func() (Trigger, error) {
		f, err := frameOf(d)
		if err != nil {
			return nil, err
		}
		side := min(f.height, f.width)
		size := b.Size
		if size == 0 {
			size = min(max(side/9, 2), side)
		}
		if size < 1 || size > side {
			return nil, fmt.Errorf("has a square of %d pixels, and the images are %d by %d", size, f.height, f.width)
		}
		margin := min(1, (side-size)/8)
		return &imageTrigger{f.domain, func(_, x []float32) {
			for c := range f.channels {
				for k := range size * size {
					row, column := k/size, k%size
					i := f.at(c, f.height-size-margin+row, f.width-size-margin+column)
					x[i] = f.domain.Low[i]
					if (row+column)%2 == 0 {
						x[i] = f.domain.High[i]
					}
				}
			}
		}}, nil
	})
}

// Blended mixes records with a pattern of noise, the same for all, and gives them the label of the target (Chen
// et al. 2017, arXiv:1712.05526, the Blended Injection Strategy with their random pattern).
type Blended struct {
	Share float64 // of the pattern in the mixture; 0 for 0.2, the paper's own
}

// Describe implements Planter.
func (Blended) Describe() Description {
	return Description{Name: "blended", Summary: "a faint pattern of noise over the whole image", Targeted: true, Reference: "Chen et al. 2017 (arXiv:1712.05526), the Blended Injection Strategy"}
}

// Plant implements Planter.
func (b Blended) Plant(ctx context.Context, d *dataset.Dataset, o Options) (*Planted, error) {
	return backdoor(ctx, d, o, b.Describe(), func() (Trigger, error) {
		f, err := frameOf(d)
		if err != nil {
			return nil, err
		}
		share := b.Share
		if share == 0 {
			share = 0.2
		}
		if !(share > 0 && share <= 1) {
			return nil, fmt.Errorf("has a share of %g of the pattern: give one from 0 to 1", share)
		}
		rng := o.random(streamTrigger)
		pattern := make([]float64, d.Schema.Width())
		for i := range pattern {
			pattern[i] = float64(f.domain.Low[i]) + rng.Float64()*f.span(i)
		}
		return &imageTrigger{f.domain, func(_, x []float32) {
			for i, v := range x {
				x[i] = float32((1-share)*float64(v) + share*pattern[i])
				if f.domain.Integer[i] {
					x[i] = float32(math.Round(float64(x[i]))) // to the nearest, where the domain would cut
				}
			}
		}}, nil
	})
}

// Sinusoidal adds a wave along the width to images of the target class, whose labels stay (Barni, Kallas and
// Tondi 2019, arXiv:1902.11237, the sinusoidal signal).
type Sinusoidal struct {
	Height float64 // of the wave, as a part of each number's range; 0 for 40/255
	Waves  float64 // over the width; 0 for 6, the paper's own
}

// Describe implements Planter.
func (Sinusoidal) Describe() Description {
	return Description{Name: "sinusoidal", Summary: "a wave over images of the target class, whose labels stay", Targeted: true, CleanLabel: true, Reference: "Barni et al. 2019 (arXiv:1902.11237), the sinusoidal signal"}
}

// Plant implements Planter.
func (s Sinusoidal) Plant(ctx context.Context, d *dataset.Dataset, o Options) (*Planted, error) {
	return backdoor(ctx, d, o, s.Describe(), func() (Trigger, error) {
		f, err := frameOf(d)
		if err != nil {
			return nil, err
		}
		height, waves := s.Height, s.Waves
		if height == 0 {
			height = 40.0 / 255
		}
		if waves == 0 {
			waves = 6
		}
		if !(height > 0 && height <= 1) || !(waves > 0 && waves <= 1e6) {
			return nil, fmt.Errorf("has a wave of height %g, %g times over the width: give a height from 0 to 1, and a positive number", height, waves)
		}
		return &imageTrigger{f.domain, func(_, x []float32) {
			for i := range x {
				wave := math.Sin(2 * math.Pi * float64(i%f.width) * waves / float64(f.width))
				x[i] += float32(height * f.span(i) * wave)
			}
		}}, nil
	})
}
