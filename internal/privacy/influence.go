package privacy

import (
	"fmt"
	"math"
)

// group is DP-SGD as seen by some records together: in each step so many of them are in the sample, by
// the binomial distribution, and all their gradients point the same way. That pair of mixtures of normal
// distributions is the worst there is (Ganesh 2024, arXiv:2401.10294).
type group struct {
	Mechanism
	size int       // records, at least 1
	logs []float64 // the logarithms of the chances that so many are in a sample, from 0
}

func (m Mechanism) group(size int) *group {
	g := &group{Mechanism: m, size: size, logs: make([]float64, size+1)}
	n, _ := math.Lgamma(float64(size + 1))
	for j := range g.logs {
		in, _ := math.Lgamma(float64(j + 1))
		out, _ := math.Lgamma(float64(size - j + 1))
		g.logs[j] = n - in - out
		if j > 0 {
			g.logs[j] += float64(j) * math.Log(m.SampleRate)
		}
		if j < size {
			g.logs[j] += float64(size-j) * math.Log1p(-m.SampleRate)
		}
	}
	return g
}

// term is the logarithm of the part of the ratio at x that j records in the sample have.
func (m *group) term(j int, x float64) float64 {
	s, k := m.NoiseMultiplier, float64(j)
	return m.logs[j] + k*(2*x-k)/(2*s*s)
}

// ratio is the logarithm of the densities' ratio at x of an output with the records and without them.
func (m *group) ratio(x float64) float64 {
	if m.size == 1 {
		return logRatio(x, m.SampleRate, m.NoiseMultiplier)
	}
	log, _ := m.slope(x)
	return log
}

// slope is the ratio at x, and how fast it grows.
func (m *group) slope(x float64) (log, rise float64) {
	top := math.Inf(-1)
	for j := range m.logs {
		top = max(top, m.term(j, x))
	}
	sum := 0.0
	for j := range m.logs {
		e := math.Exp(m.term(j, x) - top)
		sum += e
		rise += float64(j) * e
	}
	return top + math.Log(sum), rise / sum / (m.NoiseMultiplier * m.NoiseMultiplier)
}

// output gives the x at which the ratio is a number, ±infinity where no x has it. The ratio is
// convex and rises, so that Newton's steps from above the solution, where one term alone is as large, stay above it.
func (m *group) output(at float64) float64 {
	if m.size == 1 {
		return output(at, m.SampleRate, m.NoiseMultiplier)
	}
	if at <= m.logs[0] {
		return math.Inf(-1)
	}
	x, s := math.Inf(1), m.NoiseMultiplier
	for j := 1; j <= m.size; j++ {
		if k := float64(j); !math.IsInf(m.logs[j], 0) {
			x = min(x, s*s*(at-m.logs[j])/k+k/2)
		}
	}
	for range 100 {
		log, rise := m.slope(x)
		next := x - (log-at)/rise
		if !(math.Abs(next-x) > 1e-13*max(1, math.Abs(x))) {
			break
		}
		x = next
	}
	return x
}

// MostRecords bounds the records that an influence is bounded for.
const MostRecords = 1000

// Influence bounds what an attacker gains who puts so many records of any content into the data of a private training: of
// whatever can be seen of its model, or done with it, and happens with a probability of rate at most where the training is
// without them, or has a mean of rate on a scale from 0 to 1, it gives the greatest probability or mean with them.
// The probability is over the training's sample and noise. It is above the truth by less than a part in a thousand, and not above 1.
//
// Ma, Zhu and Hsu (2019, arXiv:1903.09860) bound it by k records' share in an (ε, δ) of one, e^(kε)·rate for
// δ = 0. Here it is the least of e^ε·rate + δ(ε) over all ε of the privacy profile of the group itself.
func Influence(m Mechanism, records int, rate float64) (float64, error) {
	switch {
	case records < 0 || records > MostRecords:
		return 0, fmt.Errorf("%d poisoned records: give 0 to %d", records, MostRecords)
	case !(rate >= 0 && rate <= 1):
		return 0, fmt.Errorf("a rate of %g: give from 0 to 1", rate)
	}
	if err := m.validate(); err != nil {
		return 0, err
	}
	if records == 0 {
		return rate, nil
	}
	l, err := m.group(records).compose(removed, influencePrecision)
	if err != nil {
		return 1, nil // which nothing exceeds
	}
	return l.most(rate), nil
}

// influencePrecision is the part of the distribution whose tails may be cut off.
const influencePrecision = 1e-6

// most is the greatest probability with the records of what has a probability without them.
func (l *loss) most(rate float64) float64 {
	best := 1.0
	above, weighted, fall := l.infinite, 0.0, math.Exp(-l.step)
	for i := len(l.mass) - 1; i > 0; i-- { // δ at each point of the grid, as in epsilon
		above += l.mass[i]
		weighted = fall * (weighted + l.mass[i])
		at := l.step * float64(l.first+i-1)
		best = min(best, math.Exp(at)*rate+above-weighted)
	}
	return max(best, rate)
}
