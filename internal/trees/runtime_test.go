package trees_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"assay/internal/model/ort"
	"assay/internal/trees"
	"assay/internal/trees/treestest"
	"assay/onnx"
)

var comparisons = []string{"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"}

// wholes are thresholds that rows hit often.
var wholes = []float32{0, 1, 2, 3, 4, 5, 2.5}

// all gives each target a weight.
func all(targets int, positive bool) func(r *rand.Rand) []treestest.Weight {
	return func(r *rand.Rand) (out []treestest.Weight) {
		for t := range targets {
			v := float32(r.NormFloat64())
			if positive {
				v = r.Float32() / 8
			}
			out = append(out, treestest.Weight{Target: t, Value: v})
		}
		return out
	}
}

// only weighs one target.
func only(target int, positive bool) func(r *rand.Rand) []treestest.Weight {
	return func(r *rand.Rand) []treestest.Weight {
		w := all(1, positive)(r)
		w[0].Target = target
		return w
	}
}

// TestScoresAreTheRuntimes: of every operator, comparison, aggregate and transform, on rows that stand on thresholds.
func TestScoresAreTheRuntimes(t *testing.T) {
	const class, regress = "TreeEnsembleClassifier", "TreeEnsembleRegressor"
	var specs []treestest.Spec
	for _, post := range []string{"NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"} {
		for _, base := range []int{0, 1} {
			specs = append(specs,
				treestest.Spec{Op: class, Targets: 3, Post: post, Base: make([]float32, 3*base)},
				treestest.Spec{Op: class, Targets: 2, Post: post, ZipMap: true},
				treestest.Spec{Op: regress, Targets: 3, Post: post, Base: make([]float32, 3*base)})
		}
	}
	specs = append(specs,
		treestest.Spec{Op: class, Targets: 2, Post: "NONE", Base: make([]float32, 2)}, treestest.Spec{Op: class, Targets: 2, Post: "NONE", Base: make([]float32, 1)},
		treestest.Spec{Op: class, Targets: 2, Post: "PROBIT"}, treestest.Spec{Op: class, Targets: 3, Post: "PROBIT"}, treestest.Spec{Op: regress, Targets: 1, Post: "PROBIT"},
		treestest.Spec{Op: regress, Targets: 1, Post: "LOGISTIC"}, treestest.Spec{Op: class, Targets: 2, Post: "LOGISTIC", Base: make([]float32, 2)},
		treestest.Spec{Op: regress, Targets: 1, Base: make([]float32, 1)}, treestest.Spec{Op: regress, Targets: 1, After: "Sigmoid"},
		treestest.Spec{Op: regress, Targets: 3, After: "Softmax"},
		treestest.Spec{Op: regress, Targets: 1, Aggregate: "AVERAGE", Base: make([]float32, 1)})
	for _, by := range []string{"AVERAGE", "MIN", "MAX"} {
		specs = append(specs, treestest.Spec{Op: regress, Targets: 3, Aggregate: by, Base: make([]float32, 3)}, treestest.Spec{Op: regress, Targets: 1, Aggregate: by})
	}
	for i, s := range specs {
		for _, positive := range []bool{false, true} {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			s.Width = 5
			for k := range s.Base {
				s.Base[k] = float32(r.NormFloat64())
			}
			s.Trees = treestest.Random(r, treestest.Shape{Width: 5, Trees: 7, Depth: 4, Modes: comparisons, Values: wholes, Leaf: all(s.Targets, positive)})
			t.Run(fmt.Sprintf("%s %d %s %s %s %v %t", s.Op[12:], s.Targets, s.Post, s.Aggregate, s.After, len(s.Base), positive), func(t *testing.T) { compare(t, s.Model(), r) })
		}
	}
	for _, post := range []string{"NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"} {
		for _, positive := range []bool{false, true} {
			for _, target := range []int{0, 1} {
				for _, bases := range []int{0, 1, 2} {
					r := rand.New(rand.NewPCG(uint64(target), 2))
					s := treestest.Spec{Op: class, Width: 5, Targets: 2, Post: post, Base: make([]float32, bases)}
					for k := range s.Base {
						s.Base[k] = -0.3
					}
					s.Trees = treestest.Random(r, treestest.Shape{Width: 5, Trees: 7, Depth: 4, Modes: comparisons, Values: wholes, Leaf: only(target, positive)})
					t.Run(fmt.Sprintf("one class %s %t target %d bases %d", post, positive, target, bases), func(t *testing.T) { compare(t, s.Model(), r) })
				}
			}
		}
	}
}

// TestGeneralScoresAreTheRuntimes: the same of the newest operator.
func TestGeneralScoresAreTheRuntimes(t *testing.T) {
	for i, by := range []string{"AVERAGE", "SUM", "MIN", "MAX"} {
		for _, targets := range []int{1, 3} {
			r := rand.New(rand.NewPCG(uint64(i), 3))
			s := treestest.Spec{Width: 5, Targets: targets, Aggregate: by}
			s.Trees = treestest.Random(r, treestest.Shape{
				Width: 5, Trees: 7, Depth: 4, Modes: append([]string{"BRANCH_MEMBER"}, comparisons...), Values: []float32{0, 1, 2, 3},
				Leaf: func(r *rand.Rand) []treestest.Weight { return only(r.IntN(targets), false)(r) },
			})
			t.Run(fmt.Sprintf("%s %d", by, targets), func(t *testing.T) { compare(t, s.General(), r) })
		}
	}
}

// TestManyTreesAreTheRuntimes: of more trees than the runtime adds one after the other on several threads.
func TestManyTreesAreTheRuntimes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 4))
	s := treestest.Spec{Op: "TreeEnsembleClassifier", Width: 5, Targets: 3, Post: "SOFTMAX"}
	s.Trees = treestest.Random(r, treestest.Shape{Width: 5, Trees: 300, Depth: 5, Modes: comparisons[:1], Values: wholes, Leaf: all(3, false)})
	compare(t, s.Model(), r)
}

// compare holds the scores of rows, each by itself on one thread, to the runtime's: labels just so, and scores where no
// exponential is in them.
func compare(t *testing.T, m *onnx.Model, r *rand.Rand) {
	t.Helper()
	e, err := trees.Read(m)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ort.NewClassifier(context.Background(), m, ort.ClassifierOptions{Options: ort.Options{Threads: 1, Optimization: ort.OptimizeOff}, Batch: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n := len(c.Describe().Classes); n != e.Classes() {
		t.Fatalf("%d classes, the runtime's model has %d", e.Classes(), n)
	}
	tolerance := 2e-6
	if strings.Contains(t.Name(), "PROBIT") {
		tolerance = 1e-3 // it is a difference of large numbers
	}
	labels := map[int]int{}
	for range 400 {
		x := make([]float32, e.Width())
		wide, want := make([]float64, len(x)), make([]float64, e.Classes())
		for j := range x {
			x[j] = float32(r.IntN(13)) / 2
			if r.IntN(30) == 0 {
				x[j] = float32(math.NaN())
			}
			wide[j] = float64(x[j])
		}
		if err := c.Predict(context.Background(), wide, want); err != nil {
			t.Fatal(err)
		}
		got, class := e.Scores(x), 0
		for k, v := range want {
			switch {
			case v != v:
				class = -1
			case class >= 0 && v > want[class]:
				class = k
			}
			if math.Abs(float64(got[k])-v) > tolerance*(math.Abs(v)+1) && !(v != v && got[k] != got[k]) {
				t.Fatalf("%v: scores %v, the runtime's are %v", x, got, want)
			}
		}
		labels[class]++
		if e.Class(x) != class {
			t.Errorf("%v: class %d, the runtime's is %d (%v, %v)", x, e.Class(x), class, got, want)
		}
	}
	t.Log(labels)
}
