package stat

import (
	"math"
	"math/bits"
	"testing"
)

// Against all orders of up to 5 values and 6 others, each a set of places.
func TestExceedance(t *testing.T) {
	for m := range 6 {
		for n := 1; n <= 6; n++ {
			for r := 1; r <= n; r++ {
				before, all := make([]int, m+1), 0 // how many orders have so many values before
				for places := range uint(1) << (m + n) {
					if bits.OnesCount(places) != n {
						continue
					}
					all++
					values, others := 0, 0
					for k := 0; others < r; k++ {
						if places>>k&1 == 1 {
							others++
						} else {
							values++
						}
					}
					before[values]++
				}
				more := 0
				for c := m; c >= 0; c-- {
					more += before[c]
					got, err := Exceedance(c, m, r, n)
					if want := float64(more) / float64(all); err != nil || math.Abs(got-want) > 1e-12 {
						t.Errorf("%d of %d before %d of %d: %g, not %g (%v)", c, m, r, n, got, want, err)
					}
				}
			}
		}
	}
	for _, c := range [][4]int{{-1, 2, 1, 2}, {3, 2, 1, 2}, {1, 2, 0, 2}, {1, 2, 3, 2}} {
		if _, err := Exceedance(c[0], c[1], c[2], c[3]); err == nil {
			t.Errorf("%v was taken", c)
		}
	}
}
