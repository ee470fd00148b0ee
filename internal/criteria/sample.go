package criteria

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"assay/internal/stat"
)

// sample is what was observed of a metric in a number of units that was fixed before.
type sample interface {
	size() int
	estimate() float64
	// bounds gives one-sided bounds, each at the confidence; nil where there is none.
	bounds(confidence float64) (lower, upper *float64)
}

// grower is a sample of which one can tell at once what n units with the same shares
// would be.
type grower interface{ grown(n int) sample }

// proportion is so many events among so many units. Its bounds are exact (Clopper and
// Pearson 1934).
type proportion struct{ events, n int }

func (p proportion) size() int         { return p.n }
func (p proportion) estimate() float64 { return float64(p.events) / float64(p.n) }
func (p proportion) grown(n int) sample {
	return proportion{scaled(p.events, p.n, n), n}
}

func (p proportion) bounds(confidence float64) (lower, upper *float64) {
	return known(stat.BinomialLower(p.events, p.n, confidence)), known(stat.BinomialUpper(p.events, p.n, confidence))
}

// difference is on how many of n units only the first, and only the second, of two
// proportions has its event.
type difference struct{ first, second, n int }

func (d difference) size() int         { return d.n }
func (d difference) estimate() float64 { return float64(d.first-d.second) / float64(d.n) }

func (d difference) bounds(confidence float64) (lower, upper *float64) {
	return ends(pairedBounds(d.first, d.second, d.n, confidence))
}

// maxPaired is up to how many pairs the tightest exact bounds are computed: they take
// seconds at that, and time grows with the square of it.
const maxPaired = 1000

// pairedBounds are one-sided bounds of the difference of two proportions on the same
// units, exact at any size. Which of two ways is taken depends on the number of units alone.
func pairedBounds(onlyFirst, onlySecond, n int, confidence float64) (stat.Interval, error) {
	if n <= maxPaired {
		return stat.PairedDifferenceBounds(onlyFirst, onlySecond, n, confidence)
	}
	return apart(onlyFirst, onlySecond, n, confidence)
}

// apart bounds the difference by bounding both shares, each with half of the error
// (Bonferroni): quick, and wider by about a third where both happen.
func apart(onlyFirst, onlySecond, n int, confidence float64) (stat.Interval, error) {
	half := 1 - (1-confidence)/2
	lower1, err1 := stat.BinomialLower(onlyFirst, n, half)
	upper1, err2 := stat.BinomialUpper(onlyFirst, n, half)
	lower2, err3 := stat.BinomialLower(onlySecond, n, half)
	upper2, err4 := stat.BinomialUpper(onlySecond, n, half)
	return stat.Interval{Lower: lower1 - upper2, Upper: upper1 - lower2}, errors.Join(err1, err2, err3, err4)
}

// quantile is the 95th percentile of n numbers, which are the sorted ones, each as often
// as n is greater. Its bounds are order statistics, exact for any distribution.
type quantile struct {
	sorted []float64
	n      int
}

func (q quantile) size() int          { return q.n }
func (q quantile) grown(n int) sample { return quantile{q.sorted, n} }
func (q quantile) estimate() float64  { return q.at(int(math.Ceil(percentile * float64(q.n)))) }

// at gives the i-th smallest number, i from 1 to n.
func (q quantile) at(i int) float64 {
	return q.sorted[int(float64(i-1)*float64(len(q.sorted))/float64(q.n))]
}

// bounds: the i-th smallest is an upper bound where P(Bin(n, 0.95) ≥ i), the chance that
// so many lie below the percentile, is at most 1 - confidence; it is a lower bound where
// P(Bin(n, 0.95) ≤ i-1) is (David and Nagaraja, Order Statistics, 3rd edition, 7.1). Both are
// asked of the binomial bounds, which say the same of the share.
func (q quantile) bounds(confidence float64) (lower, upper *float64) {
	above := sort.Search(q.n, func(i int) bool {
		share, err := stat.BinomialLower(i+1, q.n, confidence)
		return err == nil && share >= percentile
	})
	if above < q.n {
		upper = ptr(q.at(above + 1))
	}
	below := sort.Search(q.n, func(i int) bool {
		share, err := stat.BinomialUpper(i, q.n, confidence)
		return err != nil || share > percentile
	})
	if below > 0 {
		lower = ptr(q.at(below))
	}
	return lower, upper
}

// mean is the mean of numbers between 0 and 1. Its bounds hold at every size, and so at a
// fixed one (Waudby-Smith and Ramdas 2023).
type mean struct{ values []float64 }

func (m mean) size() int { return len(m.values) }

func (m mean) bounds(confidence float64) (lower, upper *float64) {
	s, err := stat.NewMeanSequence(confidence)
	if err != nil {
		return nil, nil
	}
	for _, v := range m.values {
		if s.Observe(v) != nil {
			return nil, nil
		}
	}
	return ends(s.Interval(), nil)
}

func (m mean) estimate() float64 {
	sum := 0.0
	for _, v := range m.values {
		sum += v
	}
	return sum / float64(len(m.values))
}

// sampleOf makes a sample of the first n observations, of all where there are fewer.
func (q question) sampleOf(o Observations, n int) (sample, error) {
	outcomes, values := o.Outcomes[:min(n, len(o.Outcomes))], o.Values[:min(n, len(o.Values))]
	switch q.metric.Kind {
	case Proportion:
		return proportion{tally(outcomes), len(outcomes)}, nil
	case Difference:
		if len(o.Outcomes) != len(o.Without) {
			return nil, fmt.Errorf("%d units were observed with the solution and %d without it", len(o.Outcomes), len(o.Without))
		}
		d := difference{n: len(outcomes)}
		for i, with := range outcomes {
			switch {
			case o.Without[i] && !with:
				d.first++
			case with && !o.Without[i]:
				d.second++
			}
		}
		return d, nil
	}
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) || q.metric.Kind == Mean && (v < 0 || v > 1) {
			return nil, fmt.Errorf("observation %d is %v, which is no value of %s", i+1, v, q.metric.Name)
		}
	}
	if q.metric.Kind == Mean {
		return mean{values}, nil
	}
	return quantile{slices.Sorted(slices.Values(values)), len(values)}, nil
}

// scaled gives the events that n units would have with the share of events in of.
func scaled(events, of, n int) int {
	return int(math.Round(float64(events) / float64(of) * float64(n)))
}

func ptr(v float64) *float64 { return &v }

// known gives a bound, nil where there is none.
func known(bound float64, err error) *float64 {
	if err != nil {
		return nil
	}
	return &bound
}

func ends(i stat.Interval, err error) (lower, upper *float64) {
	if err != nil {
		return nil, nil
	}
	return &i.Lower, &i.Upper
}
