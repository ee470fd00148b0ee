package report

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
)

// MaxSide is the largest side of a picture, in pixels: what is shown to people need not be larger.
const MaxSide = 4096

// NewPictures draws an input, its changed form and their difference as PNG files.
// Both rows hold channels×height×width numbers in that order, with 1 channel (grey)
// or 3 (red, green, blue), of which low is black and high is full; what lies beyond is
// clipped. In the difference no change is middle grey, and the largest change of any
// number is black or full: Amplification says by which factor changes are enlarged
// against the pictures, 0 where nothing changed. The same rows give the same bytes.
func NewPictures(clean, adversarial []float32, channels, height, width int, low, high float64) (*Pictures, error) {
	switch {
	case channels != 1 && channels != 3:
		return nil, fmt.Errorf("a picture of %d channels cannot be drawn: it needs 1 or 3", channels)
	case height < 1 || width < 1 || height > MaxSide || width > MaxSide:
		return nil, fmt.Errorf("a picture of %d×%d pixels cannot be drawn: each side must be from 1 to %d", height, width, MaxSide)
	case len(clean) != channels*height*width || len(adversarial) != len(clean):
		return nil, fmt.Errorf("%d and %d numbers are no two pictures of %d×%d×%d", len(clean), len(adversarial), channels, height, width)
	case !(high > low) || math.IsInf(high-low, 0):
		return nil, fmt.Errorf("a picture cannot be drawn with the range %g to %g", low, high)
	}
	span, largest := high-low, 0.0
	for i := range clean {
		change := math.Abs(float64(adversarial[i]) - float64(clean[i]))
		if math.IsNaN(change) || math.IsInf(change, 0) {
			return nil, fmt.Errorf("number %d of a picture is not finite", i)
		}
		largest = max(largest, change)
	}
	p := &Pictures{}
	if largest > 0 {
		p.Amplification = span / (2 * largest)
	}
	for _, picture := range []struct {
		file  *[]byte
		level func(i int) float64
	}{
		{&p.Clean, func(i int) float64 { return (float64(clean[i]) - low) / span }},
		{&p.Adversarial, func(i int) float64 { return (float64(adversarial[i]) - low) / span }},
		{&p.Difference, func(i int) float64 {
			return 0.5 + p.Amplification*(float64(adversarial[i])-float64(clean[i]))/span
		}},
	} {
		var err error
		if *picture.file, err = draw(picture.level, channels, height, width); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// draw makes a PNG of levels from 0 to 1, which are numbered as in a row.
func draw(level func(i int) float64, channels, height, width int) ([]byte, error) {
	area := height * width
	picture := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range area {
		var c [3]uint8
		for k := range c {
			c[k] = uint8(math.Round(255 * min(max(level(min(k, channels-1)*area+i), 0), 1)))
		}
		picture.SetNRGBA(i%width, i/width, color.NRGBA{c[0], c[1], c[2], 255})
	}
	var file bytes.Buffer
	if err := png.Encode(&file, picture); err != nil {
		return nil, fmt.Errorf("a picture could not be encoded: %w", err)
	}
	return file.Bytes(), nil
}
