package poisoning

import (
	"math/rand/v2"
	"testing"
)

// TestCompanions: what several records of a class have in common is found, and one that is far out by itself is not.
func TestCompanions(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const n, width, planted = 600, 20, 12
	r := &Records{Classes: 2, Inputs: Matrix{Width: width}}
	for i := range n {
		r.Labels = append(r.Labels, i%2)
		for j := range width {
			r.Inputs.Data = append(r.Inputs.Data, float32(rng.NormFloat64())*float32(1+j)) // each in its own unit
		}
	}
	for k := range planted { // of class 0: two numbers are moved by eight deviations
		row := r.Inputs.Row(2 * k)
		row[3], row[11] = row[3]+8*4, row[11]-8*12
	}
	const alone = n - 1
	r.Inputs.Row(alone)[7] += 12 * 8
	got, err := Companions{}.Suspect(t.Context(), r, rng)
	if err != nil {
		t.Fatal(err)
	}
	above := 0
	for i := 2 * planted; i < n; i++ {
		if got[i] >= got[0] {
			above++
		}
	}
	low := got[0]
	for k := range planted {
		low = min(low, got[2*k])
	}
	if above > 0 || got[alone] >= low {
		t.Errorf("%d others are above the planted, whose least is %.1f; the lone one is at %.1f", above, low, got[alone])
	}
}

// TestCompanionsWide: records of more numbers than are whitened are looked at by their projection, the same under the same seed.
func TestCompanionsWide(t *testing.T) {
	r := &Records{Classes: 2, Inputs: Matrix{Width: widest + 8}}
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 40 {
		r.Labels = append(r.Labels, i%2)
		for range r.Inputs.Width {
			r.Inputs.Data = append(r.Inputs.Data, rng.Float32())
		}
	}
	a, err := Companions{}.Suspect(t.Context(), r, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Companions{}.Suspect(t.Context(), r, rand.New(rand.NewPCG(1, 1)))
	for i := range a {
		if err != nil || a[i] != b[i] || a[i] == 0 {
			t.Fatalf("record %d: %v and %v, %v", i, a[i], b[i], err)
		}
	}
}
