package neighbours

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"assay/internal/method/poisoning"
	"assay/internal/model/ort"
)

// The search agrees with one by differences in float64, in several blocks and far from the origin.
func TestSearch(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ n, width, k int }{{2, 1, 1}, {300, 7, 5}, {5000, 3, 2}} {
		m := poisoning.Matrix{Width: c.width, Data: make([]float32, c.n*c.width)}
		for i := range m.Data {
			m.Data[i] = 1000 + float32(rng.NormFloat64())
		}
		got, err := Search(ort.Options{})(t.Context(), m, c.k)
		if err != nil {
			t.Fatal(err)
		}
		for i := range min(c.n, 200) {
			want := exhaustive(m, i)
			for k, d := range got.Distance[i*c.k : (i+1)*c.k] {
				j := int(got.Index[i*c.k+k])
				if j == i || math.Abs(float64(d)-want[k]) > 1e-3*want[k] {
					t.Fatalf("%+v: neighbour %d of record %d is %d at %v, and should be at %v", c, k, i, j, d, want[k])
				}
			}
		}
	}
}

// exhaustive gives the distances of a row to all others, the least first.
func exhaustive(m poisoning.Matrix, i int) []float64 {
	var out []float64
	for j := range m.Len() {
		if j == i {
			continue
		}
		sum := 0.0
		for c, v := range m.Row(i) {
			sum += math.Pow(float64(v)-float64(m.Row(j)[c]), 2)
		}
		out = append(out, math.Sqrt(sum))
	}
	slices.SortFunc(out, cmp.Compare[float64])
	return out
}

// Records that are the same are each other's neighbours, and none is its own.
func TestSame(t *testing.T) {
	m := poisoning.Matrix{Width: 2, Data: make([]float32, 20)}
	got, err := Search(ort.Options{})(t.Context(), m, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if near, d := got.Of(i); slices.Contains(near, int32(i)) || d[2] != 0 {
			t.Errorf("record %d: %v at %v", i, near, d)
		}
	}
}

func TestRefuses(t *testing.T) {
	m := poisoning.Matrix{Width: 2, Data: make([]float32, 4)}
	if _, err := Search(ort.Options{})(t.Context(), m, 2); err == nil || !strings.Contains(err.Error(), "do not have 2") {
		t.Errorf("%v", err)
	}
}
