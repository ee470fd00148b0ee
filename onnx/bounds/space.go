package bounds

import (
	"fmt"
	"math"
)

// Space is what inputs can be, whoever makes them, with one entry for each number of an
// example. Nil slices say nothing: no limits, a scale of 1, nothing fixed.
type Space struct {
	Low, High []float32 // closed limits
	Scale     []float32 // what a perturbation of size 1 is; positive
	Fixed     []bool    // which cannot be changed
	// Free are those that may take any value within their limits whatever the size of the
	// perturbation, such as the numbers of a categorical feature.
	Free []bool
}

// Box writes the smallest box of float32 that holds all inputs of the space within eps ≥ 0
// of x, in the maximum norm in units of Scale: it is rounded outwards. It holds the balls
// of that radius in L2 and L1 too. X itself must be in the space.
func (s Space) Box(x []float32, eps float64, lower, upper []float32) error {
	if !(eps >= 0) || math.IsInf(eps, 1) {
		return fmt.Errorf("eps is %v: give a number of 0 or more", eps)
	}
	if err := s.fits(len(x)); err != nil {
		return err
	}
	for i, v := range x {
		low, high := float32(math.Inf(-1)), float32(math.Inf(1))
		if s.Low != nil {
			low = s.Low[i]
		}
		if s.High != nil {
			high = s.High[i]
		}
		if !(low <= v && v <= high) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("number %d of the input, %v, is not within its limits of %v to %v", i, v, low, high)
		}
		switch {
		case s.Fixed != nil && s.Fixed[i]:
			low, high = v, v
		case s.Free != nil && s.Free[i]:
		default:
			reach := eps
			if s.Scale != nil {
				reach = math.Nextafter(reach*float64(s.Scale[i]), math.Inf(1))
			}
			low, high = max(low, outward(float64(v)-reach, -1)), min(high, outward(float64(v)+reach, 1))
		}
		lower[i], upper[i] = low, high
	}
	return nil
}

// outward is the nearest float32 to x on the side of the sign, a float64 that may itself
// have been rounded.
func outward(x float64, sign int) float32 {
	end := math.Inf(sign)
	x = math.Nextafter(x, end)
	f := float32(x)
	if sign > 0 && float64(f) < x || sign < 0 && float64(f) > x {
		f = math.Nextafter32(f, float32(end))
	}
	return f
}

func (s Space) fits(n int) error {
	for name, length := range map[string]int{
		"lower limits": len(s.Low), "upper limits": len(s.High), "scales": len(s.Scale), "marks of what is fixed": len(s.Fixed), "marks of what is free": len(s.Free),
	} {
		if length != 0 && length != n {
			return fmt.Errorf("there are %d %s for inputs of %d numbers", length, name, n)
		}
	}
	return nil
}
