package stat

import (
	"fmt"
	"math"
)

// DifferenceBounds are exact bounds of p1−p2, where s1 of n1 and s2 of n2
// independent trials succeeded. Each of the two is one-sided at the confidence,
// whatever the two rates are.
//
// It is the unconditional tail inversion of Chan and Zhang (1999, Biometrics 55,
// 1202-1209) with one departure: tables are ordered once, by Newcombe's hybrid
// score bound (1998, Statistics in Medicine 17, 873-890, method 10), instead of
// anew by a score statistic at each difference. The tail is then the same set at
// every difference and its probability rises with the difference, so that the
// bound is the best possible for this order (Buehler 1957; Lloyd and Moldovan
// 2007, Statistics in Medicine 26) and not left to whether a p-value happens to be
// monotone (Röhmel 2005). The largest probability over the unknown rate is found
// by branch and bound, not on a grid; bounds are rounded outward by some 1e-4. It
// takes seconds where there are 10000 trials, and 100000 are the most.
func DifferenceBounds(s1, n1, s2, n2 int, confidence float64) (Interval, error) {
	if err := checkProportion(s1, n1, confidence); err != nil {
		return Interval{}, err
	}
	if err := checkCounts("trials", s2, n2); err != nil {
		return Interval{}, err
	}
	if err := checkManageable(max(n1, n2)); err != nil {
		return Interval{}, err
	}
	alpha := 1 - confidence
	return Interval{
		Lower: differenceLower(s1, n1, s2, n2, alpha),
		Upper: -differenceLower(s2, n2, s1, n1, alpha),
	}, nil
}

// PairedDifferenceBounds are exact bounds of p1−p2, the rates of success of two
// things tried on the same n units, of which onlyFirst succeeded with the first
// alone and onlySecond with the second alone. What the other units did is of no
// consequence. Each bound is one-sided at the confidence, whatever the rates and
// their dependence. The method is that of DifferenceBounds on the trinomial
// distribution of the two counts.
func PairedDifferenceBounds(onlyFirst, onlySecond, n int, confidence float64) (Interval, error) {
	if err := checkProportion(onlyFirst, n, confidence); err != nil {
		return Interval{}, err
	}
	if err := checkCounts("units", onlySecond, n); err != nil {
		return Interval{}, err
	}
	if err := checkCounts("units", onlyFirst+onlySecond, n); err != nil {
		return Interval{}, err
	}
	if err := checkManageable(n); err != nil {
		return Interval{}, err
	}
	alpha := 1 - confidence
	return Interval{
		Lower: pairedLower(onlyFirst, onlySecond, n, alpha),
		Upper: -pairedLower(onlySecond, onlyFirst, n, alpha),
	}, nil
}

func checkManageable(n int) error {
	if n > 100_000 {
		return fmt.Errorf("%d trials are more than the 100000 for which bounds of a difference are computed: compare on a sample of them", n)
	}
	return nil
}

func differenceLower(s1, n1, s2, n2 int, alpha float64) float64 {
	z := normalQuantile(1 - alpha)
	tail := tailFrom(s1, n1, s2, n2, func(a, b int) float64 { return newcombeLower(a, n1, b, n2, z, 0) })
	if tail[n2] <= 0 {
		return -1 // every table is in the tail
	}
	var first, second window
	probability := func(p1, p2 float64) float64 {
		binomialWindow(&first, n1, p1)
		binomialWindow(&second, n2, p2)
		return independentTail(tail, first, second)
	}
	return smallestDifference(alpha, probability)
}

func pairedLower(b, c, n int, alpha float64) float64 {
	z := normalQuantile(1 - alpha)
	tail := tailFrom(b, n, c, n, func(x, y int) float64 {
		covariance := -float64(x) * float64(y) / (float64(n) * float64(n) * float64(n)) // of the two rates in a trinomial
		return newcombeLower(x, n, y, n, z, covariance)
	})
	if tail[n] <= 0 {
		return -1
	}
	var second window
	probability := func(p1, p2 float64) float64 {
		binomialWindow(&second, n, p2)
		sum := 0.0
		for i, mass := range second.mass {
			k := second.from + i
			if rest := n - k; mass > 0 && tail[k] <= rest {
				sum += mass * atLeast(tail[k], rest, math.Min(p1/(1-p2), 1))
			}
		}
		return sum
	}
	return smallestDifference(alpha, probability)
}

// tailFrom gives, for each number of successes of the second, the smallest number
// of the first at which the table speaks for p1 > p2 at least as strongly as the
// observed one does; it is n1+1 where none does.
// It does so whether or not the order rises with s1; it must fall with s2.
func tailFrom(s1, n1, s2, n2 int, order func(a, b int) float64) []int {
	// What is equal but for rounding belongs to the tail.
	observed := order(s1, s2) - 1e-12
	tail := make([]int, n2+1)
	k := 0
	for j := range tail {
		for k <= n1 && order(k, j) < observed {
			k++
		}
		tail[j] = k
	}
	return tail
}

// newcombeLower falls with s2, as Wilson's bounds have slopes between 0 and 2. The covariance is 0 or less.
func newcombeLower(s1, n1, s2, n2 int, z, covariance float64) float64 {
	p1, p2 := float64(s1)/float64(n1), float64(s2)/float64(n2)
	a, b := p1-wilson(s1, n1, z).Lower, wilson(s2, n2, z).Upper-p2
	return p1 - p2 - math.Sqrt(a*a+b*b-2*z*z*covariance)
}

func independentTail(tail []int, first, second window) float64 {
	sum, above := 0.0, 0.0
	k := first.from + len(first.mass) // above is the probability of k or more
	for i := len(second.mass) - 1; i >= 0; i-- {
		for from := tail[second.from+i]; k > from && k > first.from; {
			k--
			above += first.mass[k-first.from]
		}
		sum += second.mass[i] * above
	}
	return sum
}

// smallestDifference is the smallest p1−p2 at which some pair of rates gives the
// tail a probability of more than alpha, rounded down. The probability rises with p1 and falls
// with p2: so it does with the difference, and over a cell of values of p2 it is
// nowhere above that of the largest p1 with the smallest p2.
//
// A search that may miss finds where it is; a little below that, branch and bound shows that no pair of rates
// reaches alpha, which takes few cells as the largest probability is below alpha there.
func smallestDifference(alpha float64, probability func(p1, p2 float64) float64) float64 {
	const near = 1e-6
	lower, upper := -1.0, 1.0
	for upper-lower > near {
		delta := (lower + upper) / 2
		if largestSeen(delta, probability) > alpha {
			upper = delta
		} else {
			lower = delta
		}
	}
	const finest = 2.5e-5
	for step := 1e-4; ; step *= 2 {
		delta := upper - step
		if delta <= -1 {
			return -1
		}
		if !reaches(delta, math.Max(0, -delta), math.Min(1, 1-delta), alpha, finest, probability) {
			return delta
		}
	}
}

// largestSeen is the largest probability found over p2: on a grid that is finer towards the ends, where rates mostly
// are, and then around its best point. It may miss a larger one.
func largestSeen(delta float64, probability func(p1, p2 float64) float64) float64 {
	const points = 40
	from, to := math.Max(0, -delta), math.Min(1, 1-delta)
	at := func(i float64) float64 { return from + (to-from)*(1-math.Cos(math.Pi*i/points))/2 }
	best, place := 0.0, 0.0
	see := func(i float64) {
		if i >= 0 && i <= points {
			p2 := at(i)
			if p := probability(math.Min(p2+delta, 1), p2); p > best {
				best, place = p, i
			}
		}
	}
	for i := range points + 1 {
		see(float64(i))
	}
	for step := 0.5; step > 1e-3; step /= 2 {
		centre := place
		see(centre - step)
		see(centre + step)
	}
	return best
}

// reaches tells whether the probability is above alpha for some p2 of a cell; one
// too small to be divided counts as if it were.
func reaches(delta, from, to, alpha, finest float64, probability func(p1, p2 float64) float64) bool {
	middle := (from + to) / 2
	if probability(middle+delta, middle) > alpha {
		return true
	}
	if probability(math.Min(to+delta, 1), from) <= alpha {
		return false
	}
	if to-from < finest {
		return true
	}
	return reaches(delta, from, middle, alpha, finest, probability) || reaches(delta, middle, to, alpha, finest, probability)
}
