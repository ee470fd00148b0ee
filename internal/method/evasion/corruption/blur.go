package corruption

import (
	"math"
	"math/rand/v2"
)

// within reflects a place at the borders of a line of n: about the last value (dcb|abcd|cba), or about its edge (dcba|abcd|dcba).
func within(i, n int, edge bool) int {
	if n == 1 {
		return 0
	}
	period := 2 * (n - 1)
	if edge {
		period = 2 * n
	}
	if i = ((i % period) + period) % period; i < n {
		return i
	}
	if edge {
		return period - 1 - i
	}
	return period - i
}

// nearest is the place in a line of n that is nearest to i.
func nearest(i, n int) int { return min(max(i, 0), n-1) }

// smooth blurs by a Gaussian, cut off at some deviations. The way out of the image is told by a function.
func smooth(m Image, sigma, cut float64, border func(i, n int) int) Image {
	half := int(cut*sigma + 0.5)
	if sigma <= 0 || half == 0 {
		return m
	}
	kernel := gaussian(half, sigma)
	across, out := m.like(), m.like()
	for y := range m.Height {
		for x := range m.Width {
			for c := range m.Channels {
				sum := 0.0
				for k, w := range kernel {
					sum += w * m.Values[m.at(y, border(x+k-half, m.Width), c)]
				}
				across.Values[m.at(y, x, c)] = sum
			}
		}
	}
	for y := range m.Height {
		for x := range m.Width {
			for c := range m.Channels {
				sum := 0.0
				for k, w := range kernel {
					sum += w * across.Values[m.at(border(y+k-half, m.Height), x, c)]
				}
				out.Values[m.at(y, x, c)] = sum
			}
		}
	}
	return out
}

// gaussian is a kernel of 2·half+1 weights, which are 1 together.
func gaussian(half int, sigma float64) []float64 {
	kernel, sum := make([]float64, 2*half+1), 0.0
	for i := range kernel {
		d := float64(i - half)
		kernel[i] = math.Exp(-d * d / (2 * sigma * sigma))
		sum += kernel[i]
	}
	for i := range kernel {
		kernel[i] /= sum
	}
	return kernel
}

// defocusBlur is that of a lens: a disk, itself blurred a little.
func defocusBlur(m Image, level int, _ *rand.Rand) Image {
	c := [Levels][2]float64{{.3, .4}, {.4, .5}, {.5, .6}, {1, .2}, {1.5, .1}}[level]
	radius, sigma := c[0]*m.small(), c[1]*m.small()
	spread := max(int(math.Round(m.small())), 1)
	half := int(radius) + spread
	disk := New(2*half+1, 2*half+1, 1)
	inside := 0.0
	for y := -half; y <= half; y++ {
		for x := -half; x <= half; x++ {
			if float64(x*x+y*y) <= radius*radius {
				disk.Values[disk.at(y+half, x+half, 0)] = 1
				inside++
			}
		}
	}
	for i := range disk.Values {
		disk.Values[i] /= inside
	}
	disk = smooth(disk, sigma, float64(spread)/sigma, nearest)
	out := m.like()
	for y := range m.Height {
		for x := range m.Width {
			for channel := range m.Channels {
				sum := 0.0
				for i, w := range disk.Values {
					if w == 0 {
						continue
					}
					fromY, fromX := within(y+i/disk.Width-half, m.Height, false), within(x+i%disk.Width-half, m.Width, false)
					sum += w * m.Values[m.at(fromY, fromX, channel)]
				}
				out.Values[m.at(y, x, channel)] = sum
			}
		}
	}
	return out
}

// glassBlur exchanges pixels with others near by, between two blurs.
func glassBlur(m Image, level int, r *rand.Rand) Image {
	c := [Levels]struct {
		sigma float64
		times int
	}{{.05, 1}, {.25, 1}, {.4, 1}, {.25, 2}, {.4, 2}}[level]
	by := max(int(math.Round(m.small())), 1)
	m = smooth(m, c.sigma*m.small(), 4, nearest)
	for range c.times {
		for y := m.Height - by; y > by; y-- {
			for x := m.Width - by; x > by; x-- {
				toY, toX := y-by+r.IntN(2*by), x-by+r.IntN(2*by)
				for channel := range m.Channels {
					a, b := m.at(y, x, channel), m.at(toY, toX, channel)
					m.Values[a], m.Values[b] = m.Values[b], m.Values[a]
				}
			}
		}
	}
	return smooth(m, c.sigma*m.small(), 4, nearest)
}

func motionBlur(m Image, level int, r *rand.Rand) Image {
	c := [Levels][2]float64{{6, 1}, {6, 1.5}, {6, 2}, {8, 2}, {9, 2.5}}[level]
	return move(m, c[0]*m.small(), c[1]*m.small(), -45+90*r.Float64())
}

// move blurs along one direction, given in degrees, as ImageMagick does: the half of a Gaussian that is ahead.
func move(m Image, radius, sigma, angle float64) Image {
	width := 2*int(math.Ceil(radius)) + 1
	sin, cos := math.Sincos(angle * math.Pi / 180)
	weights, sum := make([]float64, width), 0.0
	for i := range weights {
		weights[i] = math.Exp(-float64(i*i) / (2 * sigma * sigma))
		sum += weights[i]
	}
	out := m.like()
	for y := range m.Height {
		for x := range m.Width {
			for i, w := range weights {
				fromX := nearest(x+int(math.Ceil(float64(i)*cos-0.5)), m.Width)
				fromY := nearest(y+int(math.Ceil(float64(i)*sin-0.5)), m.Height)
				for c := range m.Channels {
					out.Values[m.at(y, x, c)] += w / sum * m.Values[m.at(fromY, fromX, c)]
				}
			}
		}
	}
	return out
}

// zoomBlur is the mean of the image and of enlargements.
func zoomBlur(m Image, level int, _ *rand.Rand) Image {
	steps := [Levels]int{6, 11, 16, 21, 26}[level] // of a hundredth, the first being the image itself
	out := m.like()
	copy(out.Values, m.Values)
	for k := range steps {
		for i, v := range enlarge(m, 1+float64(k)/100).Values {
			out.Values[i] += v
		}
	}
	for i := range out.Values {
		out.Values[i] /= float64(steps + 1)
	}
	return out
}

// enlarge shows the middle of an image larger.
func enlarge(m Image, factor float64) Image {
	out := m.like()
	from := func(n int) func(i int) float64 {
		part := int(math.Ceil(float64(n) / factor))
		start, wide := (n-part)/2, int(math.Round(float64(part)*factor))
		trim := (wide - n) / 2
		return func(i int) float64 {
			if wide < 2 {
				return float64(start)
			}
			return float64(start) + float64(i+trim)*float64(part-1)/float64(wide-1)
		}
	}
	fromY, fromX := from(m.Height), from(m.Width)
	for y := range m.Height {
		for x := range m.Width {
			for c := range m.Channels {
				out.Values[m.at(y, x, c)] = interpolate(m, fromY(y), fromX(x), c, nearest)
			}
		}
	}
	return out
}

// interpolate gives a channel's value between the four pixels around a place.
func interpolate(m Image, y, x float64, c int, border func(i, n int) int) float64 {
	top, left := math.Floor(y), math.Floor(x)
	partY, partX := y-top, x-left
	at := func(dy, dx int) float64 {
		return m.Values[m.at(border(int(top)+dy, m.Height), border(int(left)+dx, m.Width), c)]
	}
	return (1-partY)*((1-partX)*at(0, 0)+partX*at(0, 1)) + partY*((1-partX)*at(1, 0)+partX*at(1, 1))
}
