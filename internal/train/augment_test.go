package train

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestShiftAndFlip(t *testing.T) {
	a := newAugmenter(Augmentation{Crop: 2, Flip: true}, []int{1, 2, 3})
	for _, c := range []struct {
		down, right int
		want        []float32
	}{
		{0, 0, []float32{1, 2, 3, 4, 5, 6}},
		{1, 0, []float32{0, 0, 0, 1, 2, 3}},
		{-1, 1, []float32{0, 4, 5, 0, 0, 0}},
		{0, -2, []float32{3, 0, 0, 6, 0, 0}},
		{2, 2, []float32{0, 0, 0, 0, 0, 0}},
	} {
		x := []float32{1, 2, 3, 4, 5, 6}
		if a.shift(x, c.down, c.right); !slices.Equal(x, c.want) {
			t.Errorf("shifted %d down and %d right: %v, want %v", c.down, c.right, x, c.want)
		}
	}
	x := []float32{1, 2, 3, 4, 5, 6}
	if a.flip(x); !slices.Equal(x, []float32{3, 2, 1, 6, 5, 4}) {
		t.Errorf("flipped: %v", x)
	}
}

// TestAugmentation: an example is changed by its number in the data and the epoch
// alone, each way as often as it should be.
func TestAugmentation(t *testing.T) {
	d := &Data{Shape: []int{1, 1, 8}, Classes: make([]int32, 600)}
	for range 600 {
		d.X = append(d.X, 1, 2, 3, 4, 5, 6, 7, 8)
	}
	take := func(size int, epoch int) map[[8]float32]int {
		o := &Options{Batch: size, Seed: 3, Augment: Augmentation{Flip: true}}
		p := &plan{columns: 2, classes: 2}
		f := p.newFeeder(d, o)
		seen := map[[8]float32]int{}
		for b := range f.epoch(t.Context(), epoch) {
			for i := range b.Len() {
				seen[[8]float32(b.X[8*i:])]++
			}
			f.done(b)
		}
		return seen
	}
	small, large := take(7, 0), take(600, 0)
	if len(small) != 2 {
		t.Fatalf("flipping gave %d images, want 2", len(small))
	}
	for image, n := range small {
		if large[image] != n {
			t.Errorf("%v came %d times in small batches and %d in a large one", image, n, large[image])
		}
		if math.Abs(float64(n)-300) > 4*math.Sqrt(150) {
			t.Errorf("%v came %d of 600 times", image, n)
		}
	}
}

func TestNoise(t *testing.T) {
	a := newAugmenter(Augmentation{Noise: 2}, []int{10000})
	x := make([]float32, 10000)
	a.source.Seed(1, 2)
	a.apply(x)
	sum, squares := 0.0, 0.0
	for _, v := range x {
		sum, squares = sum+float64(v), squares+float64(v)*float64(v)
	}
	if mean, deviation := sum/1e4, math.Sqrt(squares/1e4); math.Abs(mean) > 0.08 || math.Abs(deviation-2) > 0.06 {
		t.Errorf("noise of mean %v and deviation %v, want 0 and 2", mean, deviation)
	}
}

// TestStreams: streams that are beside each other have nothing in common.
func TestStreams(t *testing.T) {
	first := map[uint64]bool{}
	for epoch := range uint64(10) {
		for index := range uint64(1000) {
			first[rand.New(stream(1, purposeAugment, epoch, index)).Uint64()] = true
		}
	}
	if len(first) != 10000 {
		t.Errorf("10000 streams begin with %d numbers", len(first))
	}
}
