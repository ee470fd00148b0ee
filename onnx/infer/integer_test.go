package infer

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestAlgebra computes with names and with numbers, and compares.
func TestAlgebra(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	named := 0
	for range 20000 {
		a := newAlgebra()
		sizes := map[string]int64{"h": 1 + r.Int64N(40), "w": 1 + r.Int64N(40), "n": 1 + r.Int64N(9)}
		x, want := randomSize(r, a, sizes, 5)
		if !x.given() {
			continue
		}
		if !x.known {
			named++
		}
		if got := evaluate(a, x, sizes); got != want {
			t.Fatalf("%s with %v is %d, not %d", x.name, sizes, got, want)
		}
		if least, ok := a.least(x); ok && want < least {
			t.Fatalf("%s with %v is %d, below %d", x.name, sizes, want, least)
		}
	}
	if named < 5000 {
		t.Errorf("only %d had names", named)
	}
}

// randomSize makes a random computation of a size, by name and by number.
func randomSize(r *rand.Rand, a *algebra, sizes map[string]int64, depth int) (integer, int64) {
	if depth == 0 || r.IntN(6) == 0 {
		if r.IntN(3) == 0 {
			n := r.Int64N(9) - 3
			return number(n), n
		}
		name := []string{"h", "w", "n"}[r.IntN(3)]
		a.use(name, 1)
		return integer{name: name}, sizes[name]
	}
	x, m := randomSize(r, a, sizes, depth-1)
	if r.IntN(3) == 0 {
		by := 1 + r.Int64N(4)
		q, err := a.div(x, number(by))
		if err != nil {
			return integer{}, 0
		}
		return q, floorDiv(m, by)
	}
	y, n := randomSize(r, a, sizes, depth-1)
	var z integer
	var err error
	switch r.IntN(3) {
	case 0:
		z, err = a.add(x, y)
		m += n
	case 1:
		z, err = a.sub(x, y)
		m -= n
	default:
		z, err = a.mul(x, y)
		m *= n
	}
	if err != nil {
		return integer{}, 0
	}
	return z, m
}

// evaluate puts numbers in the place of names.
func evaluate(a *algebra, x integer, sizes map[string]int64) int64 {
	total := int64(0)
	for _, t := range a.sum(x) {
		product := t.factor
		for _, f := range t.factors {
			if q := a.atoms[f]; q.den > 0 {
				product *= floorDiv(evaluate(a, q.num, sizes), q.den)
			} else {
				product *= sizes[f]
			}
		}
		total += product
	}
	return total
}

func TestCanonicalNames(t *testing.T) {
	a := newAlgebra()
	a.use("h", 1)
	h := integer{name: "h"}
	must := func(x integer, err error) integer {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	// (h - 1) / 2 + 1 and (h + 1) / 2, as two exporters write the same stride.
	one := must(a.add(must(a.div(must(a.sub(h, number(1))), number(2))), number(1)))
	two := must(a.div(must(a.add(h, number(1))), number(2)))
	if one != two || one.name != "floor((h+1)/2)" {
		t.Errorf("%q and %q", one.name, two.name)
	}
	if four := must(a.div(two, number(2))); four.name != "floor((h+1)/4)" {
		t.Errorf("%q", four.name)
	}
	if back := must(a.div(must(a.mul(h, number(6))), number(3))); back.name != "2*h" {
		t.Errorf("%q", back.name)
	}
	if none := must(a.sub(must(a.mul(h, h)), must(a.mul(h, h)))); none != number(0) {
		t.Errorf("%v", none)
	}
}

// TestGrowth holds that names stay short.
func TestGrowth(t *testing.T) {
	a := newAlgebra()
	x := integer{name: "x"}
	a.use("x", 1)
	for i := range 100 {
		y := a.fresh(strings.Repeat("y", i), 0)
		var err error
		if x, err = a.add(x, y); err != nil {
			t.Fatal(err)
		}
		if x, err = a.mul(x, x); err != nil {
			t.Fatal(err)
		}
		if len(x.name) > maxName {
			t.Fatalf("a name of %d bytes", len(x.name))
		}
	}
}

func TestOverflow(t *testing.T) {
	numbers := []int64{0, 1, -1, 2, -2, 3, 1 << 31, 1 << 32, -1 << 32, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1, math.MinInt64 + 1}
	for _, x := range numbers {
		for _, y := range numbers {
			sum, err := addInt(x, y)
			if want := new(big.Int).Add(big.NewInt(x), big.NewInt(y)); want.IsInt64() != (err == nil) || err == nil && want.Int64() != sum {
				t.Errorf("%d + %d = %d, %v", x, y, sum, err)
			}
			product, err := mulInt(x, y)
			if want := new(big.Int).Mul(big.NewInt(x), big.NewInt(y)); want.IsInt64() != (err == nil) || err == nil && want.Int64() != product {
				t.Errorf("%d * %d = %d, %v", x, y, product, err)
			}
		}
	}
}
