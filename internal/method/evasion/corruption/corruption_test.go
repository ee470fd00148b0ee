package corruption

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// scene is an image with edges, gradients and all colours.
func scene(height, width, channels int) Image {
	m := New(height, width, channels)
	for y := range height {
		for x := range width {
			for c := range channels {
				v := 0.5 + 0.3*math.Sin(float64(x)*0.7+float64(c)) + 0.2*math.Cos(float64(y)*0.5)
				if (x/4+y/4)%3 == 0 {
					v = 0.2 + 0.25*float64(c)
				}
				m.Values[m.at(y, x, c)] = clip(v)
			}
		}
	}
	return m
}

// natural is an image with detail of all sizes, as photographs have it.
func natural(seed uint64) Image {
	m := New(32, 32, 3)
	for c := range 3 {
		heights := plasma(32, 1.6, rand.New(rand.NewPCG(seed, uint64(c))))
		for i := range 32 * 32 {
			m.Values[i*3+c] = heights(i/32, i%32)
		}
	}
	return m
}

func kind(t *testing.T, name string) Kind {
	t.Helper()
	i := slices.IndexFunc(Kinds(), func(k Kind) bool { return k.Name == name })
	if i < 0 {
		t.Fatalf("no %s", name)
	}
	return Kinds()[i]
}

func apply(t *testing.T, k Kind, m Image, level int, seed uint64) Image {
	t.Helper()
	out, err := k.Apply(m, level, rand.New(rand.NewPCG(seed, 1)))
	if err != nil {
		t.Fatalf("%s: %v", k.Name, err)
	}
	return out
}

func distance(a, b Image) float64 {
	sum := 0.0
	for i := range a.Values {
		sum += (a.Values[i] - b.Values[i]) * (a.Values[i] - b.Values[i])
	}
	return math.Sqrt(sum / float64(len(a.Values)))
}

// Each kind keeps the size and the range, leaves what it was given alone, changes more at higher levels, and depends on the
// seed and nothing else, in images of any size.
func TestKinds(t *testing.T) {
	if len(Kinds()) != 15 {
		t.Fatalf("%d kinds", len(Kinds()))
	}
	// The levels of these are not in order by definition: the program's parameters go up and down, and so do distances.
	loose := []string{"glass-blur", "elastic", "snow", "frost"}
	drawn := []string{"gaussian-noise", "shot-noise", "impulse-noise", "glass-blur", "motion-blur", "snow", "frost", "fog", "elastic"}
	for _, k := range Kinds() {
		for _, size := range [][3]int{{32, 32, 3}, {32, 32, 1}, {20, 45, 3}, {64, 64, 3}, {8, 8, 1}, {1, 1, 1}, {2, 3, 3}, {1, 40, 1}} {
			m := scene(size[0], size[1], size[2])
			given := slices.Clone(m.Values)
			for level := 1; level <= Levels; level++ {
				out := apply(t, k, m, level, 1)
				if out.Height != m.Height || out.Width != m.Width || out.Channels != m.Channels || len(out.Values) != len(m.Values) {
					t.Fatalf("%s of %v gives %d by %d in %d", k.Name, size, out.Height, out.Width, out.Channels)
				}
				for _, v := range out.Values {
					if !(v >= 0 && v <= 1) {
						t.Fatalf("%s of %v, level %d: %v", k.Name, size, level, v)
					}
				}
				if !slices.Equal(m.Values, given) {
					t.Fatalf("%s changed what it was given", k.Name)
				}
				if again := apply(t, k, m, level, 1); !slices.Equal(again.Values, out.Values) {
					t.Errorf("%s of %v is not the same again", k.Name, size)
				}
			}
		}
		m := scene(32, 32, 3)
		if same := slices.Equal(apply(t, k, m, 3, 1).Values, apply(t, k, m, 3, 2).Values); same == slices.Contains(drawn, k.Name) {
			t.Errorf("%s: the same under another seed: %v", k.Name, same)
		}
		var far [Levels]float64
		for level := range Levels {
			for seed := range uint64(20) {
				m := natural(seed)
				far[level] += distance(m, apply(t, k, m, level+1, seed)) / 20
			}
		}
		t.Logf("%-15s %.4f", k.Name, far)
		if far[0] < 0.002 {
			t.Errorf("%s changes nothing at level 1: %v", k.Name, far)
		}
		if !slices.Contains(loose, k.Name) && !slices.IsSorted(far[:]) || k.Name != "elastic" && !(far[4] > far[0]) {
			t.Errorf("%s does not grow with its level: %v", k.Name, far)
		}
	}
}

// What the definitions give by hand.
func TestKnownNumbers(t *testing.T) {
	near := func(what string, got []float64, want ...float64) {
		t.Helper()
		for i := range want {
			if len(got) != len(want) || math.Abs(got[i]-want[i]) > 1e-9 {
				t.Errorf("%s: %v, want %v", what, got, want)
				return
			}
		}
	}
	pixel := func(v ...float64) Image { return Image{1, len(v) / 3, 3, v} }
	// Level 2 of brightness adds 0.1 to the largest channel and keeps their proportions: 0.4, 0.2, 0.1 times 0.5/0.4.
	near("brightness", apply(t, kind(t, "brightness"), pixel(.4, .2, .1), 2, 0).Values, .5, .25, .125)
	near("brightness of black", apply(t, kind(t, "brightness"), pixel(0, 0, 0), 5, 0).Values, .3, .3, .3)
	near("brightness of white", apply(t, kind(t, "brightness"), pixel(1, .5, 0), 5, 0).Values, 1, .5, 0)
	// Level 5 of contrast leaves 0.15 of the distance from each channel's mean: red 0.2 and 0.6 around 0.4.
	near("contrast", apply(t, kind(t, "contrast"), pixel(.2, 1, 0, .6, 0, 0), 5, 0).Values, .37, .575, 0, .43, .425, 0)
	// Two images of 20 pixels in place of 32: blocks of the nearest; a flat image stays flat under all that moves light alone.
	for _, name := range []string{"defocus-blur", "glass-blur", "motion-blur", "zoom-blur", "elastic", "pixelate", "contrast"} {
		flat := New(16, 16, 1)
		for i := range flat.Values {
			flat.Values[i] = .25
		}
		if d := distance(flat, apply(t, kind(t, name), flat, 4, 3)); d > 1e-9 {
			t.Errorf("%s changes a flat image by %v", name, d)
		}
	}
	// A point under level 4 of defocus becomes a cross of five fifths, as radius 1 has it, blurred by 0.2: hardly.
	point := New(32, 32, 1)
	point.Values[16*32+16] = 1
	cross := apply(t, kind(t, "defocus-blur"), point, 4, 0)
	for _, at := range []int{16*32 + 16, 15*32 + 16, 17*32 + 16, 16*32 + 15, 16*32 + 17} {
		if math.Abs(cross.Values[at]-.2) > 1e-4 {
			t.Errorf("the cross has %v at %d", cross.Values[at], at)
		}
	}
	// 26 by 26 and back, at level 4 of pixelate 24: each third of four columns shows twice.
	stripes := New(4, 4, 1)
	copy(stripes.Values, []float64{0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1})
	near("pixelate", resize(stripes, 2, 2).Values, .5, .5, .5, .5)
	near("larger", resize(Image{1, 2, 1, []float64{.1, .9}}, 2, 4).Values, .1, .1, .9, .9, .1, .1, .9, .9)
}

// The noises have the mean and the spread that their distributions have.
func TestNoiseMoments(t *testing.T) {
	m := New(100, 100, 3)
	for i := range m.Values {
		m.Values[i] = .5
	}
	for _, c := range []struct {
		name  string
		level int
		want  float64 // standard deviation
	}{
		{"gaussian-noise", 5, .1}, {"shot-noise", 1, math.Sqrt(.5 / 500)}, {"shot-noise", 5, math.Sqrt(.5 / 50)},
		{"impulse-noise", 5, math.Sqrt(.07 * .25)},
	} {
		out := apply(t, kind(t, c.name), m, c.level, 1)
		mean := 0.0
		for _, v := range out.Values {
			mean += v / float64(len(out.Values))
		}
		if spread := distance(m, out); math.Abs(spread-c.want) > 0.03*c.want || math.Abs(mean-.5) > 5*c.want/math.Sqrt(3e4) {
			t.Errorf("%s, level %d: mean %v, deviation %v, want 0.5 and %v", c.name, c.level, mean, spread, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		m     Image
		level int
	}{{New(2, 2, 2), 1}, {New(2, 2, 1), 0}, {New(2, 2, 1), 6}, {Image{2, 2, 1, nil}, 1}, {New(0, 2, 1), 1}, {New(1, 1<<16, 1), 1}} {
		if _, err := Kinds()[0].Apply(c.m, c.level, rand.New(rand.NewPCG(1, 1))); err == nil {
			t.Errorf("%d by %d in %d at level %d is accepted", c.m.Height, c.m.Width, c.m.Channels, c.level)
		}
	}
}
