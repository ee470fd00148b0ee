package method

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestClipAll: a row is clipped as its numbers are one by one, also after eps, norm and clean row have changed.
func TestClipAll(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const n = 12
	inf := float32(math.Inf(1))
	d := &Domain{Low: make([]float32, n), High: make([]float32, n), Scale: make([]float32, n), Fixed: make([]bool, n), Integer: make([]bool, n), Groups: []Group{{Start: 4, End: 7}}}
	for i := range n {
		d.Low[i], d.High[i], d.Scale[i] = -1, 1, 0.5+r.Float32()
	}
	d.Fixed[1], d.Integer[2], d.High[2], d.Low[3], d.High[3] = true, true, 9, -inf, inf
	s := &Space{Domain: d}
	for range 2000 {
		s.Norm, s.Eps = []Norm{Linf, L2, L1}[r.IntN(3)], math.Exp(3*r.NormFloat64())
		if r.IntN(3) == 0 || s.Clean == nil {
			s.Clean = make([]float32, n)
			for i := range s.Clean {
				s.Clean[i] = float32(r.NormFloat64())
			}
			s.Clean[2] = float32(r.IntN(9))
		}
		x, want := make([]float32, n), make([]float32, n)
		for i := range x {
			switch x[i] = float32(math.Exp(2*r.NormFloat64()) * r.NormFloat64()); r.IntN(20) {
			case 0:
				x[i] = float32(math.NaN())
			case 1:
				x[i] = -inf
			}
			if want[i] = x[i]; i < 4 || i >= 7 {
				want[i] = s.clip(i, x[i])
			}
		}
		s.clipAll(x)
		for i := range x {
			if x[i] != want[i] && !(x[i] != x[i] && want[i] != want[i]) {
				t.Fatalf("%s up to %g: number %d is %v, one by one %v", s.Norm, s.Eps, i, x[i], want[i])
			}
		}
	}
}
