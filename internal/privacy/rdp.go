package privacy

import "math"

// orders are those of Rényi's divergence among which the best is taken: close together where it is small.
func orders() []float64 {
	var all []float64
	for x := 1; x < 100; x++ {
		all = append(all, 1+float64(x)/10)
	}
	for a := 12.0; a < 64; a++ {
		all = append(all, a)
	}
	for a := 64.0; a <= 4096; a *= 1.25 {
		all = append(all, math.Floor(a))
	}
	return all
}

// RDP gives Rényi's divergence of an order above 1 between the outputs of neighbours: that of one step
// (Mironov, Talwar and Zhang 2019, arXiv:1908.10530, sections 3.1 to 3.3), times the steps. Their
// closed forms for whole orders and series for others are here one integral, which the trapezoidal
// rule takes with the precision of float64, since the integrand is smooth and falls like a Gaussian.
func (m Mechanism) RDP(order float64) float64 { return m.group(1).rdp(order) }

func (m *group) rdp(order float64) float64 {
	s, size := m.NoiseMultiplier, float64(m.size)
	if m.SampleRate == 1 {
		return float64(m.Steps) * order * size * size / (2 * s * s)
	}
	// log E over x from N(0, s²) of the ratio at x to the power of the order, which for one record is
	// (1 - q + q·exp((2x - 1)/(2s²)))^order. The integrand's modes are between 0 and order times the size.
	from, to, h := -12*s, order*size+12*s, s*min(s, 1)/(6*size)
	n := int((to-from)/h) + 1
	terms := make([]float64, n)
	largest := math.Inf(-1)
	for i := range terms {
		x := from + float64(i)*h
		terms[i] = order*m.ratio(x) - x*x/(2*s*s)
		largest = max(largest, terms[i])
	}
	sum := 0.0
	for _, t := range terms {
		sum += math.Exp(t - largest)
	}
	log := largest + math.Log(sum*h/(s*math.Sqrt(2*math.Pi)))
	return float64(m.Steps) * max(0, log) / (order - 1)
}

// logRatio is the logarithm of the densities' ratio at x of an output with the record and without it.
func logRatio(x, q, s float64) float64 {
	shift := (2*x - 1) / (2 * s * s)
	if shift > 0 { // without overflow
		return shift + math.Log(q+(1-q)*math.Exp(-shift))
	}
	return math.Log1p(q * math.Expm1(shift))
}

// EpsilonByRDP gives the ε at δ that Rényi's divergence proves, by the conversion of Canonne, Kamath and
// Steinke (2020, arXiv:2004.00010, Proposition 12), and the order that proves it. It is what most
// tools report; Epsilon proves less.
func EpsilonByRDP(m Mechanism, delta float64) (epsilon, order float64, err error) {
	if err := m.validate(); err != nil {
		return 0, 0, err
	}
	if err := validateDelta(delta); err != nil {
		return 0, 0, err
	}
	epsilon = math.Inf(1)
	for _, a := range orders() {
		e := m.RDP(a) + math.Log1p(-1/a) - (math.Log(delta)+math.Log(a))/(a-1)
		if e < epsilon {
			epsilon, order = max(e, 0), a
		}
	}
	return epsilon, order, nil
}
