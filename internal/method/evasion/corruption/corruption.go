// Package corruption changes images as weather, cameras and storage do: the 15 common corruptions of Hendrycks and Dietterich
// (2019, arXiv:1903.12261, section 4.1) at 5 levels each, with the parameters that their program has for CIFAR-10. It is pure: an image,
// a level and a source of random numbers in, an image out.
//
// Departures from that program. Its parameters are for 32 by 32 pixels: lengths go with the shorter side of an image, shares and
// strengths stay; glass moves pixels by at least one. Results are not rounded to 256 values. The photographs of frost are replaced by generated
// crystals; glass swaps pixels as the paper has it, where the program, by a slip, copies one over the other; the
// steps of the zoom end before their bound, where rounding has the program go one beyond at some levels.
package corruption

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Image has values from 0 to 1, by line, column and channel; one channel, or red, green and blue.
type Image struct {
	Height, Width, Channels int
	Values                  []float64
}

// New gives a black image.
func New(height, width, channels int) Image {
	return Image{height, width, channels, make([]float64, height*width*channels)}
}

func (m Image) like() Image { return New(m.Height, m.Width, m.Channels) }

// at is the place of a value.
func (m Image) at(y, x, c int) int { return (y*m.Width+x)*m.Channels + c }

// small is the shorter side in parts of that which the parameters are for.
func (m Image) small() float64 { return float64(min(m.Height, m.Width)) / 32 }

// Levels is how many there are, from 1, the mildest.
const Levels = 5

// Kind is one of the corruptions.
type Kind struct {
	Name  string
	apply func(m Image, level int, r *rand.Rand) Image // level from 0
}

// Kinds gives all, in the paper's order.
func Kinds() []Kind {
	return []Kind{
		{"gaussian-noise", gaussianNoise}, {"shot-noise", shotNoise}, {"impulse-noise", impulseNoise},
		{"defocus-blur", defocusBlur}, {"glass-blur", glassBlur}, {"motion-blur", motionBlur}, {"zoom-blur", zoomBlur},
		{"snow", snow}, {"frost", frost}, {"fog", fog}, {"brightness", brightness},
		{"contrast", contrast}, {"elastic", elastic}, {"pixelate", pixelate}, {"jpeg", jpegCompression},
	}
}

// Apply gives the image changed, with values from 0 to 1. The error is about the image or the level.
func (k Kind) Apply(m Image, level int, r *rand.Rand) (Image, error) {
	if m.Height >= 1<<16 || m.Width >= 1<<16 {
		return Image{}, fmt.Errorf("an image of %d by %d pixels is too large: sides are less than 65,536", m.Height, m.Width)
	}
	if m.Channels != 1 && m.Channels != 3 || m.Height < 1 || m.Width < 1 || len(m.Values) != m.Height*m.Width*m.Channels {
		return Image{}, fmt.Errorf("an image of %d by %d pixels in %d channels with %d values cannot be corrupted: one channel is needed, or three",
			m.Height, m.Width, m.Channels, len(m.Values))
	}
	if level < 1 || level > Levels {
		return Image{}, fmt.Errorf("there is no level %d of %s: levels are 1 to %d", level, k.Name, Levels)
	}
	in := m.like()
	for i, v := range m.Values {
		in.Values[i] = clip(v)
	}
	out := k.apply(in, level-1, r)
	for i, v := range out.Values {
		out.Values[i] = clip(v)
	}
	return out, nil
}

// clip brings a value between 0 and 1; what is no number becomes 0.
func clip(v float64) float64 {
	if v != v {
		return 0
	}
	return min(max(v, 0), 1)
}

func gaussianNoise(m Image, level int, r *rand.Rand) Image {
	c := [Levels]float64{.04, .06, .08, .09, .10}[level]
	for i := range m.Values {
		m.Values[i] += c * r.NormFloat64()
	}
	return m
}

// shotNoise counts the photons that arrive.
func shotNoise(m Image, level int, r *rand.Rand) Image {
	c := [Levels]float64{500, 250, 100, 75, 50}[level]
	for i, v := range m.Values {
		m.Values[i] = float64(poisson(v*c, r)) / c
	}
	return m
}

// poisson draws by inversion, for means up to some hundred.
func poisson(mean float64, r *rand.Rand) int {
	p, u := math.Exp(-mean), r.Float64()
	for k := 0; ; k++ {
		if u -= p; u < 0 || float64(k) > 10*mean+100 {
			return k
		}
		p *= mean / float64(k+1)
	}
}

// impulseNoise sets values to black or white.
func impulseNoise(m Image, level int, r *rand.Rand) Image {
	c := [Levels]float64{.01, .02, .03, .05, .07}[level]
	for i := range m.Values {
		if r.Float64() < c {
			m.Values[i] = float64(r.IntN(2))
		}
	}
	return m
}

// brightness adds to the value of hue, saturation and value.
func brightness(m Image, level int, _ *rand.Rand) Image {
	c := [Levels]float64{.05, .1, .15, .2, .3}[level]
	for i := 0; i < len(m.Values); i += m.Channels {
		pixel := m.Values[i : i+m.Channels]
		value := 0.0
		for _, v := range pixel {
			value = max(value, v)
		}
		to := min(value+c, 1)
		for j := range pixel {
			if value > 0 { // hue and saturation stay where all change in proportion
				pixel[j] *= to / value
			} else {
				pixel[j] = to
			}
		}
	}
	return m
}

// contrast brings each channel nearer to its mean.
func contrast(m Image, level int, _ *rand.Rand) Image {
	c := [Levels]float64{.75, .5, .4, .3, .15}[level]
	for channel := range m.Channels {
		mean := 0.0
		for i := channel; i < len(m.Values); i += m.Channels {
			mean += m.Values[i] / float64(m.Height*m.Width)
		}
		for i := channel; i < len(m.Values); i += m.Channels {
			m.Values[i] = (m.Values[i]-mean)*c + mean
		}
	}
	return m
}
