package dataset

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Split divides the records into as many parts as there are fractions, such as
// 0.7, 0.15, 0.15 for training, validation and test. It gives each part's indices,
// shuffled. Parts are stratified: each has each class in proportion, to within one
// record or two. The seed alone decides the draw. Fractions that add up to less than 1 leave records out.
func (d *Dataset) Split(seed uint64, fractions ...float64) ([][]int, error) {
	rest := 1.0
	for _, f := range fractions {
		if !(f > 0 && f <= 1) {
			return nil, fmt.Errorf("a part of %v of the records is not between 0 and 1", f)
		}
		rest -= f
	}
	if len(fractions) == 0 || rest < -1e-9 {
		return nil, errors.New("the parts must be at least one, and add up to 1 or less")
	}
	shares := append(slices.Clone(fractions), max(rest, 0))
	random := rand.New(rand.NewPCG(seed, uint64(len(fractions))))
	parts := make([][]int, len(shares))
	carry := make([]float64, len(shares))
	for _, members := range d.byClass() {
		shuffle(random, members)
		for k, n := range apportion(len(members), shares, carry) {
			parts[k] = append(parts[k], members[:n]...)
			members = members[n:]
		}
	}
	parts = parts[:len(fractions)]
	for k, part := range parts {
		if len(part) == 0 {
			return nil, fmt.Errorf("%d records are too few: part %d of the split would be empty", d.Len(), k+1)
		}
		shuffle(random, part)
	}
	return parts, nil
}

func (d *Dataset) byClass() [][]int {
	classes := make([][]int, max(len(d.Schema.Label.Classes), 1))
	for i := range d.Len() {
		class := int32(0)
		if d.Y != nil {
			class = d.Y[i]
		}
		classes[class] = append(classes[class], i)
	}
	return classes
}

func shuffle(r *rand.Rand, list []int) {
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

// apportion divides n by largest remainders. What rounding gives a part too much or
// too little is carried to the next class, so that the parts' totals are right too.
func apportion(n int, shares, carry []float64) []int {
	counts := make([]int, len(shares))
	order := make([]int, len(shares))
	left := n
	for k, share := range shares {
		carry[k] += share * float64(n)
		counts[k] = min(max(int(math.Floor(carry[k]+1e-9)), 0), left)
		left -= counts[k]
		carry[k] -= float64(counts[k])
		order[k] = k
	}
	for ; left > 0; left-- {
		k := slices.MaxFunc(order, func(a, b int) int {
			switch {
			case carry[a] < carry[b]:
				return -1
			case carry[a] > carry[b]:
				return 1
			}
			return b - a
		})
		counts[k]++
		carry[k]--
	}
	return counts
}
