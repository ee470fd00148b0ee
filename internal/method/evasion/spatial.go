package evasion

import (
	"context"
	"errors"
	"math"

	"assay"
	"assay/internal/method"
)

// RotationTranslation is the family of Engstrom et al. (2019, arXiv:1712.02779, section 2): an image is turned about its middle
// and then moved. Values between pixels are interpolated between the four around, and what comes from outside the image is the
// least that its numbers can be, black. Size 1 is the paper's budget: 30° either way, and a tenth of the
// image in each direction (3 of 28 pixels for MNIST and 3 of 32 for CIFAR-10 there, 24 of 224 for ImageNet).
type RotationTranslation struct{}

const (
	mostTurned = 30.0 // degrees
	mostMoved  = 0.1  // of the height and the width
)

// Name is that of the family.
func (RotationTranslation) Name() string { return "rotation-translation" }

// Parameters are the turn in degrees, and the way down and to the right in parts of height and width; up to three times the paper's.
func (RotationTranslation) Parameters() []method.Parameter {
	return []method.Parameter{
		{Name: "turn", Low: -3 * mostTurned, High: 3 * mostTurned},
		{Name: "way down", Low: -3 * mostMoved, High: 3 * mostMoved}, {Name: "way right", Low: -3 * mostMoved, High: 3 * mostMoved},
	}
}

// Validate refuses what is no image.
func (RotationTranslation) Validate(d *method.Domain) error {
	if d.Image == nil {
		return errors.New("only images can be turned and moved, and the model takes none")
	}
	return nil
}

// Size is the largest of the three as a part of the paper's budget.
func (RotationTranslation) Size(p []float64) float64 {
	return max(math.Abs(p[0])/mostTurned, math.Abs(p[1])/mostMoved, math.Abs(p[2])/mostMoved)
}

// Transform turns and moves an image.
func (RotationTranslation) Transform(d *method.Domain, clean []float32, p []float64) []float32 {
	g, x := d.Image, make([]float32, len(clean))
	sin, cos := math.Sincos(p[0] * math.Pi / 180)
	if p[0] == 0 {
		sin, cos = 0, 1
	}
	middleY, middleX := float64(g.Height-1)/2, float64(g.Width-1)/2
	for py := range g.Height {
		for px := range g.Width {
			// Where this pixel comes from: moved back, and then turned back.
			dy := float64(py) - middleY - p[1]*float64(g.Height)
			dx := float64(px) - middleX - p[2]*float64(g.Width)
			fromY, fromX := middleY+cos*dy+sin*dx, middleX-sin*dy+cos*dx
			for c := range g.Channels {
				x[g.At(c, py, px)] = between(d, clean, c, fromY, fromX)
			}
		}
	}
	return x
}

// between interpolates a channel between the four pixels around a place.
func between(d *method.Domain, x []float32, c int, y, xx float64) float32 {
	g := d.Image
	top, left := math.Floor(y), math.Floor(xx)
	partY, partX := y-top, xx-left
	sum := 0.0
	for _, corner := range [4]struct{ y, x, weight float64 }{
		{top, left, (1 - partY) * (1 - partX)}, {top, left + 1, (1 - partY) * partX},
		{top + 1, left, partY * (1 - partX)}, {top + 1, left + 1, partY * partX},
	} {
		switch {
		case corner.weight == 0:
		case corner.y < 0 || corner.x < 0 || corner.y >= float64(g.Height) || corner.x >= float64(g.Width):
			sum += corner.weight * black(d, c)
		default:
			sum += corner.weight * float64(x[g.At(c, int(corner.y), int(corner.x))])
		}
	}
	return float32(sum)
}

// black is the least that a channel's values can be, 0 where there is no least.
func black(d *method.Domain, c int) float64 {
	if low := float64(d.Low[d.Image.At(c, 0, 0)]); !math.IsInf(low, 0) {
		return low
	}
	return 0
}

// Rotation looks for a turn and a move of an image, of those that the attacker's Eps allows, that the model takes for another
// class (Engstrom et al. 2019, arXiv:1712.02779, section 3): the worst of some at random, or all of a grid of 31 turns and 5 moves
// each way, which the paper finds the strongest. Steps along the gradient are weaker there, and left out.
type Rotation struct {
	Draws int // at random; 10 in the paper. 0 for the grid
}

// Describe tells what the method is.
func (m Rotation) Describe() method.Description {
	d := method.Description{
		Name: "rotation-grid", Access: assay.Labels, Family: RotationTranslation{}.Name(), Undirected: true,
		Reference: "Engstrom et al. 2019 (arXiv:1712.02779), section 3",
	}
	if m.Draws > 0 {
		d.Name, d.Settings = "rotation-draws", []method.Setting{{Name: "draws", Value: float64(m.Draws)}}
	}
	return d
}

// The grid of the paper.
const (
	gridTurns = 31
	gridMoves = 5
)

// Perturb tries all.
func (m Rotation) Perturb(ctx context.Context, u method.Unit) error {
	var tries [][]float64
	eps := min(u.Space().Eps, 3)
	for range m.Draws {
		r := u.Rand()
		draw := func(most float64) float64 { return (2*r.Float64() - 1) * most * eps }
		tries = append(tries, []float64{draw(mostTurned), draw(mostMoved), draw(mostMoved)})
	}
	if m.Draws == 0 {
		for i := range gridTurns {
			for j := range gridMoves * gridMoves {
				tries = append(tries, []float64{
					evenly(i, gridTurns) * mostTurned * eps,
					evenly(j/gridMoves, gridMoves) * mostMoved * eps, evenly(j%gridMoves, gridMoves) * mostMoved * eps,
				})
			}
		}
	}
	return tryAll(ctx, u, tries)
}

// evenly is the i-th of n numbers from -1 to 1.
func evenly(i, n int) float64 { return float64(2*i-(n-1)) / float64(n-1) }

// tryAll asks about transformations until one is adversarial.
func tryAll(ctx context.Context, u method.Unit, tries [][]float64) error {
	width := len(u.Clean())
	for len(tries) > 0 && !u.Found() {
		n := min(len(tries), together(width))
		var rows []float32
		for _, parameters := range tries[:n] {
			x, err := u.Transform(parameters)
			if err != nil {
				return err
			}
			rows = append(rows, x...)
		}
		tries = tries[n:]
		if _, err := u.Labels(ctx, rows); err != nil {
			return err
		}
	}
	return nil
}
