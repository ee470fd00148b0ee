package privacy

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/dsp/fourier"
	"gonum.org/v1/gonum/stat/distuv"
)

// Epsilon gives the least ε at δ, by the distribution of the privacy loss (Koskela, Jälkö and
// Honkela 2020, arXiv:1906.03049). The loss of one step is put on a grid such that the result can only be
// too large (Doroshenko et al. 2022, arXiv:2207.04380, "connect the dots"), that of all steps is
// its convolution with itself, by Fourier's transform. It is above the truth by less than a part in a thousand.
func Epsilon(m Mechanism, delta float64) (float64, error) {
	if err := m.validate(); err != nil {
		return 0, err
	}
	if err := validateDelta(delta); err != nil {
		return 0, err
	}
	worst := 0.0
	for _, d := range []direction{removed, added} {
		if m.SampleRate == 1 && d == added {
			continue // both are the same
		}
		l, err := m.group(1).compose(d, delta)
		if err != nil {
			return 0, err
		}
		worst = max(worst, l.epsilon(delta))
	}
	return worst, nil
}

// Delta gives the least δ at ε, as Epsilon gives ε at δ.
func Delta(m Mechanism, epsilon float64) (float64, error) {
	if err := m.validate(); err != nil {
		return 0, err
	}
	if !(epsilon >= 0 && epsilon < 1e3) {
		return 0, fmt.Errorf("an epsilon of %g: give from 0 to 1000", epsilon)
	}
	worst := 0.0
	for _, d := range []direction{removed, added} {
		l, err := m.group(1).compose(d, 1e-12)
		if err != nil {
			return 0, err
		}
		worst = max(worst, l.delta(epsilon))
	}
	return min(worst, 1), nil
}

// direction says whether the neighbour lacks the record or has it.
type direction int

const (
	removed direction = iota // the loss is log P/Q under P, where P has the record
	added                    // the loss is log Q/P under Q
)

// loss is a distribution of privacy loss on the grid step·(first + i).
type loss struct {
	step     float64
	first    int
	mass     []float64
	infinite float64 // of an infinite loss, with all that was cut off
}

// delta is E[(1 - exp(ε - L))⁺], the least δ at ε.
func (l *loss) delta(epsilon float64) float64 {
	sum := l.infinite
	for i := len(l.mass) - 1; i >= 0; i-- {
		x := l.step*float64(l.first+i) - epsilon
		if x <= 0 {
			break
		}
		sum += -math.Expm1(-x) * l.mass[i]
	}
	return sum
}

// epsilon is the least ε at δ, infinite where there is none. From the greatest loss down it keeps the mass
// above a point and that mass weighted by exp(point - loss), until δ is reached between two points.
func (l *loss) epsilon(delta float64) float64 {
	above, weighted, fall := l.infinite, 0.0, math.Exp(-l.step)
	if above > delta {
		return math.Inf(1)
	}
	for i := len(l.mass) - 1; i > 0; i-- {
		above += l.mass[i]
		weighted = fall * (weighted + l.mass[i])
		at := l.step * float64(l.first+i-1)
		if above-weighted > delta {
			return max(0, at+math.Log((above-delta)/weighted))
		}
		if at <= 0 {
			return 0
		}
	}
	return 0
}

// gridPoints is about how many points the grid of all steps' loss has.
const gridPoints = 1 << 19

// compose gives the loss of all steps. What it cuts off is less than a part in 10,000 of delta, and counted as infinite loss.
func (m *group) compose(d direction, delta float64) (*loss, error) {
	cut := delta * 1e-5
	// Below -reach the mass is less than exp(-reach), since E[exp(-L)] is at most 1; above it,
	// less than exp(λ(RDP(λ+1) - reach)) for every λ (Markov's inequality). Both are to be at most cut.
	reach := -math.Log(cut)
	above := math.Inf(1)
	for a := 1.125; a <= 512; a = 1 + (a-1)*1.5 {
		above = min(above, m.rdp(a)-math.Log(cut)/(a-1))
	}
	reach = max(reach, above)
	if !(reach < 1e6) {
		return nil, fmt.Errorf("sample rate %g, noise multiplier %g and %d steps are not private in any sense: more noise or fewer steps are needed", m.SampleRate, m.NoiseMultiplier, m.Steps)
	}
	step := 2 * reach / gridPoints
	one := m.once(d, step, cut/float64(m.Steps))
	n := gridPoints
	for n < len(one.mass) {
		n *= 2
	}
	mass := make([]float64, n) // around zero, which is in the middle: place p stands for the loss step·(p - n/2)
	for i, v := range one.mass {
		mass[((one.first+i)%n+n)%n] += v
	}
	fft := fourier.NewFFT(n)
	c := fft.Coefficients(nil, mass)
	for i := range c {
		c[i] = power(c[i], m.Steps)
	}
	mass = fft.Sequence(mass, c)
	out := &loss{step: step, first: -n / 2, mass: make([]float64, n)}
	for i := range mass {
		out.mass[(i+n/2)%n] = max(0, mass[i]/float64(n)) // below 0 by rounding alone
	}
	out.infinite = -math.Expm1(float64(m.Steps)*math.Log1p(-one.infinite)) + 2*cut
	return out, nil
}

// power raises to a whole power by squaring, exact to rounding also where a logarithm would lose its branch.
func power(z complex128, n int) complex128 {
	out := complex(1, 0)
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			out *= z
		}
		z *= z
	}
	return out
}

// once gives the loss of one step on a grid. The mass of each interval between two points
// goes to both of them, such that what P and what Q give the interval is kept: no hockey-stick divergence is less
// than the true one then, and at the grid's points each is equal.
func (m *group) once(d direction, step, cut float64) *loss {
	s := m.NoiseMultiplier
	unit := distuv.UnitNormal
	z := -unit.Quantile(cut / 4)
	from, to := -z*s, float64(m.size)+z*s // of the output x: beyond it is less than cut, with the records and without
	low, high := m.ratio(from), m.ratio(to)
	if d == added {
		low, high = -high, -low
	}
	l := &loss{step: step, first: int(math.Floor(low / step)), infinite: cut}
	points := int(math.Ceil(high/step)) - l.first + 1
	l.mass = make([]float64, points)
	// The interval of outputs whose loss is between two grid points, under both distributions.
	edge := func(i int) float64 {
		at := step * float64(l.first+i)
		if d == added {
			at = -at
		}
		return m.output(at)
	}
	between := func(a, b float64) (with, without float64) {
		if a > b {
			a, b = b, a
		}
		for j, share := range m.logs {
			with += math.Exp(share) * interval((a-float64(j))/s, (b-float64(j))/s)
		}
		return with, interval(a/s, b/s)
	}
	left := edge(0)
	for i := range points - 1 {
		right := edge(i + 1)
		p, other := between(left, right)
		if d == added {
			p, other = other, p
		}
		// p/exp(ε_i) is more than other: a part b of p is at the upper point, where it weighs less.
		b := (p - math.Exp(step*float64(l.first+i))*other) / -math.Expm1(-step)
		b = min(max(b, 0), p)
		l.mass[i] += p - b
		l.mass[i+1] += b
		left = right
	}
	return l
}

// output gives the x at which the loss is a number, ±infinity where no x has it.
func output(at, q, s float64) float64 {
	// exp(at) = 1 - q + q·exp((2x-1)/(2s²))
	if at <= math.Log1p(-q) {
		return math.Inf(-1)
	}
	var shift float64
	if at > 30 {
		shift = at - math.Log(q) + math.Log1p(-(1-q)*math.Exp(-at))
	} else {
		inner := math.Expm1(at)/q + 1
		if inner <= 0 {
			return math.Inf(-1)
		}
		shift = math.Log(inner)
	}
	return s*s*shift + 0.5
}

// interval is the mass of the standard normal distribution between two numbers, precise in both tails.
func interval(a, b float64) float64 {
	if a > 0 {
		a, b = -b, -a
	}
	return distuv.UnitNormal.CDF(b) - distuv.UnitNormal.CDF(a)
}
