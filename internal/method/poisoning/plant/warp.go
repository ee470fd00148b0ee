package plant

import (
	"context"
	"fmt"
	"math"

	"assay/internal/dataset"
)

// Warped bends images by a smooth field, the same for all, and gives them the label of the target (WaNet: Nguyen and
// Tran 2021, arXiv:2102.10369, section 3). Their noise mode, which trains on other warps under the
// true labels and takes control of the training, is left out: here only data are poisoned.
type Warped struct {
	Strength float64 // in pixels, the field's mean in each direction; 0 for a twentieth of the shorter side, and at least 0.75
	Grid     int     // points along each side between which the field is smooth; 0 for 4, the paper's own
}

// Describe implements Planter.
func (Warped) Describe() Description {
	return Description{Name: "warped", Summary: "images bent a little, all in the same way", Targeted: true, Reference: "Nguyen and Tran 2021 (arXiv:2102.10369), section 3"}
}

// Plant implements Planter.
func (w Warped) Plant(ctx context.Context, d *dataset.Dataset, o Options) (*Planted, error) {
	return backdoor(ctx, d, o, w.Describe(), func() (Trigger, error) {
		f, err := frameOf(d)
		if err != nil {
			return nil, err
		}
		strength, grid := w.Strength, w.Grid
		if strength == 0 {
			strength = max(float64(min(f.height, f.width))/20, 0.75)
		}
		if grid == 0 {
			grid = 4
		}
		if !(strength > 0 && strength <= float64(f.height+f.width)) || grid < 2 || grid > 1000 {
			return nil, fmt.Errorf("has a field of strength %g on %d points a side: give a positive strength below the image's size, and 2 points or more", strength, grid)
		}
		dy, dx := f.field(strength, grid, o), f.field(strength, grid, Options{Seed: o.Seed ^ 1<<63})
		return &imageTrigger{f.domain, func(record, x []float32) { f.bend(record, x, dy, dx) }}, nil
	})
}

// field gives offsets of each place: uniform draws on a grid, of mean size strength, with bicubic interpolation between.
func (f *frame) field(strength float64, grid int, o Options) []float64 {
	rng := o.random(streamTrigger)
	points, mean := make([]float64, grid*grid), 0.0
	for i := range points {
		points[i] = 2*rng.Float64() - 1
		mean += math.Abs(points[i]) / float64(len(points))
	}
	for i := range points {
		points[i] *= strength / mean
	}
	out := make([]float64, f.height*f.width)
	for i := range out {
		// The grid's outer points lie on the image's outer pixels.
		y := float64(i/f.width) * float64(grid-1) / float64(max(f.height-1, 1))
		x := float64(i%f.width) * float64(grid-1) / float64(max(f.width-1, 1))
		out[i] = bicubic(points, grid, y, x)
	}
	return out
}

// bicubic interpolates on a square grid whose edges repeat (Keys 1981, with a = -3/4 as in PyTorch, which WaNet uses).
func bicubic(points []float64, side int, y, x float64) float64 {
	y0, x0 := math.Floor(y), math.Floor(x)
	sum := 0.0
	for j := -1; j <= 2; j++ {
		for i := -1; i <= 2; i++ {
			row := min(max(int(y0)+j, 0), side-1)
			column := min(max(int(x0)+i, 0), side-1)
			sum += points[row*side+column] * cubic(y-y0-float64(j)) * cubic(x-x0-float64(i))
		}
	}
	return sum
}

func cubic(t float64) float64 {
	const a = -0.75
	t = math.Abs(t)
	switch {
	case t <= 1:
		return ((a+2)*t-(a+3))*t*t + 1
	case t < 2:
		return ((t-5)*t+8)*t*a - 4*a
	}
	return 0
}

// bend takes each place from where the field points, between pixels by bilinear interpolation.
func (f *frame) bend(record, x []float32, dy, dx []float64) {
	for c := range f.channels {
		for k := range dy {
			fromY := min(max(float64(k/f.width)+dy[k], 0), float64(f.height-1))
			fromX := min(max(float64(k%f.width)+dx[k], 0), float64(f.width-1))
			y0, x0 := int(fromY), int(fromX)
			y1, x1 := min(y0+1, f.height-1), min(x0+1, f.width-1)
			v, u := fromY-float64(y0), fromX-float64(x0)
			pixel := func(y, x int) float64 { return float64(record[f.at(c, y, x)]) }
			value := (1-v)*((1-u)*pixel(y0, x0)+u*pixel(y0, x1)) + v*((1-u)*pixel(y1, x0)+u*pixel(y1, x1))
			if i := f.at(c, 0, 0) + k; f.domain.Integer[i] {
				x[i] = float32(math.Round(value))
			} else {
				x[i] = float32(value)
			}
		}
	}
}
