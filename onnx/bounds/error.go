package bounds

import (
	"fmt"
	"math"
)

// What follows bounds the errors of float32 as docs/adr/0016 proves: those of the model's
// own run, those of computing its bounds, and those that linear bounds make on their
// way, which are products of their coefficients with the same magnitudes.
const (
	unit  = 1.0 / (1 << 24) // of rounding
	slack = 4 * unit        // for a few operations on a number, of its magnitude

	// tiny is more than what a sum of products loses by underflow.
	tiny = 0x1p-120
	// most is the sum of an example's error terms from which on its bounds are taken for
	// infinite: below, no sum that went into them can have overflowed.
	most = 1e31
	// approximate is the error of the runtime's approximations of Exp, Erf, Tanh, Sigmoid
	// and their like, of their value and of 1; a test holds the runtime to it.
	approximate = 0x1p-20
)

// gamma bounds the relative error of a sum of n products, with room for the rounding of
// what is computed about it (Higham, Accuracy and Stability of Numerical Algorithms,
// 2002, section 3.1, with 2 n + 16 for n).
func gamma(n int64) (float64, error) {
	k := float64(2*n+16) * unit
	if k > 1.0/8 {
		return 0, fmt.Errorf("its sums of %d products are too long for float32", n)
	}
	return k / (1 - k), nil
}

// up is a float32 that is not below x.
func up(x float64) float32 {
	f := float32(x)
	if float64(f) < x {
		f = math.Nextafter32(f, float32(math.Inf(1)))
	}
	return f
}
