package stat

import "fmt"

// Exceedance is the probability that at least c of m values come before the r-th of n others, all of them in an order of which each is
// as likely: the number of exceedances, negative hypergeometric (Gumbel and von Schelling 1950). It asks nothing of their
// distribution but that there are no ties; ties that count as not before make it an upper bound.
func Exceedance(c, m, r, n int) (float64, error) {
	if m < 0 || c < 0 || c > m || r < 1 || r > n || n > most || m > most {
		return 0, fmt.Errorf("%d of %d values before number %d of %d others cannot be", c, m, r, n)
	}
	// So many come before it when of the first c+r-1 of all at most r-1 are others.
	return drawnAtMost(r-1, c+r-1, n, n+m), nil
}
