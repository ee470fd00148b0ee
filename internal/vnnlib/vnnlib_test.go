package vnnlib_test

import (
	"io"
	"reflect"
	"strings"
	"testing"

	"assay/internal/vnnlib"
)

const declared = "(declare-const X_0 Real) (declare-const X_1 Real)\n(declare-const Y_0 Real)(declare-const Y_1 Real)\n"

// box is -1 ≤ X_0 ≤ 1, 0 ≤ X_1 ≤ 0.5.
const box = "(assert (>= X_0 -1)) (assert (<= X_0 1.0)) (assert (and (<= 0 X_1) (>= 5e-1 X_1)))\n"

func TestRead(t *testing.T) {
	lower, upper := []float64{-1, 0}, []float64{1, 0.5}
	constraint := func(a, b, bound float64) vnnlib.Constraint {
		return vnnlib.Constraint{Coefficients: []float64{a, b}, Bound: bound}
	}
	for name, c := range map[string]struct {
		text string
		want []vnnlib.Case
	}{
		"one conjunction": {
			declared + box + "(assert (<= Y_0 Y_1)); a remark ( \n(assert (>= Y_0 3))",
			[]vnnlib.Case{{lower, upper, [][]vnnlib.Constraint{{constraint(1, -1, 0), constraint(-1, 0, -3)}}}},
		},
		"a disjunction on outputs": {
			declared + box + "(assert (or (and (<= Y_0 1) (<= Y_1 2)) (<= Y_1 0)))",
			[]vnnlib.Case{{lower, upper, [][]vnnlib.Constraint{{constraint(1, 0, 1), constraint(0, 1, 2)}, {constraint(0, 1, 0)}}}},
		},
		"two boxes": {
			declared + "(assert (or (and (<= X_0 1) (>= X_0 0)) (and (<= X_0 3) (>= X_0 2))))(assert (and (<= X_1 1) (>= X_1 1)))(assert (or (<= Y_0 0) (<= Y_1 0)))",
			[]vnnlib.Case{
				{[]float64{0, 1}, []float64{1, 1}, [][]vnnlib.Constraint{{constraint(1, 0, 0)}, {constraint(0, 1, 0)}}},
				{[]float64{2, 1}, []float64{3, 1}, [][]vnnlib.Constraint{{constraint(1, 0, 0)}, {constraint(0, 1, 0)}}},
			},
		},
		"inputs and outputs in one disjunction, an empty box left out": {
			declared + box + "(assert (or (and (<= X_0 0) (<= Y_0 0)) (and (>= X_0 2) (<= Y_0 1))))",
			[]vnnlib.Case{{lower, []float64{0, 0.5}, [][]vnnlib.Constraint{{constraint(1, 0, 0)}}}},
		},
		"sums": {
			declared + box + "(assert (< (+ (* 2 Y_0) (- Y_1) (* (- 3 1) (- Y_0 Y_1 4)) 1) (+ Y_1 10)))",
			[]vnnlib.Case{{lower, upper, [][]vnnlib.Constraint{{{Coefficients: []float64{4, -4}, Bound: 17, Strict: true}}}}},
		},
		"factors and strict limits of inputs": {
			"(declare-const X_0 Real)(declare-fun Y_0 () Real)(assert (<= (* -2 X_0) 1))(assert (< X_0 1))(assert (>= Y_0 0))",
			[]vnnlib.Case{{[]float64{-0.5}, []float64{1 - 0x1p-53}, [][]vnnlib.Constraint{{{Coefficients: []float64{-1}}}}}},
		},
	} {
		p, err := vnnlib.Read(strings.NewReader(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(p.Cases, c.want) {
			t.Errorf("%s: %+v, want %+v", name, p.Cases, c.want)
		}
	}
}

func TestConstraint(t *testing.T) {
	c := vnnlib.Constraint{Coefficients: []float64{1, -2}, Bound: 3}
	if !c.Met([]float64{3, 0}) || c.Met([]float64{3.5, 0}) || c.Excess([]float64{1, -2}) != 2 {
		t.Errorf("%+v is judged wrongly", c)
	}
	if c.Strict = true; c.Met([]float64{3, 0}) || !c.Met([]float64{2.5, 0}) {
		t.Errorf("%+v is judged wrongly", c)
	}
}

func TestRefused(t *testing.T) {
	for text, part := range map[string]string{
		"":                                    "no property",
		"x":                                   "command in parentheses",
		"(check-sat)":                         "not known",
		"(declare-const Z_0 Real)":            "inputs are X_0",
		"(declare-const X_00 Real)":           "inputs are X_0",
		"(declare-const X_0 Int)":             `"Real" is expected`,
		declared + "(declare-const X_0 Real)": "twice",
		"(declare-const X_1 Real)(declare-const Y_0 Real)(assert (<= X_1 0))":      "without gaps",
		declared + "(assert (<= X_0 1)":                                            "ends inside",
		declared + "(assert (= X_0 1))":                                            "not known in an assertion",
		declared + "(assert (<= X_2 1))":                                           "not declared",
		declared + "(assert (<= 2 1))":                                             "on no variable",
		declared + "(assert (<= X_0 1e999))":                                       "nor a number",
		declared + "(assert (<= X_0 NaN))":                                         "nor a number",
		declared + "(assert (<= (* X_0 X_1) 1))":                                   "two variables are multiplied",
		declared + box + "(assert (<= (+ X_0 X_1) 1))":                             "on 2 of them",
		declared + box + "(assert (<= X_0 Y_1))":                                   "joins inputs and outputs",
		declared + box:                                                             "nothing about the outputs",
		declared + "(assert (<= X_0 1)) (assert (<= Y_0 1))":                       "not bounded",
		declared + box + "(assert (>= X_0 1.5))(assert (<= Y_0 1))":                "inconsistent",
		declared + box + "\n(assert (>= Y_0 Y_1))\n(assert (<= (- Y_0 Y_1) -1))":   "inconsistent",
		declared + "(assert " + strings.Repeat("(and ", 100) + "(<= X_0 1)":        "deep",
		declared + "(assert (<= " + strings.Repeat("(- ", 100) + "X_0":             "deep",
		declared + "(assert (or))":                                                 "joins nothing",
		declared + box + strings.Repeat("(assert (or (<= Y_0 0) (<= Y_1 0)))", 30): "multiply",
		"(" + strings.Repeat("a", 1000):                                            "more than 256 bytes",
		declared + "(assert (<= X_0 \x00))":                                        "has no meaning",
	} {
		if _, err := vnnlib.Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%.60q gives %v, want a word of %q", text, err, part)
		}
	}
	if _, err := vnnlib.Read(strings.NewReader(declared + "\n\n(assert (<= X_0 b))")); err == nil || !strings.HasPrefix(err.Error(), "line 5:") {
		t.Errorf("the line is not told: %v", err)
	}
}

// endless gives one text over and over.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(to []byte) (int, error) {
	for i := range to {
		to[i] = e.text[e.at%len(e.text)]
		e.at++
	}
	return len(to), nil
}

func TestEndless(t *testing.T) {
	for text, part := range map[string]string{" ": "more than 67108864 bytes", "(assert (<= X_0 1)) ": "more than 1048576 constraints"} {
		in := io.MultiReader(strings.NewReader(declared), &endless{text: text})
		if _, err := vnnlib.Read(in); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q without end gives %v", text, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(declared + box + "(assert (or (and (<= Y_0 1) (<= Y_1 2)) (<= Y_1 0)))")
	f.Add(declared + box + "(assert (< (+ (* 2 Y_0) (- Y_1) (* (- 3 1) (- Y_0 Y_1 4)) 1) (+ Y_1 10))) ; remark")
	f.Add(declared + "(assert (or (and (<= X_0 1) (>= X_0 0)) (and (<= X_0 3) (>= X_0 2))))(assert (<= Y_0 0))")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := vnnlib.Read(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, c := range p.Cases {
			for i := range p.Inputs {
				if !(c.Lower[i] <= c.Upper[i]) {
					t.Fatalf("the box [%v, %v] is empty", c.Lower, c.Upper)
				}
			}
			for _, conjunction := range c.Unsafe {
				if len(conjunction) == 0 {
					t.Fatal("nothing is unsafe")
				}
				for _, constraint := range conjunction {
					if len(constraint.Coefficients) != p.Outputs {
						t.Fatalf("%d coefficients for %d outputs", len(constraint.Coefficients), p.Outputs)
					}
				}
			}
		}
	})
}
