// Package trees knows ensembles of decision trees, as ONNX's operators for machine learning state them: what they answer, in the
// arithmetic of ONNX Runtime, and exactly what an attacker within a space can make them answer. A tree is constant on the
// boxes of its leaves, so an ensemble is on their intersections, and a search over these decides what no gradient tells.
package trees

import (
	"math"
	"slices"
)

// Ensemble is trees whose leaves are added up, or whose smallest or largest leaf counts. It is safe for
// concurrent use.
type Ensemble struct {
	width   int // numbers of a row
	targets int // sums that the leaves contribute to
	trees   []tree
	base    []float32 // added to the sums; none, one for each, or of a classifier's two classes one
	by      aggregate
	post    transform
	after   string // the operator after the trees: "", Softmax or Sigmoid

	classifier  bool // a TreeEnsembleClassifier, which makes two columns of one sum
	oneClass    bool // of two classes the leaves weigh one alone
	allPositive bool // no leaf's weight is negative
}

// Width is how many numbers a row has.
func (e *Ensemble) Width() int { return e.width }

// Trees is how many trees there are.
func (e *Ensemble) Trees() int { return len(e.trees) }

// Leaves is how many leaves all trees have.
func (e *Ensemble) Leaves() (n int) {
	for _, t := range e.trees {
		for i := range t {
			if t[i].mode == leaf {
				n++
			}
		}
	}
	return n
}

// Classes is how many classes the ensemble tells apart.
func (e *Ensemble) Classes() int { return max(e.targets, 2) }

// tree is a tree's nodes, the root first.
type tree []node

// node asks about one number of a row, or is a leaf.
type node struct {
	mode    mode
	feature int32
	value   float32
	members []float32 // of the mode member, ascending
	missing bool      // what is not a number goes the way of yes
	yes, no int32
	weights []weight // of a leaf
}

// weight is what a leaf adds to a target.
type weight struct {
	target int32
	value  float32
}

// mode is how a node compares a number with its value.
type mode uint8

const (
	leq mode = iota
	lt
	gte
	gt
	eq
	neq
	member
	leaf
)

// aggregate is how the leaves of trees become one number.
type aggregate uint8

const (
	average aggregate = iota
	sum
	smallest
	largest
)

// transform is what becomes of the sums.
type transform uint8

const (
	none transform = iota
	softmax
	logistic
	softmaxZero
	probit
)

// holds reports whether a node's condition holds of a number.
func (n *node) holds(x float32) bool {
	switch n.mode {
	case leq:
		return x <= n.value
	case lt:
		return x < n.value
	case gte:
		return x >= n.value
	case gt:
		return x > n.value
	case eq:
		return x == n.value
	case neq:
		return x != n.value
	}
	_, found := slices.BinarySearch(n.members, x)
	return found
}

// leafOf gives the place of the leaf that a row comes to.
func (t tree) leafOf(x []float32) int32 {
	at := int32(0)
	for t[at].mode != leaf {
		n := &t[at]
		v := x[n.feature]
		if n.holds(v) || n.missing && v != v {
			at = n.yes
		} else {
			at = n.no
		}
	}
	return at
}

// score is a target's sum so far, and whether any leaf has contributed.
type score struct {
	value float32
	has   bool
}

// add takes a leaf's weights into account.
func (e *Ensemble) add(scores []score, weights []weight) {
	for _, w := range weights {
		s := &scores[w.target]
		switch {
		case e.by == sum || e.by == average:
			s.value += w.value
		case !s.has || e.by == smallest && w.value < s.value || e.by == largest && w.value > s.value:
			s.value = w.value
		}
		s.has = true
	}
}

// Scores gives the scores of a row, one for each class, as ONNX Runtime computes them on one thread: the
// trees in order, in float32. Exponentials may differ in the last bit.
func (e *Ensemble) Scores(x []float32) []float32 {
	scores := make([]score, e.targets)
	for _, t := range e.trees {
		e.add(scores, t[t.leafOf(x)].weights)
	}
	return e.finish(scores)
}

// Class gives the class of a row: that of the largest score, the first of equals, or -1 where a score is no number.
func (e *Ensemble) Class(x []float32) int {
	best, scores := 0, e.Scores(x)
	for k, v := range scores {
		if v != v {
			return -1
		}
		if v > scores[best] {
			best = k
		}
	}
	return best
}

// finish makes scores of classes of the sums.
func (e *Ensemble) finish(scores []score) []float32 {
	if e.by == average {
		for i := range scores {
			scores[i].value /= float32(len(e.trees))
		}
	}
	if e.classifier && e.targets == 2 {
		return e.finishTwo(scores)
	}
	out := make([]float32, len(scores))
	for i, s := range scores {
		if out[i] = s.value; len(e.base) == len(scores) {
			out[i] += e.base[i]
		}
	}
	if e.targets == 1 {
		return e.both(out[0])
	}
	if out = e.transformed(out); e.after == "Softmax" {
		softmaxOf(out)
	}
	return out
}

// finishTwo makes scores of a classifier of two classes, with the runtime's cases: it takes leaves that
// weigh the first class alone for those of the second, unless there are two base values.
func (e *Ensemble) finishTwo(scores []score) []float32 {
	s0, s1 := scores[0], scores[1]
	switch len(e.base) {
	case 2:
		if s1.has { // the first class's sum goes on the second's base value
			s1.value = e.base[1] + s0.value
			s0.value = -s1.value
		} else {
			s0.value += e.base[0]
		}
	case 1:
		s0.value += e.base[0]
	}
	switch {
	case !s1.has && len(e.base) < 2:
		return e.second(s0.value)
	case !s1.has:
		s1.value = 0
	case !s0.has: // what no leaf has contributed to is written as 0
		s0.value = 0
	}
	return e.transformed([]float32{s0.value, s1.value})
}

// second makes two columns of the one sum of a classifier.
func (e *Ensemble) second(s float32) []float32 {
	switch {
	case e.post == probit:
		return []float32{probitOf(s), 0}
	case e.post == logistic:
		return []float32{logisticOf(-s), logisticOf(s)}
	case !e.oneClass || e.allPositive:
		return []float32{1 - s, s}
	}
	return []float32{-s, s}
}

// both makes two columns of the one output of a regressor, as the port does: of a probability, or of a lead over 0.
func (e *Ensemble) both(s float32) []float32 {
	if e.post == probit {
		s = probitOf(s)
	}
	if e.after == "Sigmoid" {
		s = logisticOf(s)
		return []float32{1 - s, s}
	}
	return []float32{0, s}
}

func (e *Ensemble) transformed(v []float32) []float32 {
	switch e.post {
	case softmax:
		softmaxOf(v)
	case softmaxZero:
		softmaxZeroOf(v)
	case logistic:
		for i := range v {
			v[i] = logisticOf(v[i])
		}
	case probit:
		for i := range v {
			v[i] = probitOf(v[i])
		}
	}
	return v
}

func exp(x float32) float32 { return float32(math.Exp(float64(x))) }

func logisticOf(x float32) float32 {
	v := 1 / (1 + exp(-max(x, -x)))
	if x < 0 {
		return 1 - v
	}
	return v
}

func softmaxOf(v []float32) {
	most, total := slices.Max(v), float32(0)
	for i := range v {
		v[i] = exp(v[i] - most)
		total += v[i]
	}
	for i := range v {
		v[i] /= total
	}
}

// softmaxZeroOf leaves what is 0 at 0.
func softmaxZeroOf(v []float32) {
	most, total := slices.Max(v), float32(0)
	for i := range v {
		if v[i] > 1e-7 || v[i] < -1e-7 {
			v[i] = exp(v[i] - most)
			total += v[i]
		} else {
			v[i] *= exp(-most)
		}
	}
	for i := range v {
		v[i] /= total
	}
}

// probitOf is the quantile of the normal distribution, by the approximation of the runtime.
func probitOf(p float32) float32 {
	x := 2*p - 1
	sign := float32(1)
	if x < 0 {
		sign = -1
	}
	log := float32(math.Log(float64((1 - x) * (1 + x))))
	v := 2/(3.14159*float32(0.147)) + 0.5*log
	return 1.41421356 * sign * float32(math.Sqrt(float64(-v+float32(math.Sqrt(float64(v*v-1/float32(0.147)*log))))))
}
