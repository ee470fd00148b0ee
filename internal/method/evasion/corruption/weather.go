package corruption

import (
	"math"
	"math/rand/v2"
	"slices"
)

func snow(m Image, level int, r *rand.Rand) Image {
	c := [Levels]struct{ mean, deviation, zoom, least, radius, sigma, keep float64 }{
		{.1, .2, 1, .6, 8, 3, .95}, {.1, .2, 1, .5, 10, 4, .9}, {.15, .3, 1.75, .55, 10, 4, .9},
		{.25, .3, 2.25, .6, 12, 6, .85}, {.3, .3, 1.25, .65, 14, 12, .8},
	}[level]
	layer := New(m.Height, m.Width, 1)
	for i := range layer.Values {
		layer.Values[i] = c.mean + c.deviation*r.NormFloat64()
	}
	layer = enlarge(layer, max(c.zoom*m.small(), 1))
	for i, v := range layer.Values {
		if layer.Values[i] = clip(v); v < c.least {
			layer.Values[i] = 0
		}
	}
	layer = move(layer, c.radius*m.small(), c.sigma*m.small(), -135+90*r.Float64())
	turned := slices.Clone(layer.Values)
	slices.Reverse(turned) // by half a turn
	for i := range layer.Values {
		pixel := m.Values[i*m.Channels : (i+1)*m.Channels]
		pale := grey(pixel)*1.5 + 0.5
		for j, v := range pixel {
			pixel[j] = c.keep*v + (1-c.keep)*max(v, pale) + layer.Values[i] + turned[i]
		}
	}
	return m
}

// grey is the brightness of a pixel (ITU-R BT.601).
func grey(pixel []float64) float64 {
	if len(pixel) == 1 {
		return pixel[0]
	}
	return 0.299*pixel[0] + 0.587*pixel[1] + 0.114*pixel[2]
}

// frost covers the image with crystals: the ridges of a plasma, in the pale blue of ice.
func frost(m Image, level int, r *rand.Rand) Image {
	c := [Levels][2]float64{{1, .2}, {1, .3}, {.9, .4}, {.85, .4}, {.75, .45}}[level]
	ice := [3]float64{.85, .95, 1}
	ground := plasma(max(m.Height, m.Width), 2, r)
	for y := range m.Height {
		for x := range m.Width {
			ridge := 1 - math.Abs(2*ground(y, x)-1)
			for channel := range m.Channels {
				colour := 1.0
				if m.Channels == 3 {
					colour = ice[channel]
				}
				i := m.at(y, x, channel)
				m.Values[i] = c[0]*m.Values[i] + c[1]*colour*ridge
			}
		}
	}
	return m
}

func fog(m Image, level int, r *rand.Rand) Image {
	c := [Levels][2]float64{{.2, 3}, {.5, 3}, {.75, 2.5}, {1, 2}, {1.5, 1.75}}[level]
	most := slices.Max(m.Values)
	cloud := plasma(max(m.Height, m.Width), c[1], r)
	for y := range m.Height {
		for x := range m.Width {
			for channel := range m.Channels {
				i := m.at(y, x, channel)
				m.Values[i] = (m.Values[i] + c[0]*cloud(y, x)) * most / (most + c[0])
			}
		}
	}
	return m
}

// plasma is a height map from 0 to 1 on a torus of at least n by n (diamond-square: Fournier, Fussell and Carpenter 1982). What is added at
// each finer step is less by a factor.
func plasma(n int, decay float64, r *rand.Rand) func(y, x int) float64 {
	side := 1
	for side < max(n, 2) {
		side *= 2
	}
	heights, wobble := make([]float64, side*side), 100.0
	at := func(y, x int) *float64 { return &heights[(y&(side-1))*side+x&(side-1)] }
	// As in the authors' program, the wobble's own size is in it twice.
	draw := func(sum float64) float64 { return sum/4 + wobble*wobble*(2*r.Float64()-1) }
	for step := side; step >= 2; step /= 2 {
		half := step / 2
		for y := 0; y < side; y += step {
			for x := 0; x < side; x += step {
				*at(y+half, x+half) = draw(*at(y, x) + *at(y+step, x) + *at(y, x+step) + *at(y+step, x+step))
			}
		}
		for y := 0; y < side; y += half {
			for x := (y/half + 1) % 2 * half; x < side; x += step {
				*at(y, x) = draw(*at(y-half, x) + *at(y+half, x) + *at(y, x-half) + *at(y, x+half))
			}
		}
		wobble /= decay
	}
	low, high := slices.Min(heights), slices.Max(heights)
	return func(y, x int) float64 { return (*at(y, x) - low) / (high - low) }
}
