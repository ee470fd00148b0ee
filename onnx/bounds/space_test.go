package bounds

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestBox(t *testing.T) {
	s := Space{
		Low: []float32{0, 0, 0, 0}, High: []float32{1, 1, 1, 9}, Scale: []float32{1, 1, 1, 10},
		Fixed: []bool{false, true, false, false}, Free: []bool{false, false, true, false},
	}
	lower, upper := make([]float32, 4), make([]float32, 4)
	if err := s.Box([]float32{0.95, 0.5, 1, 5}, 0.1, lower, upper); err != nil {
		t.Fatal(err)
	}
	for i, want := range [][2]float32{{0.85, 1}, {0.5, 0.5}, {0, 1}, {4, 6}} {
		if lower[i] > want[0] || upper[i] < want[1] || lower[i] < want[0]-1e-6 || upper[i] > want[1]+1e-6 {
			t.Errorf("number %d: [%v, %v], want %v", i, lower[i], upper[i], want)
		}
	}
	for _, bad := range [][]float32{{2, 0, 0, 0}, {float32(math.NaN()), 0, 0, 0}, {0, 0, 0}} {
		if s.Box(bad, 0.1, lower, upper) == nil {
			t.Errorf("a box of %v", bad)
		}
	}
	for _, eps := range []float64{-1, math.NaN(), math.Inf(1)} {
		if s.Box([]float32{0, 0, 0, 0}, eps, lower, upper) == nil {
			t.Errorf("a box of eps %v", eps)
		}
	}
}

// TestBoxIsOutward compares with the exact ends.
func TestBoxIsOutward(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	l, u := make([]float32, 1), make([]float32, 1)
	for range 10_000 {
		x := float32(rng.NormFloat64() * math.Pow(10, 20*rng.Float64()-10))
		eps := math.Pow(10, 20*rng.Float64()-15)
		if err := (Space{}).Box([]float32{x}, eps, l, u); err != nil {
			t.Fatal(err)
		}
		// The differences are exact where they matter: to within the rounding that they may not have.
		if float64(x)-float64(l[0]) < eps || float64(u[0])-float64(x) < eps {
			t.Fatalf("[%v, %v] around %v is not of eps %v", l[0], u[0], x, eps)
		}
	}
}
