package html

import (
	"math"
	"strconv"
)

// axis maps values to places in a drawing.
type axis struct {
	low, high float64 // values, or their powers of ten
	from, to  float64 // places, in the drawing's units
	step      float64 // between ticks
	log       bool    // logarithmic
}

// tick is a mark on an axis.
type tick struct {
	At    string
	Label string
}

// newAxis gives an axis over values that ends at round numbers, with about so many
// ticks. It begins at zero unless all values lie far from it.
func newAxis(from, to float64, ticks int, values ...float64) axis {
	low, high := values[0], values[0]
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	if low > 0 && low < high/2 {
		low = 0
	}
	if high == low {
		low, high = min(low, 0), max(high, 0)
		if high == low {
			high = 1
		}
	}
	step := roundStep((high - low) / float64(ticks))
	return axis{math.Floor(low/step+1e-9) * step, math.Ceil(high/step-1e-9) * step, from, to, step, false}
}

// leastLog is the least value that stands on a logarithmic axis.
const leastLog = 1e-12

// newLogAxis gives a logarithmic axis that ends at powers of ten, of which there is more than one.
func newLogAxis(first, last, from, to float64) axis {
	low := math.Floor(math.Log10(first) + 1e-9)
	return axis{low, max(math.Ceil(math.Log10(last)-1e-9), low+1), from, to, 1, true}
}

// roundStep gives the least of 1, 2, 5 times a power of ten that is no less than a width.
func roundStep(width float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(width)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= width*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// place gives where a value is drawn; one beyond the axis is drawn at its end.
func (a axis) place(v float64) float64 {
	if a.log {
		v = math.Log10(max(v, leastLog))
	}
	part := (min(max(v, a.low), a.high) - a.low) / (a.high - a.low)
	return a.from + part*(a.to-a.from)
}

func (a axis) at(v float64) string { return coordinate(a.place(v)) }

func (a axis) ticks(label func(float64) string) []tick {
	var ticks []tick
	for i := range int(math.Round((a.high-a.low)/a.step)) + 1 {
		v := a.low + float64(i)*a.step
		if a.log {
			v = math.Pow10(int(v))
		}
		ticks = append(ticks, tick{a.at(v), label(v)})
	}
	return ticks
}

// coordinate writes a place to a tenth, which is finer than can be seen.
func coordinate(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// drawable says whether values can stand on an axis without losing all precision.
func drawable(values ...float64) bool {
	for _, v := range values {
		if math.Abs(v) > 1e12 {
			return false
		}
	}
	return true
}
