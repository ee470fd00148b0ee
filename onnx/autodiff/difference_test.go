package autodiff

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"assay/internal/float64eval"
	"assay/internal/model/ort"
)

// point evaluates the weighted sums of a model's outputs around one point.
type point struct {
	forward *float64eval.Evaluator
	feeds   map[string]float64eval.Value
	outputs []string
	seeds   [][]float64
	rng     *rand.Rand
	few     bool
}

// sums gives Σ seed·output of each output, and Σ |seed·output|.
func (p *point) sums() (sums, sizes []float64, err error) {
	got, err := p.forward.Run(p.feeds)
	if err != nil {
		return nil, nil, err
	}
	for i, name := range p.outputs {
		sum, size := 0.0, 0.0
		y := ort.Data[float64](got[name].(*ort.Tensor))
		if len(y) != len(p.seeds[i]) {
			return nil, nil, fmt.Errorf("%s has %d elements, and %d at the point itself", name, len(y), len(p.seeds[i]))
		}
		for j, v := range y {
			if p.seeds[i][j] == 0 {
				continue // an output that is not finite
			}
			sum += v * p.seeds[i][j]
			size += math.Abs(v * p.seeds[i][j])
		}
		sums, sizes = append(sums, sum), append(sizes, size)
	}
	return sums, sizes, nil
}

// measured are differences with respect to one value.
type measured struct {
	along [][]float64    // directions
	slope [][]difference // by output, then direction
}

type difference struct {
	slope float64
	rough bool    // the differences at two steps do not agree: no derivative here
	noise float64 // what rounding may have done
}

func (p *point) measure(name string) (*measured, error) {
	x := p.feeds[name].(*ort.Tensor)
	m := &measured{along: p.alongs(ort.Data[float64](x)), slope: make([][]difference, len(p.outputs))}
	for _, along := range m.along {
		d, err := p.difference(name, along, step)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(d, func(d difference) bool { return d.rough }) {
			// A kink nearby may be out of the reach of a smaller step.
			if d, err = p.difference(name, along, step/100); err != nil {
				return nil, err
			}
		}
		for o := range d {
			m.slope[o] = append(m.slope[o], d[o])
		}
	}
	return m, nil
}

// alongs chooses the directions for a value, which leave alone what is not finite.
func (p *point) alongs(x []float64) [][]float64 {
	var finite []int
	for i, v := range x {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			finite = append(finite, i)
		}
	}
	dirs, coords := directions, coordinates
	if p.few {
		dirs, coords = 1, 2
	}
	var list [][]float64
	if len(finite) > fewValues || p.few && len(finite) > dirs+coords {
		for range dirs {
			d := make([]float64, len(x))
			p.rng.Shuffle(len(finite), func(i, j int) { finite[i], finite[j] = finite[j], finite[i] })
			for _, i := range finite[:min(len(finite), manyValues)] {
				d[i] = 2*float64(p.rng.IntN(2)) - 1
			}
			list = append(list, d)
		}
		finite = finite[:coords]
	}
	for _, i := range finite {
		d := make([]float64, len(x))
		d[i] = 1
		list = append(list, d)
	}
	return list
}

// difference gives the slope of each output's sum along a direction.
func (p *point) difference(name string, along []float64, h float64) ([]difference, error) {
	x := p.feeds[name].(*ort.Tensor)
	defer func() { p.feeds[name] = x }()
	origin := ort.Data[float64](x)
	size := 1.0
	for i, d := range along {
		if d != 0 {
			size = max(size, math.Abs(origin[i]))
		}
	}
	h *= size
	var f [5][]float64
	var sizes []float64
	for k, move := range []float64{-1, -0.5, 0, 0.5, 1} {
		moved := slices.Clone(origin)
		for i, d := range along {
			moved[i] += move * h * d
		}
		p.feeds[name] = ort.NewTensor(moved, x.Shape...)
		var err error
		if f[k], sizes, err = p.sums(); err != nil {
			return nil, err
		}
	}
	out := make([]difference, len(p.outputs))
	for o := range out {
		whole := (f[4][o] - f[0][o]) / (2 * h)
		half := (f[3][o] - f[1][o]) / h
		noise := roundoff * (sizes[o] + 1e-3) / h
		left, right := (f[2][o]-f[1][o])/(h/2), (f[3][o]-f[2][o])/(h/2)
		scale := max(math.Abs(left), math.Abs(right))
		// The one-sided slopes of a smooth function differ in proportion to the step,
		// those at a kink do not: twice the one less the other is left with the kink's.
		bend := 2*(right-left) - (f[4][o]-2*f[2][o]+f[0][o])/h
		allowed := 1e-5*scale + 10*noise
		out[o] = difference{
			slope: (4*half - whole) / 3,
			noise: noise,
			// A difference that is not a number is at the edge of the domain.
			rough: !(math.Abs(whole-half) <= allowed && math.Abs(bend) <= allowed),
		}
	}
	return out, nil
}

// compare compares with the gradient of output o: it gives errKink where they differ
// only along directions in which the function has no derivative.
func (m *measured) compare(o int, grad []float64) error {
	var have, want, rough []float64
	noise := 0.0
	for i, along := range m.along {
		slope := 0.0
		for j, d := range along {
			if d != 0 {
				slope += d * grad[j]
			}
		}
		d := m.slope[o][i]
		if d.rough {
			rough = append(rough, slope-d.slope)
			continue
		}
		have, want = append(have, slope), append(want, d.slope)
		noise += d.noise * d.noise
	}
	limit := tolerance*max(norm(want), norm(have)) + 10*math.Sqrt(noise)
	if e := distance(have, want); !(e <= limit) {
		return fmt.Errorf("the gradient is %s, the differences %s: they are %.3g apart, and %.3g is allowed", clip(have), clip(want), e, limit)
	}
	if !(distance(rough, make([]float64, len(rough))) <= limit) {
		return errKink
	}
	return nil
}

// norm is the length of a vector, without what is not finite in it.
func norm(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		if !math.IsNaN(x) && !math.IsInf(x, 0) {
			sum += x * x
		}
	}
	return math.Sqrt(sum)
}

func distance(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		// Equal infinities are no distance apart, nor are two values that are not numbers.
		if a[i] != b[i] && !(math.IsNaN(a[i]) && math.IsNaN(b[i])) {
			sum += (a[i] - b[i]) * (a[i] - b[i])
		}
	}
	return math.Sqrt(sum)
}

func clip(v []float64) string {
	var b strings.Builder
	for i, x := range v {
		if i == 12 {
			fmt.Fprintf(&b, "… (%d)", len(v))
			break
		}
		fmt.Fprintf(&b, "%.6g ", x)
	}
	return b.String()
}
