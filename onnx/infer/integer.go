package infer

import (
	"errors"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"assay/onnx"
)

// integer is what is known of an integer that a graph computes, a size above all:
// its number, or the name of a size that only a run knows. The zero value is an
// integer of which nothing is known.
type integer struct {
	known bool
	n     int64
	name  string
}

func number(n int64) integer { return integer{known: true, n: n} }

// given reports whether the integer is known or has a name.
func (x integer) given() bool { return x.known || x.name != "" }

// dim is the integer as a dimension. A negative one is below the -1 of unknown sizes,
// so that check finds it.
func (x integer) dim() onnx.Dim {
	if x.known && x.n < 0 {
		return onnx.Dim{Size: math.MinInt64}
	}
	if x.known {
		return onnx.Dim{Size: x.n}
	}
	return onnx.Dim{Size: -1, Param: x.name}
}

func fromDim(d onnx.Dim) integer {
	if d.Known() {
		return number(d.Size)
	}
	return integer{name: d.Param}
}

// same reports whether two integers are certain to be equal.
func same(x, y integer) bool { return x.given() && x == y }

var errOverflow = errors.New("a size or index overflows 64 bits")

func addInt(a, b int64) (int64, error) {
	if s := a + b; (s > a) == (b > 0) {
		return s, nil
	}
	return 0, errOverflow
}

func mulInt(a, b int64) (int64, error) {
	if a == 0 || b == 0 {
		return 0, nil
	}
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	negative := (a < 0) != (b < 0)
	switch {
	case hi != 0 || lo > 1<<63 || (lo == 1<<63 && !negative):
		return 0, errOverflow
	case negative:
		return -int64(lo), nil
	}
	return int64(lo), nil
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

// floorDiv rounds towards minus infinity; b is not 0.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// Bounds on what is kept of a computed size; beyond them it is unknown.
const (
	maxTerms   = 8
	maxFactors = 8
	maxName    = 200
)

// algebra computes with sizes that have names. A computed size gets a canonical
// name, such as "2*batch+1", so that equal computations have equal names.
type algebra struct {
	sums  map[string]sum // of the computed sizes, by name
	atoms map[string]atom
}

// atom is a size that is not a sum of others.
type atom struct {
	age   int   // the number of atoms there were before
	least int64 // that it can be
	num   integer
	den   int64 // where it is num ÷ den rounded down; else 0
}

func newAlgebra() *algebra {
	return &algebra{sums: map[string]sum{}, atoms: map[string]atom{}}
}

// sum is a polynomial over atoms, its terms sorted by their factors.
type sum []term

type term struct {
	factor  int64
	factors []string // sorted; none for the constant term
}

func (t term) key() string { return strings.Join(t.factors, "*") }

// fresh gives a new atom, named after hint, that is at least as large as stated.
func (a *algebra) fresh(hint string, least int64) integer {
	name := hint
	for i := len(a.atoms); a.taken(name); i++ {
		name = hint + "_" + strconv.Itoa(i)
	}
	a.atoms[name] = atom{age: len(a.atoms), least: least}
	return integer{name: name}
}

func (a *algebra) taken(name string) bool {
	_, atom := a.atoms[name]
	_, computed := a.sums[name]
	return atom || computed
}

// use takes a name that the model gives to a size that is at least as large as stated.
func (a *algebra) use(name string, least int64) {
	if name != "" && !a.taken(name) {
		a.atoms[name] = atom{age: len(a.atoms), least: least}
	}
}

// age tells how many atoms there were when the youngest one in x was made.
func (a *algebra) age(x integer) int {
	age := -1
	for _, t := range a.sum(x) {
		for _, f := range t.factors {
			known, ok := a.atoms[f]
			if !ok {
				return math.MaxInt
			}
			age = max(age, known.age)
		}
	}
	return age
}

// least gives a number that x is never below; not ok where there is none.
func (a *algebra) least(x integer) (n int64, ok bool) {
	if !x.given() {
		return 0, false
	}
	for _, t := range a.sum(x) {
		product := t.factor
		for _, f := range t.factors {
			least := a.atoms[f].least
			if t.factor < 0 || least < 0 {
				return 0, false
			}
			var err error
			if product, err = mulInt(product, least); err != nil {
				return 0, false
			}
		}
		var err error
		if n, err = addInt(n, product); err != nil {
			return 0, false
		}
	}
	return n, true
}

// natural reports whether x is certain not to be negative.
func (a *algebra) natural(x integer) bool {
	n, ok := a.least(x)
	return ok && n >= 0
}

// atMost reports whether x is certain not to be larger than y.
func (a *algebra) atMost(x, y integer) bool {
	d, err := a.sub(y, x)
	return err == nil && a.natural(d)
}

func (a *algebra) sum(x integer) sum {
	if x.known {
		if x.n == 0 {
			return sum{}
		}
		return sum{{factor: x.n}}
	}
	if s, ok := a.sums[x.name]; ok {
		return s
	}
	return sum{{factor: 1, factors: []string{x.name}}}
}

// integer names a sum; it is unknown where it has grown too large.
func (a *algebra) integer(s sum) integer {
	s = slices.DeleteFunc(s, func(t term) bool { return t.factor == 0 })
	slices.SortFunc(s, func(t, u term) int { // the constant last
		if len(t.factors) == 0 || len(u.factors) == 0 {
			return len(u.factors) - len(t.factors)
		}
		return strings.Compare(t.key(), u.key())
	})
	switch {
	case len(s) == 0:
		return number(0)
	case len(s) == 1 && len(s[0].factors) == 0:
		return number(s[0].factor)
	case len(s) == 1 && s[0].factor == 1 && len(s[0].factors) == 1:
		return integer{name: s[0].factors[0]}
	case len(s) > maxTerms:
		return integer{}
	}
	name := s.String()
	if len(name) > maxName {
		return integer{}
	}
	if _, atom := a.atoms[name]; atom {
		return integer{name: name}
	}
	a.sums[name] = s
	return integer{name: name}
}

func (s sum) String() string {
	var b strings.Builder
	for i, t := range s {
		if i > 0 && t.factor > 0 {
			b.WriteByte('+')
		}
		switch {
		case len(t.factors) == 0:
			b.WriteString(strconv.FormatInt(t.factor, 10))
			continue
		case t.factor == -1:
			b.WriteByte('-')
		case t.factor != 1:
			b.WriteString(strconv.FormatInt(t.factor, 10) + "*")
		}
		b.WriteString(t.key())
	}
	return b.String()
}

func (a *algebra) add(x, y integer) (integer, error) {
	if x.known && y.known {
		n, err := addInt(x.n, y.n)
		return number(n), err
	}
	if !x.given() || !y.given() {
		return integer{}, nil
	}
	s := slices.Clone(a.sum(x))
	for _, t := range a.sum(y) {
		i := slices.IndexFunc(s, func(u term) bool { return u.key() == t.key() })
		if i < 0 {
			s = append(s, t)
			continue
		}
		n, err := addInt(s[i].factor, t.factor)
		if err != nil {
			return integer{}, nil
		}
		s[i].factor = n
	}
	return a.integer(s), nil
}

func (a *algebra) sub(x, y integer) (integer, error) {
	minus, err := a.mul(y, number(-1))
	if err != nil {
		return integer{}, err
	}
	return a.add(x, minus)
}

func (a *algebra) mul(x, y integer) (integer, error) {
	if x.known && y.known {
		n, err := mulInt(x.n, y.n)
		return number(n), err
	}
	if same(x, number(0)) || same(y, number(0)) {
		return number(0), nil
	}
	if !x.given() || !y.given() {
		return integer{}, nil
	}
	total := number(0)
	for _, t := range a.sum(x) {
		for _, u := range a.sum(y) {
			n, err := mulInt(t.factor, u.factor)
			factors := slices.Concat(t.factors, u.factors)
			if err != nil || len(factors) > maxFactors {
				return integer{}, nil
			}
			slices.Sort(factors)
			if total, err = a.add(total, a.integer(sum{{n, factors}})); err != nil {
				return integer{}, err
			}
		}
	}
	return total, nil
}

// div is x ÷ y rounded down. Y is not the known 0.
func (a *algebra) div(x, y integer) (integer, error) {
	switch {
	case x.known && y.known:
		if x.n == math.MinInt64 && y.n == -1 {
			return integer{}, errOverflow
		}
		return number(floorDiv(x.n, y.n)), nil
	case !x.given() || !y.given():
		return integer{}, nil
	case x == y:
		return number(1), nil
	}
	if q, ok := a.exact(x, y); ok {
		return q, nil
	}
	if !y.known || y.n < 0 {
		return integer{}, nil
	}
	return a.quotient(x, y.n)
}

// quotient is x ÷ n rounded down, for an n above 0. What n divides is taken out, and
// quotients of quotients become one, so that windows over windows stay short.
func (a *algebra) quotient(x integer, n int64) (integer, error) {
	var whole, rest sum
	var inner *atom
	constant := int64(0)
	for _, t := range a.sum(x) {
		switch {
		case len(t.factors) == 0:
			constant = t.factor - floorDiv(t.factor, n)*n
			whole = append(whole, term{factor: floorDiv(t.factor, n)})
		case t.factor%n == 0:
			whole = append(whole, term{t.factor / n, t.factors})
		default:
			rest = append(rest, t)
			if q := a.atoms[t.factors[0]]; t.factor == 1 && len(t.factors) == 1 && q.den > 0 {
				inner = &q
			}
		}
	}
	part := integer{}
	var err error
	if len(rest) == 1 && inner != nil {
		part, err = a.nested(inner, constant, n)
	} else {
		if constant != 0 {
			rest = append(rest, term{factor: constant})
		}
		part = a.quotientAtom(a.integer(rest), n)
	}
	if err != nil || !part.given() {
		return integer{}, err
	}
	return a.add(a.integer(whole), part)
}

// nested is (⌊num ÷ den⌋ + constant) ÷ n = (num + den * constant) ÷ (den * n), rounded down.
func (a *algebra) nested(q *atom, constant, n int64) (integer, error) {
	shift, err := mulInt(q.den, constant)
	if err != nil {
		return integer{}, err
	}
	num, err := a.add(q.num, number(shift))
	if err != nil {
		return integer{}, err
	}
	den, err := mulInt(q.den, n)
	if err != nil || !num.given() {
		return integer{}, err
	}
	return a.div(num, number(den))
}

// quotientAtom names num ÷ den rounded down.
func (a *algebra) quotientAtom(num integer, den int64) integer {
	if !num.given() || num.known {
		return integer{}
	}
	s := a.sum(num)
	name := s.String()
	if len(s) > 1 {
		name = "(" + name + ")"
	}
	name = "floor(" + name + "/" + strconv.FormatInt(den, 10) + ")"
	if len(name) > maxName {
		return integer{}
	}
	if !a.taken(name) {
		least, ok := a.least(num)
		if least = floorDiv(least, den); !ok {
			least = math.MinInt64
		}
		a.atoms[name] = atom{age: a.age(num), least: least, num: num, den: den}
	}
	return integer{name: name}
}

// exact divides x by a y of one term that divides each of x's.
func (a *algebra) exact(x, y integer) (integer, bool) {
	divisor := a.sum(y)
	if len(divisor) != 1 || divisor[0].factor == 0 {
		return integer{}, false
	}
	by := divisor[0]
	var s sum
	for _, t := range a.sum(x) {
		if t.factor%by.factor != 0 || by.factor == -1 {
			return integer{}, false
		}
		factors := slices.Clone(t.factors)
		for _, f := range by.factors {
			i := slices.Index(factors, f)
			if i < 0 {
				return integer{}, false
			}
			factors = slices.Delete(factors, i, i+1)
		}
		s = append(s, term{t.factor / by.factor, factors})
	}
	return a.integer(s), true
}
