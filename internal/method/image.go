package method

import (
	"fmt"
	"math"
	"math/rand/v2"

	"assay/internal/model"
)

// Image says where an image's values are in a row.
type Image struct {
	Channels, Height, Width int
	Last                    bool // channels are, else they come first
}

// ImageOf gives the image that a model's rows are, nil where they are none.
func ImageOf(m model.Description) *Image {
	if len(m.Shape) != 3 {
		return nil
	}
	a, b, c := int(m.Shape[0]), int(m.Shape[1]), int(m.Shape[2])
	switch m.Layout {
	case model.NCHW:
		return &Image{a, b, c, false}
	case model.NHWC:
		return &Image{c, a, b, true}
	}
	return nil
}

// At gives the place in a row of a channel's value at line y and column x.
func (g *Image) At(c, y, x int) int {
	if g.Last {
		return (y*g.Width+x)*g.Channels + c
	}
	return (c*g.Height+y)*g.Width + x
}

// place is the reverse of At.
func (g *Image) place(i int) (y, x int) {
	if g.Last {
		i /= g.Channels
	} else {
		i %= g.Height * g.Width
	}
	return i / g.Width, i % g.Width
}

// Patch measures a perturbation by the smallest square of pixels that holds all that changed: its share of the image's
// area, from 0 to 1. Within the square an attacker may do anything (Brown et al. 2017, arXiv:1712.09665). It is no norm, and only
// methods that name it can search it; it needs a domain of images.
const Patch Norm = "patch"

// PatchSide is the side in pixels of the largest square whose share of the area is at most eps.
func (s *Space) PatchSide() int {
	g := s.Domain.Image
	side := int(math.Sqrt(max(min(s.Eps, 1), 0) * float64(g.Height*g.Width)))
	for ; side > 0 && g.share(side) > s.Eps; side-- { // rounding
	}
	for ; g.share(side+1) <= s.Eps && side < max(g.Height, g.Width); side++ {
	}
	return side
}

// share is that of a square in the area.
func (g *Image) share(side int) float64 { return float64(side*side) / float64(g.Height*g.Width) }

// patchSize is the measure of Patch.
func (s *Space) patchSize(x []float32) float64 {
	g := s.Domain.Image
	top, left, bottom, right := g.Height, g.Width, -1, -1
	for i, v := range x {
		if v == s.Clean[i] {
			continue
		}
		py, px := g.place(i)
		top, bottom = min(top, py), max(bottom, py)
		left, right = min(left, px), max(right, px)
	}
	if bottom < 0 {
		return 0
	}
	return g.share(max(bottom-top, right-left) + 1)
}

// keepPatch puts back to clean what is outside the square that holds most of the changed values.
func (s *Space) keepPatch(x []float32) {
	if s.patchSize(x) <= s.Eps {
		return
	}
	g, side := s.Domain.Image, s.PatchSide()
	sums := make([]int, (g.Height+1)*(g.Width+1)) // of changed values above and left of a place
	stride := g.Width + 1
	for py := range g.Height {
		for px := range g.Width {
			changed := 0
			for c := range g.Channels {
				if i := g.At(c, py, px); x[i] != s.Clean[i] {
					changed++
				}
			}
			sums[(py+1)*stride+px+1] = changed + sums[py*stride+px+1] + sums[(py+1)*stride+px] - sums[py*stride+px]
		}
	}
	most, top, left := -1, 0, 0
	high, wide := min(side, g.Height), min(side, g.Width)
	for py := 0; py+high <= g.Height; py++ {
		for px := 0; px+wide <= g.Width; px++ {
			held := sums[(py+high)*stride+px+wide] - sums[py*stride+px+wide] - sums[(py+high)*stride+px] + sums[py*stride+px]
			if held > most {
				most, top, left = held, py, px
			}
		}
	}
	for i := range x {
		if py, px := g.place(i); py < top || py >= top+high || px < left || px >= left+wide {
			x[i] = s.Clean[i]
		}
	}
}

// randomPatch draws a place, and values from their limits.
func (s *Space) randomPatch(r *rand.Rand, x []float32) {
	g, side := s.Domain.Image, s.PatchSide()
	high, wide := min(side, g.Height), min(side, g.Width)
	top, left := r.IntN(g.Height-high+1), r.IntN(g.Width-wide+1)
	for c := range g.Channels {
		for py := top; py < top+high; py++ {
			for px := left; px < left+wide; px++ {
				i := g.At(c, py, px)
				x[i] = s.randomBetween(r, i)
			}
		}
	}
}

func (g *Image) validate(n int) error {
	if g.Channels < 1 || g.Height < 1 || g.Width < 1 || g.Channels > n || g.Height > n || g.Width > n || g.Channels*g.Height*g.Width != n {
		return fmt.Errorf("the domain describes %d numbers, and an image of %d channels, height %d and width %d", n, g.Channels, g.Height, g.Width)
	}
	return nil
}
