package evasion

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"assay"
	"assay/internal/method"
	"assay/internal/method/evasion/corruption"
)

// CommonCorruption is the family of the 15 common corruptions (Hendrycks and Dietterich 2019, arXiv:1903.12261). The size
// is the level: an attacker's Eps of 3 allows levels 1 to 3.
type CommonCorruption struct{}

// Name is that of the family.
func (CommonCorruption) Name() string { return "corruption" }

// Parameters are the kind, as a place in corruption.Kinds, the level, and the seed of what is drawn.
func (CommonCorruption) Parameters() []method.Parameter {
	return []method.Parameter{
		{Name: "kind", Low: 0, High: float64(len(corruption.Kinds()) - 1), Whole: true},
		{Name: "level", Low: 1, High: corruption.Levels, Whole: true},
		{Name: "seed", Low: 0, High: math.MaxInt32, Whole: true},
	}
}

// Validate refuses what is no image with one channel or three and known limits.
func (CommonCorruption) Validate(d *method.Domain) error {
	g := d.Image
	if g == nil {
		return errors.New("only images can be corrupted, and the model takes none")
	}
	if g.Channels != 1 && g.Channels != 3 {
		return fmt.Errorf("images of one channel or of three can be corrupted, and the model's have %d", g.Channels)
	}
	if g.Height >= 1<<16 || g.Width >= 1<<16 {
		return fmt.Errorf("images of less than 65,536 pixels a side can be corrupted, and the model's have %d by %d", g.Height, g.Width)
	}
	for i, low := range d.Low {
		if wide := float64(d.High[i]) - float64(low); !(wide > 0) || math.IsInf(wide, 0) {
			return fmt.Errorf("to corrupt an image black and white must be known, and number %d is from %g to %g: give limits in the schema", i, low, d.High[i])
		}
	}
	return nil
}

// Size is the level.
func (CommonCorruption) Size(p []float64) float64 { return p[1] }

// Transform corrupts an image.
func (CommonCorruption) Transform(d *method.Domain, clean []float32, p []float64) []float32 {
	g := d.Image
	m := corruption.New(g.Height, g.Width, g.Channels)
	places := make([]int, len(clean)) // in the row, of each value of the image
	for i := range places {
		j := g.At(i%g.Channels, i/g.Channels/g.Width, i/g.Channels%g.Width)
		places[i] = j
		m.Values[i] = (float64(clean[j]) - float64(d.Low[j])) / (float64(d.High[j]) - float64(d.Low[j]))
	}
	kind, level := int(p[0]), int(p[1])
	out, err := corruption.Kinds()[kind].Apply(m, level, rand.New(rand.NewPCG(uint64(p[2]), uint64(kind*10+level))))
	if err != nil {
		panic(err) // Validate and Parameters leave no reason
	}
	x := make([]float32, len(clean))
	for i, j := range places {
		x[j] = float32(float64(d.Low[j]) + out.Values[i]*(float64(d.High[j])-float64(d.Low[j])))
	}
	return x
}

// Corruption tries one kind at each level up to the attacker's Eps (Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4), once, as
// the paper's benchmark has each image once at each level. It is what happens to inputs without an attacker.
type Corruption struct{ Kind int } // a place in corruption.Kinds

// Describe tells what the method is.
func (m Corruption) Describe() method.Description {
	return method.Description{
		Name: corruption.Kinds()[m.Kind].Name, Access: assay.Labels, Family: CommonCorruption{}.Name(), Undirected: true,
		Reference: "Hendrycks and Dietterich 2019 (arXiv:1903.12261), section 4",
	}
}

// Perturb tries all levels, of which the mildest that the model gets wrong counts.
func (m Corruption) Perturb(ctx context.Context, u method.Unit) error {
	var tries [][]float64
	for level := 1; level <= corruption.Levels && float64(level) <= u.Space().Eps; level++ {
		tries = append(tries, []float64{float64(m.Kind), float64(level), float64(u.Rand().Int32())})
	}
	return tryAll(ctx, u, tries)
}

// Corruptions gives a method of each kind.
func Corruptions() (all []method.Method) {
	for k := range corruption.Kinds() {
		all = append(all, Corruption{k})
	}
	return all
}
