package corruption

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
)

// elastic turns and shears the image a little, and then moves its parts.
func elastic(m Image, level int, r *rand.Rand) Image {
	c := [Levels]struct{ strength, sigma, corners float64 }{ // in parts of the shorter side
		{0, 0, .08}, {.05, .2, .07}, {.08, .06, .06}, {.1, .04, .05}, {.1, .03, .03},
	}[level]
	side := float64(min(m.Height, m.Width))
	bent := affine(m, c.corners*side, r)
	if c.strength == 0 {
		return bent
	}
	field := func() Image {
		f := New(m.Height, m.Width, 1)
		for i := range f.Values {
			f.Values[i] = 2*r.Float64() - 1
		}
		return smooth(f, c.sigma*side, 3, func(i, n int) int { return within(i, n, true) })
	}
	right, down := field(), field()
	out := m.like()
	for y := range m.Height {
		for x := range m.Width {
			fromY := float64(y) + c.strength*side*down.Values[y*m.Width+x]
			fromX := float64(x) + c.strength*side*right.Values[y*m.Width+x]
			for channel := range m.Channels {
				out.Values[m.at(y, x, channel)] = interpolate(bent, fromY, fromX, channel, func(i, n int) int { return within(i, n, true) })
			}
		}
	}
	return out
}

// affine moves three corners of a square in the middle of the image, each by up to some pixels, and the image with them.
func affine(m Image, by float64, r *rand.Rand) Image {
	middleX, middleY := float64(m.Width/2), float64(m.Height/2)
	half := float64(max(min(m.Height, m.Width)/3, 1))
	from := [3][2]float64{{middleX + half, middleY + half}, {middleX + half, middleY - half}, {middleX - half, middleY - half}}
	var to [3][2]float64
	for i, p := range from {
		to[i] = [2]float64{p[0] + by*(2*r.Float64()-1), p[1] + by*(2*r.Float64()-1)}
	}
	// The way back: to[1] + a·(to[0]-to[1]) + b·(to[2]-to[1]) goes to the same a and b of from.
	ux, uy, vx, vy := to[0][0]-to[1][0], to[0][1]-to[1][1], to[2][0]-to[1][0], to[2][1]-to[1][1]
	size := ux*vy - uy*vx
	if math.Abs(size) < 1e-9 {
		return m
	}
	out := m.like()
	for y := range m.Height {
		for x := range m.Width {
			dx, dy := float64(x)-to[1][0], float64(y)-to[1][1]
			a, b := (dx*vy-dy*vx)/size, (ux*dy-uy*dx)/size
			fromX := from[1][0] + a*(from[0][0]-from[1][0]) + b*(from[2][0]-from[1][0])
			fromY := from[1][1] + a*(from[0][1]-from[1][1]) + b*(from[2][1]-from[1][1])
			for c := range m.Channels {
				out.Values[m.at(y, x, c)] = interpolate(m, fromY, fromX, c, func(i, n int) int { return within(i, n, false) })
			}
		}
	}
	return out
}

// pixelate makes the image smaller and larger again.
func pixelate(m Image, level int, _ *rand.Rand) Image {
	c := [Levels]float64{.95, .9, .85, .75, .65}[level]
	return resize(resize(m, max(int(float64(m.Height)*c), 1), max(int(float64(m.Width)*c), 1)), m.Height, m.Width)
}

// resize takes the mean of the pixels whose middles are in the box that a new pixel covers, or of the nearest.
func resize(m Image, height, width int) Image {
	out := New(height, width, m.Channels)
	rows, columns := boxes(m.Height, height), boxes(m.Width, width)
	for y := range height {
		for x := range width {
			n := float64((rows[y][1] - rows[y][0]) * (columns[x][1] - columns[x][0]))
			for fromY := rows[y][0]; fromY < rows[y][1]; fromY++ {
				for fromX := columns[x][0]; fromX < columns[x][1]; fromX++ {
					for c := range m.Channels {
						out.Values[out.at(y, x, c)] += m.Values[m.at(fromY, fromX, c)] / n
					}
				}
			}
		}
	}
	return out
}

// boxes gives for each new place the old ones from the first to before the last.
func boxes(old, fresh int) [][2]int {
	scale := float64(old) / float64(fresh)
	out := make([][2]int, fresh)
	for i := range out {
		middle, half := (float64(i)+0.5)*scale, max(scale, 1)/2
		first := max(int(middle-half+0.5), 0)
		out[i] = [2]int{min(first, old-1), min(max(int(middle+half+0.5), first+1), old)}
	}
	return out
}

// jpegCompression writes and reads the image, with 256 values, as JPEG with half the lines and columns of colour.
func jpegCompression(m Image, level int, _ *rand.Rand) Image {
	quality := [Levels]int{80, 65, 58, 50, 40}[level]
	area := image.Rect(0, 0, m.Width, m.Height)
	grey, coloured := image.NewGray(area), image.NewRGBA(area)
	value := func(y, x, c int) uint8 { return uint8(math.Round(255 * m.Values[m.at(y, x, c)])) }
	for y := range m.Height {
		for x := range m.Width {
			if m.Channels == 1 {
				grey.SetGray(x, y, color.Gray{Y: value(y, x, 0)})
			} else {
				coloured.SetRGBA(x, y, color.RGBA{value(y, x, 0), value(y, x, 1), value(y, x, 2), 255})
			}
		}
	}
	var from image.Image = coloured
	if m.Channels == 1 {
		from = grey
	}
	var file bytes.Buffer
	// In memory this fails for sides alone that JPEG cannot have, which Apply refuses.
	if err := jpeg.Encode(&file, from, &jpeg.Options{Quality: quality}); err != nil {
		panic(err)
	}
	read, err := jpeg.Decode(&file)
	if err != nil {
		panic(err)
	}
	out := m.like()
	for y := range m.Height {
		for x := range m.Width {
			r, g, b, _ := read.At(x, y).RGBA()
			all := [3]uint32{r, g, b}
			for c := range m.Channels {
				out.Values[m.at(y, x, c)] = float64(all[c]>>8) / 255
			}
		}
	}
	return out
}
