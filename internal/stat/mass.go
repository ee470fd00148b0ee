package stat

// window is the part of a binomial distribution that is worth summing: the
// probabilities of from, from+1, … successes. What lies outside is below 1e-17 of
// the largest.
type window struct {
	from int
	mass []float64
}

// binomialWindow fills w's memory with the probabilities in n trials at the rate
// p, from the mode outward by the ratio of neighbours and scaled to a sum of 1,
// so that no logarithm of a large factorial costs digits.
func binomialWindow(w *window, n int, p float64) {
	w.mass = w.mass[:0]
	if p <= 0 || p >= 1 {
		w.from = 0
		if p >= 1 {
			w.from = n
		}
		w.mass = append(w.mass, 1)
		return
	}
	const least = 1e-17
	mode := min(int(float64(n+1)*p), n)
	low, odds := mode, p/(1-p)
	for term := 1.0; low > 0 && term > least; low-- {
		term *= float64(low) / float64(n-low+1) / odds
		w.mass = append(w.mass, term)
	}
	w.from = low
	for i, j := 0, len(w.mass)-1; i < j; i, j = i+1, j-1 {
		w.mass[i], w.mass[j] = w.mass[j], w.mass[i]
	}
	w.mass = append(w.mass, 1)
	for term, k := 1.0, mode; k < n && term > least; k++ {
		term *= float64(n-k) / float64(k+1) * odds
		w.mass = append(w.mass, term)
	}
	sum := 0.0
	for _, term := range w.mass {
		sum += term
	}
	for i := range w.mass {
		w.mass[i] /= sum
	}
}
