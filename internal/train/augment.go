package train

import (
	"errors"
	"fmt"
	"math/rand/v2"
)

// Augmentation changes each example anew in every epoch, at random.
type Augmentation struct {
	Crop  int     // pixels by which an image is shifted at most, along both axes: it is padded with zeros and cropped to its size
	Flip  bool    // mirror an image from left to right, one time in two
	Noise float64 // standard deviation of Gaussian noise added to each value, in the data's units
}

func (a Augmentation) check(shape []int) error {
	if !(a.Noise >= 0 && a.Noise < 1e30) {
		return fmt.Errorf("noise of a deviation of %v is below 0", a.Noise)
	}
	if a.Crop < 0 {
		return fmt.Errorf("a crop by %d pixels is below 0", a.Crop)
	}
	if (a.Crop > 0 || a.Flip) && len(shape) != 3 {
		return fmt.Errorf("only images (channels, height, width) can be cropped or flipped, and the examples have the shape %v", shape)
	}
	if len(shape) == 3 && a.Crop >= min(shape[1], shape[2]) {
		return errors.New("a crop must leave a part of the image: shift it by less than its size")
	}
	return nil
}

// augmenter changes one example at a time, by the numbers of a stream that is set
// for each.
type augmenter struct {
	Augmentation
	source *rand.PCG
	random *rand.Rand
	shape  []int
	image  []float32 // a copy of one channel
}

func newAugmenter(a Augmentation, shape []int) *augmenter {
	source := rand.NewPCG(0, 0)
	g := &augmenter{Augmentation: a, source: source, random: rand.New(source), shape: shape}
	if a.Crop > 0 {
		g.image = make([]float32, shape[1]*shape[2])
	}
	return g
}

func (a *augmenter) active() bool { return a.Crop > 0 || a.Flip || a.Noise > 0 }

// apply changes an example in place.
func (a *augmenter) apply(x []float32) {
	if a.Crop > 0 {
		down, right := a.random.IntN(2*a.Crop+1)-a.Crop, a.random.IntN(2*a.Crop+1)-a.Crop
		size := a.shape[1] * a.shape[2]
		for c := range a.shape[0] {
			a.shift(x[c*size:(c+1)*size], down, right)
		}
	}
	if a.Flip && a.random.Uint64()&1 == 1 {
		a.flip(x)
	}
	if a.Noise > 0 {
		for i := range x {
			x[i] += float32(a.Noise * a.random.NormFloat64())
		}
	}
}

// shift moves one channel of an image; zeros come in from outside.
func (a *augmenter) shift(channel []float32, down, right int) {
	height, width := a.shape[1], a.shape[2]
	copy(a.image, channel)
	clear(channel)
	from, to := max(0, -right), min(width, width-right) // columns of the copy that stay
	for y := max(0, -down); y < min(height, height-down); y++ {
		copy(channel[(y+down)*width+from+right:], a.image[y*width+from:y*width+to])
	}
}

// flip mirrors each row of an image.
func (a *augmenter) flip(x []float32) {
	for width := a.shape[2]; len(x) > 0; x = x[width:] {
		for i, j := 0, width-1; i < j; i, j = i+1, j-1 {
			x[i], x[j] = x[j], x[i]
		}
	}
}
