package inversion

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
)

// Options say how a record is looked for.
type Options struct {
	Low, High []float32 // the limits of a row's numbers
	Image     []int     // channels, height and width of a row that is an image, for total variation; nil for others
	Steps     int       // 0 for 1500
	Restarts  int       // from other random rows; 0 for 2
	Variation float64   // the weight of total variation beside the cosine
	Seed      uint64
}

// Reconstruction is a row that was made out of an update.
type Reconstruction struct {
	Row    []float32
	Label  int
	Cosine float64 // between its update and the one observed
}

// Reconstruct looks for the row whose update points where the one observed does: it goes down 1 - cos + α·TV by Adam on signs
// (Geiping et al. 2020, arXiv:2003.14053, section 4), with the gradient of the gradient by the row, as deep leakage does
// (Zhu et al. 2019, arXiv:1906.08935, Algorithm 1), and with the label read off the update. The rate falls by ten after
// 3, 5 and 7 eighths of the steps. Of several restarts the one with the largest cosine is given.
//
// Departure: a row's numbers are in units of their limits, and kept between them.
func (l *Leak) Reconstruct(ctx context.Context, u Update, o Options) (*Reconstruction, error) {
	if o.Steps == 0 {
		o.Steps = 1500
	}
	if o.Restarts == 0 {
		o.Restarts = 2
	}
	if u.norm() == 0 {
		return nil, errors.New("the update is zero: the model is too sure of the record for its gradient to say anything")
	}
	best := &Reconstruction{Cosine: math.Inf(-1), Label: l.Label(u)}
	for k := range o.Restarts {
		r := rand.New(rand.NewPCG(o.Seed, uint64(k)))
		row, cosine, err := l.descend(ctx, u, best.Label, o, r)
		if err != nil {
			return nil, err
		}
		if cosine > best.Cosine {
			best.Row, best.Cosine = row, cosine
		}
	}
	return best, nil
}

// descend is one restart. The row with the least loss on the way is given.
func (l *Leak) descend(ctx context.Context, u Update, label int, o Options, r *rand.Rand) (best []float32, cosine float64, err error) {
	w := newWalk(o)
	for i := range w.z {
		w.z[i] = r.Float64()
	}
	rate, least := 0.1, math.Inf(1)
	for step := range o.Steps {
		row := w.row()
		cos, slope, err := l.cosine(ctx, u, row, label)
		if err != nil {
			return nil, 0, err
		}
		grad, varied := w.slope(slope)
		if loss := 1 - cos + varied; loss < least {
			least, cosine, best = loss, cos, row
		}
		for _, eighths := range []int{3, 5, 7} {
			if step == o.Steps*eighths/8 {
				rate /= 10
			}
		}
		for i := range grad {
			grad[i] = sign(grad[i])
		}
		w.step(grad, rate)
	}
	if best == nil {
		return nil, 0, errors.New("the model's gradient is no number on any row that was tried")
	}
	return best, cosine, nil
}

// walk is a row on its way by Adam (Kingma and Ba 2015, Algorithm 1), in units of its limits, which it keeps to.
type walk struct {
	o       Options
	z, m, v []float64
	taken   float64 // steps
}

func newWalk(o Options) *walk {
	n := len(o.Low)
	return &walk{o: o, z: make([]float64, n), m: make([]float64, n), v: make([]float64, n)}
}

// row is where the walk is, in the row's own units.
func (w *walk) row() []float32 {
	out := make([]float32, len(w.z))
	for i, z := range w.z {
		out[i] = w.o.Low[i] + float32(z)*(w.o.High[i]-w.o.Low[i])
	}
	return out
}

// slope adds that of the weighted total variation to a slope by the row's own units, and gives it in the walk's, with the
// variation.
func (w *walk) slope(by []float32) (grad []float64, varied float64) {
	grad = make([]float64, len(w.z))
	varied = w.o.Variation * variation(w.z, w.o.Image, grad)
	for i := range grad {
		grad[i] = w.o.Variation*grad[i] + float64(by[i])*(float64(w.o.High[i])-float64(w.o.Low[i]))
	}
	return grad, varied
}

func (w *walk) step(grad []float64, rate float64) {
	w.taken++
	for i, g := range grad {
		w.m[i], w.v[i] = 0.9*w.m[i]+0.1*g, 0.999*w.v[i]+0.001*g*g
		move := w.m[i] / (1 - math.Pow(0.9, w.taken)) / (math.Sqrt(w.v[i]/(1-math.Pow(0.999, w.taken))) + 1e-8)
		w.z[i] = min(max(w.z[i]-rate*move, 0), 1)
	}
}

func sign(v float64) float64 {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	}
	return 0
}

// cosine gives that between the update of a row and the one observed, and the gradient of 1 less it by the row.
func (l *Leak) cosine(ctx context.Context, u Update, row []float32, label int) (cos float64, slope []float32, err error) {
	labels := []int64{int64(label)}
	_, g, err := l.weights.Slopes(ctx, row, labels)
	if err != nil {
		return 0, nil, err
	}
	mine, theirs := Update(g).norm(), u.norm()
	if mine == 0 {
		return 0, make([]float32, len(row)), nil
	}
	cos = u.dot(g) / (mine * theirs)
	directions := make([][]float32, len(g))
	for i, part := range g {
		directions[i] = make([]float32, len(part))
		for j, v := range part {
			directions[i][j] = float32(cos*float64(v)/(mine*mine) - float64(u[i][j])/(mine*theirs))
		}
	}
	slope, err = l.weights.Back(ctx, row, labels, directions)
	return cos, slope, err
}

// variation is the mean absolute difference of neighbouring numbers of an image (anisotropic total variation), 0 for
// what is none, and adds its gradient.
func variation(z []float64, image []int, grad []float64) (sum float64) {
	if len(image) != 3 {
		return 0
	}
	h, w := image[1], image[2]
	size := float64(len(z))
	pair := func(i, j int) {
		d := z[i] - z[j]
		sum += math.Abs(d) / size
		grad[i] += sign(d) / size
		grad[j] -= sign(d) / size
	}
	for i := range z {
		if x := i % w; x+1 < w {
			pair(i, i+1)
		}
		if y := i / w % h; y+1 < h {
			pair(i, i+w)
		}
	}
	return sum
}
